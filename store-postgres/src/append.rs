//! What an append sends and what its answer means.

use chrono::{DateTime, Utc};
use factum::{
    Append, AppendError, Appended, Fault, FaultKind, LogId, NewEvent, Outcome, Position, StreamWrite, Version, Versions,
};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Row, SqlStr};

use crate::columns::{Json, column, condition_column, metadata_column, tag_texts, tenant_column};
use crate::copy::COPY_EVENTS;
use crate::db::Bound;
use crate::group::Contents;
use crate::judged::{HOLDS, Judged, QUERY_CONFLICT, STREAM_CONFLICT};
use crate::known::Offer;
use crate::sole::Next;
use crate::sql::Statements;

/// An append to one stream, without key and query: it has functions of its own, which cost half of what the one for groups does.
pub(crate) fn as_one(append: &Append) -> Option<&StreamWrite> {
    match (append.writes.as_slice(), &append.query_condition, &append.keyed) {
        ([write], None, None) if !write.events.is_empty() => Some(write),
        _ => None,
    }
}

/// The statement of such an append.
///
/// # Errors
/// Where the metadata of an event cannot be written.
pub(crate) fn bind_one(sql: &Statements, write: &StreamWrite) -> Result<Bound<'static>, Fault> {
    let condition = condition_column(write.condition);
    match write.events.as_slice() {
        [event] => bind_event(bind_stream(&sql.append_one, write, condition), event),
        events => Ok(Contents::of(events)?.bind(bind_stream(&sql.append_run, write, condition))),
    }
}

/// Whether such an append is sent with what is believed to be its place. Several events are where an error is what is told of a
/// place that is taken: they are recorded all or not at all.
pub(crate) fn may_be_offered(write: &StreamWrite, next: Next) -> bool {
    match write.events.as_slice() {
        [_] => true,
        events => next.sure && events.len() < COPY_EVENTS && events.iter().all(|event| event.tags.is_empty()),
    }
}

/// The statement of one that may be offered.
///
/// # Errors
/// Where the metadata of an event cannot be written.
pub(crate) fn bind_next(sql: &Statements, write: &StreamWrite, next: Next) -> Result<Bound<'static>, Fault> {
    let version = column(next.version.get());
    let bound = match write.events.as_slice() {
        [event] => bind_event(bind_stream(one_next(sql, event, next), write, version), event)?,
        events => Contents::of(events)?.bind(bind_stream(&sql.append_next_run, write, version)),
    };
    Ok(bound.bind(next.position.as_i64()).bind(next.after))
}

fn one_next<'s>(sql: &'s Statements, event: &NewEvent, next: Next) -> &'s SqlStr {
    match (event.tags.is_empty(), next.version == Version::FIRST) {
        (false, _) => &sql.append_next_tagged,
        (true, true) => &sql.append_next_new,
        (true, false) if next.sure => &sql.append_next_sure,
        (true, false) => &sql.append_next,
    }
}

/// What these statements begin with.
fn bind_stream(statement: &SqlStr, write: &StreamWrite, number: i64) -> Bound<'static> {
    let (stream, tenant) = (&write.stream, tenant_column(write.stream.tenant()));
    let mut binds = PgArguments::default();
    // Room for all at once: it would else be moved half a dozen times as it grows.
    let events = write.events.iter().map(|event| OTHER_BYTES + event.payload.len());
    binds.reserve(MOST_BINDS, BINDS_BYTES + events.sum::<usize>());
    let bound = sqlx::query_with(statement.clone(), binds);
    bound.bind(stream.name()).bind(tenant).bind(stream.category()).bind(number)
}

/// How many binds such a statement has at most, and in how many bytes they have room as a rule, and all but the payload of an event.
const MOST_BINDS: usize = 13;
const BINDS_BYTES: usize = 256;
const OTHER_BYTES: usize = 64;

