//! What a projector that runs tells of its projections, for whoever watches: the names are those of `docs/metrics.md`.

use std::time::Duration;

use factum::{LogId, Position};

use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::projector::Inner;
use crate::status::ProjectionState;

/// What a projection that somebody runs may be doing.
const STATES: [ProjectionState; 5] = [
    ProjectionState::Live,
    ProjectionState::Halted,
    ProjectionState::NeedsNewerCode,
    ProjectionState::Diverged,
    ProjectionState::Failing,
];

impl Inner {
    /// Tells how far a projection is and what it is doing, after a turn that it had.
    pub(crate) async fn gauge(&self, driven: &Driven) -> Result<(), ProjectorError> {
        let name = driven.name().to_string();
        let doing = driven.trouble().map_or(ProjectionState::Live, |trouble| trouble.state());
        for state in STATES {
            let on = if state == doing { 1.0 } else { 0.0 };
            metrics::gauge!("factum_projection_state", "projection" => name.clone(), "state" => state.name()).set(on);
        }
        let (reached, head) = (driven.reached(), self.head(driven).await?);
        let lag = self.lag(&head, &reached);
        if let Some(lag) = lag {
            metrics::gauge!("factum_projection_lag_events", "projection" => name.clone()).set(lag as f64);
        }
        let seconds = match lag {
            Some(0) => Some(0.0),
            _ => self.next_events(driven, &reached, &head).await?.oldest(),
        };
        if let Some(seconds) = seconds {
            metrics::gauge!("factum_projection_lag_seconds", "projection" => name).set(seconds);
        }
        Ok(())
    }
}

impl Driven {
    /// Tells whether this process holds the lease. One that does not knows nothing of how far it is: what it told before
    /// would stand for ever.
    pub(crate) fn gauge_lease(&self, held: bool) -> bool {
        let name = self.name().to_string();
        metrics::gauge!("factum_projection_lease_held", "projection" => name.clone()).set(if held { 1.0 } else { 0.0 });
        if !held {
            for state in STATES {
                metrics::gauge!("factum_projection_state", "projection" => name.clone(), "state" => state.name())
                    .set(0.0);
            }
            metrics::gauge!("factum_projection_lag_events", "projection" => name.clone()).set(0.0);
            metrics::gauge!("factum_projection_lag_seconds", "projection" => name).set(0.0);
        }
        held
    }

    /// Counts a page that was taken.
    pub(crate) fn count(&self, log: LogId, to: Position, events: usize, time: Duration) {
        let name = self.name().to_string();
        metrics::counter!("factum_projection_events_total", "projection" => name.clone()).increment(events as u64);
        metrics::counter!("factum_projection_commits_total", "projection" => name.clone()).increment(1);
        metrics::histogram!("factum_projection_page_seconds", "projection" => name.clone()).record(time.as_secs_f64());
        metrics::gauge!("factum_projection_position", "projection" => name, "log" => log.to_string())
            .set(to.get() as f64);
    }
}
