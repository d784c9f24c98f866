//! Saved states of aggregates.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{At, Bounds, LogId, Snapshot, SnapshotError, SnapshotKey, SnapshotStore, Version};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

use crate::append::{at, column, tenant_column};
use crate::store::SqliteStore;

#[async_trait]
impl SnapshotStore for SqliteStore {
    async fn save(&self, snapshot: Snapshot, keep: usize) -> Result<(), SnapshotError> {
        let size = snapshot.state.len();
        let work = move |inside: &mut crate::inside::Inside<'_>| {
            save(inside.conn, &snapshot)?;
            Ok(prune(inside.conn, &snapshot.key, keep)?)
        };
        self.writer.submit(size, work).await
    }

    async fn newest(&self, key: &SnapshotKey, at: Option<&At>) -> Result<Option<Snapshot>, SnapshotError> {
        let (key, at) = (key.clone(), at.cloned());
        self.readers.read(move |conn| Ok(newest(conn, &key, at.as_ref())?)).await
    }

    async fn prune(&self, key: &SnapshotKey, keep: usize) -> Result<(), SnapshotError> {
        let key = key.clone();
        self.writer.submit(0, move |inside| Ok(prune(inside.conn, &key, keep)?)).await
    }
}

fn save(conn: &Connection, snapshot: &Snapshot) -> rusqlite::Result<()> {
    let Snapshot { key, bounds, state } = snapshot;
    let mut save = conn.prepare_cached(include_str!("sql/save_snapshot.sql"))?;
    save.execute(params![
        tenant_column(key.stream.tenant()),
        key.stream.name(),
        key.schema,
        column(bounds.version.get()),
        bounds.position.as_i64(),
        bounds.recorded_at.timestamp_micros(),
        bounds.occurred_at.timestamp_micros(),
        &state[..],
    ])?;
    Ok(())
}

fn prune(conn: &Connection, key: &SnapshotKey, keep: usize) -> rusqlite::Result<()> {
    let mut prune = conn.prepare_cached(include_str!("sql/prune_snapshots.sql"))?;
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    prune.execute(params![key.stream.name(), tenant_column(key.stream.tenant()), key.schema, keep])?;
    Ok(())
}

/// Few are kept of each, so they are looked at from the newest.
fn newest(conn: &Connection, key: &SnapshotKey, asked: Option<&At>) -> rusqlite::Result<Option<Snapshot>> {
    let mut select = conn.prepare_cached(include_str!("sql/snapshots.sql"))?;
    let mut rows = select.query(params![key.stream.name(), tenant_column(key.stream.tenant()), key.schema])?;
    while let Some(row) = rows.next()? {
        let bounds = bounds(row)?;
        if asked.is_none_or(|asked| bounds.within(asked)) {
            let state = Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?);
            return Ok(Some(Snapshot { key: key.clone(), bounds, state }));
        }
    }
    Ok(None)
}

fn bounds(row: &Row<'_>) -> rusqlite::Result<Bounds> {
    let damaged = |column| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, "a number that is out of its range".into())
    };
    let time = |column| -> rusqlite::Result<DateTime<Utc>> {
        DateTime::from_timestamp_micros(row.get(column)?).ok_or_else(|| damaged(column))
    };
    let version = u64::try_from(row.get::<_, i64>(0)?).ok().and_then(|number| Version::new(number).ok());
    Ok(Bounds {
        log: LogId::FIRST,
        version: version.ok_or_else(|| damaged(0))?,
        position: at(row.get(1)?),
        recorded_at: time(2)?,
        occurred_at: time(3)?,
    })
}
