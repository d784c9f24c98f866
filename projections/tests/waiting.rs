//! Reading one's own write, running, and stopping.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use factum::{EventStore, Position, ReadModelStore, Tenant};
use factum_memory::MemoryStore;
use factum_projections::{DocumentError, ProjectionState, Projector, ProjectorError, ProjectorOptions, SetupError};
use futures_util::FutureExt;

fn projector(store: &Arc<MemoryStore>) -> Projector {
    Projector::new(store.clone(), store.clone()).with(Balances::<5>).with(Turnover::<5>)
}

#[tokio::test]
async fn waiting_needs_no_projector_that_runs() {
    let store = bank(3);
    let projector = projector(&store);
    for account in 0..5 {
        let done = open(&*store, account).await;
        soon(projector.wait_for("balances", &done)).await.unwrap();
        let shown = projector.read_model::<Balances<5>>().get(&account.to_string()).await.unwrap();
        assert!(shown.document.is_some() && shown.checkpoint >= done);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_once_read_model_under_racing_projectors_waiters_and_a_runner() {
    let store = bank(2);
    let small = ProjectorOptions::new().pages(1, 3);
    let mut projectors: Vec<_> = (0..3).map(|_| projector(&store).options(small.clone())).collect();
    projectors.push(projectors[0].clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running: Vec<_> = projectors
        .iter()
        .cloned()
        .map(|projector| {
            let mut stopped = stopped.clone();
            tokio::spawn(async move {
                let shutdown = async move { drop(stopped.wait_for(|stop| *stop).await) };
                projector.run(shutdown).await.unwrap()
            })
        })
        .collect();
    let writers: Vec<_> = (0..4u8)
        .map(|n| {
            let (store, projector) = (store.clone(), projectors[n as usize].clone());
            tokio::spawn(async move {
                for _ in 0..50 {
                    let done = deposit(&*store, n, 1).await;
                    soon(projector.wait_for("turnover", &done)).await.unwrap();
                    let shown = projector.read_model::<Turnover<5>>().get("all").await.unwrap();
                    assert!(shown.checkpoint >= done);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    stop.send_replace(true);
    for projector in running {
        for result in soon(projector).await.unwrap() {
            result.result.unwrap();
        }
    }
    projectors[0].catch_up().await.unwrap();
    let all = projectors[0].read_model::<Turnover<5>>().get("all").await.unwrap();
    let expected = naive(&Turnover::<5>, &*store, &Tenant::default(), None).await;
    assert_eq!(all.document.as_ref(), expected.get("all"));
    assert_eq!(all.document.unwrap().cents, 200);
}

#[tokio::test]
async fn a_waiter_that_goes_away_leaves_the_projection_whole() {
    let store = bank(1);
    let projector = projector(&store).options(ProjectorOptions::new().pages(1, 2));
    for n in 0..40 {
        let done = deposit(&*store, 1, 1).await;
        let mut gone = Box::pin(projector.wait_for("turnover", &done));
        for _ in 0..n % 4 {
            if (&mut gone).now_or_never().is_some() {
                break;
            }
        }
    }
    projector.catch_up().await.unwrap();
    let all = projector.read_model::<Turnover<5>>().get("all").await.unwrap().document.unwrap();
    assert_eq!(all.positions, (1..=40).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_lies_past_the_head_is_an_error_and_no_wait() {
    let store = bank(1);
    open(&*store, 1).await;
    let projector = projector(&store);
    let cursor = Position::new(7).into();
    let error = soon(projector.wait_for("balances", &cursor)).await.unwrap_err();
    assert_eq!(error.to_string(), "balances cannot reach 7: the store's head is 1");
}

#[tokio::test]
async fn a_bounded_wait_says_how_far_the_projection_is() {
    let store = bank(1);
    let faulty = Arc::new(Faulty::new(store.clone()));
    let projector = Projector::new(faulty.clone(), store.clone()).with(Balances::<5>);
    let done = open(&*store, 1).await;
    soon(projector.wait_for_within("balances", &done, Duration::from_secs(60))).await.unwrap();
    let next = open(&*store, 2).await;
    faulty.stall();
    let error = soon(projector.wait_for_within("balances", &next, Duration::from_millis(1))).await.unwrap_err();
    let ProjectorError::TimedOut { cursor, checkpoint, .. } = &error else { panic!("{error:?}") };
    assert_eq!((cursor, checkpoint), (&next, &done));
    faulty.heal();
    soon(projector.wait_for("balances", &next)).await.unwrap();
}

/// What had waited was still there when it was to give its lease back, as one more who waits, so that nothing was given back:
/// whoever came next had to wait until that lease had stood still.
#[tokio::test]
async fn a_wait_whose_time_is_over_leaves_no_lease_behind() {
    let store = bank(1);
    let done = open(&*store, 1).await;
    let faulty = Arc::new(Faulty::new(store.clone()));
    let projector = Projector::new(faulty.clone(), store.clone()).with(Balances::<5>);
    faulty.stall();
    let waited = soon(projector.wait_for_within("balances", &done, Duration::from_millis(50))).await;
    assert!(matches!(waited, Err(ProjectorError::TimedOut { .. })), "{waited:?}");
    assert_eq!(store.leases().await.unwrap(), []);
}

#[tokio::test]
async fn a_runner_lives_on_wake_ups_without_a_poll_and_stops_when_told() {
    let store = bank(1);
    let hourly = ProjectorOptions::new().poll_every(Duration::from_secs(3600));
    let projector = projector(&store).options(hourly);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let projector = projector.clone();
        async move { projector.run(stopped.map(|_| ())).await.unwrap() }
    });
    for account in 0..5 {
        let done = open(&*store, account).await;
        soon(async {
            while !projector.status().await.unwrap().iter().all(|status| status.checkpoint >= done) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    stop.send(()).unwrap();
    let results = soon(running).await.unwrap();
    let reached: Vec<_> = results.into_iter().map(|result| result.result.unwrap().to_string()).collect();
    assert_eq!(reached, ["5", "5"]);
}

#[tokio::test]
async fn a_runner_ends_with_its_store() {
    let store = bank(1);
    let projector = projector(&store);
    let running = tokio::spawn(async move { projector.run(std::future::pending()).await.unwrap() });
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    let results = soon(running).await.unwrap();
    assert!(results.iter().all(|result| result.result.is_err()), "{results:?}");
}

#[tokio::test]
async fn status_tells_what_is_new_live_and_behind() {
    let store = bank(1);
    let projector = projector(&store);
    open(&*store, 1).await;
    let new = projector.status_of("balances").await.unwrap();
    assert_eq!((new.state, new.generation, new.lag), (ProjectionState::New, None, Some(1)));
    projector.catch_up_one("balances").await.unwrap();
    deposit(&*store, 1, 1).await;
    let live = projector.status_of("balances").await.unwrap();
    assert_eq!((live.state, live.lag), (ProjectionState::Live, Some(1)));
    let json = serde_json::to_value(&live).unwrap();
    assert_eq!((&json["name"], &json["generation"], &json["checkpoint"]), (&"balances".into(), &1.into(), &1.into()));
    assert_eq!((&json["state"], &json["lag"]), (&"live".into(), &1.into()));
}

#[tokio::test]
async fn nothing_is_read_from_a_projection_that_never_ran_or_is_not_there() {
    let store = bank(1);
    let read = projector(&store).read_model::<Balances<5>>().get("1").await.unwrap_err();
    assert!(matches!(read, DocumentError::ReadModel(factum::ReadModelError::NoGeneration { .. })), "{read:?}");
    let other = Projector::new(store.clone(), store.clone()).with(Turnover::<5>);
    let read = other.read_model::<Balances<5>>().get("1").await.unwrap_err();
    assert_eq!(read.to_string(), "there is no projection \"balances\"; there are: turnover");
}

#[tokio::test]
async fn two_projections_of_one_name_are_refused() {
    let store = bank(1);
    let projector = projector(&store).with(Balances::<7>);
    let refused = projector.catch_up().await.unwrap_err();
    assert!(matches!(refused, ProjectorError::Setup(SetupError::NameTwice { .. })), "{refused:?}");
}
