//! How far each projection is, and why it is not further.

use std::fmt;
use std::time::{Duration, Instant};

use chrono::Utc;
use factum::{
    Checkpoint, Cursor, Failure, Field, Generation, GenerationInfo, GenerationState, PageLimit, Position,
    ProjectionName, ReadLog, RecordedEvent,
};
use serde::Serialize;

use crate::building::{BuildingStatus, LOOK_EVERY, is_in_doubt};
use crate::drive::{Driven, Trouble};
use crate::error::{Diverged, ProjectorError};
use crate::failing::Failing;
use crate::fields;
use crate::kept_past::KeptPast;
use crate::lease::Standing;
use crate::owner::Owner;
use crate::projector::{Inner, Projector};

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProjectionState {
    /// Nothing was built yet for this version of it.
    New,
    /// It serves, and takes events when its projector runs.
    Live,
    /// It failed on an event and takes no more until somebody has looked.
    Halted,
    /// It met an event that this code does not know.
    NeedsNewerCode,
    /// It stands on events that the store does not hold.
    Diverged,
    /// Its last step failed and is tried again.
    Failing,
}

impl ProjectionState {
    /// Its name for machines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Live => "live",
            Self::Halted => "halted",
            Self::NeedsNewerCode => "needs-newer-code",
            Self::Diverged => "diverged",
            Self::Failing => "failing",
        }
    }
}

impl fmt::Display for ProjectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "new",
            Self::Live => "live",
            Self::Halted => "halted",
            Self::NeedsNewerCode => "needs newer code",
            Self::Diverged => "diverged",
            Self::Failing => "failing",
        })
    }
}

/// How far a projection is, and why it is not further.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// The projection.
    pub name: ProjectionName,
    /// The version of its code.
    pub version: u32,
    /// The live generation of that version; `None` before the first, or where it keeps none.
    pub generation: Option<Generation>,
    /// How far it is.
    pub checkpoint: Cursor,
    /// How many events of the store lie past the checkpoint, its own and others; `None` where the store cannot say.
    pub lag: Option<u64>,
    /// How old the oldest of its own events is that it has not yet taken, in seconds, by the clock of this process; 0 where
    /// it has taken all of them. `None` where none was found among very many of others.
    pub lag_seconds: Option<f64>,
    /// How many events of the store it has passed in a second, its own and others; `None` where it was looked at once, or
    /// its generation was exchanged in between. See [`Projector::status_over`].
    pub rate: Option<f64>,
    /// What it is doing.
    pub state: ProjectionState,
    /// The event that it failed on.
    pub failure: Option<Failure>,
    /// What keeps it from going on, in words, where something does.
    pub trouble: Option<String>,
    /// Who runs it, where somebody holds its lease.
    pub owner: Option<Owner>,
    /// Where the live generation keeps other fields to find documents by than the code declares: which it keeps, in words.
    /// Documents cannot be found by one that it does not keep, and it changes only with another
    /// [version](crate::Projection::VERSION) or a replay.
    pub other_fields: Option<String>,
    /// From where on the past can be had of the live generation, where the projection
    /// [does not keep it for ever](crate::Projection::KEEP_FOR).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub past: Option<KeptPast>,
    /// The generation that a replay builds, if one does or did; else one that was reopened to go back to it.
    pub building: Option<BuildingStatus>,
}

impl ProjectionStatus {
    /// What the generations say that are of its version; answers the one that is half built.
    fn take(&mut self, generations: Vec<GenerationInfo>, declared: Option<&[Field]>) -> Option<GenerationInfo> {
        let mut half_built = None;
        self.state = ProjectionState::New;
        for info in generations.into_iter().filter(|info| info.version.0 == self.version) {
            match info.state {
                GenerationState::Live => {
                    self.state = ProjectionState::Live;
                    self.generation = Some(info.generation);
                    self.checkpoint = info.checkpoint;
                    self.failure = info.failure;
                    let other = declared.is_some_and(|declared| !fields::are_alike(&info.fields, declared));
                    self.other_fields = other.then(|| crate::find::show(&info.fields));
                }
                GenerationState::Building => half_built = Some(info),
                // One that is built is what more is done for.
                GenerationState::Reopened => half_built = half_built.or(Some(info)),
                GenerationState::Retired => {}
            }
        }
        half_built
    }
}

impl Projector {
    /// How far each projection is, as its store has it, in the order in which they were added. Changes nothing.
    ///
    /// # Errors
    /// [`ProjectorError`] where a store cannot be read.
    pub async fn status(&self) -> Result<Vec<ProjectionStatus>, ProjectorError> {
        self.inner.check_setup()?;
        let mut all = Vec::with_capacity(self.inner.driven.len());
        let leases = self.inner.leases.observe(&*self.inner.read_models).await?;
        for driven in &self.inner.driven {
            all.push(self.inner.status(driven, &leases).await?);
        }
        Ok(all)
    }

