//! Rows selected from the tables of ours, and from bare copies of them.

use std::hint::black_box;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use super::connect;
use crate::Result;
use crate::limit::decode::{cents, decode};
use crate::projections::Balance;
use crate::window::{Caller, Window, milliseconds, together};
use crate::work::{Size, StoreKind};

const COLUMNS: &str = "position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, \
                       event_type, tags, metadata, payload";

/// The columns of ours as values, the payload decoded; texts are not copied.
fn typed(row: &PgRow) -> Result<i64> {
    let event = decode(row.try_get(9)?, json(row, 12)?)?;
    black_box::<(i64, i64, i64)>((row.try_get(0)?, row.try_get(1)?, row.try_get(5)?));
    black_box::<(DateTime<Utc>, Option<DateTime<Utc>>)>((row.try_get(2)?, row.try_get(3)?));
    black_box::<(Uuid, &str, &str)>((row.try_get(4)?, row.try_get(6)?, row.try_get(8)?));
    black_box::<Option<Vec<String>>>(row.try_get(10)?);
    Ok(cents(&black_box(event)))
}

/// The type and payload alone, decoded.
fn payload(row: &PgRow) -> Result<i64> {
    Ok(cents(&black_box(decode(row.try_get(0)?, json(row, 1)?)?)))
}

/// A column of JSON as it came.
fn json(row: &PgRow, column: usize) -> Result<&[u8]> {
    row.try_get_raw(column)?.as_bytes()
}

type Typed = fn(&PgRow) -> Result<i64>;

fn table(bare: bool) -> (&'static str, &'static str, Typed) {
    if bare { ("event_type, payload", "raw.bare", payload) } else { (COLUMNS, "factum.events", typed) }
}

/// Every event in the order of the log: how many a second.
pub(super) async fn scan(url: &str, bare: bool, expected: usize, size: Size) -> Result<f64> {
    let (columns, table, _) = table(bare);
    let in_order = format!("SELECT {columns} FROM {table} ORDER BY position");
    let passes = select(url, in_order, Keys::None, bare, Some(expected), size.passes()).await?;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events")]
    Ok(passes * expected as f64)
}

/// Selects again and again.
struct Selector {
    connection: PgConnection,
    select: String,
    keys: Keys,
    bare: bool,
    /// How many rows, where that is known.
    expected: Option<usize>,
}

/// What is selected.
enum Keys {
    /// All there is.
    None,
    /// The events of aggregates, in turns.
    Streams { of: usize, next: usize },
    /// Documents by chance.
    Documents { of: usize, random: fastrand::Rng },
}

impl Keys {
    fn next(&mut self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Streams { of, next } => {
                *next += 1;
                Some(format!("account-{}", *next % *of))
            }
            Self::Documents { of, random } => Some(random.usize(..*of).to_string()),
        }
    }
}

impl Caller for Selector {
    async fn call(&mut self) -> Result<()> {
        let key = self.keys.next();
        let query = sqlx::query(AssertSqlSafe(self.select.clone()));
        let query = if let Some(key) = &key { query.bind(key) } else { query };
        let mut rows = query.fetch(&mut self.connection);
        let typed = match self.keys {
            Keys::Documents { .. } => document,
            _ => table(self.bare).2,
        };
        let (mut count, mut sum) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            sum += typed(&row)?;
            count += 1;
        }
        black_box(sum);
        if count == self.expected.unwrap_or(count.max(1)) {
            return Ok(());
        }
        Err(format!("{count} rows came for key {key:?}").into())
    }
}

fn document(row: &PgRow) -> Result<i64> {
    black_box(serde_json::from_slice::<Balance>(json(row, 0)?)?);
    Ok(0)
}

async fn select(
    url: &str,
    select: String,
    keys: Keys,
    bare: bool,
    expected: Option<usize>,
    window: Window,
) -> Result<f64> {
    let selector = Selector { connection: connect(url).await?, select, keys, bare, expected };
    together(vec![selector], window, async { Ok(()) }).await
}

fn keyed(size: Size) -> Window {
    size.window(StoreKind::Postgres, 10)
}

/// The events of one stream: how many milliseconds.
pub(super) async fn load(url: &str, bare: bool, size: Size) -> Result<f64> {
    let (columns, table, _) = table(bare);
    let tenant = if bare { "" } else { "AND tenant = ''" };
    let by_stream = format!("SELECT {columns} FROM {table} WHERE stream = $1 {tenant} ORDER BY version");
    let keys = Keys::Streams { of: size.aggregates(), next: 0 };
    Ok(milliseconds(select(url, by_stream, keys, bare, None, keyed(size)).await?))
}

/// A document by its key, decoded: how many a second. From the live read model, or from a table of keys and documents.
pub(super) async fn lookups(url: &str, bare: bool, size: Size) -> Result<f64> {
    let keys = Keys::Documents { of: size.streams(), random: fastrand::Rng::with_seed(2378) };
    if bare {
        return select(url, "SELECT body FROM raw.bare WHERE key = $1".to_owned(), keys, bare, Some(1), keyed(size))
            .await;
    }
    let mut connection = connect(url).await?;
    let live = sqlx::query_scalar("SELECT id FROM factum.generations WHERE state = 'live'");
    let live: i64 = live.fetch_one(&mut connection).await?;
    let by_key =
        format!("SELECT body FROM factum.documents WHERE generation = {live} AND tenant = '' AND key = $1 AND log = 0");
    select(url, by_key, keys, bare, Some(1), keyed(size)).await
}
