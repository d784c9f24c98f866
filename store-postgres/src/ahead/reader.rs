//! A reader that asks for one page after the other, and the statements that bring them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use factum::{ReadError, RecordedEvent};
use tokio::runtime::{Handle, Id};
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::Request;
use super::idle::Use;
use crate::db::Db;
use crate::read::{Kept, Several};

/// How many pages one statement brings at most: where one ends, the server has a pause.
const TOGETHER: usize = 64;

/// A statement brings twice as many pages as the one before if that took no longer, nor a quarter of the time after which the
/// server ends it, and one page if it did: a reader that takes its time holds neither a connection nor what the server has
/// made for it.
const QUICK: Duration = Duration::from_millis(100);

/// How long a page is kept that nobody asks for.
const KEEP: Duration = Duration::from_secs(5);

/// One that asks for one page after the other.
///
/// What it has open belongs to a task of the runtime in which it began: it ends with either, whoever drops this and wherever.
#[derive(Debug)]
pub(super) struct Reader<R: Request> {
    shared: Weak<Shared<R>>,
    runtime: Id,
    /// Ends the task when it is dropped.
    _alive: oneshot::Sender<()>,
}

impl<R: Request> Reader<R> {
    /// From this request on. Whoever asks for no page for as long as `patience` after it began to wait does not come back.
    pub(super) fn begin(db: Db, first: R, place: OwnedSemaphorePermit, patience: Duration) -> Option<Self> {
        let runtime = Handle::try_current().ok()?;
        let state = State { follow: Follow::new(db, first), waiting: None, polls: Use::begin().ok()? };
        let shared = Arc::new(Shared { state: Mutex::new(state), _place: place });
        let (alive, gone) = oneshot::channel();
        let reader = Self { shared: Arc::downgrade(&shared), runtime: runtime.id(), _alive: alive };
        runtime.spawn(look_after(shared, gone, patience));
        Some(reader)
    }

    /// Whether it gives no pages any more: it was asked for none too long, or its runtime has ended.
    pub(super) fn is_over(&self) -> bool {
        self.shared.strong_count() == 0
    }

    /// Whether its connection is one of the runtime in which this is asked.
    pub(super) fn is_here(&self) -> bool {
        Handle::try_current().is_ok_and(|here| here.id() == self.runtime)
    }

    /// The next page. Whoever gets none reads by itself, and is told why there is none.
    pub(super) async fn page(&self) -> Option<R::Page> {
        let poll =
            |cx: &mut Context<'_>| self.shared.upgrade().map_or(Poll::Ready(None), |shared| shared.state().page(cx));
        poll_fn(poll).await
    }
}

struct Shared<R: Request> {
    state: Mutex<State<R>>,
    _place: OwnedSemaphorePermit,
}

impl<R: Request> std::fmt::Debug for Shared<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<R: Request> Shared<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State<R: Request> {
    follow: Follow<R>,
    /// Who waits for a page.
    waiting: Option<Waker>,
    /// How often it was asked for pages.
    polls: Arc<Use>,
}

impl<R: Request> State<R> {
    fn page(&mut self, cx: &mut Context<'_>) -> Poll<Option<R::Page>> {
        self.polls.again();
        let page = self.follow.page(cx);
        self.waiting = page.is_pending().then(|| cx.waker().clone());
        page
    }

    /// Takes what comes from the connection for a reader that does not come for it, and gives the connection back. One that
    /// waits is woken and has a moment.
    fn rest(&mut self, polls: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.polls.times() != polls {
            return Poll::Ready(());
        }
        ready!(self.follow.rest(cx));
        match self.waiting.take() {
            Some(waiting) => waiting.wake(),
            None => self.follow.stop(),
        }
        Poll::Ready(())
    }
}

/// Whoever waits for what is gone reads by itself.
impl<R: Request> Drop for State<R> {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

/// Ends the statement of a reader that takes its time, or that was left lying, and forgets one that does not come back.
async fn look_after<R: Request>(shared: Arc<Shared<R>>, mut gone: oneshot::Receiver<()>, patience: Duration) {
    let uses = Arc::clone(&shared.state().polls);
    let (mut polls, mut rests) = (None, false);
    let mut used = Instant::now();
    loop {
        let rest = poll_fn(|cx| shared.state().rest(polls.unwrap_or_default(), cx));
        select! {
            _ = &mut gone => return,
            () = rest, if rests => rests = false,
            now = uses.idle() => {
                if polls != Some(now) {
                    (polls, used) = (Some(now), Instant::now());
                }
                rests = true;
                let waits = shared.state().waiting.is_some();
                if used.elapsed() >= if waits { patience } else { KEEP } {
                    return;
                }
            }
        }
    }
}

/// What follows the last page of a reader.
struct Follow<R: Request> {
    db: Db,
    kept: Kept,
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

impl<R: Request> Follow<R> {
    fn new(db: Db, first: R) -> Self {
        let (kept, next) = (Kept::default(), Some(first));
        Self { db, kept, statement: None, next, rest: None, together: 1, most: TOGETHER, dense: false }
    }

    /// The next page. The server begins with the next statement before the last page of this one is used.
    fn page(&mut self, cx: &mut Context<'_>) -> Poll<Option<R::Page>> {
        let page = match self.rest.take() {
            Some(page) => Some(page),
            None => ready!(self.come(cx)),
        };
        if page.is_some() && self.statement.is_none() {
            self.begin();
            if let Some(statement) = &mut self.statement {
                statement.read_on(cx);
            }
        }
        Poll::Ready(page)
    }

    /// The page that comes next on the connection.
    fn come(&mut self, cx: &mut Context<'_>) -> Poll<Option<R::Page>> {
        loop {
            self.begin();
            let Some(statement) = &mut self.statement else { return Poll::Ready(None) };
            let page = ready!(statement.page(cx));
            if statement.ended {
                self.learn();
            }
            if page.is_some() {
                return Poll::Ready(page);
            }
        }
    }

    fn begin(&mut self) {
        if self.statement.is_none()
            && let Some(read) = self.next.take()
        {
            self.statement = Some(Statement::new(&self.db, read, self.together, self.dense, self.kept.clone()));
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

    /// Takes one page from the connection.
    fn rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rest.is_none() && self.statement.is_some() {
            self.rest = ready!(self.come(cx));
        }
        Poll::Ready(())
    }

    /// Gives the connection back. What the server has made beyond the page that was taken, it makes again when that is asked for.
    fn stop(&mut self) {
        if let Some(statement) = self.statement.take() {
            self.together = 1;
            self.go_on_after(statement);
        }
        self.kept.give_back();
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
    fn new(db: &Db, read: R, pages: usize, dense: bool, kept: Kept) -> Self {
        let (sender, full) = mpsc::unbounded_channel();
        let (db, next) = (db.clone(), Some(read.clone()));
        let several = Several { pages, full: sender, kept, dense };
        let reading = Box::pin(async move { read.read(&db, Some(&several)).await });
        Self { reading, full, next, pages, came: 0, dense, began: Instant::now(), last: None, ended: false }
    }

    /// Goes as far as that needs no waiting.
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
    fn page(&mut self, cx: &mut Context<'_>) -> Poll<Option<R::Page>> {
        self.poll(cx).map(|came| self.take(came))
    }

    fn take(&mut self, came: Came<R::Page>) -> Option<R::Page> {
        let page = match came {
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
