//! Whether a worker lives, and whether its projections are current: for whoever restarts it or sends it traffic.

use std::time::Duration;

use factum::{Cursor, Lease, ProjectionName};
use serde::Serialize;

use crate::error::ProjectorError;
use crate::failing::Failing;
use crate::projector::{Inner, Projector};

/// How a worker is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerHealth {
    /// What this process is called among those that run.
    pub holder: String,
    /// How long ago it last looked at its leases; `None` if it does not run.
    pub turned: Option<Duration>,
    /// After what time of silence whoever drives a projection counts as dead.
    pub lease_time: Duration,
    /// Each projection, in the order in which they were added.
    pub projections: Vec<ProjectionHealth>,
}

/// What this process does about a projection, without asking its store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkingOn {
    /// The projection.
    pub name: ProjectionName,
    /// Whether this process drives it.
    pub here: bool,
    /// What keeps it from going on here, in words, where something does.
    pub trouble: Option<String>,
}

/// How a projection is kept current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProjectionHealth {
    /// The projection.
    pub name: ProjectionName,
    /// The version of its code.
    pub version: u32,
    /// Who drives it; `None` if nobody does.
    pub holder: Option<String>,
    /// Whether that is this process.
    pub here: bool,
    /// For how long nothing was heard of who drives it, as far as this process has seen.
    pub silent: Duration,
    /// How many events lie past its checkpoint; `None` where the store cannot say.
    pub lag: Option<u64>,
    /// What keeps it from going on, in words, where something does.
    pub trouble: Option<String>,
}

impl WorkerHealth {
    /// Whether the worker is at work: it has looked at its leases within `time`.
    pub fn is_live(&self, time: Duration) -> bool {
        self.turned.is_some_and(|turned| turned < time)
    }

    /// What is not ready, in words: projections that nobody drives who is alive, those that lag by more than `lag` events,
    /// and those that something keeps from going on.
    pub fn not_ready(&self, lag: u64) -> Vec<String> {
        self.projections.iter().filter_map(|projection| projection.not_ready(self.lease_time, lag)).collect()
    }
}

impl ProjectionHealth {
    fn not_ready(&self, silent: Duration, lag: u64) -> Option<String> {
        let name = &self.name;
        let trouble = self.trouble.as_ref().map_or_else(String::new, |trouble| format!(": {trouble}"));
        match &self.holder {
            None => Some(format!("{name} is driven by nobody{trouble}")),
            Some(holder) if self.silent >= silent => {
                Some(format!("{name} is driven by {holder}, of whom nothing is heard{trouble}"))
            }
            Some(_) if self.lag.is_some_and(|found| found > lag) => {
                Some(format!("{name} lags by {} events{trouble}", self.lag.unwrap_or_default()))
            }
            Some(_) => self.trouble.as_ref().map(|trouble| format!("{name} does not go on: {trouble}")),
        }
    }
}

impl Projector {
    /// How the worker of this process is, and who drives each projection. Reads the leases and the checkpoints.
    ///
    /// # Errors
    /// [`ProjectorError`] where a store cannot be read.
    pub async fn health(&self) -> Result<WorkerHealth, ProjectorError> {
        self.inner.check_setup()?;
        self.inner.health().await
    }

    /// What this process does about each projection, in the order in which they were added. Asks no store.
    pub fn working_on(&self) -> Vec<WorkingOn> {
        let all = self.inner.driven.iter().map(|driven| WorkingOn {
            name: driven.name().clone(),
            here: self.inner.leases.held(&driven.lease),
            trouble: driven.trouble().map(|trouble| trouble.to_string()),
        });
        all.collect()
    }

    /// How long ago the worker of this process last looked at its leases; `None` if it does not run. Asks no store.
    pub fn turned(&self) -> Option<Duration> {
        self.inner.leases.last_turn()
    }

    /// What this process is called among those that run.
    pub fn holder(&self) -> &factum::LeaseHolder {
        self.inner.leases.holder()
    }

    /// Every lease that somebody has: who drives which projection, who runs, who replays.
    ///
    /// # Errors
    /// [`factum::ReadModelError`].
    pub async fn leases(&self) -> Result<Vec<Lease>, factum::ReadModelError> {
        self.inner.read_models.leases().await
    }
}

impl Inner {
    async fn health(&self) -> Result<WorkerHealth, ProjectorError> {
        let mut projections = Vec::with_capacity(self.driven.len());
        let leases = self.leases.observe(&*self.read_models).await;
        let (leases, why) = match leases {
            Ok(leases) => (leases, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        for driven in &self.driven {
            let mut checkpoint = Cursor::start();
            for log in self.store.logs() {
                checkpoint.set(log, driven.checkpoint(log).await?.position);
            }
            let held = leases.iter().find(|standing| standing.lease.name == driven.lease);
            // Whoever drives it may say of itself that it fails.
            let told = held.and_then(|standing| Failing::of(&standing.lease.note)).map(|failing| failing.to_string());
            projections.push(ProjectionHealth {
                name: driven.name().clone(),
                version: driven.projected.version().0,
                holder: held.map(|standing| standing.lease.holder.to_string()),
                here: self.leases.held(&driven.lease),
                silent: held.map_or(Duration::ZERO, |standing| standing.still),
                lag: self.lag(&self.head(driven).await?, &checkpoint),
                trouble: driven.trouble().map(|trouble| trouble.to_string()).or(told).or_else(|| why.clone()),
            });
        }
        let (holder, turned) = (self.leases.holder().to_string(), self.leases.last_turn());
        Ok(WorkerHealth { holder, turned, lease_time: self.options.lease_time, projections })
    }
}