fn bind_event(bound: Bound<'static>, event: &NewEvent) -> Result<Bound<'static>, Fault> {
    let metadata = metadata_column(event)?;
    let tags: Option<Vec<&str>> = (!event.tags.is_empty()).then(|| tag_texts(&event.tags).collect());
    Ok(bound
        .bind(event.id.as_uuid())
        .bind(event.event_type.as_str())
        .bind(i64::from(event.schema_version))
        .bind(event.metadata.when())
        .bind(tags)
        .bind(metadata.as_ref().map(|json| Json(json.as_bytes())))
        .bind(Json(&event.payload)))
}

/// The answer to such an append.
pub(crate) fn answer_one(row: &PgRow, write: &StreamWrite) -> Result<Answer, sqlx::Error> {
    let answer: Vec<Option<i64>> = row.try_get(0)?;
    let answer = |n: usize| answer.get(n).copied().flatten();
    let (first_at, first) = (answer(0), answer(1).and_then(version_of));
    let recorded_at = answer(2).and_then(DateTime::from_timestamp_micros);
    let (Some(first_at), Some(recorded_at), Some(first)) = (first_at, recorded_at, first) else {
        let (stream, expected) = (write.stream.clone(), write.condition);
        return Ok(Answer::Refused(AppendError::Conflict { stream, expected, actual: first }));
    };
    Ok(Answer::Done(accepted_run(write, first_at, first, recorded_at)))
}

/// The events of a write, whose first is at this position and has this version.
fn accepted_run(write: &StreamWrite, first_at: i64, first: Version, recorded_at: DateTime<Utc>) -> Appended {
    let more = write.events.len() as u64 - 1;
    let last = Version::advance(Some(first), more).unwrap_or(first);
    let versions = vec![Versions { stream: write.stream.clone(), first, last }];
    accepted(first_at, first_at + column(more), recorded_at, versions)
}

/// The answer to one whose place was guessed; `None` where the guess was wrong, and nothing was recorded.
pub(crate) fn answer_next(
    row: Option<&PgRow>,
    write: &StreamWrite,
    next: Next,
) -> Result<Option<Appended>, sqlx::Error> {
    let Some(row) = row else { return Ok(None) };
    Ok(Some(accepted_run(write, next.position.as_i64(), next.version, row.try_get(0)?)))
}

/// The answers to a group whose place was known, in its order.
pub(crate) fn answers_known(appends: &[&Append], offer: &Offer, recorded_at: DateTime<Utc>) -> Vec<Appended> {
    let (mut position, mut versions) = (offer.first, offer.versions.iter());
    let answer = |append: &&Append| {
        let first = position;
        position += column(append.events() as u64);
        let written = append.writes.iter().filter_map(|write| {
            let mut of_write = versions.by_ref().take(write.events.len()).copied();
            let first = of_write.next()?;
            let (first, last) = (version_of(first)?, version_of(of_write.last().unwrap_or(first))?);
            Some(Versions { stream: write.stream.clone(), first, last })
        });
        accepted(first, position - 1, recorded_at, written.collect())
    };
    appends.iter().map(answer).collect()
}

/// What became of one append.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Appended),
    Refused(AppendError),
    /// Its key has an outcome, which is to be read.
    Known,
    /// An event at this position is one that its query matches; which it is, is to be read.
    Matched(i64),
}

/// The answers to a group, in its order.
pub(crate) fn answers<'a>(appends: impl Iterator<Item = &'a Append>, judged: &Judged) -> Vec<Answer> {
    let mut position = judged.head;
    let mut write = 0;
    let mut answers = Vec::with_capacity(judged.verdicts.len());
    for (n, append) in appends.enumerate() {
        let lasts = judged.lasts.get(write..write + append.writes.len()).unwrap_or_default();
        write += append.writes.len();
        answers.push(match judged.verdicts.get(n).copied() {
            Some(HOLDS) => {
                let first = position + 1;
                position += column(append.events() as u64);
                Answer::Done(recorded(append, lasts, first, position, judged.recorded_at))
            }
            Some(STREAM_CONFLICT) => Answer::Refused(conflict(append, lasts)),
            Some(QUERY_CONFLICT) => {
                let found = judged.found.as_ref().and_then(|found| found.get(n).copied().flatten());
                Answer::Matched(found.unwrap_or(0))
            }
            _ => Answer::Known,
        });
    }
    answers
}

fn recorded(append: &Append, lasts: &[i64], first: i64, last: i64, recorded_at: DateTime<Utc>) -> Appended {
    if append.events() == 0 {
        return Appended::new(append.outcome_without_events(), false);
    }
    let written = append.writes.iter().zip(lasts).filter(|(write, _)| !write.events.is_empty());
    let versions = written.filter_map(|(write, before)| {
        let before = version_of(*before);
        let last = Version::advance(before, write.events.len() as u64)?;
        Some(Versions { stream: write.stream.clone(), first: Version::after(before), last })
    });
    accepted(first, last, recorded_at, versions.collect())
}

fn conflict(append: &Append, lasts: &[i64]) -> AppendError {
    let judged = append.writes.iter().zip(lasts).map(|(write, last)| (write, version_of(*last)));
    let broken = judged.into_iter().find(|(write, actual)| !write.condition.holds(*actual));
    match broken {
        Some((write, actual)) => {
            AppendError::Conflict { stream: write.stream.clone(), expected: write.condition, actual }
        }
        None => {
            AppendError::NotDone(Fault::new(FaultKind::Corrupt, "the server refused an append whose conditions hold"))
        }
    }
}

pub(crate) fn accepted(first: i64, last: i64, recorded_at: DateTime<Utc>, versions: Vec<Versions>) -> Appended {
    let (first, last) = (at(first), at(last));
    Appended::new(Outcome::Accepted { log: LogId::FIRST, first, last, recorded_at, versions }, false)
}

pub(crate) fn at(position: i64) -> Position {
    Position::new(u64::try_from(position).unwrap_or(0))
}

/// `None` for 0: no event.
pub(crate) fn version_of(number: i64) -> Option<Version> {
    u64::try_from(number).ok().and_then(|number| Version::new(number).ok())
}

/// About how many bytes an append sends, for the bound on a group.
pub(crate) fn size(append: &Append) -> usize {
    let event = |event: &NewEvent| event.payload.len() + 200;
    append.writes.iter().flat_map(|write| &write.events).map(event).sum()
}
