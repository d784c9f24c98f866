//! How far each projection is, and why it is not further.

use std::fmt;

use factum::{
    Checkpoint, Cursor, Failure, Generation, GenerationInfo, GenerationState, PageLimit, Position, ProjectionName,
    ReadLog,
};
use serde::Serialize;

use crate::drive::{Driven, Trouble};
use crate::error::ProjectorError;
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

/// A generation that a replay builds beside the live one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BuildingStatus {
    /// Its number.
    pub generation: Generation,
    /// How far it is.
    pub checkpoint: Cursor,
    /// Why the replay stopped, if it failed.
    pub failure: Option<Failure>,
}

/// How far a projection is, and why it is not further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// What it is doing.
    pub state: ProjectionState,
    /// The event that it failed on.
    pub failure: Option<Failure>,
    /// What keeps it from going on, in words, where something does.
    pub trouble: Option<String>,
    /// The generation that a replay builds, if one does or did.
    pub building: Option<BuildingStatus>,
}

impl ProjectionStatus {
    /// What the generations say that are of its version.
    fn take(&mut self, generations: Vec<GenerationInfo>) {
        self.state = ProjectionState::New;
        for info in generations.into_iter().filter(|info| info.version.0 == self.version) {
            match info.state {
                GenerationState::Live => {
                    self.state = ProjectionState::Live;
                    self.generation = Some(info.generation);
                    self.checkpoint = info.checkpoint;
                    self.failure = info.failure;
                }
                GenerationState::Building => {
                    let (generation, checkpoint, failure) = (info.generation, info.checkpoint, info.failure);
                    self.building = Some(BuildingStatus { generation, checkpoint, failure });
                }
                GenerationState::Retired => {}
            }
        }
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
        for driven in &self.inner.driven {
            all.push(self.inner.status(driven).await?);
        }
        Ok(all)
    }

    /// [`status`](Projector::status) of one projection.
    ///
    /// # Errors
    /// [`ProjectorError`].
    pub async fn status_of(&self, name: &str) -> Result<ProjectionStatus, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        self.inner.status(driven).await
    }

    /// The position of the last event of each log.
    ///
    /// # Errors
    /// [`factum::ReadError`].
    pub async fn head(&self) -> Result<Cursor, factum::ReadError> {
        self.inner.store.head().await
    }
}

impl Inner {
    async fn status(&self, driven: &Driven) -> Result<ProjectionStatus, ProjectorError> {
        let mut status = ProjectionStatus {
            name: driven.name().clone(),
            version: driven.projected.version().0,
            generation: None,
            checkpoint: Cursor::start(),
            lag: None,
            state: ProjectionState::Live,
            failure: None,
            trouble: None,
            building: None,
        };
        // The head is read after the checkpoint: an event that comes in between counts as lag, never less than none.
        match driven.generations().await? {
            Some(generations) => status.take(generations),
            None => {
                for log in self.store.logs() {
                    status.checkpoint.set(log, driven.checkpoint(log).await?.position);
                }
            }
        }
        status.lag = self.lag(&self.head(driven).await?, &status.checkpoint);
        // A failure that the checkpoint has passed is over: another process, of newer code, has taken that event.
        status.failure = status.failure.filter(|failure| failure.position > status.checkpoint.get(failure.log));
        if let Some(failure) = &status.failure {
            (status.state, status.trouble) = (ProjectionState::Halted, Some(failure.to_string()));
        }
        let trouble = match driven.trouble() {
            None if status.state == ProjectionState::Live => self.newer(driven, &status.checkpoint).await?,
            known => known,
        };
        if let Some(trouble) = trouble {
            (status.state, status.trouble) = (trouble.state(), Some(trouble.to_string()));
        }
        Ok(status)
    }

    /// What no process may have met yet, or another one has: that the next event needs newer code than this.
    async fn newer(&self, driven: &Driven, reached: &Cursor) -> Result<Option<Trouble>, ProjectorError> {
        for log in self.store.logs() {
            let at = Checkpoint { position: reached.get(log), ..Checkpoint::default() };
            let filter = driven.projected.filter().clone();
            let next = ReadLog::after(log, at.position).filter(filter).limit(PageLimit::events(1));
            let next = self.store.read_log(next).await;
            let next = next.map_err(|source| ProjectorError::Events { projection: driven.name().clone(), source })?;
            if let Some(event) = next.events.first().filter(|event| driven.projected.is_too_new(event)) {
                let (position, schema_version) = (event.position, event.schema_version);
                let event_type = event.event_type.to_string();
                return Ok(Some(Trouble::Newer { log, position, event_type, schema_version, at }));
            }
        }
        Ok(None)
    }

    /// How many events lie between a checkpoint and the head, where positions count events.
    pub(crate) fn lag(&self, head: &Cursor, checkpoint: &Cursor) -> Option<u64> {
        let between = |log| Position::get(head.get(log)).saturating_sub(checkpoint.get(log).get());
        let dense = self.store.capabilities().dense_positions;
        dense.then(|| self.store.logs().into_iter().map(between).sum())
    }
}

impl Trouble {
    fn state(&self) -> ProjectionState {
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
