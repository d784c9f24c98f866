//! Many writers and readers at once, on several threads.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use factum::{
    Append, AppendError, Condition, EventId, EventStore, LogId, PageLimit, Position, ReadLog, RecordedEvent, StreamId,
};
use futures_util::future::{join_all, poll_immediate};

use crate::Fixture;
use crate::kit::*;

/// What one writer was told: the ids that were recorded, and those that were refused.
#[derive(Default)]
struct Told {
    recorded: Vec<(EventId, StreamId, u64)>,
    refused: Vec<EventId>,
}

/// Appends at the version that the stream seems to have until so many were recorded.
async fn write_until(store: Arc<dyn EventStore>, streams: Vec<StreamId>, wanted: usize, seed: u64) -> Told {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut told = Told::default();
    let mut known: BTreeMap<StreamId, u64> = BTreeMap::new();
    while told.recorded.len() < wanted {
        assert!(
            told.refused.len() < 10_000,
            "10,000 appends in a row conflicted, each at the version that the one before was told"
        );
        let to = streams[random.usize(0..streams.len())].clone();
        let at = *known.get(&to).unwrap_or(&0);
        let condition = Condition::from(factum::Version::new(at).ok());
        let event = event("Counted", told.recorded.len());
        let id = event.id;
        match store.append(Append::to(to.clone(), condition, vec![event])).await {
            Ok(appended) => {
                let got = appended.version(&to).must("the version of an accepted event").get();
                assert_eq!(got, at + 1, "an append at version {at} was recorded as version {got}");
                told.recorded.push((id, to.clone(), got));
                known.insert(to, got);
            }
            Err(AppendError::Conflict { actual, .. }) => {
                let actual = actual.map_or(0, |version| version.get());
                assert_ne!(actual, at, "a conflict says that the stream is at the version that was expected");
                told.refused.push(id);
                known.insert(to, actual);
            }
            Err(other) => panic!("an append among others failed with {other:?}"),
        }
        if random.u8(0..4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    told
}

async fn race(fixture: &Fixture, streams: Vec<StreamId>, writers: u64, each: usize) {
    let tasks: Vec<_> =
        (0..writers).map(|n| tokio::spawn(write_until(fixture.store().clone(), streams.clone(), each, n))).collect();
    let mut recorded = BTreeMap::new();
    let mut refused = HashSet::new();
    for told in join_all(tasks).await {
        let told = told.must("a writer");
        recorded.extend(told.recorded.into_iter().map(|(id, stream, version)| (id, (stream, version))));
        refused.extend(told.refused);
    }
    let found = everything(fixture).await;
    for event in &found {
        assert!(!refused.contains(&event.id), "conflict-or-append: an append that conflicted was recorded: {event:?}");
        let told = recorded.remove(&event.id);
        assert_eq!(
            told,
            Some((event.stream.clone(), event.version.get())),
            "an event is there twice, or elsewhere than its writer was told"
        );
    }
    assert!(recorded.is_empty(), "no-lost-append: {} answered appends are not there", recorded.len());
    for of in &streams {
        let versions = versions(&stream_of(fixture, of).await);
        assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>(), "the versions of {of} have gaps");
    }
}

/// `conflict-or-append` and `no-lost-append` where everybody wants the same stream.
pub(crate) async fn many_writers_on_one_stream(fixture: &Fixture) {
    race(fixture, vec![stream("account-hot")], 8, 25).await;
}

/// The same where they seldom meet.
pub(crate) async fn many_writers_on_many_streams(fixture: &Fixture) {
    race(fixture, (0..24).map(|n| stream(&format!("account-{n}"))).collect(), 8, 40).await;
}

/// Follows a log from its start until it has seen so many events, as fast as it can.
async fn tail(store: Arc<dyn EventStore>, log: LogId, until: Position) -> Vec<RecordedEvent> {
    let mut seen: Vec<RecordedEvent> = Vec::new();
    let mut after = Position::START;
    while after < until {
        let read = ReadLog::after(log, after).limit(PageLimit::events(7));
        let page = store.read_log(read).await.must("reading a log while others append");
        for event in page.events {
            assert!(event.position > after, "complete-order: position {} came after {after}", event.position);
            after = event.position;
            seen.push(event);
        }
        let Some(reached) = page.reached else { panic!("log {log} ends at {after}, and {until} was recorded in it") };
        assert!(reached.position >= after, "a page has reached less than it holds");
        after = reached.position;
        tokio::task::yield_now().await;
    }
    seen
}

/// `complete-order`: a reader that follows a log while writers race sees every position, once, in order.
pub(crate) async fn a_tailing_reader_misses_nothing(fixture: &Fixture) {
    let streams: Vec<_> = (0..12).map(|n| acme(&format!("account-{n}"))).collect();
    // An event at the end of the race tells the readers where to stop.
    let log = add(fixture, &acme("account-0"), events(1)).await.log;
    let (end, stop) = tokio::sync::watch::channel(None);
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, mut stop) = (fixture.store().clone(), stop.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut after = Position::START;
                loop {
                    let until = *stop.borrow_and_update();
                    let head = store.head().await.must("the head").get(log);
                    tokio::task::yield_now().await;
                    let more = tail_from(&store, log, after, until.unwrap_or(head)).await;
                    let moved = !more.is_empty();
                    after = more.last().map_or(after, |event: &RecordedEvent| event.position);
                    seen.extend(more);
                    match until {
                        Some(until) if after >= until => return seen,
                        Some(until) => assert!(moved, "log {log} ends at {after}, and {until} was recorded in it"),
                        None => {}
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let (store, streams) = (fixture.store().clone(), streams.clone());
            tokio::spawn(async move {
                for m in 0..40 {
                    let to = streams[(n * 5 + m) % streams.len()].clone();
                    let append = Append::to(to, Condition::Any, events(1 + (n + m) % 3));
                    store.append(append).await.must("appending among others");
                }
            })
        })
        .collect();
    for writer in join_all(writers).await {
        writer.must("a writer");
    }
    let last = add(fixture, &acme("account-0"), events(1)).await.last;
    end.send_replace(Some(last));
    let all = tail(fixture.store().clone(), log, last).await;
    for reader in readers {
        let seen = soon("the end of a reader that follows", reader).await.must("a reader");
        assert_eq!(
            positions(&seen),
            positions(&all),
            "complete-order: a reader that followed did not see every position"
        );
        assert_eq!(seen, all, "a reader that followed saw other events than are there now");
    }
    if fixture.store().capabilities().dense_positions {
        let dense: Vec<_> = (1..).take(all.len()).map(Position::new).collect();
        assert_eq!(positions(&all), dense, "dense-positions is declared and a race left gaps");
    }
}

/// One round of following; the order is checked as it is seen.
async fn tail_from(store: &Arc<dyn EventStore>, log: LogId, after: Position, until: Position) -> Vec<RecordedEvent> {
    let mut seen: Vec<RecordedEvent> = Vec::new();
    let mut at = after;
    while at < until {
        let page = store.read_log(ReadLog::after(log, at).limit(PageLimit::events(5))).await.must("following a log");
        let Some(reached) = page.reached else { break };
        seen.extend(page.events);
        at = reached.position;
    }
    assert!(positions(&seen).is_sorted_by(|a, b| a < b), "complete-order: positions were seen out of order");
    seen
}

/// A caller that goes away leaves the store whole: its append happened or did not.
pub(crate) async fn dropped_futures_leave_the_store_whole(fixture: &Fixture) {
    let (a, b) = (acme("account-a"), acme("account-b"));
    for n in 0..60 {
        let append = Append::to(a.clone(), Condition::Any, vec![event("Counted", n), event("Counted", n)]).and(
            b.clone(),
            Condition::Any,
            vec![event("Counted", n)],
        );
        let store = fixture.store().clone();
        if n % 2 == 0 {
            // Polled once, then dropped.
            let _ = poll_immediate(store.append(append)).await;
        } else {
            let task = tokio::spawn(async move { store.append(append).await });
            tokio::task::yield_now().await;
            task.abort();
            let _ = task.await;
        }
    }
    // What is appended after them stands after them, so that nothing is still on its way.
    let answer = add(fixture, &acme("account-after"), events(1)).await;
    let (a, b) = (stream_of(fixture, &a).await, stream_of(fixture, &b).await);
    assert_eq!(a.len(), 2 * b.len(), "an append whose caller went away was recorded by half");
    let pairs = numbers(&a).chunks(2).all(|pair| pair[0] == pair[1]);
    assert!(pairs, "an append whose caller went away was torn apart");
    let once: HashSet<_> = numbers(&b).into_iter().collect();
    assert_eq!(once.len(), b.len(), "an append whose caller went away was recorded twice");
    let log = log_of(fixture, answer.log).await;
    assert_eq!(
        log.last().map(|event| event.position),
        Some(answer.last),
        "an append came after the one that followed it"
    );
}

/// `neighbours-unharmed`: appends that fail take no other with them, however they are grouped.
pub(crate) async fn a_failed_append_harms_no_other(fixture: &Fixture) {
    let taken = acme("account-taken");
    add(fixture, &taken, events(1)).await;
    let max = fixture.store().limits().max_payload;
    let attempts = (0..60).map(|n| {
        let store = fixture.store().clone();
        let own = acme(&format!("account-{n}"));
        let append = match n % 3 {
            0 => Append::to(own, Condition::NoStream, events(2)),
            1 => Append::to(own, Condition::NoStream, events(1)).and(taken.clone(), Condition::NoStream, events(1)),
            _ => {
                let large = format!("\"{}\"", "x".repeat(max));
                Append::to(own, Condition::Any, vec![factum::NewEvent { payload: large.into(), ..event("Noted", 1) }])
            }
        };
        tokio::spawn(async move { store.append(append).await })
    });
    for (n, attempt) in attempts.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = attempt.await.must("a task");
        let held = stream_of(fixture, &acme(&format!("account-{n}"))).await.len();
        match n % 3 {
            0 => {
                answer.must("an append beside others that fail");
                assert_eq!(held, 2, "neighbours-unharmed: an append beside others that failed is not there");
            }
            _ => {
                let error = answer.err().must("the error of an append that must fail");
                assert!(!matches!(error, AppendError::Unknown(_)), "a plain refusal is answered as unknown");
                assert_eq!(held, 0, "an append that failed was recorded");
            }
        }
    }
}
