//! The worker that runs projections and keeps their checkpoints.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use factum::{Cursor, EventStore, Projected, ProjectionName, ReadModelStore};
use futures_util::future;

use crate::documents::Documents;
use crate::drive::Driven;
use crate::error::{ProjectorError, UnknownProjection};
use crate::heads::Heads;
use crate::lease::Leases;
use crate::options::ProjectorOptions;
use crate::projection::{Projection, SetupError};
use crate::rebuilt::Rebuilt;

/// Runs projections: brings them up to the events of a store and keeps them there.
///
/// It is cheap to clone. It spawns nothing: [`run`](Projector::run) is a future to be spawned or awaited, and whoever
/// [waits](Projector::wait_for) for a projection drives it too if nobody else does, so that waiting works with or without
/// a worker. Any number of projectors, in any number of processes, may run the same projections: each projection, in each
/// version of its code, is driven under a lease of the read model store, by one at a time.
///
/// ```
/// # use std::sync::Arc;
/// # use factum::{Append, Condition, Event, EventStore, Metadata, RoundTrip, Recorded, StreamId};
/// # use factum_projections::{Keys, Projection, Projector};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # enum AccountEvent { Deposited { cents: i64 } }
/// # impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
/// # struct Balances;
/// # impl Projection for Balances {
/// #     const NAME: &'static str = "balances";
/// #     type Event = AccountEvent;
/// #     type Document = i64;
/// #     fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) { keys.push(event.stream.id()); }
/// #     fn apply(&self, _: &str, balance: &mut Option<i64>, event: &Recorded<AccountEvent>) {
/// #         let AccountEvent::Deposited { cents } = event.data;
/// #         *balance.get_or_insert(0) += cents;
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = Arc::new(factum_memory::MemoryStore::new());
/// let projector = Projector::new(store.clone(), store.clone()).with(Balances);
///
/// let deposited = factum::encode(&AccountEvent::Deposited { cents: 500 }, Metadata::new(), RoundTrip::Checked)?;
/// let done = store.append(Append::to(StreamId::new("account-2378")?, Condition::Any, vec![deposited])).await?;
///
/// projector.wait_for("balances", &done.cursor).await?;
/// let balances = projector.read_model::<Balances>();
/// assert_eq!(balances.get("2378").await?.document, Some(500));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Projector {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) read_models: Arc<dyn ReadModelStore>,
    pub(crate) options: ProjectorOptions,
    pub(crate) driven: Vec<Arc<Driven>>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) heads: Arc<Heads>,
    /// Why a projection cannot be run; every call answers it.
    setup: Option<SetupError>,
}

/// What became of one projection, in the answer of a call that concerns several.
#[derive(Debug)]
pub struct ProjectionResult {
    /// The projection.
    pub projection: ProjectionName,
    /// How far it is, or why it is not as far as was asked.
    pub result: Result<Cursor, ProjectorError>,
}

impl Projector {
    /// A projector without projections, which reads events from `store` and keeps documents in `read_models`.
    pub fn new(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>) -> Self {
        let options = ProjectorOptions::default();
        let (leases, heads) = (Arc::new(Leases::new()), Arc::new(Heads::default()));
        Self { inner: Arc::new(Inner { store, read_models, options, driven: Vec::new(), leases, heads, setup: None }) }
    }

    /// With a projection. One that cannot be run as it is written makes every call [`SetupError`].
    #[must_use]
    pub fn with<P: Projection>(mut self, projection: P) -> Self {
        const { assert!(P::KEEP_EVERY > 0, "KEEP_EVERY is a distance and at least 1") };
        let inner = Arc::make_mut(&mut self.inner);
        match Documents::new(projection, inner.read_models.clone()) {
            Ok(documents) => {
                let documents = Arc::new(documents);
                inner.add(documents.clone(), Some(documents));
            }
            Err(refused) => inner.refuse(refused),
        }
        self
    }

    /// With a projection into something else than documents: into tables of a store, or written by hand. One that keeps
    /// [generations](Projected::generations) is replayed as others are.
    #[must_use]
    pub fn with_projected(mut self, projected: impl Projected + 'static) -> Self {
        Arc::make_mut(&mut self.inner).add(Arc::new(projected), None);
        self
    }

