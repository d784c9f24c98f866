//! Replaying into a new generation while the old one serves.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use factum::{Cursor, EventStore, Generation, GenerationState, Position, ProjectionName, ReadModelStore, Tenant};
use factum_memory::MemoryStore;
use factum_projections::{
    KEEP_OLD, PageRequest, Projector, ProjectorOptions, ReplayError, ReplayOptions, ReplayProgress, ReplayReport,
};
use futures_util::FutureExt;
use proptest::prelude::*;

fn projector<const KEEP: u64>(store: &Arc<MemoryStore>) -> Projector {
    Projector::new(store.clone(), store.clone()).with(Balances::<KEEP, 2>).with(Turnover::<KEEP>)
}

async fn replay(projector: &Projector, name: &str) -> ReplayReport {
    projector.replay(name, ReplayOptions::new(), |_| {}).await.unwrap()
}

/// Lives through the history in pages of some size, replays with other ones, and compares all that is kept.
async fn equal<const KEEP: u64>(
    store: Arc<MemoryStore>,
    history: Vec<Happening>,
    live_page: usize,
    replay_page: usize,
    commit_events: u64,
) -> Result<(), TestCaseError> {
    let projector = projector::<KEEP>(&store).options(ProjectorOptions::new().pages(1, live_page));
    for (n, happening) in history.iter().enumerate() {
        record(&*store, happening).await;
        if n % 7 == 3 {
            projector.catch_up().await.unwrap();
        }
    }
    projector.catch_up().await.unwrap();
    let options = ReplayOptions::new().keep_old(KEEP_OLD).page_events(replay_page).commit_events(commit_events);
    for name in ["balances", "turnover"] {
        let report = projector.replay(name, options.clone(), |_| {}).await.unwrap();
        prop_assert_eq!(report.events, history.len() as u64);
        for tenant in [Tenant::default(), acme()] {
            let live = dump(&store, name, Generation(1), &tenant).await;
            let replayed = dump(&store, name, report.generation, &tenant).await;
            prop_assert_eq!(live, replayed);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn replay_equals_live(
        history in history(80), live in 1usize..9, replay in 1usize..9, commit in 1u64..30, logs in 1u32..4,
    ) {
        block_on(equal::<5>(bank(logs), history, live, replay, commit))?;
    }

    #[test]
    fn a_replay_that_is_dropped_anywhere_goes_on_later(history in history(60), polls in 0usize..40, logs in 1u32..3) {
        block_on(async {
            let store = bank(logs);
            let live = projector::<5>(&store);
            record_all(&*store, &history).await;
            live.catch_up().await.unwrap();
            let expected = dump(&store, "turnover", Generation(1), &Tenant::default()).await;
            let options = ReplayOptions::new().keep_old(KEEP_OLD).page_events(3).commit_events(6);
            {
                let mut dropped = Box::pin(live.replay("turnover", options.clone(), |_| {}));
                for _ in 0..polls {
                    if (&mut dropped).now_or_never().is_some() {
                        break;
                    }
                }
            }
            // The old one serves, whatever became of the replay; the next begins where its last commit was.
            let shown = live.read_model::<Turnover<5>>().get("all").await.unwrap();
            prop_assert_eq!(shown.checkpoint, store.head().await.unwrap());
            let report = projector::<5>(&store).replay("turnover", options.clone(), |_| {}).await.unwrap();
            prop_assert!(report.events <= history.len() as u64);
            let replayed = dump(&store, "turnover", report.generation, &Tenant::default()).await;
            prop_assert_eq!(replayed, expected);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn a_replay_that_was_dropped_after_commits_is_resumed_and_not_begun_again() {
    let store = bank(1);
    for _ in 0..100 {
        deposit(&*store, 1, 1).await;
    }
    let projector = projector::<10>(&store);
    let options = ReplayOptions::new().page_events(10).commit_events(20);
    {
        let mut dropped = Box::pin(projector.replay("turnover", options.clone(), |_| {}));
        for _ in 0..6 {
            assert!((&mut dropped).now_or_never().is_none());
        }
    }
    let building = projector.status_of("turnover").await.unwrap().building.unwrap();
    assert!(building.checkpoint > Cursor::start() && building.failure.is_none());
    let report = projector.replay("turnover", options.clone(), |_| {}).await.unwrap();
    assert_eq!(report.resumed_at, Some(building.checkpoint.clone()));
    assert_eq!(report.events, 100 - building.checkpoint.get(factum::LogId::FIRST).get());
    assert_eq!(projector.read_model::<Turnover<10>>().get("all").await.unwrap().document.unwrap().cents, 100);
}

#[tokio::test]
async fn replaying_an_empty_store_ends_at_once() {
    let store = bank(2);
    let report = replay(&projector::<5>(&store), "balances").await;
    assert_eq!((report.events, report.generation), (0, Generation(2)));
    assert_eq!(projector::<5>(&store).read_model::<Balances<5, 2>>().get("1").await.unwrap().document, None);
}

#[tokio::test]
async fn the_old_generation_serves_until_the_new_one_takes_its_place() {
    let store = bank(1);
    for _ in 0..50 {
        deposit(&*store, 1, 1).await;
    }
    let projector = projector::<10>(&store);
    projector.catch_up().await.unwrap();
    let turnover = projector.read_model::<Turnover<10>>();
    let seen = AtomicU64::new(0);
    let progress = |progress: ReplayProgress| {
        let shown = turnover.get("all").now_or_never().unwrap().unwrap();
        assert_eq!((shown.generation, shown.document.unwrap().cents), (Generation(1), 50));
        assert_eq!((progress.generation, progress.head), (Generation(2), Position::new(50).into()));
        seen.store(progress.events, Ordering::SeqCst);
    };
    projector.replay("turnover", ReplayOptions::new().page_events(7), progress).await.unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 50);
    let shown = turnover.get("all").await.unwrap();
    assert_eq!((shown.generation, shown.document.unwrap().cents), (Generation(2), 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_switch_loses_nothing_while_writers_write_and_the_projector_runs() {
    let store = bank(1);
    let projector = projector::<10>(&store);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let projector = projector.clone();
        async move { projector.run(stopped.map(|_| ())).await.unwrap() }
    });
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..600u32 {
                deposit(&*store, (n % 4) as u8, 1).await;
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..5 {
        soon(replay(&projector, "turnover")).await;
    }
    soon(writer).await.unwrap();
    let head = store.head().await.unwrap();
    soon(projector.wait_for("turnover", &head)).await.unwrap();
    let all = projector.read_model::<Turnover<10>>().get("all").await.unwrap();
    assert_eq!(all.document.unwrap().positions, (1..=600).collect::<Vec<_>>());
    assert_eq!(all.generation, Generation(6));
    stop.send(()).unwrap();
    for result in soon(running).await.unwrap() {
        result.result.unwrap();
    }
}

#[tokio::test]
async fn of_two_replays_at_once_one_is_told_of_the_other() {
    let store = bank(1);
    for _ in 0..100 {
        deposit(&*store, 1, 1).await;
    }
    let options = ReplayOptions::new().page_events(5).commit_events(10);
    let (one, two) = (projector::<10>(&store), projector::<10>(&store));
    let (one, two) = futures_util::future::join(
        one.replay("turnover", options.clone(), |_| {}),
        two.replay("turnover", options.clone(), |_| {}),
    )
    .await;
    let told = |result: &Result<_, _>| matches!(result, Err(ReplayError::AnotherReplay { .. }));
    assert!(told(&one) != told(&two), "{one:?} {two:?}");
    let shown = projector::<10>(&store).read_model::<Turnover<10>>().get("all").await.unwrap();
    let positions = shown.document.map(|all| all.positions).unwrap_or_default();
    assert_eq!(positions, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_token_stays_in_its_generation_and_expires_with_it() {
    let store = bank(1);
    for account in 0..4 {
        open(&*store, account).await;
    }
    let projector = projector::<5>(&store);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<5, 2>>();
    let first = balances.list(PageRequest::first(2)).await.unwrap();
    projector.replay("balances", ReplayOptions::new().keep_old(KEEP_OLD), |_| {}).await.unwrap();
    let token = first.next.unwrap();
    let second = balances.list(PageRequest::after(token.clone())).await.unwrap();
    assert_eq!((second.generation, second.documents.len(), second.next), (Generation(1), 2, None));
    let name = ProjectionName::new("balances").unwrap();
    store.drop_generation(&name, Generation(1)).await.unwrap();
    assert!(balances.list(PageRequest::after(token)).await.unwrap_err().is_expired());
}

#[tokio::test]
async fn only_the_live_generation_is_left_unless_the_old_one_is_kept() {
    let store = bank(1);
    let projector = projector::<5>(&store);
    open(&*store, 1).await;
    let at_once = projector.replay("balances", ReplayOptions::new().keep_old(Duration::ZERO), |_| {}).await.unwrap();
    assert_eq!((at_once.live, at_once.kept, at_once.position), (true, None, Position::new(1).into()));
    let kept = replay(&projector, "balances").await;
    assert_eq!(kept.kept, Some(Generation(2)));
    let name = ProjectionName::new("balances").unwrap();
    let left: Vec<_> = store.generations(&name).await.unwrap().iter().map(|g| (g.generation.0, g.state)).collect();
    assert_eq!(left, [(2, GenerationState::Retired), (3, GenerationState::Live)]);
}

#[tokio::test]
async fn an_unknown_projection_is_told_with_those_that_there_are() {
    let store = bank(1);
    let unknown = projector::<5>(&store).replay("balance", ReplayOptions::new(), |_| {}).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no projection \"balance\"; there are: balances, turnover");
}

/// A dry run said that it would go on with what a replay throws away.
#[tokio::test]
async fn an_estimate_goes_on_with_what_a_replay_would_go_on_with() {
    let (events, restored) = (bank(1), bank(1));
    for account in 0..10 {
        open(&*events, account).await;
        open(&*restored, account).await;
    }
    let store = Arc::new(Faulty::new(events.clone()));
    let projector = Projector::new(store.clone(), events.clone()).with(Balances::<5>);
    let estimate = async |options: ReplayOptions| projector.estimate_replay("balances", &options).await;
    projector.catch_up().await.unwrap();
    // Found by a field that the code does not declare.
    let new = factum::NewGeneration {
        projection: factum::ProjectionName::new("balances").unwrap(),
        version: factum::ProjectionVersion(1),
        fields: vec![factum::Field::integer("cents")],
    };
    factum::ReadModelStore::build(&*events, &new).await.unwrap();
    let anew = estimate(ReplayOptions::new()).await.unwrap();
    assert_eq!((anew.resumes, anew.from, anew.events), (None, Cursor::start(), 10));

    let built = projector.replay("balances", ReplayOptions::new().to(Position::new(4)), |_| {}).await.unwrap();
    let goes_on = estimate(ReplayOptions::new()).await.unwrap();
    assert_eq!((goes_on.resumes, goes_on.events), (Some(built.generation), 6));
    let beyond = estimate(ReplayOptions::new().to(Position::new(2))).await;
    assert!(matches!(beyond, Err(ReplayError::Beyond { .. })), "{beyond:?}");

    store.restore(restored);
    let anew = estimate(ReplayOptions::new()).await.unwrap();
    assert_eq!((anew.resumes, anew.from, anew.events), (None, Cursor::start(), 10));
    let replayed = projector.replay("balances", ReplayOptions::new(), |_| {}).await.unwrap();
    assert_eq!((replayed.resumed_at, replayed.events), (None, 10));
}
