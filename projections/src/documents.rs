//! A document projection as something that the projector drives.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    At, Batch, Checkpoint, CommitError, Cursor, DocumentKey, EventStore, Failure, Field, Generation, GenerationInfo,
    LogId, NewGeneration, Position, Projected, ProjectedError, ProjectionName, ProjectionVersion, Query,
    ReadModelError, ReadModelStore, RecordedEvent, Shard, Switch, SwitchError, Tenant,
};

use crate::drive::Driven;
use crate::error::DocumentError;
use crate::fields::{self, Kept};
use crate::find::FieldQuery;
use crate::fold::{Failed, Fold, Page as Decoded, Stopped, Why};
use crate::json::Json;
use crate::page::{Answer, Page, PageRequest, PageToken};
use crate::projection::{Projection, SetupError, filter};
use crate::rebuild::Rebuild;
use crate::replay::{Progress, ReplayReport};
use crate::replay_error::ReplayError;
use crate::replay_estimate::Sample;
use crate::replay_options::{ReplayOptions, What};
use crate::verify::{Verify, VerifyError, VerifyOptions, VerifyReport, Watch};

/// A projection and where its documents are kept.
pub(crate) struct Documents<P: Projection> {
    pub(crate) projection: Arc<P>,
    pub(crate) read_models: Arc<dyn ReadModelStore>,
    pub(crate) name: ProjectionName,
    filter: Query,
    live: Mutex<Live<P>>,
}

/// What is remembered of the live generation between pages.
struct Live<P: Projection> {
    generation: Option<Generation>,
    /// By what its documents are found.
    fields: Kept,
    /// Whether the store said, since this began, that one of its shards stands still.
    failed: bool,
    folds: HashMap<LogId, Warm<P>>,
}

/// A fold that holds everything up to a checkpoint.
struct Warm<P: Projection> {
    fold: Fold<P>,
    at: Checkpoint,
}

impl<P: Projection> Documents<P> {
    pub(crate) fn new(projection: P, read_models: Arc<dyn ReadModelStore>) -> Result<Self, SetupError> {
        let name = ProjectionName::from_static(P::NAME)
            .map_err(|source| SetupError::Input { projection: P::NAME.into(), source })?;
        fields::check::<P>()?;
        let live = Mutex::new(Live { generation: None, fields: Kept::default(), failed: false, folds: HashMap::new() });
        Ok(Self { projection: Arc::new(projection), read_models, name, filter: filter::<P>()?, live })
    }

    pub(crate) fn new_generation(&self) -> NewGeneration {
        NewGeneration {
            projection: self.name.clone(),
            version: ProjectionVersion(P::VERSION),
            fields: P::FIELDS.to_vec(),
        }
    }

