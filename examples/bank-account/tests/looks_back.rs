//! Looks back at a read model that keeps its past for a while only, on each store: while a worker goes along, and from the worker's
//! generation and a replayed one alike. Each answer is what a plain fold makes of the log and costs a bounded number of events,
//! or is an error that says what can be had.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use common::stores;
use factum::{
    Append, At, Condition, Cursor, Event, EventStore, LogId, Metadata, Position, ReadLog, ReadModelStore, Recorded,
    RecordedEvent, RoundTrip, StreamId,
};
use factum_projections::{
    Answer, DocumentError, Forgotten, Keys, PageRequest, Projection, Projector, ProjectorOptions, ReplayOptions,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum MeterEvent {
    Counted,
}

impl Event for MeterEvent {
    const CATEGORY: &'static str = "meter";
}

/// How many events there were, and the sum of their positions: one that is lost, doubled or another's shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    events: u64,
    positions: u64,
}

/// Of all meters and of each.
struct Counts;

const KEEP_FOR: u64 = 300;
const BOUND: usize = 20 + 3 - 1;

impl Projection for Counts {
    const NAME: &'static str = "counts";
    const KEEP_EVERY: u64 = 20;
    const KEEP_AFTER: usize = 3;
    const KEEP_FOR: Option<u64> = Some(KEEP_FOR);
    type Event = MeterEvent;
    type Document = Seen;

    fn keys(&self, event: &Recorded<MeterEvent>, keys: &mut Keys) {
        keys.push("all");
        keys.push(event.stream.id());
    }

    fn apply(&self, _key: &str, seen: &mut Option<Seen>, event: &Recorded<MeterEvent>) {
        let seen = seen.get_or_insert_default();
        seen.events += 1;
        seen.positions += event.position.get();
    }
}

fn day(day: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_secs(725_846_400).unwrap() + TimeDelta::days(day as i64)
}

/// Some events of one meter: of one of a few busy ones, of one of many quiet ones, or of one that is busy only for a while.
async fn count(store: &dyn EventStore, n: u64) {
    let meter = match fastrand::u64(0..4) {
        0 => fastrand::u64(0..3),
        1 => 100 + n / 150,
        _ => fastrand::u64(10..40),
    };
    let event = || {
        let metadata = match fastrand::u64(0..3) {
            0 => Metadata::new(),
            _ => Metadata::new().occurred_at(day(fastrand::u64(0..1_000))),
        };
        factum::encode(&MeterEvent::Counted, metadata, RoundTrip::Checked).unwrap()
    };
    let events = (0..fastrand::usize(1..6)).map(|_| event()).collect();
    let stream = StreamId::of("meter", &meter.to_string()).unwrap();
    store.append(Append::to(stream, Condition::Any, events)).await.unwrap();
}

async fn everything(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let (mut all, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.read_log(ReadLog::after(LogId::FIRST, after)).await.unwrap();
        all.extend(page.events);
        match page.reached {
            Some(mark) if !page.end => after = mark.position,
            _ => return all,
        }
    }
}

fn fold<'e>(events: impl Iterator<Item = &'e RecordedEvent>) -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    for event in events {
        for key in ["all", event.stream.id()] {
            let seen = all.entry(key.to_owned()).or_default();
            seen.events += 1;
            seen.positions += event.position.get();
        }
    }
    all
}

/// Looks back while the worker goes on: in a log of nothing else, position `p` holds `p` events.
async fn look(projector: Projector, looking: Arc<AtomicBool>) -> (u64, u64) {
    let (model, mut right, mut forgotten) = (projector.read_model::<Counts>(), 0, 0);
    while looking.load(Ordering::SeqCst) {
        let reached = model.get("all").await.unwrap().checkpoint.get(LogId::FIRST).get();
        let position = fastrand::u64(reached.saturating_sub(KEEP_FOR + 50)..=reached);
        match model.get_at("all", Position::new(position)).await {
            Ok(Answer { document, events_read, checkpoint, .. }) => {
                let seen = document.unwrap_or_default();
                assert_eq!((seen.events, seen.positions), (position, position * (position + 1) / 2), "at {position}");
                assert!(events_read <= BOUND, "{events_read} events were read for position {position}");
                assert!(checkpoint.get(LogId::FIRST).get() >= reached);
                right += 1;
            }
            Err(DocumentError::Forgotten(what)) => {
                let oldest = what.oldest.get(LogId::FIRST).get();
                assert!(position < oldest && oldest + KEEP_FOR >= reached, "{what} (at least at {reached})");
                forgotten += 1;
            }
            Err(other) => panic!("a look back failed: {other}"),
        }
        // All of one moment, whatever is folded in meanwhile: a listing by time shows all that there is.
        let now = At::Recorded(Utc::now() + TimeDelta::days(1));
        let page = model.list_at(PageRequest::first(1_000), now).await.expect("a listing of now");
        let sum: u64 =
            page.documents.iter().filter(|entry| entry.key != "all").map(|entry| entry.document.events).sum();
        assert_eq!(sum, page.checkpoint.get(LogId::FIRST).get(), "a listing mixes moments");
        tokio::task::yield_now().await;
    }
    (right, forgotten)
}

