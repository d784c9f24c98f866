//! Waiting for a projection: driving it where nobody else does, and else waiting for who does.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use factum::{
    Cursor, GenerationState, LogId, Position, ProjectedError, RaiseEpochs, ReadModelError, TakeLease, Wakeups,
};
use futures_util::future::{self, Either};

use crate::building::BuildingStatus;
use crate::drive::Driven;
use crate::error::{ProjectorError, is_overtaken};
use crate::lease::{Standing, Taking};
use crate::projector::Inner;

/// How often the checkpoint of a projection is looked at that somebody else drives: at once after a signal of the store,
/// then less and less often.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));

/// Somebody who waits. Gone with the future that it waits in.
struct Waiter<'d>(&'d Driven);

impl<'d> Waiter<'d> {
    fn of(driven: &'d Driven) -> Self {
        driven.waiting.fetch_add(1, Ordering::SeqCst);
        Self(driven)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Inner {
    pub(crate) async fn to_head(&self, driven: &Driven) -> Result<Cursor, ProjectorError> {
        let head = self.head(driven).await?;
        // Every log, those too that hold nothing: a projection that was never driven is made.
        let wanted = self.store.logs().into_iter().map(|log| (log, Cursor::of(log, head.get(log)))).collect();
        self.drive_all(driven, wanted).await?;
        Ok(driven.reached())
    }

    pub(crate) async fn drive_to(&self, driven: &Driven, cursor: &Cursor) -> Result<(), ProjectorError> {
        if cursor.positions().all(|(log, wanted)| driven.is_surely_at(log, wanted)) {
            return Ok(());
        }
        self.drive_all(driven, cursor.positions().map(|(log, _)| (log, cursor.clone())).collect()).await
    }

    pub(crate) async fn wait_within(
        &self,
        driven: &Driven,
        cursor: &Cursor,
        time: Duration,
    ) -> Result<(), ProjectorError> {
        {
            let wait = std::pin::pin!(self.drive_to(driven, cursor));
            if let Either::Left((done, _)) = future::select(wait, self.options.timer.sleep(time)).await {
                return done;
            }
            // Gone from here on, with all that it held.
        }
        // What was waited for was cut off, and gave nothing back. Nobody waits long to be told why.
        let last = async {
            self.leave(driven).await;
            self.built(driven).await
        };
        let last = std::pin::pin!(last);
        let told = future::select(last, self.options.timer.sleep(self.options.lease_time)).await;
        let (mut checkpoint, built) = match told {
            Either::Left((built, _)) => built,
            Either::Right(_) => (Cursor::start(), None),
        };
        checkpoint.merge(&driven.reached());
        let trouble: Vec<_> = self.why_not(driven).into_iter().chain(built).collect();
        Err(ProjectorError::TimedOut {
            projection: driven.name().clone(),
            cursor: cursor.clone(),
            checkpoint,
            within: time,
            trouble: (!trouble.is_empty()).then(|| trouble.join("; ")),
        })
    }

    /// How far the live generation is, as its store has it, and what is to be said of generations: that none is live yet, and
    /// that one is being built.
    async fn built(&self, driven: &Driven) -> (Cursor, Option<String>) {
        let Ok(Some(generations)) = driven.generations().await else { return (Cursor::start(), None) };
        let version = driven.projected.version();
        let find = |state| generations.iter().find(|info| info.version == version && info.state == state);
        let live = find(GenerationState::Live);
        let none = live.is_none().then(|| format!("no generation of version {version} is live yet"));
        let built = match find(GenerationState::Building) {
            // That leases were not read says nothing of what is built.
            Some(info) => {
                let building = self.building(driven, &[], info.clone()).await;
                Some(building.unwrap_or_else(|_| BuildingStatus::of(info.clone(), None, false)).to_string())
            }
            None => None,
        };
        let said: Vec<_> = none.into_iter().chain(built).collect();
        let checkpoint = live.map_or_else(Cursor::start, |info| info.checkpoint.clone());
        (checkpoint, (!said.is_empty()).then(|| said.join("; ")))
    }

    /// What keeps a projection from being further, as far as this process knows.
    pub(crate) fn why_not(&self, driven: &Driven) -> Option<String> {
        let trouble = driven.trouble().map(|trouble| trouble.to_string());
        let holder = driven.holder().filter(|_| !self.leases.held(&driven.lease));
        match (trouble, holder) {
            (Some(trouble), Some(holder)) => Some(format!("{trouble}; {holder}")),
            (trouble, holder) => trouble.or(holder),
        }
    }

    async fn drive_all(&self, driven: &Driven, wanted: Vec<(LogId, Cursor)>) -> Result<(), ProjectorError> {
        let waiter = Waiter::of(driven);
        let mut attempt = 0;
        let mut done = Ok(());
        for (log, cursor) in wanted {
            done = self.log_to(driven, log, &cursor, &mut attempt).await;
            if done.is_err() {
                break;
            }
        }
        drop(waiter);
        self.leave(driven).await;
        done
    }

    /// Gives the lease back that was taken to drive it a while, if nobody goes on with it here.
    async fn leave(&self, driven: &Driven) {
        let goes_on = || driven.waiting.load(Ordering::SeqCst) > 0 || self.leases.is_wanted(&driven.lease);
        if goes_on() || !self.leases.held(&driven.lease) {
            return;
        }
        let _drive = driven.drive.lock().await;
        if goes_on() {
            return;
        }
        if let Err(error) = self.leases.give(&*self.read_models, &driven.lease).await {
            tracing::debug!(lease = %driven.lease, %error, "a lease was not given back; others wait until it stands still");
        }
    }

    /// Drives one log until the projection is where `cursor` is in it, taking turns with everybody else who drives it.
    async fn log_to(
        &self,
        driven: &Driven,
        log: LogId,
        cursor: &Cursor,
        attempt: &mut u32,
    ) -> Result<(), ProjectorError> {
        let wanted = cursor.get(log);
        let mut elsewhere = Elsewhere::new(driven, log, cursor);
        loop {
            let mut drive = driven.drive.lock().await;
            if driven.is_surely_at(log, wanted) {
                return Ok(());
            }
            if let Some(error) = driven.held_up().await? {
                if driven.has_reached(log, wanted) {
                    return Ok(());
                }
                drop(drive);
                // A process of newer code may go on where this one cannot.
                if driven.is_too_old() && elsewhere.wait(self).await? {
                    continue;
                }
                return if driven.has_reached(log, wanted) { Ok(()) } else { Err(error) };
            }
            let stepped = match self.stand(driven, log, wanted).await {
                Ok(Stand::There) => return Ok(()),
                Ok(Stand::Theirs) => {
                    drop(drive);
                    elsewhere.wait(self).await?;
                    continue;
                }
                Ok(Stand::Ours(taking)) => {
                    driven.step(&mut drive, taking, &*self.store, &self.options, log, None).await
                }
                Err(error) => Err(error),
            };
            match stepped {
                Ok(step) if step.reached >= wanted => return Ok(()),
                Ok(step) if step.end => self.check_head(driven, log, cursor).await?,
                Ok(_) => *attempt = 0,
                Err(error) if is_overtaken(&error) => {
                    drop(drive);
                    self.confirm(driven).await;
                }
                Err(error) if error.is_transient() && *attempt + 1 < self.options.attempts => {
                    drop(drive);
                    self.options.timer.sleep(self.options.wait_before(*attempt)).await;
                    *attempt += 1;
                }
                // What was seen there is of events that are gone.
                Err(error @ ProjectorError::Diverged(_)) => return Err(error),
                // What precedes an event that failed was taken.
                Err(error) => return if driven.has_reached(log, wanted) { Ok(()) } else { Err(error) },
            }
        }
    }

    /// That what is waited for exists.
    async fn check_head(&self, driven: &Driven, log: LogId, cursor: &Cursor) -> Result<(), ProjectorError> {
        let head = self.head(driven).await?;
        if head.get(log) >= cursor.get(log) {
            return Ok(());
        }
        Err(ProjectorError::PastHead { projection: driven.name().clone(), cursor: cursor.clone(), head })
    }

    /// Under which lease a projection is driven by this process; takes it if it is free or its holder stands still.
    async fn stand(&self, driven: &Driven, log: LogId, wanted: Position) -> Result<Stand, ProjectorError> {
        if let Some(taking) = self.keep(driven).await? {
            return Ok(Stand::Ours(taking));
        }
        // Whoever has it may have been there already.
        if driven.look_for(&*self.store, log).await?.position >= wanted {
            return Ok(Stand::There);
        }
        match self.take(driven).await {
            Ok(Ok(taking)) => Ok(Stand::Ours(taking)),
            Ok(Err(standing)) => {
                driven.set_holder(Some(standing.to_string()));
                Ok(Stand::Theirs)
            }
            // On a replica one can wait for whoever drives it, and no more.
            Err(error) if error.is_read_only() && self.other(driven).await?.is_some() => Ok(Stand::Theirs),
            Err(error) => Err(error),
        }
    }

    /// Who else drives a projection and is alive, as far as this process has seen.
    async fn other(&self, driven: &Driven) -> Result<Option<Standing>, ProjectorError> {
        let all = self.leases.observe(&*self.read_models).await.map_err(|source| driven.lease_error(source))?;
        let held = all.into_iter().find(|standing| standing.lease.name == driven.lease);
        let held = held.filter(|held| held.lease.holder != *self.leases.holder());
        driven.set_holder(held.as_ref().map(Standing::to_string));
        Ok(held.filter(|held| held.still < self.options.lease_time))
    }

    /// The taking under which the lease is held; renews it if that was not done lately.
    pub(crate) async fn keep(&self, driven: &Driven) -> Result<Option<Taking>, ProjectorError> {
        let time = self.options.lease_time;
        if let Some(taking) = self.leases.holds(&driven.lease, time / 2) {
            return Ok(Some(taking));
        }
        if !self.leases.held(&driven.lease) {
            return Ok(None);
        }
        let renewed = self.leases.renew(&*self.read_models).await;
        let holds = self.leases.holds(&driven.lease, time);
        if holds.is_none() {
            renewed.map_err(|source| driven.lease_error(source))?;
        }
        Ok(holds)
    }

    /// Whether it was somebody else who changed what a step stood on.
    pub(crate) async fn confirm(&self, driven: &Driven) {
        if self.leases.held(&driven.lease)
            && let Err(error) = self.leases.renew(&*self.read_models).await
        {
            tracing::debug!(lease = %driven.lease, %error, "a lease could not be renewed");
        }
    }

    /// Takes the lease of a projection, with its epochs; else says who has it.
    pub(crate) async fn take(&self, driven: &Driven) -> Result<Result<Taking, Standing>, ProjectorError> {
        let raise = RaiseEpochs {
            projection: driven.name().clone(),
            version: driven.projected.version(),
            state: GenerationState::Live,
            logs: self.store.logs(),
        };
        let free = TakeLease::free(driven.lease.clone(), self.leases.holder().clone());
        let wish = TakeLease { raise: Some(raise), ..free };
        let taken = self.leases.take(&*self.read_models, wish, self.options.lease_time).await;
        taken.map_err(|source| driven.lease_error(source))
    }
}

impl Driven {
    fn lease_error(&self, source: ReadModelError) -> ProjectorError {
        self.target(ProjectedError::ReadModel(source))
    }
}

/// Who drives a projection.
enum Stand {
    Ours(Taking),
    Theirs,
    /// It is where it is wanted.
    There,
}

/// Somebody waits for what another process drives.
struct Elsewhere<'w> {
    driven: &'w Driven,
    log: LogId,
    cursor: &'w Cursor,
    wakeups: Option<Wakeups>,
}

impl<'w> Elsewhere<'w> {
    fn new(driven: &'w Driven, log: LogId, cursor: &'w Cursor) -> Self {
        Self { driven, log, cursor, wakeups: None }
    }

