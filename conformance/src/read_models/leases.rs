//! Leases: one holder at a time, and nothing is written any more by the one before.

use factum::{
    CommitError, GenerationState, Lease, LeaseError, LeaseHolder, LeaseName, LogId, RaiseEpochs, Shard, TakeLease,
};
use futures_util::future;

use super::kit::*;
use crate::Fixture;
use crate::kit::Must;

fn holder(text: &str) -> LeaseHolder {
    LeaseHolder::new(text).must("a lease holder")
}

fn lease_name(text: &str) -> LeaseName {
    LeaseName::new(text).must("a lease name")
}

fn free(name: &str, by: &str) -> TakeLease {
    TakeLease::free(lease_name(name), holder(by))
}

/// Taking it over as it was seen.
fn over(seen: &Lease, by: &str) -> TakeLease {
    TakeLease { seen: Some(seen.clone()), ..TakeLease::free(seen.name.clone(), holder(by)) }
}

fn raising(state: GenerationState) -> RaiseEpochs {
    RaiseEpochs { projection: name(), version: V1, state, logs: vec![LogId::FIRST, LogId::new(1)] }
}

async fn take(store: &Store, wish: TakeLease) -> Lease {
    store.take_lease(&wish).await.must("taking a lease")
}

async fn refused(store: &Store, wish: TakeLease) -> Lease {
    match store.take_lease(&wish).await {
        Err(LeaseError::Held { lease }) => *lease,
        other => panic!("{wish:?} should be refused, and led to {other:?}"),
    }
}

async fn listed(store: &Store) -> Vec<Lease> {
    store.leases().await.must("listing leases")
}

pub(crate) async fn what_nobody_has_is_taken_and_listed(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    assert_eq!(listed(store).await, [], "leases that nobody took are listed");
    let wish = TakeLease { note: "ů \"quoted\"".to_owned(), ..free("b", "one") };
    let b = take(store, wish.clone()).await;
    assert_eq!((&b.name, &b.holder, &b.note), (&wish.name, &wish.holder, &wish.note), "another lease was taken");
    let a = take(store, free("a", "two")).await;
    assert_eq!(listed(store).await, [a, b], "leases are not listed by name as they were taken");
}

pub(crate) async fn a_holder_that_says_something_else_has_it_since_it_took_it(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let first = take(store, free("a", "one")).await;
    let again = take(store, TakeLease { note: "busy".to_owned(), ..free("a", "one") }).await;
    assert!(again.counter > first.counter, "a lease was taken again, and its counter did not rise");
    let expected = Lease { counter: again.counter, note: "busy".to_owned(), ..first };
    assert_eq!(again, expected, "who has a lease has it since another time");
    assert_eq!(listed(store).await, [again], "another lease is listed than was taken");
}

pub(crate) async fn of_racing_takers_one_wins(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let mut seen = None;
    for round in 0..10 {
        let all = (0..8).map(|n| TakeLease { seen: seen.clone(), ..free("a", &format!("{round}-{n}")) });
        let all: Vec<_> = all.collect();
        let answers = future::join_all(all.iter().map(|wish| store.take_lease(wish))).await;
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                Ok(lease) => won.push(lease),
                Err(LeaseError::Held { lease }) => lost.push(*lease),
                Err(other) => panic!("taking a lease failed: {other}"),
            }
        }
        assert_eq!(won.len(), 1, "of several who took a lease at once these got it: {won:?}");
        assert_eq!(listed(store).await, won, "another has the lease than the one who was told so");
        assert!(lost.iter().all(|held| *held == won[0]), "a refusal names another holder: {lost:?}, not {won:?}");
        seen = won.pop();
    }
}

pub(crate) async fn a_lease_is_taken_over_as_it_was_seen_only(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let first = take(store, free("a", "one")).await;
    assert_eq!(refused(store, free("a", "two")).await, first, "a refusal says another lease than there is");
    let renewed = store.renew_leases(&first.holder).await.must("renewing");
    assert_eq!(refused(store, over(&first, "two")).await, renewed[0], "a lease that moved was not told as it is");
    let second = take(store, over(&renewed[0], "two")).await;
    assert!(second.counter > renewed[0].counter, "the counter of {second:?} fell, and may be taken for an old one");
    assert_eq!(store.renew_leases(&first.holder).await.must("renewing"), [], "who lost a lease renewed it");
    assert!(!store.release_lease(&renewed[0]).await.must("releasing"), "who lost a lease gave it back");
    assert_eq!(listed(store).await, [second], "another has the lease than the one who took it over");
}

