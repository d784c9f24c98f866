//! Tables that are driven under a lease of another store: whoever takes them over raises the epoch here, so that the holder
//! before, who may have been stopped with a page in its hands, changes nothing when it comes back. And nobody who takes
//! over waits long for one that was stopped in the middle of a transaction.

mod common;
mod sql;

use std::time::Duration;

use common::{Place, place};
use factum::{
    Epoch, Generation, GenerationState, Generations, LeaseError, LeaseHolder, LeaseName, Position, Projected,
    ProjectedError, ProjectionVersion, RaiseEpochs, ReadModelError, ReadModelStore, TakeLease,
};
use sql::*;
use sqlx::Connection;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_holder_that_comes_back_changes_nothing() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let (stopped, taker, log) = (sums(&store), sums(&other), Log::new().deposits(&[1, 2]));
    assert_eq!(stopped.store_id(), Some(factum::EventStore::id(&*store)));
    assert_eq!(stopped.store_id(), other.store_id(), "two handles on one database are taken for two stores");
    let held = log.next(&stopped).await;
    assert_eq!(held.from.epoch, Epoch(0));

    let taken = taker.take_over(LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch), (Position::START, Epoch(1)));
    assert!(is_stale(&stopped.apply(held).await), "a page of before was written");
    assert!(shown(&place).await.is_empty());
    log.drive(&taker).await.unwrap();
    assert_eq!(shown(&place).await, ["1 3"]);

    let log = log.deposits(&[4]);
    let held = log.next(&stopped).await;
    let taken = taker.take_over(LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch, taken.stands_on), (Position::new(2), Epoch(2), held.from.stands_on));
    assert!(is_stale(&stopped.apply(held).await), "a page of before was written, in the middle of the log");
    assert_eq!(shown(&place).await, ["1 3"]);
    // It goes on like anybody else once it has looked again.
    log.drive(&stopped).await.unwrap();
    assert_eq!(shown(&place).await, ["1 7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_replay_that_comes_back_changes_nothing() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1, 2]));
    log.drive(&sums).await.unwrap();
    let live = sums.checkpoint(LOG).await.unwrap();
    let built = sums.build().await.unwrap().generation;
    let held = log.after(sums.checkpoint_of(built, LOG).await.unwrap(), 100).unwrap();
    let taken = sums.take_over_of(built, LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch), (Position::START, Epoch(1)));
    assert!(is_stale(&sums.apply_to(built, held).await), "a page of the replay before was written");
    sums.apply_to(built, log.after(taken, 100).unwrap()).await.unwrap();
    assert_eq!(sums.checkpoint(LOG).await.unwrap(), live, "the live one was taken over too");
    let gone = sums.take_over_of(Generation(9), LOG).await;
    assert!(matches!(gone, Err(ProjectedError::ReadModel(ReadModelError::Expired { .. }))), "{gone:?}");
}

/// Somebody who was stopped in the middle of a commit: its checkpoints stay locked.
async fn stopped_in_a_commit(place: &Place) -> sqlx::PgConnection {
    let mut conn = place.connection().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM factum.checkpoints FOR UPDATE").execute(&mut conn).await.unwrap();
    conn
}

/// Fails instead of waiting for as long as the lock is held.
async fn bounded<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it waits for a transaction that does not end")
}

/// Whoever takes a lease has others to renew: it gives up after a second, has changed nothing, and tries again later.
#[tokio::test(flavor = "multi_thread")]
async fn taking_a_lease_does_not_wait_for_a_transaction_that_stands_still() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    let (projection, version) = (sums.name().clone(), ProjectionVersion(1));
    let name = LeaseName::projection(&projection, version);
    let raise = RaiseEpochs { projection, version, state: GenerationState::Live, logs: vec![LOG] };
    let wish = TakeLease { raise: Some(raise), ..TakeLease::free(name, LeaseHolder::here()) };

    let stopped = stopped_in_a_commit(&place).await;
    let taken = bounded(store.take_lease(&wish)).await;
    assert!(matches!(&taken, Err(LeaseError::Fault(_))), "{taken:?}");
    assert_eq!(store.leases().await.unwrap(), [], "a lease was taken without its epochs");
    let over = bounded(sums.take_over(LOG)).await;
    assert!(matches!(over, Err(ProjectedError::ReadModel(ReadModelError::Fault(_)))), "{over:?}");

    stopped.close().await.unwrap();
    bounded(store.take_lease(&wish)).await.unwrap();
    assert_eq!(sums.checkpoint(LOG).await.unwrap().epoch, Epoch(1));
    assert_eq!(bounded(sums.take_over(LOG)).await.unwrap().epoch, Epoch(2));
}
