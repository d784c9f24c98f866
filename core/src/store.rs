//! The port to an event store, and its errors.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::append::{Append, Appended, Condition, Key, Remembered};
use crate::event::RecordedEvent;
use crate::fault::Fault;
use crate::finding::Finding;
use crate::limits::{InputError, Limits};
use crate::place::{Cursor, LogId, Position, Version};
use crate::read::{LogPage, ReadLog, ReadStream, StreamPage};
use crate::snapshot::SnapshotStore;
use crate::stream::StreamId;
use crate::wake::Wakeups;

/// The identity of a store's data: made once when the store is created, and kept with the data.
///
/// A read model remembers it, so that one that is pointed at other data says so instead of folding on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(Uuid);

impl StoreId {
    /// A new identity for a new store.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The identity as a UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for StoreId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for StoreId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a store promises beyond the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Positions of each log are 1, 2, 3 ... without gaps.
    pub dense_positions: bool,
    /// What was appended is still there when the process or the machine stops.
    pub durable: bool,
}

impl Capabilities {
    /// With or without dense positions.
    #[must_use]
    pub fn dense_positions(mut self, dense: bool) -> Self {
        self.dense_positions = dense;
        self
    }

    /// With or without durability.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }
}

/// An append-only store of events.
///
/// Whoever implements it owes, beside what each method says:
///
/// - `complete-order`: within a log, a reader that has seen position p has seen all that will ever be below p;
/// - `conflict-or-append`: an append is recorded whole, or a condition is reported and nothing is;
/// - `no-lost-append`: what was answered is there, in order, for good;
/// - `what-goes-in-comes-out`: id, type, schema version, payload, metadata and tags are given back as they were, times
///   to the microsecond;
/// - `recorded_at` does not decrease within a log;
/// - a future that is dropped leaves the store whole: its append happens or does not.
///
/// The crate `factum-conformance` holds suites that prove these.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// Records a set of writes atomically, in this order: [`Append::check`]; under the order lock the key, whose
    /// first outcome is answered if there is one; the conditions; the writes.
    ///
    /// An append, its query condition and its key live within one log.
    ///
    /// # Errors
    /// [`AppendError`]; after every variant but `Unknown` nothing was recorded.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// What became of the command with this key, where one was recorded and is still kept.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError>;

    /// A page of one stream, by version. A stream that does not exist is empty.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError>;

    /// A page of one log, by position, filtered. The page says how far it has looked, so that a filter that matches
    /// nothing still moves forward.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError>;

    /// The events at these positions of a log, in ascending order; a position that holds none is left out.
    /// Callers ask for at most [`MAX_POSITIONS`](crate::MAX_POSITIONS) at once.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError>;

    /// The position of the last event of each log.
    ///
    /// # Errors
    /// [`ReadError`].
    async fn head(&self) -> Result<Cursor, ReadError>;

    /// A signal that something may have been appended. It may come too often or not at all (other processes):
    /// a slow poll stands behind it.
    fn wakeups(&self) -> Wakeups;

    /// The identity of the data.
    fn id(&self) -> StoreId;

    /// The logs, in ascending order; at least one.
    fn logs(&self) -> Vec<LogId>;

    /// What is promised beyond the port.
    fn capabilities(&self) -> Capabilities;

    /// The limits that this store was configured with.
    fn limits(&self) -> Limits;

    /// Where snapshots of aggregates are kept, if they are.
    fn snapshots(&self) -> Option<&dyn SnapshotStore>;

    /// What this store finds when it looks at itself: who holds up its appends and reads, what it may not do, what will
    /// go wrong soon. Only looks, and takes a few seconds at most. A store that is well finds no
    /// [`Problem`](crate::Severity::Problem).
    ///
    /// # Errors
    /// [`Fault`] where it cannot even look.
    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        Ok(Vec::new())
    }

    /// Takes no more work, finishes what it has taken, and returns when that is done. Calls after it fail with a
    /// fault of kind [`Closed`](crate::FaultKind::Closed). Closing twice is closing once.
    ///
    /// # Errors
    /// [`CloseError`] where what was taken could not be finished.
    async fn close(&self) -> Result<(), CloseError>;
}

/// Why an append was not recorded, or may not have been.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A stream was not as the append expected it.
    #[error("conflict: stream {stream} should have been at {expected} and is at {}", show_version(*.actual))]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What was expected of it.
        expected: Condition,
        /// Its last version.
        actual: Option<Version>,
    },
    /// An event that matches the query condition came after the cursor of that condition.
    #[error("conflict: event {event_type} of {stream} at position {found} of log {log} came after position {after}")]
    QueryConflict {
        /// The log.
        log: LogId,
        /// Up to where the decision had looked.
        after: Position,
        /// The position of an event that it did not see.
        found: Position,
        /// The stream of that event.
        stream: StreamId,
        /// The type of that event.
        event_type: String,
    },
    /// The key was used before for a command with other content.
    #[error("the key {key} was used before for another command; a new command needs a new key")]
    KeyReused {
        /// The key.
        key: Key,
    },
    /// The streams, the query condition or the key lie in more than one log.
    #[error("one append cannot span logs: {what}; split it, or place its streams under one tenant")]
    SpansLogs {
        /// What lies where.
        what: String,
    },
    /// The input is such that no store takes it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store failed, and nothing was recorded.
    #[error("the append was not recorded: {0}")]
    NotDone(#[source] Fault),
    /// The store failed in a way that leaves open whether it was recorded. Ask for the key or for the first event id.
    #[error(
        "it is unknown whether the append was recorded: {0}; ask for its key, or for its first event, before sending it again"
    )]
    Unknown(#[source] Fault),
}

impl AppendError {
    /// Whether a condition did not hold, so that deciding again on fresh state may succeed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::QueryConflict { .. })
    }
}

pub(crate) fn show_version(version: Option<Version>) -> String {
    version.map_or_else(|| "no event".to_owned(), |version| format!("version {version}"))
}

/// Why something could not be read.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store has no such log.
    #[error("this store has no log {log}")]
    NoSuchLog {
        /// The log that was asked for.
        log: LogId,
    },
    /// What is stored cannot be what was recorded.
    #[error("the event at position {position} of log {log} is damaged: {what}; restore it from a backup")]
    Damaged {
        /// The log.
        log: LogId,
        /// The position.
        position: Position,
        /// What is wrong with it.
        what: String,
    },
    /// The input is such that no store takes it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store failed.
    #[error("reading failed: {0}")]
    Fault(#[from] Fault),
}

impl ReadError {
    /// Whether the same call may work later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.is_transient())
    }
}

/// Why a store could not finish what it had taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The store failed while closing.
    #[error("the store did not close cleanly: {0}")]
    Fault(#[from] Fault),
}
