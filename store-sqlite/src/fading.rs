//! Kept versions that are forgotten: those that no answer from a position on needs.
//!
//! Where a projection does not keep the past for ever, each row of kept versions is also put in a queue by its first position.
//! Once the past is kept from there on, the row is the one that older answers would begin with, and the document's rows before
//! it go. So each row is looked at once, whatever became of its document since.

use factum::{LogId, Position, Shard};
use rusqlite::{Connection, params};

use crate::append::{at, tenant_column};
use crate::kept::Packed;

/// How many rows a commit forgets at most, beside twice as many as it writes.
const ROWS: usize = 256;

/// Remembers from where on the past is kept, that these rows will fade, and forgets some of those that have.
pub(crate) fn forget(
    conn: &Connection,
    generation: i64,
    shard: &Shard,
    keep_from: Position,
    kept: &[Packed],
) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(include_str!("sql/will_fade.sql"))?;
    for Packed { key, first, .. } in kept {
        put.execute(params![generation, shard.log.get(), first.as_i64(), tenant_column(key.tenant()), key.key()])?;
    }
    let mut keep = conn.prepare_cached(include_str!("sql/keep_from.sql"))?;
    let of = params![generation, shard.log.get(), shard.partition, keep_from.as_i64()];
    let kept_from: i64 = keep.query_row(of, |row| row.get(0))?;
    forget_rows(conn, generation, shard.log, kept_from, ROWS + 2 * kept.len())
}

fn forget_rows(conn: &Connection, generation: i64, log: LogId, before: i64, limit: usize) -> rusqlite::Result<()> {
    let mut left = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut find = conn.prepare_cached(include_str!("sql/fading.sql"))?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let found = find.query_map(params![generation, log.get(), before, left], row)?;
    let found: Vec<(i64, String, String)> = found.collect::<rusqlite::Result<_>>()?;
    let mut forget = conn.prepare_cached(include_str!("sql/forget_versions.sql"))?;
    let mut done = conn.prepare_cached(include_str!("sql/faded.sql"))?;
    for (first, tenant, key) in found {
        let rows = forget.execute(params![generation, log.get(), first, tenant, key, left])?;
        left = left.saturating_sub(i64::try_from(rows).unwrap_or(i64::MAX));
        if left <= 0 {
            // There may be more of this document.
            return Ok(());
        }
        done.execute(params![generation, log.get(), first, tenant, key])?;
        left -= 1;
    }
    Ok(())
}

/// From where on the past of a log is kept.
pub(crate) fn kept_from(conn: &Connection, generation: i64, log: LogId) -> rusqlite::Result<Position> {
    let mut select = conn.prepare_cached(include_str!("sql/kept_from.sql"))?;
    select.query_row(params![generation, log.get()], |row| Ok(at(row.get(0)?)))
}
