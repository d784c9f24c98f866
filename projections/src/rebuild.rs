//! A replay at work: it reads the next page while one is folded, and folds on while what was folded is written.

mod verified;

use std::time::Instant;

use factum::{
    Checkpoint, CommitError, Cursor, EventStore, Failure, Generation, LogId, LogPage, Mark, PageLimit, Position,
    Projected, ProjectedError, ReadLog, ReadModelError, Switch, SwitchError,
};
use futures_util::future::{BoxFuture, MaybeDone, maybe_done};
use futures_util::poll;

use crate::ahead::Ahead;
use crate::documents::Documents;
use crate::drive::{Driven, ground};
use crate::fields::{are_declared, kept};
use crate::fold::{Failed, Fold, Page, Stopped, Why};
use crate::ground::{Footing, PAUSE};
use crate::projection::Projection;
use crate::replay::{Progress, ReplayPhase, ReplayProgress, ReplayReport, keep_old, not_beyond, up_to};
use crate::replay_error::ReplayError;
use crate::replay_options::{ReplayOptions, What};
use crate::turns::yield_now;
use crate::verify::VerifyReport;

/// How often the new generation may be found behind before the live one is held still for the switch.
pub(crate) const RACES: u32 = 3;

/// A commit waits for this many events of each document that it writes, and for this many in any case.
const EVENTS_EACH: u64 = 16;
const COMMIT_EVENTS: u64 = 50_000;

type Writing<'a> = MaybeDone<BoxFuture<'a, Result<(), CommitError>>>;

pub(crate) struct Rebuild<'a, P: Projection> {
    documents: &'a Documents<P>,
    store: &'a dyn EventStore,
    options: &'a ReplayOptions,
    started: Instant,
    generation: Generation,
    live: Generation,
    live_diverged: bool,
    logs: Vec<LogRebuild<P>>,
    /// The commit that was sent last.
    writing: Option<Writing<'a>>,
    resumed_at: Option<Cursor>,
    failed_before: bool,
    head: Cursor,
    events: u64,
}

struct LogRebuild<P: Projection> {
    log: LogId,
    fold: Fold<P>,
    /// Where the generation stands once everything that was sent is written.
    sent: Checkpoint,
    /// How far the log is folded.
    folded: Option<Mark>,
    events_waiting: u64,
}

impl<P: Projection> LogRebuild<P> {
    fn position(&self) -> Position {
        self.folded.map_or(self.sent.position, |mark| mark.position)
    }
}

impl<'a, P: Projection> Rebuild<'a, P> {
    /// Finds the generation that an earlier replay left, or makes one; or reopens one that was retired.
    pub(crate) async fn begin(
        documents: &'a Documents<P>,
        store: &'a dyn EventStore,
        options: &'a ReplayOptions,
        what: What,
    ) -> Result<Self, ReplayError> {
        let started = Instant::now();
        let new = documents.new_generation();
        let target = |source| target(documents, ProjectedError::ReadModel(source));
        let live = documents.read_models.open(&new).await.map_err(target)?.generation;
        let (_, live_diverged) = checkpoints(documents, store, live).await?;
        let mut info = match what {
            What::Built => documents.read_models.build(&new).await.map_err(target)?,
            What::Reopened(generation) => {
                documents.read_models.reopen(&documents.name, generation).await.map_err(target)?
            }
        };
        let (mut stands, diverged) = checkpoints(documents, store, info.generation).await?;
        if diverged && let What::Reopened(generation) = what {
            return Err(ReplayError::Ungrounded { projection: documents.name.clone(), generation });
        }
        let other_fields = matches!(what, What::Built) && !are_declared::<P>(&info.fields);
        if diverged || other_fields {
            // What an earlier replay left was folded from events that are gone, or without a field: nobody reads it, and
            // nobody ever could.
            documents.read_models.drop_generation(&documents.name, info.generation).await.map_err(target)?;
            info = documents.read_models.build(&new).await.map_err(target)?;
            (stands, _) = checkpoints(documents, store, info.generation).await?;
        }
        let generation = info.generation;
        not_beyond(&documents.name, options, &info)?;
        let fields = kept::<P>(info.fields.clone());
        tracing::info!(projection = %documents.name, %generation, from = %info.checkpoint, "replay");
        let log_rebuild = |(log, sent): (LogId, Checkpoint)| {
            let fold = documents.cold(documents.shard(generation, log), sent.position, fields.clone());
            LogRebuild { log, fold, sent, folded: None, events_waiting: 0 }
        };
        let resumed_at = (info.checkpoint != Cursor::start()).then_some(info.checkpoint);
        Ok(Self {
            documents,
            store,
            options,
            started,
            generation,
            live,
            live_diverged,
            logs: stands.into_iter().map(log_rebuild).collect(),
            writing: None,
            resumed_at,
            failed_before: info.failure.is_some(),
            head: Cursor::start(),
            events: 0,
        })
    }

