//! What a memory store can be told when it is made.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use factum::Limits;

/// Where a store gets the time from.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What a [`MemoryStore`](crate::MemoryStore) can be told when it is made.
///
/// ```
/// use std::sync::Arc;
/// use factum::EventStore;
/// use factum_memory::{MemoryOptions, MemoryStore};
///
/// let noon = "1993-06-30T12:00:00Z".parse()?;
/// let store = MemoryStore::with(MemoryOptions::default().logs(3).clock(Arc::new(move || noon)));
/// assert_eq!(store.logs().len(), 3);
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Clone)]
pub struct MemoryOptions {
    pub(crate) logs: u32,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { logs: 1, limits: Limits::default(), clock: Arc::new(Utc::now) }
    }
}

impl MemoryOptions {
    /// With this many logs; at least one.
    #[must_use]
    pub fn logs(mut self, logs: u32) -> Self {
        self.logs = logs.max(1);
        self
    }

    /// With these limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With another clock, for tests about time. What is recorded never goes back, whatever the clock does.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }
}

impl fmt::Debug for MemoryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryOptions").field("logs", &self.logs).field("limits", &self.limits).finish_non_exhaustive()
    }
}
