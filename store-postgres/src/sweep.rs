//! Deleting the rows of dropped generations: some at a time, each time in a transaction of its own, so that nothing waits for
//! it and no old snapshot is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;

use crate::db::Db;

/// How many rows of each table one transaction deletes.
const ROWS: i64 = 1_000;

/// Whether this process sweeps just now. Of several processes one sweeps a generation at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweeper {
    at_work: Arc<AtomicBool>,
    /// Whether it has looked for what an earlier process left.
    looked: Arc<AtomicBool>,
}

impl Sweeper {
    /// Looks once for what an earlier process left.
    pub(crate) fn look(&self, db: &Db) {
        if !self.looked.swap(true, Ordering::Relaxed) {
            self.begin(db);
        }
    }

    /// Sweeps in the background, until nothing is left. Where there is no runtime the next process does.
    pub(crate) fn begin(&self, db: &Db) {
        let Ok(runtime) = Handle::try_current() else { return };
        self.looked.store(true, Ordering::Relaxed);
        if self.at_work.swap(true, Ordering::AcqRel) {
            return;
        }
        let (sweeper, db) = (self.clone(), db.clone());
        runtime.spawn(async move {
            let mut swept = 0;
            let ended = loop {
                match step(&db).await {
                    Ok(Some(deleted)) => swept += deleted,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            };
            sweeper.at_work.store(false, Ordering::Release);
            match ended {
                None if swept > 0 => tracing::debug!(rows = swept, "dropped generations are swept"),
                None => {}
                // What is left is swept when a generation is dropped the next time, or by the next process.
                Some(error) => tracing::warn!(%error, "the rows of a dropped generation are left for later"),
            }
        });
    }
}

/// How many rows were deleted; `None` where there is nothing to sweep, or somebody else does.
async fn step(db: &Db) -> Result<Option<i64>, sqlx::Error> {
    db.once(sqlx::query(db.sql.drop_tables.clone())).await?;
    let rows = db.once(sqlx::query(db.sql.sweep.clone()).bind(ROWS)).await?;
    rows.first().map(|row| sqlx::Row::try_get(row, 0)).transpose()
}
