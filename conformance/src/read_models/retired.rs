//! Generations that were replaced or taken out of service: until when they are kept, and how they come back.

use std::time::Duration;

use factum::{Commit, CommitError, Epoch, Generation, GenerationState, ReadModelError, SwitchError};

use super::kit::*;
use crate::Fixture;
use crate::kit::Must;

const HOUR: Duration = Duration::from_secs(3_600);

/// A live generation at 10, and the one before it, at 10 too, retired and kept for so long.
async fn replaced(fixture: &Fixture, keep: Option<Duration>) -> Option<(Store, Generation, Generation)> {
    let (store, old) = live(fixture).await?;
    store.commit(writing(&shard(old), 0, 10, "1", Some("\"old\""))).await.must("committing");
    let next = store.build(&new(V1)).await.must("building").generation;
    store.commit(writing(&shard(next), 0, 10, "1", Some("\"new\""))).await.must("committing");
    let switch = factum::Switch { keep_old: keep, ..switch(old, next) };
    store.switch(&switch).await.must("switching");
    Some((store, old, next))
}

async fn numbers(store: &Store) -> Vec<Generation> {
    store.generations(&name()).await.must("the generations").iter().map(|info| info.generation).collect()
}

/// So that page tokens of it stay good for a while, whatever becomes of the process that replaced it.
pub(crate) async fn what_was_replaced_is_kept_for_as_long_as_was_said(fixture: &Fixture) {
    let Some((store, old, next)) = replaced(fixture, Some(HOUR)).await else { return };
    let kept = info(&store, old).await;
    assert!(
        kept.kept_until.is_some_and(|until| until > kept.created_at),
        "until when it is kept is not told: {kept:?}"
    );
    assert_eq!(info(&store, next).await.kept_until, None, "the live one is kept for a time only");
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [], "a generation was dropped before its time");
    assert_eq!(numbers(&store).await, [old, next], "a generation was dropped before its time");
    let third = store.build(&new(V1)).await.must("building").generation;
    store.commit(step(&shard(third), 0, 10)).await.must("committing");
    let now = factum::Switch { keep_old: Some(Duration::ZERO), ..switch(next, third) };
    store.switch(&now).await.must("switching");
    let other = factum::ProjectionName::new("turnover").must("a name");
    assert_eq!(store.drop_expired(&other).await.must("dropping"), [], "another projection's generation was dropped");
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [next], "a generation outlived its time");
    assert_eq!(numbers(&store).await, [old, third], "which generations are left");
    assert!(
        is_expired(&store.get(&numbered(next), &[key("1")]).await),
        "what was dropped after its time is not expired"
    );
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [], "a generation was dropped twice");
}

pub(crate) async fn what_is_kept_until_it_is_dropped_has_no_time(fixture: &Fixture) {
    let Some((store, old, next)) = replaced(fixture, None).await else { return };
    assert_eq!(info(&store, old).await.kept_until, None);
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [], "a generation without a time was dropped");
    store.retire(&name(), old, Some(Duration::MAX)).await.must("keeping it for longer than any calendar");
    assert_eq!(info(&store, old).await.kept_until, None, "longer than any calendar is until somebody drops it");
    store.retire(&name(), old, Some(Duration::ZERO)).await.must("changing its time");
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [old]);
    assert_eq!(numbers(&store).await, [next]);
}

/// What serves nobody is never dropped by time alone: a replay may be at it.
pub(crate) async fn only_what_is_retired_is_dropped_by_time(fixture: &Fixture) {
    let Some((store, old, _)) = replaced(fixture, Some(Duration::ZERO)).await else { return };
    store.reopen(&name(), old).await.must("reopening");
    store.build(&new(V1)).await.must("building");
    assert_eq!(state(&store, old).await, GenerationState::Reopened);
    assert_eq!(store.drop_expired(&name()).await.must("dropping"), [], "what takes writes was dropped by its time");
    assert_eq!(info(&store, old).await.kept_until, None, "what was reopened has a time still");
}

/// The way back after a replay that was a mistake, though events came since.
pub(crate) async fn what_was_retired_comes_back(fixture: &Fixture) {
    let Some((store, old, next)) = replaced(fixture, Some(HOUR)).await else { return };
    let now = epoch(&store, &shard(next)).await;
    let on = Commit { epoch: now, ..writing(&shard(next), 10, 12, "1", Some("\"newer\"")) };
    store.commit(on).await.must("committing to the live one");
    let reopened = store.reopen(&name(), old).await.must("reopening");
    assert_eq!((reopened.generation, reopened.state), (old, GenerationState::Reopened));
    assert_eq!((reopened.checkpoint, reopened.version), (at(10), V1));
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"newer\""), "readers see what was reopened");
    assert!(matches!(store.switch(&switch(next, old)).await, Err(SwitchError::Behind { .. })), "it is behind");
    let epoch_now = epoch(&store, &shard(old)).await;
    let caught_up = Commit { epoch: epoch_now, ..writing(&shard(old), 10, 12, "1", Some("\"back\"")) };
    store.commit(caught_up).await.must("committing to what was reopened");
    store.switch(&switch(next, old)).await.must("switching back");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"back\""));
    let states = (state(&store, old).await, state(&store, next).await);
    assert_eq!(states, (GenerationState::Live, GenerationState::Retired));
}

