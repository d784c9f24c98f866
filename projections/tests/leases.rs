//! Several processes, of which each projection is driven by one at a time: `one-driver-at-a-time`.

mod common;
#[path = "common/workers.rs"]
mod workers;

use std::collections::BTreeMap;
use std::time::Duration;

use common::*;
use factum::{
    CommitError, EventStore, LeaseHolder, LogId, Position, ProjectionName, ProjectionVersion, ReadModelStore, Recorded,
    TakeLease,
};
use factum_projections::{Keys, Projection, Projector, ProjectorError, ProjectorOptions};
use tokio::sync::oneshot;
use workers::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_spread_evenly_and_what_a_dead_one_had_is_taken_over() {
    let store = bank(1);
    let first = Worker::start(all(&store));
    settled(&store, &[6]).await;
    let second = Worker::start(all(&store));
    settled(&store, &[3, 3]).await;
    let third = Worker::start(all(&store));
    settled(&store, &[2, 2, 2]).await;
    let done = deposit(&*store, 1, 7).await;
    current(&store, &third.projector, &done).await;

    let dead = first.holder();
    first.kill().await;
    let held = settled(&store, &[3, 3]).await;
    assert!(held.values().all(|holder| *holder != dead), "{held:?}");
    let done = deposit(&*store, 1, 5).await;
    current(&store, &second.projector, &done).await;

    for result in second.end().await {
        result.result.unwrap();
    }
    let held = settled(&store, &[6]).await;
    assert!(held.values().all(|holder| *holder == third.holder()), "{held:?}");
    third.end().await;
    assert_eq!(store.leases().await.unwrap(), [], "who ended kept a lease");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_drives_what_it_was_asked_to_only() {
    let store = bank(1);
    let one = all(&store);
    let (_stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let one = one.clone();
        async move { one.run_only(&["a", "b"], async { drop(stopped.await) }).await.unwrap() }
    });
    settled(&store, &[2]).await;
    let rest = Worker::start(all(&store));
    let held = settled(&store, &[2, 4]).await;
    assert_eq!((&held[&lease_of("a")], &held[&lease_of("b")]), (one.holder(), one.holder()));
    assert_eq!(held[&lease_of("f")], rest.holder());
    assert!(one.run_only(&["a", "lamps"], async {}).await.is_err());
    running.abort();
}

/// One that was stopped and comes back holds a page of before: it is refused, whatever it believes of its lease.
#[tokio::test]
async fn what_a_stopped_worker_holds_is_never_written() {
    let store = bank(1);
    let done = deposit(&*store, 1, 1).await;
    let options = ProjectorOptions::new().lease_time(Duration::from_millis(100));
    let stopped = all(&store).options(options);
    let (name, version) = (ProjectionName::new("a").unwrap(), ProjectionVersion(1));
    let new = factum::NewGeneration { projection: name.clone(), version, fields: Vec::new() };
    let generation = store.open(&new).await.unwrap().generation;
    let raise = factum::RaiseEpochs {
        projection: name.clone(),
        version,
        state: factum::GenerationState::Live,
        logs: vec![LogId::FIRST],
    };
    // It takes the lease, reads where it is, and is stopped.
    let wish = TakeLease { raise: Some(raise), ..TakeLease::free(lease_of("a"), stopped.holder().clone()) };
    store.take_lease(&wish).await.unwrap();
    let shard = factum::Shard { projection: name, generation, partition: 0, log: LogId::FIRST };
    let before = store.checkpoint(&shard).await.unwrap();

    let other = all(&store).options(quick().lease_time(Duration::from_millis(100)));
    soon(other.wait_for("a", &done)).await.unwrap();
    assert_ne!(store.checkpoint(&shard).await.unwrap().epoch, before.epoch);
    let page = factum::Commit {
        shard: shard.clone(),
        from: Position::new(1),
        epoch: before.epoch,
        store: EventStore::id(&*store),
        to: factum::Mark { position: Position::new(1), event: everything(&*store).await[0].id },
        documents: Vec::new(),
        kept: Vec::new(),
        keep_from: None,
        fields: Vec::new(),
    };
    let late = store.commit(page).await;
    assert!(matches!(late, Err(CommitError::Stale { .. })), "{late:?}");
    current(&store, &other, &done).await;
}

