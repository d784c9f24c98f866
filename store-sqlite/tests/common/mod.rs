//! What the tests of this store share.
#![allow(dead_code)]

use std::path::PathBuf;

use chrono::DateTime;
use factum::{
    Append, AppendError, Appended, Bounds, Condition, Document, DocumentKey, EventStore, EventType, LogId, NewEvent,
    Position, Positions, ReadLog, StreamId, Tenant, Version,
};
use factum_sqlite::SqliteStore;
use tempfile::TempDir;

/// A directory that is removed with the test, and the file of a store in it.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bank.db");
    (directory, file)
}

pub(crate) fn stream(id: impl std::fmt::Display) -> StreamId {
    StreamId::of("account", &id.to_string()).unwrap()
}

pub(crate) fn event() -> NewEvent {
    NewEvent::new(EventType::new("Deposited").unwrap(), r#"{"cents":500}"#)
}

pub(crate) fn one(id: impl std::fmt::Display, condition: Condition) -> Append {
    Append::to(stream(id), condition, vec![event()])
}

pub(crate) async fn append(store: &SqliteStore, id: impl std::fmt::Display) -> Result<Appended, AppendError> {
    store.append(one(id, Condition::Any)).await
}

/// Every position of the log with its stream and version, read in pages.
pub(crate) async fn everything(store: &SqliteStore) -> Vec<(u64, String, u64)> {
    let mut all = Vec::new();
    let mut after = Position::START;
    loop {
        let page = store.read_log(ReadLog::after(LogId::FIRST, after)).await.unwrap();
        let event =
            |event: &factum::RecordedEvent| (event.position.get(), event.stream.id().to_owned(), event.version.get());
        all.extend(page.events.iter().map(event));
        match page.reached {
            Some(reached) if !page.end => after = reached.position,
            _ => return all,
        }
    }
}

pub(crate) fn key(text: &str) -> DocumentKey {
    DocumentKey::new(Tenant::default(), text).unwrap()
}

/// A document as an event at this position left it.
pub(crate) fn document(position: u64, body: Option<&str>) -> Document {
    let time = |seconds: u64| DateTime::from_timestamp_secs(seconds.try_into().unwrap()).unwrap();
    let mut positions = Positions::default();
    positions.push(Position::new(position));
    let bounds = Bounds {
        log: LogId::FIRST,
        position: Position::new(position),
        version: Version::new(position).unwrap(),
        recorded_at: time(1_000 + position),
        occurred_at: time(position),
    };
    Document { body: body.map(|body| body.to_owned().into()), bounds, positions }
}
