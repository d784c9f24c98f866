//! A store that breaks one promise and keeps all others.

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Bell, Capabilities, CloseError, Cursor, EventStore, Fault, Key, Limits, LogId,
    LogPage, Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore, StoreId, StreamPage,
    Wakeups,
};
use factum_conformance::Fixture;
use factum_memory::{MemoryOptions, MemoryStore};

use crate::how::How;

/// The memory store behind a layer that breaks one thing. It can be closed and opened again on the same data.
pub(crate) struct Broken {
    pub(crate) inner: Arc<MemoryStore>,
    pub(crate) how: How,
    pub(crate) calls: AtomicU64,
    pub(crate) switched: AtomicBool,
    pub(crate) reported: Mutex<Option<factum::Failure>>,
    pub(crate) reopened: AtomicBool,
    bell: Mutex<Option<Bell>>,
    silent: Bell,
    closed: AtomicBool,
}

pub(crate) fn fixture(how: How, logs: u32) -> Fixture {
    let options = MemoryOptions::default().logs(logs);
    let options = match how {
        How::LivesElsewhen => options.clock(Arc::new(|| "1999-12-31T00:00:00Z".parse().unwrap())),
        How::TakesLargePayloads => options.limits(Limits::default().with_max_payload(usize::MAX)),
        _ => options,
    };
    over(how, Arc::new(MemoryStore::with(options)), logs)
}

fn over(how: How, inner: Arc<MemoryStore>, logs: u32) -> Fixture {
    let broken = Arc::new(Broken {
        inner: inner.clone(),
        how,
        calls: AtomicU64::new(0),
        switched: AtomicBool::new(false),
        reported: Mutex::default(),
        reopened: AtomicBool::new(false),
        bell: Mutex::new(Some(Bell::new())),
        silent: Bell::new(),
        closed: AtomicBool::new(false),
    });
    let again = move || {
        let inner = if how == How::ForgetsOnClosing { Arc::new(MemoryStore::with_logs(logs)) } else { inner.clone() };
        std::future::ready(over(how, inner, logs))
    };
    Fixture::new(broken).with_reopen(again)
}

impl Broken {
    fn open(&self) -> Result<(), Fault> {
        if self.closed.load(Ordering::SeqCst) && self.how != How::IgnoresClosing {
            return Err(Fault::closed("the store was closed"));
        }
        Ok(())
    }

    pub(crate) fn ring(&self) {
        if let Some(bell) = self.bell.lock().unwrap().as_ref() {
            bell.ring();
        }
    }
}

#[async_trait]
impl EventStore for Broken {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        if self.how == How::HangsAfterClosing && self.closed.load(Ordering::SeqCst) {
            return pending().await;
        }
        self.open().map_err(AppendError::NotDone)?;
        if self.how == How::ForgetsWhatItTook {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            if self.closed.load(Ordering::SeqCst) {
                return pending().await;
            }
        }
        if self.how == How::WakesTooEarly {
            self.ring();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            return self.broken_append(append).await;
        }
        let answer = self.broken_append(append).await;
        self.ring();
        answer
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        self.open()?;
        self.inner.outcome(&self.key(key.clone())).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.open()?;
        self.broken_read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.open()?;
        self.broken_read_log(read).await
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        self.open()?;
        self.broken_read_positions(log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.open()?;
        let head = self.inner.head().await?;
        Ok(match self.how {
            How::HasNoHead => Cursor::start(),
            How::HeadsTheFirstLog => Cursor::of(LogId::FIRST, head.get(LogId::FIRST)),
            _ => head,
        })
    }

    fn wakeups(&self) -> Wakeups {
        match self.bell.lock().unwrap().as_ref() {
            _ if matches!(self.how, How::NeverWakes) => self.silent.wakeups(),
            Some(bell) => bell.wakeups(),
            None => Bell::new().wakeups(),
        }
    }

    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn logs(&self) -> Vec<LogId> {
        let mut logs = self.inner.logs();
        if self.how == How::DeclaresTooManyLogs {
            logs.push(LogId::new(9));
        }
        logs
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities().durable(true)
    }

    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        Some(self)
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, Fault> {
        self.open()?;
        let mut found = EventStore::diagnose(&*self.inner).await?;
        if self.how == How::FindsAProblem {
            found.push(factum::Finding::new(factum::Severity::Problem, "made-up", "nothing works"));
        }
        Ok(found)
    }

    async fn close(&self) -> Result<(), CloseError> {
        if self.closed.swap(true, Ordering::SeqCst) && self.how == How::HangsOnClosingTwice {
            pending::<()>().await;
        }
        if self.how != How::ClosesInSilence {
            self.bell.lock().unwrap().take();
        }
        Ok(())
    }
}
