//! A replay of what keeps generations of its own, such as a store's tables: page by page into the next one.

use std::time::Instant;

use factum::{
    Batch, Checkpoint, CommitError, Cursor, EventStore, Failure, Generation, Generations, LogId, LogPage, Mark,
    PageLimit, ProjectedError, ReadLog, ReadModelError, SwitchError,
};

use crate::ahead::Ahead;
use crate::drive::{Driven, ground};
use crate::ground::{Footing, PAUSE};
use crate::rebuild::RACES;
use crate::replay::{Progress, ReplayPhase, ReplayProgress, ReplayReport, keep_old, not_beyond, up_to};
use crate::replay_error::ReplayError;
use crate::replay_options::{ReplayOptions, What};
use crate::turns::yield_now;

pub(crate) struct GenerationsReplay<'a> {
    driven: &'a Driven,
    generations: &'a dyn Generations,
    store: &'a dyn EventStore,
    options: &'a ReplayOptions,
    started: Instant,
    generation: Generation,
    live: Generation,
    live_diverged: bool,
    /// Where the generation stands in each log.
    logs: Vec<(LogId, Checkpoint)>,
    resumed_at: Option<Cursor>,
    failed_before: bool,
    head: Cursor,
    events: u64,
}

impl<'a> GenerationsReplay<'a> {
    /// Finds the generation that an earlier replay left, or makes one; or reopens one that was retired.
    pub(crate) async fn begin(
        driven: &'a Driven,
        generations: &'a dyn Generations,
        store: &'a dyn EventStore,
        options: &'a ReplayOptions,
        what: What,
    ) -> Result<Self, ReplayError> {
        let started = Instant::now();
        let target = |source| target(driven, source);
        let live = generations.open().await.map_err(target)?.generation;
        let (_, live_diverged) = checkpoints(driven, generations, store, live, false).await?;
        let mut info = match what {
            What::Built => generations.build().await.map_err(target)?,
            What::Reopened(generation) => generations.reopen(generation).await.map_err(target)?,
        };
        // Where the lease of replays is of another store, whoever replayed it before is fenced off here.
        let (mut logs, diverged) = checkpoints(driven, generations, store, info.generation, driven.apart).await?;
        if diverged && let What::Reopened(generation) = what {
            return Err(ReplayError::Ungrounded { projection: driven.name().clone(), generation });
        }
        if diverged {
            // What an earlier replay left was made of events that are gone: nobody reads it, and nobody ever could.
            generations.drop_generation(info.generation).await.map_err(target)?;
            info = generations.build().await.map_err(target)?;
            (logs, _) = checkpoints(driven, generations, store, info.generation, false).await?;
        }
        let generation = info.generation;
        not_beyond(driven.name(), options, &info)?;
        tracing::info!(projection = %driven.name(), %generation, from = %info.checkpoint, "replay");
        let resumed_at = (info.checkpoint != Cursor::start()).then_some(info.checkpoint);
        let (failed_before, head) = (info.failure.is_some(), Cursor::start());
        Ok(Self {
            driven,
            generations,
            store,
            options,
            started,
            generation,
            live,
            live_diverged,
            logs,
            resumed_at,
            failed_before,
            head,
            events: 0,
        })
    }

    /// Applies everything, and switches.
    pub(crate) async fn run(mut self, progress: Progress<'_>) -> Result<ReplayReport, ReplayError> {
        let (mut still, mut races) = (None, 0);
        loop {
            for n in 0..self.logs.len() {
                self.apply_log(n, progress).await?;
            }
            self.clear_failure().await?;
            if self.options.to.is_some() {
                return Ok(self.done(false, None));
            }
            match self.switch().await {
                Ok(()) => break,
                // The live one has moved on meanwhile.
                Err(SwitchError::Behind { .. }) => {
                    races += 1;
                    if races == RACES {
                        still = Some(self.driven.drive.lock().await);
                    }
                }
                Err(error) => return Err(self.switch_failed(error)),
            }
        }
        drop(still);
        self.driven.set_trouble(None);
        let kept = keep_old(self.driven, self.live, self.options.keep_old).await;
        metrics::counter!("factum_replays_total", "projection" => self.driven.name().to_string()).increment(1);
        Ok(self.done(true, kept))
    }

    fn done(self, live: bool, kept: Option<Generation>) -> ReplayReport {
        ReplayReport {
            projection: self.driven.name().clone(),
            generation: self.generation,
            live,
            position: self.position(),
            kept,
            verified: None,
            events: self.events,
            seconds: self.started.elapsed().as_secs_f64(),
            resumed_at: self.resumed_at,
        }
    }

    fn position(&self) -> Cursor {
        let mut position = Cursor::start();
        self.logs.iter().for_each(|(log, at)| position.set(*log, at.position));
        position
    }

    async fn apply_log(&mut self, n: usize, progress: Progress<'_>) -> Result<(), ReplayError> {
        let (mut pages, mut passed, mut came) = (self.pages(n), None, None::<Instant>);
        while let Some(page) = pages.next().await {
            let events = |source| ReplayError::Events { projection: self.driven.name().clone(), source };
            let LogPage { events, reached, end } = page.map_err(events)?;
            if came.is_none_or(|came| came.elapsed() >= PAUSE)
                && !pages.beside(self.footing(n).look_down(self.store, passed.into_iter().chain(reached))).await?
            {
                (pages, passed, came) = (self.pages(n), None, None);
                continue;
            }
            (passed, came) = (reached, Some(Instant::now()));
            let Some(reached) = reached.filter(|mark| mark.position > self.logs[n].1.position) else { break };
            // A page without a match need not be written, unless it is the last.
            if !events.is_empty() || end {
                pages.beside(self.apply(n, events, reached)).await?;
            }
            pages.beside(self.report_progress(end, progress)).await?;
            yield_now().await;
        }
        Ok(())
    }

