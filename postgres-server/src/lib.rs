//! A Postgres server for tests and benchmarks: found, started, shared, and ended whatever happens.
//!
//! [`Server::for_test`] gives a test the server that all tests of its process share, and [`Server::database`] a
//! database of its own on it, copied from a template that is prepared once. [`Server::start`] gives whoever wants to
//! stop, kill or measure it a server that nobody else uses.
//!
//! A server of ours runs in a temporary folder as an unprivileged account, and is reached by a socket in that folder
//! only. It ends with the last handle to it; a watchdog process ends it when this process was killed.
//!
//! Two variables are read: `FACTUM_TEST_POSTGRES_URL` names a server to share instead of starting one, and
//! `FACTUM_TEST_POSTGRES=required`, which `cargo xtask test` sets, makes tests fail that would be skipped without one.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod account;
mod backup;
mod binaries;
mod bouncer;
mod cluster;
#[cfg(feature = "databases")]
mod database;
mod error;
mod folder;
#[cfg(feature = "databases")]
mod guest;
mod options;
mod server;
mod skip;
mod standby;
mod url;
mod watchdog;

pub use backup::Backup;
pub use binaries::Binaries;
pub use bouncer::Bouncer;
#[cfg(feature = "databases")]
pub use database::Database;
#[cfg(feature = "databases")]
pub use error::Cause;
pub use error::ServerError;
pub use options::ServerOptions;
pub use server::Server;
