//! One projection and how far it is driven: whoever needs it further drives it, one page at a time.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use factum::{
    Batch, Checkpoint, Cursor, Epoch, EventStore, Failure, LeaseName, LogId, LogPage, Mark, PageLimit, Position,
    Projected, ProjectedError, ProjectionName, ReadLog, ReadModelStore,
};
use futures_util::future;

use crate::error::{Diverged, ProjectorError};
use crate::failing::Lasting;
pub(crate) use crate::ground::ground;
use crate::heads::Turn;
use crate::keeper::KeptFailure;
use crate::lease::Taking;
use crate::options::ProjectorOptions;
use crate::rebuilt::Rebuilt;

/// How many pages without a match are passed before the checkpoint is moved over them.
const EMPTY_PAGES: u32 = 64;

/// A projection that a projector drives.
pub(crate) struct Driven {
    pub(crate) projected: Arc<dyn Projected>,
    /// Under which it is driven.
    pub(crate) lease: LeaseName,
    /// How many callers are waiting for it.
    pub(crate) waiting: AtomicUsize,
    /// The same, where it keeps documents.
    pub(crate) documents: Option<Arc<dyn Rebuilt>>,
    /// Whether its checkpoints lie elsewhere than the leases: then taking one raises no epoch, and it is to do that itself.
    pub(crate) apart: bool,
    /// Whoever holds this may drive.
    pub(crate) drive: tokio::sync::Mutex<Drive>,
    known: Mutex<Known>,
    /// What fails again and again, and who was told.
    lasting: Mutex<Lasting>,
}

/// What is known of a projection without asking its store.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) reached: Cursor,
    trouble: Option<Trouble>,
    /// The event that could not be taken the last time, and how often it was tried.
    failed: Option<(LogId, Position, u32)>,
    /// In which epoch the ground of a log was looked at last, and when it was last known to be there.
    pub(crate) ground: HashMap<LogId, (Epoch, Instant)>,
    /// When somebody who waits looked last where it is.
    looked: Option<Instant>,
    /// Who else drives it, in words, as far as anybody who waits has seen.
    holder: Option<String>,
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

/// How far each log is driven.
#[derive(Debug, Default)]
pub(crate) struct Drive {
    /// Under which taking of the lease: what was known under another is forgotten.
    under: Taking,
    logs: HashMap<LogId, LogDrive>,
}

impl Drive {
    fn take_under(&mut self, taking: Taking) {
        if self.under != taking {
            *self = Self { under: taking, logs: HashMap::new() };
        }
    }

    /// Forgets every page and checkpoint.
    pub(crate) fn drop_all(&mut self) {
        self.logs.clear();
    }
}

#[derive(Debug, Default)]
struct LogDrive {
    /// The checkpoint, once it was found to stand on an event of the store.
    at: Option<Checkpoint>,
    /// How far the log was looked through past the checkpoint without a match.
    looked: Option<Mark>,
    empty_pages: u32,
    /// Whether the log ended with the last page.
    at_end: bool,
    /// The page that follows, where it was read beforehand, and after which position.
    ahead: Option<(Position, LogPage)>,
    page_events: usize,
    /// Whether it was said that it no longer stands still.
    cleared: bool,
    /// Whether it was taken over from whoever drove it before.
    taken_over: bool,
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
    /// What is driven under leases of this store.
    pub(crate) fn new(
        projected: Arc<dyn Projected>,
        documents: Option<Arc<dyn Rebuilt>>,
        leases: &dyn ReadModelStore,
    ) -> Self {
        let lease = LeaseName::projection(projected.name(), projected.version());
        let (drive, known, waiting) = (tokio::sync::Mutex::default(), Mutex::default(), AtomicUsize::new(0));
        let lasting = Mutex::default();
        let its = projected.store_id();
        let apart = documents.is_none() && (its.is_none() || its != leases.store_id());
        Self { projected, lease, waiting, documents, apart, drive, known, lasting }
    }

    pub(crate) fn name(&self) -> &ProjectionName {
        self.projected.name()
    }

    pub(crate) fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn lasting(&self) -> std::sync::MutexGuard<'_, Lasting> {
        self.lasting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far it was when it was last looked at.
    pub(crate) fn reached(&self) -> Cursor {
        self.known().reached.clone()
    }

    /// Whether it was seen at or past a position; never at the start, where nothing was seen yet.
    pub(crate) fn has_reached(&self, log: LogId, wanted: Position) -> bool {
        wanted > Position::START && self.known().reached.get(log) >= wanted
    }