    /// Waits until it is there, and says so with `true`, or until nobody alive drives it, with `false`.
    async fn wait(&mut self, inner: &Inner) -> Result<bool, ProjectorError> {
        let wanted = self.cursor.get(self.log);
        let time = inner.options.lease_time;
        let (mut pause, mut asked) = (LOOKS.0, None::<Instant>);
        loop {
            if asked.is_none_or(|asked| asked.elapsed() >= time / 3) {
                asked = Some(Instant::now());
                if !self.is_driven(inner).await? {
                    return Ok(false);
                }
                inner.check_head(self.driven, self.log, self.cursor).await?;
            }
            // Of many who wait one looks, for all.
            if self.driven.is_to_look(pause) {
                self.driven.look_for(&*inner.store, self.log).await?;
            }
            if self.driven.has_reached(self.log, wanted) {
                return Ok(true);
            }
            pause = self.pause(inner, pause).await?;
        }
    }

    /// Whether somebody else who is alive drives it. What that one has met, this one need not wait for.
    async fn is_driven(&self, inner: &Inner) -> Result<bool, ProjectorError> {
        let driven = self.driven;
        if inner.other(driven).await?.is_none() {
            return Ok(false);
        }
        let at = driven.look_for(&*inner.store, self.log).await?;
        let version = driven.projected.version();
        let live = driven.generations().await?.unwrap_or_default().into_iter();
        let live = live.filter(|info| info.version == version && info.state == GenerationState::Live);
        let failure = live.filter_map(|info| info.failure).find(|failure| failure.log == self.log);
        match failure.filter(|failure| at.position < failure.position && failure.position <= self.cursor.get(self.log))
        {
            Some(failure) => {
                Err(ProjectorError::Halted { projection: driven.name().clone(), failure: Box::new(failure) })
            }
            None => Ok(true),
        }
    }

    /// A signal of the store makes the next looks frequent again.
    async fn pause(&mut self, inner: &Inner, pause: Duration) -> Result<Duration, ProjectorError> {
        let wakeups = self.wakeups.get_or_insert_with(|| inner.store.wakeups());
        let woken = std::pin::pin!(wakeups.changed());
        match future::select(woken, inner.options.timer.sleep(pause)).await {
            Either::Left((Ok(()), _)) => Ok(LOOKS.0),
            Either::Left((Err(fault), _)) => {
                let source = factum::ReadError::Fault(fault);
                Err(ProjectorError::Events { projection: self.driven.name().clone(), source })
            }
            Either::Right(_) => Ok((pause * 2).min(LOOKS.1)),
        }
    }
}
