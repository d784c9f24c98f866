//! What a user writes to project events into tables of the store's own database.

use std::future::Future;

use factum::{EventFilterError, EventSet, Generation, InputError, Recorded};
use thiserror::Error;

use crate::transaction::SqlTransaction;

/// A projection of events into tables of your own, in the database of the store.
///
/// [`apply`](SqlProjection::apply) gets a batch of events and the open transaction in which the checkpoint moves: what
/// it writes is committed with the checkpoint or not at all, so that each event is in the tables exactly once. It does
/// nothing else: no other table, no clock, nothing outside, since a batch may be applied again when its transaction
/// failed, and all of history is when the projection is replayed.
///
/// In its SQL every table is written in braces. Readers find it under its plain name; a replay builds others beside
/// it, and the switch renames both in one transaction.
///
/// ```
/// use factum::{Event, Recorded};
/// use factum_postgres::{SqlError, SqlProjection, SqlTransaction};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened { owner: String }, Deposited { cents: i64 } }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// struct Balances;
///
/// impl SqlProjection for Balances {
///     const NAME: &'static str = "balances";
///     const TABLES: &'static [&'static str] = &["balances"];
///     const SCHEMA: &'static str = "
///         CREATE TABLE {balances} (account text PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL);
///         CREATE INDEX {balances_by_cents} ON {balances} (cents);";
///     type Event = AccountEvent;
///
///     async fn apply(
///         &self, sql: &mut SqlTransaction<'_>, events: &[Recorded<AccountEvent>],
///     ) -> Result<(), SqlError> {
///         for event in events {
///             let account = event.stream.id();
///             match &event.data {
///                 AccountEvent::Opened { owner } => {
///                     let insert = sql.query("INSERT INTO {balances} VALUES ($1, $2, 0)").bind(account).bind(owner);
///                     sql.execute(insert).await?;
///                 }
///                 AccountEvent::Deposited { cents } => {
///                     let add = sql.query("UPDATE {balances} SET cents = cents + $2 WHERE account = $1");
///                     sql.execute(add.bind(account).bind(cents)).await?;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection into tables",
    note = "implement `factum_postgres::SqlProjection` for it"
)]
pub trait SqlProjection: Send + Sync + 'static {
    /// What it is called, in checkpoints and on the command line.
    const NAME: &'static str;

    /// Raised when the same events shall lead to other rows while an older deployment runs beside this one. Each
    /// version has tables of its own, so they need other names then.
    const VERSION: u32 = 1;

    /// The event types that it takes; every one of its categories if there are none.
    const EVENT_TYPES: &'static [&'static str] = &[];

    /// The schema of the database that its tables lie in.
    const PLACE: &'static str = "public";

    /// The names of its tables.
    const TABLES: &'static [&'static str];

    /// What makes them, and their indexes, with every name in braces: a name that is no table's is an index's. Run
    /// once for each generation. Views are made outside, once, by the plain names.
    const SCHEMA: &'static str;

    /// The events: one event enum, or several through [`event_set!`](factum::event_set).
    type Event: EventSet;

    /// Takes events, in their order, into the tables.
    ///
    /// What fails, or panics, is undone, and the batch is applied again one event at a time: the projection halts at the
    /// one that fails, and takes those before it.
    ///
    /// A name without a schema finds nothing but PostgreSQL's own here, so that no table is taken for another: write
    /// tables in braces, and a function or a type of yours with its schema.
    ///
    /// # Errors
    /// [`SqlError`] halts the projection until somebody has looked.
    fn apply(
        &self,
        sql: &mut SqlTransaction<'_>,
        events: &[Recorded<Self::Event>],
    ) -> impl Future<Output = Result<(), SqlError>> + Send;
}

/// Why a projection cannot be run as it is written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqlSetupError {
    /// Its name breaks a limit.
    #[error("projection {projection:?} cannot be run: {source}")]
    Name {
        /// The projection.
        projection: &'static str,
        /// The limit.
        source: InputError,
    },
    /// Its events cannot be read.
    #[error("projection {projection} cannot be run: {source}")]
    Events {
        /// The projection.
        projection: &'static str,
        /// Why.
        source: EventFilterError,
    },
    /// It names no table.
    #[error("projection {projection} names no table; name at least one in TABLES")]
    NoTables {
        /// The projection.
        projection: &'static str,
    },
    /// A name that no table of it can have.
    #[error("projection {projection} cannot have a table {table:?}: {why}")]
    BadTable {
        /// The projection.
        projection: &'static str,
        /// The name.
        table: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A schema that its tables cannot lie in.
    #[error("projection {projection} cannot have tables in the schema {place:?}; name one of the database's")]
    BadPlace {
        /// The projection.
        projection: &'static str,
        /// The schema.
        place: &'static str,
    },
}

/// Why SQL of a projection did not do what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SqlError {
    /// The projection cannot take an event. Name ids and types in it, never content.
    #[error("{0}")]
    Refused(String),
    /// The SQL names a table in braces that this generation does not have.
    #[error(
        "there is no table {{{name}}} in generation {generation}, which was made with: {known}; name it in TABLES and \
         replay"
    )]
    UnknownTable {
        /// The name.
        name: String,
        /// The generation.
        generation: Generation,
        /// The tables that it has.
        known: String,
    },
    /// The SQL does what does not belong here: it was not run.
    #[error("not allowed here: {what}")]
    NotAllowed {
        /// What it wanted.
        what: String,
    },
    /// PostgreSQL, or the connection to it, failed.
    #[error("{what} in: {sql}")]
    Postgres {
        /// The SQL as it was written, without its values.
        sql: String,
        /// What the server said, without its details: these name values.
        what: String,
        /// The error itself, with its details.
        source: sqlx::Error,
    },
}

impl SqlError {
    /// That an event cannot be taken, and why.
    ///
    /// ```
    /// let error = factum_postgres::SqlError::refused("the account was never opened");
    /// assert_eq!(error.to_string(), "the account was never opened");
    /// ```
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}
