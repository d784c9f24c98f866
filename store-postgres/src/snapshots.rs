//! Saved states of aggregates.

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{At, Bounds, Fault, FaultKind, LogId, Snapshot, SnapshotError, SnapshotKey, SnapshotStore, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::append::at;
use crate::columns::{column, tenant_column};
use crate::error::fault;
use crate::store::PostgresStore;

#[async_trait]
impl SnapshotStore for PostgresStore {
    async fn save(&self, snapshot: Snapshot, keep: usize) -> Result<(), SnapshotError> {
        let Snapshot { key, bounds, state } = &snapshot;
        let query = || {
            sqlx::query(self.db.sql.save_snapshot.clone())
                .bind(key.stream.name())
                .bind(tenant_column(key.stream.tenant()))
                .bind(i64::from(key.schema))
                .bind(column(bounds.version.get()))
                .bind(bounds.position.as_i64())
                .bind(bounds.recorded_at)
                .bind(bounds.occurred_at)
                .bind(&state[..])
                .bind(count(keep))
        };
        self.db.fetch(query).await.map_err(fault)?;
        Ok(())
    }

    async fn newest(&self, key: &SnapshotKey, at: Option<&At>) -> Result<Option<Snapshot>, SnapshotError> {
        let (mut version, mut position, mut recorded, mut occurred) = (None, None, None, None);
        match at {
            None => {}
            Some(At::Version(asked)) => version = Some(column(asked.get())),
            Some(At::Position(cursor)) => position = Some(cursor.get(LogId::FIRST).as_i64()),
            Some(At::Recorded(time)) => recorded = Some(within_range(*time)),
            Some(At::Occurred(time)) => occurred = Some(within_range(*time)),
        }
        let query = || {
            sqlx::query(self.db.sql.newest_snapshot.clone())
                .bind(key.stream.name())
                .bind(tenant_column(key.stream.tenant()))
                .bind(i64::from(key.schema))
                .bind(version)
                .bind(position)
                .bind(recorded)
                .bind(occurred)
        };
        let rows = self.db.fetch(query).await.map_err(fault)?;
        Ok(rows.first().map(|row| snapshot(key, row)).transpose()?)
    }

    async fn prune(&self, key: &SnapshotKey, keep: usize) -> Result<(), SnapshotError> {
        let query = || {
            sqlx::query(self.db.sql.prune_snapshots.clone())
                .bind(key.stream.name())
                .bind(tenant_column(key.stream.tenant()))
                .bind(i64::from(key.schema))
                .bind(count(keep))
        };
        self.db.fetch(query).await.map_err(fault)?;
        Ok(())
    }
}

fn count(keep: usize) -> i64 {
    i64::try_from(keep).unwrap_or(i64::MAX)
}

/// A time that PostgreSQL can hold: what is asked about the year -5000 is the same as what is asked about -4000.
fn within_range(time: DateTime<Utc>) -> DateTime<Utc> {
    const EARLIEST: i64 = -188_000_000_000;
    time.max(DateTime::from_timestamp(EARLIEST, 0).unwrap_or_default())
}

fn snapshot(key: &SnapshotKey, row: &PgRow) -> Result<Snapshot, Fault> {
    let version: i64 = row.try_get(0).map_err(fault)?;
    let version = u64::try_from(version).ok().and_then(|number| Version::new(number).ok());
    let version = version.ok_or_else(|| {
        Fault::new(FaultKind::Corrupt, format!("a snapshot of {} has no possible version", key.stream))
    })?;
    let bounds = Bounds {
        log: LogId::FIRST,
        version,
        position: at(row.try_get(1).map_err(fault)?),
        recorded_at: row.try_get(2).map_err(fault)?,
        occurred_at: row.try_get(3).map_err(fault)?,
    };
    let state = Bytes::copy_from_slice(row.try_get(4).map_err(fault)?);
    Ok(Snapshot { key: key.clone(), bounds, state })
}
