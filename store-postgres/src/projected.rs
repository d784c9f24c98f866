//! A projection into tables as something that the projector drives.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Batch, Checkpoint, CommitError, DecodedPage, Failure, Generation, GenerationInfo, GenerationState, Generations,
    LogId, NewGeneration, Projected, ProjectedError, ProjectionName, ProjectionVersion, Query, ReadModelStore,
    RecordedEvent, Shard, StopCause, StoreId, Switch, SwitchError, event_filter,
};

use crate::projection::{SqlProjection, SqlSetupError};
use crate::projection_write::Step;
use crate::sql::Schema;
use crate::store::PostgresStore;
use crate::{projection_make, read_models_read as read, tables};

/// A projection into tables of a store's database, for a projector: give it to `Projector::with_projected`.
pub struct SqlProjected<P: SqlProjection> {
    pub(crate) projection: P,
    pub(crate) store: Arc<PostgresStore>,
    name: ProjectionName,
    filter: Query,
    live: Mutex<Live>,
}

/// What is remembered of the live generation.
#[derive(Default)]
struct Live {
    generation: Option<Generation>,
    /// Whether the store said, since this began, that it stands still.
    failed: bool,
}

impl PostgresStore {
    /// A projection into tables of this database, as something that a projector drives. Its tables are made when it is
    /// first driven, which the role of the connection must be allowed to do.
    ///
    /// # Errors
    /// [`SqlSetupError`] if it cannot be run as it is written.
    pub fn sql_projection<P: SqlProjection>(self: &Arc<Self>, projection: P) -> Result<SqlProjected<P>, SqlSetupError> {
        let name = ProjectionName::from_static(P::NAME)
            .map_err(|source| SqlSetupError::Name { projection: P::NAME, source })?;
        tables::check(P::NAME, P::TABLES)?;
        if Schema::new(P::PLACE).is_none() {
            return Err(SqlSetupError::BadPlace { projection: P::NAME, place: P::PLACE });
        }
        let filter = event_filter::<P::Event>(P::EVENT_TYPES)
            .map_err(|source| SqlSetupError::Events { projection: P::NAME, source })?;
        Ok(SqlProjected { projection, store: Arc::clone(self), name, filter, live: Mutex::default() })
    }
}

impl<P: SqlProjection> SqlProjected<P> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, generation: Generation, log: LogId) -> Shard {
        Shard { projection: self.name.clone(), generation, partition: 0, log }
    }

    async fn find_or_make(&self, state: GenerationState) -> Result<GenerationInfo, ProjectedError> {
        let new = NewGeneration { projection: self.name.clone(), version: self.version(), fields: Vec::new() };
        Ok(projection_make::find_or_make::<P>(&self.store, &new, state).await?)
    }

    /// The live generation, which is made where there is none.
    async fn open_live(&self) -> Result<GenerationInfo, ProjectedError> {
        let info = self.find_or_make(GenerationState::Live).await?;
        let mut live = self.lock();
        live.failed |= info.failure.is_some();
        live.generation = Some(info.generation);
        Ok(info)
    }

    /// The live generation as it was when it was last asked for.
    async fn generation(&self) -> Result<Generation, ProjectedError> {
        let known = self.lock().generation;
        match known {
            Some(generation) => Ok(generation),
            None => Ok(self.open_live().await?.generation),
        }
    }

    async fn apply_batch(&self, generation: Generation, batch: Batch) -> Result<(), ProjectedError> {
        let Batch { store, log, from, to, events } = batch;
        let page = DecodedPage::<P::Event>::decode(events, P::EVENT_TYPES);
        let to = match (&page.stopped, page.last()) {
            (None, _) => to,
            (Some(_), Some(last)) => last,
            (Some(stopped), None) => return Err(stopped.into()),
        };
        let step = Step { shard: self.shard(generation, log), from: from.position, epoch: from.epoch, store, to };
        let failed = step.apply(self, &page.events).await?;
        let stopped = failed.and_then(|(at, why)| page.stopped_at(at, why)).or_else(|| page.stopped.clone());
        stopped.map_or(Ok(()), |stopped| Err((&stopped).into()))
    }

    async fn report_to(
        &self,
        generation: Generation,
        log: LogId,
        failure: Option<Failure>,
    ) -> Result<(), ProjectedError> {
        let shard = self.shard(generation, log);
        let epoch = ReadModelStore::checkpoint(&*self.store, &shard).await?.epoch;
        Ok(ReadModelStore::report(&*self.store, &shard, epoch, failure).await?)
    }
}

