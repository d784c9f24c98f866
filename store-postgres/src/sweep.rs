//! Deleting the rows of dropped generations: some at a time, each time in a transaction of its own, so that nothing waits for
//! it and no old snapshot is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::runtime::Handle;

use crate::db::Db;

/// How many rows of each table one transaction deletes.
const ROWS: i64 = 1_000;

/// Whether this process sweeps just now. Of several processes one sweeps a generation at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sweeper {
    at_work: Arc<AtomicU8>,
    /// Whether it has looked for what an earlier process left.
    looked: Arc<AtomicBool>,
}

const IDLE: u8 = 0;
const AT_WORK: u8 = 1;
/// Something was dropped since it last began to look: what it finds then may be from before.
const TOLD: u8 = 2;

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
        if !self.is_to_begin() {
            return;
        }
        let (sweeper, db) = (self.clone(), db.clone());
        runtime.spawn(async move {
            match sweeper.sweep(|| step(db.clone())).await {
                Ok(swept) if swept > 0 => tracing::debug!(rows = swept, "dropped generations are swept"),
                Ok(_) => {}
                // What is left is swept when a generation is dropped the next time, or by the next process.
                Err(error) => tracing::warn!(%error, "the rows of a dropped generation are left for later"),
            }
        });
    }

    /// Whether whoever asks is to sweep; else whoever does looks again.
    fn is_to_begin(&self) -> bool {
        self.at_work.fetch_max(TOLD, Ordering::AcqRel) == IDLE
    }

    /// Steps until there was nothing to sweep, and nothing was dropped while that was found out.
    async fn sweep<S, E>(&self, mut step: impl FnMut() -> S) -> Result<i64, E>
    where
        S: Future<Output = Result<Option<i64>, E>>,
    {
        let mut swept = 0;
        loop {
            self.at_work.store(AT_WORK, Ordering::Release);
            let ended = loop {
                match step().await {
                    Ok(Some(deleted)) => swept += deleted,
                    Ok(None) => break Ok(swept),
                    Err(error) => break Err(error),
                }
            };
            if self.at_work.compare_exchange(AT_WORK, IDLE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                return ended;
            }
        }
    }
}

/// How many rows were deleted; `None` where there is nothing to sweep, or somebody else does.
async fn step(db: Db) -> Result<Option<i64>, sqlx::Error> {
    db.once(sqlx::query(db.sql.drop_tables.clone())).await?;
    let rows = db.once(sqlx::query(db.sql.sweep.clone()).bind(ROWS)).await?;
    rows.first().map(|row| sqlx::Row::try_get(row, 0)).transpose()
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    /// A generation that was dropped just when a sweep had found nothing more, and was about to end, was left to whoever dropped
    /// something the next time: whoever dropped it saw that one sweeps, and that one never looked again.
    #[tokio::test]
    async fn what_is_dropped_while_the_last_look_is_under_way_is_swept_too() {
        let sweeper = Sweeper::default();
        assert!(sweeper.is_to_begin());
        let mut looks = 0;
        let swept = sweeper.sweep(|| {
            looks += 1;
            ready(Ok::<_, ()>(match looks {
                1 => Some(7),
                2 => {
                    assert!(!sweeper.is_to_begin(), "two would sweep");
                    None
                }
                3 => Some(5),
                _ => None,
            }))
        });
        assert_eq!(swept.await, Ok(12));
        assert_eq!(looks, 4);
        assert!(sweeper.is_to_begin(), "nobody sweeps any more");
        assert_eq!(sweeper.sweep(|| ready(Err::<Option<i64>, _>("no"))).await, Err("no"));
        assert!(sweeper.is_to_begin(), "one that failed is taken for one that sweeps");
    }
}