    /// Folds everything, and switches.
    pub(crate) async fn run(mut self, driven: &Driven, progress: Progress<'_>) -> Result<ReplayReport, ReplayError> {
        let (mut still, mut races, mut verified) = (None, 0, None);
        loop {
            for n in 0..self.logs.len() {
                self.fold_log(n, progress).await?;
            }
            self.written().await?;
            self.clear_failure().await?;
            if self.options.verify && verified.is_none() {
                verified = Some(self.verify(progress).await?);
            }
            if self.options.to.is_some() {
                return Ok(self.done(verified, false, None));
            }
            match self.switch().await {
                Ok(()) => break,
                // The live one has moved on meanwhile.
                Err(SwitchError::Behind { .. }) => {
                    races += 1;
                    if races == RACES {
                        still = Some(driven.drive.lock().await);
                    }
                }
                Err(error) => return Err(self.switch_failed(error)),
            }
        }
        drop(still);
        self.documents.forget();
        driven.set_trouble(None);
        let kept = keep_old(driven, self.live, self.options.keep_old).await;
        metrics::counter!("factum_replays_total", "projection" => self.documents.name.to_string()).increment(1);
        Ok(self.done(verified, true, kept))
    }

    fn done(self, verified: Option<VerifyReport>, live: bool, kept: Option<Generation>) -> ReplayReport {
        ReplayReport {
            projection: self.documents.name.clone(),
            generation: self.generation,
            live,
            position: self.position(),
            kept,
            verified,
            events: self.events,
            seconds: self.started.elapsed().as_secs_f64(),
            resumed_at: self.resumed_at,
        }
    }

    fn position(&self) -> Cursor {
        let mut position = Cursor::start();
        self.logs.iter().for_each(|log| position.set(log.log, log.position()));
        position
    }

    async fn fold_log(&mut self, n: usize, progress: Progress<'_>) -> Result<(), ReplayError> {
        let (mut pages, mut came) = (Ahead::new(self.store, self.read(n)), None::<Instant>);
        while let Some(page) = pages.next().await {
            let events = |source| ReplayError::Events { projection: self.documents.name.clone(), source };
            let LogPage { events, reached, end } = page.map_err(events)?;
            if came.is_none_or(|came| came.elapsed() >= PAUSE)
                && !pages.beside(self.footing(n).look_down(self.store, reached)).await?
            {
                (pages, came) = (Ahead::new(self.store, self.read(n)), None);
                continue;
            }
            came = Some(Instant::now());
            let Some(reached) = reached.filter(|mark| mark.position > self.logs[n].position()) else { break };
            let page = Page::decode(events, P::EVENT_TYPES);
            pages.beside(self.fold_page(n, page, reached)).await?;
            pages.beside(self.report_progress(end, progress)).await?;
            yield_now().await;
        }
        self.write(n).await
    }

