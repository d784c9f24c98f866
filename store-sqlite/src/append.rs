//! An append within the writer's transaction: key, conditions, then the rows.

use chrono::DateTime;
use factum::{
    Append, AppendError, Appended, Fault, FaultKind, Key, LogId, NewEvent, Outcome, Position, StreamId, Version,
    Versions,
};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Statement, params};

use crate::inside::{Inside, Proof, Tail};
use crate::job::Failed;
use crate::keys;

/// Bytes that are text to SQLite: a payload is JSON, which it can then look into.
pub(crate) struct Text<'a>(pub(crate) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// A tenant as its column holds it: the default one is the empty text.
pub(crate) fn tenant_column(tenant: &factum::Tenant) -> &str {
    if tenant.is_default() { "" } else { tenant.as_str() }
}

/// A version or the like as its column holds it.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Records an append, or says why not. Everything that can be refused is refused before the first row is written.
pub(crate) fn append(
    inside: &mut Inside<'_>,
    append: &Append,
    retention: Option<i64>,
) -> Result<Appended, Failed<AppendError>> {
    if let Some(keyed) = &append.keyed
        && let Some(found) =
            keys::find(inside.conn, &mut inside.hot.find_key, &keyed.key, oldest(inside.now, retention))?
    {
        if found.fingerprint != keyed.fingerprint {
            return Err(Failed::Answer(AppendError::KeyReused { key: keyed.key.clone() }));
        }
        return Ok(Appended::new(found.outcome, true));
    }
    let heads = check_streams(inside, append)?;
    crate::condition::check(inside, append)?;
    let outcome = write(inside, append, &heads)?;
    if let Some(keyed) = &append.keyed {
        remember(inside, &keyed.key, keyed.fingerprint.as_uuid().as_bytes(), &outcome, retention)?;
    }
    Ok(Appended::new(outcome, false))
}

/// The time before which keys are forgotten.
pub(crate) fn oldest(now: i64, retention: Option<i64>) -> i64 {
    retention.map_or(i64::MIN, |kept| now.saturating_sub(kept))
}

fn check_streams(inside: &mut Inside<'_>, append: &Append) -> Result<Vec<Option<Version>>, Failed<AppendError>> {
    let mut heads = Vec::with_capacity(append.writes.len());
    for write in &append.writes {
        let actual = stream_version(&mut inside.hot.stream_version, &write.stream)?;
        if !write.condition.holds(actual) {
            let (stream, expected) = (write.stream.clone(), write.condition);
            return Err(Failed::Answer(AppendError::Conflict { stream, expected, actual }));
        }
        heads.push(actual);
    }
    Ok(heads)
}

fn stream_version(statement: &mut Statement<'_>, stream: &StreamId) -> Result<Option<Version>, Failed<AppendError>> {
    let mut rows = statement.query(params![stream.name(), tenant_column(stream.tenant())])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let number: i64 = row.get(0)?;
    let version = u64::try_from(number).ok().and_then(|number| Version::new(number).ok());
    version.map(Some).ok_or_else(|| damaged(format!("stream {stream} is at version {number}, which is none")))
}

fn damaged(what: String) -> Failed<AppendError> {
    Failed::Answer(AppendError::NotDone(Fault::new(FaultKind::Corrupt, what)))
}

fn write(inside: &mut Inside<'_>, append: &Append, heads: &[Option<Version>]) -> Result<Outcome, Failed<AppendError>> {
    let count = append.events();
    if count == 0 {
        return Ok(append.outcome_without_events());
    }
    let first = inside.known.tail.position + 1;
    let recorded_at = inside.now.max(inside.known.tail.recorded_at);
    let mut position = inside.known.tail.position;
    let mut versions = Vec::with_capacity(append.writes.len());
    for (write, head) in append.writes.iter().zip(heads) {
        let mut version = *head;
        for event in &write.events {
            position += 1;
            let next = Version::after(version);
            version = Some(next);
            insert(inside, Row { position, recorded_at, stream: &write.stream, version: next, event })?;
        }
        if let (Some(last), false) = (version, write.events.is_empty()) {
            versions.push(Versions { stream: write.stream.clone(), first: Version::after(*head), last });
        }
    }
    inside.known.tail = Tail { position, recorded_at };
    inside.events += count as u64;
    let recorded_at = DateTime::from_timestamp_micros(recorded_at).unwrap_or_default();
    Ok(Outcome::Accepted { log: LogId::FIRST, first: at(first), last: at(position), recorded_at, versions })
}

pub(crate) fn at(position: i64) -> Position {
    Position::new(u64::try_from(position).unwrap_or(0))
}

struct Row<'a> {
    position: i64,
    recorded_at: i64,
    stream: &'a StreamId,
    version: Version,
    event: &'a NewEvent,
}

fn insert(inside: &mut Inside<'_>, row: Row<'_>) -> rusqlite::Result<()> {
    let Row { position, recorded_at, stream, version, event } = row;
    let id = event.id.as_uuid().into_bytes();
    let tags = match event.tags.as_slice() {
        [] => None,
        tags => Some(serde_json::to_string(tags).map_err(not_json)?),
    };
    inside.hot.insert_event.execute(params![
        position,
        recorded_at,
        tenant_column(stream.tenant()),
        stream.name(),
        column(version.get()),
        event.event_type.as_str(),
        event.schema_version,
        &id[..],
        event.metadata.when().map(|time| time.timestamp_micros()),
        tags,
        event.metadata.to_json().map_err(not_json)?,
        Text(&event.payload),
    ])?;
    for tag in &event.tags {
        inside.hot.insert_tag.execute(params![tag.as_str(), position])?;
    }
    inside.proof = Some(Proof::Event { position, id });
    Ok(())
}

pub(crate) fn not_json(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

fn remember(
    inside: &mut Inside<'_>,
    key: &Key,
    fingerprint: &[u8; 16],
    outcome: &Outcome,
    retention: Option<i64>,
) -> rusqlite::Result<()> {
    let (first, last, refusal) = match outcome {
        Outcome::Accepted { first, last, .. } => (Some(first.as_i64()), Some(last.as_i64()), None),
        Outcome::Refused { reason } => (None, None, Some(reason.as_str())),
        Outcome::Empty => (None, None, None),
    };
    let tenant = tenant_column(key.tenant());
    // By the store's time, which does not run backwards, so that numbers rise with it.
    let now = inside.now.max(inside.known.tail.recorded_at);
    let row = params![tenant, key.as_str(), &fingerprint[..], now, first, last, refusal];
    inside.hot.insert_key.execute(row)?;
    if retention.is_some() {
        // Twice as many as come: those whose time has passed become fewer.
        let mut forget = inside.conn.prepare_cached(include_str!("sql/forget_keys.sql"))?;
        forget.execute(params![oldest(inside.now, retention), 2])?;
    }
    if first.is_none() {
        let (tenant, key) = (tenant.to_owned(), key.as_str().to_owned());
        inside.proof = Some(Proof::Key { tenant, key, fingerprint: *fingerprint });
    }
    Ok(())
}

/// About how many bytes an append writes, for the bound on a group.
pub(crate) fn size(append: &Append) -> usize {
    let event = |event: &NewEvent| event.payload.len() + 200;
    append.writes.iter().flat_map(|write| &write.events).map(event).sum()
}
