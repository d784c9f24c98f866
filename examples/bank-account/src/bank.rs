//! An opened bank: the store, the accounts in it, the read models beside them.

use std::sync::Arc;

use factum::{EventStore, ReadModelStore, Repository};
use factum_memory::MemoryStore;
use factum_postgres::{ConnectError, PostgresStore};
use factum_projections::Projector;
use factum_sqlite::SqliteStore;

use crate::account::Account;
use crate::error::BankError;
use crate::read_models::{Balances, MonthlyTurnover};
use crate::store_url::{PostgresUrl, StoreUrl};

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is made if it does not exist.
    Create,
    /// It must exist.
    Existing,
}

/// How often the state of an account is saved, in events, and how many states are kept: an account of the ledger has a
/// few hundred events, and each of them is loaded once for every command.
const SNAPSHOT_EVERY: u64 = 100;
const SNAPSHOTS_KEPT: usize = 3;

/// How many accounts are kept in memory: those of the ledger, so that a command on one is a single round trip to the store.
const CACHED: usize = 4_096;

pub(crate) struct Bank {
    store: Arc<dyn EventStore>,
    /// The store of the read models, where that is another one.
    beside: Option<Arc<dyn EventStore>>,
    accounts: Repository<Account>,
    projector: Projector,
}

impl Bank {
    /// Opens the store of the events, and another one for the read models if they are elsewhere: those are derived, so they
    /// are made where there are none.
    pub(crate) async fn open(
        url: &StoreUrl,
        read_models: Option<&StoreUrl>,
        access: Access,
    ) -> Result<Self, BankError> {
        let (store, own) = open(url, access).await?;
        let Some(elsewhere) = read_models else { return Ok(Self::new(store, own)) };
        let (beside, read_models) = open(elsewhere, Access::Create).await?;
        Ok(Self { beside: Some(beside), ..Self::new(store, read_models) })
    }

    fn new(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>) -> Self {
        let accounts = Repository::new(store.clone()).snapshots(SNAPSHOT_EVERY, SNAPSHOTS_KEPT).cache(CACHED);
        let projector = Projector::new(store.clone(), read_models).with(Balances).with(MonthlyTurnover);
        Self { store, beside: None, accounts, projector }
    }

    pub(crate) fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    pub(crate) fn accounts(&self) -> Repository<Account> {
        self.accounts.clone()
    }

    pub(crate) fn projector(&self) -> &Projector {
        &self.projector
    }

    /// Brings every read model up to the head. Writes nothing where they are.
    pub(crate) async fn catch_up(&self) -> Result<(), BankError> {
        for caught_up in self.projector.catch_up().await? {
            caught_up.result?;
        }
        Ok(())
    }

    /// Finishes what the store has taken.
    pub(crate) async fn close(self) -> Result<(), BankError> {
        if let Some(beside) = &self.beside {
            beside.close().await?;
        }
        Ok(self.store.close().await?)
    }
}

/// One store that keeps events and read models alike.
async fn open(url: &StoreUrl, access: Access) -> Result<(Arc<dyn EventStore>, Arc<dyn ReadModelStore>), BankError> {
    match url {
        StoreUrl::Memory => {
            let store = Arc::new(MemoryStore::new());
            Ok((store.clone(), store))
        }
        StoreUrl::Sqlite(file) if access == Access::Existing && !file.exists() => {
            Err(BankError::NoBank { file: file.clone() })
        }
        StoreUrl::Sqlite(file) => {
            let store = Arc::new(SqliteStore::open(file).map_err(Box::new)?);
            Ok((store.clone(), store))
        }
        StoreUrl::Postgres(url) => {
            let store = Arc::new(connect(url, access).await?);
            Ok((store.clone(), store))
        }
    }
}

/// A database in which there is no bank yet, or one of an older release, is set up by whoever may make one. A service
/// would leave that to its deployment, which has a role that may change tables.
async fn connect(url: &PostgresUrl, access: Access) -> Result<PostgresStore, BankError> {
    match PostgresStore::connect(url.reveal()).await {
        Err(ConnectError::NotMigrated { .. }) if access == Access::Create => {
            PostgresStore::migrate(url.reveal()).await.map_err(Box::new)?;
            Ok(PostgresStore::connect(url.reveal()).await.map_err(Box::new)?)
        }
        Err(ConnectError::NotMigrated { found: 0, .. }) => Err(BankError::NoBankInDatabase),
        Err(ConnectError::NotMigrated { .. }) => Err(BankError::OldBank),
        connected => Ok(connected.map_err(Box::new)?),
    }
}
