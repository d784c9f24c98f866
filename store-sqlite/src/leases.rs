//! Leases: who keeps which read model current.

use factum::{Lease, LeaseError, LeaseHolder, LeaseName, RaiseEpochs, ReadModelError, TakeLease};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::append::column;
use crate::inside::Inside;
use crate::job::Failed;
use crate::read_models_read::{self as read, bad, number, time};

fn lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    let name = LeaseName::new(row.get_ref(0)?.as_str()?).map_err(|_| bad(0, "a name that is none"))?;
    let holder = LeaseHolder::new(row.get_ref(1)?.as_str()?).map_err(|_| bad(1, "a holder that is none"))?;
    Ok(Lease { name, holder, counter: number(row, 2)?, since: time(row, 3)?, note: row.get(4)? })
}

fn select(conn: &Connection, sql: &str, of: impl Params) -> rusqlite::Result<Vec<Lease>> {
    conn.prepare_cached(sql)?.query_map(of, lease)?.collect()
}

/// Every lease that somebody has, by name.
pub(crate) fn all(conn: &Connection) -> Result<Vec<Lease>, Failed<ReadModelError>> {
    Ok(select(conn, include_str!("sql/leases.sql"), [])?)
}

fn find(conn: &Connection, name: &LeaseName) -> rusqlite::Result<Option<Lease>> {
    conn.prepare_cached(include_str!("sql/find_lease.sql"))?.query_row(params![name.as_str()], lease).optional()
}

/// Whether a lease is as it was seen.
fn is_still(held: &Lease, seen: &Lease) -> bool {
    (&held.holder, held.counter) == (&seen.holder, seen.counter)
}

pub(crate) fn take(inside: &mut Inside<'_>, take: &TakeLease) -> Result<Lease, Failed<LeaseError>> {
    let conn = inside.conn;
    let held = find(conn, &take.name)?;
    let counter = match held {
        None => 1,
        Some(held) if held.holder == take.holder || take.seen.as_ref().is_some_and(|seen| is_still(&held, seen)) => {
            held.counter.saturating_add(1)
        }
        Some(held) => return Err(Failed::Answer(LeaseError::Held { lease: Box::new(held) })),
    };
    let columns = params![take.name.as_str(), take.holder.as_str(), column(counter), inside.now, &take.note];
    conn.prepare_cached(include_str!("sql/put_lease.sql"))?.execute(columns)?;
    if let Some(of) = &take.raise {
        raise(conn, of)?;
    }
    // What was just written is there.
    Ok(find(conn, &take.name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?)
}

fn raise(conn: &Connection, of: &RaiseEpochs) -> rusqlite::Result<()> {
    let Some((generation, _)) = read::numbered(conn, &of.projection, of.version, of.state)? else { return Ok(()) };
    let mut begin = conn.prepare_cached(include_str!("sql/begin_shard.sql"))?;
    for log in &of.logs {
        begin.execute(params![generation, log.get()])?;
    }
    conn.prepare_cached(include_str!("sql/raise_every_epoch.sql"))?.execute(params![generation])?;
    Ok(())
}

pub(crate) fn renew(inside: &mut Inside<'_>, holder: &LeaseHolder) -> Result<Vec<Lease>, Failed<ReadModelError>> {
    let holder = params![holder.as_str()];
    inside.conn.prepare_cached(include_str!("sql/renew_leases.sql"))?.execute(holder)?;
    Ok(select(inside.conn, include_str!("sql/leases_of.sql"), holder)?)
}

pub(crate) fn release(inside: &mut Inside<'_>, lease: &Lease) -> Result<bool, Failed<ReadModelError>> {
    let mut release = inside.conn.prepare_cached(include_str!("sql/release_lease.sql"))?;
    Ok(release.execute(params![lease.name.as_str(), lease.holder.as_str(), column(lease.counter)])? > 0)
}
