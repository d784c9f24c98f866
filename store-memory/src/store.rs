//! The store: what it holds, and its ports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Bell, Capabilities, CloseError, Cursor, EventStore, Fault, Finding, Key, Limits,
    LogId, LogPage, MeasuredAppend, Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore,
    StoreId, StreamPage, Wakeups, to_micros,
};

use crate::append::Events;
use crate::options::MemoryOptions;
use crate::read_models::ReadModels;
use crate::snapshots::Snapshots;

/// A store in memory: events, keys, snapshots and read models, gone with the process.
///
/// Shared as `Arc<MemoryStore>` it is an [`EventStore`] and a [`ReadModelStore`](factum::ReadModelStore).
#[derive(Debug)]
pub struct MemoryStore {
    pub(crate) options: MemoryOptions,
    id: StoreId,
    /// `None` once the store is closed, so that whoever waits for a wake-up is told.
    bell: Mutex<Option<Bell>>,
    closed: AtomicBool,
    /// Its mutex is the order lock.
    events: Mutex<Events>,
    pub(crate) snapshots: Mutex<Snapshots>,
    pub(crate) read_models: Mutex<ReadModels>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with one log.
    pub fn new() -> Self {
        Self::with(MemoryOptions::default())
    }

    /// An empty store with several logs (at least one). A stream lives in the one that its tenant chooses, or its id
    /// where it belongs to the default tenant.
    pub fn with_logs(logs: u32) -> Self {
        Self::with(MemoryOptions::default().logs(logs))
    }

    /// An empty store.
    pub fn with(options: MemoryOptions) -> Self {
        let events = Events::new(options.logs);
        Self {
            options,
            id: StoreId::generate(),
            bell: Mutex::new(Some(Bell::new())),
            closed: AtomicBool::new(false),
            events: Mutex::new(events),
            snapshots: Mutex::default(),
            read_models: Mutex::default(),
        }
    }

    /// Takes one of the locks. Closing looks at the flag in the same order: it is set first, then each lock is waited
    /// for, so what got past here before is finished and what comes later is refused.
    pub(crate) fn lock<'a, T>(&self, part: &'a Mutex<T>) -> Result<MutexGuard<'a, T>, Fault> {
        let guard = ignore_poison(part);
        if self.closed.load(Ordering::SeqCst) {
            return Err(Fault::closed("the memory store was closed"));
        }
        Ok(guard)
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        to_micros((self.options.clock)())
    }
}

/// No code here panics between two changes that belong together, so a poisoned lock guards a whole state.
fn ignore_poison<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.options.limits)?;
        let (now, measured) = (self.now(), MeasuredAppend::begin(&append));
        let answer = match self.lock(&self.events) {
            Ok(mut events) => events.append(append, now),
            Err(closed) => Err(AppendError::NotDone(closed)),
        };
        let appended = measured.end(answer)?;
        if let (false, Some(bell)) = (appended.already, ignore_poison(&self.bell).as_ref()) {
            bell.ring();
        }
        Ok(appended)
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        Ok(self.lock(&self.events)?.outcome(key))
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        Ok(self.lock(&self.events)?.read_stream(&read))
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.lock(&self.events)?.read_log(&read)
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        self.lock(&self.events)?.read_positions(log, positions)
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        Ok(self.lock(&self.events)?.head())
    }

    fn wakeups(&self) -> Wakeups {
        // A bell that is dropped at once tells its listener that the store has ended.
        ignore_poison(&self.bell).as_ref().map_or_else(|| Bell::new().wakeups(), Bell::wakeups)
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn logs(&self) -> Vec<LogId> {
        (0..self.options.logs).map(LogId::new).collect()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().dense_positions(true)
    }

    fn limits(&self) -> Limits {
        self.options.limits
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        Some(self)
    }

    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        self.lock(&self.events).map(|_| Vec::new())
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.closed.store(true, Ordering::SeqCst);
        drop(ignore_poison(&self.events));
        drop(ignore_poison(&self.snapshots));
        drop(ignore_poison(&self.read_models));
        ignore_poison(&self.bell).take();
        Ok(())
    }
}