impl<P: SqlProjection> fmt::Debug for SqlProjected<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlProjected").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl<P: SqlProjection> Projected for SqlProjected<P> {
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
        let generation = self.open_live().await?.generation;
        self.checkpoint_of(generation, log).await
    }

    async fn take_over(&self, log: LogId) -> Result<Checkpoint, ProjectedError> {
        let generation = self.open_live().await?.generation;
        self.take_over_of(generation, log).await
    }

    fn store_id(&self) -> Option<StoreId> {
        ReadModelStore::store_id(&*self.store)
    }

    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        let applied = self.apply_batch(self.generation().await?, batch).await;
        if let Err(ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })) = applied {
            // Somebody else has changed it.
            self.lock().generation = None;
        }
        applied
    }

    async fn report(&self, log: LogId, failure: Option<Failure>) -> Result<(), ProjectedError> {
        if failure.is_none() && !self.lock().failed {
            return Ok(());
        }
        self.report_to(self.generation().await?, log, failure).await?;
        self.lock().failed = true;
        Ok(())
    }

    fn is_too_new(&self, event: &RecordedEvent) -> bool {
        let page = DecodedPage::<P::Event>::decode(vec![event.clone()], P::EVENT_TYPES);
        page.stopped.is_some_and(|stopped| matches!(stopped.why, StopCause::Newer(_)))
    }

    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

#[async_trait]
impl<P: SqlProjection> Generations for SqlProjected<P> {
    async fn open(&self) -> Result<GenerationInfo, ProjectedError> {
        self.open_live().await
    }

    async fn build(&self) -> Result<GenerationInfo, ProjectedError> {
        self.find_or_make(GenerationState::Building).await
    }

    async fn list(&self) -> Result<Vec<GenerationInfo>, ProjectedError> {
        Ok(ReadModelStore::generations(&*self.store, &self.name).await?)
    }

    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        Ok(ReadModelStore::checkpoint(&*self.store, &self.shard(generation, log)).await?)
    }

    async fn take_over_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        let shard = self.shard(generation, log);
        Ok(read::take_over(&self.store.db, &shard).await?)
    }

    async fn apply_to(&self, generation: Generation, batch: Batch) -> Result<(), ProjectedError> {
        self.apply_batch(generation, batch).await
    }

    async fn report_of(
        &self,
        generation: Generation,
        log: LogId,
        failure: Option<Failure>,
    ) -> Result<(), ProjectedError> {
        self.report_to(generation, log, failure).await
    }

    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError> {
        let switch = Switch { projection: self.name.clone(), from, to, keep_old };
        ReadModelStore::switch(&*self.store, &switch).await
    }

    async fn switch_diverged(
        &self,
        from: Generation,
        to: Generation,
        keep_old: Option<Duration>,
    ) -> Result<(), SwitchError> {
        let switch = Switch { projection: self.name.clone(), from, to, keep_old };
        ReadModelStore::switch_diverged(&*self.store, &switch).await
    }

    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ProjectedError> {
        Ok(ReadModelStore::retire(&*self.store, &self.name, generation, keep).await?)
    }

    async fn reopen(&self, generation: Generation) -> Result<GenerationInfo, ProjectedError> {
        Ok(ReadModelStore::reopen(&*self.store, &self.name, generation).await?)
    }

    async fn drop_expired(&self) -> Result<Vec<Generation>, ProjectedError> {
        Ok(ReadModelStore::drop_expired(&*self.store, &self.name).await?)
    }

    async fn drop_generation(&self, generation: Generation) -> Result<(), ProjectedError> {
        Ok(ReadModelStore::drop_generation(&*self.store, &self.name, generation).await?)
    }
}