    /// With other options.
    #[must_use]
    pub fn options(mut self, options: ProjectorOptions) -> Self {
        Arc::make_mut(&mut self.inner).options = options;
        self
    }

    /// The names of its projections, in the order in which they were added.
    pub fn names(&self) -> Vec<ProjectionName> {
        self.inner.driven.iter().map(|driven| driven.name().clone()).collect()
    }

    /// Brings every projection to the head as of now. One that cannot go on does not stop the others.
    ///
    /// # Errors
    /// [`ProjectorError::Setup`], or `Events` where the head cannot be read; what concerns one projection is in its
    /// result.
    pub async fn catch_up(&self) -> Result<Vec<ProjectionResult>, ProjectorError> {
        self.inner.check_setup()?;
        let all = self.inner.driven.iter().map(|driven| async {
            ProjectionResult { projection: driven.name().clone(), result: self.inner.to_head(driven).await }
        });
        Ok(future::join_all(all).await)
    }

    /// Brings one projection to the head as of now, and says where it is.
    ///
    /// # Errors
    /// [`ProjectorError`].
    pub async fn catch_up_one(&self, name: &str) -> Result<Cursor, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        self.inner.to_head(driven).await
    }

    /// Waits until a projection has taken everything up to `cursor`, such as the cursor that an append answered: then
    /// its read model shows what was appended.
    ///
    /// Whoever waits drives the projection, so nothing else needs to run. Where another process drives it, that one is
    /// waited for, and if it stands still for the [lease time](ProjectorOptions::lease_time), taken over from.
    ///
    /// # Errors
    /// [`ProjectorError`] at once if the projection is halted, needs newer code, has diverged, or if `cursor` lies past
    /// the head: it never waits for what cannot come.
    pub async fn wait_for(&self, name: &str, cursor: &Cursor) -> Result<(), ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        self.inner.drive_to(driven, cursor).await
    }

    /// [`wait_for`](Projector::wait_for), but not longer than `time`.
    ///
    /// # Errors
    /// [`ProjectorError::TimedOut`] says how far it is and what holds it up.
    pub async fn wait_for_within(&self, name: &str, cursor: &Cursor, time: Duration) -> Result<(), ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        self.inner.wait_within(driven, cursor, time).await
    }
}

impl Inner {
    fn add(&mut self, projected: Arc<dyn Projected>, documents: Option<Arc<dyn Rebuilt>>) {
        let driven = Driven::new(projected, documents, &*self.read_models);
        if self.driven.iter().any(|other| other.name() == driven.name()) {
            self.refuse(SetupError::NameTwice { projection: driven.name().to_string().into() });
        }
        self.driven.push(Arc::new(driven));
    }

    fn refuse(&mut self, refused: SetupError) {
        self.setup.get_or_insert(refused);
    }

    pub(crate) fn check_setup(&self) -> Result<(), SetupError> {
        self.setup.clone().map_or(Ok(()), Err)
    }

    pub(crate) fn find<E: From<SetupError> + From<UnknownProjection>>(&self, name: &str) -> Result<&Arc<Driven>, E> {
        self.check_setup()?;
        let found = self.driven.iter().find(|driven| driven.name().as_str() == name);
        Ok(found.ok_or_else(|| self.unknown(name))?)
    }

    fn unknown(&self, name: &str) -> UnknownProjection {
        let known = self.driven.iter().map(|driven| driven.name().to_string()).collect();
        UnknownProjection { name: name.to_owned(), known }
    }

    /// The documents of a projection's type.
    pub(crate) fn documents<P: Projection, E: From<SetupError> + From<UnknownProjection>>(
        &self,
    ) -> Result<Arc<Documents<P>>, E> {
        let driven = self.find::<E>(P::NAME)?;
        let any: Option<Arc<dyn Any + Send + Sync>> = driven.documents.clone().map(Rebuilt::as_any);
        Ok(any.and_then(|any| any.downcast().ok()).ok_or_else(|| self.unknown(P::NAME))?)
    }

    pub(crate) async fn head(&self, driven: &Driven) -> Result<Cursor, ProjectorError> {
        let events = |source| ProjectorError::Events { projection: driven.name().clone(), source };
        self.store.head().await.map_err(events)
    }
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projector").field("projections", &self.names()).finish_non_exhaustive()
    }
}