    /// The same, of a log of which it is known lately that what was seen is still there.
    pub(crate) fn is_surely_at(&self, log: LogId, wanted: Position) -> bool {
        self.has_reached(log, wanted) && self.is_sure_of(log)
    }

    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.known().trouble.clone()
    }

    /// Who else drives it, as far as anybody who waits has seen.
    pub(crate) fn holder(&self) -> Option<String> {
        self.known().holder.clone()
    }

    pub(crate) fn set_holder(&self, holder: Option<String>) {
        self.known().holder = holder;
    }

    pub(crate) fn is_too_old(&self) -> bool {
        matches!(self.known().trouble, Some(Trouble::Newer { .. }))
    }

    /// Forgets that a step failed which somebody else takes now.
    pub(crate) fn forgive(&self) {
        let mut known = self.known();
        known.trouble = known.trouble.take().filter(|trouble| !matches!(trouble, Trouble::Failing(_)));
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
    pub(crate) fn failed_at(&self, log: LogId, position: Position) -> u32 {
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

    /// Lets its store forget why it stood still.
    pub(crate) async fn forget_failure(&self, log: LogId) -> Result<(), ProjectorError> {
        self.projected.report(log, None).await.map_err(|source| self.target(source))
    }

    pub(crate) async fn look(&self, log: LogId) -> Result<Checkpoint, ProjectorError> {
        let checkpoint = self.checkpoint(log).await?;
        self.known().reached.set(log, checkpoint.position);
        Ok(checkpoint)
    }

    /// Whether nobody has looked for so long; then whoever asks is to.
    pub(crate) fn is_to_look(&self, pause: Duration) -> bool {
        let mut known = self.known();
        let is_to = known.looked.is_none_or(|looked| looked.elapsed() >= pause);
        known.looked = if is_to { Some(Instant::now()) } else { known.looked };
        is_to
    }

    pub(crate) fn target(&self, source: ProjectedError) -> ProjectorError {
        ProjectorError::Target { projection: self.name().clone(), source }
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
        if self.look(log).await? != at || (halted && matches!(self.kept_failure().await?, KeptFailure::None)) {
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

    /// Reads a page of a log, folds and writes it, under this taking of the lease.
    pub(crate) async fn step(
        &self,
        drive: &mut Drive,
        taking: Taking,
        store: &dyn EventStore,
        options: &ProjectorOptions,
        log: LogId,
        turn: Option<Turn<'_>>,
    ) -> Result<Step, ProjectorError> {
        drive.take_under(taking);
        let mut state = drive.logs.remove(&log).unwrap_or_default();
        let done = self.step_log(&mut state, store, options, log, turn).await;
        match &done {
            Ok(_) => {
                drive.logs.insert(log, state);
                self.set_trouble(None);
            }
            // What else is known of the log stays true only while steps succeed.
            Err(error) => {
                drive.logs.insert(log, LogDrive { taken_over: state.taken_over, ..LogDrive::default() });
                metrics::counter!("factum_projection_errors_total", "projection" => self.name().to_string(),
                "transient" => if error.is_transient() { "yes" } else { "no" })
                .increment(1);
            }
        }
        done
    }

    async fn step_log(
        &self,
        state: &mut LogDrive,
        store: &dyn EventStore,
        options: &ProjectorOptions,
        log: LogId,
        turn: Option<Turn<'_>>,
    ) -> Result<Step, ProjectorError> {
        let at = match state.at {
            Some(at) => at,
            None => {
                let at = match self.apart && !state.taken_over {
                    true => self.projected.take_over(log).await.map_err(|source| self.target(source))?,
                    false => self.checkpoint(log).await?,
                };
                state.taken_over = true;
                self.check_ground(store, log, at).await?;
                self.be_sure_of(log, at.epoch, Instant::now());
                // Only a checkpoint that stands on an event of this store is one to be waited for.
                self.known().reached.set(log, at.position);
                *state = LogDrive {
                    at: Some(at),
                    page_events: options.first_page(),
                    taken_over: true,
                    ..LogDrive::default()
                };
                at
            }
        };
        let mut after = state.looked.map_or(at.position, |mark| mark.position);
        let beforehand = state.ahead.take().filter(|(ahead, _)| *ahead == after);
        let mut read_before = [state.looked, beforehand.as_ref().and_then(|(_, page)| page.reached)];
        let mut paused = !self.is_sure_of(log);
        let mut page = match beforehand {
            Some((_, page)) => page,
            None => {
                let limit = options.limit(state.page_events);
                let read = async {
                    match turn.filter(|_| state.at_end) {
                        Some(turn) => {
                            let page = turn.read(store, log, after, self.projected.filter(), limit);
                            page.await.map_err(|source| self.events(source))
                        }
                        None => self.read(store, log, after, limit).await,
                    }
                };
                let (page, sure) = future::join(read, self.make_sure_of(store, log, at)).await;
                sure?;
                page?
            }
        };
        // A page that was long on its way may be of a store that was restored since its ground was looked at beside it.
        if !self.is_sure_of(log) {
            (read_before[1], paused) = (page.reached, true);
        }
        self.make_sure_of(store, log, at).await?;
        self.be_sure_of(log, at.epoch, Instant::now());
        if paused && !self.holds_still(store, log, read_before).await? {
            (state.looked, after) = (None, at.position);
            page = self.read(store, log, after, options.limit(state.page_events)).await?;
        }
        let LogPage { events, reached, end } = page;
        state.at_end = end;
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
        let ahead = async {
            if end { None } else { Some(self.read(store, log, to.position, options.limit(state.page_events)).await) }
        };
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
        limit: PageLimit,
    ) -> Result<LogPage, ProjectorError> {
        let read = ReadLog::after(log, after).filter(self.projected.filter().clone()).limit(limit);
        store.read_log(read).await.map_err(|source| self.events(source))
    }

    fn events(&self, source: factum::ReadError) -> ProjectorError {
        ProjectorError::Events { projection: self.name().clone(), source }
    }
}
