//! What was appended is there: numbered, in order, whole.

use factum::{Append, Condition, Cursor, Position, ReadLog, Version, Versions};

use crate::Fixture;
use crate::kit::*;

/// `no-lost-append`: an answered append is read at once, in the order in which it was given.
pub(crate) async fn an_answered_append_is_there(fixture: &Fixture) {
    let account = stream("account-1");
    for count in 1..=5 {
        add(fixture, &account, vec![event("Counted", count)]).await;
        let found = numbers(&stream_of(fixture, &account).await);
        assert_eq!(
            found,
            (1..=count).collect::<Vec<_>>(),
            "what was answered as recorded is not what the stream holds"
        );
    }
}

pub(crate) async fn versions_count_from_one_in_each_stream(fixture: &Fixture) {
    let (a, b) = (stream("account-a"), stream("account-b"));
    for _ in 0..3 {
        add(fixture, &a, events(2)).await;
        add(fixture, &b, events(1)).await;
    }
    assert_eq!(versions(&stream_of(fixture, &a).await), [1, 2, 3, 4, 5, 6]);
    assert_eq!(versions(&stream_of(fixture, &b).await), [1, 2, 3]);
}

pub(crate) async fn the_answer_says_where_the_events_stand(fixture: &Fixture) {
    let (a, b, untouched) = (acme("account-a"), acme("account-b"), acme("account-c"));
    add(fixture, &a, events(2)).await;
    let append = Append::to(b.clone(), Condition::NoStream, events(3))
        .and(untouched.clone(), Condition::NoStream, Vec::new())
        .and(a.clone(), Condition::Exists, events(1));
    let answer = record(fixture, append).await;
    let of = |stream: &factum::StreamId, first, last| Versions {
        stream: stream.clone(),
        first: version(first),
        last: version(last),
    };
    assert_eq!(answer.versions, [of(&b, 1, 3), of(&a, 3, 3)], "the versions in the answer are not those of the events");
    assert_eq!(answer.cursor, Cursor::of(answer.log, answer.last), "the cursor does not stand at the last event");

    let log = log_of(fixture, answer.log).await;
    let ours: Vec<_> = log.iter().filter(|e| e.position >= answer.first && e.position <= answer.last).collect();
    let names: Vec<_> = ours.iter().map(|event| (event.stream.id(), event.version.get())).collect();
    assert_eq!(names, [("b", 1), ("b", 2), ("b", 3), ("a", 3)], "first and last position do not span the append");
    assert!(ours.iter().all(|event| event.recorded_at == answer.recorded_at), "recorded_at differs from the answer");
    assert!(
        ours.iter().all(|event| event.log == answer.log),
        "an event names another log than the one it is read from"
    );
}

/// Positions rise within a log, from above the start; where the store declares it they are `dense-positions`.
pub(crate) async fn positions_rise(fixture: &Fixture) {
    let streams = ["a", "b", "c", "d", "e"].map(|id| stream(&format!("account-{id}")));
    for count in 1..=4 {
        for account in &streams {
            add(fixture, account, events(count)).await;
        }
    }
    for log in fixture.store().logs() {
        let found = positions(&log_of(fixture, log).await);
        assert!(
            found.first().is_none_or(|first| *first > Position::START),
            "an event stands at the start of log {log}"
        );
        assert!(found.is_sorted_by(|a, b| a < b), "positions of log {log} do not rise: {found:?}");
        if fixture.store().capabilities().dense_positions {
            let dense: Vec<_> = (1..).take(found.len()).map(Position::new).collect();
            assert_eq!(found, dense, "dense-positions is declared and log {log} has gaps");
        }
    }
    assert_eq!(everything(fixture).await.len(), 50, "the logs together do not hold what was appended");
}

pub(crate) async fn streams_of_two_tenants_are_apart(fixture: &Fixture) {
    let (ours, theirs) = (stream("account-1"), acme("account-1"));
    add(fixture, &ours, events(2)).await;
    add(fixture, &theirs, vec![event("Opened", 7)]).await;
    assert_eq!(numbers(&stream_of(fixture, &ours).await), [1, 2]);
    let found = stream_of(fixture, &theirs).await;
    assert_eq!(
        (numbers(&found), versions(&found)),
        (vec![7], vec![1]),
        "a stream of one tenant holds what is another's"
    );
    assert_eq!(found[0].stream, theirs, "an event came back under another tenant");
}

pub(crate) async fn one_append_may_hold_thousands_of_events(fixture: &Fixture) {
    let account = stream("account-1");
    let answer = add(fixture, &account, events(2_500)).await;
    let found = stream_of(fixture, &account).await;
    assert_eq!(numbers(&found), (1..=2_500).collect::<Vec<_>>(), "a large append was not recorded whole and in order");
    assert_eq!(answer.versions[0].last, version(2_500));
}

/// The head is the position of the last event of each log, and nothing in an empty one.
pub(crate) async fn the_head_is_the_last_event(fixture: &Fixture) {
    assert_eq!(fixture.store().head().await.must("the head"), Cursor::start(), "an empty store has a head");
    for id in 0..6 {
        add(fixture, &stream(&format!("account-{id}")), events(2)).await;
        let head = fixture.store().head().await.must("the head");
        for log in fixture.store().logs() {
            let last = log_of(fixture, log).await.last().map_or(Position::START, |event| event.position);
            assert_eq!(head.get(log), last, "the head of log {log} is not its last event");
        }
    }
}

/// `Any` on a stream without events makes it; a write without events does not.
pub(crate) async fn a_write_without_events_makes_no_stream(fixture: &Fixture) {
    let (full, empty) = (acme("account-full"), acme("account-empty"));
    record(fixture, Append::to(full, Condition::Any, events(1)).and(empty.clone(), Condition::Any, Vec::new())).await;
    assert!(stream_of(fixture, &empty).await.is_empty(), "a write without events recorded one");
    let answer = record(fixture, Append::to(empty.clone(), Condition::NoStream, events(1))).await;
    assert_eq!(answer.versions[0].first, Version::FIRST, "a write without events took a version");
}

pub(crate) async fn an_event_is_read_alike_from_its_stream_and_its_log(fixture: &Fixture) {
    let account = stream("account-1");
    let answer = add(fixture, &account, vec![tagged("Opened", &["course:c1"]), occurred("1993-06-30T00:00:00Z")]).await;
    let page = fixture.store().read_log(ReadLog::after(answer.log, Position::START)).await.must("reading a log");
    assert_eq!(page.events, stream_of(fixture, &account).await, "an event differs between its stream and its log");
    let at = fixture.store().read_positions(answer.log, &[answer.first, answer.last]).await.must("reading positions");
    assert_eq!(at, page.events, "an event differs between its log and its position");
}
