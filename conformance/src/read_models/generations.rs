//! Generations: which there are, which is live, the switch, and what is left of a dropped one.

use factum::{
    CommitError, Epoch, Generation, GenerationState, HistoryFrom, LogId, Position, ProjectionName, ReadModelError,
    Shard, SwitchError,
};
use futures_util::future::join_all;

use super::kit::*;
use crate::Fixture;
use crate::kit::Must;

pub(crate) async fn opening_makes_a_live_generation_once(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    assert!(store.generations(&name()).await.must("the generations").is_empty(), "an empty store has a generation");
    let missing = store.get(&v1(), &[key("1")]).await;
    assert!(
        matches!(&missing, Err(ReadModelError::NoGeneration { version: V1, .. })),
        "reading what was never built led to {missing:?}"
    );
    let first = store.open(&new(V1)).await.must("opening");
    assert_eq!((first.state, first.version, &first.projection), (GenerationState::Live, V1, &name()));
    assert_eq!(first.generation, Generation(1), "generations count from 1");
    let again = store.open(&new(V1)).await.must("opening again");
    assert_eq!(again, first, "opening again made another generation");
    assert_eq!(store.generations(&name()).await.must("the generations"), [first]);
}

/// If many ask at the same time, all get the same.
pub(crate) async fn racing_to_open_or_build_makes_one(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let open = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.open(&new(V1)).await })
    });
    let opened: Vec<_> = join_all(open.collect::<Vec<_>>()).await;
    let build = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.build(&new(V1)).await })
    });
    let built: Vec<_> = join_all(build.collect::<Vec<_>>()).await;
    for (answers, number) in [(opened, 1), (built, 2)] {
        for answer in answers {
            let info = answer.must("a task").must("opening or building");
            assert_eq!(info.generation, Generation(number), "racing callers got different generations");
        }
    }
    assert_eq!(
        store.generations(&name()).await.must("the generations").len(),
        2,
        "racing callers made more generations"
    );
}

/// Old and new deployments run side by side, each on a generation of its own version.
pub(crate) async fn versions_have_their_own_live_generation(fixture: &Fixture) {
    let Some((store, old)) = live(fixture).await else { return };
    let other = store.open(&new(V2)).await.must("opening another version");
    assert_eq!((other.state, other.version), (GenerationState::Live, V2));
    assert_ne!(other.generation, old, "two versions share a generation");
    store.commit(writing(&shard(old), 0, 5, "1", Some("\"old\""))).await.must("committing");
    store.commit(writing(&shard(other.generation), 0, 7, "1", Some("\"new\""))).await.must("committing");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"old\""), "a reader got another version's document");
    let target = factum::ReadTarget::Live(name(), V2);
    let found = store.get(&target, &[key("1")]).await.must("reading the other version");
    assert_eq!((found.read.generation, found.read.checkpoint), (other.generation, at(7)));
    assert_eq!(state(&store, old).await, GenerationState::Live, "opening another version retired the old one");
}

pub(crate) async fn building_serves_nobody(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    store.commit(writing(&shard(live), 0, 5, "1", Some("\"live\""))).await.must("committing");
    let next = store.build(&new(V1)).await.must("building");
    assert_eq!((next.state, next.version), (GenerationState::Building, V1));
    assert_eq!(store.build(&new(V1)).await.must("building again"), next, "building again began another generation");
    let other = store.build(&new(V2)).await.must("building another version");
    assert!(other.generation > next.generation, "a later generation has no greater number");
    store
        .commit(writing(&shard(next.generation), 0, 9, "1", Some("\"next\"")))
        .await
        .must("committing to what is built");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"live\""), "readers saw a generation that is being built");
    let numbers: Vec<_> = store.generations(&name()).await.must("them").iter().map(|info| info.generation).collect();
    assert_eq!(numbers, [live, next.generation, other.generation], "the generations are not listed by number");
}

pub(crate) async fn projections_are_listed(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    assert!(store.projections().await.must("the projections").is_empty());
    let names = ["turnover", "balances", "Balances", "š"].map(|name| ProjectionName::new(name).must("a name"));
    for name in &names {
        let new = factum::NewGeneration { projection: name.clone(), ..new(V1) };
        store.open(&new).await.must("opening");
        assert_eq!(store.open(&new).await.must("opening").generation, Generation(1), "projections share their numbers");
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    assert_eq!(store.projections().await.must("the projections"), sorted, "the projections are not sorted by bytes");
}

/// A live generation at 10 and one that is built, at `next`.
async fn two(fixture: &Fixture, next: u64) -> Option<(Store, Generation, Generation)> {
    let (store, old) = live(fixture).await?;
    store.commit(writing(&shard(old), 0, 10, "1", Some("\"old\""))).await.must("committing");
    let built = store.build(&new(V1)).await.must("building").generation;
    store.commit(writing(&shard(built), 0, next, "1", Some("\"new\""))).await.must("committing");
    Some((store, old, built))
}

/// `replay-equals-live` begins here: what was live serves until the new one is whole, then the new one does.
pub(crate) async fn a_switch_exchanges_the_live_one(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"old\""));
    store.switch(&switch(old, next)).await.must("switching");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"new\""), "readers do not see what was switched to");
    assert_eq!(
        (state(&store, old).await, state(&store, next).await),
        (GenerationState::Retired, GenerationState::Live)
    );
    assert_eq!(store.open(&new(V1)).await.must("opening").generation, next, "opening finds another than the live one");
    let found = store.get(&numbered(old), &[key("1")]).await.must("reading what was retired");
    assert_eq!(found.documents[0][0].body.as_deref(), Some(&b"\"old\""[..]), "pages of what was retired cannot go on");
}

