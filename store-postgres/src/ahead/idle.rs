//! Who tells that a reader is idle.
//!
//! A thread of its own, one for the process, and none while nobody reads ahead. The timer of a runtime would do, at a price: the
//! worker that waits for it waits for the connections as well, and is woken for each few kilobytes that come on one of them, for
//! nobody, while another worker takes the rows.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

/// What is not used from one look to the next is idle.
const EVERY: Duration = Duration::from_millis(50);

/// Everybody who is looked at. Where there is nobody, there is no thread.
static USES: Mutex<Vec<Weak<Use>>> = Mutex::new(Vec::new());

/// How often something was used, and whether that has been a while.
#[derive(Debug)]
pub(super) struct Use {
    times: AtomicU64,
    /// What it was at the last look, and at the last one that found it idle.
    seen: AtomicU64,
    found: AtomicU64,
    idle: Notify,
}

impl Use {
    /// Looked at for as long as there is one.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub(super) fn begin() -> io::Result<Arc<Self>> {
        let begun = Arc::new(Self {
            times: AtomicU64::new(0),
            seen: AtomicU64::new(u64::MAX),
            found: AtomicU64::new(u64::MAX),
            idle: Notify::new(),
        });
        let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
        if uses.is_empty() {
            thread::Builder::new().name("factum-readers".to_owned()).spawn(look_at_all)?;
        }
        uses.push(Arc::downgrade(&begun));
        Ok(begun)
    }

    pub(super) fn again(&self) {
        self.times.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// Ends at each look before which it was not used, nor is until that is told: how often it was.
    pub(super) async fn idle(&self) -> u64 {
        loop {
            self.idle.notified().await;
            let found = self.found.load(Ordering::Relaxed);
            if found == self.times() {
                return found;
            }
        }
    }

    fn look(&self) {
        let now = self.times();
        if self.seen.swap(now, Ordering::Relaxed) == now {
            self.found.store(now, Ordering::Relaxed);
            self.idle.notify_one();
        }
    }
}

fn look_at_all() {
    loop {
        thread::sleep(EVERY);
        let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
        uses.retain(|looked_at| looked_at.upgrade().inspect(|looked_at| looked_at.look()).is_some());
        if uses.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn idle_at(used: &Use) -> u64 {
        tokio::time::timeout(Duration::from_secs(30), used.idle()).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_not_used_is_idle_also_after_a_time_in_which_there_was_nothing_to_look_at() {
        for times in 1..3 {
            let (one, other) = (Use::begin().unwrap(), Use::begin().unwrap());
            for _ in 0..times {
                one.again();
            }
            assert_eq!((idle_at(&one).await, idle_at(&other).await), (times, 0));
            one.again();
            assert_eq!(idle_at(&one).await, times + 1, "it was idle once, and is again");
            drop((one, other));
            let ended = async {
                while !USES.lock().unwrap().is_empty() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the thread looks on at nothing");
        }
    }
}
