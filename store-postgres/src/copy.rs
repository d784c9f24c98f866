//! A large append by COPY, which takes rows faster than any statement.
//!
//! It takes several round trips and holds the order lock meanwhile, where an append of arrays takes one: so it is for appends
//! whose rows take longer than that. The server ends the transaction if this process falls silent in the middle.

use chrono::{DateTime, Utc};
use factum::{Append, Fault, FaultKind, NewEvent, StreamId, Tag};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, SqlStr};

use crate::append::{Answer, answers};
use crate::columns::{metadata_column, tenant_column};
use crate::db::Db;
use crate::group::Columns;
use crate::judged::{HOLDS, Judged};
use crate::keys;
use crate::link::Broken;
use crate::options::KeyRetention;

/// From how many events on an append goes by COPY. Measured: `append-batch-100` and `append-batch-5000` of the benches.
pub(crate) const COPY_EVENTS: usize = 1_000;

/// How many statements that is, of those that may take long: one that judges, COPY, tags.
pub(crate) const STATEMENTS: u32 = 3;

/// Appends by COPY. One transaction of its own.
pub(crate) async fn append(
    conn: &mut PgConnection,
    db: &Db,
    append: &Append,
    retention: KeyRetention,
) -> Result<Answer, Broken> {
    let columns = Columns::of([append]).map_err(Broken::NotSent)?;
    let mut transaction = conn.begin_with(db.begin_append()).await?;
    let judge = columns.bind_judge(db.sql.judge.clone(), keys::since(retention));
    let judged = Judged::of(&judge.persistent(!db.behind_pooler()).fetch_one(&mut *transaction).await?)?;
    if judged.verdicts.first() == Some(&HOLDS) {
        send(&mut transaction, db, append, &judged).await?;
    }
    transaction.commit().await?;
    let mut answers = answers(std::iter::once(append), &judged);
    answers.pop().ok_or_else(|| Broken::NotSent(Fault::new(FaultKind::Corrupt, "the server answered nothing")))
}

async fn send(conn: &mut PgConnection, db: &Db, append: &Append, judged: &Judged) -> Result<(), Broken> {
    copy(conn, &db.sql.copy_events, event_rows(append, judged)).await?;
    if append.writes.iter().flat_map(|write| &write.events).any(|event| !event.tags.is_empty()) {
        let tags = sqlx::query(db.sql.copied_tags.clone()).bind(judged.head);
        tags.persistent(!db.behind_pooler()).execute(&mut *conn).await?;
    }
    if let Some(keyed) = &append.keyed {
        let events = i32::try_from(append.events()).unwrap_or(i32::MAX);
        let remember = sqlx::query(db.sql.remember.clone())
            .bind(&judged.verdicts)
            .bind([judged.head])
            .bind([events])
            .bind(judged.recorded_at)
            .bind([1i32])
            .bind([keyed.key.as_str()])
            .bind([tenant_column(keyed.key.tenant())])
            .bind([keyed.fingerprint.as_uuid()])
            .bind([keyed.refusal.as_deref()]);
        remember.persistent(!db.behind_pooler()).execute(conn).await?;
    }
    Ok(())
}

/// Rows in the binary format of COPY: <https://www.postgresql.org/docs/current/sql-copy.html>.
async fn copy(
    conn: &mut PgConnection,
    statement: &SqlStr,
    rows: impl Iterator<Item = Result<EventRow<'_>, Fault>>,
) -> Result<(), Broken> {
    let mut copying = conn.copy_in_raw(statement.as_str()).await?;
    let mut buffer = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in rows {
        match row {
            Ok(row) => row.write(&mut buffer),
            Err(what) => {
                copying.abort("a row could not be written").await.ok();
                return Err(Broken::NotSent(what));
            }
        }
        if buffer.len() >= CHUNK {
            copying.send(buffer.as_slice()).await?;
            buffer.clear();
        }
    }
    buffer.extend_from_slice(&(-1i16).to_be_bytes());
    copying.send(buffer.as_slice()).await?;
    copying.finish().await?;
    Ok(())
}

/// How much is sent at once, in bytes.
const CHUNK: usize = 1 << 18;

/// A row of the table of events, in the order of the columns that `copy_events` names.
struct EventRow<'a> {
    position: i64,
    version: i64,
    recorded_at: DateTime<Utc>,
    stream: &'a StreamId,
    event: &'a NewEvent,
    metadata: Option<String>,
}

fn event_rows<'a>(append: &'a Append, judged: &'a Judged) -> impl Iterator<Item = Result<EventRow<'a>, Fault>> {
    let events =
        append.writes.iter().zip(&judged.lasts).flat_map(|(write, last)| {
            write.events.iter().zip(1..).map(move |(event, n)| (&write.stream, event, last + n))
        });
    events.zip(judged.head + 1..).map(|((stream, event, version), position)| {
        let metadata = metadata_column(event)?;
        Ok(EventRow { position, version, recorded_at: judged.recorded_at, stream, event, metadata })
    })
}

const COLUMNS: i16 = 13;

impl EventRow<'_> {
    fn write(&self, buffer: &mut Vec<u8>) {
        let Self { stream, event, .. } = self;
        buffer.extend_from_slice(&COLUMNS.to_be_bytes());
        field(buffer, &self.position.to_be_bytes());
        field(buffer, &self.version.to_be_bytes());
        field(buffer, &micros(self.recorded_at).to_be_bytes());
        optional(buffer, event.metadata.when().map(|time| micros(time).to_be_bytes()));
        field(buffer, event.id.as_uuid().as_bytes());
        field(buffer, &i64::from(event.schema_version).to_be_bytes());
        field(buffer, tenant_column(stream.tenant()).as_bytes());
        field(buffer, stream.category().as_bytes());
        field(buffer, stream.name().as_bytes());
        field(buffer, event.event_type.as_str().as_bytes());
        optional(buffer, (!event.tags.is_empty()).then(|| text_array(&event.tags)));
        optional(buffer, self.metadata.as_deref());
        field(buffer, &event.payload);
    }
}

fn length(bytes: &[u8]) -> [u8; 4] {
    i32::try_from(bytes.len()).unwrap_or(i32::MAX).to_be_bytes()
}

fn field(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.extend_from_slice(&length(bytes));
    buffer.extend_from_slice(bytes);
}

fn optional(buffer: &mut Vec<u8>, bytes: Option<impl AsRef<[u8]>>) {
    match bytes {
        Some(bytes) => field(buffer, bytes.as_ref()),
        None => buffer.extend_from_slice(&(-1i32).to_be_bytes()),
    }
}

/// Microseconds since 2000, in which the server counts.
fn micros(time: DateTime<Utc>) -> i64 {
    const EPOCH: i64 = 946_684_800_000_000;
    time.timestamp_micros().saturating_sub(EPOCH)
}

/// One dimension, no NULLs, elements of type `text`, counted from 1.
fn text_array(tags: &[Tag]) -> Vec<u8> {
    const TEXT: i32 = 25;
    let count = i32::try_from(tags.len()).unwrap_or(i32::MAX);
    let mut array: Vec<u8> = [1, 0, TEXT, count, 1].iter().flat_map(|number: &i32| number.to_be_bytes()).collect();
    tags.iter().for_each(|tag| field(&mut array, tag.as_str().as_bytes()));
    array
}