pub(crate) async fn a_switch_raises_every_epoch(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 12).await else { return };
    let other = Shard { partition: 1, ..shard(next) };
    store.commit(step(&other, 0, 10)).await.must("committing to another partition");
    store.switch(&switch(old, next)).await.must("switching");
    for shard in [&shard(old), &shard(next), &other] {
        assert!(epoch(&store, shard).await > Epoch(0), "a switch did not raise the epoch of {shard:?}");
    }
    let late = store.commit(writing(&shard(next), 12, 13, "1", Some("\"late\""))).await;
    assert!(is_stale(&late), "a worker that held a page over the switch wrote it: {late:?}");
    let now = factum::Commit { epoch: epoch(&store, &shard(next)).await, ..writing(&shard(next), 12, 13, "1", None) };
    store.commit(now).await.must("committing in the new epoch");
}

pub(crate) async fn what_was_retired_takes_no_writes(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    store.switch(&switch(old, next)).await.must("switching");
    let epoch = epoch(&store, &shard(old)).await;
    let before = store.get(&numbered(old), &[key("1")]).await.must("reading what was retired");
    for epoch in [Epoch(0), epoch] {
        let late = store.commit(factum::Commit { epoch, ..writing(&shard(old), 10, 12, "1", Some("\"late\"")) }).await;
        assert!(
            matches!(&late, Err(CommitError::Superseded { generation, .. }) if *generation == old),
            "a generation that was replaced took a commit: {late:?}"
        );
    }
    assert!(is_superseded(&store.raise_epoch(&shard(old), epoch).await), "a retired generation's epoch was raised");
    assert!(is_superseded(&store.report(&shard(old), epoch, None).await), "a retired generation took a report");
    assert_eq!(store.get(&numbered(old), &[key("1")]).await.must("reading"), before, "a retired generation changed");
}

pub(crate) async fn a_switch_while_behind_is_refused(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 9).await else { return };
    match store.switch(&switch(old, next)).await {
        Err(SwitchError::Behind { to, log, at, live, .. }) => {
            assert_eq!(
                (to, log, at.get(), live.get()),
                (next, LogId::FIRST, 9, 10),
                "the facts of a switch while behind"
            );
        }
        other => panic!("a switch to a generation that is behind led to {other:?}"),
    }
    unchanged(&store, old, next).await;
    store.commit(step(&shard(next), 9, 10)).await.must("catching up");
    // Further in one log does not make up for another.
    let elsewhere = |generation| Shard { log: LogId::new(1), ..shard(generation) };
    store.commit(step(&elsewhere(old), 0, 3)).await.must("committing");
    let answer = store.switch(&switch(old, next)).await;
    assert!(
        matches!(&answer, Err(SwitchError::Behind { log, at, .. }) if log.get() == 1 && *at == Position::START),
        "a switch to a generation that is behind in another log led to {answer:?}"
    );
    store.commit(step(&elsewhere(next), 0, 4)).await.must("catching up");
    store.switch(&switch(old, next)).await.must("switching after catching up");
}

async fn unchanged(store: &Store, old: Generation, next: Generation) {
    assert_eq!(state(store, old).await, GenerationState::Live, "a switch that was refused retired the live one");
    assert_eq!(state(store, next).await, GenerationState::Building, "a switch that was refused changed the other one");
    for generation in [old, next] {
        assert_eq!(epoch(store, &shard(generation)).await, Epoch(0), "a switch that was refused raised an epoch");
    }
}

pub(crate) async fn a_switch_needs_the_live_one(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    for from in [next, Generation(77)] {
        let answer = store.switch(&switch(from, next)).await;
        assert!(
            matches!(&answer, Err(SwitchError::NotLive { live, .. }) if *live == Some(old)),
            "a switch from {from}, which is not live, led to {answer:?}"
        );
    }
    unchanged(&store, old, next).await;
    store.switch(&switch(old, next)).await.must("switching");
    let again = store.switch(&switch(old, next)).await;
    assert!(
        matches!(&again, Err(SwitchError::NotLive { live, .. }) if *live == Some(next)),
        "the same switch twice led to {again:?}"
    );
}

