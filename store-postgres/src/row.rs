//! From rows to recorded events: the hot path of every reader.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{EventId, EventType, LogId, Metadata, Position, ReadError, RecordedEvent, StreamId, Tag, Tenant, Version};
use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};
use uuid::Uuid;

use crate::append::at;
use crate::array::texts;

const POSITION: usize = 0;
const VERSION: usize = 1;
const RECORDED_AT: usize = 2;
const OCCURRED_AT: usize = 3;
const ID: usize = 4;
const SCHEMA_VERSION: usize = 5;
const TENANT: usize = 6;
const STREAM: usize = 7;
const EVENT_TYPE: usize = 8;
const TAGS: usize = 9;
const METADATA: usize = 10;
const PAYLOAD: usize = 11;
/// What a statement adds to the columns of an event begins here.
pub(crate) const BESIDE: usize = 12;

/// From 1970, as Unix counts, to 2000, as PostgreSQL does, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// Builds a page: one buffer holds the payloads of its events, and equal texts are held once.
pub(crate) struct Page {
    events: Vec<RecordedEvent>,
    /// Where the payload of each event lies in the buffer; `None` for one that was left out of its row for its size.
    spans: Vec<Option<Range<usize>>>,
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
    /// How many payloads were left out of their rows.
    left_out: usize,
    damaged: Option<ReadError>,
}

/// A row that is no event: what of it cannot be what was recorded.
type Taken<T> = Result<T, String>;

