//! What became of the command with a key.

use chrono::{DateTime, Utc};
use factum::{Append, Fault, FaultKind, Fingerprint, Key, LogId, Outcome, Remembered, Versions};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::append::at;
use crate::columns::tenant_column;
use crate::db::{Bound, Db};
use crate::error::fault;
use crate::link::{stream_of, version};
use crate::options::KeyRetention;

/// The time before which keys are forgotten, by this machine's clock.
pub(crate) fn since(retention: KeyRetention) -> DateTime<Utc> {
    match retention {
        KeyRetention::Forever => DateTime::UNIX_EPOCH,
        KeyRetention::For(time) => {
            let since = chrono::TimeDelta::from_std(time).ok().and_then(|time| Utc::now().checked_sub_signed(time));
            since.unwrap_or(DateTime::UNIX_EPOCH)
        }
    }
}

/// The outcome under a key: one statement, a second one where there are several events to tell of.
pub(crate) async fn find(db: &Db, key: &Key, since: DateTime<Utc>) -> Result<Option<Remembered>, Fault> {
    let rows = db.fetch(|| find_key(db, key, since)).await.map_err(fault)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let written = match positions(row)? {
        Some((first, last)) if first < last => {
            db.fetch(|| sqlx::query(db.sql.written.clone()).bind(first).bind(last)).await.map_err(fault)?
        }
        _ => Vec::new(),
    };
    remembered(row, &written).map(Some)
}

/// The outcome under the key of an append, as a transaction sees it.
pub(crate) async fn find_on(
    conn: &mut PgConnection,
    db: &Db,
    append: &Append,
    since: DateTime<Utc>,
) -> Result<Option<Remembered>, Fault> {
    let Some(keyed) = &append.keyed else { return Ok(None) };
    let persistent = !db.behind_pooler();
    let found = find_key(db, &keyed.key, since).persistent(persistent).fetch_all(&mut *conn).await.map_err(fault)?;
    let Some(row) = found.first() else { return Ok(None) };
    let written = match positions(row)? {
        Some((first, last)) if first < last => {
            let bound = sqlx::query(db.sql.written.clone()).bind(first).bind(last);
            bound.persistent(persistent).fetch_all(conn).await.map_err(fault)?
        }
        _ => Vec::new(),
    };
    remembered(row, &written).map(Some)
}

fn find_key(db: &Db, key: &Key, since: DateTime<Utc>) -> Bound<'static> {
    let bound = sqlx::query(db.sql.find_key.clone());
    bound.bind(key.as_str().to_owned()).bind(tenant_column(key.tenant()).to_owned()).bind(since)
}

fn positions(row: &PgRow) -> Result<Option<(i64, i64)>, Fault> {
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get(6).map_err(fault)?, row.try_get(7).map_err(fault)?);
    Ok(first.zip(last))
}

/// `events` are those that were asked for because there are several; one alone is in the row of the key.
fn remembered(row: &PgRow, events: &[PgRow]) -> Result<Remembered, Fault> {
    let fingerprint = Fingerprint::from(row.try_get::<uuid::Uuid, _>(5).map_err(fault)?);
    let refusal: Option<String> = row.try_get(8).map_err(fault)?;
    let outcome = match (positions(row)?, refusal) {
        (Some((first, last)), _) => {
            let alone = row.try_get::<Option<i64>, _>(2).map_err(fault)?.is_some();
            let (recorded_at, versions) = written(if alone { std::slice::from_ref(row) } else { events })?;
            Outcome::Accepted { log: LogId::FIRST, first: at(first), last: at(last), recorded_at, versions }
        }
        (None, Some(reason)) => Outcome::Refused { reason },
        (None, None) => Outcome::Empty,
    };
    Ok(Remembered { fingerprint, outcome })
}

/// The versions that an append gave to its streams, from the rows of the statement `written`.
pub(crate) fn written(rows: &[PgRow]) -> Result<(DateTime<Utc>, Vec<Versions>), Fault> {
    let mut recorded_at = None;
    let mut versions = Vec::with_capacity(rows.len());
    for row in rows {
        let (tenant, stream): (&str, &str) = (row.try_get(0).map_err(fault)?, row.try_get(1).map_err(fault)?);
        let first = version(row.try_get(2).map_err(fault)?)?;
        let last = version(row.try_get(3).map_err(fault)?)?;
        versions.push(Versions { stream: stream_of(tenant, stream)?, first, last });
        recorded_at = Some(row.try_get(4).map_err(fault)?);
    }
    let missing = || Fault::new(FaultKind::Corrupt, "a key names positions where there is no event");
    Ok((recorded_at.ok_or_else(missing)?, versions))
}
