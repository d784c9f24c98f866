//! Aggregates in a store: load, execute, look back.

mod error;
mod execute;
mod load;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aggregate::Aggregate;
use crate::codec::RoundTrip;
use crate::event::Event;
use crate::limits::InputError;
use crate::retry::Retry;
use crate::snapshot::SnapshotKey;
use crate::store::EventStore;
use crate::stream::{StreamId, Tenant};

pub use error::{ExecuteError, LoadError};
pub use execute::Executed;
pub(crate) use execute::is_own;
pub use load::Loaded;

/// The aggregates of one type in a store.
///
/// Cheap to clone and to share. Commands for one aggregate may run at the same time, in this process and in others:
/// a conflict is decided again on fresh state.
///
/// ```
/// # use factum::{Aggregate, Event};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # enum AccountEvent { Deposited { cents: i64 } }
/// # impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
/// # enum AccountCommand { Deposit { cents: i64 } }
/// # #[derive(Default)]
/// # struct Account { balance: i64 }
/// # impl Aggregate for Account {
/// #     type Event = AccountEvent;
/// #     type Command = AccountCommand;
/// #     type Error = std::convert::Infallible;
/// #     fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, Self::Error> {
/// #         let AccountCommand::Deposit { cents } = *command;
/// #         Ok(vec![AccountEvent::Deposited { cents }])
/// #     }
/// #     fn apply(&mut self, event: &AccountEvent) {
/// #         let AccountEvent::Deposited { cents } = event;
/// #         self.balance += cents;
/// #     }
/// # }
/// use std::sync::Arc;
/// use factum::{At, EventStore, Repository, Version};
///
/// async fn teller(store: Arc<dyn EventStore>) -> Result<(), Box<dyn std::error::Error>> {
///     let accounts = Repository::<Account>::new(store);
///     accounts.execute("2378", AccountCommand::Deposit { cents: 500 }).await?;
///     let now = accounts.load("2378").await?;
///     let then = accounts.load_at("2378", At::Version(Version::FIRST)).await?;
///     println!("{} now, {} at first", now.state.balance, then.state.balance);
///     Ok(())
/// }
/// ```
pub struct Repository<A: Aggregate> {
    store: Arc<dyn EventStore>,
    tenant: Tenant,
    retry: Retry,
    round_trip: RoundTrip,
    snapshots: Option<SnapshotPolicy<A>>,
    aggregate: PhantomData<fn() -> A>,
}

/// When snapshots are taken and how a state is saved; the bounds on the state live in the functions.
struct SnapshotPolicy<A> {
    every: u64,
    keep: usize,
    save: fn(&A) -> Result<Bytes, serde_json::Error>,
    restore: fn(&[u8]) -> Result<A, serde_json::Error>,
}

impl<A> Clone for SnapshotPolicy<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for SnapshotPolicy<A> {}

impl<A: Aggregate> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            tenant: self.tenant.clone(),
            retry: self.retry.clone(),
            round_trip: self.round_trip,
            snapshots: self.snapshots,
            aggregate: PhantomData,
        }
    }
}

impl<A: Aggregate> fmt::Debug for Repository<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("aggregate", &std::any::type_name::<A>())
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl<A: Aggregate> Repository<A> {
    /// The aggregates of the default tenant, without snapshots.
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            tenant: Tenant::default(),
            retry: Retry::default(),
            round_trip: RoundTrip::Checked,
            snapshots: None,
            aggregate: PhantomData,
        }
    }

    /// The same for the streams of another tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// With other bounds on deciding again after a conflict.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// With or without decoding each event once before it is appended.
    #[must_use]
    pub fn round_trip(mut self, round_trip: RoundTrip) -> Self {
        self.round_trip = round_trip;
        self
    }

    /// With a snapshot after every `every` events, the newest `keep` of which are kept, where the store keeps snapshots.
    ///
    /// A snapshot that does not decode is ignored, and its events are read instead. Raise
    /// [`Aggregate::SNAPSHOT_SCHEMA`] when a state changes its meaning.
    #[must_use]
    pub fn snapshots(mut self, every: u64, keep: usize) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        self.snapshots = Some(SnapshotPolicy {
            every: every.max(1),
            keep: keep.max(1),
            save: |state| serde_json::to_vec(state).map(Bytes::from),
            restore: |bytes| serde_json::from_slice(bytes),
        });
        self
    }

    /// The stream of the aggregate with this id.
    ///
    /// # Errors
    /// [`InputError`] where the id or the category breaks a limit.
    pub fn stream(&self, id: impl AsRef<str>) -> Result<StreamId, InputError> {
        Ok(StreamId::of(A::Event::CATEGORY, id.as_ref())?.in_tenant(self.tenant.clone()))
    }

    fn snapshot_key(&self, stream: &StreamId) -> SnapshotKey {
        SnapshotKey { stream: stream.clone(), schema: A::SNAPSHOT_SCHEMA }
    }
}
