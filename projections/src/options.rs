//! How a projector works.

use std::sync::Arc;
use std::time::Duration;

use factum::{PageLimit, Timer, system_timer};

/// How a projector reads and waits. The defaults fit a service.
///
/// ```
/// use std::time::Duration;
/// use factum_projections::ProjectorOptions;
///
/// let often = ProjectorOptions::new().poll_every(Duration::from_millis(200)).pages(100, 2_000);
/// ```
#[derive(Clone, Debug)]
pub struct ProjectorOptions {
    smallest_page: usize,
    largest_page: usize,
    page_bytes: usize,
    pub(crate) poll: Duration,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) attempts: u32,
    pub(crate) tries: u32,
    pub(crate) lease_time: Duration,
    pub(crate) stop_within: Duration,
    pub(crate) timer: Arc<dyn Timer>,
}

impl ProjectorOptions {
    /// The defaults: pages of 256 to 4,096 events, a poll every second behind the store's wake-ups, a lease time of 3 seconds.
    pub fn new() -> Self {
        Self {
            smallest_page: 256,
            largest_page: 4_096,
            page_bytes: 4 << 20,
            poll: Duration::from_secs(1),
            backoff: (Duration::from_millis(20), Duration::from_secs(10)),
            attempts: 6,
            tries: 3,
            lease_time: Duration::from_secs(3),
            stop_within: Duration::from_secs(10),
            timer: system_timer(),
        }
    }

    /// The bounds of a page, in events. A page grows from one to the other while the projection lags.
    #[must_use]
    pub fn pages(mut self, smallest: usize, largest: usize) -> Self {
        self.smallest_page = smallest.max(1);
        self.largest_page = largest.max(self.smallest_page);
        self
    }

    /// How large a page may become in bytes of events; 4 MiB by default. A projection that lags holds two: one that is folded
    /// and the one that follows.
    #[must_use]
    pub fn page_bytes(mut self, bytes: usize) -> Self {
        self.page_bytes = bytes.max(1);
        self
    }

    /// How often the store is asked for events although it gave no signal: other processes may append.
    #[must_use]
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }

    /// How long a failed step is waited for before it is tried again: doubling from the first to the second, and each time
    /// drawn from the upper half, so that many workers which failed together do not come back together.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest.max(first));
        self
    }

    /// How often a caller that waits tries a step that fails for a passing reason. A projector that runs never stops.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// How often an event that cannot be taken is tried before its projection halts (at least once, at most as often as a
    /// caller [tries](Self::attempts); 3 by default). A projection of documents is pure, and fails each time; one that
    /// writes elsewhere may have met what passes.
    #[must_use]
    pub fn tries_per_event(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// How long a lease must have stood still, as its holder is dead or stopped, before another takes it; at least 100
    /// milliseconds. A holder raises its leases every third of that. All who share a read model should say the same: who
    /// says less takes from who is merely slow, which costs pages and no more.
    #[must_use]
    pub fn lease_time(mut self, time: Duration) -> Self {
        self.lease_time = time.max(Duration::from_millis(100));
        self
    }

    /// How long [`run`](crate::Projector::run) waits for the pages in hand when it is told to end. What takes longer is
    /// dropped: nothing of it is written, or all of it.
    #[must_use]
    pub fn stop_within(mut self, time: Duration) -> Self {
        self.stop_within = time;
        self
    }

    /// How to wait; a fake in tests.
    #[must_use]
    pub fn timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }

    pub(crate) fn limit(&self, events: usize) -> PageLimit {
        PageLimit::events(events).with_bytes(self.page_bytes)
    }

    pub(crate) fn first_page(&self) -> usize {
        self.smallest_page
    }

    pub(crate) fn next_page(&self, events: usize, end: bool) -> usize {
        if end { self.smallest_page } else { events.saturating_mul(2).min(self.largest_page) }
    }

    /// Half of it or more, so that those who failed together do not come again together.
    pub(crate) fn wait_before(&self, attempt: u32) -> Duration {
        let (first, longest) = self.backoff;
        let full = first.saturating_mul(2u32.saturating_pow(attempt)).min(longest);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

impl Default for ProjectorOptions {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_drawn_from_the_upper_half() {
        let options = ProjectorOptions::new().backoff(Duration::from_millis(10), Duration::from_millis(100));
        for (attempt, full) in [(0, 10), (1, 20), (2, 40), (3, 80), (4, 100), (40, 100)] {
            let full = Duration::from_millis(full);
            let waits: Vec<_> = (0..100).map(|_| options.wait_before(attempt)).collect();
            assert!(waits.iter().all(|wait| (full / 2..=full).contains(wait)), "{attempt}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "workers that failed together come back together");
        }
    }
}
