//! The generations of a projection, whether it keeps documents or tables.

use std::time::Duration;

use factum::{
    Checkpoint, Failure, Generation, GenerationInfo, GenerationState, Generations, LogId, ProjectedError, SwitchError,
};

use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::rebuilt::Rebuilt;

/// What keeps the generations of a projection.
#[derive(Clone, Copy)]
pub(crate) enum Keeper<'a> {
    Documents(&'a dyn Rebuilt),
    Tables(&'a dyn Generations),
}

/// What a store keeps of why a projection stands still.
pub(crate) enum KeptFailure {
    /// It keeps no generations, and so nothing that others could see.
    Nowhere,
    None,
    Failure(Box<Failure>),
}

impl Driven {
    /// `None` where it is written by hand and keeps none.
    pub(crate) fn keeper(&self) -> Option<Keeper<'_>> {
        match (&self.documents, self.projected.generations()) {
            (Some(documents), _) => Some(Keeper::Documents(&**documents)),
            (None, Some(generations)) => Some(Keeper::Tables(generations)),
            (None, None) => None,
        }
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

    /// What its store keeps of why the live generation of its version stands still; nothing of one that keeps no generations.
    pub(crate) async fn kept_failure(&self) -> Result<KeptFailure, ProjectorError> {
        let Some(generations) = self.generations().await? else { return Ok(KeptFailure::Nowhere) };
        let version = self.projected.version();
        let live = |info: &GenerationInfo| info.version == version && info.state == GenerationState::Live;
        Ok(match generations.into_iter().find(live).and_then(|info| info.failure) {
            Some(failure) => KeptFailure::Failure(Box::new(failure)),
            None => KeptFailure::None,
        })
    }

    /// Drops what was replaced and is kept no longer. What fails is left to whoever comes next: it only takes room.
    pub(crate) async fn drop_expired(&self) {
        let Some(keeper) = self.keeper() else { return };
        match keeper.drop_expired().await {
            Ok(dropped) => {
                for generation in dropped {
                    tracing::info!(projection = %self.name(), %generation, "dropped, since its time is over");
                }
            }
            Err(error) => tracing::warn!(projection = %self.name(), %error, "what is kept no longer is not dropped"),
        }
    }
}

impl Keeper<'_> {
    pub(crate) async fn checkpoint_of(self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        match self {
            Self::Documents(documents) => Ok(documents.checkpoint_of(generation, log).await?),
            Self::Tables(generations) => generations.checkpoint_of(generation, log).await,
        }
    }

    pub(crate) async fn switch(
        self,
        from: Generation,
        to: Generation,
        keep_old: Option<Duration>,
    ) -> Result<(), SwitchError> {
        match self {
            Self::Documents(documents) => documents.switch(from, to, keep_old).await,
            Self::Tables(generations) => generations.switch(from, to, keep_old).await,
        }
    }

    pub(crate) async fn retire(self, generation: Generation, keep: Option<Duration>) -> Result<(), ProjectedError> {
        match self {
            Self::Documents(documents) => Ok(documents.retire(generation, keep).await?),
            Self::Tables(generations) => generations.retire(generation, keep).await,
        }
    }

    pub(crate) async fn drop_generation(self, generation: Generation) -> Result<(), ProjectedError> {
        match self {
            Self::Documents(documents) => Ok(documents.drop_generation(generation).await?),
            Self::Tables(generations) => generations.drop_generation(generation).await,
        }
    }

    pub(crate) async fn drop_expired(self) -> Result<Vec<Generation>, ProjectedError> {
        match self {
            Self::Documents(documents) => Ok(documents.drop_expired().await?),
            Self::Tables(generations) => generations.drop_expired().await,
        }
    }
}
