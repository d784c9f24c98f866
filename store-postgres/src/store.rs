//! The store: connections that read, a writer that appends.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Fault, FaultKind, Finding, Key,
    Limits, LogId, LogPage, MeasuredAppend, Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered,
    SnapshotStore, StoreId, StreamPage, Wakeups,
};
use sqlx::Connection;

use crate::ahead::Ahead;
use crate::commit::Commits;
use crate::db::{Db, connect_once};
use crate::error::{ConnectError, fault};
use crate::forget::{self, Forgetting};
use crate::link::Link;
use crate::options::{KeyRetention, PostgresOptions};
use crate::sweep::Sweeper;
use crate::wake::Wake;
use crate::writer::Writer;
use crate::{keys, migrate, read};

/// An event store, snapshot store and read model store in one schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    pub(crate) db: Db,
    pub(crate) id: StoreId,
    pub(crate) limits: Limits,
    pub(crate) retention: KeyRetention,
    pub(crate) append_in_timeout: Duration,
    pub(crate) read_only: bool,
    pub(crate) writer: Writer,
    pub(crate) sweeper: Sweeper,
    wake: Wake,
    ahead: Ahead,
    _forgetting: Option<Forgetting>,
}

impl PostgresStore {
    /// Connects with the default options to a store that [`migrate`](Self::migrate) has set up.
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong and what to do.
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        PostgresOptions::new().connect(url).await
    }

    /// Sets up the schema `factum`, or brings it to what this release needs; see
    /// [`PostgresOptions::migrate`](crate::PostgresOptions::migrate).
    ///
    /// # Errors
    /// [`ConnectError`]; then nothing has changed.
    pub async fn migrate(url: &str) -> Result<(), ConnectError> {
        PostgresOptions::new().migrate(url).await
    }

    pub(crate) async fn with_options(url: &str, options: &PostgresOptions) -> Result<Self, ConnectError> {
        let db = Db::new(url, options)?;
        let mut conn = connect_once(url, options).await?;
        let look = migrate::check(&mut conn, &db.schema, options.read_only);
        let look = db.in_time(6, look, |silence| ConnectError::Unreachable(fault(silence))).await?;
        if look.replica && !options.read_only {
            return Err(ConnectError::Replica);
        }
        // What waits here may change with each use of a connection; the writer has its own.
        conn.close().await.map_err(fault)?;
        let head = Arc::new(AtomicI64::new(0));
        let link = match options.read_only {
            true => None,
            false => Some(db.in_time(3, Link::open(&db), |silence| silence).await.map_err(fault)?),
        };
        let wake = Wake::start(&db, options.poll, Arc::clone(&head));
        let patience = options.acquire_timeout;
        let commits = Commits::new(db.clone(), options.key_retention, patience, Arc::clone(&head), wake.ringer());
        let forgetting = (!options.read_only).then(|| Forgetting::start(&db, options.key_retention)).flatten();
        let writer = Writer::new(commits, link, options.queue, options.group_appends, options.group_bytes);
        Ok(Self {
            db,
            id: StoreId::from(look.store),
            limits: options.limits,
            retention: options.key_retention,
            append_in_timeout: options.append_in_timeout,
            read_only: options.read_only,
            writer,
            sweeper: Sweeper::default(),
            wake,
            ahead: Ahead::new(options.connections, options.acquire_timeout),
            _forgetting: forgetting,
        })
    }
}

impl PostgresStore {
    /// What can be said of an append without the server.
    pub(crate) fn check_append(&self, append: &Append) -> Result<(), AppendError> {
        append.check(&self.limits)?;
        if self.read_only {
            let what = "the store was opened with read_only()";
            return Err(AppendError::NotDone(Fault::new(FaultKind::ReadOnly, what)));
        }
        Ok(())
    }

    /// Deletes what is kept under keys whose time has passed, a little at a time, and says how many those were: nothing with
    /// [`KeyRetention::Forever`]. A store does this by itself about once a minute, for as long as the runtime lasts in which it
    /// was connected.
    ///
    /// # Errors
    /// [`Fault`]; what was deleted until then is deleted.
    pub async fn forget_keys(&self) -> Result<u64, Fault> {
        forget::forget(&self.db, self.retention).await
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.check_append(&append)?;
        let measured = MeasuredAppend::begin(&append);
        measured.end(self.writer.append(append).await)
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        Ok(keys::find(&self.db, key, keys::since(self.retention)).await?)
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.ahead.stream(&self.db, read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.ahead.log(&self.db, read).await
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        read::positions(&self.db, log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        read::head(&self.db).await
    }

    fn wakeups(&self) -> Wakeups {
        self.wake.wakeups()
    }

    fn id(&self) -> StoreId {
        self.id
    }

    fn logs(&self) -> Vec<LogId> {
        vec![LogId::FIRST]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().dense_positions(true).durable(true)
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        Some(self)
    }

    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        self.diagnose_events().await
    }

    async fn close(&self) -> Result<(), CloseError> {
        // The writer first: what it commits is still told.
        self.writer.close().await;
        self.wake.close().await;
        self.ahead.clear();
        self.db.close().await;
        Ok(())
    }
}
