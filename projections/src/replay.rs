//! Building a read model anew from history, while the old one serves.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use factum::{Cursor, Generation, GenerationInfo, ProjectionName, ReadLog};
use serde::Serialize;

use crate::drive::Driven;
use crate::keeper::Keeper;
use crate::projector::{Inner, Projector};
use crate::replay_error::ReplayError;
use crate::replay_generations::GenerationsReplay;
use crate::replay_options::{ReplayOptions, What};
use crate::verify::VerifyReport;

/// How much more often a replay is tried again than a call that somebody waits for: a server may take a while to restart.
const PATIENCE: u32 = 2;

/// What a replay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReplayPhase {
    /// It folds history into the new generation.
    Folding,
    /// It compares what it has built with another fold.
    Verifying,
}

/// How far a replay is.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayProgress {
    /// The generation that it builds.
    pub generation: Generation,
    /// What it does.
    pub phase: ReplayPhase,
    /// Where it began, or went on after an earlier one.
    pub from: Cursor,
    /// How far it has folded.
    pub position: Cursor,
    /// How far it has to fold: the head as of now, or where it was told to end.
    pub head: Cursor,
    /// How many events it has folded since it began or was resumed.
    pub events: u64,
    /// For how long it has run since.
    pub elapsed: Duration,
}

impl ReplayProgress {
    /// How many events it folds in a second.
    pub fn events_per_second(&self) -> f64 {
        per_second(self.events, self.elapsed)
    }

    /// How much longer it takes at this rate, where positions count events; `None` before that is known.
    pub fn time_left(&self) -> Option<Duration> {
        let (done, left) =
            (events_to(&self.position) - events_to(&self.from), events_to(&self.head) - events_to(&self.position));
        let seconds = self.elapsed.as_secs_f64() * left.max(0.0) / done;
        if done > 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
    }

    /// What part of the way is done, from 0 to 1, where positions count events.
    pub fn fraction(&self) -> f64 {
        let head = events_to(&self.head);
        if head > 0.0 { (events_to(&self.position) / head).min(1.0) } else { 1.0 }
    }
}

/// What a replay has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The projection.
    pub projection: ProjectionName,
    /// The generation that was built.
    pub generation: Generation,
    /// Whether it is live now: unless it was only to be built to a position.
    pub live: bool,
    /// How far it was built; where it is live, it goes on.
    pub position: Cursor,
    /// The generation whose place it took, if that is kept.
    pub kept: Option<Generation>,
    /// What the verification has found, if there was to be one: every document as it should be.
    pub verified: Option<VerifyReport>,
    /// How many events were folded; after a resumption, since then.
    pub events: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Where it went on after an earlier replay that had not ended; `None` if it began at the start.
    pub resumed_at: Option<Cursor>,
}

impl ReplayReport {
    /// How many events were folded in a second.
    pub fn events_per_second(&self) -> f64 {
        per_second(self.events, Duration::from_secs_f64(self.seconds))
    }
}

fn per_second(events: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { events as f64 / time.as_secs_f64() }
}

/// Told how far a replay is, after every page.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(ReplayProgress) + Send);

impl Projector {
    /// Builds the read model of a projection anew from history in a generation of its own, while the live one serves;
    /// when it has caught up, it takes the other's place in one step.
    ///
    /// A replay that was stopped, even killed, leaves the live one as it was; the next one goes on where its last commit
    /// was. A store that is away for a while is tried again, twice [as often](crate::ProjectorOptions::attempts) as a caller
    /// tries: about half a minute by default. What it replaces is kept for a while, as [`ReplayOptions::keep_old`] says, and
    /// one can [go back](Projector::switch_to) to it. `progress` is called after each page, and nothing is printed.
    ///
    /// # Errors
    /// [`ReplayError`]; the live read model is then as it was.
    pub async fn replay(
        &self,
        name: &str,
        options: ReplayOptions,
        mut progress: impl FnMut(ReplayProgress) + Send,
    ) -> Result<ReplayReport, ReplayError> {
        let driven = self.inner.find::<ReplayError>(name)?;
        self.inner.replay(driven, &options, What::Built, &mut progress).await
    }
}

/// How many events lie up to a cursor, in all logs.
fn events_to(cursor: &Cursor) -> f64 {
    cursor.positions().map(|(_, position)| position.get() as f64).sum()
}

impl Inner {
    pub(crate) async fn replay(
        &self,
        driven: &Driven,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError> {
        let projection = || driven.name().clone();
        let keeper = driven.keeper().ok_or_else(|| ReplayError::NotDocuments { projection: projection() })?;
        self.goal(driven, options).await?;
        if options.verify && matches!(keeper, Keeper::Tables(_)) {
            return Err(ReplayError::NotVerifiable { projection: projection() });
        }
        let replay = async {
            driven.drop_expired().await;
            let (tried, tries) = (AtomicU32::new(0), self.options.attempts.saturating_mul(PATIENCE));
            loop {
                let mut progress = |so_far: ReplayProgress| {
                    tried.store(0, Ordering::Relaxed);
                    progress(so_far);
                };
                match self.replay_once(driven, keeper, options, what, &mut progress).await {
                    // A server that restarts is back soon, and what was committed is gone on with.
                    Err(error) if error.is_transient() && tried.load(Ordering::Relaxed) + 1 < tries => {
                        let attempt = tried.fetch_add(1, Ordering::Relaxed);
                        tracing::warn!(projection = %driven.name(), %error, attempt, "a replay goes on after a while");
                        self.options.timer.sleep(self.options.wait_before(attempt)).await;
                    }
                    done => break done,
                }
            }
        };
        self.alone(driven, replay).await
    }

    async fn replay_once(
        &self,
        driven: &Driven,
        keeper: Keeper<'_>,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError> {
        match keeper {
            Keeper::Documents(documents) => documents.replay(driven, &*self.store, options, what, progress).await,
            Keeper::Tables(generations) => {
                let replay = GenerationsReplay::begin(driven, generations, &*self.store, options, what).await?;
                replay.run(progress).await
            }
        }
    }
}

/// Whether what was replaced is kept; drops it at once where it is not to be.
pub(crate) async fn keep_old(driven: &Driven, old: Generation, keep: Duration) -> Option<Generation> {
    if !keep.is_zero() {
        return Some(old);
    }
    if let Some(keeper) = driven.keeper()
        && let Err(error) = keeper.drop_generation(old).await
    {
        // The replay is done all the same; the old generation only takes room.
        tracing::warn!(projection = %driven.name(), generation = %old, %error, "not dropped");
    }
    None
}

/// As far as the replay is to go.
pub(crate) fn up_to(read: ReadLog, options: &ReplayOptions) -> ReadLog {
    match &options.to {
        Some(to) => {
            let to = to.get(read.log);
            read.up_to(to)
        }
        None => read,
    }
}

/// What an earlier replay has left cannot be taken back to an earlier position.
pub(crate) fn not_beyond(
    projection: &ProjectionName,
    options: &ReplayOptions,
    built: &GenerationInfo,
) -> Result<(), ReplayError> {
    let Some(to) = &options.to else { return Ok(()) };
    if built.checkpoint.positions().all(|(log, at)| at <= to.get(log)) {
        return Ok(());
    }
    let (projection, generation) = (projection.clone(), built.generation);
    Err(ReplayError::Beyond { projection, generation, at: built.checkpoint.clone(), to: to.clone() })
}
