//! Rows of read models as values of core. Nothing in a row makes it panic: what is not what was written is damaged.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{
    Bounds, Cursor, Document, DocumentKey, DocumentRead, Field, Generation, GenerationState, LogId, Position,
    Positions, ProjectionName, ReadModelError, Version,
};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, ValueRef as _};

use crate::error::fault;

/// Why an answer could not be made of rows.
#[derive(Debug)]
pub(crate) enum Failed {
    Sql(sqlx::Error),
    Damaged(String),
}

impl Failed {
    /// Where it is one document that is damaged, it is named.
    pub(crate) fn of_document(self, projection: &ProjectionName, key: &DocumentKey) -> ReadModelError {
        match self {
            Self::Damaged(what) => {
                ReadModelError::DamagedDocument { projection: projection.clone(), key: key.clone(), what }
            }
            other => other.of(projection),
        }
    }

    pub(crate) fn of(self, projection: &ProjectionName) -> ReadModelError {
        match self {
            Self::Sql(error) => ReadModelError::Fault(fault(error)),
            Self::Damaged(what) => ReadModelError::Damaged { projection: projection.clone(), what },
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

fn damaged(what: &str) -> Failed {
    Failed::Damaged(what.to_owned())
}

/// The bytes of a column as the server sent them, or `None` for NULL.
pub(crate) fn raw(row: &PgRow, column: usize) -> Result<Option<&[u8]>, Failed> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_bytes().map(Some).map_err(|source| Failed::Sql(sqlx::Error::Decode(source)))
}

fn integer(row: &PgRow, column: usize) -> Result<Option<i64>, Failed> {
    let Some(bytes) = raw(row, column)? else { return Ok(None) };
    let bytes = bytes.try_into().map_err(|_| damaged("a number of another size"))?;
    Ok(Some(i64::from_be_bytes(bytes)))
}

/// A number that is not below 0, or `None` for NULL.
pub(crate) fn number(row: &PgRow, column: usize) -> Result<Option<u64>, Failed> {
    integer(row, column)?.map(|number| u64::try_from(number).map_err(|_| damaged("a number below 0"))).transpose()
}

/// A number where there must be one.
pub(crate) fn count(row: &PgRow, column: usize) -> Result<u64, Failed> {
    number(row, column)?.ok_or_else(|| damaged("no number where there must be one"))
}

pub(crate) fn small(number: u64) -> Result<u32, Failed> {
    u32::try_from(number).map_err(|_| damaged("a number that is too large"))
}

/// The server counts microseconds from 2000; its infinities are times of no event.
pub(crate) fn time(row: &PgRow, column: usize) -> Result<DateTime<Utc>, Failed> {
    const MICROS_BEFORE: i64 = 946_684_800_000_000;
    let micros = integer(row, column)?.and_then(|micros| micros.checked_add(MICROS_BEFORE));
    micros.and_then(DateTime::from_timestamp_micros).ok_or_else(|| damaged("a time that is none"))
}

pub(crate) fn state(text: &str) -> Result<GenerationState, Failed> {
    match text {
        "building" => Ok(GenerationState::Building),
        "live" => Ok(GenerationState::Live),
        "retired" => Ok(GenerationState::Retired),
        "reopened" => Ok(GenerationState::Reopened),
        _ => Err(damaged("a state of a generation that is none")),
    }
}

/// A state as its column holds it; that a generation was reopened stands in another.
pub(crate) fn state_column(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Building | GenerationState::Reopened => "building",
        GenerationState::Live => "live",
        GenerationState::Retired => "retired",
    }
}

/// Columns with the logs of a generation and how far it is in each.
pub(crate) fn reached(row: &PgRow, logs: usize, positions: usize) -> Result<Cursor, Failed> {
    let (logs, positions): (Vec<i64>, Vec<i64>) = (row.try_get(logs)?, row.try_get(positions)?);
    let mut reached = Cursor::start();
    for (log, position) in logs.into_iter().zip(positions) {
        let log = u32::try_from(log).map_err(|_| damaged("the number of a log that is none"))?;
        let position = u64::try_from(position).map_err(|_| damaged("a position below 0"))?;
        reached.set(LogId::new(log), Position::new(position));
    }
    Ok(reached)
}

/// Columns from `first`: generation, logs, positions.
pub(crate) fn document_read(row: &PgRow, first: usize) -> Result<DocumentRead, Failed> {
    Ok(DocumentRead { generation: Generation(count(row, first)?), checkpoint: reached(row, first + 1, first + 2)? })
}

/// The first columns of a row: log, position, version, times, positions, body.
pub(crate) fn document(row: &PgRow) -> Result<Document, Failed> {
    let bounds = Bounds {
        log: LogId::new(small(count(row, 0)?)?),
        position: Position::new(count(row, 1)?),
        version: Version::new(count(row, 2)?).map_err(|_| damaged("a version that is none"))?,
        recorded_at: time(row, 3)?,
        occurred_at: time(row, 4)?,
    };
    let positions = raw(row, 5)?.and_then(|bytes| Positions::from_bytes(bytes.to_vec()));
    let positions = positions.ok_or_else(|| damaged("the positions of a document"))?;
    Ok(Document { body: raw(row, 6)?.map(Bytes::copy_from_slice), bounds, positions })
}

/// The index of the key that a row belongs to, which the server counts from 1; `None` for NULL.
pub(crate) fn place(row: &PgRow, column: usize, keys: usize) -> Result<Option<usize>, Failed> {
    let Some(number) = number(row, column)? else { return Ok(None) };
    let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)).filter(|place| *place < keys);
    place.map(Some).ok_or_else(|| damaged("an answer to no question"))
}

/// The fields of a generation as their column holds them; `None` where it has none.
pub(crate) fn fields_column(fields: &[Field]) -> Option<Vec<u8>> {
    // Names and kinds are texts: they are always JSON.
    (!fields.is_empty()).then(|| serde_json::to_vec(fields).unwrap_or_default())
}

/// A column with the fields of a generation.
pub(crate) fn fields(row: &PgRow, column: usize) -> Result<Vec<Field>, Failed> {
    let fields = raw(row, column)?.map(serde_json::from_slice).transpose();
    Ok(fields.map_err(|error| Failed::Damaged(format!("the fields of a generation: {error}")))?.unwrap_or_default())
}
