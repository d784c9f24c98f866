//! A projection that fails again and again without halting is no secret of the process that drives it.

mod common;
#[path = "common/workers.rs"]
mod workers;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use factum::ReadModelStore;
use factum_memory::MemoryStore;
use factum_projections::{ProjectionState, Projector, ProjectorError, ReplayOptions};
use workers::*;

fn observer(store: &Arc<MemoryStore>) -> Projector {
    Projector::new(store.clone(), store.clone()).options(quick()).with(A)
}

async fn until_noted(store: &MemoryStore, noted: bool) {
    soon(async {
        loop {
            let leases = store.leases().await.unwrap();
            if leases.iter().any(|lease| lease.name == lease_of("a") && lease.note.is_empty() != noted) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lasts_is_seen_by_every_process_until_it_is_over() {
    let store = bank(1);
    let faulty = Arc::new(Faulty::new(store.clone()));
    let options = quick().backoff(Duration::from_millis(1), Duration::from_millis(10));
    let worker = Worker::start(Projector::new(faulty.clone(), store.clone()).options(options).with(A));
    settled(&store, &[1]).await;
    let done = deposit(&*store, 1, 5).await;
    soon(worker.projector.wait_for("a", &done)).await.unwrap();
    let other = observer(&store);
    let well = other.status_of("a").await.unwrap();
    assert_eq!(
        (well.state, well.owner.unwrap().note),
        (ProjectionState::Live, String::new()),
        "a note while all is well"
    );

    faulty.fail(i64::MAX);
    let done = deposit(&*store, 1, 5).await;
    until_noted(&store, true).await;
    let status = other.status_of("a").await.unwrap();
    assert_eq!(status.state, ProjectionState::Failing);
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("too busy") && trouble.contains("tried again since"), "{trouble}");
    let found = other.diagnose(Duration::ZERO).await.unwrap();
    let [finding] = &found.findings[..] else { panic!("{found:?}") };
    assert_eq!(finding.code(), "failing");
    assert!(finding.why().contains("too busy"), "{finding:?}");
    let health = other.health().await.unwrap();
    assert!(health.not_ready(100)[0].contains("too busy"), "{health:?}");

    // Whoever waits for it is told too.
    let error = soon(other.wait_for_within("a", &done, Duration::from_millis(50))).await.unwrap_err();
    assert!(
        error.to_string().contains("which says that it fails: ") && error.to_string().contains("too busy"),
        "{error}"
    );

    faulty.heal();
    soon(other.wait_for("a", &done)).await.unwrap();
    until_noted(&store, false).await;
    assert_eq!(other.status_of("a").await.unwrap().state, ProjectionState::Live);
    // Its lease was never taken anew.
    assert_eq!(other.status_of("a").await.unwrap().owner.unwrap().holder, worker.holder().to_string());
    worker.end().await;
}

/// Where nothing is live, or another generation is half built, that may be the reason, and it is said.
#[tokio::test]
async fn a_wait_that_times_out_says_what_is_being_built() {
    let store = bank(1);
    let done = deposit(&*store, 1, 5).await;
    let faulty = Arc::new(Faulty::new(store.clone()));
    let waiter = Projector::new(faulty.clone(), store.clone()).options(quick()).with(A);
    faulty.stall();
    let wait = Duration::from_millis(20);
    let error = soon(waiter.wait_for_within("a", &done, wait)).await.unwrap_err();
    let ProjectorError::TimedOut { trouble, .. } = &error else { panic!("{error:?}") };
    assert_eq!(trouble, &None, "the live generation was made, and stands at the start");
    faulty.heal();
    soon(waiter.wait_for("a", &done)).await.unwrap();

    deposit(&*store, 1, 5).await;
    let to = done.clone();
    soon(waiter.replay("a", ReplayOptions::new().to(to), |_| ())).await.unwrap();
    let last = deposit(&*store, 1, 5).await;
    faulty.stall();
    // A process that has not looked at it yet says how far it is all the same.
    let fresh = Projector::new(faulty.clone(), store.clone()).options(quick()).with(A);
    let error = soon(fresh.wait_for_within("a", &last, wait)).await.unwrap_err();
    let ProjectorError::TimedOut { trouble, checkpoint, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        (trouble.as_deref(), checkpoint),
        (Some("generation 2 is half built, stopped at 1; nobody builds it"), &done)
    );
}
