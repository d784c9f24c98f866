//! What became of the command with a key.

use chrono::DateTime;
use factum::{Fingerprint, Key, LogId, Outcome, Remembered, StreamId, Tenant, Version, Versions};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, Statement, params};
use uuid::Uuid;

use crate::append::{at, tenant_column};

/// What is remembered under a key, unless that was before `oldest`.
pub(crate) fn find(
    conn: &Connection,
    find_key: &mut Statement<'_>,
    key: &Key,
    oldest: i64,
) -> rusqlite::Result<Option<Remembered>> {
    let mut rows = find_key.query(params![key.as_str(), tenant_column(key.tenant())])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    if row.get::<_, i64>(1)? < oldest {
        return Ok(None);
    }
    let fingerprint = row.get_ref(0)?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
    let fingerprint = Fingerprint::from(fingerprint.ok_or_else(|| damaged(0, "a fingerprint that is no UUID"))?);
    let outcome = match (row.get(2)?, row.get(3)?, row.get::<_, Option<String>>(4)?) {
        (Some(first), Some(last), _) => accepted(conn, first, last)?,
        (_, _, Some(reason)) => Outcome::Refused { reason },
        _ => Outcome::Empty,
    };
    Ok(Some(Remembered { fingerprint, outcome }))
}

/// The events of one append lie together, so its versions are found where the events are.
fn accepted(conn: &Connection, first: i64, last: i64) -> rusqlite::Result<Outcome> {
    let mut written = conn.prepare_cached(include_str!("sql/written.sql"))?;
    let mut rows = written.query(params![first, last])?;
    let mut versions = Vec::new();
    let mut recorded_at = None;
    while let Some(row) = rows.next()? {
        versions.push(stream_versions(row)?);
        recorded_at = DateTime::from_timestamp_micros(row.get(4)?);
    }
    let recorded_at = recorded_at.ok_or_else(|| damaged(2, "positions where there is no event"))?;
    Ok(Outcome::Accepted { log: LogId::FIRST, first: at(first), last: at(last), recorded_at, versions })
}

fn stream_versions(row: &Row<'_>) -> rusqlite::Result<Versions> {
    let (tenant, stream) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
    let mut stream = StreamId::new(stream).map_err(|_| damaged(1, "a stream id that is none"))?;
    if !tenant.is_empty() {
        stream = stream.in_tenant(Tenant::new(tenant).map_err(|_| damaged(0, "a tenant that is none"))?);
    }
    let version = |column| {
        let number: i64 = row.get(column)?;
        let version = u64::try_from(number).ok().and_then(|number| Version::new(number).ok());
        version.ok_or_else(|| damaged(column, "a version that is none"))
    };
    Ok(Versions { stream, first: version(2)?, last: version(3)? })
}

fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, what.into())
}
