//! One process that runs several projections: none of them holds up another, nor the end.

mod common;
#[path = "common/workers.rs"]
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::*;
use factum::{
    Batch, Checkpoint, LogId, Projected, ProjectedError, ProjectionName, ProjectionVersion, Query, ReadModelStore,
};
use factum_projections::{Projector, ProjectorError};
use workers::*;

/// Written by hand, and panics where nobody catches it for an event.
#[derive(Debug)]
struct ByHand {
    name: ProjectionName,
    filter: Query,
    panics: Arc<AtomicBool>,
    at: std::sync::Mutex<Checkpoint>,
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
        Ok(*self.at.lock().unwrap())
    }
    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        assert!(!self.panics.load(Ordering::SeqCst), "the printer is on fire");
        let stands_on = Some((batch.store, batch.to.event));
        *self.at.lock().unwrap() = Checkpoint { position: batch.to.position, stands_on, ..batch.from };
        Ok(())
    }
    async fn report(&self, _: LogId, _: Option<factum::Failure>) -> Result<(), ProjectedError> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_one_never_ends_the_others_and_is_tried_again() {
    let store = bank(1);
    let panics = Arc::new(AtomicBool::new(true));
    let by_hand = ByHand {
        name: ProjectionName::new("printed").unwrap(),
        filter: Query::all(),
        panics: panics.clone(),
        at: std::sync::Mutex::default(),
    };
    let options = quick().backoff(Duration::from_millis(1), Duration::from_millis(10));
    let projector = Projector::new(store.clone(), store.clone()).options(options).with(A).with_projected(by_hand);
    let done = deposit(&*store, 1, 3).await;
    let worker = Worker::start(projector);
    soon(async {
        while !worker
            .projector
            .working_on()
            .iter()
            .any(|on| on.trouble.as_ref().is_some_and(|why| why.contains("on fire")))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon(worker.projector.wait_for("a", &done)).await.unwrap();
    panics.store(false, Ordering::SeqCst);
    soon(worker.projector.wait_for("printed", &done)).await.unwrap();
    for result in worker.end().await {
        result.result.unwrap();
    }
}

/// A page that takes longer than one is willing to wait at the end is dropped, and its projection says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_bounded_and_says_what_was_not_finished() {
    let store = bank(1);
    let faulty = Arc::new(Faulty::new(store.clone()));
    let options = quick().stop_within(Duration::from_millis(50));
    let worker = Worker::start(Projector::new(faulty.clone(), store.clone()).options(options).with(A));
    let done = deposit(&*store, 1, 3).await;
    soon(worker.projector.wait_for("a", &done)).await.unwrap();
    faulty.stall();
    let reads = faulty.reads();
    deposit(&*store, 1, 3).await;
    soon(async {
        while faulty.reads() == reads {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let results = worker.end().await;
    assert!(matches!(results[0].result, Err(ProjectorError::Unfinished { .. })), "{results:?}");
    assert_eq!(store.leases().await.unwrap(), [], "the lease of a page that was dropped was kept");
}

/// A signal of the store is one read of its log for all that stand at the head, and each still sees its own events only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projections_at_the_head_share_one_read() {
    let store = bank(1);
    let faulty = Arc::new(Faulty::new(store.clone()));
    let options = quick().poll_every(Duration::from_secs(3600));
    let projector = Projector::new(faulty.clone(), store.clone()).options(options);
    let worker = Worker::start(projector.with(A).with(B).with(C).with(D).with(E).with(F));
    settled(&store, &[6]).await;
    // Not by the projector: that reads the log itself where something lags.
    let current_at = async |done: &factum::Cursor| {
        for name in NAMES {
            let name = ProjectionName::new(*name).unwrap();
            while store.generations(&name).await.unwrap().iter().any(|info| info.checkpoint != *done) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    soon(current_at(&deposit(&*store, 1, 1).await)).await;
    let mut fewest = u64::MAX;
    for _ in 0..20 {
        let before = faulty.reads();
        let done = deposit(&*store, 1, 1).await;
        soon(current_at(&done)).await;
        fewest = fewest.min(faulty.reads() - before);
    }
    assert!(fewest < NAMES.len() as u64, "each reads the log by itself: {fewest} reads at best");
    let done = deposit(&*store, 1, 1).await;
    current(&store, &worker.projector, &done).await;
    worker.end().await;
}
