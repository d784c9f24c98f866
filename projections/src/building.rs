//! What a replay builds beside the live generation, and whether anybody does.

use std::fmt;
use std::time::Duration;

use factum::{Cursor, Failure, Generation, GenerationInfo, GenerationState, LeaseName};
use serde::Serialize;

use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::lease::Standing;
use crate::owner::Owner;
use crate::projector::Inner;
use crate::replay_lease::is_broken_off;
use crate::status::ProjectionStatus;

/// How long lies between two looks at what should move.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A generation that a replay builds beside the live one, or has left half built; or one that was reopened, and takes what came
/// since before it is live again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BuildingStatus {
    /// Its number.
    pub generation: Generation,
    /// Whether it is being built or was reopened.
    pub state: GenerationState,
    /// How far it is.
    pub checkpoint: Cursor,
    /// Why the replay stopped, if it failed.
    pub failure: Option<Failure>,
    /// Who builds it, or did when it was killed.
    pub owner: Option<Owner>,
    /// Whether nobody builds it: nobody holds the lease of its replay, or that was seen to stand still for the
    /// [lease time](crate::ProjectorOptions::lease_time). One look does not tell the lease of a replay that was killed from
    /// that of one that goes on: see [`Projector::status_over`](crate::Projector::status_over).
    pub stopped: bool,
}

impl BuildingStatus {
    pub(crate) fn of(info: GenerationInfo, owner: Option<Owner>, stopped: bool) -> Self {
        let GenerationInfo { generation, state, checkpoint, failure, .. } = info;
        Self { generation, state, checkpoint, failure, owner, stopped }
    }

    /// The commands that go on with it and that forget it, of a projection of this name.
    pub fn remedies(&self, name: &str) -> [String; 2] {
        let generation = self.generation;
        let go_on = match self.state {
            GenerationState::Reopened => format!("generations {name} switch {generation}"),
            _ => format!("replay {name}"),
        };
        [go_on, format!("generations {name} drop {generation}")]
    }

    /// Whether neither it nor whoever builds it has moved since.
    pub(crate) fn stands_as(&self, before: &Self) -> bool {
        let of = |status: &Self| (status.generation, status.checkpoint.clone(), status.owner.clone());
        of(self) == of(before)
    }
}

/// In words; what to do where nobody builds it is left to whoever shows it.
impl fmt::Display for BuildingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.failure.as_ref().map_or_else(String::new, |failure| format!(", which {failure}"));
        let (generation, at) = (self.generation, &self.checkpoint);
        let by = self.owner.as_ref().map_or_else(String::new, |owner| format!(", by {}", owner.holder));
        match (self.state, self.stopped) {
            (GenerationState::Reopened, true) => write!(
                f,
                "generation {generation} was reopened to go back to it, stopped at {at}{failed}; nobody catches it up"
            ),
            (GenerationState::Reopened, false) => {
                write!(f, "generation {generation} catches up to be gone back to, now at {at}{failed}{by}")
            }
            (_, true) => write!(f, "generation {generation} is half built, stopped at {at}{failed}; nobody builds it"),
            (_, false) => write!(f, "a replay builds generation {generation}, now at {at}{failed}{by}"),
        }
    }
}

/// Whether somebody holds the lease of a replay who may be gone: it was not seen to move between two looks.
pub(crate) fn is_in_doubt(before: &ProjectionStatus, after: &ProjectionStatus) -> bool {
    match (&before.building, &after.building) {
        (Some(before), Some(after)) => !after.stopped && after.stands_as(before),
        _ => false,
    }
}

impl Inner {
    /// Who builds what is half built. The leases were read before it was found.
    pub(crate) async fn building(
        &self,
        driven: &Driven,
        leases: &[Standing],
        info: GenerationInfo,
    ) -> Result<BuildingStatus, ProjectorError> {
        let name = LeaseName::replay(driven.name(), driven.projected.version());
        let find = |all: &[Standing]| all.iter().find(|standing| standing.lease.name == name).cloned();
        let standing = match find(leases) {
            // It may have begun since: a replay has its lease before it makes a generation.
            None => find(&self.leases.observe(&*self.read_models).await?),
            found => found,
        };
        let is_gone =
            |standing: &Standing| standing.still >= self.options.lease_time || is_broken_off(&standing.lease.holder);
        let stopped = standing.as_ref().is_none_or(is_gone);
        Ok(BuildingStatus::of(info, standing.as_ref().map(Owner::of), stopped))
    }
}
