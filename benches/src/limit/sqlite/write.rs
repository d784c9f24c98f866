//! Rows inserted into a table of ours, as durably as ours.

use std::path::Path;

use factum_sqlite::SqliteStore;
use rusqlite::{Connection, OpenFlags, params};

use crate::Result;
use crate::place::ours;
use crate::prepare::new_event;
use crate::window::alone;
use crate::work::{Size, StoreKind};

/// The statements that made the events table of ours and its indexes, whatever they become.
struct Made {
    table: String,
    indexes: Vec<String>,
}

impl Made {
    /// Reads them from a store of ours.
    fn by(file: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let made_by = |kind: &str| -> Result<Vec<String>> {
            let mut statement = connection
                .prepare("SELECT sql FROM sqlite_schema WHERE type = ?1 AND tbl_name = 'events' AND sql IS NOT NULL")?;
            let texts = statement.query_map([kind], |row| row.get(0))?;
            Ok(texts.collect::<rusqlite::Result<_>>()?)
        };
        let table = made_by("table")?.pop().ok_or("the database of ours has no table `events`")?;
        Ok(Self { table, indexes: made_by("index")? })
    }
}

const INSERT: &str = "INSERT INTO events (position, recorded_at, tenant, stream, version, event_type, schema_version,
                                         id, occurred_at, tags, metadata, payload)
                      VALUES (?1, ?2, '', ?3, ?4, ?5, 1, ?6, NULL, NULL, NULL, ?7)";

/// Transactions of so many rows of one stream, the streams in turns: how many rows a second.
pub(super) fn commits(folder: &Path, rows: usize, bare: bool, size: Size) -> Result<f64> {
    let file = ours(folder);
    drop(SqliteStore::open(&file)?);
    let connection = table(&folder.join("limit.db"), &Made::by(&file)?, bare)?;
    let mut insert = connection.prepare(INSERT)?;
    let (mut begin, mut commit) = (connection.prepare("BEGIN IMMEDIATE")?, connection.prepare("COMMIT")?);
    let streams: Vec<_> = (0..size.streams()).map(|number| format!("account-{number}")).collect();
    let mut versions = vec![0_i64; streams.len()];
    let mut position = 0_i64;
    let mut row = |turn: usize| -> Result<()> {
        position += 1;
        versions[turn] += 1;
        let event = new_event(position.unsigned_abs())?;
        let id = event.id.as_uuid().into_bytes();
        let (event_type, payload) = (event.event_type.as_str(), std::str::from_utf8(&event.payload)?);
        let now = chrono::Utc::now().timestamp_micros();
        insert.execute(params![position, now, streams[turn], versions[turn], event_type, &id[..], payload])?;
        Ok(())
    };
    let warm_up = if rows == 1 { size.streams() } else { 2 };
    let mut turn = 0;
    let rate = alone(size.window(StoreKind::Sqlite, warm_up), || {
        turn = (turn + 1) % streams.len();
        if rows == 1 {
            return row(turn);
        }
        begin.raw_execute()?;
        (0..rows).try_for_each(|_| row(turn))?;
        commit.raw_execute()?;
        Ok(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    Ok(rate * rows as f64)
}

/// A new file with the table, and with its indexes unless `bare`.
fn table(file: &Path, made: &Made, bare: bool) -> Result<Connection> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // As ours has it, and better than SQLite's own.
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.execute_batch(&made.table)?;
    if !bare {
        made.indexes.iter().try_for_each(|index| connection.execute_batch(index))?;
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_has_the_table_and_indexes_of_ours_and_the_bare_one_no_index() {
        let folder = tempfile::tempdir().unwrap();
        let file = ours(folder.path());
        drop(SqliteStore::open(&file).unwrap());
        let made = Made::by(&file).unwrap();
        assert!(made.table.contains("payload") && !made.indexes.is_empty());
        for (bare, name) in [(false, "limit.db"), (true, "bare.db")] {
            let file = folder.path().join(name);
            drop(table(&file, &made, bare).unwrap());
            let copied = Made::by(&file).unwrap();
            assert_eq!(copied.table, made.table);
            assert_eq!(copied.indexes.len(), if bare { 0 } else { made.indexes.len() });
        }
    }
}
