//! Looking at the generations of a projection, and choosing between them by hand.

use factum::{Generation, GenerationInfo, GenerationState, ProjectedError, ProjectionName, SwitchError};
use thiserror::Error;

use crate::drive::Driven;
use crate::error::{ProjectorError, UnknownProjection};
use crate::projection::SetupError;
use crate::projector::{Inner, Projector};

impl Projector {
    /// Every generation of a projection, of other versions too, by number. Changes nothing.
    ///
    /// # Errors
    /// [`GenerationsError`].
    pub async fn generations(&self, name: &str) -> Result<Vec<GenerationInfo>, GenerationsError> {
        self.inner.generations_of(self.inner.find::<GenerationsError>(name)?).await
    }

    /// Makes a generation live in the place of the live one of its version, in one step, and answers which that was. It
    /// is kept, and takes no more events.
    ///
    /// ```
    /// # use factum_projections::{GenerationsError, Projector};
    /// use factum::GenerationState;
    ///
    /// /// Takes the newest generation that a replay left behind, and drops the one that it replaces.
    /// async fn exchange(projector: &Projector) -> Result<(), GenerationsError> {
    ///     let all = projector.generations("balances").await?;
    ///     if let Some(built) = all.iter().rev().find(|info| info.state == GenerationState::Building) {
    ///         let replaced = projector.switch_to("balances", built.generation).await?;
    ///         projector.drop_generation("balances", replaced).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`GenerationsError::Switch`] where it has failed, or shows less of the history than the live one. Then nothing
    /// has changed.
    pub async fn switch_to(&self, name: &str, to: Generation) -> Result<Generation, GenerationsError> {
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
        let switched = match (&driven.documents, driven.projected.generations()) {
            (Some(documents), _) => documents.switch(live.generation, to).await,
            (None, Some(generations)) => generations.switch(live.generation, to).await,
            (None, None) => return Err(GenerationsError::NotKept { projection: projection() }),
        };
        switched.map_err(|source| GenerationsError::Switch { projection: projection(), source })?;
        driven.set_trouble(None);
        tracing::info!(projection = %driven.name(), from = %live.generation, %to, "switched by hand");
        Ok(live.generation)
    }

    /// Forgets a generation that is not live, with everything in it. A replay that builds it ends with an error, and a
    /// page token that names it is expired.
    ///
    /// # Errors
    /// [`GenerationsError`]; then nothing has changed.
    pub async fn drop_generation(&self, name: &str, generation: Generation) -> Result<(), GenerationsError> {
        let driven = self.inner.find::<GenerationsError>(name)?;
        find(driven, &self.inner.generations_of(driven).await?, generation)?;
        let dropped = match (&driven.documents, driven.projected.generations()) {
            (Some(documents), _) => documents.drop_generation(generation).await.map_err(ProjectedError::from),
            (None, Some(generations)) => generations.drop_generation(generation).await,
            (None, None) => return Err(GenerationsError::NotKept { projection: driven.name().clone() }),
        };
        dropped.map_err(|source| GenerationsError::Target { projection: driven.name().clone(), source })
    }
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
    /// The switch was refused.
    #[error("{source}")]
    Switch {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: SwitchError,
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
