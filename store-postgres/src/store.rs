//! The store: connections that read, a writer that appends.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Append, AppendError, Appended, Capabilities, CloseError, Cursor, EventStore, Key, Limits, LogId, LogPage, Position,
    ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore, StoreId, StreamPage, Wakeups,
};
use sqlx::Connection;

use crate::ahead::Ahead;
use crate::commit::Commits;
use crate::db::{Db, connect_once};
use crate::error::{ConnectError, fault};
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
    pub(crate) writer: Writer,
    pub(crate) head: Arc<AtomicI64>,
    pub(crate) sweeper: Sweeper,
    wake: Wake,
    ahead: Ahead,
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
        let look = migrate::check(&mut conn, &db.schema, options.read_only).await?;
        // What waits here may change with each use of a connection; the writer has its own.
        conn.close().await.map_err(fault)?;
        let head = Arc::new(AtomicI64::new(0));
        let link = Link::open(&db).await.map_err(fault)?;
        let wake = Wake::start(&db, options.poll, Arc::clone(&head));
        let patience = options.acquire_timeout;
        let commits = Commits::new(db.clone(), options.key_retention, patience, Arc::clone(&head), wake.ringer());
        let writer = Writer::new(commits, link, options.queue, options.group_appends, options.group_bytes);
        Ok(Self {
            db,
            id: StoreId::from(look.store),
            limits: options.limits,
            retention: options.key_retention,
            append_in_timeout: options.append_in_timeout,
            writer,
            head,
            sweeper: Sweeper::default(),
            wake,
            ahead: Ahead::new(options.connections, options.acquire_timeout),
        })
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.limits)?;
        self.writer.append(append).await
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

    async fn close(&self) -> Result<(), CloseError> {
        // The writer first: what it commits is still told.
        self.writer.close().await;
        self.wake.close().await;
        self.ahead.clear();
        self.db.close().await;
        Ok(())
    }
}
