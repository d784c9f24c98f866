//! One replay of a projection at a time, across processes.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use factum::{Generation, LeaseHolder, LeaseName, ProjectionName, ProjectionVersion, ReadModelStore, TakeLease};
use factum_memory::MemoryStore;
use factum_projections::{Projector, ProjectorOptions, ReplayError, ReplayOptions};

fn projector(store: &Arc<MemoryStore>, lease_time: Duration) -> Projector {
    let options = ProjectorOptions::new().lease_time(lease_time);
    Projector::new(store.clone(), store.clone()).with(Balances::<5, 1>).options(options)
}

fn name() -> LeaseName {
    LeaseName::replay(&ProjectionName::new("balances").unwrap(), ProjectionVersion(1))
}

/// As another process would that replays the same.
async fn elsewhere(store: &MemoryStore) -> LeaseHolder {
    let holder = LeaseHolder::new("elsewhere:7:1").unwrap();
    store.take_lease(&TakeLease::free(name(), holder.clone())).await.unwrap();
    holder
}

#[tokio::test]
async fn the_second_says_who_runs_the_first_and_touches_nothing() {
    let store = bank(1);
    open(&*store, 1).await;
    let holder = elsewhere(&store).await;
    let alive = async {
        loop {
            store.renew_leases(&holder).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let one = projector(&store, Duration::from_secs(30));
    let told = tokio::select! {
        told = soon(one.replay("balances", ReplayOptions::new(), |_| {})) => told.unwrap_err(),
        () = alive => unreachable!(),
    };
    assert!(matches!(&told, ReplayError::Running { holder, .. } if holder == "elsewhere:7:1"), "{told}");
    assert_eq!(one.generations("balances").await.unwrap(), []);
    assert_eq!(store.leases().await.unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_was_killed_is_taken_over_once_it_has_stood_still_and_its_generation_gone_on_with() {
    let store = bank(1);
    for _ in 0..10 {
        open(&*store, 1).await;
    }
    let one = projector(&store, Duration::from_millis(100));
    one.replay("balances", ReplayOptions::new().to(factum::Position::new(4)), |_| {}).await.unwrap();
    elsewhere(&store).await;
    let report = soon(one.replay("balances", ReplayOptions::new(), |_| {})).await.unwrap();
    assert_eq!((report.generation, report.resumed_at), (Generation(2), Some(factum::Position::new(4).into())));
    assert!(report.live);
    assert_eq!(store.leases().await.unwrap(), [], "a replay that has ended keeps its lease");
}

/// Nobody waits for a replay of the same process that was dropped.
#[tokio::test]
async fn one_that_was_broken_off_in_this_process_is_not_waited_for() {
    use futures_util::FutureExt;
    let store = bank(1);
    for _ in 0..50 {
        open(&*store, 1).await;
    }
    let one = projector(&store, Duration::from_secs(3_600));
    let options = ReplayOptions::new().page_events(3).commit_events(4);
    {
        let mut dropped = Box::pin(one.replay("balances", options.clone(), |_| {}));
        for _ in 0..6 {
            assert!((&mut dropped).now_or_never().is_none());
        }
    }
    assert_eq!(store.leases().await.unwrap().len(), 1);
    let other = projector(&store, Duration::from_secs(3_600));
    soon(other.replay("balances", options, |_| {})).await.unwrap();
    assert_eq!(store.leases().await.unwrap(), []);
}
