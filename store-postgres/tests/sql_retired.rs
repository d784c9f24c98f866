//! Tables of generations that were replaced or taken out of service: how they come back, and how they go.

mod common;
mod sql;

use std::time::Duration;

use common::place;
use factum::{Generation, GenerationState, Generations, ProjectedError, ReadModelError, SwitchError};
use sql::*;

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_replaced_take_what_came_since_and_have_the_plain_names_again() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1, 2]));
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    Generations::switch(&sums, Generation(1), Generation(2), Some(Duration::from_secs(60))).await.unwrap();
    let log = log.deposits(&[5]);
    log.drive(&sums).await.unwrap();
    let held = log.after(sums.checkpoint_of(Generation(1), LOG).await.unwrap(), 100).unwrap();

    assert_eq!(sums.reopen(Generation(1)).await.unwrap().state, GenerationState::Reopened);
    assert!(is_stale(&sums.apply_to(Generation(1), held).await), "a page that was held over the reopening was written");
    let behind = Generations::switch(&sums, Generation(2), Generation(1), None).await;
    assert!(matches!(behind, Err(SwitchError::Behind { .. })), "{behind:?}");
    assert_eq!(sums.build().await.unwrap().generation, Generation(3), "a replay builds on what was reopened");
    let batch = log.after(sums.checkpoint_of(Generation(1), LOG).await.unwrap(), 100).unwrap();
    sums.apply_to(Generation(1), batch).await.unwrap();
    assert_eq!(shown(&place).await, ["1 8"], "readers see what is reopened");
    Generations::switch(&sums, Generation(2), Generation(1), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(shown(&place).await, ["1 8"]);

    assert_eq!(sums.drop_expired().await.unwrap(), [Generation(2)]);
    sums.drop_generation(Generation(3)).await.unwrap();
    until_tables(&place, &["days", "sums"]).await;
    let log = log.deposits(&[100]);
    log.drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 108"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_deployment_that_is_gone_give_up_their_plain_names() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    for (make, says, undo) in [
        ("CREATE VIEW rich AS SELECT account FROM sums", "the view public.rich", "DROP VIEW rich"),
        ("CREATE TABLE notes (account text REFERENCES sums)", "notes", "DROP TABLE notes"),
    ] {
        place.execute(make).await;
        let refused = sums.retire(Generation(1), None).await;
        let told = matches!(&refused, Err(ProjectedError::ReadModel(ReadModelError::NotMade { why, .. })) if why.contains(says));
        assert!(told, "{make}: {refused:?}");
        assert_eq!(sums.list().await.unwrap()[0].state, GenerationState::Live, "{make}");
        place.execute(undo).await;
    }
    sums.retire(Generation(1), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(tables(&place).await, ["days__g1", "sums__g1"]);
    sums.drop_generation(Generation(1)).await.unwrap();
    // One that runs after all begins anew.
    log.drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 1"]);
    assert_eq!(sums.list().await.unwrap()[0].generation, Generation(2));
    until_tables(&place, &["days", "sums"]).await;
}

/// Dropped tables go in the background.
async fn until_tables(place: &common::Place, wanted: &[&str]) {
    let gone = async {
        while tables(place).await != wanted {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("dropped tables stay");
}