    pub(crate) fn shard(&self, generation: Generation, log: LogId) -> Shard {
        Shard { projection: self.name.clone(), generation, partition: 0, log }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Live<P>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live generation as it was when it was last asked for.
    async fn generation(&self) -> Result<Generation, ReadModelError> {
        let known = self.lock().generation;
        match known {
            Some(generation) => Ok(generation),
            None => self.open().await,
        }
    }

    /// The live generation, which is made where there is none.
    async fn open(&self) -> Result<Generation, ReadModelError> {
        let info = self.read_models.open(&self.new_generation()).await?;
        let mut live = self.lock();
        live.failed |= info.failure.is_some();
        if live.generation != Some(info.generation) {
            if !fields::are_declared::<P>(&info.fields) {
                tracing::warn!(
                    projection = %self.name, generation = %info.generation, keeps = crate::find::show(&info.fields),
                    declared = crate::find::show(P::FIELDS), "the fields have changed: raise its VERSION, or replay it"
                );
            }
            live.fields = fields::kept::<P>(info.fields);
        }
        live.generation = Some(info.generation);
        Ok(info.generation)
    }

    /// Forgets what was known of the live generation: somebody else has changed it.
    pub(crate) fn forget(&self) {
        let mut live = self.lock();
        live.generation = None;
        live.folds.clear();
    }

    /// The fold that stands at `from`, out of its place: if this is cancelled, it is lost and made anew.
    fn warm(&self, shard: Shard, from: Checkpoint) -> Fold<P> {
        let warm = self.lock().folds.remove(&shard.log);
        match warm.filter(|warm| warm.at == from && *warm.fold.shard() == shard) {
            Some(warm) => warm.fold,
            None => self.cold_live(shard, from.position),
        }
    }

    fn cold_live(&self, shard: Shard, at: Position) -> Fold<P> {
        let fields = self.lock().fields.clone();
        self.cold(shard, at, fields)
    }

    pub(crate) fn cold(&self, shard: Shard, at: Position, fields: Kept) -> Fold<P> {
        Fold::new(self.projection.clone(), self.read_models.clone(), shard, at, fields)
    }

    async fn apply_batch(&self, batch: Batch) -> Result<(), ProjectedError> {
        let shard = self.shard(self.generation().await?, batch.log);
        let Batch { store, log, from, mut to, events } = batch;
        let mut fold = self.warm(shard.clone(), from);
        let mut page = Decoded::<P::Event>::decode(events, P::EVENT_TYPES);
        // User code is pure: what failed at an event fails there again, and what precedes it is folded anew.
        let commit = loop {
            if let Some(stopped) = &page.stopped {
                match page.last() {
                    Some(last) => to = last,
                    None => return Err(stopped.into()),
                }
            }
            let failed = match fold.page(&page).await {
                Ok(()) => match fold.take_commit(store, from.position, from.epoch, to) {
                    Ok(commit) => break commit,
                    Err((position, cause)) => (page.index_of(position), cause),
                },
                Err(Failed::At(index, cause)) => (index, cause),
                Err(Failed::Load(error)) => return Err(error.into()),
            };
            page.cut(failed.0, failed.1);
            fold = self.cold_live(shard.clone(), from.position);
        };
        self.read_models.commit(commit).await?;
        let at = Checkpoint { position: to.position, stands_on: Some((store, to.event)), epoch: from.epoch };
        self.lock().folds.insert(log, Warm { fold, at });
        page.stopped.as_ref().map_or(Ok(()), |stopped| Err(stopped.into()))
    }
}

impl<P: Projection> fmt::Debug for Documents<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<P: Projection> Projected for Documents<P> {
    fn name(&self) -> &ProjectionName {
        &self.name
    }

    fn version(&self) -> ProjectionVersion {
        ProjectionVersion(P::VERSION)
    }

    fn filter(&self) -> &Query {
        &self.filter
    }

    async fn checkpoint(&self, log: LogId) -> Result<Checkpoint, ProjectedError> {
        let shard = self.shard(self.open().await?, log);
        Ok(self.read_models.checkpoint(&shard).await?)
    }

    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        let applied = self.apply_batch(batch).await;
        let gone = matches!(
            applied,
            Err(ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
                | ProjectedError::ReadModel(ReadModelError::Expired { .. }))
        );
        if gone {
            self.forget();
        }
        applied
    }

    async fn report(&self, log: LogId, failure: Option<Failure>) -> Result<(), ProjectedError> {
        if failure.is_none() && !self.lock().failed {
            return Ok(());
        }
        let shard = self.shard(self.generation().await?, log);
        let epoch = self.read_models.checkpoint(&shard).await?.epoch;
        self.read_models.report(&shard, epoch, failure).await?;
        self.lock().failed = true;
        Ok(())
    }

    fn is_too_new(&self, event: &RecordedEvent) -> bool {
        let page = Decoded::<P::Event>::decode(vec![event.clone()], P::EVENT_TYPES);
        matches!(page.stopped, Some(Stopped { why: Why::Newer(_), .. }))
    }
}

/// What the projector asks of a document projection beside driving it.
#[async_trait]
pub(crate) trait Rebuilt: Projected {
    /// For finding the documents of a projection's type again.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;

    /// Its generations, live and others.
    async fn all_generations(&self) -> Result<Vec<GenerationInfo>, ReadModelError>;

    /// Makes one generation live in the place of another, and forgets what was known of that one.
    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError>;

    /// Takes a generation out of service.
    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ReadModelError>;

    /// Drops the retired generations that are kept no longer.
    async fn drop_expired(&self) -> Result<Vec<Generation>, ReadModelError>;

    /// Forgets a generation that is not live.
    async fn drop_generation(&self, generation: Generation) -> Result<(), ReadModelError>;

