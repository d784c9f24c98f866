//! Pages of a stream and of the log.

use factum::{
    Direction, EventId, LogId, LogPage, Mark, PageLimit, Position, ReadError, ReadLog, ReadStream, RecordedEvent,
    StreamPage, Version,
};
use rusqlite::{Connection, Rows, params};
use uuid::Uuid;

use crate::append::{at, column, tenant_column};
use crate::job::Failed;
use crate::readers::Moment;
use crate::row::{Head, Page, RowError};
use crate::tags::TagWalk;

/// How many rows a page looks at before it gives what it has, so that a filter that matches little moves on: at least
/// this, and as many as events were asked for, up to a bound.
const LOOK: usize = 10_000;
const LOOK_AT_MOST: usize = 100_000;

type Answer<T> = Result<T, Failed<ReadError>>;

impl From<RowError> for Failed<ReadError> {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Sqlite(error) => Self::Sqlite(error),
            RowError::Damaged { position, what } => {
                Self::Answer(ReadError::Damaged { log: LogId::FIRST, position, what })
            }
        }
    }
}

fn only_log(log: LogId) -> Answer<()> {
    if log == LogId::FIRST { Ok(()) } else { Err(Failed::Answer(ReadError::NoSuchLog { log })) }
}

fn full(page: &Page, limit: PageLimit) -> bool {
    page.len() >= limit.events.max(1) || page.bytes() > limit.bytes
}

fn row_limit(limit: PageLimit) -> i64 {
    // One more tells whether there is one more.
    i64::try_from(limit.events.max(1)).unwrap_or(i64::MAX).saturating_add(1)
}

/// A page of one stream.
pub(crate) fn stream(conn: &Connection, read: &ReadStream) -> Answer<StreamPage> {
    let (name, tenant) = (read.stream.name(), tenant_column(read.stream.tenant()));
    let after = |none: i64| read.after.map_or(none, |version| column(version.get()));
    match read.direction {
        Direction::Forward => {
            let mut select = conn.prepare_cached(include_str!("sql/read_stream_forward.sql"))?;
            let up_to = read.up_to.map_or(i64::MAX, |version: Version| column(version.get()));
            stream_page(select.query(params![name, tenant, after(0), up_to, row_limit(read.limit)])?, read.limit)
        }
        Direction::Backward => {
            let mut select = conn.prepare_cached(include_str!("sql/read_stream_backward.sql"))?;
            stream_page(select.query(params![name, tenant, after(i64::MAX), row_limit(read.limit)])?, read.limit)
        }
    }
}

fn stream_page(mut rows: Rows<'_>, limit: PageLimit) -> Answer<StreamPage> {
    let mut page = Page::new(limit.events);
    let mut end = true;
    while let Some(row) = rows.next()? {
        if full(&page, limit) {
            end = false;
            break;
        }
        page.push(&Head::of(row)?, row)?;
    }
    Ok(StreamPage { events: page.finish(), end })
}

/// A page of the log.
pub(crate) fn log(conn: &Connection, read: &ReadLog) -> Answer<LogPage> {
    only_log(read.log)?;
    // One moment for the page and for how far it has looked.
    let moment = Moment::of(conn)?;
    let from = match read.direction {
        Direction::Forward => read.after.as_i64().saturating_add(1),
        Direction::Backward => read.after.as_i64() - 1,
    };
    match TagWalk::new(&read.filter, read.direction, from) {
        Some(walk) => log_by_tags(&moment, read, walk),
        None => log_by_scan(&moment, read),
    }
}

fn log_by_scan(conn: &Connection, read: &ReadLog) -> Answer<LogPage> {
    let mut scan = conn.prepare_cached(match read.direction {
        Direction::Forward => include_str!("sql/read_log_forward.sql"),
        Direction::Backward => include_str!("sql/read_log_backward.sql"),
    })?;
    let mut rows = match read.direction {
        Direction::Forward => scan.query(params![read.after.as_i64(), read.up_to.as_i64()])?,
        Direction::Backward => scan.query(params![read.after.as_i64()])?,
    };
    let by_tag = read.filter.items().iter().any(|item| !item.tags().is_empty());
    let look = read.limit.events.clamp(LOOK, LOOK_AT_MOST);
    let mut page = Page::new(read.limit.events);
    let (mut looked_at, mut looked, mut end) = (None, 0, true);
    while let Some(row) = rows.next()? {
        if looked == look || full(&page, read.limit) {
            end = false;
            break;
        }
        looked += 1;
        let head = Head::of(row)?;
        looked_at = Some(head.position);
        if head.matches(&read.filter, by_tag, row)? {
            page.push(&head, row)?;
        }
    }
    Ok(LogPage { reached: mark(conn, &page, looked_at)?, events: page.finish(), end })
}

