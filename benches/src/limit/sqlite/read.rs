//! Rows selected from the tables of ours, and from bare copies of them.

use std::hint::black_box;
use std::path::Path;

use factum::EventId;
use rusqlite::{Connection, OpenFlags, Row, Statement};

use crate::Result;
use crate::limit::decode::{cents, decode};
use crate::projections::Balance;
use crate::window::{alone, milliseconds};
use crate::work::{Size, StoreKind, Work};

const COLUMNS: &str = "position, recorded_at, tenant, stream, version, event_type, schema_version, id, occurred_at, \
                       tags, metadata, payload";

/// The columns of ours as values, the payload decoded; texts are not copied.
fn typed(row: &Row<'_>) -> Result<i64> {
    let event = decode(row.get_ref(5)?.as_str()?, row.get_ref(11)?.as_bytes()?)?;
    black_box::<(i64, i64, i64, i64)>((row.get(0)?, row.get(1)?, row.get(4)?, row.get(6)?));
    black_box((row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?));
    black_box::<(EventId, Option<i64>)>((uuid::Uuid::from_slice(row.get_ref(7)?.as_blob()?)?.into(), row.get(8)?));
    black_box((row.get_ref(9)?.as_str_or_null()?, row.get_ref(10)?.as_str_or_null()?));
    Ok(cents(&black_box(event)))
}

/// The type and payload alone, decoded.
fn payload(row: &Row<'_>) -> Result<i64> {
    Ok(cents(&black_box(decode(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_bytes()?)?)))
}

type Typed = fn(&Row<'_>) -> Result<i64>;

fn table(bare: bool) -> (&'static str, &'static str, Typed) {
    if bare { ("event_type, payload", "bare", payload) } else { (COLUMNS, "events", typed) }
}

/// Every event in the order of the log: how many a second.
pub(super) fn scan(file: &Path, bare: bool, expected: usize, size: Size) -> Result<f64> {
    let connection = open(file, bare)?;
    let (columns, table, typed) = table(bare);
    let mut select = connection.prepare(&format!("SELECT {columns} FROM {table} ORDER BY position"))?;
    let passes = alone(size.passes(), || {
        let mut rows = select.query([])?;
        let (mut events, mut sum) = (0, 0);
        while let Some(row) = rows.next()? {
            sum += typed(row)?;
            events += 1;
        }
        black_box(sum);
        if events == expected { Ok(()) } else { Err(format!("{events} events instead of {expected}").into()) }
    })?;
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events")]
    Ok(passes * expected as f64)
}

/// The events of one stream: how many milliseconds.
pub(super) fn load(file: &Path, bare: bool, size: Size) -> Result<f64> {
    let connection = open(file, bare)?;
    let (columns, table, typed) = table(bare);
    let tenant = if bare { "" } else { "AND tenant = ''" };
    let select = format!("SELECT {columns} FROM {table} WHERE stream = ?1 {tenant} ORDER BY version");
    let mut select = connection.prepare(&select)?;
    let (mut sum, mut loaded) = (0, 0);
    let rate = alone(size.window(StoreKind::Sqlite, 2), || {
        let mut rows = select.query([format!("account-{}", loaded % size.aggregates())])?;
        loaded += 1;
        while let Some(row) = rows.next()? {
            sum += typed(row)?;
        }
        Ok(())
    })?;
    black_box(sum);
    Ok(milliseconds(rate))
}

/// A document by its key, decoded: how many a second. From the live read model, or from a table of keys and documents.
pub(super) fn lookups(file: &Path, bare: bool, size: Size) -> Result<f64> {
    let connection = open(file, bare)?;
    if bare {
        return look_up(connection.prepare("SELECT body FROM bare WHERE key = ?1")?, size);
    }
    let live: i64 = connection.query_row("SELECT id FROM generations WHERE state = 'live'", [], |row| row.get(0))?;
    let select =
        format!("SELECT body FROM documents WHERE generation = {live} AND tenant = '' AND key = ?1 AND log = 0");
    look_up(connection.prepare(&select)?, size)
}

fn look_up(mut select: Statement<'_>, size: Size) -> Result<f64> {
    let mut random = fastrand::Rng::with_seed(2378);
    alone(size.window(StoreKind::Sqlite, 100), || {
        let key = random.usize(..size.streams()).to_string();
        let mut rows = select.query([&key])?;
        let row = rows.next()?.ok_or_else(|| format!("document {key} is not there"))?;
        black_box(serde_json::from_slice::<Balance>(row.get_ref(0)?.as_bytes()?)?);
        Ok(())
    })
}

fn open(file: &Path, bare: bool) -> Result<Connection> {
    let file = if bare { file.with_file_name("bare.db") } else { file.to_path_buf() };
    Ok(Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

/// Copies what the bare side of a workload reads into a file of its own.
pub(crate) fn prepare(work: Work, ours: &Path, folder: &Path) -> Result<()> {
    let connection = Connection::open(folder.join("bare.db"))?;
    connection.execute("ATTACH ?1 AS ours", [ours.to_str().ok_or("a path that is not Unicode")?])?;
    connection.execute_batch(match work {
        Work::GetAt => {
            "CREATE TABLE bare (key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID;
             INSERT INTO bare SELECT key, body FROM ours.documents ORDER BY key;"
        }
        // A stream's events lie together, as they do in no log.
        Work::Load { .. } => {
            "CREATE TABLE bare (stream TEXT, version INTEGER, event_type TEXT, payload TEXT,
                                PRIMARY KEY (stream, version)) WITHOUT ROWID;
             INSERT INTO bare SELECT stream, version, event_type, payload FROM ours.events ORDER BY stream, version;"
        }
        _ => {
            "CREATE TABLE bare (position INTEGER PRIMARY KEY, event_type TEXT, payload TEXT);
             INSERT INTO bare SELECT position, event_type, payload FROM ours.events ORDER BY position;"
        }
    })?;
    Ok(())
}
