//! The store: a file, a thread that writes it, threads that read it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use factum::{
    Append, AppendError, Appended, Bell, Capabilities, CloseError, Cursor, EventStore, Fault, Finding, Key, Limits,
    LogId, LogPage, MeasuredAppend, Position, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered, SnapshotStore,
    StoreId, StreamPage, Wakeups,
};

use crate::append::{self, oldest};
use crate::error::OpenError;
use crate::options::{KeyRetention, SqliteOptions};
use crate::readers::Readers;
use crate::schema::{self, Mode};
use crate::watch::Watch;
use crate::writer::Writer;
use crate::{keys, read};

/// An event store, snapshot store and read model store in one SQLite file.
///
/// Every write is on disk before it is answered (see [`Synchronous`](crate::Synchronous)). Writes that wait at the same
/// time share one transaction, each with its own conditions and its own answer. Dropping the store ends its threads
/// when they have done what they had taken; [`close`](EventStore::close) also waits for that.
///
/// ```
/// use factum::EventStore;
///
/// # let directory = tempfile::tempdir()?;
/// let store = factum_sqlite::SqliteStore::open(directory.path().join("bank.db"))?;
/// assert!(store.capabilities().durable);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    /// Dropped first.
    watch: Watch,
    pub(crate) file: Arc<Path>,
    pub(crate) readers: Readers,
    pub(crate) writer: Writer,
    /// Gone once the store is closed, which ends every wait.
    bell: Mutex<Option<Arc<Bell>>>,
    id: StoreId,
    limits: Limits,
    /// In microseconds; `None`: forever.
    retention: Option<i64>,
}

impl SqliteStore {
    /// Opens a file with the default options, and makes it if it does not exist or is empty.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do; nothing was changed in it then.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, OpenError> {
        SqliteOptions::new().open(file)
    }

    pub(crate) fn with_options(file: &Path, options: SqliteOptions) -> Result<Self, OpenError> {
        let opened = schema::open(file, &options)?;
        let file: Arc<Path> = Arc::from(opened.file);
        let failed = |source| OpenError::sqlite(&file, source);
        let bell = Arc::new(Bell::new());
        let writer = if opened.mode == Mode::Write {
            let conn = schema::connect(&file, Mode::Write, 2_048, options.busy_timeout).map_err(failed)?;
            schema::prepare_writer(&conn, &options).map_err(failed)?;
            Writer::start(conn, Arc::clone(&file), Arc::clone(&bell), &options).map_err(failed)?
        } else {
            Writer::read_only(Arc::clone(&file))
        };
        let mode = if opened.mode == Mode::Write { Mode::Read } else { opened.mode };
        let connect = |_| schema::connect(&file, mode, 2_048, options.busy_timeout).map_err(failed);
        let connections = (0..options.readers).map(connect).collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::start(connections, Arc::clone(&file))
            .map_err(|source| OpenError::Io { file: file.to_path_buf(), source })?;
        let retention = match options.key_retention {
            KeyRetention::Forever => None,
            KeyRetention::For(time) => Some(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)),
        };
        tracing::debug!(file = %file.display(), store = %opened.id, mode = ?opened.mode, "opened a store");
        let bell = Mutex::new(Some(bell));
        let watch = Watch::new(Arc::clone(&file), mode == Mode::Read);
        Ok(Self { watch, file, readers, writer, bell, id: opened.id, limits: options.limits, retention })
    }

    /// The file, as an absolute path.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether it was opened for reading only: by its options, or because permissions leave no other way.
    pub fn is_read_only(&self) -> bool {
        self.writer.is_read_only()
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.limits)?;
        let size = append::size(&append);
        let (retention, measured) = (self.retention, MeasuredAppend::begin(&append));
        let answer = self.writer.append(size, move |inside| append::append(inside, &append, retention));
        measured.end(answer.await)
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        let key = key.clone();
        let oldest = oldest(Utc::now().timestamp_micros(), self.retention);
        let find = move |conn: &rusqlite::Connection| {
            let mut find_key = conn.prepare_cached(include_str!("sql/find_key.sql"))?;
            Ok(keys::find(conn, &mut find_key, &key, oldest)?)
        };
        self.readers.read(find).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.readers.read(move |conn| read::stream(conn, &read)).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        self.readers.read(move |conn| read::log(conn, &read)).await
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        let positions = positions.to_vec();
        self.readers.read(move |conn| read::positions(conn, log, &positions)).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.readers.read(|conn| Ok(Cursor::from(read::head(conn)?))).await
    }

    fn wakeups(&self) -> Wakeups {
        match &*self.bell.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bell) => {
                self.watch.ring(bell);
                bell.wakeups()
            }
            None => Bell::new().wakeups(),
        }
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
        self.look().await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.watch.close();
        // Readers first: the last connection to close is then one that can put the log into the file.
        self.readers.close().await;
        self.writer.close().await;
        self.bell.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }
}
