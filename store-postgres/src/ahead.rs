//! Reading ahead: the pages that follow are on their way while the last one is used.
//!
//! It begins with the second page that follows another, so that a single page costs nothing more, and goes on for as long as
//! the pages are full: one statement brings several of them, each given as soon as it is full, and the next statement is sent
//! before they are used up. A full page never changes, since nothing is ever recorded below a position or a version that was
//! seen; one that is not full is never given from here, but read anew.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum::{Direction, LogPage, Mark, ReadError, ReadLog, ReadStream, RecordedEvent, StreamPage};
use tokio::runtime::Handle;
use tokio::select;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::db::Db;
use crate::read::{self, Several};
use crate::texts::Texts;

/// How many pages one statement brings at most. Together they are no larger, in bytes, than one may be.
const TOGETHER: usize = 8;

/// How long pages are kept that nobody asks for.
const KEEP: Duration = Duration::from_secs(5);

/// Pages that may be larger are not read ahead.
const MAX_BYTES: usize = 8 << 20;

/// Of how many readers it is remembered what would be their next page.
const READERS: usize = 64;

/// A request for a page, and what follows it.
trait Request: Clone + PartialEq + Send + Sync + 'static {
    type Page: std::fmt::Debug + Send + 'static;

    /// The request for the page after this one; `None` where it is not to be read ahead.
    fn next(&self, page: &Self::Page) -> Option<Self>;

    /// The page, or with `several` this and those that follow it.
    fn read(&self, db: &Db, several: Option<&Several>) -> impl Future<Output = Result<Self::Page, ReadError>> + Send;

    /// A page that is full.
    fn full(events: Vec<RecordedEvent>) -> Self::Page;

    /// Whether the last one of several pages is one: what is left at the end is not.
    fn is_page(&self, last: &Self::Page, alone: bool) -> bool;
}

impl Request for ReadLog {
    type Page = LogPage;

    fn next(&self, page: &LogPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward && self.limit.bytes <= MAX_BYTES;
        let reached = page.reached.filter(|_| forward && !page.end)?;
        Some(Self { after: reached.position, ..self.clone() })
    }

    async fn read(&self, db: &Db, several: Option<&Several>) -> Result<LogPage, ReadError> {
        read::log(db, self, several).await
    }

    fn full(events: Vec<RecordedEvent>) -> LogPage {
        let reached = events.last().map(|last| Mark { position: last.position, event: last.id });
        LogPage { events, reached, end: false }
    }

    fn is_page(&self, last: &LogPage, alone: bool) -> bool {
        // One that ends where it has looked, and not with an event, is one.
        !last.end && (alone || last.events.len() >= self.limit.events.max(1))
    }
}

impl Request for ReadStream {
    type Page = StreamPage;

    fn next(&self, page: &StreamPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward && self.limit.bytes <= MAX_BYTES;
        let last = page.events.last().filter(|_| forward && !page.end)?;
        Some(self.clone().after(Some(last.version)))
    }

    async fn read(&self, db: &Db, several: Option<&Several>) -> Result<StreamPage, ReadError> {
        read::stream(db, self, several).await
    }

    fn full(events: Vec<RecordedEvent>) -> StreamPage {
        StreamPage { events, end: false }
    }

    fn is_page(&self, last: &StreamPage, alone: bool) -> bool {
        !last.end && (alone || last.events.len() >= self.limit.events.max(1))
    }
}

/// The pages of a store that are read ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    logs: Lane<ReadLog>,
    streams: Lane<ReadStream>,
}

impl Ahead {
    /// Shares its connections with those who wait: it takes a part of them at most. Whoever waits for a page longer than
    /// `patience` reads it without its help.
    pub(crate) fn new(connections: u32, patience: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        let (logs, streams) = ((connections / 2).clamp(1, 8), (connections / 4).clamp(1, 4));
        Self { logs: Lane::new(logs, patience), streams: Lane::new(streams, patience) }
    }

    pub(crate) async fn log(&self, db: &Db, read: ReadLog) -> Result<LogPage, ReadError> {
        self.logs.page(db, read).await
    }

    pub(crate) async fn stream(&self, db: &Db, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.streams.page(db, read).await
    }

    /// Drops what is not used yet.
    pub(crate) fn clear(&self) {
        self.logs.state().followed.clear();
        self.streams.state().followed.clear();
    }
}

#[derive(Debug)]
struct Lane<R: Request> {
    state: Mutex<State<R>>,
    max: usize,
    patience: Duration,
}

#[derive(Debug)]
struct State<R: Request> {
    /// The requests that would each be the second one of a reader.
    expected: VecDeque<R>,
    /// What each reader that is followed will ask for, and who has it.
    followed: Vec<(R, Claims<R::Page>)>,
}

/// Asks for the next page of those that are on their way. The task that reads them ends when this is dropped.
type Claims<P> = mpsc::Sender<oneshot::Sender<P>>;

