//! The production event store of Factum: events, snapshots and read models in PostgreSQL.
//!
//! [`PostgresStore`] implements [`EventStore`](factum::EventStore), [`SnapshotStore`](factum::SnapshotStore) and
//! [`ReadModelStore`](factum::ReadModelStore). Any number of processes may use one database.

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock, clippy::cast_possible_truncation)
)]

mod ahead;
mod append;
mod append_in;
mod array;
mod columns;
mod commit;
mod copy;
mod db;
mod diagnose;
mod driven;
mod error;
mod find;
mod forget;
mod group;
mod judged;
mod kept;
mod keys;
mod known;
mod leases;
mod link;
mod migrate;
mod options;
mod plan;
mod projected;
mod projection;
mod projection_make;
mod projection_write;
mod read;
mod read_models;
mod read_models_read;
mod read_models_retire;
mod read_models_row;
mod read_models_write;
mod roles;
mod row;
mod snapshots;
mod sole;
mod sql;
mod store;
mod sweep;
mod tables;
mod texts;
mod transaction;
mod wake;
mod writer;

pub use error::ConnectError;
pub use options::{KeyRetention, PostgresOptions};
pub use projected::SqlProjected;
pub use projection::{SqlError, SqlProjection, SqlSetupError};
pub use sqlx;
pub use store::PostgresStore;
pub use tables::Tables;
pub use transaction::{SqlQuery, SqlTransaction};
