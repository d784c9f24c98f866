//! Reading ahead: what follows a page is on its way while the page is used.
//!
//! It begins with the second page that follows another, so that a single page costs nothing more, and goes on for as long as
//! the pages are full: one statement brings many of them, and the server makes the next ones while the last one is used, as
//! far as the connection takes them. Whoever asks for a page takes it from the connection: no other task is woken for it. A
//! full page never changes, since nothing is ever recorded below a position or a version that was seen; one that is not full
//! is never given from here, but read anew.

mod idle;
mod reader;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use factum::{Direction, LogPage, Mark, ReadError, ReadLog, ReadStream, RecordedEvent, StreamPage};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::db::Db;
use crate::read::{self, Several};
use reader::Reader;

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

    /// Whether most of what lies between is in the page.
    fn is_dense(&self, page: &Self::Page) -> bool;
}

impl Request for ReadLog {
    type Page = LogPage;

    fn next(&self, page: &LogPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward;
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

    fn is_dense(&self, page: &LogPage) -> bool {
        let looked_at =
            page.reached.map_or(u64::MAX, |reached| reached.position.get().saturating_sub(self.after.get()));
        page.events.len() as u64 >= looked_at / 4 * 3
    }
}

impl Request for ReadStream {
    type Page = StreamPage;

    fn next(&self, page: &StreamPage) -> Option<Self> {
        let forward = self.direction == Direction::Forward;
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

    fn is_dense(&self, _: &StreamPage) -> bool {
        true
    }
}

/// The pages of a store that are read ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    logs: Lane<ReadLog>,
    streams: Lane<ReadStream>,
}

impl Ahead {
    /// A reader may hold a connection between two pages: some are always left to others, and where there is one, nothing is read
    /// ahead. Whoever waits for a page longer than `patience` reads it without its help.
    pub(crate) fn new(connections: u32, patience: Duration) -> Self {
        let connections = usize::try_from(connections).unwrap_or(usize::MAX);
        let (logs, streams) = ((connections / 2).min(8), (connections / 4).min(4));
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
    /// How many readers are followed at most.
    places: Arc<Semaphore>,
    patience: Duration,
}

#[derive(Debug)]
struct State<R: Request> {
    /// The requests that would each be the second one of a reader.
    expected: VecDeque<R>,
    /// What each reader that is followed will ask for.
    followed: Vec<(R, Reader<R>)>,
}

impl<R: Request> Lane<R> {
    fn new(places: usize, patience: Duration) -> Self {
        let state = State { expected: VecDeque::new(), followed: Vec::new() };
        Self { state: Mutex::new(state), places: Arc::new(Semaphore::new(places)), patience }
    }

    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn page(&self, db: &Db, read: R) -> Result<R::Page, ReadError> {
        if let Some(reader) = self.reader(db, &read)
            && let Some(page) = timeout(self.patience, reader.page()).await.ok().flatten()
        {
            if let Some(next) = read.next(&page) {
                self.state().followed.push((next, reader));
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
    fn reader(&self, db: &Db, read: &R) -> Option<Reader<R>> {
        let mut state = self.state();
        state.followed.retain(|(_, reader)| !reader.is_over());
        if let Some(n) = state.followed.iter().position(|(next, reader)| next == read && reader.is_here()) {
            return Some(state.followed.swap_remove(n).1);
        }
        let expected = state.expected.iter().position(|next| next == read)?;
        state.expected.remove(expected);
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        Reader::begin(db.clone(), read.clone(), place, self.patience)
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
