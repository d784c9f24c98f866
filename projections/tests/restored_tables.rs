//! A replay of what keeps tables of its own, of a store that is restored from a backup meanwhile.

mod common;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::*;
use factum::{
    Batch, Checkpoint, Commit, EventId, Failure, Generation, GenerationInfo, Generations, LogId, NewGeneration,
    Position, Projected, ProjectedError, ProjectionName, ProjectionVersion, Query, ReadModelStore, Shard, Switch,
    SwitchError,
};
use factum_memory::MemoryStore;
use factum_projections::{Projector, ReplayOptions, ReplayProgress};

const VERSION: ProjectionVersion = ProjectionVersion(1);

/// The events of each generation, in a list; the store keeps the generations themselves.
#[derive(Debug)]
struct Lists {
    name: ProjectionName,
    filter: Query,
    store: Arc<MemoryStore>,
    lists: Arc<Mutex<BTreeMap<Generation, Vec<EventId>>>>,
}

impl Lists {
    fn shard(&self, generation: Generation, log: LogId) -> Shard {
        Shard { projection: self.name.clone(), generation, partition: 0, log }
    }

    fn new_generation(&self) -> NewGeneration {
        NewGeneration { projection: self.name.clone(), version: VERSION, fields: Vec::new() }
    }

    fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Switch {
        Switch { projection: self.name.clone(), from, to, keep_old }
    }
}

#[async_trait]
impl Projected for Lists {
    fn name(&self) -> &ProjectionName {
        &self.name
    }
    fn version(&self) -> ProjectionVersion {
        VERSION
    }
    fn filter(&self) -> &Query {
        &self.filter
    }
    async fn checkpoint(&self, log: LogId) -> Result<Checkpoint, ProjectedError> {
        self.checkpoint_of(self.open().await?.generation, log).await
    }
    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        self.apply_to(self.open().await?.generation, batch).await
    }
    async fn report(&self, _: LogId, _: Option<Failure>) -> Result<(), ProjectedError> {
        Ok(())
    }
    fn generations(&self) -> Option<&dyn Generations> {
        Some(self)
    }
}

#[async_trait]
impl Generations for Lists {
    async fn open(&self) -> Result<GenerationInfo, ProjectedError> {
        Ok(self.store.open(&self.new_generation()).await?)
    }
    async fn build(&self) -> Result<GenerationInfo, ProjectedError> {
        Ok(self.store.build(&self.new_generation()).await?)
    }
    async fn list(&self) -> Result<Vec<GenerationInfo>, ProjectedError> {
        Ok(ReadModelStore::generations(&*self.store, &self.name).await?)
    }
    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        Ok(ReadModelStore::checkpoint(&*self.store, &self.shard(generation, log)).await?)
    }
    async fn apply_to(&self, generation: Generation, batch: Batch) -> Result<(), ProjectedError> {
        let shard = self.shard(generation, batch.log);
        let Batch { store, from, to, events, .. } = batch;
        let (position, epoch) = (from.position, from.epoch);
        let (documents, kept, fields) = (Vec::new(), Vec::new(), Vec::new());
        let commit = Commit { shard, from: position, epoch, store, to, documents, kept, keep_from: None, fields };
        self.store.commit(commit).await?;
        self.lists.lock().unwrap().entry(generation).or_default().extend(events.iter().map(|event| event.id));
        Ok(())
    }
    async fn report_of(&self, _: Generation, _: LogId, _: Option<Failure>) -> Result<(), ProjectedError> {
        Ok(())
    }
    async fn switch(&self, from: Generation, to: Generation, keep: Option<Duration>) -> Result<(), SwitchError> {
        ReadModelStore::switch(&*self.store, &Lists::switch(self, from, to, keep)).await
    }
    async fn switch_diverged(
        &self,
        from: Generation,
        to: Generation,
        keep: Option<Duration>,
    ) -> Result<(), SwitchError> {
        ReadModelStore::switch_diverged(&*self.store, &Lists::switch(self, from, to, keep)).await
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

/// It never looked down at all: it applied the pages that it had read ahead, and went on in what was restored after their positions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_of_tables_applies_no_page_that_it_read_before_its_store_was_restored() {
    let (lost, restored) = with_a_backup(6, 12, 30).await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let (name, filter, lists) = (ProjectionName::new("lists").unwrap(), Query::all(), Arc::<Mutex<_>>::default());
    let tables = Lists { name, filter, store: lost.clone(), lists: lists.clone() };
    let projector = Projector::new(store.clone(), lost).with_projected(tables);
    let away = |progress: ReplayProgress| {
        if progress.position == Position::new(6).into() {
            store.restore(restored.clone());
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    let replayed = soon(projector.replay("lists", ReplayOptions::new().page_events(2), away)).await.unwrap();
    let events: Vec<_> = everything(&*restored).await.into_iter().map(|event| event.id).collect();
    assert_eq!((replayed.live, replayed.events), (true, 36));
    assert_eq!(lists.lock().unwrap()[&replayed.generation], events);
}
