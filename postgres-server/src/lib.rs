//! A Postgres server for tests and benchmarks: found, started, shared, and ended whatever happens.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod binaries;
mod error;

pub use binaries::Binaries;
pub use error::ServerError;
