//! What becomes of a step that was refused.

use factum::{CommitError, LogId, ProjectedError, ReadModelError};

use crate::drive::{Driven, Step, Trouble};
use crate::error::ProjectorError;
use crate::keeper::KeptFailure;
use crate::options::ProjectorOptions;

impl Driven {
    /// Whether to try again, to halt, or to leave it to others.
    pub(crate) async fn refused(
        &self,
        log: LogId,
        error: ProjectedError,
        options: &ProjectorOptions,
    ) -> Result<Step, ProjectorError> {
        match error {
            // Somebody else has moved on: the next step begins at the checkpoint that they left.
            ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
            | ProjectedError::ReadModel(ReadModelError::Expired { .. }) => {
                metrics::counter!("factum_projection_overtaken_total", "projection" => self.name().to_string())
                    .increment(1);
                Err(self.target(error))
            }
            ProjectedError::Halted(failure)
                if self.failed_at(failure.log, failure.position) < options.tries.min(options.attempts) =>
            {
                Err(self.target(ProjectedError::Halted(failure)))
            }
            ProjectedError::Halted(mut failure) => {
                if let Ok(KeptFailure::Failure(kept)) = self.kept_failure().await
                    && (kept.log, kept.position) == (failure.log, failure.position)
                {
                    // It stands still since then, whoever tried again meanwhile.
                    failure.since = kept.since;
                }
                tracing::error!(projection = %self.name(), log = %failure.log, position = %failure.position,
                    stream = %failure.stream, event_type = %failure.event_type, "halted");
                let reported = self.projected.report(log, Some((*failure).clone())).await;
                let at = self.look(log).await?;
                self.set_trouble(Some(Trouble::Halted(failure.clone(), at)));
                if let Err(source) = reported {
                    tracing::warn!(projection = %self.name(), error = %source, "the halt could not be reported");
                }
                Err(ProjectorError::Halted { projection: self.name().clone(), failure })
            }
            ProjectedError::NeedsNewerCode { position, event_type, schema_version } => {
                tracing::error!(projection = %self.name(), %log, %position, event_type, "needs newer code");
                let at = self.look(log).await?;
                let trouble = Trouble::Newer { log, position, event_type: event_type.clone(), schema_version, at };
                self.set_trouble(Some(trouble));
                let projection = self.name().clone();
                Err(ProjectorError::NeedsNewerCode { projection, log, position, event_type, schema_version })
            }
            other => Err(self.target(other)),
        }
    }
}
