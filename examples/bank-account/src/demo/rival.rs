//! A store in which a colleague is quicker, once: to see a conflict without having to wait for one.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Fault, Key, Limits, LogId, LogPage,
    Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore, StoreId, StreamPage, Wakeups,
};

/// Appends what the rival wants right before the first append that somebody else makes, and is `inner` otherwise.
pub(super) struct RivalStore {
    inner: Arc<dyn EventStore>,
    rival: Mutex<Option<Append>>,
}

impl RivalStore {
    pub(super) fn new(inner: Arc<dyn EventStore>, rival: Append) -> Self {
        Self { inner, rival: Mutex::new(Some(rival)) }
    }
}

#[async_trait]
impl EventStore for RivalStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let rival = self.rival.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(rival) = rival {
            self.inner.append(rival).await?;
        }
        self.inner.append(append).await
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        self.inner.outcome(key).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.inner.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.inner.read_log(read).await
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        self.inner.read_positions(log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.inner.head().await
    }

    fn wakeups(&self) -> Wakeups {
        self.inner.wakeups()
    }

    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn logs(&self) -> Vec<LogId> {
        self.inner.logs()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        self.inner.snapshots()
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, Fault> {
        self.inner.diagnose().await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.inner.close().await
    }
}
