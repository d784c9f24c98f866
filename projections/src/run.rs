//! Running for as long as the service does.

use std::future::Future;

use factum::{Fault, Wakeups};
use futures_util::FutureExt;
use futures_util::future::{self, Either};
use tokio::sync::watch;

use crate::drive::{Driven, Trouble, is_overtaken};
use crate::error::ProjectorError;
use crate::projector::{Inner, ProjectionResult, Projector};

impl Projector {
    /// Runs every projection until `shutdown` ends, finishes the pages in hand, and says where each projection is.
    ///
    /// Each catches up in pages and then lives on the store's wake-ups, with a slow poll behind. They are independent:
    /// one that is halted, slow or cannot be written holds nobody else back. A halted one goes on by itself when its
    /// checkpoint is moved by somebody else (a replay, a newer deployment), or after [`resume`](Projector::resume), in
    /// whichever process that was said.
    ///
    /// # Errors
    /// [`ProjectorError::Setup`]. A projection whose store was closed has that as its result.
    pub async fn run(
        &self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Vec<ProjectionResult>, ProjectorError> {
        self.inner.check_setup()?;
        let (stop, stopped) = watch::channel(false);
        let all =
            self.inner.driven.iter().map(|driven| {
                let stopped = stopped.clone();
                async move {
                    ProjectionResult { projection: driven.name().clone(), result: self.live(driven, stopped).await }
                }
            });
        let all = std::pin::pin!(future::join_all(all));
        match future::select(all, std::pin::pin!(shutdown)).await {
            Either::Left((results, _)) => Ok(results),
            Either::Right(((), all)) => {
                stop.send_replace(true);
                Ok(all.await)
            }
        }
    }

    /// [`run`](Projector::run) for one projection, for whoever gives each a task of its own.
    ///
    /// # Errors
    /// [`ProjectorError`]: there is no such projection, or the store was closed.
    pub async fn run_one(
        &self,
        name: &str,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<factum::Cursor, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        let (stop, stopped) = watch::channel(false);
        match future::select(std::pin::pin!(self.live(driven, stopped)), std::pin::pin!(shutdown)).await {
            Either::Left((result, _)) => result,
            Either::Right(((), live)) => {
                stop.send_replace(true);
                live.await
            }
        }
    }

    async fn live(&self, driven: &Driven, mut stop: watch::Receiver<bool>) -> Result<factum::Cursor, ProjectorError> {
        let inner = &*self.inner;
        let mut wakeups = inner.store.wakeups();
        let mut attempt = 0;
        while !*stop.borrow() {
            let turn = inner.turn(driven, &stop).await;
            match &turn {
                Err(
                    ProjectorError::Halted { .. } | ProjectorError::NeedsNewerCode { .. } | ProjectorError::Diverged(_),
                )
                | Ok(()) => {}
                Err(error) => driven.set_trouble(Some(Trouble::Failing(error.to_string()))),
            }
            // That nobody could be told how it went is no reason to stop.
            if let Err(error) = inner.gauge(driven).await {
                tracing::debug!(projection = %driven.name(), %error, "the gauges could not be set");
            }
            let pause = match turn {
                Ok(()) => {
                    attempt = 0;
                    inner.options.poll
                }
                Err(error) if error.is_closed() => return Err(error),
                Err(ProjectorError::Halted { .. } | ProjectorError::NeedsNewerCode { .. }) => inner.options.poll,
                Err(error) => {
                    tracing::warn!(projection = %driven.name(), %error, attempt, "a step failed and is tried again");
                    let wait = inner.options.wait_before(attempt);
                    attempt = attempt.saturating_add(1);
                    // Wake-ups do not shorten the wait after a failure.
                    let wait = std::pin::pin!(inner.options.timer.sleep(wait));
                    let _ = future::select(wait, std::pin::pin!(stop.wait_for(|stop| *stop))).await;
                    continue;
                }
            };
            if let Err(fault) = inner.idle(&mut wakeups, &mut stop, pause).await {
                let source = factum::ReadError::Fault(fault);
                return Err(ProjectorError::Events { projection: driven.name().clone(), source });
            }
        }
        Ok(driven.reached())
    }
}

impl Inner {
    /// Drives every log to its end, a page at a time, taking turns with whoever waits.
    async fn turn(&self, driven: &Driven, stop: &watch::Receiver<bool>) -> Result<(), ProjectorError> {
        let mut logs = self.store.logs();
        while !logs.is_empty() {
            let mut going_on = Vec::with_capacity(logs.len());
            for log in logs {
                if *stop.borrow() {
                    return Ok(());
                }
                let mut drive = driven.drive.lock().await;
                if let Some(error) = driven.held_up().await? {
                    return Err(error);
                }
                match driven.step(&mut drive, &*self.store, &self.options, log).await {
                    Ok(step) if step.end => {}
                    Ok(_) => going_on.push(log),
                    Err(error) if is_overtaken(&error) => going_on.push(log),
                    Err(error) => return Err(error),
                }
            }
            logs = going_on;
        }
        Ok(())
    }

    /// Waits for a signal of the store, the next poll, or the end.
    async fn idle(
        &self,
        wakeups: &mut Wakeups,
        stop: &mut watch::Receiver<bool>,
        pause: std::time::Duration,
    ) -> Result<(), Fault> {
        let woken = std::pin::pin!(wakeups.changed());
        let stopped = std::pin::pin!(stop.wait_for(|stop| *stop).map(|_| ()));
        let over = future::select(self.options.timer.sleep(pause), stopped);
        match future::select(woken, over).await {
            Either::Left((woken, _)) => woken,
            Either::Right(_) => Ok(()),
        }
    }
}