/// A replay that begins meanwhile builds a generation of its own: it must not take old documents for its own.
pub(crate) async fn a_replay_does_not_build_on_what_was_reopened(fixture: &Fixture) {
    let Some((store, old, next)) = replaced(fixture, None).await else { return };
    store.reopen(&name(), old).await.must("reopening");
    let built = store.build(&new(V1)).await.must("building");
    assert_eq!(state(&store, old).await, GenerationState::Reopened);
    assert!(built.generation > next, "a replay builds on a generation that was reopened: {built:?}");
    assert_eq!((built.state, built.checkpoint), (GenerationState::Building, factum::Cursor::start()));
    store.reopen(&name(), old).await.must("reopening again, beside one that is built");
    assert_eq!(store.build(&new(V1)).await.must("building again").generation, built.generation);
}

/// A worker that held a page of it when it was replaced, and somebody who reopened it before, are both told.
pub(crate) async fn reopening_raises_every_epoch(fixture: &Fixture) {
    let Some((store, old, _)) = replaced(fixture, None).await else { return };
    let retired = epoch(&store, &shard(old)).await;
    store.reopen(&name(), old).await.must("reopening");
    let first = epoch(&store, &shard(old)).await;
    assert!(first > retired, "reopening did not raise the epoch");
    for late in [Epoch(0), retired] {
        let late = store.commit(Commit { epoch: late, ..writing(&shard(old), 10, 11, "1", Some("\"late\"")) }).await;
        assert!(is_stale(&late), "a page that was held since before it was retired was committed: {late:?}");
    }
    store.reopen(&name(), old).await.must("reopening again");
    let lost = store.commit(Commit { epoch: first, ..step(&shard(old), 10, 11) }).await;
    assert!(is_stale(&lost), "of two who reopened it the first was not told: {lost:?}");
    let now = epoch(&store, &shard(old)).await;
    store.commit(Commit { epoch: now, ..step(&shard(old), 10, 11) }).await.must("the second goes on");
}

pub(crate) async fn only_what_is_retired_is_reopened(fixture: &Fixture) {
    let Some((store, old, next)) = replaced(fixture, None).await else { return };
    let built = store.build(&new(V1)).await.must("building").generation;
    for other in [next, built] {
        let answer = store.reopen(&name(), other).await;
        let told = matches!(&answer, Err(ReadModelError::NotRetired { generation, .. }) if *generation == other);
        assert!(told, "reopening what is not retired led to {answer:?}");
    }
    store.drop_generation(&name(), old).await.must("dropping");
    for gone in [old, Generation(77)] {
        assert!(is_expired(&store.reopen(&name(), gone).await), "a generation that is gone was reopened");
        assert!(is_expired(&store.retire(&name(), gone, None).await), "a generation that is gone was retired");
    }
}

/// What a deployment leaves that is gone: its live generation serves nobody and can be dropped.
pub(crate) async fn the_live_one_can_be_taken_out_of_service(fixture: &Fixture) {
    let Some((store, one)) = live(fixture).await else { return };
    reach(&store, one, 5).await;
    let other = store.open(&new(V2)).await.must("opening another version").generation;
    store.commit(step(&shard(other), 0, 5)).await.must("committing");
    store.retire(&name(), one, Some(HOUR)).await.must("retiring");
    assert_eq!(
        (state(&store, one).await, state(&store, other).await),
        (GenerationState::Retired, GenerationState::Live)
    );
    let missing = store.get(&v1(), &[key("1")]).await;
    assert!(matches!(missing, Err(ReadModelError::NoGeneration { .. })), "readers of its version found {missing:?}");
    assert!(store.get(&numbered(one), &[key("1")]).await.is_ok(), "pages of what was retired cannot go on");
    let late = store.commit(step(&shard(one), 5, 6)).await;
    assert!(matches!(late, Err(CommitError::Superseded { .. })), "what was retired took a commit: {late:?}");
    store.drop_generation(&name(), one).await.must("dropping what was retired");
    let again = store.open(&new(V1)).await.must("opening the version anew");
    assert!(again.generation > other, "the version went on in a generation that was there already");
}

/// A generation that a verification found wrong: the next replay must not go on with it.
pub(crate) async fn what_is_built_can_be_taken_out_of_service(fixture: &Fixture) {
    let Some((store, _)) = live(fixture).await else { return };
    let built = store.build(&new(V1)).await.must("building").generation;
    store.commit(writing(&shard(built), 0, 4, "1", Some("\"wrong\""))).await.must("committing");
    store.retire(&name(), built, Some(HOUR)).await.must("retiring");
    let late = store.commit(step(&shard(built), 4, 5)).await;
    assert!(matches!(late, Err(CommitError::Superseded { .. })), "what was retired took a commit: {late:?}");
    let next = store.build(&new(V1)).await.must("building").generation;
    assert!(next > built, "a replay goes on with what was taken out of service");
}
