//! From rows to recorded events: the hot path of every reader.

use std::cell::Cell;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{EventId, EventType, LogId, Metadata, Position, Query, RecordedEvent, StreamId, Tag, Tenant, Version};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use uuid::Uuid;

use crate::append::at;

const POSITION: usize = 0;
const RECORDED_AT: usize = 1;
const TENANT: usize = 2;
const STREAM: usize = 3;
const VERSION: usize = 4;
const EVENT_TYPE: usize = 5;
const SCHEMA_VERSION: usize = 6;
const ID: usize = 7;
const OCCURRED_AT: usize = 8;
const TAGS: usize = 9;
const METADATA: usize = 10;
const PAYLOAD: usize = 11;

/// Why a row is no event.
#[derive(Debug)]
pub(crate) enum RowError {
    Sqlite(rusqlite::Error),
    Damaged { position: Position, what: String },
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Builds a page: one buffer holds the payloads of all of its events, and equal texts are held once.
pub(crate) struct Page {
    events: Vec<RecordedEvent>,
    spans: Vec<Range<usize>>,
    payloads: Vec<u8>,
    /// For each hash of a stream's name the event of this page that had it last.
    streams: Vec<u32>,
    /// The event types of this page; few.
    types: Vec<EventType>,
    tenant: Option<Tenant>,
    /// The last times: events that were recorded together share one, and those of a day often the other.
    recorded_at: Time,
    occurred_at: Time,
    bytes: usize,
}

#[derive(Clone, Copy, Default)]
struct Time {
    micros: i64,
    time: DateTime<Utc>,
}

thread_local! {
    /// How many events and bytes of payload the last page of this thread had: the next is likely to be like it, and
    /// growing costs copies.
    static LAST: Cell<(usize, usize)> = const { Cell::new((16, 4_096)) };
}

impl Page {
    /// For at most this many events.
    pub(crate) fn new(events: usize) -> Self {
        let (last, payloads) = LAST.get();
        let expected = events.clamp(1, last + last / 4 + 16);
        Self {
            events: Vec::with_capacity(expected),
            spans: Vec::with_capacity(expected),
            payloads: Vec::with_capacity(payloads + payloads / 4),
            streams: vec![u32::MAX; (expected * 2).next_power_of_two()],
            types: Vec::new(),
            tenant: None,
            recorded_at: Time::default(),
            occurred_at: Time::default(),
            bytes: 0,
        }
    }

