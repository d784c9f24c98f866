//! Keys whose time has passed are deleted, so that their table does not grow forever.
//!
//! Until then they are as good as new: the functions that append look at the time.

use std::time::Duration;

use factum::Fault;
use tokio::task::JoinHandle;

use crate::db::Db;
use crate::error::fault;
use crate::keys;
use crate::options::KeyRetention;

/// How many are deleted in one transaction: an append that gives one of them a new outcome waits for it.
const AT_ONCE: i64 = 1_000;

/// How often they are looked for, give or take a half, so that processes do not do it at the same moment. More often where
/// keys are kept for less than that.
const EVERY: Duration = Duration::from_secs(60);
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Deletes them as long as there are any.
pub(crate) async fn forget(db: &Db, retention: KeyRetention) -> Result<u64, Fault> {
    if retention == KeyRetention::Forever {
        return Ok(0);
    }
    let mut forgotten = 0;
    loop {
        // Sent twice it does no harm.
        let batch = || sqlx::query(db.sql.forget_keys.clone()).bind(keys::since(retention)).bind(AT_ONCE);
        let rows = db.fetch(batch).await.map_err(fault)?.len();
        forgotten += rows as u64;
        if (rows as u64) < AT_ONCE.unsigned_abs() {
            return Ok(forgotten);
        }
    }
}

/// Does so now and then, until it is dropped or the store is closed.
#[derive(Debug)]
pub(crate) struct Forgetting(JoinHandle<()>);

impl Forgetting {
    /// `None` where keys are kept forever.
    pub(crate) fn start(db: &Db, retention: KeyRetention) -> Option<Self> {
        let KeyRetention::For(kept) = retention else { return None };
        let (db, every) = (db.clone(), kept.clamp(AT_MOST_EVERY, EVERY));
        Some(Self(tokio::spawn(async move {
            while !db.pool.is_closed() {
                tokio::time::sleep(every.mul_f64(0.5 + fastrand::f64())).await;
                match forget(&db, retention).await {
                    Ok(0) => {}
                    Ok(keys) => tracing::debug!(keys, "forgot keys whose time has passed"),
                    Err(error) => tracing::warn!(%error, "keys whose time has passed could not be forgotten"),
                }
            }
        })))
    }
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.0.abort();
    }
}
