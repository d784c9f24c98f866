//! Rows inserted into a table of ours, as durably as ours.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, types::Oid};
use sqlx::{Encode, Executor, PgConnection, Postgres, Type};
use uuid::Uuid;

use super::{connect, tables};
use crate::Result;
use crate::prepare::new_event;
use crate::window::{Caller, together};
use crate::work::{Size, StoreKind};

/// From how many rows on COPY is faster than arrays.
const COPY_FROM: usize = 1_000;

/// JSON as it is, bound as what its column holds.
struct Json(String);

impl Type<Postgres> for Json {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(114))
    }
}

impl PgHasArrayType for Json {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(199))
    }
}

impl Encode<'_, Postgres> for Json {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> std::result::Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// One row of an event that has just happened.
struct Row {
    id: Uuid,
    event_type: String,
    payload: Json,
}

impl Row {
    fn numbered(number: u64) -> Result<Self> {
        let event = new_event(number)?;
        let payload = Json(String::from_utf8(event.payload.to_vec())?);
        Ok(Self { id: event.id.as_uuid(), event_type: event.event_type.as_str().to_owned(), payload })
    }
}

/// A connection that inserts, its streams in turns.
struct Inserter {
    connection: PgConnection,
    streams: Vec<(String, i64)>,
    rows: usize,
    sent: u64,
}

impl Inserter {
    async fn connect(url: &str, number: usize, streams: usize, rows: usize) -> Result<Self> {
        let streams = (0..streams).map(|stream| (format!("account-{number}x{stream}"), 0)).collect();
        Ok(Self { connection: connect(url).await?, streams, rows, sent: 0 })
    }
}

impl Caller for Inserter {
    async fn call(&mut self) -> Result<()> {
        let turn = usize::try_from(self.sent)? % self.streams.len();
        let (stream, version) = &mut self.streams[turn];
        let first = self.sent * self.rows as u64;
        self.sent += 1;
        match self.rows {
            1 => single(&mut self.connection, stream, version, Row::numbered(first)?).await,
            rows => {
                let rows: Result<Vec<_>> = (first..first + rows as u64).map(Row::numbered).collect();
                let connection = &mut self.connection;
                if self.rows < COPY_FROM {
                    arrays(connection, stream, version, rows?).await
                } else {
                    copy(connection, stream, version, rows?).await
                }
            }
        }
    }
}

/// A transaction of one row.
async fn single(connection: &mut PgConnection, stream: &str, version: &mut i64, row: Row) -> Result<()> {
    *version += 1;
    let insert = "INSERT INTO raw.events (version, id, stream, event_type, payload) VALUES ($1, $2, $3, $4, $5)";
    let insert = sqlx::query(insert).bind(*version).bind(row.id).bind(stream).bind(row.event_type).bind(row.payload);
    connection.execute(insert).await?;
    Ok(())
}

/// A transaction of many rows, one array for each column.
async fn arrays(connection: &mut PgConnection, stream: &str, version: &mut i64, rows: Vec<Row>) -> Result<()> {
    let (mut versions, mut ids, mut streams) = (Vec::new(), Vec::new(), Vec::new());
    let (mut types, mut payloads) = (Vec::new(), Vec::new());
    for row in rows {
        *version += 1;
        versions.push(*version);
        ids.push(row.id);
        streams.push(stream);
        types.push(row.event_type);
        payloads.push(row.payload);
    }
    let insert = "INSERT INTO raw.events (version, id, stream, event_type, payload)
                  SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::json[])";
    let insert = sqlx::query(insert).bind(versions).bind(ids).bind(streams).bind(types).bind(payloads);
    connection.execute(insert).await?;
    Ok(())
}

/// A transaction of many rows, as text.
async fn copy(connection: &mut PgConnection, stream: &str, version: &mut i64, rows: Vec<Row>) -> Result<()> {
    use std::fmt::Write;

    let mut text = String::with_capacity(rows.len() * 200);
    for Row { id, event_type, payload } in rows {
        *version += 1;
        writeln!(text, "{version}\t{id}\t{stream}\t{event_type}\t{}", payload.0)?;
    }
    let mut copy =
        connection.copy_in_raw("COPY raw.events (version, id, stream, event_type, payload) FROM STDIN").await?;
    copy.send(text.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Transactions of one row on so many connections: how many a second.
pub(super) async fn commits(url: &str, connections: usize, bare: bool, size: Size) -> Result<f64> {
    tables::events(url, bare).await?;
    let each = size.streams().div_ceil(connections);
    let mut inserters = Vec::with_capacity(connections);
    for number in 0..connections {
        inserters.push(Inserter::connect(url, number, each, 1).await?);
    }
    together(inserters, size.window(StoreKind::Postgres, each), async { Ok(()) }).await
}

/// Transactions of so many rows of one stream, on one connection: how many rows a second.
pub(super) async fn batches(url: &str, rows: usize, bare: bool, size: Size) -> Result<f64> {
    tables::events(url, bare).await?;
    let inserter = Inserter::connect(url, 0, size.streams(), rows).await?;
    let mut window = size.window(StoreKind::Postgres, 2);
    window.calls = window.calls.div_ceil(rows as u64).max(2);
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(together(vec![inserter], window, async { Ok(()) }).await? * rows as f64)
}
