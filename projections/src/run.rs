//! Running for as long as the service does.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use factum::{Cursor, Fault, ProjectionName, Wakeups};
use futures_util::FutureExt;
use futures_util::future::{self, Either};
use tokio::sync::watch;

use crate::drive::{Driven, Trouble};
use crate::error::{ProjectorError, is_overtaken};
use crate::heads::Turn;
use crate::projector::{Inner, ProjectionResult, Projector};

impl Projector {
    /// Runs every projection until `shutdown` ends, finishes the pages in hand, and says where each projection is.
    ///
    /// Each is driven while this process has its lease: of several processes that run the same projections each drives an
    /// even share, and what one that died had is taken over once its leases have stood still for the
    /// [lease time](crate::ProjectorOptions::lease_time).
    ///
    /// Each catches up in pages and then lives on the store's wake-ups, with a slow poll behind. They are independent:
    /// one that is halted, slow, panics or cannot be written holds nobody else back, and is tried again after a while. A
    /// halted one goes on by itself when its checkpoint is moved by somebody else (a replay, a newer deployment), or after
    /// [`resume`](Projector::resume), in whichever process that was said. All of them run in the task that awaits this: a projection written by hand that
    /// blocks its thread is given a task of its own with [`run_one`](Projector::run_one).
    ///
    /// What is in hand when `shutdown` ends is waited for as long as
    /// [`stop_within`](crate::ProjectorOptions::stop_within) says, and the leases are given back.
    ///
    /// # Errors
    /// [`ProjectorError::Setup`]. A projection whose store was closed has that as its result.
    pub async fn run(
        &self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Vec<ProjectionResult>, ProjectorError> {
        self.inner.check_setup()?;
        Ok(self.inner.run(&self.inner.driven, shutdown).await)
    }

    /// [`run`](Projector::run) for these projections only: others are left to other processes.
    ///
    /// # Errors
    /// [`ProjectorError`]: there is no such projection.
    pub async fn run_only(
        &self,
        names: &[&str],
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Vec<ProjectionResult>, ProjectorError> {
        let mut only: Vec<Arc<Driven>> = Vec::with_capacity(names.len());
        for name in names {
            let driven = self.inner.find::<ProjectorError>(name)?;
            if !only.iter().any(|other| other.name() == driven.name()) {
                only.push(driven.clone());
            }
        }
        Ok(self.inner.run(&only, shutdown).await)
    }

    /// [`run`](Projector::run) for one projection, for whoever gives each a task of its own.
    ///
    /// # Errors
    /// [`ProjectorError`]: there is no such projection, or the store was closed.
    pub async fn run_one(
        &self,
        name: &str,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Cursor, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        let mut results = self.inner.run(std::slice::from_ref(driven), shutdown).await;
        results.pop().map_or_else(|| Ok(driven.reached()), |result| result.result)
    }
}

/// How each projection ended, as far as they have.
type Ends = Mutex<Vec<Option<Result<Cursor, ProjectorError>>>>;

impl Inner {
    async fn run(&self, driven: &[Arc<Driven>], shutdown: impl Future<Output = ()> + Send) -> Vec<ProjectionResult> {
        let wish = self.leases.want(driven.iter().map(|driven| driven.lease.clone()).collect());
        let (stop, stopped) = watch::channel(false);
        let ends: Ends = Mutex::new(driven.iter().map(|_| None).collect());
        let all = driven.iter().enumerate().map(|(n, driven)| {
            let (stopped, ends) = (stopped.clone(), &ends);
            async move {
                let end = self.live(driven, stopped).await;
                if let Some(place) = ends.lock().unwrap_or_else(PoisonError::into_inner).get_mut(n) {
                    *place = Some(end);
                }
            }
        });
        {
            let all = std::pin::pin!(future::join_all(all));
            let supervise = std::pin::pin!(future::join(self.supervise(), self.listen()));
            let supervised = std::pin::pin!(future::select(all, supervise));
            if let Either::Right(((), running)) = future::select(supervised, std::pin::pin!(shutdown)).await {
                stop.send_replace(true);
                let _ = future::select(running, self.options.timer.sleep(self.options.stop_within)).await;
            }
        }
        drop(wish);
        let given = std::pin::pin!(self.give_unwanted(driven));
        let _ = future::select(given, self.options.timer.sleep(self.options.lease_time)).await;
        let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        let results = driven.iter().zip(ends).map(|(driven, end)| ProjectionResult {
            projection: driven.name().clone(),
            result: end.unwrap_or_else(|| Err(self.unfinished(driven))),
        });
        results.collect()
    }

    fn unfinished(&self, driven: &Driven) -> ProjectorError {
        let (projection, checkpoint) = (driven.name().clone(), driven.reached());
        ProjectorError::Unfinished { projection, checkpoint, within: self.options.stop_within }
    }

    async fn live(&self, driven: &Driven, mut stop: watch::Receiver<bool>) -> Result<Cursor, ProjectorError> {
        let (mut wakeups, mut heard) = (self.store.wakeups(), self.heads.heard());
        let mut attempt = 0;
        while !*stop.borrow() {
            let now = *heard.borrow_and_update();
            let held = self.leases.held(&driven.lease);
            let turn = AssertUnwindSafe(self.turn(driven, now, &stop)).catch_unwind().await;
            let turn = turn.unwrap_or_else(|panic| Err(panicked(driven.name(), &*panic)));
            match &turn {
                Err(
                    ProjectorError::Halted { .. } | ProjectorError::NeedsNewerCode { .. } | ProjectorError::Diverged(_),
                )
                | Ok(()) => driven.lasting().went_on(),
                Err(error) => {
                    let why = error.to_string();
                    driven.lasting().failed(&why);
                    driven.set_trouble(Some(Trouble::Failing(why)));
                }
            }
            // That nobody could be told how it went is no reason to stop. Whoever drives it tells how far it is.
            if driven.gauge_lease(self.leases.held(&driven.lease))
                && let Err(error) = self.gauge(driven).await
            {
                tracing::debug!(projection = %driven.name(), %error, "the gauges could not be set");
            }
            match turn {
                Ok(()) => attempt = 0,
                Err(error) if error.is_closed() => return Err(error),
                Err(ProjectorError::Halted { .. } | ProjectorError::NeedsNewerCode { .. }) => {}
                Err(error) => {
                    tracing::warn!(projection = %driven.name(), %error, attempt, "a step failed and is tried again");
                    let wait = self.options.wait_before(attempt);
                    attempt = attempt.saturating_add(1);
                    // Wake-ups do not shorten the wait after a failure.
                    let wait = std::pin::pin!(self.options.timer.sleep(wait));
                    let _ = future::select(wait, std::pin::pin!(stop.wait_for(|stop| *stop))).await;
                    continue;
                }
            }
            if let Err(fault) = self.idle(driven, held, (&mut wakeups, &mut heard), &mut stop).await {
                let source = factum::ReadError::Fault(fault);
                return Err(ProjectorError::Events { projection: driven.name().clone(), source });
            }
        }
        Ok(driven.reached())
    }

    /// Drives every log to its end, a page at a time, taking turns with whoever waits, for as long as the lease is held.
    async fn turn(&self, driven: &Driven, heard: u64, stop: &watch::Receiver<bool>) -> Result<(), ProjectorError> {
        let turn = Some(Turn { inner: self, heard });
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
                let Some(taking) = self.keep(driven).await? else {
                    drive.drop_all();
                    driven.forgive();
                    return Ok(());
                };
                match driven.step(&mut drive, taking, &*self.store, &self.options, log, turn).await {
                    Ok(step) if step.end => {}
                    Ok(_) => going_on.push(log),
                    Err(error) if is_overtaken(&error) => {
                        self.confirm(driven).await;
                        going_on.push(log);
                    }
                    Err(error) => return Err(error),
                }
            }
            logs = going_on;
        }
        Ok(())
    }

