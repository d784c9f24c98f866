//! Reading ahead: the page that follows is on its way while the last one is used.
//!
//! It begins with the second page that follows another, so that a single page costs nothing more, and goes on for as long as
//! the pages are full. A full page never changes, since nothing is ever recorded below a position or a version that was seen;
//! one that is not full is never given from here, but read anew.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum::{Direction, LogPage, ReadError, ReadLog, ReadStream, StreamPage};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::db::Db;
use crate::read;

/// How long a page is kept that nobody asks for.
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

    fn read(&self, db: &Db) -> impl Future<Output = Result<Self::Page, ReadError>> + Send;
}

impl Request for ReadLog {
    type Page = LogPage;

    fn next(&self, page: &LogPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward && self.limit.bytes <= MAX_BYTES;
        let reached = page.reached.filter(|_| forward && !page.end)?;
        Some(Self { after: reached.position, ..self.clone() })
    }

    async fn read(&self, db: &Db) -> Result<LogPage, ReadError> {
        read::log(db, self).await
    }
}

impl Request for ReadStream {
    type Page = StreamPage;

    fn next(&self, page: &StreamPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward && self.limit.bytes <= MAX_BYTES;
        let last = page.events.last().filter(|_| forward && !page.end)?;
        Some(self.clone().after(Some(last.version)))
    }

    async fn read(&self, db: &Db) -> Result<StreamPage, ReadError> {
        read::stream(db, self).await
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
        self.logs.state().on_their_way.clear();
        self.streams.state().on_their_way.clear();
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
    on_their_way: Vec<(R, Claim<R::Page>)>,
}

/// The right to a page that is on its way. The task that reads it ends when this is dropped.
type Claim<P> = oneshot::Sender<oneshot::Sender<P>>;

impl<R: Request> Lane<R> {
    fn new(max: usize, patience: Duration) -> Self {
        let state = State { expected: VecDeque::new(), on_their_way: Vec::new() };
        Self { state: Mutex::new(state), max, patience }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn page(&self, db: &Db, read: R) -> Result<R::Page, ReadError> {
        let (follows, claim) = self.state().take(&read);
        let ahead = match claim {
            Some(claim) => collect(claim, self.patience).await,
            None => None,
        };
        let page = match ahead {
            Some(page) => page,
            None => read.read(db).await?,
        };
        if let Some(next) = read.next(&page) {
            self.expect(db, next, follows);
        }
        Ok(page)
    }

    /// Starts to read a page ahead, or remembers that it would be one that follows another.
    fn expect(&self, db: &Db, next: R, follows: bool) {
        let mut state = self.state();
        state.on_their_way.retain(|(_, claim)| !claim.is_closed());
        match Handle::try_current() {
            Ok(runtime) if follows && state.on_their_way.len() < self.max => {
                let (claim, claimed) = oneshot::channel();
                runtime.spawn(fetch(db.clone(), next.clone(), claimed));
                state.on_their_way.push((next, claim));
            }
            _ => {
                if state.expected.len() == READERS {
                    state.expected.pop_front();
                }
                state.expected.push_back(next);
            }
        }
    }
}

impl<R: Request> State<R> {
    /// Whether a request follows another, and its page if that is on its way.
    fn take(&mut self, read: &R) -> (bool, Option<Claim<R::Page>>) {
        if let Some(n) = self.on_their_way.iter().position(|(known, _)| known == read) {
            return (true, Some(self.on_their_way.swap_remove(n).1));
        }
        let expected = self.expected.iter().position(|known| known == read);
        (expected.is_some_and(|n| self.expected.remove(n).is_some()), None)
    }
}

async fn fetch<R: Request>(db: Db, read: R, claimed: oneshot::Receiver<oneshot::Sender<R::Page>>) {
    let Ok(page) = read.read(&db).await else {
        // Whoever asks for it reads it again and is told.
        return;
    };
    // The connections of a store that was dropped are not kept open.
    drop(db);
    if read.next(&page).is_some()
        && let Ok(Ok(reader)) = timeout(KEEP, claimed).await
    {
        let _ = reader.send(page);
    }
}

async fn collect<P>(claim: Claim<P>, patience: Duration) -> Option<P> {
    let (reader, page) = oneshot::channel();
    claim.send(reader).ok()?;
    timeout(patience, page).await.ok()?.ok()
}
