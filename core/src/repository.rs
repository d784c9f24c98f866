//! Aggregates in a store: load, execute, look back.

mod answers;
mod cache;
mod decide;
mod desk;
mod error;
mod execute;
mod lane;
mod load;
mod panics;
mod round;
mod send;
#[cfg(test)]
mod tests;
mod ticket;
mod work;

use std::fmt;
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

use desk::Desk;
pub use error::{ExecuteError, LoadError};
pub use execute::Executed;
use execute::executed;
pub use load::Loaded;
pub(crate) use send::is_own;

/// The aggregates of one type in a store.
///
/// Cheap to clone and to share; make one for each type and clone it. Commands for one aggregate may run at the same
/// time: those of the clones of one repository queue and share appends, and a conflict with another process is decided
/// again on fresh state.
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
    core: Arc<Core<A>>,
    tenant: Tenant,
}

/// What the clones of a repository share.
struct Core<A: Aggregate> {
    settings: Settings<A>,
    desk: Desk<A>,
}

struct Settings<A> {
    store: Arc<dyn EventStore>,
    retry: Retry,
    round_trip: RoundTrip,
    snapshots: Option<SnapshotPolicy<A>>,
    cache: Option<CachePolicy<A>>,
}

/// When snapshots are taken and how a state is saved; the bounds on the state live in the functions.
struct SnapshotPolicy<A> {
    every: u64,
    keep: usize,
    save: fn(&A) -> Result<Bytes, serde_json::Error>,
    restore: fn(&[u8]) -> Result<A, serde_json::Error>,
}

/// How many states are kept, and how one is copied.
struct CachePolicy<A> {
    capacity: usize,
    copy: fn(&A) -> A,
}

impl<A> Clone for SnapshotPolicy<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for SnapshotPolicy<A> {}

impl<A> Clone for CachePolicy<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for CachePolicy<A> {}

impl<A> Clone for Settings<A> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            retry: self.retry.clone(),
            round_trip: self.round_trip,
            snapshots: self.snapshots,
            cache: self.cache,
        }
    }
}

impl<A: Aggregate> Clone for Repository<A> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), tenant: self.tenant.clone() }
    }
}

impl<A: Aggregate> Core<A> {
    fn new(settings: Settings<A>) -> Arc<Self> {
        let desk = Desk::new(settings.cache);
        Arc::new(Self { settings, desk })
    }

    fn snapshot_key(&self, stream: &StreamId) -> SnapshotKey {
        SnapshotKey { stream: stream.clone(), schema: A::SNAPSHOT_SCHEMA }
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
        let (retry, round_trip) = (Retry::default(), RoundTrip::Checked);
        let core = Core::new(Settings { store, retry, round_trip, snapshots: None, cache: None });
        Self { core, tenant: Tenant::default() }
    }

    /// A repository with other settings has lanes and a cache of its own: it shares them with clones made from now on.
    fn with(self, change: impl FnOnce(&mut Settings<A>)) -> Self {
        let mut settings = self.core.settings.clone();
        change(&mut settings);
        Self { core: Core::new(settings), tenant: self.tenant }
    }

    /// The same for the streams of another tenant. It shares everything else with what it was made from.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// With other bounds on deciding again after a conflict.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        self.with(|settings| settings.retry = retry)
    }

    /// With or without decoding each event once before it is appended.
    #[must_use]
    pub fn round_trip(self, round_trip: RoundTrip) -> Self {
        self.with(|settings| settings.round_trip = round_trip)
    }

    /// With a snapshot after every `every` events, the newest `keep` of which are kept, where the store keeps snapshots.
    ///
    /// A snapshot that does not decode is ignored, and its events are read instead. Raise
    /// [`Aggregate::SNAPSHOT_SCHEMA`] when a state changes its meaning.
    #[must_use]
    pub fn snapshots(self, every: u64, keep: usize) -> Self
    where
        A: Serialize + DeserializeOwned,
    {
        let policy = SnapshotPolicy {
            every: every.max(1),
            keep: keep.max(1),
            save: |state| serde_json::to_vec(state).map(Bytes::from),
            restore: |bytes| serde_json::from_slice(bytes),
        };
        self.with(|settings| settings.snapshots = Some(policy))
    }

    /// With a cache of the states of at most `aggregates` aggregates, those used last; 0 for none, which is the default.
    ///
    /// A command on an aggregate that is in the cache is decided on the state there and appended at its version, which
    /// is one round trip to the store and no read. Others may write to the same streams: a state that is behind leads
    /// to a conflict, and no refusal or empty decision is told before it was decided on what the store holds.
    ///
    /// The cache is shared by the clones that are made of the repository from now on, in every tenant. A state is
    /// copied once for each append. [`load`](Repository::load) starts from the cache and reads what is new.
    ///
    /// ```
    /// # use factum::{Aggregate, Repository};
    /// # use std::sync::Arc;
    /// fn hot<A: Aggregate + Clone>(store: Arc<dyn factum::EventStore>) -> Repository<A> {
    ///     Repository::new(store).cache(10_000)
    /// }
    /// ```
    #[must_use]
    pub fn cache(self, aggregates: usize) -> Self
    where
        A: Clone,
    {
        let policy = CachePolicy { capacity: aggregates, copy: A::clone };
        self.with(|settings| settings.cache = (aggregates > 0).then_some(policy))
    }

    /// The stream of the aggregate with this id.
    ///
    /// # Errors
    /// [`InputError`] where the id or the category breaks a limit.
    pub fn stream(&self, id: impl AsRef<str>) -> Result<StreamId, InputError> {
        Ok(StreamId::of(A::Event::CATEGORY, id.as_ref())?.in_tenant(self.tenant.clone()))
    }
}