pub(crate) async fn renewing_raises_the_counters_of_one_holder(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let mut before = Vec::new();
    for (name, by) in [("a", "one"), ("b", "two"), ("c", "one")] {
        before.push(take(store, free(name, by)).await);
    }
    let after = store.renew_leases(&holder("one")).await.must("renewing");
    let raised = |lease: &Lease| Lease { counter: lease.counter + 1, ..lease.clone() };
    assert_eq!(after, [raised(&before[0]), raised(&before[2])], "these are not the leases of the one who renewed");
    assert_eq!(listed(store).await, [raised(&before[0]), before[1].clone(), raised(&before[2])]);
    assert_eq!(store.renew_leases(&holder("nobody")).await.must("renewing"), [], "who has no lease renewed one");
}

pub(crate) async fn what_is_given_back_is_free_at_once(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let first = take(store, free("a", "one")).await;
    let other = take(store, free("b", "one")).await;
    assert!(store.release_lease(&first).await.must("releasing"), "a lease was not given back");
    assert_eq!(
        listed(store).await,
        std::slice::from_ref(&other),
        "what was given back is still listed, or another is not"
    );
    assert!(!store.release_lease(&first).await.must("releasing"), "a lease was given back twice");
    let second = take(store, free("a", "two")).await;
    assert!(!store.release_lease(&first).await.must("releasing"), "one gave back what another took after it");
    assert_eq!(listed(store).await, [second, other]);
    // Whoever saw it before it was given back need not look again.
    let seen = take(store, free("c", "one")).await;
    assert!(store.release_lease(&seen).await.must("releasing"));
    take(store, over(&seen, "two")).await;
}

/// So that whoever had the lease, and holds a page still, cannot write it.
pub(crate) async fn taking_a_lease_raises_epochs_with_it(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let building = store.build(&new(V1)).await.must("building").generation;
    let begun = shard(live);
    let part = Shard { partition: 3, ..begun.clone() };
    let unbegun = Shard { log: LogId::new(1), ..begun.clone() };
    for shard in [&begun, &part, &shard(building)] {
        store.commit(step(shard, 0, 5)).await.must("committing");
    }
    let first = take(&store, TakeLease { raise: Some(raising(GenerationState::Live)), ..free("a", "one") }).await;
    for (shard, from) in [(&begun, 5), (&part, 5), (&unbegun, 0)] {
        let late = store.commit(step(shard, from, 9)).await;
        assert!(is_stale(&late), "who had the lease before it was taken wrote to {shard:?}: {late:?}");
        let checkpoint = store.checkpoint(shard).await.must("a checkpoint");
        assert_eq!(checkpoint.position.get(), from, "a checkpoint moved with its epoch");
        let mut commit = step(shard, from, 9);
        commit.epoch = checkpoint.epoch;
        store.commit(commit).await.must("committing in the new epoch");
    }
    assert_eq!(epoch(&store, &shard(building)).await.0, 0, "an epoch of another generation rose");

    let before = epoch(&store, &begun).await;
    refused(&store, TakeLease { raise: Some(raising(GenerationState::Live)), ..free("a", "two") }).await;
    store.renew_leases(&first.holder).await.must("renewing");
    take(&store, free("b", "two")).await;
    assert_eq!(epoch(&store, &begun).await, before, "an epoch rose though no lease was taken with it");

    take(&store, TakeLease { raise: Some(raising(GenerationState::Building)), ..free("c", "two") }).await;
    let late = store.commit(step(&shard(building), 5, 9)).await;
    assert!(matches!(late, Err(CommitError::Stale { .. })), "the generation that is built was not meant: {late:?}");
    assert_eq!(epoch(&store, &begun).await, before, "an epoch of the live generation rose");
}

pub(crate) async fn a_lease_without_a_read_model_is_taken(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let wish = TakeLease { raise: Some(raising(GenerationState::Live)), ..free("a", "one") };
    let taken = take(store, wish).await;
    assert_eq!(listed(store).await, [taken]);
    assert_eq!(store.generations(&name()).await.must("the generations"), [], "a lease made a generation");
}