impl<R: Request> Lane<R> {
    fn new(max: usize, patience: Duration) -> Self {
        let state = State { expected: VecDeque::new(), followed: Vec::new() };
        Self { state: Mutex::new(state), max, patience }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn page(&self, db: &Db, read: R) -> Result<R::Page, ReadError> {
        if let Some(claims) = self.claims(db, &read)
            && let Some(page) = collect(&claims, self.patience).await
        {
            if let Some(next) = read.next(&page) {
                self.state().followed.push((next, claims));
            }
            return Ok(page);
        }
        let page = read.read(db, None).await?;
        if let Some(next) = read.next(&page) {
            self.state().expect(next);
        }
        Ok(page)
    }

    /// Who has the page: whoever follows this reader already, or, if it is the second one of a reader, from now on.
    fn claims(&self, db: &Db, read: &R) -> Option<Claims<R::Page>> {
        let mut state = self.state();
        state.followed.retain(|(_, claims)| !claims.is_closed());
        if let Some(n) = state.followed.iter().position(|(next, _)| next == read) {
            return Some(state.followed.swap_remove(n).1);
        }
        let expected = state.expected.iter().position(|next| next == read)?;
        state.expected.remove(expected);
        if state.followed.len() >= self.max {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let (claims, claimed) = mpsc::channel(1);
        runtime.spawn(follow(db.clone(), read.clone(), claimed));
        Some(claims)
    }
}

impl<R: Request> State<R> {
    fn expect(&mut self, next: R) {
        if self.expected.len() == READERS {
            self.expected.pop_front();
        }
        self.expected.push_back(next);
    }
}

/// Reads what follows, a little faster than it is asked for, until a page is not full, a read fails or nobody asks any more.
/// Whoever gets no answer reads by itself, and is told why there is none.
async fn follow<R: Request>(db: Db, first: R, mut claims: mpsc::Receiver<oneshot::Sender<R::Page>>) {
    let mut pages: VecDeque<R::Page> = VecDeque::new();
    let mut claim: Option<oneshot::Sender<R::Page>> = None;
    let mut statement: Option<Statement<R>> = None;
    let texts = Arc::default();
    let (mut next, mut together, mut came) = (Some(first), 1, 0);
    loop {
        // As soon as no more is held than came last: the server is not left waiting, and more is never held than two statements
        // bring, however large the events are.
        if statement.is_none()
            && pages.len() <= came
            && let Some(read) = next.take()
        {
            statement = Some(Statement::new(&db, read, together, Arc::clone(&texts)));
            together = (together * 2).min(TOGETHER);
        }
        if claim.is_some()
            && let Some(page) = pages.pop_front()
        {
            let _ = claim.take().map(|claim| claim.send(page));
            continue;
        }
        if pages.is_empty() && statement.is_none() {
            return;
        }
        select! {
            page = come(&mut statement), if statement.is_some() => match page {
                Some(page) => pages.push_back(page),
                None => (next, came) = statement.take().map_or((None, 0), Statement::end),
            },
            claimed = timeout(KEEP, claims.recv()), if claim.is_none() => match claimed {
                Ok(Some(claimed)) => claim = Some(claimed),
                _ => return,
            },
        }
    }
}

/// A statement that is under way, for so many pages.
struct Statement<R: Request> {
    /// What its last page ends.
    reading: Pin<Box<dyn Future<Output = Result<R::Page, ReadError>> + Send>>,
    full: mpsc::UnboundedReceiver<Vec<RecordedEvent>>,
    /// The request for the page after the last one that came; `None` where none is to follow.
    next: Option<R>,
    came: usize,
    ended: bool,
}

impl<R: Request> Statement<R> {
    fn new(db: &Db, read: R, pages: usize, texts: Arc<Mutex<Option<Texts>>>) -> Self {
        let (sender, full) = mpsc::unbounded_channel();
        let (db, next) = (db.clone(), Some(read.clone()));
        let reading = Box::pin(async move { read.read(&db, Some(&Several { pages, full: sender, texts })).await });
        Self { reading, full, next, came: 0, ended: false }
    }

    /// The next page; `None` at the end.
    async fn page(&mut self) -> Option<R::Page> {
        if self.ended {
            return None;
        }
        let page = select! {
            biased;
            Some(events) = self.full.recv() => R::full(events),
            last = &mut self.reading => {
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
        self.next = self.next.take().and_then(|read| read.next(&page));
        self.next.as_ref()?;
        self.came += 1;
        Some(page)
    }

    /// What is to be read next, and how many pages came.
    fn end(self) -> (Option<R>, usize) {
        (self.next, self.came)
    }
}

async fn come<R: Request>(statement: &mut Option<Statement<R>>) -> Option<R::Page> {
    match statement {
        Some(statement) => statement.page().await,
        None => None,
    }
}

async fn collect<P>(claims: &Claims<P>, patience: Duration) -> Option<P> {
    let (reader, page) = oneshot::channel();
    claims.try_send(reader).ok()?;
    timeout(patience, page).await.ok()?.ok()
}
