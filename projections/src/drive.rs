//! One projection and how far it is driven: whoever needs it further drives it, one page at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use factum::{
    Batch, Checkpoint, CommitError, Cursor, EventStore, Failure, GenerationInfo, GenerationState, LogId, LogPage, Mark,
    PageLimit, Position, Projected, ProjectedError, ProjectionName, ReadLog, ReadModelError,
};
use futures_util::future;

use crate::documents::Rebuilt;
use crate::error::{Diverged, ProjectorError};
use crate::options::ProjectorOptions;

/// How many pages without a match are passed before the checkpoint is moved over them.
const EMPTY_PAGES: u32 = 64;

/// A projection that a projector drives.
pub(crate) struct Driven {
    pub(crate) projected: Arc<dyn Projected>,
    /// The same, where it keeps documents.
    pub(crate) documents: Option<Arc<dyn Rebuilt>>,
    /// Whoever holds this may drive.
    pub(crate) drive: tokio::sync::Mutex<Drive>,
    known: Mutex<Known>,
}

/// What is known of a projection without asking its store.
#[derive(Debug, Default)]
struct Known {
    reached: Cursor,
    trouble: Option<Trouble>,
    /// The event that could not be taken the last time, and how often it was tried.
    failed: Option<(LogId, Position, u32)>,
}

/// What keeps a projection from going on.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It failed on an event while its checkpoint stood here.
    Halted(Box<Failure>, Checkpoint),
    /// It met an event from newer code while its checkpoint stood here.
    Newer { log: LogId, position: Position, event_type: String, schema_version: u32, at: Checkpoint },
    /// It stands on events that the store does not hold.
    Diverged(Box<Diverged>),
    /// Its last step failed and is tried again.
    Failing(String),
}

/// What a store keeps of why a projection stands still.
pub(crate) enum Kept {
    /// It keeps no generations, and so nothing that others could see.
    Nowhere,
    None,
    Failure(Box<Failure>),
}

/// How far each log is driven.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    logs: HashMap<LogId, LogDrive>,
}

#[derive(Debug, Default)]
struct LogDrive {
    /// The checkpoint, once it was found to stand on an event of the store.
    at: Option<Checkpoint>,
    /// How far the log was looked through past the checkpoint without a match.
    looked: Option<Mark>,
    empty_pages: u32,
    /// The page that follows, where it was read beforehand, and after which position.
    ahead: Option<(Position, LogPage)>,
    page_events: usize,
    /// Whether it was said that it no longer stands still.
    cleared: bool,
}

/// What a step has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) reached: Position,
    pub(crate) events: usize,
    /// Whether the log ended there.
    pub(crate) end: bool,
}

impl Driven {
    pub(crate) fn new(projected: Arc<dyn Projected>, documents: Option<Arc<dyn Rebuilt>>) -> Self {
        Self { projected, documents, drive: tokio::sync::Mutex::default(), known: Mutex::default() }
    }

