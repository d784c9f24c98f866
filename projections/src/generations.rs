//! Looking at the generations of a projection, and choosing between them by hand.

use std::time::Duration;

use factum::{
    Generation, GenerationInfo, GenerationState, ProjectedError, ProjectionName, ProjectionVersion, SwitchError,
};
use thiserror::Error;

use crate::drive::Driven;
use crate::error::{ProjectorError, UnknownProjection};
use crate::projection::SetupError;
use crate::projector::{Inner, Projector};
use crate::replay::{ReplayProgress, keep_old};
use crate::replay_error::ReplayError;
use crate::replay_options::{ReplayOptions, What};

impl Projector {
    /// Every generation of a projection, of other versions too, by number. Changes nothing.
    ///
    /// # Errors
    /// [`GenerationsError`].
    pub async fn generations(&self, name: &str) -> Result<Vec<GenerationInfo>, GenerationsError> {
        self.inner.generations_of(self.inner.find::<GenerationsError>(name)?).await
    }

    /// Makes a generation live in the place of the live one of its version, in one step. The one that was live is kept for
    /// an hour and takes no more events.
    ///
    /// One that was replaced before and is behind by now is reopened, catches up as a replay does, and then becomes live:
    /// so one goes back after a replay that was a mistake. Whoever held a page of it, and whoever else has begun the same,
    /// is overtaken. If this ends before it is done, even killed, nothing that is read has changed, and it can be called
    /// again.
    ///
    /// ```
    /// # use factum_projections::{GenerationsError, Projector};
    /// use factum::GenerationState;
    ///
    /// /// Takes the newest generation that a replay left behind, and drops the one that it replaces.
    /// async fn exchange(projector: &Projector) -> Result<(), GenerationsError> {
    ///     let all = projector.generations("balances").await?;
    ///     if let Some(built) = all.iter().rev().find(|info| info.state == GenerationState::Building) {
    ///         let switched = projector.switch_to("balances", built.generation).await?;
    ///         projector.drop_generation("balances", switched.replaced).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`GenerationsError::Switch`] where it has failed, or was never live and shows less of the history than the live one;
    /// `CatchUp` where one that was live cannot go on; `Ungrounded` where the store does not hold what it was made of. Then the live one is as it was.
    pub async fn switch_to(&self, name: &str, to: Generation) -> Result<Switched, GenerationsError> {
        self.switch_to_with(name, to, &ReplayOptions::new(), |_| ()).await
    }

    /// [`switch_to`](Projector::switch_to) with other options, of which [`to`](ReplayOptions::to) and
    /// [`verify`](ReplayOptions::verify) do not count, and told how far it is where it has to catch up.
    ///
    /// # Errors
    /// As for that.
    pub async fn switch_to_with(
        &self,
        name: &str,
        to: Generation,
        options: &ReplayOptions,
        mut progress: impl FnMut(ReplayProgress) + Send,
    ) -> Result<Switched, GenerationsError> {
        let driven = self.inner.find::<GenerationsError>(name)?;
        let all = self.inner.generations_of(driven).await?;
        let next = find(driven, &all, to)?;
        let live = all.iter().find(|info| info.version == next.version && info.state == GenerationState::Live);
        let projection = || driven.name().clone();
        let Some(live) = live else {
            return Err(GenerationsError::NoneLive { projection: projection(), version: next.version.0, to });
        };
        if live.generation == to {
            return Err(GenerationsError::LiveAlready { projection: projection(), generation: to });
        }
        let keeper = driven.keeper().ok_or_else(|| GenerationsError::NotKept { projection: projection() })?;
        let read = |error| GenerationsError::Read(Box::new(error));
        if driven.is_off_ground(&*self.inner.store, keeper, to).await.map_err(read)? {
            return Err(GenerationsError::Ungrounded { projection: projection(), generation: to });
        }
        let was_live = matches!(next.state, GenerationState::Retired | GenerationState::Reopened);
        let mut switched = Switched { generation: to, replaced: live.generation, caught_up: 0 };
        match keeper.switch(live.generation, to, Some(options.keep_old)).await {
            Ok(()) => {
                driven.set_trouble(None);
                keep_old(driven, live.generation, options.keep_old).await;
            }
            Err(SwitchError::Behind { .. }) if was_live && next.version == driven.projected.version() => {
                let options = ReplayOptions { to: None, verify: false, ..options.clone() };
                let reopened = self.inner.replay(driven, &options, What::Reopened(to), &mut progress).await;
                let source =
                    |source| GenerationsError::CatchUp { projection: projection(), to, source: Box::new(source) };
                switched.caught_up = reopened.map_err(source)?.events;
            }
            Err(source) => return Err(GenerationsError::Switch { projection: projection(), source }),
        }
        tracing::info!(projection = %driven.name(), from = %live.generation, %to, "switched by hand");
        Ok(switched)
    }

