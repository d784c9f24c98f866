//! From rows to recorded events: the hot path of every reader.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{EventId, LogId, Metadata, Position, ReadError, RecordedEvent, Tag, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::append::at;
use crate::array::texts;
use crate::texts::Texts;

const POSITION: usize = 0;
const VERSION: usize = 1;
const RECORDED_AT: usize = 2;
const OCCURRED_AT: usize = 3;
const ID: usize = 4;
/// Left out where it is the first: a value costs the server more to send than all else that it does for it.
const SCHEMA_VERSION: usize = 5;
/// Left out where it is the default one.
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
    texts: Texts,
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
    pub(crate) fn new(events: usize, texts: Option<Texts>) -> Self {
        let expected = events.clamp(1, 1_024);
        let texts = texts.unwrap_or_else(|| Texts::new(expected));
        Self {
            events: Vec::with_capacity(expected),
            spans: Vec::with_capacity(expected),
            payloads: Vec::with_capacity(expected * 128),
            texts,
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

    /// Whether no payload was left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.left_out == 0
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
            stream: self.texts.stream(bytes(row, TENANT)?.unwrap_or_default(), present(row, STREAM)?)?,
            version: Version::new(version).map_err(|error| error.to_string())?,
            event_type: self.texts.event_type(present(row, EVENT_TYPE)?)?,
            schema_version: schema_version(row)?,
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

    /// The events so far, where nothing is wrong with any and no payload was left out. Then the next page begins, which knows the
    /// texts of this one.
    pub(crate) fn take_whole(&mut self) -> Option<Vec<RecordedEvent>> {
        if self.damaged.is_some() || !self.is_whole() {
            return None;
        }
        // As much room as before: what is given back next fits.
        let (events, bytes) = (self.events.capacity(), self.payloads.capacity());
        let payloads = std::mem::replace(&mut self.payloads, Vec::with_capacity(bytes));
        let mut taken = std::mem::replace(&mut self.events, Vec::with_capacity(events));
        place(payloads, &self.spans, &mut taken);
        self.spans.clear();
        self.bytes = 0;
        self.texts.forget_types();
        Some(taken)
    }

    /// The events, each with its part of the buffer; which of them have no payload yet is told by `false`.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] where a row was no event.
    pub(crate) fn finish(self) -> Result<(Vec<RecordedEvent>, Vec<bool>), ReadError> {
        if let Some(damaged) = self.damaged {
            return Err(damaged);
        }
        let mut events = self.events;
        place(self.payloads, &self.spans, &mut events);
        let complete = if self.left_out == 0 { Vec::new() } else { self.spans.iter().map(Option::is_some).collect() };
        Ok((events, complete))
    }

    /// What it knows, for the next one.
    pub(crate) fn take_texts(&mut self) -> Texts {
        self.texts.forget_types();
        std::mem::replace(&mut self.texts, Texts::new(1))
    }
}

/// Gives each event its part of the buffer.
fn place(payloads: Vec<u8>, spans: &[Option<Range<usize>>], events: &mut [RecordedEvent]) {
    let payloads = Bytes::from(payloads);
    for (event, span) in events.iter_mut().zip(spans) {
        if let Some(span) = span {
            event.payload = payloads.slice(span.clone());
        }
    }
}

pub(crate) fn damaged(position: Position, what: String) -> ReadError {
    ReadError::Damaged { log: LogId::FIRST, position, what }
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
    // Looked at where it lies: to move it costs as much as all else.
    match &row.try_get_raw(column) {
        // NULL is the only error that it has.
        Ok(value) => Ok(value.as_bytes().ok()),
        Err(error) => Err(error.to_string()),
    }
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

/// The first where it was left out.
fn schema_version(row: &PgRow) -> Taken<u32> {
    let version = bytes(row, SCHEMA_VERSION)?.map_or(Ok(1), |bytes| integer(bytes, SCHEMA_VERSION))?;
    u32::try_from(version).map_err(|error| format!("its schema version: {error}"))
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