    /// A document as JSON, as it is or was.
    async fn get_json(
        &self,
        store: &dyn EventStore,
        key: DocumentKey,
        at: Option<At>,
    ) -> Result<Answer<Json>, DocumentError>;

    /// A document of a generation as JSON, as it is.
    async fn get_json_of(&self, generation: Generation, key: DocumentKey) -> Result<Answer<Json>, DocumentError>;

    /// A page of documents as JSON, as they are or were.
    async fn list_json(
        &self,
        store: &dyn EventStore,
        tenant: &Tenant,
        request: PageRequest,
        at: Option<At>,
    ) -> Result<Page<Json>, DocumentError>;

    /// By which fields its documents are found.
    fn fields(&self) -> &'static [Field];

    /// A page of the documents that a query finds, as JSON.
    async fn find_json(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<PageToken>,
        limit: usize,
    ) -> Result<Page<Json>, DocumentError>;

    /// How many documents a query finds.
    async fn count_found(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
    ) -> Result<u64, DocumentError>;

    /// Compares the documents of the live generation with history.
    async fn verify(
        &self,
        store: &dyn EventStore,
        options: &VerifyOptions,
        watch: Watch<'_>,
    ) -> Result<VerifyReport, VerifyError>;

    /// Folds the oldest events to see how fast that goes, and writes nothing.
    async fn sample(&self, store: &dyn EventStore, to: &Cursor, options: &ReplayOptions)
    -> Result<Sample, ReplayError>;

    /// Builds a generation from history, or catches up one that was retired, and makes it live.
    async fn replay(
        &self,
        driven: &Driven,
        store: &dyn EventStore,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError>;
}

#[async_trait]
impl<P: Projection> Rebuilt for Documents<P> {
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    async fn all_generations(&self) -> Result<Vec<GenerationInfo>, ReadModelError> {
        self.read_models.generations(&self.name).await
    }

    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError> {
        let switched = self.read_models.switch(&Switch { projection: self.name.clone(), from, to, keep_old }).await;
        self.forget();
        switched
    }

    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ReadModelError> {
        self.read_models.retire(&self.name, generation, keep).await
    }

    async fn drop_expired(&self) -> Result<Vec<Generation>, ReadModelError> {
        self.read_models.drop_expired(&self.name).await
    }

    async fn drop_generation(&self, generation: Generation) -> Result<(), ReadModelError> {
        self.read_models.drop_generation(&self.name, generation).await
    }

    async fn get_json(
        &self,
        store: &dyn EventStore,
        key: DocumentKey,
        at: Option<At>,
    ) -> Result<Answer<Json>, DocumentError> {
        self.answer_json(store, key, at).await
    }

    async fn get_json_of(&self, generation: Generation, key: DocumentKey) -> Result<Answer<Json>, DocumentError> {
        self.answer_json_of(generation, key).await
    }

    async fn list_json(
        &self,
        store: &dyn EventStore,
        tenant: &Tenant,
        request: PageRequest,
        at: Option<At>,
    ) -> Result<Page<Json>, DocumentError> {
        self.page_json(store, tenant, request, at).await
    }

    fn fields(&self) -> &'static [Field] {
        P::FIELDS
    }

    async fn find_json(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<PageToken>,
        limit: usize,
    ) -> Result<Page<Json>, DocumentError> {
        self.json_page(self.find(tenant, query, generation, token.as_ref(), limit).await?)
    }

    async fn count_found(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
    ) -> Result<u64, DocumentError> {
        self.count(tenant, query, generation).await
    }

    async fn verify(
        &self,
        store: &dyn EventStore,
        options: &VerifyOptions,
        watch: Watch<'_>,
    ) -> Result<VerifyReport, VerifyError> {
        Verify::begin(self, store, options).await?.run(watch).await
    }

    async fn sample(
        &self,
        store: &dyn EventStore,
        to: &Cursor,
        options: &ReplayOptions,
    ) -> Result<Sample, ReplayError> {
        self.fold_sample(store, to, options).await
    }

    async fn replay(
        &self,
        driven: &Driven,
        store: &dyn EventStore,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError> {
        Rebuild::begin(self, store, options, what).await?.run(driven, progress).await
    }
}
