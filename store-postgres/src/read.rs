//! Pages of a stream and of the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use factum::{
    Cursor, Direction, LogId, LogPage, Mark, PageLimit, Position, ReadError, ReadLog, ReadStream, RecordedEvent,
    StreamPage, Version,
};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, Row};
use tokio::sync::mpsc;

use crate::append::at;
use crate::columns::{column, tenant_column};
use crate::db::{Bound, Db, Flow};
use crate::error::fault;
use crate::plan::Plan;
use crate::row::{BESIDE, Page, bytes, damaged, event_id, number};
use crate::texts::Texts;

/// How long a read that has found nothing may go on looking before it says how far it has looked.
const PATIENCE: Duration = Duration::from_millis(20);

/// How much further it looks each time.
const FURTHER: i64 = 8;

/// How many rows are asked for at least where not all that come are meant.
const ROUGHLY: i64 = 256;

/// How many payloads are fetched at once before it is known how large they are.
const LARGE_AT_FIRST: usize = 4;

/// For how many hashes of names the streams of several pages are remembered.
const SLOTS: usize = 8_192;

const EDGE: usize = BESIDE;
const EDGE_ID: usize = BESIDE + 1;
const MORE: usize = BESIDE + 2;

fn only_log(log: LogId) -> Result<(), ReadError> {
    if log == LogId::FIRST { Ok(()) } else { Err(ReadError::NoSuchLog { log }) }
}

/// How many rows are asked for: one more tells whether there is one more, and more than fill the bytes are never wanted.
fn row_limit(limit: PageLimit, several: Option<&Several>) -> i64 {
    let fill = limit.bytes / size_of::<RecordedEvent>() + 1;
    let pages = several.map_or(1, |several| several.pages);
    let events = limit.events.max(1).min(fill).saturating_mul(pages);
    i64::try_from(events).unwrap_or(i64::MAX).saturating_add(1)
}

/// The pages that one statement brings beside the last one, which is returned: each as soon as it is full, after which the
/// reading pauses. Each is what it would have been alone.
#[derive(Clone, Debug)]
pub(crate) struct Several {
    /// How many, with the last one.
    pub(crate) pages: usize,
    pub(crate) full: mpsc::UnboundedSender<Vec<RecordedEvent>>,
    pub(crate) kept: Kept,
    /// Whether most events are meant: then all are read, and those that are not are left out here. That costs less than to look for
    /// each of the others.
    pub(crate) dense: bool,
}

/// What a reader keeps from one statement for the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Between>>);

#[derive(Debug, Default)]
struct Between {
    /// What was seen in the pages before.
    texts: Option<Texts>,
    connection: Option<PoolConnection<Postgres>>,
}

impl Kept {
    fn between(&self) -> MutexGuard<'_, Between> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the connection back.
    pub(crate) fn give_back(&self) {
        drop(self.between().connection.take());
    }
}

/// Rows as they come, and how far they reach.
struct Gather<'q> {
    page: Page,
    several: Option<Several>,
    limit: PageLimit,
    /// Which of the rows are meant; `None` where all are.
    meant: Option<&'q factum::Query>,
    looked: Option<Mark>,
    /// How many rows came, of how many that were asked for. Where as many came, there may be more.
    rows: i64,
    asked: i64,
    /// Whether there are rows beyond the page.
    more: bool,
    /// What the statement says of where it ended, if it does.
    edge: Option<Edge>,
}

struct Edge {
    mark: Mark,
    more: bool,
}

impl<'q> Gather<'q> {
    fn new(limit: PageLimit, asked: i64, meant: Option<&'q factum::Query>, several: Option<&Several>) -> Self {
        let texts = several.map(|several| several.kept.between().texts.take().unwrap_or_else(|| Texts::new(SLOTS)));
        let (page, several) = (Page::new(limit.events, texts), several.cloned());
        Self { page, several, limit, meant, looked: None, rows: 0, asked, more: false, edge: None }
    }

    fn is_full(&self) -> bool {
        self.page.len() >= self.limit.events.max(1) || self.page.bytes() > self.limit.bytes
    }

    fn take(&mut self, row: &PgRow) -> Flow {
        self.fill(row);
        self.give()
    }

