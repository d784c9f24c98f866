//! What a user writes to project events into tables of the store's own file.

use factum::{EventFilterError, EventSet, Fault, Generation, InputError, Recorded};
use thiserror::Error;

use crate::transaction::SqlTransaction;

/// A projection of events into tables of your own, in the file of the store.
///
/// [`apply`](SqlProjection::apply) gets a batch of events and the open transaction in which the checkpoint moves: what
/// it writes is committed with the checkpoint or not at all, so that each event is in the tables exactly once. It does
/// nothing else: no other table, no clock, nothing outside, since a batch may be applied again when its transaction
/// failed, and all of history is when the projection is replayed. SQLite itself refuses what does not belong there.
///
/// In its SQL every table is written in braces. Readers find it under its plain name; a replay builds others beside
/// it, and the switch renames both in one transaction.
///
/// ```
/// use factum::{Event, Recorded};
/// use factum_sqlite::{SqlError, SqlProjection, SqlTransaction};
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
///         CREATE TABLE {balances} (account TEXT PRIMARY KEY, owner TEXT NOT NULL, cents INTEGER NOT NULL) STRICT;
///         CREATE INDEX {balances_by_cents} ON {balances} (cents);";
///     type Event = AccountEvent;
///
///     fn apply(&self, sql: &SqlTransaction<'_>, events: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
///         for event in events {
///             let account = event.stream.id();
///             match &event.data {
///                 AccountEvent::Opened { owner } => {
///                     sql.execute("INSERT INTO {balances} VALUES (?1, ?2, 0)", (account, owner))?;
///                 }
///                 AccountEvent::Deposited { cents } => {
///                     sql.execute("UPDATE {balances} SET cents = cents + ?2 WHERE account = ?1", (account, cents))?;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection into tables",
    note = "implement `factum_sqlite::SqlProjection` for it"
)]
pub trait SqlProjection: Send + Sync + 'static {
    /// What it is called, in checkpoints and on the command line.
    const NAME: &'static str;

    /// Raised when the same events shall lead to other rows while an older deployment runs beside this one. Each
    /// version has tables of its own, so they need other names then.
    const VERSION: u32 = 1;

    /// The event types that it takes; every one of its categories if there are none.
    const EVENT_TYPES: &'static [&'static str] = &[];

    /// The names of its tables.
    const TABLES: &'static [&'static str];

    /// What makes them, and their indexes, with every name in braces: a name that is no table's is an index's. Run
    /// once for each generation. Views and triggers are made outside, once, by the plain names.
    const SCHEMA: &'static str;

    /// The events: one event enum, or several through [`event_set!`](factum::event_set).
    type Event: EventSet;

    /// Takes events, in their order, into the tables.
    ///
    /// What fails, or panics, is undone, and the batch is applied again one event at a time: the projection halts at the
    /// one that fails, and takes those before it.
    ///
    /// # Errors
    /// [`SqlError`] halts the projection until somebody has looked.
    fn apply(&self, sql: &SqlTransaction<'_>, events: &[Recorded<Self::Event>]) -> Result<(), SqlError>;
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
}

/// Why SQL of a projection, or a query, did not do what it should.
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
        /// What it wanted, and what to do instead.
        what: String,
    },
    /// SQLite failed.
    #[error("{source} in: {sql}")]
    Sqlite {
        /// The SQL as it was written, without its values.
        sql: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A query panicked.
    #[error("the query did not end: {0}")]
    Panicked(String),
    /// The store failed.
    #[error("the store failed: {0}")]
    Fault(#[from] Fault),
}

impl SqlError {
    /// That an event cannot be taken, and why.
    ///
    /// ```
    /// let error = factum_sqlite::SqlError::refused("the account was never opened");
    /// assert_eq!(error.to_string(), "the account was never opened");
    /// ```
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}
