//! How often, and after what wait, something is tried again.

use std::sync::Arc;
use std::time::Duration;

use crate::timer::{Timer, system_timer};

/// Bounded attempts with full jitter: before attempt n+1 a wait drawn evenly from nothing to `base * 2^n`, at most `cap`
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Clone, Debug)]
pub struct Retry {
    attempts: u32,
    base: Duration,
    cap: Duration,
    timer: Arc<dyn Timer>,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 16, base: Duration::from_millis(1), cap: Duration::from_millis(200), timer: system_timer() }
    }
}

impl Retry {
    /// Gives up after this many attempts (at least one).
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// With these bounds on the waits in between.
    #[must_use]
    pub fn waits(mut self, base: Duration, cap: Duration) -> Self {
        (self.base, self.cap) = (base, cap);
        self
    }

    /// Waiting by this timer.
    #[must_use]
    pub fn timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }

    /// Waits after the failed attempt with this number (from 1); `false`, at once, if it was the last one.
    pub async fn again(&self, attempt: u32) -> bool {
        if self.is_last(attempt) {
            return false;
        }
        self.pause(attempt).await;
        true
    }

    pub(crate) fn is_last(&self, attempt: u32) -> bool {
        attempt >= self.attempts
    }

    /// The wait after the failed attempt with this number, be it the last one or not.
    pub(crate) async fn pause(&self, attempt: u32) {
        let longest = self.base.saturating_mul(2u32.saturating_pow(attempt.min(20))).min(self.cap);
        let wait = longest.mul_f64(fastrand::f64());
        if !wait.is_zero() {
            self.timer.sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timer::Sleep;
    use std::sync::Mutex;

    #[derive(Debug, Default)]
    struct Recording(Mutex<Vec<Duration>>);

    impl Timer for Recording {
        fn sleep(&self, time: Duration) -> Sleep {
            self.0.lock().unwrap().push(time);
            Box::pin(std::future::ready(()))
        }
    }

    #[tokio::test]
    async fn attempts_are_bounded_and_waits_stay_below_the_cap() {
        let timer = Arc::new(Recording::default());
        let retry = Retry::default()
            .attempts(30)
            .waits(Duration::from_millis(1), Duration::from_millis(20))
            .timer(timer.clone());
        let mut attempt = 1;
        while retry.again(attempt).await {
            attempt += 1;
        }
        assert_eq!(attempt, 30);
        let waits = timer.0.lock().unwrap();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(20)), "{waits:?}");
        assert!(waits[0] <= Duration::from_millis(2), "{waits:?}");
    }
}
