//! The store: connections that read, a writer that appends.

use factum::{Limits, StoreId};

use crate::db::{Db, connect_once};
use crate::error::ConnectError;
use crate::migrate;
use crate::options::PostgresOptions;

/// An event store, snapshot store and read model store in one schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    pub(crate) db: Db,
    pub(crate) id: StoreId,
    pub(crate) limits: Limits,
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
        Ok(Self { db, id: StoreId::from(look.store), limits: options.limits })
    }
}
