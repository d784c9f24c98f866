//! Query conditions: whether an event that would change a decision came after what the decision had seen.

use factum::{Append, AppendError, Direction, LogId, Query, StreamId, Tag, Tenant};
use rusqlite::{Row, params};

use crate::append::at;
use crate::inside::Inside;
use crate::job::Failed;
use crate::tags::TagWalk;

/// Refuses an append whose query condition does not hold. Costs what came after the condition's cursor: by tags no
/// more than the tags' own events, else one look at each.
pub(crate) fn check(inside: &Inside<'_>, append: &Append) -> Result<(), Failed<AppendError>> {
    let Some(condition) = &append.query_condition else {
        return Ok(());
    };
    let after = condition.after.get(LogId::FIRST).as_i64();
    if after >= inside.known.tail.position {
        return Ok(());
    }
    let found = match TagWalk::new(&condition.query, Direction::Forward, after + 1) {
        Some(walk) => by_tags(inside, &condition.query, walk)?,
        None => by_scan(inside, &condition.query, after)?,
    };
    let Some(Found { position, stream, event_type }) = found else {
        return Ok(());
    };
    let (after, found) = (condition.after.get(LogId::FIRST), at(position));
    Err(Failed::Answer(AppendError::QueryConflict { log: LogId::FIRST, after, found, stream, event_type }))
}

struct Found {
    position: i64,
    stream: StreamId,
    event_type: String,
}

fn by_tags(inside: &Inside<'_>, query: &Query, mut walk: TagWalk<'_>) -> rusqlite::Result<Option<Found>> {
    let mut seek = inside.conn.prepare_cached(include_str!("sql/seek_tag_forward.sql"))?;
    let mut look = inside.conn.prepare_cached(include_str!("sql/match_at.sql"))?;
    while let Some(candidate) = walk.next(&mut seek)? {
        let mut rows = look.query(params![candidate])?;
        if let Some(row) = rows.next()?
            && let Some(found) = matching(query, row)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn by_scan(inside: &Inside<'_>, query: &Query, after: i64) -> rusqlite::Result<Option<Found>> {
    let mut scan = inside.conn.prepare_cached(include_str!("sql/match_after.sql"))?;
    let mut rows = scan.query(params![after])?;
    while let Some(row) = rows.next()? {
        if let Some(found) = matching(query, row)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn matching(query: &Query, row: &Row<'_>) -> rusqlite::Result<Option<Found>> {
    let tenant = row.get_ref(1)?.as_str()?;
    let stream = row.get_ref(2)?.as_str()?;
    let event_type = row.get_ref(3)?.as_str()?;
    let tags: Vec<Tag> = match row.get_ref(4)?.as_str_or_null()? {
        Some(json) => serde_json::from_str(json).map_err(|error| damaged(4, error))?,
        None => Vec::new(),
    };
    let category = stream.split('-').next().unwrap_or_default();
    let shown = if tenant.is_empty() { Tenant::DEFAULT } else { tenant };
    if !query.matches_parts(shown, category, event_type, &tags) {
        return Ok(None);
    }
    let mut id = StreamId::new(stream).map_err(|error| damaged(2, error))?;
    if !tenant.is_empty() {
        id = id.in_tenant(Tenant::new(tenant).map_err(|error| damaged(1, error))?);
    }
    Ok(Some(Found { position: row.get(0)?, stream: id, event_type: event_type.to_owned() }))
}

fn damaged(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
}
