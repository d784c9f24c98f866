//! Leases: who keeps which read model current. Each change is one statement.

use factum::{Fault, FaultKind, Lease, LeaseError, LeaseHolder, LeaseName, TakeLease};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns::column;
use crate::db::Db;
use crate::error::fault;
use crate::read_models_row::{self as row, Failed};

/// Columns from `first`: name, holder, counter, since, note.
fn lease(row: &PgRow, first: usize) -> Result<Lease, Fault> {
    let read = || -> Result<Lease, Failed> {
        let named = |_| Failed::Damaged("a name that is none".to_owned());
        Ok(Lease {
            name: LeaseName::new(row.try_get::<&str, _>(first)?).map_err(named)?,
            holder: LeaseHolder::new(row.try_get::<&str, _>(first + 1)?).map_err(named)?,
            counter: row::count(row, first + 2)?,
            since: row::time(row, first + 3)?,
            note: row.try_get(first + 4)?,
        })
    };
    read().map_err(|failed| match failed {
        Failed::Sql(error) => fault(error),
        Failed::Damaged(what) => Fault::new(FaultKind::Corrupt, format!("a lease is damaged: {what}")),
    })
}

/// Every lease that somebody has, by name.
pub(crate) async fn all(db: &Db) -> Result<Vec<Lease>, Fault> {
    let rows = db.fetch(|| sqlx::query(db.sql.leases.clone())).await.map_err(fault)?;
    rows.iter().map(|row| lease(row, 0)).collect()
}

/// It is sent once: whoever is not answered tries again, and has it already if it was taken.
pub(crate) async fn take(db: &Db, take: &TakeLease) -> Result<Lease, LeaseError> {
    let (seen, raise) = (take.seen.as_ref(), take.raise.as_ref());
    let logs: Vec<i64> = raise.iter().flat_map(|raise| &raise.logs).map(|log| i64::from(log.get())).collect();
    let query = sqlx::query(db.sql.take_lease.clone())
        .bind(take.name.as_str())
        .bind(take.holder.as_str())
        .bind(&take.note)
        .bind(seen.map(|seen| seen.holder.as_str()))
        .bind(seen.map(|seen| column(seen.counter)))
        .bind(raise.map(|raise| raise.projection.as_str()))
        .bind(raise.map(|raise| i64::from(raise.version.0)))
        .bind(raise.map(|raise| row::state_column(raise.state)))
        .bind(logs);
    let rows = db.once(query).await.map_err(fault)?;
    let row = rows.first().ok_or_else(|| Fault::new(FaultKind::Corrupt, "no answer to the wish for a lease"))?;
    let lease = lease(row, 1)?;
    if row.try_get(0).map_err(fault)? { Ok(lease) } else { Err(LeaseError::Held { lease: Box::new(lease) }) }
}

/// Raises the counter of every lease of a holder.
pub(crate) async fn renew(db: &Db, holder: &LeaseHolder) -> Result<Vec<Lease>, Fault> {
    let query = sqlx::query(db.sql.renew_leases.clone()).bind(holder.as_str());
    let rows = db.once(query).await.map_err(fault)?;
    let mut renewed = rows.iter().map(|row| lease(row, 0)).collect::<Result<Vec<_>, _>>()?;
    renewed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(renewed)
}

/// Gives a lease back as it was seen.
pub(crate) async fn release(db: &Db, lease: &Lease) -> Result<bool, Fault> {
    let Lease { name, holder, counter, .. } = lease;
    let query = sqlx::query(db.sql.release_lease.clone());
    let query = query.bind(name.as_str()).bind(holder.as_str()).bind(column(*counter));
    Ok(!db.once(query).await.map_err(fault)?.is_empty())
}