impl Page {
    /// For about this many events.
    pub(crate) fn new(events: usize) -> Self {
        let expected = events.clamp(1, 1_024);
        Self {
            events: Vec::with_capacity(expected),
            spans: Vec::with_capacity(expected),
            payloads: Vec::with_capacity(expected * 128),
            streams: vec![u32::MAX; (expected * 2).next_power_of_two()],
            types: Vec::new(),
            tenant: None,
            recorded_at: Time::default(),
            occurred_at: Time::default(),
            bytes: 0,
            left_out: 0,
            damaged: None,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }

    /// The size of the events, by [`RecordedEvent::size`], without the payloads that were left out.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last event, while its payload is still in the buffer.
    pub(crate) fn last(&self) -> Option<&RecordedEvent> {
        self.events.last()
    }

    /// Gives the last event back.
    pub(crate) fn pop(&mut self) {
        let (Some(event), Some(span)) = (self.events.pop(), self.spans.pop()) else {
            return;
        };
        self.bytes -= event.size();
        match span {
            Some(span) => {
                self.bytes -= span.len();
                self.payloads.truncate(span.start);
            }
            None => self.left_out -= 1,
        }
    }

    /// There will be no page, for this reason.
    pub(crate) fn spoil(&mut self, damaged: ReadError) {
        self.damaged.get_or_insert(damaged);
    }

    /// Takes a row as the next event. After one that is damaged it takes no more.
    pub(crate) fn push(&mut self, row: &PgRow) {
        if self.damaged.is_some() {
            return;
        }
        let position = number(row, POSITION).map_or(Position::START, at);
        if let Err(what) = self.take(row, position) {
            self.spoil(damaged(position, what));
        }
    }

    fn take(&mut self, row: &PgRow, position: Position) -> Taken<()> {
        let occurred_at = match bytes(row, OCCURRED_AT)? {
            Some(micros) => Some(self.occurred_at.of(integer(micros, OCCURRED_AT)?)?),
            None => None,
        };
        let version = u64::try_from(number(row, VERSION)?).unwrap_or(0);
        let metadata = bytes(row, METADATA)?.map(|json| utf8(json, METADATA)).transpose()?;
        let event = RecordedEvent {
            id: event_id(row, ID)?,
            log: LogId::FIRST,
            position,
            stream: self.stream(text(row, TENANT)?, text(row, STREAM)?)?,
            version: Version::new(version).map_err(|error| error.to_string())?,
            event_type: self.event_type(text(row, EVENT_TYPE)?)?,
            schema_version: u32::try_from(number(row, SCHEMA_VERSION)?)
                .map_err(|error| format!("its schema version: {error}"))?,
            payload: Bytes::new(),
            metadata: Metadata::from_parts(occurred_at, metadata).map_err(|error| format!("its metadata: {error}"))?,
            tags: tags(row)?,
            recorded_at: self.recorded_at.of(number(row, RECORDED_AT)?)?,
        };
        self.bytes += event.size();
        self.spans.push(match bytes(row, PAYLOAD)? {
            Some(payload) => {
                let start = self.payloads.len();
                self.payloads.extend_from_slice(payload);
                self.bytes += payload.len();
                Some(start..self.payloads.len())
            }
            None => {
                self.left_out += 1;
                None
            }
        });
        self.events.push(event);
        Ok(())
    }

    /// The events, each with its part of the buffer; which of them have no payload yet is told by `false`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] where a row was no event.
    pub(crate) fn finish(self) -> Result<(Vec<RecordedEvent>, Vec<bool>), ReadError> {
        if let Some(damaged) = self.damaged {
            return Err(damaged);
        }
        let payloads = Bytes::from(self.payloads);
        let mut events = self.events;
        for (event, span) in events.iter_mut().zip(&self.spans) {
            if let Some(span) = span {
                event.payload = payloads.slice(span.clone());
            }
        }
        let complete = if self.left_out == 0 { Vec::new() } else { self.spans.iter().map(Option::is_some).collect() };
        Ok((events, complete))
    }

    fn stream(&mut self, tenant: &str, name: &str) -> Taken<StreamId> {
        let slot = hash(name.as_bytes()) & (self.streams.len() - 1);
        let this = u32::try_from(self.events.len()).unwrap_or(u32::MAX);
        let last = std::mem::replace(&mut self.streams[slot], this);
        if let Some(seen) = self.events.get(usize::try_from(last).unwrap_or(usize::MAX))
            && seen.stream.name() == name
            && same_tenant(seen.stream.tenant(), tenant)
        {
            return Ok(seen.stream.clone());
        }
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

    fn event_type(&mut self, name: &str) -> Taken<EventType> {
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

pub(crate) fn damaged(position: Position, what: String) -> ReadError {
    ReadError::Damaged { log: LogId::FIRST, position, what }
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

#[derive(Clone, Copy, Default)]
struct Time {
    micros: i64,
    time: Option<DateTime<Utc>>,
}

impl Time {
    fn of(&mut self, micros: i64) -> Taken<DateTime<Utc>> {
        match self.time {
            Some(time) if self.micros == micros => Ok(time),
            _ => {
                let time = micros.checked_add(EPOCH).and_then(DateTime::from_timestamp_micros);
                let time = time.ok_or_else(|| format!("{micros} microseconds after 2000 is no time"))?;
                *self = Self { micros, time: Some(time) };
                Ok(time)
            }
        }
    }
}

/// A column as the server sent it, binary. Decoding by the driver's types would ask for the type of each value first.
pub(crate) fn bytes(row: &PgRow, column: usize) -> Taken<Option<&[u8]>> {
    let value = row.try_get_raw(column).map_err(|error| error.to_string())?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_bytes().map(Some).map_err(|error| format!("column {column}: {error}"))
}

fn present(row: &PgRow, column: usize) -> Taken<&[u8]> {
    bytes(row, column)?.ok_or_else(|| format!("column {column} is NULL"))
}

fn integer(bytes: &[u8], column: usize) -> Taken<i64> {
    let bytes = bytes.try_into().map_err(|_| format!("column {column} is no 64-bit number"))?;
    Ok(i64::from_be_bytes(bytes))
}

pub(crate) fn number(row: &PgRow, column: usize) -> Taken<i64> {
    integer(present(row, column)?, column)
}

fn utf8(bytes: &[u8], column: usize) -> Taken<&str> {
    std::str::from_utf8(bytes).map_err(|error| format!("column {column}: {error}"))
}

fn text(row: &PgRow, column: usize) -> Taken<&str> {
    utf8(present(row, column)?, column)
}

pub(crate) fn event_id(row: &PgRow, column: usize) -> Taken<EventId> {
    let id = Uuid::from_slice(present(row, column)?).map_err(|error| format!("its id: {error}"))?;
    Ok(EventId::from(id))
}

fn tags(row: &PgRow) -> Taken<Vec<Tag>> {
    let Some(array) = bytes(row, TAGS)? else {
        return Ok(Vec::new());
    };
    let texts = texts(array).map_err(|what| format!("its tags: {what}"))?;
    texts.into_iter().map(|text| Tag::new(text).map_err(|error| format!("its tags: {error}"))).collect()
}
