//! A projection into tables as something that the projector drives.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Batch, Checkpoint, CommitError, DecodedPage, Failure, Generation, GenerationInfo, GenerationState, Generations,
    LogId, Mark, NewGeneration, Projected, ProjectedError, ProjectionName, ProjectionVersion, Query, ReadModelError,
    ReadModelStore, RecordedEvent, Shard, StopCause, StoreId, Switch, SwitchError, catch_panic, event_filter,
};

use crate::job::Failed;
use crate::projection::{SqlError, SqlProjection, SqlSetupError};
use crate::projection_write::{self as write, Step, Taken};
use crate::read_models_read as read;
use crate::read_models_write as write_models;
use crate::readers::Moment;
use crate::store::SqliteStore;
use crate::tables;
use crate::transaction::SqlReader;

/// About how many bytes one event writes, for what one transaction takes.
const EVENT_BYTES: usize = 200;

/// A projection into tables of a store's file, for a projector: give it to `Projector::with_projected`.
pub struct SqlProjected<P: SqlProjection> {
    projection: Arc<P>,
    store: Arc<SqliteStore>,
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

impl SqliteStore {
    /// A projection into tables of this file, as something that a projector drives. Its tables are made when it is
    /// first driven.
    ///
    /// # Errors
    /// [`SqlSetupError`] if it cannot be run as it is written.
    pub fn sql_projection<P: SqlProjection>(self: &Arc<Self>, projection: P) -> Result<SqlProjected<P>, SqlSetupError> {
        let name = ProjectionName::from_static(P::NAME)
            .map_err(|source| SqlSetupError::Name { projection: P::NAME, source })?;
        tables::check(P::NAME, P::TABLES)?;
        let filter = event_filter::<P::Event>(P::EVENT_TYPES)
            .map_err(|source| SqlSetupError::Events { projection: P::NAME, source })?;
        let (projection, store) = (Arc::new(projection), Arc::clone(self));
        Ok(SqlProjected { projection, store, name, filter, live: Mutex::default() })
    }

    /// Runs queries on one moment of the file, on one of the threads that read.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let directory = tempfile::tempdir()?;
    /// let store = factum_sqlite::SqliteStore::open(directory.path().join("bank.db"))?;
    /// let events: Option<i64> =
    ///     store.query(|sql| sql.query_one("SELECT count(*) FROM events", [], |row| row.get(0))).await?;
    /// assert_eq!(events, Some(0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn query<T, F>(&self, queries: F) -> Result<T, SqlError>
    where
        T: Send + 'static,
        F: FnOnce(&SqlReader<'_>) -> Result<T, SqlError> + Send + 'static,
    {
        self.readers
            .read_gated(move |conn, gate| {
                let moment = Moment::of(conn)?;
                let answer = catch_panic(|| queries(&SqlReader::new(&moment, gate)));
                answer.unwrap_or_else(|panic| Err(SqlError::Panicked(panic))).map_err(Failed::Answer)
            })
            .await
    }
}

impl<P: SqlProjection> SqlProjected<P> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, generation: Generation, log: LogId) -> Shard {
        Shard { projection: self.name.clone(), generation, partition: 0, log }
    }

    fn new_generation(&self) -> NewGeneration {
        NewGeneration { projection: self.name.clone(), version: self.version(), fields: Vec::new() }
    }

    /// Most calls find it there; only who does not goes through the writer.
    async fn find_or_make(&self, state: GenerationState) -> Result<GenerationInfo, ReadModelError> {
        let wanted = self.new_generation();
        let found = self
            .store
            .readers
            .read(move |conn| {
                let moment = Moment::of(conn)?;
                let found = read::in_state(&moment, &wanted, state)?;
                found.map(|info| write::with_tables(&moment, info)).transpose()
            })
            .await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let new = self.new_generation();
        self.store.writer.submit(0, move |inside| write::find_or_make_tables::<P>(inside, &new, state)).await
    }

    /// The live generation, which is made where there is none.
    async fn open_live(&self) -> Result<GenerationInfo, ReadModelError> {
        let info = self.find_or_make(GenerationState::Live).await?;
        let mut live = self.lock();
        live.failed |= info.failure.is_some();
        live.generation = Some(info.generation);
        Ok(info)
    }

    /// The live generation as it was when it was last asked for.
    async fn generation(&self) -> Result<Generation, ReadModelError> {
        let known = self.lock().generation;
        match known {
            Some(generation) => Ok(generation),
            None => Ok(self.open_live().await?.generation),
        }
    }

    async fn apply_batch(&self, generation: Generation, batch: Batch) -> Result<(), ProjectedError> {
        let Batch { store, log, from, to, events } = batch;
        let page = Arc::new(DecodedPage::<P::Event>::decode(events, P::EVENT_TYPES));
        let to = match (&page.stopped, page.last()) {
            (None, _) => to,
            (Some(_), Some(last)) => last,
            (Some(stopped), None) => return Err(stopped.into()),
        };
        let (mut count, mut to, mut singly, mut failed) = (page.events.len(), to, false, None);
        loop {
            let (shard, page) = (self.shard(generation, log), Arc::clone(&page));
            let (from, epoch, gone) = (from.position, from.epoch, Mutex::default());
            let step = Arc::new(Step { shard, from, epoch, store, page, count, to, singly, gone });
            let error = match self.submit(&step).await {
                Ok(Taken { events, failed: why }) => {
                    failed = why.map(|why| (events, why)).or(failed);
                    break;
                }
                Err(error) => error,
            };
            match step.gone.lock().unwrap_or_else(PoisonError::into_inner).take() {
                None => return Err(error.into()),
                // Which event it was is found out by applying them one by one.
                Some((None, _)) => singly = true,
                // Those before it are applied without it.
                Some((Some(at), why)) => {
                    failed = Some((at, why));
                    let Some(last) = at.checked_sub(1).and_then(|last| step.page.events.get(last)) else { break };
                    (count, to, singly) = (at, Mark { position: last.position, event: last.id }, false);
                }
            }
        }
        let stopped = failed.and_then(|(at, why)| page.stopped_at(at, why)).or_else(|| page.stopped.clone());
        stopped.map_or(Ok(()), |stopped| Err((&stopped).into()))
    }

    async fn submit(&self, step: &Arc<Step<P::Event>>) -> Result<Taken, CommitError> {
        let (projection, step) = (Arc::clone(&self.projection), Arc::clone(step));
        let size = step.count * EVENT_BYTES;
        self.store.writer.submit(size, move |inside| write::apply(inside, &*projection, &step)).await
    }

    async fn report_to(
        &self,
        generation: Generation,
        log: LogId,
        failure: Option<Failure>,
    ) -> Result<(), ProjectedError> {
        let shard = self.shard(generation, log);
        let epoch = self.store.checkpoint(&shard).await?.epoch;
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
        Ok(self.store.checkpoint(&self.shard(generation, log)).await?)
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
        Ok(self.open_live().await?)
    }

    async fn build(&self) -> Result<GenerationInfo, ProjectedError> {
        Ok(self.find_or_make(GenerationState::Building).await?)
    }

    async fn list(&self) -> Result<Vec<GenerationInfo>, ProjectedError> {
        Ok(ReadModelStore::generations(&*self.store, &self.name).await?)
    }

    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        Ok(self.store.checkpoint(&self.shard(generation, log)).await?)
    }

    async fn take_over_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        let shard = self.shard(generation, log);
        Ok(self.store.writer.submit(0, move |inside| write_models::take_over(inside, &shard)).await?)
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
