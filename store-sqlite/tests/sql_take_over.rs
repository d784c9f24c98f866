//! Tables that are driven under a lease of another store: whoever takes them over raises the epoch here, so that the holder
//! before, who may have been stopped with a page in its hands, changes nothing when it comes back.

mod common;
mod sql;

use common::place;
use factum::{Epoch, Generation, Generations, Position, Projected, ProjectedError, ReadModelError, ReadModelStore};
use sql::*;

#[tokio::test]
async fn a_stopped_holder_that_comes_back_changes_nothing() {
    let (_directory, file) = place();
    let (store, other) = (open(&file), open(&file));
    deposits(&store, &[1, 2]).await;
    let (stopped, taker) = (sums(&store), sums(&other));
    assert_eq!(stopped.store_id(), Some(factum::EventStore::id(&*store)));
    assert_eq!(stopped.store_id(), other.store_id(), "two handles on one file are taken for two stores");
    let held = next(&store, &stopped).await;
    assert_eq!(held.from.epoch, Epoch(0));

    let taken = taker.take_over(LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch), (Position::START, Epoch(1)));
    assert!(is_stale(&stopped.apply(held).await), "a page of before was written");
    assert!(shown(&store).await.is_empty());
    drive(&other, &taker).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 3)]);

    deposits(&store, &[4]).await;
    let held = next(&store, &stopped).await;
    let taken = taker.take_over(LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch, taken.stands_on), (Position::new(2), Epoch(2), held.from.stands_on));
    assert!(is_stale(&stopped.apply(held).await), "a page of before was written, in the middle of the log");
    assert_eq!(shown(&store).await, [("1".to_owned(), 3)]);
    // It goes on like anybody else once it has looked again.
    drive(&store, &stopped).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 7)]);
}

#[tokio::test]
async fn a_stopped_replay_that_comes_back_changes_nothing() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1, 2]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    let live = sums.checkpoint(LOG).await.unwrap();
    let built = sums.build().await.unwrap().generation;
    let held = next_of(&store, &sums, built).await;
    let taken = sums.take_over_of(built, LOG).await.unwrap();
    assert_eq!((taken.position, taken.epoch), (Position::START, Epoch(1)));
    assert!(is_stale(&sums.apply_to(built, held).await), "a page of the replay before was written");
    let batch = next_of(&store, &sums, built).await;
    sums.apply_to(built, batch).await.unwrap();
    assert_eq!(sums.checkpoint(LOG).await.unwrap(), live, "the live one was taken over too");
    let gone = sums.take_over_of(Generation(9), LOG).await;
    assert!(matches!(gone, Err(ProjectedError::ReadModel(ReadModelError::Expired { .. }))), "{gone:?}");
}
