//! What keeps its checkpoints elsewhere than the leases lie: whoever takes its lease over raises its epoch there, once, before it
//! applies anything.

mod common;
#[path = "common/workers.rs"]
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use common::*;
use factum::{
    Batch, Checkpoint, CommitError, EventStore, LogId, Projected, ProjectedError, ProjectionName, ProjectionVersion,
    Query, StoreId,
};
use factum_memory::MemoryStore;
use factum_projections::Projector;
use tokio::sync::Semaphore;
use workers::*;

/// Another database: a sum, and the checkpoint beside it.
#[derive(Debug, Default)]
struct Elsewhere {
    row: std::sync::Mutex<Row>,
    taken_over: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Row {
    checkpoint: Checkpoint,
    events: usize,
}

/// A projection into it, in one process.
#[derive(Debug)]
struct ByHand {
    name: ProjectionName,
    filter: Query,
    elsewhere: Arc<Elsewhere>,
    id: Option<StoreId>,
    /// A page waits for one of these before it is applied.
    pages: Arc<Semaphore>,
    /// Told when a page waits, and when one was refused.
    waits: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

impl ByHand {
    fn new(elsewhere: &Arc<Elsewhere>, pages: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            name: ProjectionName::new("sum").unwrap(),
            filter: Query::all(),
            elsewhere: elsewhere.clone(),
            id: None,
            pages: semaphore(pages),
            waits: semaphore(0),
            refused: semaphore(0),
        }
    }
}

#[async_trait]
impl Projected for ByHand {
    fn name(&self) -> &ProjectionName {
        &self.name
    }
    fn version(&self) -> ProjectionVersion {
        ProjectionVersion(1)
    }
    fn filter(&self) -> &Query {
        &self.filter
    }
    async fn checkpoint(&self, _: LogId) -> Result<Checkpoint, ProjectedError> {
        Ok(self.elsewhere.row.lock().unwrap().checkpoint)
    }
    async fn take_over(&self, _: LogId) -> Result<Checkpoint, ProjectedError> {
        self.elsewhere.taken_over.fetch_add(1, Ordering::SeqCst);
        let mut row = self.elsewhere.row.lock().unwrap();
        row.checkpoint.epoch.0 += 1;
        Ok(row.checkpoint)
    }
    fn store_id(&self) -> Option<StoreId> {
        self.id
    }
    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        self.waits.add_permits(1);
        self.pages.acquire().await.unwrap().forget();
        let mut row = self.elsewhere.row.lock().unwrap();
        let found = row.checkpoint;
        if found != batch.from {
            self.refused.add_permits(1);
            return Err(ProjectedError::Commit(CommitError::Stale {
                projection: self.name.clone(),
                expected: batch.from.position,
                expected_epoch: batch.from.epoch,
                found: found.position,
                found_epoch: found.epoch,
            }));
        }
        let stands_on = Some((batch.store, batch.to.event));
        row.checkpoint = Checkpoint { position: batch.to.position, stands_on, ..found };
        row.events += batch.events.len();
        Ok(())
    }
    async fn report(&self, _: LogId, _: Option<factum::Failure>) -> Result<(), ProjectedError> {
        Ok(())
    }
}

fn process(store: &Arc<MemoryStore>, by_hand: ByHand) -> Projector {
    Projector::new(store.clone(), store.clone()).options(quick()).with_projected(by_hand)
}

/// Where the position alone guarded it, the page of the stopped one was written: the new one had not applied anything yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_holder_that_comes_back_changes_nothing() {
    let (store, elsewhere) = (bank(1), Arc::<Elsewhere>::default());
    let done = deposit(&*store, 1, 5).await;
    let (one, two) = (ByHand::new(&elsewhere, 0), ByHand::new(&elsewhere, 0));
    let (its_page, waits, refused) = (one.pages.clone(), one.waits.clone(), one.refused.clone());
    let (other_page, other_waits) = (two.pages.clone(), two.waits.clone());
    let stopped = process(&store, one);
    let page = tokio::spawn({
        let (stopped, done) = (stopped.clone(), done.clone());
        async move { stopped.wait_for("sum", &done).await }
    });
    soon(waits.acquire()).await.unwrap().forget();

    // It renews nothing, and another takes its lease over, and has a page in its hands too.
    let taker = process(&store, two);
    let taking = tokio::spawn({
        let (taker, done) = (taker.clone(), done.clone());
        async move { taker.wait_for("sum", &done).await }
    });
    soon(other_waits.acquire()).await.unwrap().forget();
    its_page.add_permits(1);
    soon(refused.acquire()).await.unwrap().forget();
    assert_eq!(elsewhere.row.lock().unwrap().events, 0, "the page of the stopped one was written");
    other_page.add_permits(1);
    soon(taking).await.unwrap().unwrap();
    soon(page).await.unwrap().unwrap();
    assert_eq!(elsewhere.row.lock().unwrap().events, 1);
}

/// One write for each taking of the lease, none for each page, and none where the lease raises the epochs itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_raised_once_for_each_taking_of_the_lease_and_not_where_it_rises_with_it() {
    let (store, elsewhere) = (bank(1), Arc::<Elsewhere>::default());
    let many = 1 << 20;
    let worker = Worker::start(process(&store, ByHand::new(&elsewhere, many)));
    settled(&store, &[1]).await;
    for _ in 0..20 {
        let done = deposit(&*store, 1, 5).await;
        soon(worker.projector.wait_for("sum", &done)).await.unwrap();
    }
    assert_eq!(elsewhere.taken_over.load(Ordering::SeqCst), 1);
    worker.end().await;
    let done = deposit(&*store, 1, 5).await;
    soon(process(&store, ByHand::new(&elsewhere, many)).wait_for("sum", &done)).await.unwrap();
    assert_eq!(elsewhere.taken_over.load(Ordering::SeqCst), 2);

    let same = ByHand { id: Some(EventStore::id(&*store)), ..ByHand::new(&elsewhere, many) };
    let done = deposit(&*store, 1, 5).await;
    soon(process(&store, same).wait_for("sum", &done)).await.unwrap();
    assert_eq!(elsewhere.taken_over.load(Ordering::SeqCst), 2, "what rises with the lease is raised twice");
    assert_eq!(elsewhere.row.lock().unwrap().events, 22);
}
