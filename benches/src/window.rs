//! How long something is done, and how often it was done in that time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Result;

/// For how long calls are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// How many calls each caller makes before anything is counted.
    pub(crate) warm_up: u64,
    /// No call begins after this time.
    pub(crate) time: Duration,
    /// How many calls are counted at most, of all callers together: memory is finite.
    pub(crate) calls: u64,
}

/// Somebody who calls again and again, one call after the other.
pub(crate) trait Caller: Send + 'static {
    /// One call.
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// All callers at once, each in a task of its own: how many calls a second. What `start` waits for comes between the
/// warm-up and the window.
pub(crate) async fn together<C: Caller>(
    callers: Vec<C>,
    window: Window,
    start: impl Future<Output = Result<()>>,
) -> Result<f64> {
    let most = window.calls.div_ceil(callers.len().max(1) as u64);
    let (warm, go) = (Arc::new(Barrier::new(callers.len() + 1)), Arc::new(Barrier::new(callers.len() + 1)));
    let mut tasks = JoinSet::new();
    for mut caller in callers {
        let (warm, go) = (Arc::clone(&warm), Arc::clone(&go));
        tasks.spawn(async move {
            let warmed = warm_up(&mut caller, window.warm_up).await;
            // Whoever failed comes to the barriers too: the others wait there.
            warm.wait().await;
            go.wait().await;
            warmed?;
            count(&mut caller, window.time, most).await
        });
    }
    warm.wait().await;
    let started = start.await;
    go.wait().await;
    started?;
    let begun = Instant::now();
    let mut calls = 0;
    while let Some(done) = tasks.join_next().await {
        calls += done??;
    }
    Ok(rate(calls, begun.elapsed()))
}

async fn warm_up<C: Caller>(caller: &mut C, calls: u64) -> Result<()> {
    for _ in 0..calls {
        caller.call().await?;
    }
    Ok(())
}

async fn count<C: Caller>(caller: &mut C, time: Duration, most: u64) -> Result<u64> {
    let begun = Instant::now();
    let mut calls = 0;
    while calls < most && begun.elapsed() < time {
        caller.call().await?;
        calls += 1;
    }
    Ok(calls)
}

/// One caller on this thread: how many calls a second.
pub(crate) fn alone(window: Window, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    for _ in 0..window.warm_up {
        call()?;
    }
    let begun = Instant::now();
    let mut calls = 0;
    while calls < window.calls && begun.elapsed() < window.time {
        call()?;
        calls += 1;
    }
    Ok(rate(calls, begun.elapsed()))
}

/// How many a second.
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 things")]
    let count = count as f64;
    count / time.as_secs_f64()
}

/// How many milliseconds each of so many a second takes.
pub(crate) fn milliseconds(rate: f64) -> f64 {
    1_000.0 / rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Counts(Arc<AtomicU64>);

    impl Caller for Counts {
        async fn call(&mut self) -> Result<()> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    const WINDOW: Window = Window { warm_up: 3, time: Duration::from_secs(3_600), calls: 40 };

    #[tokio::test]
    async fn calls_are_bounded_for_all_callers_together_and_warming_up_is_not_counted() {
        let counted = Arc::new(AtomicU64::new(0));
        let callers = (0..4).map(|_| Counts(Arc::clone(&counted))).collect();
        let before = Arc::clone(&counted);
        let start = async move {
            assert_eq!(before.load(Ordering::Relaxed), 4 * 3, "the window begins once everybody is warm");
            Ok(())
        };
        assert!(together(callers, WINDOW, start).await.unwrap() > 0.0);
        assert_eq!(counted.load(Ordering::Relaxed), 4 * (3 + 10));
        let mut alone_calls = 0;
        alone(WINDOW, || {
            alone_calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(alone_calls, 43);
    }

    struct Fails;

    impl Caller for Fails {
        async fn call(&mut self) -> Result<()> {
            Err("no".into())
        }
    }

    #[tokio::test]
    async fn a_caller_that_fails_ends_the_measurement_with_its_error_and_nobody_waits() {
        let failed = together(vec![Fails, Fails], WINDOW, async { Ok(()) });
        let failed = tokio::time::timeout(Duration::from_secs(30), failed).await.unwrap();
        assert_eq!(failed.unwrap_err().to_string(), "no");
    }
}
