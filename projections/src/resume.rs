//! Trying again after a fix, in whichever process the projection runs.

use factum::{Failure, ProjectionName};

use crate::error::ProjectorError;
use crate::keeper::KeptFailure;
use crate::projector::Projector;

/// What was let go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resumed {
    /// The projection.
    pub projection: ProjectionName,
    /// Why it stood still, as its store had it; none where it did not.
    pub failures: Vec<Failure>,
}

impl Projector {
    /// Lets a projection that halted, or met an event from newer code, try again where it stands. What its store keeps of
    /// why it halted is forgotten, which a projector that runs it in another process sees at its next poll.
    ///
    /// It does not drive the projection: if nothing was mended, whoever drives it halts at the same event again.
    ///
    /// # Errors
    /// [`ProjectorError::Unknown`] where there is no such projection, or that its store cannot be read or written.
    pub async fn resume(&self, name: &str) -> Result<Resumed, ProjectorError> {
        let driven = self.inner.find::<ProjectorError>(name)?;
        let logs = self.inner.store.logs();
        let mut resumed = Resumed { projection: driven.name().clone(), failures: Vec::new() };
        // Each log may have halted; a worker may halt again meanwhile, which is not waited for.
        for _ in &logs {
            match driven.kept_failure().await? {
                KeptFailure::Failure(failure) => {
                    // The checkpoint is asked for first: whoever failed may have been another process.
                    driven.checkpoint(failure.log).await?;
                    driven.forget_failure(failure.log).await?;
                    resumed.failures.push(*failure);
                }
                KeptFailure::None => break,
                KeptFailure::Nowhere => {
                    for log in &logs {
                        driven.forget_failure(*log).await?;
                    }
                    break;
                }
            }
        }
        driven.try_again();
        Ok(resumed)
    }
}