    /// The last event, while its payload is still in the buffer.
    pub(crate) fn last(&self) -> Option<&RecordedEvent> {
        self.events.last()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The size of the events, by [`RecordedEvent::size`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row as the next event.
    pub(crate) fn push(&mut self, head: &Head<'_>, row: &Row<'_>) -> Result<(), RowError> {
        let position = head.position;
        let damaged = |what: String| RowError::Damaged { position, what };
        let occurred_at = match row.get_ref(OCCURRED_AT)? {
            ValueRef::Null => None,
            value => Some(self.occurred_at.of(integer(value, OCCURRED_AT, position)?, position)?),
        };
        let recorded_at = integer(row.get_ref(RECORDED_AT)?, RECORDED_AT, position)?;
        let version = u64::try_from(integer(row.get_ref(VERSION)?, VERSION, position)?).unwrap_or(0);
        let event = RecordedEvent {
            id: event_id(row, position)?,
            log: LogId::FIRST,
            position,
            stream: self.stream(head.tenant, head.stream).map_err(damaged)?,
            version: Version::new(version).map_err(|error| damaged(error.to_string()))?,
            event_type: self.event_type(head.event_type).map_err(damaged)?,
            schema_version: u32::try_from(integer(row.get_ref(SCHEMA_VERSION)?, SCHEMA_VERSION, position)?)
                .map_err(|error| damaged(format!("its schema version: {error}")))?,
            payload: Bytes::new(),
            metadata: metadata(occurred_at, row, position)?,
            tags: tags(row, position)?,
            recorded_at: self.recorded_at.of(recorded_at, position)?,
        };
        let payload = row.get_ref(PAYLOAD)?.as_bytes().map_err(|error| damaged(format!("its payload: {error}")))?;
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.spans.push(start..self.payloads.len());
        self.bytes += event.size() + payload.len();
        self.events.push(event);
        Ok(())
    }

    /// The events, each with its part of the buffer.
    pub(crate) fn finish(self) -> Vec<RecordedEvent> {
        LAST.set((self.events.len(), self.payloads.len().min(4 << 20)));
        let payloads = Bytes::from(self.payloads);
        let mut events = self.events;
        for (event, span) in events.iter_mut().zip(self.spans) {
            event.payload = payloads.slice(span);
        }
        events
    }

    fn stream(&mut self, tenant: &str, name: &str) -> Result<StreamId, String> {
        let slot = hash(name.as_bytes()) & (self.streams.len() - 1);
        if let Some(seen) = self.events.get(self.streams[slot] as usize)
            && seen.stream.name() == name
            && same_tenant(seen.stream.tenant(), tenant)
        {
            self.streams[slot] = index(self.events.len());
            return Ok(seen.stream.clone());
        }
        self.streams[slot] = index(self.events.len());
        let stream = StreamId::new(name).map_err(|error| error.to_string())?;
        if tenant.is_empty() {
            return Ok(stream);
        }
        let tenant = match &self.tenant {
            Some(seen) if seen.as_str() == tenant => seen.clone(),
            _ => Tenant::new(tenant).map_err(|error| error.to_string())?,
        };
        self.tenant = Some(tenant.clone());
        Ok(stream.in_tenant(tenant))
    }

    fn event_type(&mut self, name: &str) -> Result<EventType, String> {
        if let Some(seen) = self.types.iter().find(|seen| seen.as_str() == name) {
            return Ok(seen.clone());
        }
        let new = EventType::new(name).map_err(|error| error.to_string())?;
        if self.types.len() < 32 {
            self.types.push(new.clone());
        }
        Ok(new)
    }
}

fn index(events: usize) -> u32 {
    u32::try_from(events).unwrap_or(u32::MAX)
}

fn same_tenant(seen: &Tenant, column: &str) -> bool {
    if column.is_empty() { seen.is_default() } else { seen.as_str() == column }
}

/// Names of streams differ in their last bytes; a collision costs one allocation. Fibonacci hashing,
/// <https://en.wikipedia.org/wiki/Hash_function#Fibonacci_hashing>.
fn hash(name: &[u8]) -> usize {
    let mut tail = [0; 8];
    let taken = name.len().min(8);
    tail[..taken].copy_from_slice(&name[name.len() - taken..]);
    let hash = (u64::from_le_bytes(tail) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).unwrap_or(0)
}

fn text<'r>(row: &'r Row<'_>, column: usize, position: Position) -> Result<&'r str, RowError> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|error| RowError::Damaged { position, what: format!("column {column}: {error}") })
}

impl Time {
    fn of(&mut self, micros: i64, position: Position) -> Result<DateTime<Utc>, RowError> {
        if self.micros != micros {
            let damaged = || RowError::Damaged { position, what: format!("{micros} is no time in microseconds") };
            self.time = DateTime::from_timestamp_micros(micros).ok_or_else(damaged)?;
            self.micros = micros;
        }
        Ok(self.time)
    }
}

fn integer(value: ValueRef<'_>, column: usize, position: Position) -> Result<i64, RowError> {
    value.as_i64().map_err(|error| RowError::Damaged { position, what: format!("column {column}: {error}") })
}

fn event_id(row: &Row<'_>, position: Position) -> Result<EventId, RowError> {
    let id = row.get_ref(ID)?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
    id.map(EventId::from).ok_or_else(|| RowError::Damaged { position, what: "its id is no UUID".to_owned() })
}

fn metadata(occurred_at: Option<DateTime<Utc>>, row: &Row<'_>, position: Position) -> Result<Metadata, RowError> {
    let damaged = |what: String| RowError::Damaged { position, what };
    let json = row.get_ref(METADATA)?.as_str_or_null().map_err(|error| damaged(format!("its metadata: {error}")))?;
    Metadata::from_parts(occurred_at, json).map_err(|error| damaged(format!("its metadata: {error}")))
}

fn tags(row: &Row<'_>, position: Position) -> Result<Vec<Tag>, RowError> {
    let damaged = |what: String| RowError::Damaged { position, what };
    match row.get_ref(TAGS)?.as_str_or_null().map_err(|error| damaged(format!("its tags: {error}")))? {
        Some(json) => serde_json::from_str(json).map_err(|error| damaged(format!("its tags: {error}"))),
        None => Ok(Vec::new()),
    }
}

/// What a filter looks at, told from the row before anything is built.
pub(crate) struct Head<'r> {
    pub(crate) position: Position,
    tenant: &'r str,
    stream: &'r str,
    event_type: &'r str,
}

impl<'r> Head<'r> {
    pub(crate) fn of(row: &'r Row<'_>) -> Result<Self, RowError> {
        let position = at(row.get(POSITION)?);
        Ok(Self {
            position,
            tenant: text(row, TENANT, position)?,
            stream: text(row, STREAM, position)?,
            event_type: text(row, EVENT_TYPE, position)?,
        })
    }

    /// Whether the event is meant; its tags are only looked at where the query names some.
    pub(crate) fn matches(&self, query: &Query, by_tag: bool, row: &Row<'_>) -> Result<bool, RowError> {
        if query.is_all() {
            return Ok(true);
        }
        let tenant = if self.tenant.is_empty() { Tenant::DEFAULT } else { self.tenant };
        let category = self.stream.split('-').next().unwrap_or_default();
        let tags = if by_tag { tags(row, self.position)? } else { Vec::new() };
        Ok(query.matches_parts(tenant, category, self.event_type, &tags))
    }
}