    pub(crate) fn name(&self) -> &ProjectionName {
        self.projected.name()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it was when it was last looked at.
    pub(crate) fn reached(&self) -> Cursor {
        self.known().reached.clone()
    }

    /// Whether it was seen at or past a position; never at the start, where nothing was seen yet.
    pub(crate) fn has_reached(&self, log: LogId, wanted: Position) -> bool {
        wanted > Position::START && self.known().reached.get(log) >= wanted
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.known().trouble.clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<Trouble>) {
        self.known().trouble = trouble;
    }

    /// Forgets what held it up, so that the next step is one like any other.
    pub(crate) fn try_again(&self) {
        let mut known = self.known();
        (known.trouble, known.failed) = (None, None);
    }

    /// Counts that an event could not be taken, and says how often that was.
    fn failed_at(&self, log: LogId, position: Position) -> u32 {
        let mut known = self.known();
        let before = known.failed.filter(|(in_log, at, _)| (*in_log, *at) == (log, position));
        let tries = before.map_or(1, |(_, _, tries)| tries.saturating_add(1));
        known.failed = Some((log, position, tries));
        tries
    }

    /// The checkpoint of a log, as its store has it.
    pub(crate) async fn checkpoint(&self, log: LogId) -> Result<Checkpoint, ProjectorError> {
        self.projected.checkpoint(log).await.map_err(|source| self.target(source))
    }

    /// Its generations, of every version; `None` where it keeps none.
    pub(crate) async fn generations(&self) -> Result<Option<Vec<GenerationInfo>>, ProjectorError> {
        let found = match (&self.documents, self.projected.generations()) {
            (Some(documents), _) => documents.all_generations().await.map_err(ProjectedError::from),
            (None, Some(generations)) => generations.list().await,
            (None, None) => return Ok(None),
        };
        found.map(Some).map_err(|source| self.target(source))
    }

    /// Lets its store forget why it stood still.
    pub(crate) async fn forget_failure(&self, log: LogId) -> Result<(), ProjectorError> {
        self.projected.report(log, None).await.map_err(|source| self.target(source))
    }

    async fn look(&self, log: LogId) -> Result<Checkpoint, ProjectorError> {
        let checkpoint = self.checkpoint(log).await?;
        self.known().reached.set(log, checkpoint.position);
        Ok(checkpoint)
    }

    fn target(&self, source: ProjectedError) -> ProjectorError {
        ProjectorError::Target { projection: self.name().clone(), source }
    }

    /// What its store keeps of why the live generation of its version stands still; nothing of one that keeps no generations.
    pub(crate) async fn kept_failure(&self) -> Result<Kept, ProjectorError> {
        let Some(generations) = self.generations().await? else { return Ok(Kept::Nowhere) };
        let version = self.projected.version();
        let live = |info: &GenerationInfo| info.version == version && info.state == GenerationState::Live;
        Ok(match generations.into_iter().find(live).and_then(|info| info.failure) {
            Some(failure) => Kept::Failure(Box::new(failure)),
            None => Kept::None,
        })
    }

    /// What still holds it up: a halt is over when somebody else has moved the checkpoint, or has said in the store that it
    /// shall be tried again.
    pub(crate) async fn held_up(&self) -> Result<Option<ProjectorError>, ProjectorError> {
        let (log, at) = match self.trouble() {
            Some(Trouble::Halted(failure, at)) => (failure.log, at),
            Some(Trouble::Newer { log, at, .. }) => (log, at),
            _ => return Ok(None),
        };
        let halted = matches!(self.trouble(), Some(Trouble::Halted(..)));
        if self.look(log).await? != at || (halted && matches!(self.kept_failure().await?, Kept::None)) {
            self.try_again();
        }
        Ok(self.trouble().and_then(|trouble| self.error(trouble)))
    }

    fn error(&self, trouble: Trouble) -> Option<ProjectorError> {
        let projection = self.name().clone();
        match trouble {
            Trouble::Halted(failure, _) => Some(ProjectorError::Halted { projection, failure }),
            Trouble::Newer { log, position, event_type, schema_version, .. } => {
                Some(ProjectorError::NeedsNewerCode { projection, log, position, event_type, schema_version })
            }
            Trouble::Diverged(diverged) => Some(ProjectorError::Diverged(diverged)),
            Trouble::Failing(_) => None,
        }
    }

    /// Reads a page of a log, folds and writes it.
    pub(crate) async fn step(
        &self,
        drive: &mut Drive,
        store: &dyn EventStore,
        options: &ProjectorOptions,
        log: LogId,
    ) -> Result<Step, ProjectorError> {
        let mut state = drive.logs.remove(&log).unwrap_or_default();
        let done = self.step_log(&mut state, store, options, log).await;
        match &done {
            // What is known of the log stays true only while steps succeed.
            Ok(_) => {
                drive.logs.insert(log, state);
                self.set_trouble(None);
            }
            Err(error) => metrics::counter!("factum_projection_errors_total", "projection" => self.name().to_string(),
                "transient" => if error.is_transient() { "yes" } else { "no" })
            .increment(1),
        }
        done
    }

    async fn step_log(
        &self,
        state: &mut LogDrive,
        store: &dyn EventStore,
        options: &ProjectorOptions,
        log: LogId,
    ) -> Result<Step, ProjectorError> {
        let at = match state.at {
            Some(at) => at,
            None => {
                let at = self.checkpoint(log).await?;
                self.check_ground(store, log, at).await?;
                // Only a checkpoint that stands on an event of this store is one to be waited for.
                self.known().reached.set(log, at.position);
                *state = LogDrive { at: Some(at), page_events: options.first_page(), ..LogDrive::default() };
                at
            }
        };
        let after = state.looked.map_or(at.position, |mark| mark.position);
        let page = match state.ahead.take().filter(|(ahead, _)| *ahead == after) {
            Some((_, page)) => page,
            None => self.read(store, log, after, state.page_events).await?,
        };
        let LogPage { events, reached, end } = page;
        let to = reached.filter(|mark| mark.position > after).or(state.looked);
        let Some(to) = to else { return Ok(Step { reached: at.position, events: 0, end }) };
        if events.is_empty() && !end && state.empty_pages < EMPTY_PAGES {
            state.looked = Some(to);
            state.empty_pages += 1;
            return Ok(Step { reached: at.position, events: 0, end });
        }
        let count = events.len();
        state.page_events = options.next_page(state.page_events, end);
        let batch = Batch { store: store.id(), log, from: at, to, events };
        let ahead =
            async { if end { None } else { Some(self.read(store, log, to.position, state.page_events).await) } };
        let began = Instant::now();
        // Polled first, so that the store reads while the page is folded.
        let (ahead, applied) = future::join(ahead, self.projected.apply(batch)).await;
        if let Err(error) = applied {
            return self.refused(log, error, options).await;
        }
        let at = Checkpoint { position: to.position, stands_on: Some((store.id(), to.event)), epoch: at.epoch };
        (state.at, state.looked, state.empty_pages) = (Some(at), None, 0);
        // A page that could not be read beforehand is read again when it is needed.
        state.ahead = ahead.and_then(Result::ok).map(|page| (to.position, page));
        self.known().reached.set(log, to.position);
        self.count(log, to.position, count, began.elapsed());
        if !state.cleared {
            self.forget_failure(log).await?;
            state.cleared = true;
        }
        Ok(Step { reached: to.position, events: count, end })
    }

    async fn read(
        &self,
        store: &dyn EventStore,
        log: LogId,
        after: Position,
        events: usize,
    ) -> Result<LogPage, ProjectorError> {
        let read = ReadLog::after(log, after).filter(self.projected.filter().clone()).limit(PageLimit::events(events));
        let page = store.read_log(read).await;
        page.map_err(|source| ProjectorError::Events { projection: self.name().clone(), source })
    }

    /// What a checkpoint stands on that this store does not hold.
    pub(crate) async fn diverged(
        &self,
        store: &dyn EventStore,
        log: LogId,
        at: Checkpoint,
    ) -> Result<Option<Box<Diverged>>, ProjectorError> {
        let Some((expected_store, expected)) = at.stands_on else { return Ok(None) };
        let diverged = ground(store, log, at.position, expected_store, expected).await;
        let found = diverged.map_err(|source| ProjectorError::Events { projection: self.name().clone(), source })?;
        Ok(found.map(|(found,)| {
            let (projection, position, store) = (self.name().clone(), at.position, store.id());
            Box::new(Diverged { projection, log, position, expected_store, expected, store, found })
        }))
    }

    /// That the checkpoint stands on an event of this store.
    async fn check_ground(&self, store: &dyn EventStore, log: LogId, at: Checkpoint) -> Result<(), ProjectorError> {
        let Some(diverged) = self.diverged(store, log, at).await? else { return Ok(()) };
        self.set_trouble(Some(Trouble::Diverged(diverged.clone())));
        tracing::error!(projection = %self.name(), %log, position = %at.position, "diverged");
        Err(ProjectorError::Diverged(diverged))
    }

    async fn refused(
        &self,
        log: LogId,
        error: ProjectedError,
        options: &ProjectorOptions,
    ) -> Result<Step, ProjectorError> {
        match error {
            // Somebody else has moved on: the next step begins at the checkpoint that they left.
            ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
            | ProjectedError::ReadModel(ReadModelError::Expired { .. }) => {
                metrics::counter!("factum_projection_overtaken_total", "projection" => self.name().to_string())
                    .increment(1);
                Err(self.target(error))
            }
            ProjectedError::Halted(failure) if self.failed_at(failure.log, failure.position) < options.tries => {
                Err(self.target(ProjectedError::Halted(failure)))
            }
            ProjectedError::Halted(mut failure) => {
                if let Ok(Kept::Failure(kept)) = self.kept_failure().await
                    && (kept.log, kept.position) == (failure.log, failure.position)
                {
                    // It stands still since then, whoever tried again meanwhile.
                    failure.since = kept.since;
                }
                tracing::error!(projection = %self.name(), log = %failure.log, position = %failure.position,
                    stream = %failure.stream, event_type = %failure.event_type, "halted");
                let reported = self.projected.report(log, Some((*failure).clone())).await;
                let at = self.look(log).await?;
                self.set_trouble(Some(Trouble::Halted(failure.clone(), at)));
                if let Err(source) = reported {
                    tracing::warn!(projection = %self.name(), error = %source, "the halt could not be reported");
                }
                Err(ProjectorError::Halted { projection: self.name().clone(), failure })
            }
            ProjectedError::NeedsNewerCode { position, event_type, schema_version } => {
                tracing::error!(projection = %self.name(), %log, %position, event_type, "needs newer code");
                let at = self.look(log).await?;
                let trouble = Trouble::Newer { log, position, event_type: event_type.clone(), schema_version, at };
                self.set_trouble(Some(trouble));
                let projection = self.name().clone();
                Err(ProjectorError::NeedsNewerCode { projection, log, position, event_type, schema_version })
            }
            other => Err(self.target(other)),
        }
    }
}

/// What the store has instead of the event that a checkpoint stands on; `None` if that event is there.
pub(crate) async fn ground(
    store: &dyn EventStore,
    log: LogId,
    position: Position,
    expected_store: factum::StoreId,
    expected: factum::EventId,
) -> Result<Option<(Option<factum::EventId>,)>, factum::ReadError> {
    let found = store.read_positions(log, &[position]).await?;
    let found = found.first().map(|event| event.id);
    let same = found == Some(expected) && store.id() == expected_store;
    Ok((!same).then_some((found,)))
}

/// Whether somebody else has moved the checkpoint, so that the step is to be taken again.
pub(crate) fn is_overtaken(error: &ProjectorError) -> bool {
    matches!(
        error,
        ProjectorError::Target {
            source: ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
                | ProjectedError::ReadModel(ReadModelError::Expired { .. }),
            ..
        }
    )
}
