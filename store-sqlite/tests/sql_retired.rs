//! Tables of generations that were replaced or taken out of service: how they come back, and how they go.

mod common;
mod sql;

use std::time::Duration;

use common::{append, place};
use factum::{Generation, GenerationState, Generations, ProjectedError, ReadModelError, SwitchError};
use sql::*;

#[tokio::test]
async fn tables_that_were_replaced_take_what_came_since_and_have_the_plain_names_again() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1, 2]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    build(&store, &sums).await;
    Generations::switch(&sums, Generation(1), Generation(2), Some(Duration::from_secs(60))).await.unwrap();
    deposits(&store, &[5]).await;
    drive(&store, &sums).await.unwrap();
    let held = next_of(&store, &sums, Generation(1)).await;

    assert_eq!(sums.reopen(Generation(1)).await.unwrap().state, GenerationState::Reopened);
    assert!(is_stale(&sums.apply_to(Generation(1), held).await), "a page that was held over the reopening was written");
    let behind = Generations::switch(&sums, Generation(2), Generation(1), None).await;
    assert!(matches!(behind, Err(SwitchError::Behind { .. })), "{behind:?}");
    let batch = next_of(&store, &sums, Generation(1)).await;
    sums.apply_to(Generation(1), batch).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 8)], "readers see what is reopened");
    Generations::switch(&sums, Generation(2), Generation(1), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 8)]);

    assert_eq!(sums.drop_expired().await.unwrap(), [Generation(2)]);
    soon(async {
        while tables(&store).await != ["days", "sums"] {
            append(&store, "9").await.unwrap();
        }
    })
    .await;
    deposits(&store, &[100]).await;
    drive(&store, &sums).await.unwrap();
    // Beside what was appended to keep the writer going.
    assert_eq!(shown(&store).await[0], ("1".to_owned(), 108));
}

#[tokio::test]
async fn tables_of_a_deployment_that_is_gone_give_up_their_plain_names() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    let sums = sums(&store);
    drive(&store, &sums).await.unwrap();
    let outside = rusqlite::Connection::open(&file).unwrap();
    outside.execute_batch("CREATE TABLE notes (account TEXT REFERENCES sums)").unwrap();
    let refused = sums.retire(Generation(1), None).await;
    let told = matches!(&refused, Err(ProjectedError::ReadModel(ReadModelError::NotMade { why, .. })) if why.contains("notes"));
    assert!(told, "{refused:?}");
    assert_eq!(tables(&store).await, ["days", "sums"], "a refusal left something behind");
    outside.execute_batch("DROP TABLE notes").unwrap();

    sums.retire(Generation(1), Some(Duration::ZERO)).await.unwrap();
    assert_eq!(tables(&store).await, ["days__g1", "sums__g1"]);
    sums.drop_generation(Generation(1)).await.unwrap();
    // One that runs after all begins anew.
    drive(&store, &sums).await.unwrap();
    assert_eq!(shown(&store).await, [("1".to_owned(), 1)]);
    assert_eq!(sums.list().await.unwrap()[0].generation, Generation(2));
    soon(async {
        while tables(&store).await != ["days", "sums"] {
            append(&store, "9").await.unwrap();
        }
    })
    .await;
}
