//! From rows to recorded events: the hot path of every reader.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{
    EventId, EventType, LogId, Mark, Metadata, Position, Query, RecordedEvent, StreamId, Tag, Tenant, Version,
};
use rusqlite::Row;
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
    bytes: usize,
}

impl Page {
    /// For about this many events.
    pub(crate) fn new(events: usize) -> Self {
        let expected = events.clamp(1, 16_384);
        Self {
            events: Vec::with_capacity(expected.min(1_024)),
            spans: Vec::with_capacity(expected.min(1_024)),
            payloads: Vec::new(),
            streams: vec![u32::MAX; (expected * 2).next_power_of_two()],
            types: Vec::new(),
            tenant: None,
            bytes: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The size of the events, by [`RecordedEvent::size`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row as the next event.
    pub(crate) fn push(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        let position = at(row.get(POSITION)?);
        let damaged = |what: String| RowError::Damaged { position, what };
        let event = RecordedEvent {
            id: event_id(row)?,
            log: LogId::FIRST,
            position,
            stream: self.stream(text(row, TENANT, position)?, text(row, STREAM, position)?).map_err(damaged)?,
            version: u64::try_from(row.get_ref(VERSION)?.as_i64().unwrap_or(0))
                .ok()
                .and_then(|number| Version::new(number).ok())
                .ok_or_else(|| damaged("its version is none".to_owned()))?,
            event_type: self.event_type(text(row, EVENT_TYPE, position)?).map_err(damaged)?,
            schema_version: row.get(SCHEMA_VERSION)?,
            payload: Bytes::new(),
            metadata: metadata(row, position)?,
            tags: tags(row, position)?,
            recorded_at: time(row.get(RECORDED_AT)?, position)?,
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
        let payloads = Bytes::from(self.payloads);
        let mut events = self.events;
        for (event, span) in events.iter_mut().zip(self.spans) {
            event.payload = payloads.slice(span);
        }
        events
    }

    fn stream(&mut self, tenant: &str, name: &str) -> Result<StreamId, String> {
        let slot = hash(name) & (self.streams.len() - 1);
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

/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>: short texts, and a collision costs one allocation.
fn hash(text: &str) -> usize {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    usize::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).unwrap_or(0)
}

fn text<'r>(row: &'r Row<'_>, column: usize, position: Position) -> Result<&'r str, RowError> {
    let value = row.get_ref(column)?;
    value.as_str().map_err(|error| RowError::Damaged { position, what: format!("column {column}: {error}") })
}

fn time(micros: i64, position: Position) -> Result<DateTime<Utc>, RowError> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| RowError::Damaged { position, what: format!("{micros} is no time in microseconds") })
}

fn event_id(row: &Row<'_>) -> Result<EventId, RowError> {
    let id = row.get_ref(ID)?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
    match id {
        Some(id) => Ok(EventId::from(id)),
        None => Err(RowError::Damaged { position: at(row.get(POSITION)?), what: "its id is no UUID".to_owned() }),
    }
}

fn metadata(row: &Row<'_>, position: Position) -> Result<Metadata, RowError> {
    let damaged = |what: String| RowError::Damaged { position, what };
    let occurred_at = row.get::<_, Option<i64>>(OCCURRED_AT)?.map(|micros| time(micros, position)).transpose()?;
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

/// Whether a row matches, told from its texts before anything is built.
pub(crate) fn matches(query: &Query, by_tag: bool, row: &Row<'_>) -> Result<bool, RowError> {
    if query.is_all() {
        return Ok(true);
    }
    let position = at(row.get(POSITION)?);
    let tenant = text(row, TENANT, position)?;
    let tenant = if tenant.is_empty() { Tenant::DEFAULT } else { tenant };
    let category = text(row, STREAM, position)?.split('-').next().unwrap_or_default();
    let tags = if by_tag { tags(row, position)? } else { Vec::new() };
    Ok(query.matches_parts(tenant, category, text(row, EVENT_TYPE, position)?, &tags))
}

/// Where a row stands.
pub(crate) fn mark(row: &Row<'_>) -> Result<Mark, RowError> {
    Ok(Mark { position: at(row.get(POSITION)?), event: event_id(row)? })
}