    /// Gives a page that is full where another one may follow it.
    fn give(&mut self) -> Flow {
        let full = self.page.len() >= self.limit.events.max(1) && self.page.bytes() <= self.limit.bytes;
        let Some(several) = self.several.as_mut().filter(|several| full && several.pages > 1) else {
            return Flow::On;
        };
        let Some(events) = self.page.take_whole() else {
            return Flow::On;
        };
        several.pages -= 1;
        // Nobody may want it any more: then nobody polls either.
        let _ = several.full.send(events);
        Flow::Pause
    }

    fn fill(&mut self, row: &PgRow) {
        if row.len() > BESIDE {
            if self.edge.is_none() {
                match edge(row) {
                    Ok(edge) => self.edge = Some(edge),
                    Err(what) => self.page.spoil(damaged(Position::START, what)),
                }
            }
            // An edge without an event: nothing is meant up to there.
            if matches!(bytes(row, 0), Ok(None)) {
                return;
            }
        }
        self.rows += 1;
        if self.is_full() {
            self.more = true;
            return;
        }
        self.more = self.rows == self.asked;
        self.page.push(row);
        if let Some(last) = self.page.last() {
            self.looked = Some(mark(last));
            if self.meant.is_some_and(|meant| !meant.matches(last)) {
                self.page.pop();
            }
        }
    }
}

fn edge(row: &PgRow) -> Result<Edge, String> {
    let position = at(number(row, EDGE)?);
    let more = bytes(row, MORE)?.is_some_and(|more| more == [1]);
    Ok(Edge { mark: Mark { position, event: event_id(row, EDGE_ID)? }, more })
}

/// Gathers the rows of a statement. One that gives pages is not sent again: they have left.
async fn gather<'q>(
    db: &Db,
    query: impl Fn() -> Bound<'q> + Send,
    new: impl Fn() -> Gather<'q> + Send,
    several: Option<&Several>,
) -> Result<Gather<'q>, ReadError> {
    let Some(several) = several else {
        return Ok(db.fold(query, new, Gather::take).await.map_err(fault)?);
    };
    let mut connection = several.kept.between().connection.take();
    let gathered = db.fold_on(&mut connection, query(), new(), Gather::take).await;
    let mut gathered = gathered.map_err(fault)?;
    // Who waits for another connection to bring the rest keeps none.
    let connection = connection.filter(|_| gathered.page.is_whole());
    *several.kept.between() = Between { texts: Some(gathered.page.take_texts()), connection };
    Ok(gathered)
}

/// A page of one stream, or several.
pub(crate) async fn stream(db: &Db, read: &ReadStream, several: Option<&Several>) -> Result<StreamPage, ReadError> {
    let asked = row_limit(read.limit, several);
    let (name, tenant) = (read.stream.name(), tenant_column(read.stream.tenant()));
    let after = |none: i64| read.after.map_or(none, |version| column(version.get()));
    let up_to = read.up_to.map_or(i64::MAX, |version: Version| column(version.get()));
    let query = || match read.direction {
        Direction::Forward => sqlx::query(db.sql.read_stream_forward.clone())
            .bind(name)
            .bind(tenant)
            .bind(after(0))
            .bind(asked)
            .bind(up_to),
        Direction::Backward => {
            sqlx::query(db.sql.read_stream_backward.clone()).bind(name).bind(tenant).bind(after(i64::MAX)).bind(asked)
        }
    };
    let new = || Gather::new(read.limit, asked, None, several);
    let gathered = gather(db, query, new, several).await?;
    let more = gathered.more;
    let (events, cut) = complete(db, gathered.page, read.limit.bytes).await?;
    Ok(StreamPage { events, end: !more && !cut })
}

/// A page of the log, or several.
pub(crate) async fn log(db: &Db, read: &ReadLog, several: Option<&Several>) -> Result<LogPage, ReadError> {
    only_log(read.log)?;
    let dense = several.is_some_and(|several| several.dense);
    let plan = if dense { Plan::All } else { Plan::of(&read.filter) };
    let mut look = plan.look();
    let mut read = read.clone();
    let began = Instant::now();
    loop {
        let page = look_once(db, &plan, &read, look, several).await?;
        match page.reached {
            // Nothing so far, at little cost: look further before saying so.
            Some(reached) if page.events.is_empty() && !page.end && began.elapsed() < PATIENCE => {
                read.after = reached.position;
                look = look.saturating_mul(FURTHER);
            }
            _ => return Ok(page),
        }
    }
}

