//! The reference store of Factum: in memory, correct under concurrency, readable in one sitting.
//!
//! It has two purposes. Tests and small tools run on it, with everything that a durable store promises except
//! durability. And whoever writes a store finds here what each port means, without SQL in between: `append.rs` for the
//! order of the checks, `read.rs` for pages, `read_models.rs` for the compare-and-set of read models.
//!
//! ```
//! use std::sync::Arc;
//! use factum::{Append, Condition, EventStore, EventType, NewEvent, ReadStream, StreamId};
//! use factum_memory::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new());
//! let account = StreamId::new("account-2378")?;
//! let opened = NewEvent::new(EventType::new("Opened")?, r#"{"owner":"Jana"}"#);
//! store.append(Append::to(account.clone(), Condition::NoStream, vec![opened])).await?;
//! assert_eq!(store.read_stream(ReadStream::new(account)).await?.events.len(), 1);
//! # Ok(()) }
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock, clippy::cast_possible_truncation)
)]

mod append;
mod find;
mod generations;
mod leases;
mod options;
mod read;
mod read_models;
mod snapshots;
mod store;

pub use options::{Clock, MemoryOptions};
pub use store::MemoryStore;
