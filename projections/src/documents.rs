//! A document projection as something that the projector drives.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use factum::{
    Batch, Checkpoint, CommitError, Failure, Generation, LogId, NewGeneration, Position, Projected, ProjectedError,
    ProjectionName, ProjectionVersion, Query, ReadModelError, ReadModelStore, RecordedEvent, Shard,
};

use crate::fields::{self, KeptFields};
use crate::fold::{Failed, Fold, Page as Decoded, Stopped, Why};
use crate::projection::{Projection, SetupError, filter};

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
    fields: KeptFields,
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
        let live =
            Mutex::new(Live { generation: None, fields: KeptFields::default(), failed: false, folds: HashMap::new() });
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

    pub(crate) fn cold(&self, shard: Shard, at: Position, fields: KeptFields) -> Fold<P> {
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