/// Documents, with how many events were read for them.
type Looked = Vec<Result<(Option<Seen>, usize), Forgotten>>;

/// Compares answers at random moments with a plain fold of the log.
async fn compare(projector: &Projector, events: &[RecordedEvent], moments: &[At]) -> Looked {
    let model = projector.read_model::<Counts>();
    let head = events.last().unwrap().position.get();
    let oldest = Cursor::from(Position::new(head - KEEP_FOR));
    let early = &events[..(head - KEEP_FOR) as usize];
    let mut all = Vec::new();
    for at in moments {
        let expected = fold(events.iter().filter(|event| at.includes(event)));
        let must = match at {
            At::Position(cursor) => oldest <= *cursor,
            at => early.iter().all(|event| at.includes(event)),
        };
        let keys = ["all", "1", "12", "30", "100", "103", "no such"];
        for key in keys {
            match model.get_at(key, at.clone()).await {
                Ok(Answer { document, events_read, .. }) => {
                    assert_eq!(document.as_ref(), expected.get(key), "{key} at {at}");
                    let is_bounded = matches!(at, At::Position(_) | At::Recorded(_));
                    assert!(!is_bounded || events_read <= BOUND, "{events_read} events were read for {key} at {at}");
                    all.push(Ok((document, events_read)));
                }
                Err(DocumentError::Forgotten(what)) => {
                    assert!(!must, "{key} at {at} lies within the retention: {what}");
                    assert_eq!(what.oldest, oldest);
                    if let Some(since) = &what.since {
                        let then = fold(events.iter().filter(|event| since.includes(event)));
                        let answer = model.get_at(key, since.clone()).await.expect("what can be had is forgotten");
                        assert_eq!(answer.document.as_ref(), then.get(key), "{key} at {since}");
                    }
                    all.push(Err(*what));
                }
                Err(other) => panic!("{key} at {at}: {other}"),
            }
        }
        match model.list_at(PageRequest::first(1_000), at.clone()).await {
            Ok(page) => {
                let shown: BTreeMap<_, _> =
                    page.documents.into_iter().map(|entry| (entry.key, entry.document)).collect();
                assert_eq!(shown, expected, "a listing at {at}");
            }
            Err(DocumentError::Forgotten(what)) => assert!(!must, "a listing at {at}: {what}"),
            Err(other) => panic!("a listing at {at}: {other}"),
        }
    }
    all
}

fn moments(events: &[RecordedEvent]) -> Vec<At> {
    let head = events.last().unwrap().position.get();
    let oldest = head - KEEP_FOR;
    let mut moments: Vec<At> = [oldest - 1, oldest, oldest + 1, head].map(|at| Position::new(at).into()).to_vec();
    for n in 0..60 {
        let position = fastrand::u64(oldest.saturating_sub(40)..=head);
        moments.push(match n % 3 {
            0 => Position::new(position).into(),
            1 => At::Recorded(events[position as usize - 1].recorded_at),
            _ => At::Occurred(day(fastrand::u64(0..1_200))),
        });
    }
    moments
}

async fn scenario(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>, appends: u64) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::seed(seed);
    let projector = || {
        let options = ProjectorOptions::new().pages(1, fastrand::usize(20..90));
        Projector::new(store.clone(), read_models.clone()).with(Counts).options(options)
    };
    count(&*store, 0).await;
    let worker = projector();
    worker.catch_up().await.unwrap();
    let looking = Arc::new(AtomicBool::new(true));
    let looker = tokio::spawn(look(projector(), looking.clone()));
    for n in 0..appends {
        count(&*store, n).await;
        if fastrand::u64(0..5) == 0 {
            for done in worker.catch_up().await.unwrap() {
                done.result.unwrap();
            }
        }
    }
    worker.catch_up().await.unwrap();
    looking.store(false, Ordering::SeqCst);
    let (right, forgotten) = looker.await.unwrap();
    println!("{right} looks were answered, {forgotten} came too late");
    assert!(right > 0, "nobody looked back");
    let events = everything(&*store).await;
    let moments = moments(&events);
    let of_the_worker = compare(&worker, &events, &moments).await;
    assert!(of_the_worker.iter().any(Result::is_err), "nothing was forgotten");
    // Pages and commits of other sizes: what is kept is the same.
    let options = ReplayOptions::new().page_events(500).commit_events(700);
    worker.replay("counts", options, |_| {}).await.unwrap();
    assert_eq!(compare(&worker, &events, &moments).await, of_the_worker, "a replay keeps another past");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_memory() {
    stores::in_memory(|store, read_models| scenario(store, read_models, 800)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    stores::on_sqlite(|store, read_models| scenario(store, read_models, 800)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres() {
    stores::on_postgres(|store, read_models| scenario(store, read_models, 800)).await;
}
