//! Commands and appends.

use factum::{Append, Condition, Context, EventStore, Key, Repository, StreamId, Version};
use std::sync::Arc;

use crate::Result;
use crate::bank::{Account, Book};
use crate::place::{Place, Store};
use crate::prepare::{new_event, stream};
use crate::window::{Caller, together};
use crate::work::Size;

/// A task that sends commands to its accounts in turns.
pub(super) struct Commander {
    accounts: Repository<Account>,
    ids: Vec<String>,
    /// What the keys of its commands begin with, where they have one.
    keys: Option<String>,
    sent: usize,
}

impl Caller for Commander {
    async fn call(&mut self) -> Result<()> {
        let id = &self.ids[self.sent % self.ids.len()];
        let row = Book::numbered(self.sent as u64);
        self.sent += 1;
        let context = match &self.keys {
            None => Context::new(),
            Some(keys) => Context::new().key(Key::new(format!("{keys}-{}", self.sent))?, &row)?,
        };
        // One that lost every race is sent again, and counts once.
        loop {
            match self.accounts.execute_with(id, row.clone(), context.clone()).await {
                Err(error) if error.is_conflict() => {}
                done => return Ok(done.map(|_| ())?),
            }
        }
    }
}

/// As many aggregates as a service would keep.
const CACHED: usize = 10_000;

/// As a service has it, with a cache of hot aggregates.
pub(super) fn repository(store: &Store) -> Repository<Account> {
    Repository::new(store.events.clone()).cache(CACHED)
}

/// Tasks that share the streams of the workload, none with another. Each keyed one has keys that begin with its number.
pub(super) fn commanders(
    accounts: &Repository<Account>,
    tasks: std::ops::Range<usize>,
    of: usize,
    keyed: bool,
    size: Size,
) -> Vec<Commander> {
    let each = size.streams().div_ceil(of);
    let commander = |task: usize| Commander {
        accounts: accounts.clone(),
        ids: (0..each).map(|number| format!("{task}x{number}")).collect(),
        keys: keyed.then(|| task.to_string()),
        sent: 0,
    };
    tasks.map(commander).collect()
}

pub(super) async fn execute(store: &Store, tasks: usize, keyed: bool, place: &Place, size: Size) -> Result<f64> {
    let commanders = commanders(&repository(store), 0..tasks, tasks, keyed, size);
    let window = size.window(place.kind(), size.streams().div_ceil(tasks));
    together(commanders, window, async { Ok(()) }).await
}

pub(super) async fn hot(store: &Store, tasks: usize, place: &Place, size: Size) -> Result<f64> {
    let accounts = repository(store);
    let commander = |_| Commander { accounts: accounts.clone(), ids: vec!["hot".to_owned()], keys: None, sent: 0 };
    together((0..tasks).map(commander).collect(), size.window(place.kind(), 10), async { Ok(()) }).await
}

/// Appends events to its streams in turns, knowing the version of each.
struct Appender {
    store: Arc<dyn EventStore>,
    streams: Vec<(StreamId, Option<Version>)>,
    /// How many events one append holds.
    events: u64,
    sent: u64,
}

impl Appender {
    fn new(store: &Store, events: u64, streams: usize) -> Result<Self> {
        let streams = (0..streams).map(|number| Ok((stream(&number.to_string())?, None)));
        Ok(Self { store: store.events.clone(), streams: streams.collect::<Result<_>>()?, events, sent: 0 })
    }
}

impl Caller for Appender {
    async fn call(&mut self) -> Result<()> {
        let turn = usize::try_from(self.sent)? % self.streams.len();
        let (stream, version) = &mut self.streams[turn];
        let first = self.sent * self.events;
        let events: Result<Vec<_>> = (first..first + self.events).map(new_event).collect();
        let append = Append::to(stream.clone(), Condition::from(*version), events?);
        *version = self.store.append(append).await?.version(stream);
        self.sent += 1;
        Ok(())
    }
}

pub(super) async fn append(store: &Store, place: &Place, size: Size) -> Result<f64> {
    let appender = Appender::new(store, 1, size.streams())?;
    together(vec![appender], size.window(place.kind(), size.streams()), async { Ok(()) }).await
}

#[expect(clippy::cast_precision_loss, reason = "a small number")]
pub(super) async fn batches(store: &Store, events: usize, place: &Place, size: Size) -> Result<f64> {
    let appender = Appender::new(store, events as u64, size.streams())?;
    let mut window = size.window(place.kind(), 2);
    window.calls = window.calls.div_ceil(events as u64).max(2);
    Ok(together(vec![appender], window, async { Ok(()) }).await? * events as f64)
}
