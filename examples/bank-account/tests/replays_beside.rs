//! Replays that are started, broken off, switched and taken back, while a writer writes, workers work and a reader reads: on
//! each store no read fails or is wrong, and at the end all is what a fresh fold makes of history.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::stores;
use factum::{
    Append, Condition, Cursor, Event, EventStore, GenerationState, LogId, Metadata, Position, ReadModelStore, Recorded,
    RoundTrip, StreamId,
};
use factum_postgres::PostgresOptions;
use factum_projections::{
    GenerationsError, Keys, PageRequest, Projection, Projector, ReplayError, ReplayOptions, VerifyOptions,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum MeterEvent {
    Counted,
}

impl Event for MeterEvent {
    const CATEGORY: &'static str = "meter";
}

const METERS: u64 = 20;

/// How often at least something is begun beside the writer.
const MEDDLED: u64 = 40;

/// How many events there were, in all and of each meter: in a log of nothing else the sum is the position.
struct Counts;

impl Projection for Counts {
    const NAME: &'static str = "counts";
    const KEEP_EVERY: u64 = 50;
    type Event = MeterEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<MeterEvent>, keys: &mut Keys) {
        keys.push("all");
        keys.push(event.stream.id());
    }

    fn apply(&self, _key: &str, count: &mut Option<u64>, _event: &Recorded<MeterEvent>) {
        *count.get_or_insert(0) += 1;
    }
}

async fn count(store: &dyn EventStore, meter: u64) -> Cursor {
    let event = factum::encode(&MeterEvent::Counted, Metadata::new(), RoundTrip::Checked).unwrap();
    let stream = StreamId::of("meter", &meter.to_string()).unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap().cursor
}

/// Reads all the time, and fails on the first answer that was never true, or is older than one before.
async fn read(projector: Projector, reading: Arc<AtomicBool>) -> u64 {
    let (model, mut last, mut asked) = (projector.read_model::<Counts>(), Position::START, 0);
    while reading.load(Ordering::SeqCst) {
        let answer = model.get("all").await.expect("a read failed");
        let at = answer.checkpoint.get(LogId::FIRST);
        assert_eq!(answer.document.unwrap_or(0), at.get(), "generation {} mixes moments", answer.generation);
        assert!(at >= last, "a read showed {at} after {last}, in generation {}", answer.generation);
        last = at;
        let page = model.list(PageRequest::first(100)).await.expect("a listing failed");
        let at = page.checkpoint.get(LogId::FIRST);
        let sum: u64 = page.documents.iter().filter(|entry| entry.key != "all").map(|entry| entry.document).sum();
        assert_eq!(sum, at.get(), "a page of generation {} mixes moments", page.generation);
        assert!(at >= last, "a page showed {at} after {last}, in generation {}", page.generation);
        last = at;
        asked += 1;
        tokio::task::yield_now().await;
    }
    asked
}

/// One of the things that an operator does, and may break off.
async fn meddle(projector: &Projector, n: u64) {
    let options = ReplayOptions::new().page_events(40).commit_events(90).keep_old(Duration::from_secs(60 * (n % 2)));
    let replay = projector.replay("counts", options.clone(), |_| {});
    match n % 4 {
        // Killed: the future is dropped wherever it is.
        0 | 1 => drop(tokio::time::timeout(Duration::from_millis(fastrand::u64(0..30)), replay).await),
        2 => ended(replay.await),
        _ => {
            let all = projector.generations("counts").await.unwrap();
            let retired = |state| matches!(state, GenerationState::Retired | GenerationState::Reopened);
            let Some(back) = all.iter().rev().find(|info| retired(info.state)) else { return };
            match projector.switch_to_with("counts", back.generation, &options, |_| {}).await {
                Ok(_) | Err(GenerationsError::NoSuch { .. } | GenerationsError::LiveAlready { .. }) => {}
                // The other one who does such things has dropped it, or has switched meanwhile.
                Err(GenerationsError::CatchUp { source, .. }) => ended::<()>(Err(*source)),
                Err(GenerationsError::Switch { source, .. }) => drop(source),
                Err(other) => panic!("going back: {other}"),
            }
        }
    }
}

