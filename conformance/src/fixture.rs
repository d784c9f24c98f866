//! What a check is run against.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use factum::{EventStore, ReadModelStore};

type Reopening = Pin<Box<dyn Future<Output = Fixture> + Send>>;

/// An empty store, and what its author can do with it.
///
/// ```
/// use std::sync::Arc;
/// use factum_conformance::Fixture;
/// use factum_memory::MemoryStore;
///
/// let fixture = Fixture::new(Arc::new(MemoryStore::new()));
/// assert!(fixture.read_models().is_some());
/// ```
pub struct Fixture {
    store: Arc<dyn EventStore>,
    read_models: Option<Arc<dyn ReadModelStore>>,
    reopen: Option<Box<dyn Fn() -> Reopening + Send + Sync>>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Fixture {
    /// A store that keeps events and read models.
    pub fn new<S: EventStore + ReadModelStore>(store: Arc<S>) -> Self {
        Self { read_models: Some(store.clone()), ..Self::events_only(store) }
    }

    /// A store that keeps events only: the checks of the read-model port have nothing to look at.
    pub fn events_only(store: Arc<dyn EventStore>) -> Self {
        Self { store, read_models: None, reopen: None, kept: Vec::new() }
    }

    /// With read models that are kept somewhere else.
    #[must_use]
    pub fn with_read_models(mut self, read_models: Arc<dyn ReadModelStore>) -> Self {
        self.read_models = Some(read_models);
        self
    }

    /// With a way to open the same data again after the store was closed. A store that declares itself durable owes
    /// one.
    #[must_use]
    pub fn with_reopen<F, R>(mut self, reopen: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Self> + Send + 'static,
    {
        self.reopen = Some(Box::new(move || Box::pin(reopen())));
        self
    }

    /// With something that must live as long as the store, such as its temporary directory.
    #[must_use]
    pub fn keep(mut self, thing: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(thing));
        self
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// Its read models, if it keeps any.
    pub fn read_models(&self) -> Option<&Arc<dyn ReadModelStore>> {
        self.read_models.as_ref()
    }

    /// Closes the store and opens its data again; `None` where the author gave no way to.
    ///
    /// # Panics
    /// If the store does not close.
    pub async fn reopened(&self) -> Option<Self> {
        let reopen = self.reopen.as_ref()?;
        if let Err(error) = self.store.close().await {
            panic!("the store did not close: {error}");
        }
        Some(reopen().await)
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store.id())
            .field("read_models", &self.read_models.is_some())
            .field("reopen", &self.reopen.is_some())
            .finish_non_exhaustive()
    }
}
