//! What changes read models, within the writer's transaction.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

/// How many rows of a dropped generation one transaction deletes.
const SWEEP_ROWS: usize = 1_000;

/// Deletes some rows of a dropped generation in a transaction of its own; whether there may be more.
pub(crate) fn sweep(conn: &Connection) -> rusqlite::Result<bool> {
    let dropping = || conn.query_row(include_str!("sql/dropping.sql"), [], |row| row.get::<_, i64>(0)).optional();
    if dropping()?.is_none() {
        return Ok(false);
    }
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let Some(generation) = dropping()? else {
        return Ok(false);
    };
    let mut deleted = 0;
    for sql in [include_str!("sql/sweep_kept.sql"), include_str!("sql/sweep_documents.sql")] {
        if deleted < SWEEP_ROWS {
            let left = i64::try_from(SWEEP_ROWS - deleted).unwrap_or(0);
            deleted += transaction.prepare_cached(sql)?.execute(params![generation, left])?;
        }
    }
    if deleted == 0 {
        transaction.execute(include_str!("sql/swept.sql"), params![generation])?;
    }
    transaction.commit()?;
    Ok(true)
}