    /// Tells all projections of a signal of the store, or that it is time to look without one. Never ends.
    async fn listen(&self) {
        let mut wakeups = self.store.wakeups();
        loop {
            let woken = std::pin::pin!(wakeups.changed());
            match future::select(woken, self.options.timer.sleep(self.options.poll)).await {
                Either::Left((Ok(()), _)) | Either::Right(_) => self.heads.ring(),
                // Each projection hears that by itself.
                Either::Left((Err(_), _)) => std::future::pending().await,
            }
        }
    }

    /// Waits for what `listen` tells if the projection is driven here, as it was `held` before the last turn, for its lease if
    /// it is not, and in any case for the next poll and the end.
    async fn idle(
        &self,
        driven: &Driven,
        held: bool,
        (wakeups, heard): (&mut Wakeups, &mut watch::Receiver<u64>),
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let mut changes = self.leases.changes();
        let changed = async { while self.leases.held(&driven.lease) == held && changes.changed().await.is_ok() {} };
        let told = async {
            if !held || heard.changed().await.is_err() {
                // Not to be woken by what another process is to take.
                std::future::pending::<()>().await;
            }
        };
        let closed = async {
            loop {
                if let Err(closed) = wakeups.changed().await {
                    break closed;
                }
            }
        };
        let stopped = std::pin::pin!(stop.wait_for(|stop| *stop).map(|_| ()));
        let over = future::select(self.options.timer.sleep(self.options.poll), stopped);
        let (changed, told, closed) = (std::pin::pin!(changed), std::pin::pin!(told), std::pin::pin!(closed));
        let over = future::select(future::select(over, changed), told);
        match future::select(closed, over).await {
            Either::Left((closed, _)) => Err(closed),
            Either::Right(_) => Ok(()),
        }
    }
}

fn panicked(projection: &ProjectionName, panic: &(dyn std::any::Any + Send)) -> ProjectorError {
    let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    ProjectorError::Panicked { projection: projection.clone(), message }
}
