//! The embedded, durable event store of Factum: one SQLite file holds events, snapshots and read models.
//!
//! [`SqliteStore`] implements [`EventStore`](factum::EventStore), [`SnapshotStore`](factum::SnapshotStore) and
//! [`ReadModelStore`](factum::ReadModelStore). One thread writes, and takes all that waits into one transaction, unless a
//! caller who is alone commits by itself ([`SqliteOptions::commit_in_place`]); another, once many write at a time, tells them
//! how it went; a few read beside them. Several processes may open one file. Its log beside it grows to about 16 MiB before it is
//! moved into the file, or further where one transaction is larger or a reader holds it.
//!
//! ```
//! use factum::{Append, Condition, EventStore, EventType, NewEvent, StreamId};
//! use factum_sqlite::SqliteStore;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let directory = tempfile::tempdir()?;
//! # let file = directory.path().join("bank.db");
//! let store = SqliteStore::open(file)?;
//! let opened = NewEvent::new(EventType::new("Opened")?, r#"{"owner":"Jana"}"#);
//! store.append(Append::to(StreamId::new("account-2378")?, Condition::NoStream, vec![opened])).await?;
//! assert_eq!(store.head().await?.to_string(), "1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock, clippy::cast_possible_truncation)
)]

mod answers;
mod append;
mod backup;
mod condition;
mod diagnose;
mod error;
mod fading;
mod find;
mod gate;
mod in_place;
mod inside;
mod job;
mod kept;
mod keys;
mod leases;
mod options;
mod pace;
mod pen;
mod projected;
mod projection;
mod projection_switch;
mod projection_write;
mod read;
mod read_models;
mod read_models_read;
mod read_models_retire;
mod read_models_write;
mod readers;
mod row;
mod schema;
mod snapshots;
mod store;
mod tables;
mod tags;
mod transaction;
mod watch;
mod writer;

pub use error::{BackupError, OpenError};
pub use options::{KeyRetention, SqliteOptions, Synchronous};
pub use projected::SqlProjected;
pub use projection::{SqlError, SqlProjection, SqlSetupError};
pub use rusqlite;
pub use store::SqliteStore;
pub use tables::Tables;
pub use transaction::{SqlReader, SqlTransaction};
