//! Who replays a projection at the moment: one at a time, under a lease that stands still when its holder is dead.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use factum::{
    Fault, FaultKind, GenerationState, LeaseError, LeaseHolder, LeaseName, ProjectedError, RaiseEpochs, ReadModelError,
    ReadModelStore, TakeLease,
};
use futures_util::future::{self, Either};

use crate::drive::Driven;
use crate::lease::Seen;
use crate::projector::Inner;
use crate::replay_error::ReplayError;

/// In how many looks the lease time of another is waited for.
const LOOKS: u32 = 20;

/// Replays of this process that were broken off, the last of them: nobody need wait for their leases.
static BROKEN_OFF: Mutex<VecDeque<LeaseHolder>> = Mutex::new(VecDeque::new());
const BROKEN_OFF_MOST: usize = 1_000;

/// A replay that runs. If it is dropped before it has ended, whoever is next in this process takes its lease at once.
struct Running(Option<LeaseHolder>);

impl Drop for Running {
    fn drop(&mut self) {
        let Some(holder) = self.0.take() else { return };
        let mut all = BROKEN_OFF.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == BROKEN_OFF_MOST {
            all.pop_front();
        }
        all.push_back(holder);
    }
}

/// Whether its replay is known to have ended in this process, without giving its lease back.
pub(crate) fn is_broken_off(holder: &LeaseHolder) -> bool {
    BROKEN_OFF.lock().unwrap_or_else(PoisonError::into_inner).contains(holder)
}

impl Inner {
    /// Does what a replay does while nobody else replays the same projection in the same version.
    pub(crate) async fn alone<T>(
        &self,
        driven: &Driven,
        work: impl Future<Output = Result<T, ReplayError>>,
    ) -> Result<T, ReplayError> {
        let holder = LeaseHolder::here();
        let mut running = Running(Some(holder.clone()));
        self.take_replay(driven, &holder).await?;
        let work = std::pin::pin!(work);
        let done = match future::select(work, std::pin::pin!(self.keep_replay(&holder))).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => {
                let found = "it stood still for too long, and another has taken it over".to_owned();
                Err(ReplayError::AnotherReplay { projection: driven.name().clone(), found })
            }
        };
        match release(&*self.read_models, &holder).await {
            Ok(()) => running.0 = None,
            Err(error) => {
                tracing::warn!(projection = %driven.name(), %error, "the lease of a replay is not given back")
            }
        }
        done
    }

    async fn take_replay(&self, driven: &Driven, holder: &LeaseHolder) -> Result<(), ReplayError> {
        let (projection, version) = (driven.name().clone(), driven.projected.version());
        let name = LeaseName::replay(&projection, version);
        let time = self.options.lease_time;
        let (mut take, mut watched) = (TakeLease::free(name, holder.clone()), None::<Seen>);
        loop {
            let asked = Instant::now();
            let lease = match self.read_models.take_lease(&take).await {
                // What somebody else had has ended while it was looked at.
                Ok(_) if take.seen.is_none() && watched.is_some() => {
                    release(&*self.read_models, holder).await.map_err(|error| target(driven, error))?;
                    let found = "it ended just now".to_owned();
                    return Err(ReplayError::AnotherReplay { projection, found });
                }
                Ok(_) => return Ok(()),
                Err(LeaseError::Held { lease }) => *lease,
                Err(LeaseError::Fault(fault)) => return Err(target(driven, fault.into())),
                Err(other) => return Err(target(driven, Fault::new(FaultKind::Other, other.to_string()).into())),
            };
            let still = watched.as_ref().and_then(|seen| seen.still(&lease, asked));
            if still.is_none() {
                if watched.is_some_and(|seen| seen.lease.holder == lease.holder) {
                    let (holder, since) = (lease.holder.to_string(), lease.since);
                    return Err(ReplayError::Running { projection, holder, since });
                }
                watched = Some(Seen::now(lease.clone()));
            }
            if still.is_some_and(|still| still >= time) || is_broken_off(&lease.holder) {
                let (state, logs) = (GenerationState::Building, self.store.logs());
                take.raise = Some(RaiseEpochs { projection: projection.clone(), version, state, logs });
                take.seen = Some(lease);
                continue;
            }
            self.options.timer.sleep(time / LOOKS).await;
        }
    }

    /// Raises the counter for as long as it is awaited; ends when the lease was lost.
    async fn keep_replay(&self, holder: &LeaseHolder) {
        loop {
            self.options.timer.sleep(self.options.lease_time / 3).await;
            match self.read_models.renew_leases(holder).await {
                Ok(held) if held.is_empty() => return,
                Ok(_) => {}
                Err(error) => tracing::warn!(%holder, %error, "the lease of a replay could not be renewed"),
            }
        }
    }
}

async fn release(store: &dyn ReadModelStore, holder: &LeaseHolder) -> Result<(), ReadModelError> {
    for lease in store.renew_leases(holder).await? {
        store.release_lease(&lease).await?;
    }
    Ok(())
}

fn target(driven: &Driven, source: ReadModelError) -> ReplayError {
    ReplayError::Target { projection: driven.name().clone(), source: ProjectedError::ReadModel(source) }
}
