//! A replay that is verified before it goes live.

use factum::Cursor;

use super::{Rebuild, target};
use crate::projection::Projection;
use crate::replay::{Progress, ReplayPhase, ReplayProgress};
use crate::replay_error::ReplayError;
use crate::replay_options::KEEP_OLD;
use crate::verify::{Verify, VerifyOptions, VerifyProgress, VerifyReport, Watch};

/// How many differences a verification tells that ends a replay.
const DIFFERENCES: usize = 100;

impl<P: Projection> Rebuild<'_, P> {
    /// Compares what was built with another fold of history. What is not as that comes to takes no part any more: a replay
    /// that went on with it would make it live.
    pub(super) async fn verify(&mut self, progress: Progress<'_>) -> Result<VerifyReport, ReplayError> {
        let (options, generation) = (VerifyOptions::new().generation(self.generation), self.generation);
        let mut differences = Vec::new();
        let mut found = |difference| {
            if differences.len() < DIFFERENCES {
                differences.push(difference);
            }
        };
        let mut shown = |verified: VerifyProgress| {
            let VerifyProgress { position, until: head, events, elapsed, .. } = verified;
            let (phase, from) = (ReplayPhase::Verifying, Cursor::start());
            progress(ReplayProgress { generation, phase, from, position, head, events, elapsed });
        };
        let watch = Watch { found: &mut found, progress: &mut shown };
        let report = Verify::begin(self.documents, self.store, &options).await;
        let report = match report {
            Ok(verify) => verify.run(watch).await,
            Err(error) => Err(error),
        };
        let projection = || self.documents.name.clone();
        let report =
            report.map_err(|source| ReplayError::Verify { projection: projection(), source: Box::new(source) })?;
        if report.differences == 0 {
            return Ok(report);
        }
        let keep = Some(self.options.keep_old.max(KEEP_OLD));
        let retired = self.documents.read_models.retire(&self.documents.name, generation, keep).await;
        retired.map_err(|source| target(self.documents, source.into()))?;
        Err(ReplayError::Differs { projection: projection(), report: Box::new(report), differences })
    }
}