    /// [`status`](Projector::status) from two looks with this time between, which says how fast each projection goes. Where
    /// none of them has anything left to take, it is looked once.
    ///
    /// Where a replay holds its lease, it is looked again until that was renewed, or has stood still for the
    /// [lease time](crate::ProjectorOptions::lease_time): so it is known whether a generation is
    /// [still built](BuildingStatus::stopped). That takes at most 4 seconds.
    ///
    /// # Errors
    /// [`ProjectorError`] where a store cannot be read.
    pub async fn status_over(&self, time: Duration) -> Result<Vec<ProjectionStatus>, ProjectorError> {
        let (before, begun) = (self.status().await?, Instant::now());
        if before.iter().all(|status| status.lag == Some(0) && !is_in_doubt(status, status)) {
            return Ok(before);
        }
        let mut pause = time;
        loop {
            self.inner.options.timer.sleep(pause).await;
            let mut after = self.status().await?;
            for (after, before) in after.iter_mut().zip(&before) {
                after.rate = self.inner.rate(before, after, begun.elapsed().as_secs_f64());
            }
            let in_doubt = before.iter().zip(&after).any(|(before, after)| is_in_doubt(before, after));
            if !in_doubt || begun.elapsed() >= DOUBT_MOST {
                return Ok(after);
            }
            pause = LOOK_EVERY;
        }
    }

    /// [`status`](Projector::status) of one projection.
    ///
    /// # Errors
    /// [`ProjectorError`].
    pub async fn status_of(&self, name: &str) -> Result<ProjectionStatus, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        let leases = self.inner.leases.observe(&*self.inner.read_models).await?;
        self.inner.status(driven, &leases).await
    }

    /// The position of the last event of each log.
    ///
    /// # Errors
    /// [`factum::ReadError`].
    pub async fn head(&self) -> Result<Cursor, factum::ReadError> {
        self.inner.store.head().await
    }
}

/// How long it is looked whether a replay goes on.
const DOUBT_MOST: Duration = Duration::from_secs(4);

impl Inner {
    pub(crate) async fn status(
        &self,
        driven: &Driven,
        leases: &[Standing],
    ) -> Result<ProjectionStatus, ProjectorError> {
        let mut status = ProjectionStatus {
            name: driven.name().clone(),
            version: driven.projected.version().0,
            generation: None,
            checkpoint: Cursor::start(),
            lag: None,
            lag_seconds: None,
            rate: None,
            state: ProjectionState::Live,
            failure: None,
            trouble: None,
            owner: leases.iter().find(|standing| standing.lease.name == driven.lease).map(Owner::of),
            other_fields: None,
            past: None,
            building: None,
        };
        // The head is read after the checkpoint: an event that comes in between counts as lag, never less than none.
        match driven.generations().await? {
            Some(generations) => {
                let declared = driven.documents.as_ref().map(|documents| documents.fields());
                if let Some(info) = status.take(generations, declared) {
                    status.building = Some(self.building(driven, leases, info).await?);
                }
                if let Some(live) = status.generation {
                    status.past = self.kept_past(driven, live).await?;
                }
            }
            None => {
                for log in self.store.logs() {
                    status.checkpoint.set(log, driven.checkpoint(log).await?.position);
                }
            }
        }
        let head = self.head(driven).await?;
        status.lag = self.lag(&head, &status.checkpoint);
        let next = self.next_events(driven, &status.checkpoint, &head).await?;
        status.lag_seconds = next.oldest();
        // A failure that the checkpoint has passed is over: another process, of newer code, has taken that event.
        status.failure = status.failure.filter(|failure| !failure.is_over_at(status.checkpoint.get(failure.log)));
        if let Some(failure) = &status.failure {
            (status.state, status.trouble) = (ProjectionState::Halted, Some(failure.to_string()));
        }
        let trouble = match driven.trouble() {
            // A halt that its store no longer knows of is over: somebody has resumed it.
            Some(Trouble::Halted(..)) if status.generation.is_some() && status.failure.is_none() => None,
            known => known,
        };
        let trouble = match trouble {
            None if status.state == ProjectionState::Live => match self.off_ground(driven, &status.checkpoint).await? {
                Some(diverged) => Some(Trouble::Diverged(diverged)),
                None => next.newer(driven, &status.checkpoint),
            },
            known => known,
        };
        if let Some(trouble) = trouble {
            (status.state, status.trouble) = (trouble.state(), Some(trouble.to_string()));
        } else if matches!(status.state, ProjectionState::Live | ProjectionState::New)
            && let Some(failing) = status.owner.as_ref().and_then(|owner| Failing::of(&owner.note))
        {
            // Whoever drives it, in another process, says so.
            (status.state, status.trouble) = (ProjectionState::Failing, Some(failing.to_string()));
        }
        Ok(status)
    }