    /// What was folded, and else what was sent, is what more is folded on.
    fn footing(&self, n: usize) -> Footing<'a> {
        let log = &self.logs[n];
        let folded = log.folded.map(|mark| (mark.position, (self.store.id(), mark.event)));
        let sent = log.sent.stands_on.map(|stands_on| (log.sent.position, stands_on));
        let (projection, generation) = (&self.documents.name, self.generation);
        Footing { projection, generation, log: log.log, at: folded.or(sent) }
    }

    fn read(&self, n: usize) -> ReadLog {
        let limit = PageLimit::events(self.options.page_events).with_bytes(16 << 20);
        let log = &self.logs[n];
        let read = ReadLog::after(log.log, log.position()).filter(self.documents.filter().clone()).limit(limit);
        up_to(read, self.options)
    }

    async fn fold_page(&mut self, n: usize, mut page: Page<P::Event>, reached: Mark) -> Result<(), ReplayError> {
        let log = &mut self.logs[n];
        if page.stopped.is_none() {
            match log.fold.page(&page).await {
                Ok(()) => {}
                Err(Failed::At(index, cause)) => page.cut(index, cause),
                Err(Failed::Load(error)) => return Err(target(self.documents, error.into())),
            }
        }
        if let Some(stopped) = page.stopped {
            return Err(self.stopped(n, stopped).await);
        }
        let events = page.events.len() as u64;
        log.folded = Some(reached);
        log.events_waiting += events;
        self.events += events;
        // Early enough that the memory of a long replay is that of a short one, late enough that a document is written
        // once for many of its events.
        let enough = (EVENTS_EACH * log.fold.changed() as u64).max(COMMIT_EVENTS).min(self.options.commit_events);
        let due = log.fold.has_much_to_keep() || log.events_waiting >= enough || log.fold.is_large();
        if due { self.write(n).await } else { Ok(()) }
    }

    /// Sends what was folded since the last time, once that is written.
    async fn write(&mut self, n: usize) -> Result<(), ReplayError> {
        let Some(to) = self.logs[n].folded.take() else { return Ok(()) };
        self.written().await?;
        let log = &mut self.logs[n];
        let commit = match log.fold.take_commit(self.store.id(), log.sent.position, log.sent.epoch, to) {
            Ok(commit) => commit,
            Err((position, cause)) => return Err(self.unserializable(n, position, cause).await),
        };
        log.sent.position = to.position;
        log.sent.stands_on = Some((self.store.id(), to.event));
        log.events_waiting = 0;
        let mut writing = maybe_done(self.documents.read_models.commit(commit));
        let _ = poll!(&mut writing);
        self.writing = Some(writing);
        Ok(())
    }

    /// Waits for the commit that was sent last.
    async fn written(&mut self) -> Result<(), ReplayError> {
        let Some(mut writing) = self.writing.take() else { return Ok(()) };
        (&mut writing).await;
        let written = std::pin::Pin::new(&mut writing).take_output();
        written.unwrap_or(Ok(())).map_err(|error| self.commit_failed(error))
    }

    async fn report_progress(&mut self, end: bool, progress: Progress<'_>) -> Result<(), ReplayError> {
        let position = self.position();
        if end || !matches!(position.partial_cmp(&self.head), Some(std::cmp::Ordering::Less)) {
            let events = |source| ReplayError::Events { projection: self.documents.name.clone(), source };
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
            for log in &self.logs {
                let cleared = self.documents.read_models.report(log.fold.shard(), log.sent.epoch, None).await;
                cleared.map_err(|error| self.commit_failed(error))?;
            }
        }
        Ok(())
    }

    async fn switch(&mut self) -> Result<(), SwitchError> {
        let (projection, keep_old) = (self.documents.name.clone(), Some(self.options.keep_old));
        let switch = Switch { projection, from: self.live, to: self.generation, keep_old };
        match self.live_diverged {
            true => self.documents.read_models.switch_diverged(&switch).await,
            false => self.documents.read_models.switch(&switch).await,
        }
    }

    /// What a fold stopped at is reported where `status` shows it.
    async fn stopped(&mut self, n: usize, stopped: Stopped) -> ReplayError {
        let projection = self.documents.name.clone();
        match &stopped.why {
            Why::Newer(schema_version) => ReplayError::NeedsNewerCode {
                projection,
                log: stopped.log,
                position: stopped.position,
                event_type: stopped.event_type,
                schema_version: *schema_version,
            },
            Why::Failed(cause) => self.halted(n, stopped.failure(cause)).await,
        }
    }

    async fn halted(&mut self, n: usize, failure: Failure) -> ReplayError {
        if let Err(error) = self.written().await {
            return error;
        }
        let log = &self.logs[n];
        let reported = self.documents.read_models.report(log.fold.shard(), log.sent.epoch, Some(failure.clone())).await;
        if let Err(error) = reported {
            tracing::warn!(projection = %self.documents.name, %error, "the failure of a replay could not be reported");
        }
        ReplayError::Halted { projection: self.documents.name.clone(), failure: Box::new(failure) }
    }

    async fn unserializable(&mut self, n: usize, position: Position, cause: String) -> ReplayError {
        let found = self.store.read_positions(self.logs[n].log, &[position]).await;
        match found.map(|events| events.into_iter().next()) {
            Ok(Some(event)) => {
                let stopped = Stopped::at(&event, Why::Failed(cause));
                self.stopped(n, stopped).await
            }
            Ok(None) => {
                let projection = self.documents.name.clone();
                target(self.documents, ProjectedError::ReadModel(ReadModelError::Damaged { projection, what: cause }))
            }
            Err(source) => ReplayError::Events { projection: self.documents.name.clone(), source },
        }
    }

    fn commit_failed(&self, error: CommitError) -> ReplayError {
        match error {
            CommitError::Stale { .. } | CommitError::Superseded { .. } => {
                ReplayError::AnotherReplay { projection: self.documents.name.clone(), found: error.to_string() }
            }
            error => target(self.documents, error.into()),
        }
    }

    fn switch_failed(&self, error: SwitchError) -> ReplayError {
        let projection = self.documents.name.clone();
        match error {
            SwitchError::NotLive { .. } => ReplayError::AnotherReplay { projection, found: error.to_string() },
            source => ReplayError::Switch { projection, source },
        }
    }
}

/// The checkpoints of a generation, and whether one stands on an event that the store does not hold.
async fn checkpoints<P: Projection>(
    documents: &Documents<P>,
    store: &dyn EventStore,
    generation: Generation,
) -> Result<(Vec<(LogId, Checkpoint)>, bool), ReplayError> {
    let (mut all, mut diverged) = (Vec::new(), false);
    for log in store.logs() {
        let checkpoint = documents.read_models.checkpoint(&documents.shard(generation, log)).await;
        let at = checkpoint.map_err(|source| target(documents, source.into()))?;
        if let Some((expected_store, expected)) = at.stands_on {
            let found = ground(store, log, at.position, expected_store, expected).await;
            let events = |source| ReplayError::Events { projection: documents.name.clone(), source };
            diverged |= found.map_err(events)?.is_some();
        }
        all.push((log, at));
    }
    Ok((all, diverged))
}

fn target<P: Projection>(documents: &Documents<P>, source: ProjectedError) -> ReplayError {
    ReplayError::Target { projection: documents.name.clone(), source }
}
