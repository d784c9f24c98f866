//! A reader that asks for one page after the other, and the statements that bring them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use factum::{ReadError, RecordedEvent};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;

use super::Request;
use crate::db::Db;
use crate::read::Several;
use crate::texts::Texts;

/// How many pages one statement brings at most: where one ends, the server has a pause.
const TOGETHER: usize = 64;

/// A statement brings twice as many pages as the one before if that took no longer, nor a quarter of the time after which the
/// server ends it, and one page if it did: a reader that takes its time holds neither a connection nor what the server has
/// made for it.
const QUICK: Duration = Duration::from_millis(100);

/// How long a statement is held open while nobody takes its pages.
const OPEN: Duration = Duration::from_millis(50);

/// For how many times as long a page is kept that nobody asks for: five seconds.
const KEEP: u32 = 100;

/// One that asks for one page after the other.
#[derive(Debug)]
pub(super) struct Reader<R: Request> {
    follow: tokio::sync::Mutex<Follow<R>>,
    /// Counts the begin and the end of each page that it took.
    uses: AtomicUsize,
    /// Whether nobody asks any more.
    over: AtomicBool,
    _place: OwnedSemaphorePermit,
}

impl<R: Request> Reader<R> {
    /// From this request on; `None` where there is nobody to look after it.
    pub(super) fn begin(db: Db, first: R, place: OwnedSemaphorePermit) -> Option<Arc<Self>> {
        let runtime = Handle::try_current().ok()?;
        let follow = tokio::sync::Mutex::new(Follow::new(db, first));
        let reader = Arc::new(Self { follow, uses: AtomicUsize::new(0), over: AtomicBool::new(false), _place: place });
        runtime.spawn(look_after(Arc::downgrade(&reader)));
        Some(reader)
    }

    /// Whether it gives no pages any more: it was asked for none too long.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The next page. Whoever gets none reads by itself, and is told why there is none.
    pub(super) async fn page(&self) -> Option<R::Page> {
        self.uses.fetch_add(1, Ordering::Relaxed);
        let page = self.follow.lock().await.page().await;
        self.uses.fetch_add(1, Ordering::Relaxed);
        page
    }

    fn uses(&self) -> usize {
        self.uses.load(Ordering::Relaxed)
    }
}

