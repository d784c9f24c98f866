//! What the checks of read models have in common.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Bounds, Commit, CommitError, Cursor, Document, DocumentKey, Epoch, EventId, Failure, Generation, GenerationInfo,
    GenerationState, ListDocuments, LogId, Mark, NewGeneration, Position, Positions, ProjectionName, ProjectionVersion,
    ReadHistory, ReadModelError, ReadModelStore, ReadTarget, Shard, StoreId, Switch, Tenant,
};
use uuid::Uuid;

use crate::Fixture;
use crate::kit::{Must, stream, time, version};

pub(crate) type Store = Arc<dyn ReadModelStore>;

pub(crate) const V1: ProjectionVersion = ProjectionVersion(1);
pub(crate) const V2: ProjectionVersion = ProjectionVersion(2);

pub(crate) fn name() -> ProjectionName {
    ProjectionName::new("balances").must("a projection name")
}

pub(crate) fn new(version: ProjectionVersion) -> NewGeneration {
    NewGeneration { projection: name(), version, fields: Vec::new() }
}

/// The live generation of version 1; `None` where the fixture keeps no read models.
pub(crate) async fn live(fixture: &Fixture) -> Option<(Store, Generation)> {
    let store = fixture.read_models()?.clone();
    let info = store.open(&new(V1)).await.must("opening a read model");
    Some((store, info.generation))
}

pub(crate) fn shard(generation: Generation) -> Shard {
    Shard { projection: name(), generation, partition: 0, log: LogId::FIRST }
}

pub(crate) fn key(text: &str) -> DocumentKey {
    key_of(Tenant::default(), text)
}

pub(crate) fn key_of(tenant: Tenant, text: &str) -> DocumentKey {
    DocumentKey::new(tenant, text).must("a document key")
}

pub(crate) fn store_id() -> StoreId {
    StoreId::from(Uuid::from_u128(7))
}

/// The id of the event at a position.
pub(crate) fn event_at(position: u64) -> EventId {
    EventId::from(Uuid::from_u128(u128::from(position) + 1_000))
}

pub(crate) fn mark(position: u64) -> Mark {
    Mark { position: Position::new(position), event: event_at(position) }
}

/// The moment of an event at a position: one second after the other.
pub(crate) fn moment(position: u64) -> DateTime<Utc> {
    let seconds = i64::try_from(position).must("a small position");
    time("2026-11-21T10:00:00.000001Z") + TimeDelta::seconds(seconds)
}

/// A document after the event at a position; that event has the version of the same number.
pub(crate) fn document(position: u64, body: Option<&str>) -> Document {
    document_in(LogId::FIRST, position, body)
}

pub(crate) fn document_in(log: LogId, position: u64, body: Option<&str>) -> Document {
    let mut positions = Positions::default();
    positions.push(Position::new(position));
    let bounds = Bounds {
        log,
        position: Position::new(position),
        version: version(position),
        recorded_at: moment(position),
        occurred_at: moment(position) - TimeDelta::days(1),
    };
    Document { body: body.map(|text| Bytes::from(text.to_owned())), bounds, positions }
}

/// A step of a shard in epoch 0, without documents.
pub(crate) fn step(shard: &Shard, from: u64, to: u64) -> Commit {
    Commit {
        shard: shard.clone(),
        from: Position::new(from),
        epoch: Epoch(0),
        store: store_id(),
        to: mark(to),
        documents: Vec::new(),
        kept: Vec::new(),
        keep_from: None,
        fields: Vec::new(),
    }
}

/// A step with one document.
pub(crate) fn writing(shard: &Shard, from: u64, to: u64, of: &str, body: Option<&str>) -> Commit {
    Commit { documents: vec![(key(of), document_in(shard.log, to, body))], ..step(shard, from, to) }
}

/// Makes the live generation: takes it from its start to a position, with a document on the way.
pub(crate) async fn reach(store: &Store, generation: Generation, position: u64) {
    store.commit(writing(&shard(generation), 0, position, "1", Some("{}"))).await.must("committing");
}

pub(crate) async fn info(store: &Store, generation: Generation) -> GenerationInfo {
    let all = store.generations(&name()).await.must("the generations");
    all.into_iter().find(|info| info.generation == generation).must("a generation")
}

pub(crate) async fn state(store: &Store, generation: Generation) -> GenerationState {
    info(store, generation).await.state
}

pub(crate) async fn epoch(store: &Store, shard: &Shard) -> Epoch {
    store.checkpoint(shard).await.must("a checkpoint").epoch
}

pub(crate) fn switch(from: Generation, to: Generation) -> Switch {
    Switch { projection: name(), from, to, keep_old: None }
}

pub(crate) fn failure() -> Failure {
    Failure {
        log: LogId::FIRST,
        position: Position::new(17),
        stream: stream("account-1"),
        version: version(3),
        event_type: "Opened".to_owned(),
        cause: "the owner's name is missing: ů".to_owned(),
        since: moment(17),
    }
}

pub(crate) fn is_stale(answer: &Result<(), CommitError>) -> bool {
    matches!(answer, Err(CommitError::Stale { .. }))
}

pub(crate) fn is_superseded<T>(answer: &Result<T, CommitError>) -> bool {
    matches!(answer, Err(CommitError::Superseded { .. }))
}

pub(crate) fn is_expired<T>(answer: &Result<T, ReadModelError>) -> bool {
    matches!(answer, Err(ReadModelError::Expired { .. }))
}

pub(crate) fn listing(target: ReadTarget, limit: usize) -> ListDocuments {
    ListDocuments { target, tenant: Tenant::default(), after: None, limit, deleted: false }
}

pub(crate) fn past(target: ReadTarget, of: &str, from: factum::HistoryFrom) -> ReadHistory {
    ReadHistory { target, log: LogId::FIRST, keys: vec![key(of)], from, limit: 100 }
}

pub(crate) fn v1() -> ReadTarget {
    ReadTarget::Live(name(), V1)
}

pub(crate) fn numbered(generation: Generation) -> ReadTarget {
    ReadTarget::Generation(name(), generation)
}

pub(crate) fn at(position: u64) -> Cursor {
    Cursor::from(Position::new(position))
}

/// The body of the only document of a key in the live generation of version 1.
pub(crate) async fn body(store: &Store, of: &str) -> Option<String> {
    let found = store.get(&v1(), &[key(of)]).await.must("getting a document");
    let document = found.documents.into_iter().next().must("an answer for a key").into_iter().next()?;
    document.body.map(|body| String::from_utf8_lossy(&body).into_owned())
}