    /// What the checkpoint of a projection stands on that the store does not hold: no process may have met it yet.
    async fn off_ground(&self, driven: &Driven, reached: &Cursor) -> Result<Option<Box<Diverged>>, ProjectorError> {
        for (log, _) in reached.positions() {
            let at = driven.checkpoint(log).await?;
            if let Some(diverged) = driven.diverged(&*self.store, log, at).await? {
                return Ok(Some(diverged));
            }
        }
        Ok(None)
    }

    /// The next event of each log that a projection takes, where there is one.
    pub(crate) async fn next_events(
        &self,
        driven: &Driven,
        reached: &Cursor,
        head: &Cursor,
    ) -> Result<NextEvents, ProjectorError> {
        let mut next = NextEvents::default();
        for log in self.store.logs() {
            let mut after = reached.get(log);
            for look in 0.. {
                if after >= head.get(log) {
                    break;
                }
                let read = ReadLog::after(log, after).filter(driven.projected.filter().clone());
                let page = self.store.read_log(read.limit(PageLimit::events(1))).await;
                let page =
                    page.map_err(|source| ProjectorError::Events { projection: driven.name().clone(), source })?;
                let found = !page.events.is_empty();
                next.events.extend(page.events);
                match page.reached {
                    Some(mark) if !found && !page.end && mark.position > after => after = mark.position,
                    _ => break,
                }
                if look == LOOKS {
                    next.unknown = true;
                    break;
                }
            }
        }
        Ok(next)
    }

    /// How fast it went between two looks, in events of the store.
    pub(crate) fn rate(&self, before: &ProjectionStatus, after: &ProjectionStatus, seconds: f64) -> Option<f64> {
        let (from, to) = (before.generation, after.generation);
        // One that is made between the looks begins at the start.
        if (from.is_some() && from != to) || seconds <= 0.0 {
            return None;
        }
        self.lag(&after.checkpoint, &before.checkpoint).map(|events| events as f64 / seconds)
    }

    /// How many events lie between a checkpoint and the head, where positions count events.
    pub(crate) fn lag(&self, head: &Cursor, checkpoint: &Cursor) -> Option<u64> {
        let between = |log| Position::get(head.get(log)).saturating_sub(checkpoint.get(log).get());
        let dense = self.store.capabilities().dense_positions;
        dense.then(|| self.store.logs().into_iter().map(between).sum())
    }
}

/// How many pages of others' events are looked through for one that a projection takes.
const LOOKS: u32 = 64;

/// The next event of each log that a projection takes.
#[derive(Default)]
pub(crate) struct NextEvents {
    events: Vec<RecordedEvent>,
    /// Whether one may lie further on than was looked.
    unknown: bool,
}

impl NextEvents {
    /// How old the oldest is, in seconds, rounded to milliseconds: at least one, so that 0 says that there is none.
    pub(crate) fn oldest(&self) -> Option<f64> {
        let age = |event: &RecordedEvent| (Utc::now() - event.recorded_at).num_milliseconds().max(1) as f64 / 1e3;
        let oldest = self.events.iter().map(age).reduce(f64::max);
        oldest.or((!self.unknown).then_some(0.0))
    }

    /// That one of them needs newer code than this: no process may have met it yet, or another one has.
    fn newer(&self, driven: &Driven, reached: &Cursor) -> Option<Trouble> {
        let event = self.events.iter().find(|event| driven.projected.is_too_new(event))?;
        let at = Checkpoint { position: reached.get(event.log), ..Checkpoint::default() };
        let (log, position, schema_version) = (event.log, event.position, event.schema_version);
        Some(Trouble::Newer { log, position, event_type: event.event_type.to_string(), schema_version, at })
    }
}

impl Trouble {
    pub(crate) fn state(&self) -> ProjectionState {
        match self {
            Self::Halted(..) => ProjectionState::Halted,
            Self::Newer { .. } => ProjectionState::NeedsNewerCode,
            Self::Diverged(_) => ProjectionState::Diverged,
            Self::Failing(_) => ProjectionState::Failing,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted(failure, _) => failure.fmt(f),
            Self::Newer { log, position, event_type, schema_version, .. } => write!(
                f,
                "event {event_type} (schema version {schema_version}) at position {position} of log {log} needs newer \
                 code than this"
            ),
            Self::Diverged(diverged) => diverged.fmt(f),
            Self::Failing(error) => f.write_str(error),
        }
    }
}