/// Where a page has looked to: mostly its last event.
fn mark(conn: &Connection, page: &Page, looked_at: Option<Position>) -> Answer<Option<Mark>> {
    let Some(position) = looked_at else {
        return Ok(None);
    };
    match page.last() {
        Some(last) if last.position == position => Ok(Some(Mark { position, event: last.id })),
        _ => {
            let mut select = conn.prepare_cached(include_str!("sql/mark_at.sql"))?;
            mark_of(select.query(params![position.as_i64()])?)
        }
    }
}

fn mark_of(mut rows: Rows<'_>) -> Answer<Option<Mark>> {
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let position = at(row.get(0)?);
    let id = row.get_ref(1)?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
    let damaged = || RowError::Damaged { position, what: "its id is no UUID".to_owned() };
    Ok(Some(Mark { position, event: EventId::from(id.ok_or_else(damaged)?) }))
}

fn log_by_tags(conn: &Connection, read: &ReadLog, mut walk: TagWalk<'_>) -> Answer<LogPage> {
    let mut seek = conn.prepare_cached(match read.direction {
        Direction::Forward => include_str!("sql/seek_tag_forward.sql"),
        Direction::Backward => include_str!("sql/seek_tag_backward.sql"),
    })?;
    let mut at = conn.prepare_cached(include_str!("sql/read_position.sql"))?;
    let mut page = Page::new(read.limit.events);
    let (mut looked_at, mut looked) = (None, 0);
    while let Some(candidate) = walk.next(&mut seek)? {
        if read.direction == Direction::Forward && candidate > read.up_to.as_i64() {
            break;
        }
        if looked == LOOK || full(&page, read.limit) {
            return Ok(LogPage { reached: mark(conn, &page, looked_at)?, events: page.finish(), end: false });
        }
        looked += 1;
        let mut rows = at.query(params![candidate])?;
        if let Some(row) = rows.next()? {
            let head = Head::of(row)?;
            looked_at = Some(head.position);
            if head.matches(&read.filter, true, row)? {
                page.push(&head, row)?;
            }
        }
    }
    Ok(LogPage { events: page.finish(), reached: looked_to(conn, read)?, end: true })
}

/// The last event there is to look at, in the direction of reading.
fn looked_to(conn: &Connection, read: &ReadLog) -> Answer<Option<Mark>> {
    let mut select = conn.prepare_cached(match read.direction {
        Direction::Forward => include_str!("sql/mark_forward.sql"),
        Direction::Backward => include_str!("sql/mark_backward.sql"),
    })?;
    mark_of(match read.direction {
        Direction::Forward => select.query(params![read.after.as_i64(), read.up_to.as_i64()])?,
        Direction::Backward => select.query(params![read.after.as_i64()])?,
    })
}

/// The events at these positions.
pub(crate) fn positions(conn: &Connection, log: LogId, positions: &[Position]) -> Answer<Vec<RecordedEvent>> {
    only_log(log)?;
    let mut sorted = positions.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut select = conn.prepare_cached(include_str!("sql/read_position.sql"))?;
    let mut page = Page::new(sorted.len());
    for position in sorted {
        let mut rows = select.query(params![position.as_i64()])?;
        if let Some(row) = rows.next()? {
            page.push(&Head::of(row)?, row)?;
        }
    }
    Ok(page.finish())
}

/// The position of the last event.
pub(crate) fn head(conn: &Connection) -> rusqlite::Result<Position> {
    let mut select = conn.prepare_cached(include_str!("sql/head.sql"))?;
    let mut rows = select.query([])?;
    rows.next()?.map_or(Ok(Position::START), |row| row.get(0).map(at))
}
