//! What is asked of something that events are projected into, so that it can be replayed while it serves.

use std::time::Duration;

use async_trait::async_trait;

use super::{Batch, ProjectedError};
use crate::place::LogId;
use crate::read_model::{Checkpoint, Failure, Generation, GenerationInfo, SwitchError};

/// Something that events are projected into, and that is built in generations: one is live, a replay builds the next
/// beside it, and a switch exchanges them in one transaction.
///
/// [`Projected::generations`](crate::Projected::generations) gives it. What it says of generations, checkpoints and
/// epochs is what [`ReadModelStore`](crate::ReadModelStore) says of those of documents, and all of them are of one
/// version of the projection's code.
#[async_trait]
pub trait Generations: Send + Sync {
    /// The live generation. Where there is none, an empty one is made and is live at once; if two ask at the same
    /// time, both get the same.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn open(&self) -> Result<GenerationInfo, ProjectedError>;

    /// The generation that is being built; a new one if there is none.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn build(&self) -> Result<GenerationInfo, ProjectedError>;

    /// Every generation of the projection, of other versions too, by number.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn list(&self) -> Result<Vec<GenerationInfo>, ProjectedError>;

    /// How far a generation is in a log.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`](crate::ReadModelError::Expired) if there is no such generation.
    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError>;

    /// [`Projected::take_over`](crate::Projected::take_over) of a generation: whoever built it before cannot apply to it
    /// what it still holds. Called for each log when a replay begins or goes on. As provided it raises nothing.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`](crate::ReadModelError::Expired) if there is no such generation.
    async fn take_over_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ProjectedError> {
        self.checkpoint_of(generation, log).await
    }

    /// [`Projected::apply`](crate::Projected::apply) to a generation that is not retired.
    ///
    /// # Errors
    /// [`ProjectedError`]; `Superseded` if the generation takes no more writes.
    async fn apply_to(&self, generation: Generation, batch: Batch) -> Result<(), ProjectedError>;

    /// [`Projected::report`](crate::Projected::report) for a generation that is not retired.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn report_of(
        &self,
        generation: Generation,
        log: LogId,
        failure: Option<Failure>,
    ) -> Result<(), ProjectedError>;

    /// Makes one generation live in the place of another, which is kept for so long, in one transaction, as
    /// [`ReadModelStore::switch`](crate::ReadModelStore::switch) says.
    ///
    /// # Errors
    /// [`SwitchError`]; then nothing has changed.
    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError>;

    /// The same in the place of one that has diverged, as
    /// [`ReadModelStore::switch_diverged`](crate::ReadModelStore::switch_diverged) says.
    ///
    /// # Errors
    /// [`SwitchError`]; then nothing has changed.
    async fn switch_diverged(
        &self,
        from: Generation,
        to: Generation,
        keep_old: Option<Duration>,
    ) -> Result<(), SwitchError>;

    /// Takes a generation out of service, as [`ReadModelStore::retire`](crate::ReadModelStore::retire) says.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`](crate::ReadModelError::Expired) if there is no such generation.
    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ProjectedError>;

    /// Lets a retired generation take writes again, as [`ReadModelStore::reopen`](crate::ReadModelStore::reopen) says.
    ///
    /// # Errors
    /// As there.
    async fn reopen(&self, generation: Generation) -> Result<GenerationInfo, ProjectedError>;

    /// Drops the retired generations that are kept no longer, as
    /// [`ReadModelStore::drop_expired`](crate::ReadModelStore::drop_expired) says.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn drop_expired(&self) -> Result<Vec<Generation>, ProjectedError>;

    /// Forgets a generation that is not live, with everything in it.
    ///
    /// # Errors
    /// [`ReadModelError::Live`](crate::ReadModelError::Live) if it is live.
    async fn drop_generation(&self, generation: Generation) -> Result<(), ProjectedError>;
}
