//! A store whose reads of the log can be made to fail or to hang.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Fault, FaultKind, Key, Limits, LogId,
    LogPage, Position, ReadError, ReadLog, ReadStream, RecordedEvent, SnapshotStore, StoreId, StreamPage, Wakeups,
};
use factum_memory::MemoryStore;

pub struct Faulty {
    inner: Arc<MemoryStore>,
    /// How many reads fail from now on; below 0 they hang.
    failing: AtomicI64,
    reads: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<MemoryStore>) -> Self {
        Self { inner, failing: AtomicI64::new(0), reads: AtomicU64::new(0) }
    }

    pub fn fail(&self, reads: i64) {
        self.failing.store(reads, Ordering::SeqCst);
    }

    pub fn stall(&self) {
        self.fail(-1);
    }

    pub fn heal(&self) {
        self.fail(0);
    }

    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl EventStore for Faulty {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.inner.append(append).await
    }

    async fn outcome(&self, key: &Key) -> Result<Option<factum::Remembered>, ReadError> {
        self.inner.outcome(key).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.inner.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match self.failing.load(Ordering::SeqCst) {
            0 => self.inner.read_log(read).await,
            1.. => {
                self.failing.fetch_sub(1, Ordering::SeqCst);
                Err(Fault::new(FaultKind::Unavailable, "the store is too busy").into())
            }
            _ => std::future::pending().await,
        }
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
        EventStore::id(&*self.inner)
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
        EventStore::diagnose(&*self.inner).await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.inner.close().await
    }
}
