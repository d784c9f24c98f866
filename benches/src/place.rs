//! Where the data of a measurement lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum::{EventStore, ReadModelStore};
use factum_memory::MemoryStore;
use factum_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::work::StoreKind;

/// Where; told from process to process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    Memory,
    /// A folder.
    Sqlite(PathBuf),
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
        }
    }

    /// The store of ours there; an empty one where there is none yet.
    pub(crate) async fn open(&self) -> Result<Store> {
        Ok(match self {
            Self::Memory => Store::of(MemoryStore::new()),
            Self::Sqlite(folder) => Store::of(SqliteStore::open(ours(folder))?),
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
}

/// A place that is cleared away with this value.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) place: Place,
    _folder: Option<tempfile::TempDir>,
}

impl Places {
    /// In this folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// A new one.
    pub(crate) fn lend(&self, store: StoreKind) -> Result<Lent> {
        match store {
            StoreKind::Memory => Ok(Lent { place: Place::Memory, _folder: None }),
            StoreKind::Sqlite => {
                let folder = tempfile::Builder::new().prefix("factum-bench-").tempdir_in(&self.folder)?;
                Ok(Lent { place: Place::Sqlite(folder.path().to_path_buf()), _folder: Some(folder) })
            }
        }
    }
}
