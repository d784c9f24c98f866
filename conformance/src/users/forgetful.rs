//! A store whose answers get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Fault, FaultKind, Key, Limits, LogId,
    LogPage, Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore, StoreId, StreamPage,
    Wakeups,
};

/// Another store, whose connection breaks around the next appends: their outcome is unknown to the caller.
pub(crate) struct Forgetful {
    store: Arc<dyn EventStore>,
    /// How many answers get lost after their append was recorded.
    after: AtomicU32,
    /// How many appends get lost before.
    before: AtomicU32,
}

impl Forgetful {
    pub(crate) fn new(store: &Arc<dyn EventStore>, before: u32, after: u32) -> Arc<Self> {
        Arc::new(Self { store: store.clone(), after: after.into(), before: before.into() })
    }
}

fn one_of(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn lost() -> AppendError {
    AppendError::Unknown(Fault::new(FaultKind::Unavailable, "the connection broke"))
}

#[async_trait]
impl EventStore for Forgetful {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if one_of(&self.before) {
            return Err(lost());
        }
        let answer = self.store.append(append).await?;
        if one_of(&self.after) { Err(lost()) } else { Ok(answer) }
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        self.store.outcome(key).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.store.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.store.read_log(read).await
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read_positions(log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.store.head().await
    }

    fn wakeups(&self) -> Wakeups {
        self.store.wakeups()
    }

    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn logs(&self) -> Vec<LogId> {
        self.store.logs()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        self.store.snapshots()
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, Fault> {
        self.store.diagnose().await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.store.close().await
    }
}
