//! The compare-and-set: `exactly-once-read-model`.

use factum::{Checkpoint, Commit, CommitError, Epoch, LogId, Position, Shard};

use super::kit::*;
use crate::Fixture;
use crate::kit::Must;

pub(crate) async fn a_shard_begins_at_the_start(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let found = store.checkpoint(&shard(live)).await.must("a checkpoint");
    assert_eq!(found, Checkpoint::default(), "a shard that nothing was committed to is not at the start");
}

pub(crate) async fn a_commit_writes_documents_and_moves_the_checkpoint(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    store.commit(writing(&shard, 0, 5, "1", Some(r#"{"cents":1}"#))).await.must("committing");
    store.commit(writing(&shard, 5, 9, "1", Some(r#"{"cents":2}"#))).await.must("committing");
    store.commit(step(&shard, 9, 12)).await.must("committing without documents");
    assert_eq!(body(&store, "1").await.as_deref(), Some(r#"{"cents":2}"#), "a document is not what was committed last");
    let found = store.checkpoint(&shard).await.must("a checkpoint");
    let wanted =
        Checkpoint { position: Position::new(12), stands_on: Some((store_id(), event_at(12))), epoch: Epoch(0) };
    assert_eq!(found, wanted, "a checkpoint is not where the last commit moved it");
    assert_eq!(info(&store, live).await.checkpoint, at(12), "a generation tells another checkpoint");
}

/// And nothing of a commit that came too late is seen.
pub(crate) async fn another_checkpoint_is_stale(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    store.commit(writing(&shard, 0, 5, "1", Some("\"first\""))).await.must("committing");
    let before = store.checkpoint(&shard).await.must("a checkpoint");
    for from in [0, 4, 6] {
        let mut late = writing(&shard, from, 9, "1", Some("\"late\""));
        late.kept = vec![(key("1"), document(9, Some("\"late\"")))];
        match store.commit(late).await {
            Err(CommitError::Stale { projection, expected, expected_epoch, found, found_epoch }) => {
                assert_eq!((projection, expected, found), (name(), Position::new(from), Position::new(5)));
                assert_eq!((expected_epoch, found_epoch), (Epoch(0), Epoch(0)), "a stale commit tells other epochs");
            }
            other => panic!("a commit from {from} on a checkpoint of 5 should be stale, and led to {other:?}"),
        }
        assert_eq!(body(&store, "1").await.as_deref(), Some("\"first\""), "a stale commit wrote a document");
        assert_eq!(store.checkpoint(&shard).await.must("a checkpoint"), before, "a stale commit moved the checkpoint");
    }
    let all = past(v1(), "1", factum::HistoryFrom::After(Position::START));
    assert_eq!(store.history(&all).await.must("a history").versions[0].len(), 1, "a stale commit kept a version");
}

/// Applying the same page twice is what a worker does that was killed after its commit.
pub(crate) async fn the_same_commit_twice_counts_once(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let commit = writing(&shard(live), 0, 5, "1", Some("{}"));
    store.commit(commit.clone()).await.must("committing");
    let again = store.commit(commit).await;
    assert!(is_stale(&again), "the same commit was taken twice: {again:?}");
}

pub(crate) async fn another_epoch_is_stale(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    store.commit(writing(&shard, 0, 5, "1", Some("\"first\""))).await.must("committing");
    let raised = store.raise_epoch(&shard, Epoch(0)).await.must("raising the epoch");
    assert!(raised > Epoch(0), "raising the epoch left it at {raised}");
    let found = store.checkpoint(&shard).await.must("a checkpoint");
    assert_eq!((found.epoch, found.position), (raised, Position::new(5)), "raising the epoch moved the checkpoint");
    assert_eq!(found.stands_on, Some((store_id(), event_at(5))), "raising the epoch changed what it stands on");
    let late = store.commit(writing(&shard, 5, 9, "1", Some("\"late\""))).await;
    assert!(
        matches!(late, Err(CommitError::Stale { found_epoch, .. }) if found_epoch == raised),
        "a worker that lost its shard wrote over it: {late:?}"
    );
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"first\""), "a commit of an old epoch wrote a document");
    let next = Commit { epoch: raised, ..writing(&shard, 5, 9, "1", Some("\"next\"")) };
    store.commit(next).await.must("committing in the new epoch");
    assert_eq!(body(&store, "1").await.as_deref(), Some("\"next\""));
    assert_eq!(epoch(&store, &shard).await, raised, "a commit changed the epoch");
}

pub(crate) async fn the_epoch_is_raised_from_the_expected_one_only(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let first = store.raise_epoch(&shard, Epoch(0)).await.must("raising the epoch of a new shard");
    for expected in [Epoch(0), Epoch(first.0 + 1)] {
        let answer = store.raise_epoch(&shard, expected).await.map(|_| ());
        assert!(is_stale(&answer), "an epoch of {first} was raised from {expected}: {answer:?}");
    }
    assert_eq!(epoch(&store, &shard).await, first, "an epoch was raised by a call that failed");
    let second = store.raise_epoch(&shard, first).await.must("raising the epoch again");
    assert!(second > first, "an epoch went from {first} to {second}");
}

/// Of many that hold the same page exactly one commits it.
pub(crate) async fn of_racing_commits_one_wins(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let mut from = 0;
    for to in 1..=10 {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let commit = writing(&shard, from, to, "1", Some(&worker.to_string()));
                let store = store.clone();
                tokio::spawn(async move { (worker, store.commit(commit).await) })
            })
            .collect();
        let mut winners = Vec::new();
        for worker in workers {
            match worker.await.must("a worker") {
                (worker, Ok(())) => winners.push(worker.to_string()),
                (_, answer) => assert!(is_stale(&answer), "a commit that came second led to {answer:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "exactly-once-read-model: of 8 racing commits {} were taken", winners.len());
        assert_eq!(body(&store, "1").await, winners.pop(), "the document is not the winner's");
        from = to;
    }
}

pub(crate) async fn partitions_and_logs_have_their_own_checkpoints(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let first = shard(live);
    let shards = [
        first.clone(),
        Shard { partition: 1, ..first.clone() },
        Shard { log: LogId::new(1), ..first.clone() },
        Shard { partition: 1, log: LogId::new(1), ..first.clone() },
    ];
    for (n, shard) in (1..).zip(&shards) {
        store.commit(step(shard, 0, n * 10)).await.must("committing to a shard of its own");
    }
    store.raise_epoch(&shards[1], Epoch(0)).await.must("raising an epoch");
    for (n, shard) in (1..).zip(&shards) {
        let found = store.checkpoint(shard).await.must("a checkpoint");
        assert_eq!(found.position, Position::new(n * 10), "{shard:?} stands where another was moved");
        assert_eq!(found.epoch == Epoch(0), n != 2, "raising the epoch of a shard raised that of another");
    }
    let reached = info(&store, live).await.checkpoint;
    let least = [reached.get(LogId::FIRST), reached.get(LogId::new(1))].map(Position::get);
    assert_eq!(least, [10, 30], "a generation is as far as the least of its partitions, in each log");
}

/// A commit that is refused leaves no trace of its shard either.
pub(crate) async fn a_stale_commit_makes_no_shard(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    reach(&store, live, 9).await;
    let elsewhere = Shard { partition: 5, ..shard(live) };
    assert!(is_stale(&store.commit(step(&elsewhere, 3, 4)).await), "a commit from nowhere was taken");
    assert_eq!(info(&store, live).await.checkpoint, at(9), "a commit that was refused changed how far a generation is");
}

pub(crate) async fn a_failure_is_reported_and_taken_back(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    reach(&store, live, 9).await;
    let before = store.checkpoint(&shard).await.must("a checkpoint");
    assert_eq!(info(&store, live).await.failure, None);
    store.report(&shard, Epoch(0), Some(failure())).await.must("reporting a failure");
    assert_eq!(info(&store, live).await.failure, Some(failure()), "a failure is not what was reported");
    let late = store.report(&shard, Epoch(3), None).await;
    assert!(is_stale(&late), "a failure was taken back in another epoch: {late:?}");
    assert_eq!(info(&store, live).await.failure, Some(failure()), "a report that was refused changed the failure");
    assert_eq!(
        store.checkpoint(&shard).await.must("a checkpoint"),
        before,
        "a report moved the checkpoint or the epoch"
    );
    store.report(&shard, Epoch(0), None).await.must("taking a failure back");
    assert_eq!(info(&store, live).await.failure, None, "a failure was not taken back");
}

/// Whoever passes an event need not know that others have failed on it.
pub(crate) async fn a_failure_is_over_once_its_event_was_taken(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let event = failure().position.get();
    store.report(&shard, Epoch(0), Some(failure())).await.must("reporting a failure");
    store.commit(step(&shard, 0, event - 1)).await.must("committing what precedes the failure");
    assert_eq!(info(&store, live).await.failure, Some(failure()), "a failure was over before its event was taken");
    store.commit(step(&shard, event - 1, event)).await.must("committing the event of the failure");
    assert_eq!(info(&store, live).await.failure, None, "a failure was told after its event had been taken");
}

pub(crate) async fn one_commit_writes_many_documents(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let mut commit = step(&shard(live), 0, 5_000);
    commit.documents = (1..=3_000).map(|n| (key(&format!("{n:05}")), document(n, Some(&n.to_string())))).collect();
    commit.kept = commit.documents.clone();
    store.commit(commit).await.must("committing many documents");
    for n in [1, 1_500, 3_000] {
        assert_eq!(body(&store, &format!("{n:05}")).await, Some(n.to_string()), "a document of many is not there");
    }
}