fn ended<T>(done: Result<T, ReplayError>) {
    use ReplayError::{AnotherReplay, Running, Switch, Target};
    match done {
        // The other one does the same at this moment, or has just dropped or switched what this one was at.
        Ok(_) | Err(Running { .. } | AnotherReplay { .. } | Switch { .. } | Target { .. }) => {}
        Err(other) => panic!("a replay: {other}"),
    }
}

async fn scenario(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>, events: u64) {
    let projector = || Projector::new(store.clone(), read_models.clone()).with(Counts);
    for n in 0..200 {
        count(&*store, n % METERS).await;
    }
    let worker = projector();
    worker.catch_up().await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn({
        let worker = worker.clone();
        async move { worker.run(stopped.map(|_| ())).await.unwrap() }
    });
    let reading = Arc::new(AtomicBool::new(true));
    let readers: Vec<_> = (0..2).map(|_| tokio::spawn(read(projector(), reading.clone()))).collect();
    let meddled = Arc::new(AtomicU64::new(0));
    let writing = tokio::spawn({
        let (store, meddled) = (store.clone(), meddled.clone());
        async move {
            // Until enough has happened beside it, of which a loaded machine does less in the same time.
            for n in 0..100 * events {
                if n >= events && meddled.load(Ordering::SeqCst) >= MEDDLED {
                    break;
                }
                count(&*store, n % METERS).await;
                tokio::task::yield_now().await;
            }
        }
    });
    let operators: Vec<_> = (0..2u64)
        .map(|one| {
            let (operator, writing, meddled) = (projector(), reading.clone(), meddled.clone());
            tokio::spawn(async move {
                let mut n = one;
                while writing.load(Ordering::SeqCst) {
                    meddle(&operator, n).await;
                    meddled.fetch_add(1, Ordering::SeqCst);
                    n += 1;
                }
            })
        })
        .collect();
    writing.await.unwrap();
    let head = store.head().await.unwrap();
    worker.wait_for("counts", &head).await.unwrap();
    reading.store(false, Ordering::SeqCst);
    for operator in operators {
        operator.await.unwrap();
    }
    for reader in readers {
        assert!(reader.await.unwrap() > 0, "nobody read");
    }
    assert!(meddled.load(Ordering::SeqCst) >= MEDDLED, "hardly anybody meddled");
    stop.send(()).unwrap();
    working.await.unwrap();
    let fresh = projector();
    fresh.wait_for("counts", &head).await.unwrap();
    let mut differences = Vec::new();
    let report = fresh.verify("counts", &VerifyOptions::new(), |found| differences.push(found), |_| {}).await.unwrap();
    assert_eq!((report.differences, report.documents), (0, METERS + 1), "{differences:?}");
    let again = fresh.replay("counts", ReplayOptions::new().verify(), |_| {}).await.unwrap();
    assert!(again.live);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_memory() {
    stores::in_memory(|store, read_models| scenario(store, read_models, 5_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    stores::on_sqlite(|store, read_models| scenario(store, read_models, 2_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    stores::on_postgres(|store, read_models| scenario(store, read_models, 2_000)).await;
}

/// What is read ahead and what is written come from the same few connections: neither waits for one that the other holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_on_postgres_ends_however_few_connections_there_are() {
    for connections in 1..=4 {
        let options = PostgresOptions::new().connections(connections).acquire_timeout(Duration::from_secs(300));
        stores::on_postgres_with(options, |store, read_models| async move {
            let counted = || factum::encode(&MeterEvent::Counted, Metadata::new(), RoundTrip::Checked).unwrap();
            for meter in 0..METERS {
                let stream = StreamId::of("meter", &meter.to_string()).unwrap();
                let events = (0..500).map(|_| counted()).collect();
                store.append(Append::to(stream, Condition::NoStream, events)).await.unwrap();
            }
            let projector = Projector::new(store, read_models).with(Counts);
            let often = ReplayOptions::new().page_events(100).commit_events(300);
            let replay = projector.replay("counts", often, |_| {});
            let report = tokio::time::timeout(Duration::from_secs(60), replay).await.expect("it waits for itself");
            assert_eq!(report.unwrap().events, METERS * 500);
            let all = projector.read_model::<Counts>().get("all").await.unwrap();
            assert_eq!(all.document, Some(METERS * 500));
        })
        .await;
    }
}