pub(crate) async fn a_switch_needs_one_that_fits(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    let other = store.build(&new(V2)).await.must("building another version").generation;
    store.commit(step(&shard(other), 0, 10)).await.must("committing");
    for to in [other, Generation(77), old] {
        let answer = store.switch(&switch(old, to)).await;
        assert!(matches!(&answer, Err(SwitchError::Unfit { .. })), "a switch to {to} led to {answer:?}");
    }
    store.report(&shard(next), Epoch(0), Some(failure())).await.must("reporting a failure");
    let answer = store.switch(&switch(old, next)).await;
    assert!(matches!(&answer, Err(SwitchError::Unfit { .. })), "a switch to one that failed led to {answer:?}");
    unchanged(&store, old, next).await;
    store.report(&shard(next), Epoch(0), None).await.must("taking the failure back");
    store.switch(&switch(old, next)).await.must("switching to one that goes on again");
}

pub(crate) async fn a_switch_back_is_a_switch(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    store.switch(&switch(old, next)).await.must("switching");
    store.switch(&switch(next, old)).await.must("switching back to what is nowhere behind");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"old\""));
    assert_eq!(
        (state(&store, old).await, state(&store, next).await),
        (GenerationState::Live, GenerationState::Retired)
    );
}

/// A live generation that stands on events which are gone may be replaced by one behind it; nothing else is let go.
pub(crate) async fn what_has_diverged_may_be_replaced_from_behind(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 4).await else { return };
    store.report(&shard(next), Epoch(0), Some(failure())).await.must("reporting a failure");
    let answer = store.switch_diverged(&switch(old, next)).await;
    assert!(
        matches!(&answer, Err(SwitchError::Unfit { .. })),
        "a diverged one was replaced by a failed one: {answer:?}"
    );
    store.report(&shard(next), Epoch(0), None).await.must("taking the failure back");
    match store.switch_diverged(&switch(old, next)).await {
        Ok(()) => {
            assert_eq!(state(&store, next).await, GenerationState::Live, "a switch that was answered did not happen")
        }
        Err(SwitchError::Unfit { .. }) => unchanged(&store, old, next).await,
        Err(other) => panic!("a switch away from a diverged generation led to {other:?}"),
    }
}

/// Of many that switch at once one does; nobody ever sees two live generations, or none.
pub(crate) async fn of_racing_switches_one_wins(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    let racing = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.switch(&switch(old, next)).await })
    });
    let answers = join_all(racing.collect::<Vec<_>>()).await;
    let done = answers.into_iter().filter(|answer| matches!(answer, Ok(Ok(())))).count();
    assert_eq!(done, 1, "of 8 racing switches {done} were done");
    let states: Vec<_> = store.generations(&name()).await.must("them").iter().map(|info| info.state).collect();
    assert_eq!(states, [GenerationState::Retired, GenerationState::Live]);
}

pub(crate) async fn the_live_one_is_not_dropped(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    reach(&store, live, 5).await;
    let answer = store.drop_generation(&name(), live).await;
    assert!(
        matches!(&answer, Err(ReadModelError::Live { generation, .. }) if *generation == live),
        "dropping the live generation led to {answer:?}"
    );
    assert!(body(&store, "1").await.is_some(), "dropping the live generation was refused, and its documents are gone");
}

/// A dropped generation is `Expired`, never empty: a reader that pages through it must not take it for the end.
pub(crate) async fn a_dropped_one_is_expired(fixture: &Fixture) {
    let Some((store, old, next)) = two(fixture, 10).await else { return };
    store.switch(&switch(old, next)).await.must("switching");
    store.drop_generation(&name(), old).await.must("dropping what was retired");
    let (target, gone) = (numbered(old), shard(old));
    assert!(is_expired(&store.get(&target, &[key("1")]).await), "getting from a dropped generation is not expired");
    assert!(is_expired(&store.list(&listing(target.clone(), 10)).await), "listing a dropped generation is not expired");
    let history = past(target, "1", HistoryFrom::After(Position::START));
    assert!(is_expired(&store.history(&history).await), "the history of a dropped generation is not expired");
    assert!(is_expired(&store.load(&gone, &[key("1")]).await), "loading from a dropped generation is not expired");
    assert!(is_expired(&store.checkpoint(&gone).await), "the checkpoint of a dropped generation is not expired");
    assert!(is_superseded(&store.commit(step(&gone, 10, 11)).await), "a dropped generation took a commit");
    assert!(is_superseded(&store.raise_epoch(&gone, Epoch(1)).await), "a dropped generation's epoch was raised");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"new\""), "dropping one generation changed the live one");
    let numbers: Vec<_> = store.generations(&name()).await.must("them").iter().map(|info| info.generation).collect();
    assert_eq!(numbers, [next], "a dropped generation is still listed");
}

/// A number that was given to a generation that is gone never comes back: its readers would not notice.
pub(crate) async fn numbers_are_never_given_twice(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let mut last = live;
    for _ in 0..3 {
        let next = store.build(&new(V1)).await.must("building").generation;
        assert!(next > last, "generation {next} came after {last}, and its number was given before or is smaller");
        store.commit(writing(&shard(next), 0, 3, "1", Some("\"gone\""))).await.must("committing");
        store.drop_generation(&name(), next).await.must("dropping");
        last = next;
    }
    let fresh = store.build(&new(V1)).await.must("building").generation;
    let found = store.get(&numbered(fresh), &[key("1")]).await.must("reading a new generation");
    assert!(found.documents[0].is_empty(), "a new generation holds documents of a dropped one");
}
