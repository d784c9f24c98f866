//! A store whose reads of the log can be made to fail or to hang, and that can be restored from a backup.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Fault, FaultKind, Key, Limits, LogId,
    LogPage, Position, ReadError, ReadLog, ReadStream, RecordedEvent, SnapshotStore, StoreId, StreamPage, Wakeups,
};
use factum_memory::MemoryStore;
use tokio::sync::Notify;

pub struct Faulty {
    id: StoreId,
    inner: Mutex<Arc<MemoryStore>>,
    /// How many reads fail from now on; below 0 they hang.
    failing: AtomicI64,
    reads: AtomicU64,
    /// Where a page of the log comes only once somebody looks at a position.
    beside: Mutex<Option<Arc<Notify>>>,
    /// What is done once, the next time that somebody asks for the logs.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Faulty {
    pub fn new(inner: Arc<MemoryStore>) -> Self {
        let (failing, reads, beside) = (AtomicI64::new(0), AtomicU64::new(0), Mutex::default());
        let (id, meanwhile) = (EventStore::id(&*inner), Mutex::default());
        Self { id, inner: Mutex::new(inner), failing, reads, beside, meanwhile }
    }

    fn inner(&self) -> Arc<MemoryStore> {
        self.inner.lock().unwrap().clone()
    }

    /// From now on it holds other events, as the same store.
    pub fn restore(&self, other: Arc<MemoryStore>) {
        *self.inner.lock().unwrap() = other;
    }

    pub fn fail(&self, reads: i64) {
        self.failing.store(reads, Ordering::SeqCst);
    }

    /// Does something while somebody looks back, between two reads of the read model.
    pub fn meanwhile(&self, what: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(what));
    }

    /// From now on each page of the log comes once somebody looks at a position beside.
    pub fn only_beside(&self) {
        *self.beside.lock().unwrap() = Some(Arc::default());
    }

    fn beside(&self) -> Option<Arc<Notify>> {
        self.beside.lock().unwrap().clone()
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
        self.inner().append(append).await
    }

    async fn outcome(&self, key: &Key) -> Result<Option<factum::Remembered>, ReadError> {
        self.inner().outcome(key).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.inner().read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if let Some(beside) = self.beside() {
            beside.notified().await;
        }
        match self.failing.load(Ordering::SeqCst) {
            0 => self.inner().read_log(read).await,
            1.. => {
                self.failing.fetch_sub(1, Ordering::SeqCst);
                Err(Fault::new(FaultKind::Unavailable, "the store is too busy").into())
            }
            _ => std::future::pending().await,
        }
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        if let Some(beside) = self.beside() {
            beside.notify_one();
        }
        self.inner().read_positions(log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.inner().head().await
    }

    fn wakeups(&self) -> Wakeups {
        self.inner().wakeups()
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn logs(&self) -> Vec<LogId> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(what) = meanwhile {
            what();
        }
        self.inner().logs()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner().capabilities()
    }

    fn limits(&self) -> Limits {
        self.inner().limits()
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        None
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, Fault> {
        EventStore::diagnose(&*self.inner()).await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.inner().close().await
    }
}
