//! What the checks have in common: making input, reading everything, and failing with a clear message.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use factum::{
    Append, AppendError, Appended, Category, Condition, Cursor, Direction, EventType, Fingerprint, Key, Keyed, LogId,
    Metadata, NewEvent, Outcome, PageLimit, Position, ReadLog, ReadStream, RecordedEvent, StreamId, Tag, Tenant,
    Version, Versions,
};

use crate::Fixture;

/// Long enough for the slowest machine; no check waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Takes what must be there, or fails the check saying what was being done.
pub(crate) trait Must<T> {
    fn must(self, what: &str) -> T;
}

impl<T, E: Debug> Must<T> for Result<T, E> {
    #[track_caller]
    fn must(self, what: &str) -> T {
        match self {
            Ok(value) => value,
            Err(error) => panic!("{what} should have worked, and failed with {error:?}"),
        }
    }
}

impl<T> Must<T> for Option<T> {
    #[track_caller]
    fn must(self, what: &str) -> T {
        match self {
            Some(value) => value,
            None => panic!("{what} should have been there, and is not"),
        }
    }
}

/// Waits for what must happen soon.
pub(crate) async fn soon<T>(what: &str, wanted: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, wanted).await {
        Ok(value) => value,
        Err(_) => panic!("{what} should have happened within {PATIENCE:?}, and did not"),
    }
}

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::new(name).must("a stream id")
}

/// A stream of a tenant of its own: all of those lie in one log, however many there are.
pub(crate) fn acme(name: &str) -> StreamId {
    stream(name).in_tenant(tenant("acme"))
}

pub(crate) fn tenant(name: &str) -> Tenant {
    Tenant::new(name).must("a tenant")
}

pub(crate) fn category(name: &str) -> Category {
    Category::new(name).must("a category")
}

pub(crate) fn event_type(name: &str) -> EventType {
    EventType::new(name).must("an event type")
}

pub(crate) fn tag(name: &str) -> Tag {
    Tag::new(name).must("a tag")
}

pub(crate) fn version(number: u64) -> Version {
    Version::new(number).must("a version")
}

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().must("a time")
}

/// An event that carries a number.
pub(crate) fn event(name: &str, number: usize) -> NewEvent {
    NewEvent::new(event_type(name), format!(r#"{{"n":{number}}}"#))
}

pub(crate) fn events(count: usize) -> Vec<NewEvent> {
    (1..=count).map(|number| event("Counted", number)).collect()
}

pub(crate) fn tagged(name: &str, tags: &[&str]) -> NewEvent {
    NewEvent { tags: tags.iter().map(|name| tag(name)).collect(), ..event(name, 1) }
}

pub(crate) fn occurred(when: &str) -> NewEvent {
    NewEvent { metadata: Metadata::new().occurred_at(time(when)), ..event("Counted", 1) }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).must("a key")
}

pub(crate) fn keyed(text: &str, content: &str) -> Keyed {
    Keyed { key: key(text), fingerprint: Fingerprint::of(content.as_bytes()), refusal: None }
}

pub(crate) fn refused(text: &str, content: &str, reason: &str) -> Keyed {
    Keyed { refusal: Some(reason.to_owned()), ..keyed(text, content) }
}

/// The content of an outcome that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) log: LogId,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) versions: Vec<Versions>,
    pub(crate) cursor: Cursor,
}

#[track_caller]
pub(crate) fn accepted(appended: Appended) -> Accepted {
    let Appended { outcome, cursor, .. } = appended;
    match outcome {
        Outcome::Accepted { log, first, last, recorded_at, versions } => {
            Accepted { log, first, last, recorded_at, versions, cursor }
        }
        other => panic!("an append of events should have been accepted, and its outcome is {other:?}"),
    }
}

/// An append that must be recorded now.
pub(crate) async fn record(fixture: &Fixture, append: Append) -> Accepted {
    let appended = fixture.store().append(append).await.must("appending");
    assert!(!appended.already, "nothing was recorded before under a key, and the answer says so: {appended:?}");
    accepted(appended)
}

/// Adds events to a stream, whatever it holds.
pub(crate) async fn add(fixture: &Fixture, to: &StreamId, events: Vec<NewEvent>) -> Accepted {
    record(fixture, Append::to(to.clone(), Condition::Any, events)).await
}

/// An append that must be refused.
pub(crate) async fn refuse(fixture: &Fixture, append: Append, why: &str) -> AppendError {
    match fixture.store().append(append).await {
        Err(error) => error,
        Ok(appended) => panic!("{why}, and yet it was recorded: {appended:?}"),
    }
}

/// Every event of a stream, read forward in pages of this many.
pub(crate) async fn read_all(fixture: &Fixture, of: &StreamId, page: usize) -> Vec<RecordedEvent> {
    let mut all: Vec<RecordedEvent> = Vec::new();
    loop {
        let read = ReadStream::new(of.clone()).after(all.last().map(|event| event.version)).limit(page);
        let answer = fixture.store().read_stream(read).await.must("reading a stream");
        let (end, before) = (answer.end, all.last().map(|event| event.version));
        all.extend(answer.events);
        if end {
            return all;
        }
        let now = all.last().map(|event| event.version);
        assert!(now > before, "a page of {of} after {before:?} moved nowhere and says that it is not the end");
    }
}

pub(crate) async fn stream_of(fixture: &Fixture, of: &StreamId) -> Vec<RecordedEvent> {
    read_all(fixture, of, 100).await
}

/// Everything that a read of a log finds from its start, in pages of this many events.
pub(crate) async fn read_pages(fixture: &Fixture, mut read: ReadLog, page: usize) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    loop {
        let answer = fixture.store().read_log(read.clone().limit(PageLimit::events(page))).await;
        let answer = answer.must("reading a log");
        all.extend(answer.events);
        match answer.reached {
            Some(reached) if !answer.end => {
                let moved = match read.direction {
                    Direction::Forward => reached.position > read.after,
                    Direction::Backward => reached.position < read.after,
                };
                assert!(moved, "a page of log {} after {} moved to {}", read.log, read.after, reached.position);
                read.after = reached.position;
            }
            None if !answer.end => panic!("a page of log {} reached nothing and says that it is not the end", read.log),
            _ => return all,
        }
    }
}

pub(crate) async fn log_of(fixture: &Fixture, log: LogId) -> Vec<RecordedEvent> {
    read_pages(fixture, ReadLog::after(log, Position::START), 100).await
}

/// Every event of the store, log by log.
pub(crate) async fn everything(fixture: &Fixture) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    for log in fixture.store().logs() {
        all.extend(log_of(fixture, log).await);
    }
    all
}

/// The numbers that [`event`] put into events.
pub(crate) fn numbers(events: &[RecordedEvent]) -> Vec<usize> {
    let number = |event: &RecordedEvent| {
        let content: serde_json::Value = serde_json::from_slice(&event.payload).must("a payload that is JSON");
        usize::try_from(content["n"].as_u64().must("the number in a payload")).must("a small number")
    };
    events.iter().map(number).collect()
}

pub(crate) fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.version.get()).collect()
}

pub(crate) fn positions(events: &[RecordedEvent]) -> Vec<Position> {
    events.iter().map(|event| event.position).collect()
}