/// Ends the statement of a reader that takes its time, and forgets one that does not come back.
async fn look_after<R: Request>(reader: Weak<Reader<R>>) {
    let (mut uses, mut unused) = (0, 0);
    loop {
        sleep(OPEN).await;
        let Some(reader) = reader.upgrade() else { return };
        if reader.uses() != uses {
            (uses, unused) = (reader.uses(), 0);
            continue;
        }
        unused += 1;
        let mut follow = reader.follow.lock().await;
        if reader.uses() != uses {
            continue;
        }
        follow.rest().await;
        if unused >= KEEP {
            follow.end();
            reader.over.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// What follows the last page of a reader.
struct Follow<R: Request> {
    db: Db,
    texts: Arc<Mutex<Option<Texts>>>,
    statement: Option<Statement<R>>,
    /// The request for the statement after it.
    next: Option<R>,
    /// A page that came while its reader took its time.
    rest: Option<R::Page>,
    /// How many pages the next statement is to bring, and at most.
    together: usize,
    most: usize,
    dense: bool,
}

impl<R: Request> std::fmt::Debug for Follow<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow").field("together", &self.together).finish_non_exhaustive()
    }
}

impl<R: Request> Follow<R> {
    fn new(db: Db, first: R) -> Self {
        let (texts, next) = (Arc::default(), Some(first));
        Self { db, texts, statement: None, next, rest: None, together: 1, most: TOGETHER, dense: false }
    }

    /// The next page. The server begins with the next statement before the last page of this one is used.
    async fn page(&mut self) -> Option<R::Page> {
        let page = match self.rest.take() {
            Some(page) => page,
            None => self.come().await?,
        };
        if self.statement.is_none() {
            self.begin();
            if let Some(statement) = &mut self.statement {
                statement.look().await;
            }
        }
        Some(page)
    }

    /// The page that comes next on the connection. What is dropped before it came goes on with the next call.
    async fn come(&mut self) -> Option<R::Page> {
        loop {
            self.begin();
            let statement = self.statement.as_mut()?;
            let page = statement.page().await;
            if statement.ended {
                self.learn();
            }
            if page.is_some() {
                return page;
            }
        }
    }

    fn begin(&mut self) {
        if self.statement.is_none()
            && let Some(read) = self.next.take()
        {
            self.statement = Some(Statement::new(&self.db, read, self.together, self.dense, Arc::clone(&self.texts)));
        }
    }

    /// What the statement that ended says of the next one.
    fn learn(&mut self) {
        let Some(statement) = self.statement.take() else { return };
        if statement.came < statement.pages / 2 {
            // Large events, or few that are meant: the server looked for more than was taken.
            self.most = statement.came.max(1);
        }
        let quick = statement.began.elapsed() <= self.db.ends_after().map_or(QUICK, |ends| QUICK.min(ends / 4));
        self.together = if quick { (self.together * 2).min(self.most) } else { 1 };
        self.go_on_after(statement);
    }

    fn go_on_after(&mut self, statement: Statement<R>) {
        (self.next, self.dense) = (statement.next, statement.dense);
    }

    /// Takes one page from the connection and gives the connection back. What the server has made beyond it, it makes again
    /// when that is asked for.
    async fn rest(&mut self) {
        if self.rest.is_some() || self.statement.is_none() {
            return;
        }
        self.rest = self.come().await;
        if let Some(statement) = self.statement.take() {
            self.together = 1;
            self.go_on_after(statement);
        }
    }

    fn end(&mut self) {
        (self.statement, self.next, self.rest) = (None, None, None);
    }
}

/// A statement that is under way.
struct Statement<R: Request> {
    reading: Pin<Box<dyn Future<Output = Result<R::Page, ReadError>> + Send>>,
    full: mpsc::UnboundedReceiver<Vec<RecordedEvent>>,
    /// The request for the page after the last one that came; `None` where none is to follow.
    next: Option<R>,
    /// How many pages were asked for, and how many came.
    pages: usize,
    came: usize,
    /// Whether most events were meant, by its last page.
    dense: bool,
    began: Instant,
    /// What its last page ends, once that is known.
    last: Option<Result<R::Page, ReadError>>,
    ended: bool,
}

/// What came of a statement.
enum Came<P> {
    Full(Vec<RecordedEvent>),
    Last(Result<P, ReadError>),
}

impl<R: Request> Statement<R> {
    fn new(db: &Db, read: R, pages: usize, dense: bool, texts: Arc<Mutex<Option<Texts>>>) -> Self {
        let (sender, full) = mpsc::unbounded_channel();
        let (db, next) = (db.clone(), Some(read.clone()));
        let several = Several { pages, full: sender, texts, dense };
        let reading = Box::pin(async move { read.read(&db, Some(&several)).await });
        Self { reading, full, next, pages, came: 0, dense, began: Instant::now(), last: None, ended: false }
    }

    /// Goes as far as that needs no waiting.
    async fn look(&mut self) {
        poll_fn(|cx| {
            self.read_on(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn read_on(&mut self, cx: &mut Context<'_>) {
        if self.last.is_none()
            && let Poll::Ready(last) = self.reading.as_mut().poll(cx)
        {
            self.last = Some(last);
        }
    }

    /// What comes next: it pauses after each page that is full.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Came<R::Page>> {
        if self.full.is_empty() {
            self.read_on(cx);
        }
        match self.full.try_recv() {
            Ok(events) => Poll::Ready(Came::Full(events)),
            Err(_) => self.last.take().map_or(Poll::Pending, |last| Poll::Ready(Came::Last(last))),
        }
    }

    /// The next page; `None` at the end.
    async fn page(&mut self) -> Option<R::Page> {
        let page = match poll_fn(|cx| self.poll(cx)).await {
            Came::Full(events) => R::full(events),
            Came::Last(last) => {
                self.ended = true;
                let read = self.next.take()?;
                let last = last.ok()?;
                if !read.is_page(&last, self.came == 0) {
                    self.next = read.next(&last).map(|_| read);
                    return None;
                }
                self.next = Some(read);
                last
            }
        };
        let read = self.next.take()?;
        self.dense = read.is_dense(&page);
        self.next = read.next(&page);
        self.next.as_ref()?;
        self.came += 1;
        Some(page)
    }
}