async fn look_once(
    db: &Db,
    plan: &Plan,
    read: &ReadLog,
    look: i64,
    several: Option<&Several>,
) -> Result<LogPage, ReadError> {
    let rough = plan.is_rough() || (*plan == Plan::All && !read.filter.is_all());
    let meant = rough.then_some(&read.filter);
    // Of rows that may not be meant a few more, so that a small page does not need many statements.
    let asked = row_limit(read.limit, several).max(if rough { ROUGHLY } else { 0 });
    let query = || plan.bind(&db.sql, read, asked, look);
    let new = || Gather::new(read.limit, asked, meant, several);
    let gathered = gather(db, query, new, several).await?;
    let Gather { page, looked, more, edge, .. } = gathered;
    let (events, cut) = complete(db, page, read.limit.bytes).await?;
    if cut {
        let reached = events.last().map(mark);
        return Ok(LogPage { events, reached, end: false });
    }
    Ok(match edge {
        _ if more => LogPage { events, reached: looked, end: false },
        Some(edge) => LogPage { events, reached: Some(edge.mark), end: !edge.more },
        None => LogPage { events, reached: looked, end: true },
    })
}

/// The events at these positions.
pub(crate) async fn positions(db: &Db, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
    only_log(log)?;
    let wanted: Vec<i64> = positions.iter().map(|position| position.as_i64()).collect();
    let query = || sqlx::query(db.sql.read_positions.clone()).bind(&wanted);
    let limit = PageLimit { events: usize::MAX, bytes: usize::MAX };
    let gathered = gather(db, query, || Gather::new(limit, i64::MAX, None, None), None).await?;
    Ok(complete(db, gathered.page, usize::MAX).await?.0)
}

/// The position of the last event.
pub(crate) async fn head(db: &Db) -> Result<Cursor, ReadError> {
    let rows = db.fetch(|| sqlx::query(db.sql.head.clone())).await.map_err(fault)?;
    let Some(row) = rows.first() else {
        return Ok(Cursor::start());
    };
    let position = number(row, 0).map_err(|what| damaged(Position::START, what))?;
    Ok(Cursor::from(at(position)))
}

/// Fetches the payloads that were left out for their size, as many as the page may hold. Says whether events had to go.
async fn complete(db: &Db, page: Page, max_bytes: usize) -> Result<(Vec<RecordedEvent>, bool), ReadError> {
    let (mut events, present) = page.finish()?;
    if present.is_empty() {
        return Ok((events, false));
    }
    let (mut done, mut bytes, mut fetched_until, mut at_once) = (0, 0, 0, LARGE_AT_FIRST);
    while done < events.len() && (done == 0 || bytes <= max_bytes) {
        if !present[done] && done >= fetched_until {
            let missing = || (done..events.len()).filter(|n| !present[*n]).take(at_once);
            fetched_until = missing().last().map_or(done, |last| last + 1);
            let positions: Vec<i64> = missing().map(|n| events[n].position.as_i64()).collect();
            let size = fetch_payloads(db, &mut events[done..fetched_until], &positions).await?;
            let average = (size / positions.len().max(1)).max(1);
            at_once = (max_bytes.saturating_sub(bytes + size) / average).clamp(1, factum::MAX_POSITIONS);
        }
        bytes += events[done].size();
        done += 1;
    }
    let cut = done < events.len();
    events.truncate(done);
    Ok((events, cut))
}

/// Puts the payloads of these positions into their events, and says how large they are together.
async fn fetch_payloads(db: &Db, events: &mut [RecordedEvent], positions: &[i64]) -> Result<usize, ReadError> {
    let rows = db.fetch(|| sqlx::query(db.sql.payloads.clone()).bind(positions)).await.map_err(fault)?;
    let payload = |row: &PgRow| Some((at(number(row, 0).ok()?), Bytes::copy_from_slice(bytes(row, 1).ok()??)));
    let mut found: HashMap<Position, Bytes> = rows.iter().filter_map(payload).collect();
    let missing = positions.iter().map(|position| at(*position)).find(|position| !found.contains_key(position));
    if let Some(position) = missing {
        return Err(damaged(position, "its payload is missing".to_owned()));
    }
    let mut size = 0;
    for event in events {
        if let Some(payload) = found.remove(&event.position) {
            size += payload.len();
            event.payload = payload;
        }
    }
    Ok(size)
}

fn mark(event: &RecordedEvent) -> Mark {
    Mark { position: event.position, event: event.id }
}