    /// Forgets a generation with everything in it. A replay that builds it ends with an error, and a page token that names
    /// it is expired.
    ///
    /// The live one of this code's version is never dropped. That of another version is, since only a deployment of that
    /// version could say that it still needs it: whoever calls this says that it is gone. One that runs after all builds
    /// its read model anew from the start of history.
    ///
    /// # Errors
    /// [`GenerationsError`]; then nothing has changed, except that the live one of another version may be retired.
    pub async fn drop_generation(&self, name: &str, generation: Generation) -> Result<Dropped, GenerationsError> {
        let driven = self.inner.find::<GenerationsError>(name)?;
        let all = self.inner.generations_of(driven).await?;
        let GenerationInfo { version, state, .. } = *find(driven, &all, generation)?;
        let keeper = driven.keeper().ok_or_else(|| GenerationsError::NotKept { projection: driven.name().clone() })?;
        let target = |source| GenerationsError::Target { projection: driven.name().clone(), source };
        let was_live = state == GenerationState::Live;
        if was_live && version != driven.projected.version() {
            keeper.retire(generation, Some(Duration::ZERO)).await.map_err(target)?;
        }
        keeper.drop_generation(generation).await.map_err(target)?;
        tracing::info!(projection = %driven.name(), %generation, %version, was_live, "dropped by hand");
        Ok(Dropped { generation, version, was_live })
    }
}

/// What was made live in the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The generation that is live now.
    pub generation: Generation,
    /// The one that was.
    pub replaced: Generation,
    /// How many events it had to take before.
    pub caught_up: u64,
}

/// What was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The generation.
    pub generation: Generation,
    /// The version of the code that made it.
    pub version: ProjectionVersion,
    /// Whether it was live, for a deployment of that version.
    pub was_live: bool,
}

impl Inner {
    async fn generations_of(&self, driven: &Driven) -> Result<Vec<GenerationInfo>, GenerationsError> {
        match driven.generations().await {
            Ok(Some(generations)) => Ok(generations),
            Ok(None) => Err(GenerationsError::NotKept { projection: driven.name().clone() }),
            Err(error) => Err(GenerationsError::Read(Box::new(error))),
        }
    }
}

fn find<'a>(
    driven: &Driven,
    all: &'a [GenerationInfo],
    generation: Generation,
) -> Result<&'a GenerationInfo, GenerationsError> {
    all.iter().find(|info| info.generation == generation).ok_or_else(|| GenerationsError::NoSuch {
        projection: driven.name().clone(),
        generation,
        known: all.iter().map(|info| info.generation).collect(),
    })
}

/// Why generations could not be looked at or chosen between.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerationsError {
    /// There is no such projection.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// A projection cannot be run as it is written.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It is written by hand and has no generations.
    #[error("{projection} keeps no generations")]
    NotKept {
        /// The projection.
        projection: ProjectionName,
    },
    /// It has no generation with this number: there never was one, or it was dropped.
    #[error("{projection} has no generation {generation}; it has: {}", show(.known))]
    NoSuch {
        /// The projection.
        projection: ProjectionName,
        /// The generation that was asked for.
        generation: Generation,
        /// Those that it has.
        known: Vec<Generation>,
    },
    /// It is what readers are shown, so there is nothing to switch.
    #[error("generation {generation} of {projection} is live already")]
    LiveAlready {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
    },
    /// No generation of its version is live, whose place it could take.
    #[error("generation {to} of {projection} is of version {version}, of which none is live; run its projector")]
    NoneLive {
        /// The projection.
        projection: ProjectionName,
        /// The version.
        version: u32,
        /// The generation that should become live.
        to: Generation,
    },
    /// It was made of events that the store no longer holds, since that was restored from a backup or its tail was lost:
    /// readers would be shown what never happened. The live one is as it was.
    #[error(
        "generation {generation} of {projection} stands on events that the store does not hold, so it is not made live; drop it"
    )]
    Ungrounded {
        /// The projection.
        projection: ProjectionName,
        /// The generation that should become live.
        generation: Generation,
    },
    /// The switch was refused.
    #[error("{source}")]
    Switch {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: SwitchError,
    },
    /// One that was replaced before could not catch up. The live one is as it was.
    #[error("generation {to} of {projection} could not catch up: {source}")]
    CatchUp {
        /// The projection.
        projection: ProjectionName,
        /// The generation that should become live.
        to: Generation,
        /// Why.
        source: Box<ReplayError>,
    },
    /// What was found of the projection could not be read.
    #[error(transparent)]
    Read(Box<ProjectorError>),
    /// The read model could not be changed.
    #[error("{source}")]
    Target {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ProjectedError,
    },
}

fn show(known: &[Generation]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
