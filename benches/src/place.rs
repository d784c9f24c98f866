//! Where the data of a measurement lies.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum::{EventStore, ReadModelStore};
use factum_memory::MemoryStore;
use factum_postgres::PostgresStore;
use factum_postgres_server::{Database, Server, ServerError, ServerOptions};
use factum_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use crate::Result;
use crate::child::runtime;
use crate::work::{DELAY, StoreKind, Workload};

/// Where; told from process to process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    Memory,
    /// A folder.
    Sqlite(PathBuf),
    /// A database, and a folder on the same disk.
    Postgres {
        url: String,
        folder: PathBuf,
    },
}

/// A store of ours.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) events: Arc<dyn EventStore>,
    pub(crate) read_models: Arc<dyn ReadModelStore>,
}

impl Store {
    fn of<S: EventStore + ReadModelStore>(store: S) -> Self {
        let store = Arc::new(store);
        Self { events: store.clone(), read_models: store }
    }
}

impl Place {
    pub(crate) fn kind(&self) -> StoreKind {
        match self {
            Self::Memory => StoreKind::Memory,
            Self::Sqlite(_) => StoreKind::Sqlite,
            Self::Postgres { .. } => StoreKind::Postgres,
        }
    }

    /// The store of ours there; an empty one where there is none yet.
    pub(crate) async fn open(&self) -> Result<Store> {
        Ok(match self {
            Self::Memory => Store::of(MemoryStore::new()),
            Self::Sqlite(folder) => Store::of(SqliteStore::open(ours(folder))?),
            Self::Postgres { url, .. } => {
                PostgresStore::migrate(url).await?;
                Store::of(PostgresStore::connect(url).await?)
            }
        })
    }
}

/// The file of ours in a folder.
pub(crate) fn ours(folder: &Path) -> PathBuf {
    folder.join("ours.db")
}

/// Makes places, each with nothing in it.
#[derive(Debug)]
pub(crate) struct Places {
    folder: PathBuf,
    /// One that nobody else uses, once one is needed.
    server: OnceCell<Server>,
    /// All measurements use it one after the other.
    database: OnceCell<Database>,
    /// The same, where commits are delayed.
    delayed: OnceCell<Database>,
}

/// A place; its folder is cleared away with this value, its database when the next one is lent.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) place: Place,
    _folder: Option<TempDir>,
}

impl Places {
    /// In this folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, server: OnceCell::new(), database: OnceCell::new(), delayed: OnceCell::new() }
    }

    /// In this folder, and on this server.
    #[cfg(test)]
    pub(crate) fn on(server: Server, folder: PathBuf) -> Self {
        Self { server: OnceCell::from(server), ..Self::new(folder) }
    }

    /// A new one for a workload. Nothing lent before for a workload on Postgres may be in use.
    pub(crate) fn lend(&self, workload: &Workload) -> Result<Lent> {
        if workload.store == StoreKind::Memory {
            return Ok(Lent { place: Place::Memory, _folder: None });
        }
        let folder = tempfile::Builder::new().prefix("factum-bench-").tempdir_in(&self.folder)?;
        let path = folder.path().to_path_buf();
        let place = match workload.store {
            StoreKind::Postgres => Place::Postgres { url: self.cleared(workload.delayed)?, folder: path },
            _ => Place::Sqlite(path),
        };
        Ok(Lent { place, _folder: Some(folder) })
    }

    /// The database, with nothing in it.
    fn cleared(&self, delayed: bool) -> Result<String> {
        let url = self.database(delayed)?.url();
        let clear = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS raw CASCADE; DROP SCHEMA IF EXISTS factum CASCADE";
        runtime()?.block_on(execute(&url, clear.to_owned()))?;
        Ok(url)
    }

    fn database(&self, delayed: bool) -> Result<&Database> {
        let place = if delayed { &self.delayed } else { &self.database };
        if let Some(database) = place.get() {
            return Ok(database);
        }
        let database = runtime()?.block_on(new_database(self.server()?, delayed))?;
        Ok(place.get_or_init(|| database))
    }

    /// With everything that Postgres promises: fsync, synchronous_commit, and its other defaults.
    fn server(&self) -> Result<&Server> {
        if let Some(server) = self.server.get() {
            return Ok(server);
        }
        let server = match Server::start(&ServerOptions::default().data_below(&self.folder)) {
            // The account that the server runs as does not get there.
            Err(ServerError::NoFolder { .. }) => Server::start(&ServerOptions::default())?,
            started => started?,
        };
        Ok(self.server.get_or_init(|| server))
    }
}

async fn new_database(server: &Server, delayed: bool) -> Result<Database> {
    let database = server.empty_database().await?;
    if delayed {
        // Whoever writes the log to the disk waits before, whether or not others are about to commit.
        let (name, delay) = (database.name(), DELAY.as_micros());
        let settings = [("commit_delay", delay), ("commit_siblings", 0)];
        for (setting, value) in settings {
            execute(&database.url(), format!("ALTER DATABASE {name} SET {setting} = {value}")).await?;
        }
    }
    Ok(database)
}

async fn execute(url: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(connection.close().await?)
}
