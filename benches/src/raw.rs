//! What SQLite does without us: the limits.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde::Deserialize;

use crate::Result;

/// Rows of the events table as a run of ours wrote them, with the statements that made the table and its indexes: so
/// that the limit has the columns, the indexes and the stream pattern of ours, whatever they become.
#[derive(Debug)]
pub(crate) struct Events {
    table: String,
    indexes: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Events {
    /// Reads them from a database of ours.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let connection = open_read_only(file)?;
        let statement = "SELECT sql FROM sqlite_schema WHERE type = ?1 AND tbl_name = 'events' AND sql IS NOT NULL";
        let made_by = |kind: &str| -> Result<Vec<String>> {
            let mut statement = connection.prepare(statement)?;
            let texts = statement.query_map([kind], |row| row.get(0))?;
            Ok(texts.collect::<rusqlite::Result<_>>()?)
        };
        let table = made_by("table")?.pop().ok_or("the database of ours has no table `events`")?;
        let indexes = made_by("index")?;
        let mut statement = connection.prepare("SELECT * FROM events ORDER BY position")?;
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self { table, indexes, rows })
    }

    /// Inserts each row in a transaction of its own, as durable as ours, on one connection: how many a second.
    pub(crate) fn commit_singly(&self, file: &Path, indexed: bool) -> Result<f64> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(&self.table)?;
        if indexed {
            self.indexes.iter().try_for_each(|index| connection.execute_batch(index))?;
        }
        let columns = self.rows.first().map_or(0, Vec::len);
        let binds = vec!["?"; columns].join(", ");
        let mut insert = connection.prepare(&format!("INSERT INTO events VALUES ({binds})"))?;
        let begun = Instant::now();
        for row in &self.rows {
            insert.execute(params_from_iter(row))?;
        }
        Ok(rate(self.rows.len(), begun))
    }
}

/// The content of a payload, by its type: what a program that knows nothing of events would decode it into.
#[derive(Debug, Deserialize)]
struct Opened {
    #[expect(dead_code, reason = "it is decoded to be measured")]
    owner: String,
}

#[derive(Debug, Deserialize)]
struct Booked {
    cents: i64,
    #[expect(dead_code, reason = "it is decoded to be measured")]
    purpose: String,
}

#[derive(Debug)]
enum Decoded {
    Opened(#[expect(dead_code, reason = "it is decoded to be measured")] Opened),
    Deposited(Booked),
    Withdrawn(Booked),
}

/// Reads type and payload of every event in the order of the log and decodes the payload: how many a second.
pub(crate) fn scan_and_decode(file: &Path, table: &str) -> Result<f64> {
    let connection = open_read_only(file)?;
    let begun = Instant::now();
    let mut statement = connection.prepare(&format!("SELECT event_type, payload FROM {table} ORDER BY position"))?;
    let mut rows = statement.query([])?;
    let (mut events, mut cents) = (0_usize, 0_i64);
    while let Some(row) = rows.next()? {
        let decoded = decode(row.get_ref(0)?.as_bytes()?, row.get_ref(1)?.as_bytes()?)?;
        cents += match &decoded {
            Decoded::Opened(_) => 0,
            Decoded::Deposited(booked) => booked.cents,
            Decoded::Withdrawn(booked) => -booked.cents,
        };
        black_box(&decoded);
        events += 1;
    }
    black_box(cents);
    Ok(rate(events, begun))
}

fn decode(event_type: &[u8], payload: &[u8]) -> Result<Decoded> {
    Ok(match event_type {
        b"Opened" => Decoded::Opened(serde_json::from_slice(payload)?),
        b"Deposited" => Decoded::Deposited(serde_json::from_slice(payload)?),
        b"Withdrawn" => Decoded::Withdrawn(serde_json::from_slice(payload)?),
        other => return Err(format!("an event of an unknown type, {}", String::from_utf8_lossy(other)).into()),
    })
}

/// Makes a table in a file of its own that holds what [`scan_and_decode`] reads and nothing else.
pub(crate) fn copy_bare(from: &Path, to: &Path) -> Result<()> {
    let connection = Connection::open(to)?;
    connection.execute_batch("CREATE TABLE bare (position INTEGER PRIMARY KEY, event_type TEXT, payload TEXT)")?;
    connection.execute("ATTACH ?1 AS ours", [path_text(from)?])?;
    connection
        .execute_batch("INSERT INTO bare SELECT position, event_type, payload FROM ours.events ORDER BY position")?;
    Ok(())
}

/// How many a second, since `begun`.
pub(crate) fn rate(count: usize, begun: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate of fewer than 2^52 things")]
    let count = count as f64;
    count / begun.elapsed().as_secs_f64()
}

fn open_read_only(file: &Path) -> Result<Connection> {
    Ok(Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?)
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| format!("{} is not Unicode", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("ours.db");
        let connection = Connection::open(&file).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE events (position INTEGER PRIMARY KEY, event_type TEXT, payload TEXT);
                 CREATE UNIQUE INDEX by_type ON events (event_type, position);
                 INSERT INTO events VALUES (1, 'Opened', '{\"owner\":\"Jana\"}');
                 INSERT INTO events VALUES (2, 'Deposited', '{\"cents\":5,\"purpose\":\"\"}');",
            )
            .unwrap();
        file
    }

    #[test]
    fn the_limit_has_the_rows_and_indexes_of_ours_and_the_bare_table_only_the_rows() {
        let folder = tempfile::tempdir().unwrap();
        let events = Events::read(&ours(folder.path())).unwrap();
        for (indexed, name) in [(true, "limit.db"), (false, "bare.db")] {
            let file = folder.path().join(name);
            assert!(events.commit_singly(&file, indexed).unwrap() > 0.0);
            let copied = Events::read(&file).unwrap();
            assert_eq!(copied.rows, events.rows);
            assert_eq!(copied.indexes.len(), usize::from(indexed));
        }
    }

    #[test]
    fn a_scan_decodes_every_event_and_an_unknown_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (file, bare) = (ours(folder.path()), folder.path().join("bare.db"));
        copy_bare(&file, &bare).unwrap();
        assert!(scan_and_decode(&file, "events").unwrap() > 0.0);
        assert!(scan_and_decode(&bare, "bare").unwrap() > 0.0);
        Connection::open(&bare).unwrap().execute_batch("UPDATE bare SET event_type = 'Closed'").unwrap();
        assert!(scan_and_decode(&bare, "bare").is_err());
    }
}