    fn pages(&self, n: usize) -> Ahead<'a> {
        let (log, from) = self.logs[n];
        let limit = PageLimit::events(self.options.page_events).with_bytes(16 << 20);
        let read = ReadLog::after(log, from.position).filter(self.driven.projected.filter().clone()).limit(limit);
        Ahead::new(self.store, up_to(read, self.options))
    }

    fn footing(&self, n: usize) -> Footing<'a> {
        let (log, at) = self.logs[n];
        let at = at.stands_on.map(|stands_on| (at.position, stands_on));
        Footing { projection: self.driven.name(), generation: self.generation, log, at }
    }

    async fn apply(&mut self, n: usize, events: Vec<factum::RecordedEvent>, to: Mark) -> Result<(), ReplayError> {
        let (log, from) = self.logs[n];
        let (store, count) = (self.store.id(), events.len() as u64);
        let applied = self.generations.apply_to(self.generation, Batch { store, log, from, to, events }).await;
        match applied {
            Ok(()) => {}
            Err(ProjectedError::Halted(failure)) => return Err(self.halted(log, failure).await),
            Err(error) => return Err(self.apply_failed(log, error)),
        }
        self.logs[n].1 = Checkpoint { position: to.position, stands_on: Some((store, to.event)), epoch: from.epoch };
        self.events += count;
        Ok(())
    }

    async fn report_progress(&mut self, end: bool, progress: Progress<'_>) -> Result<(), ReplayError> {
        let position = self.position();
        if end || !matches!(position.partial_cmp(&self.head), Some(std::cmp::Ordering::Less)) {
            let events = |source| ReplayError::Events { projection: self.driven.name().clone(), source };
            self.head = match &self.options.to {
                Some(to) => to.clone(),
                None => self.store.head().await.map_err(events)?,
            };
        }
        let (generation, head, elapsed) = (self.generation, self.head.clone(), self.started.elapsed());
        let (phase, from) = (ReplayPhase::Folding, self.resumed_at.clone().unwrap_or_else(Cursor::start));
        progress(ReplayProgress { generation, phase, from, position, head, events: self.events, elapsed });
        Ok(())
    }

    /// Says that what an earlier replay failed on has been taken.
    async fn clear_failure(&mut self) -> Result<(), ReplayError> {
        if std::mem::take(&mut self.failed_before) {
            for (log, _) in self.logs.clone() {
                let cleared = self.generations.report_of(self.generation, log, None).await;
                cleared.map_err(|error| self.apply_failed(log, error))?;
            }
        }
        Ok(())
    }

    async fn switch(&self) -> Result<(), SwitchError> {
        let keep_old = Some(self.options.keep_old);
        match self.live_diverged {
            true => self.generations.switch_diverged(self.live, self.generation, keep_old).await,
            false => self.generations.switch(self.live, self.generation, keep_old).await,
        }
    }

    /// What it stopped at is reported where `status` shows it.
    async fn halted(&self, log: LogId, failure: Box<Failure>) -> ReplayError {
        let reported = self.generations.report_of(self.generation, log, Some((*failure).clone())).await;
        if let Err(error) = reported {
            tracing::warn!(projection = %self.driven.name(), %error, "the failure of a replay could not be reported");
        }
        ReplayError::Halted { projection: self.driven.name().clone(), failure }
    }

    fn apply_failed(&self, log: LogId, error: ProjectedError) -> ReplayError {
        let projection = self.driven.name().clone();
        match error {
            ProjectedError::NeedsNewerCode { position, event_type, schema_version } => {
                ReplayError::NeedsNewerCode { projection, log, position, event_type, schema_version }
            }
            ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
            | ProjectedError::ReadModel(ReadModelError::Expired { .. }) => {
                ReplayError::AnotherReplay { projection, found: error.to_string() }
            }
            error => target(self.driven, error),
        }
    }

    fn switch_failed(&self, error: SwitchError) -> ReplayError {
        let projection = self.driven.name().clone();
        match error {
            SwitchError::NotLive { .. } => ReplayError::AnotherReplay { projection, found: error.to_string() },
            source => ReplayError::Switch { projection, source },
        }
    }
}

/// The checkpoints of a generation, which may be taken over first, and whether one stands on an event that the store does not hold.
async fn checkpoints(
    driven: &Driven,
    generations: &dyn Generations,
    store: &dyn EventStore,
    generation: Generation,
    take_over: bool,
) -> Result<(Vec<(LogId, Checkpoint)>, bool), ReplayError> {
    let (mut all, mut diverged) = (Vec::new(), false);
    for log in store.logs() {
        let at = match take_over {
            true => generations.take_over_of(generation, log).await,
            false => generations.checkpoint_of(generation, log).await,
        };
        let at = at.map_err(|source| target(driven, source))?;
        if let Some((expected_store, expected)) = at.stands_on {
            let found = ground(store, log, at.position, expected_store, expected).await;
            let events = |source| ReplayError::Events { projection: driven.name().clone(), source };
            diverged |= found.map_err(events)?.is_some();
        }
        all.push((log, at));
    }
    Ok((all, diverged))
}

fn target(driven: &Driven, source: ProjectedError) -> ReplayError {
    ReplayError::Target { projection: driven.name().clone(), source }
}