/// A worker whose lease was taken while it was away drops what it had and competes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lost_its_lease_goes_on_when_it_is_free_again() {
    let store = bank(1);
    let worker = Worker::start(all(&store));
    settled(&store, &[6]).await;
    let seen = store.leases().await.unwrap().into_iter().find(|lease| lease.name == lease_of("c")).unwrap();
    // As if it had stood still for long: somebody takes it as it was seen.
    let thief = LeaseHolder::new("another").unwrap();
    let taken = soon(async {
        let mut seen = seen;
        loop {
            let wish = TakeLease { seen: Some(seen), ..TakeLease::free(lease_of("c"), thief.clone()) };
            match store.take_lease(&wish).await {
                Ok(lease) => return lease,
                Err(factum::LeaseError::Held { lease }) => seen = *lease,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    soon(async {
        while worker.projector.working_on().iter().any(|on| on.name.as_str() == "c" && on.here) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(store.release_lease(&taken).await.unwrap());
    let held = settled(&store, &[6]).await;
    assert_eq!(held[&lease_of("c")], worker.holder());
    let done = deposit(&*store, 1, 7).await;
    current(&store, &worker.projector, &done).await;
    worker.end().await;
}

#[tokio::test]
async fn a_wait_says_who_drives_the_projection_and_takes_over_once_nothing_is_heard_of_it() {
    let store = bank(1);
    let done = deposit(&*store, 1, 1).await;
    let holder = LeaseHolder::new("elsewhere:7").unwrap();
    store.take_lease(&TakeLease::free(lease_of("a"), holder.clone())).await.unwrap();
    // Nothing moves for an hour, so that this one is alive for all that anybody knows.
    let patient = all(&store).options(quick().lease_time(Duration::from_secs(3600)));
    let error = soon(patient.wait_for_within("a", &done, Duration::from_millis(20))).await.unwrap_err();
    assert!(matches!(error, ProjectorError::TimedOut { .. }), "{error:?}");
    assert!(error.to_string().contains("it is driven by elsewhere:7, since 1993"), "{error}");
    soon(all(&store).wait_for("a", &done)).await.unwrap();
    assert_eq!(holders(&store).await, BTreeMap::new(), "who waited kept the lease");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_when_another_process_has_come_so_far() {
    let store = bank(2);
    let worker = Worker::start(all(&store));
    settled(&store, &[6]).await;
    let waiter = all(&store).options(quick().lease_time(Duration::from_secs(3600)));
    for account in 0..20 {
        let done = deposit(&*store, account % 4, 1).await;
        soon(waiter.wait_for("b", &done)).await.unwrap();
    }
    let past = Position::new(1_000).into();
    let error = soon(waiter.wait_for("b", &past)).await.unwrap_err();
    assert!(matches!(error, ProjectorError::PastHead { .. }), "{error:?}");
    worker.end().await;
}

/// Two deployments side by side: each version has a live generation of its own, and both are current.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_side_by_side_are_both_current() {
    struct Newer;
    impl Projection for Newer {
        const NAME: &'static str = "a";
        const VERSION: u32 = 2;
        type Event = AccountEvent;
        type Document = i64;
        fn keys(&self, _: &Recorded<AccountEvent>, keys: &mut Keys) {
            keys.push("all");
        }
        fn apply(&self, _: &str, events: &mut Option<i64>, _: &Recorded<AccountEvent>) {
            *events.get_or_insert(0) += 1;
        }
    }
    let store = bank(1);
    let old = Worker::start(Projector::new(store.clone(), store.clone()).options(quick()).with(A));
    let new = Worker::start(Projector::new(store.clone(), store.clone()).options(quick()).with(Newer));
    settled(&store, &[1, 1]).await;
    for _ in 0..5 {
        let done = deposit(&*store, 1, 3).await;
        soon(old.projector.wait_for("a", &done)).await.unwrap();
        soon(new.projector.wait_for("a", &done)).await.unwrap();
    }
    assert_eq!(old.projector.read_model::<A>().get("all").await.unwrap().document.unwrap().cents, 15);
    assert_eq!(new.projector.read_model::<Newer>().get("all").await.unwrap().document, Some(5));
    old.end().await;
    new.end().await;
}

/// Of two releases of one version the older meets an event that it does not know: it gives the projection up, and the newer
/// goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_needs_newer_code_leaves_the_projection_to_one_that_has_it() {
    #[derive(serde::Serialize, serde::Deserialize)]
    enum NewerEvent {
        Opened,
        Deposited { cents: i64 },
        Closed,
        Frozen,
    }
    impl factum::Event for NewerEvent {
        const CATEGORY: &'static str = "account";
    }
    struct Newer;
    impl Projection for Newer {
        const NAME: &'static str = "a";
        type Event = NewerEvent;
        type Document = Balance;
        fn keys(&self, _: &Recorded<NewerEvent>, keys: &mut Keys) {
            keys.push("all");
        }
        fn apply(&self, _: &str, all: &mut Option<Balance>, event: &Recorded<NewerEvent>) {
            all.get_or_insert_default().positions.push(event.position.get());
        }
    }
    let store = bank(1);
    deposit(&*store, 1, 3).await;
    let old = Worker::start(Projector::new(store.clone(), store.clone()).options(quick()).with(A).with(B));
    settled(&store, &[2]).await;
    let frozen = factum::encode(&NewerEvent::Frozen, factum::Metadata::new(), factum::RoundTrip::Checked).unwrap();
    let stream = factum::StreamId::new("account-1").unwrap();
    let done = store.append(factum::Append::to(stream, factum::Condition::Any, vec![frozen])).await.unwrap().cursor;
    // Both of its projections meet the event, and it gives both up and says so.
    soon(async {
        while !holders(&store).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let said = old.projector.working_on();
    assert!(
        said.iter().all(|on| !on.here && on.trouble.as_ref().is_some_and(|why| why.contains("newer code"))),
        "{said:?}"
    );
    let health = old.projector.health().await.unwrap();
    assert_eq!(health.not_ready(100).len(), 2, "{health:?}");

    let new = Worker::start(Projector::new(store.clone(), store.clone()).options(quick()).with(Newer));
    soon(new.projector.wait_for("a", &done)).await.unwrap();
    // The old one waits for the new one instead of failing, and takes no part.
    soon(old.projector.wait_for("a", &done)).await.unwrap();
    let held = settled(&store, &[1]).await;
    assert_eq!(held[&lease_of("a")], new.holder());
    old.kill().await;
    new.end().await;
}
