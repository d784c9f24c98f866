//! The suites that an event store for Factum must pass: ours, and anybody's.
//!
//! Whoever writes a store names a function that makes an empty one, and gets a test for each promise of the ports
//! [`EventStore`](factum::EventStore), [`SnapshotStore`](factum::SnapshotStore) and
//! [`ReadModelStore`](factum::ReadModelStore):
//!
//! ```
//! use std::sync::Arc;
//! use factum_conformance::Fixture;
//! use factum_memory::MemoryStore;
//!
//! async fn one_log() -> Fixture {
//!     Fixture::new(Arc::new(MemoryStore::new()))
//! }
//!
//! factum_conformance::suite!(one_log);
//! # fn main() {}
//! ```
//!
//! A store that is durable gives [`Fixture::with_reopen`]; one that can have several logs runs the suites once more on
//! several. A promise that a store does not make (it keeps no snapshots, it has one log) has nothing to look at, and
//! its test passes.
//!
//! Whoever has a harness of their own takes [`checks`] and [`run`].

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod events;
mod fixture;
mod kit;
mod read_models;
mod run;
mod suite;
mod users;

pub use fixture::Fixture;
pub use run::{Check, run};
pub use suite::{check, checks};
