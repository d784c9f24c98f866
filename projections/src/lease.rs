//! The leases of this process: what it has, and what others have as far as it has seen.
//!
//! No two machines' clocks are compared. A holder raises its counter; whoever has seen the counter stand still for the lease
//! time by its own monotonic clock may take the lease. Being wrong about it costs a page and nothing else: taking a lease
//! raises the epoch, so that what the holder before writes is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use factum::{Fault, FaultKind, Lease, LeaseError, LeaseHolder, LeaseName, ReadModelError, ReadModelStore, TakeLease};
use tokio::sync::watch;

use crate::failing::Failing;

/// The leases of a process.
pub(crate) struct Leases {
    holder: LeaseHolder,
    known: Mutex<Known>,
    /// Whoever talks to the store of this holder's leases: what is given back is not renewed at the same time.
    talking: tokio::sync::Mutex<()>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    held: BTreeMap<LeaseName, Held>,
    seen: BTreeMap<LeaseName, Seen>,
    /// How many runs of this process would have each.
    wanted: BTreeMap<LeaseName, usize>,
    taken: u64,
    /// When it was last looked after.
    turned: Option<Instant>,
}

struct Held {
    lease: Lease,
    /// When the store was asked that answered that it is ours.
    asked: Instant,
    taking: Taking,
}

/// A lease of somebody else as it was first seen, and when.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) lease: Lease,
    pub(crate) since: Instant,
}

impl Seen {
    pub(crate) fn now(lease: Lease) -> Self {
        Self { lease, since: Instant::now() }
    }

    /// For how long it has stood still, if the question that was asked then has found it as it was seen.
    pub(crate) fn still(&self, found: &Lease, asked: Instant) -> Option<Duration> {
        let same = (&self.lease.holder, self.lease.counter) == (&found.holder, found.counter);
        same.then(|| asked.saturating_duration_since(self.since))
    }
}

/// One taking of a lease: what was known under another is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taking(u64);

/// A lease, and for how long its counter has stood still as far as this process has seen; its own never do.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) lease: Lease,
    pub(crate) still: Duration,
}

/// What a run would have.
pub(crate) struct Wish {
    leases: Arc<Leases>,
    names: Vec<LeaseName>,
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut known = self.leases.known();
        for name in &self.names {
            if let Some(runs) = known.wanted.get_mut(name) {
                *runs -= 1;
            }
        }
        known.wanted.retain(|_, runs| *runs > 0);
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lease { holder, since, .. } = &self.lease;
        write!(f, "it is driven by {holder}, since {}", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        match self.still.as_millis() {
            0 => {}
            still => write!(f, ", of whom nothing was heard for {}.{} s", still / 1000, still % 1000 / 100)?,
        }
        match Failing::of(&self.lease.note) {
            Some(failing) => write!(f, ", which says that it fails: {failing}"),
            None => Ok(()),
        }
    }
}

impl Leases {
    pub(crate) fn new() -> Self {
        let (known, talking) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { holder: LeaseHolder::here(), known, talking, changed: watch::Sender::new(()) }
    }

    pub(crate) fn holder(&self) -> &LeaseHolder {
        &self.holder
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears when a lease is won or lost.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Which taking of a lease holds, if the store said so within this time.
    pub(crate) fn holds(&self, name: &LeaseName, within: Duration) -> Option<Taking> {
        let known = self.known();
        known.held.get(name).filter(|held| held.asked.elapsed() < within).map(|held| held.taking)
    }

    /// Whether it was held when the store was last asked.
    pub(crate) fn held(&self, name: &LeaseName) -> bool {
        self.known().held.contains_key(name)
    }

    /// Says that they were looked after.
    pub(crate) fn turned(&self) {
        self.known().turned = Some(Instant::now());
    }

    pub(crate) fn last_turn(&self) -> Option<Duration> {
        self.known().turned.map(|turned| turned.elapsed())
    }

    /// Those that are held whose names begin so.
    pub(crate) fn held_of(&self, kind: &str) -> Vec<LeaseName> {
        self.known().held.keys().filter(|name| name.as_str().starts_with(kind)).cloned().collect()
    }

    /// Whether a run of this process would have it.
    pub(crate) fn is_wanted(&self, name: &LeaseName) -> bool {
        self.known().wanted.contains_key(name)
    }

    /// What the runs of this process would have.
    pub(crate) fn wanted(&self) -> BTreeSet<LeaseName> {
        self.known().wanted.keys().cloned().collect()
    }

    /// Wants these for as long as the answer lives.
    pub(crate) fn want(self: &Arc<Self>, names: Vec<LeaseName>) -> Wish {
        let mut known = self.known();
        names.iter().for_each(|name| *known.wanted.entry(name.clone()).or_default() += 1);
        drop(known);
        Wish { leases: self.clone(), names }
    }

    /// Raises the counters of all leases that are held, and drops those that were lost.
    pub(crate) async fn renew(&self, store: &dyn ReadModelStore) -> Result<(), ReadModelError> {
        let _talking = self.talking.lock().await;
        let asked = Instant::now();
        let renewed = store.renew_leases(&self.holder).await?;
        let mut known = self.known();
        let before: Vec<_> = known.held.keys().cloned().collect();
        for name in before {
            if !renewed.iter().any(|lease| lease.name == name) {
                tracing::warn!(lease = %name, holder = %self.holder, "a lease was lost");
                known.held.remove(&name);
                self.changed.send_replace(());
            }
        }
        // One that was taken, and of which nobody was told, is ours all the same.
        renewed.into_iter().for_each(|lease| self.have(&mut known, lease, asked));
        Ok(())
    }

    fn have(&self, known: &mut Known, lease: Lease, asked: Instant) {
        known.seen.remove(&lease.name);
        if let Some(held) = known.held.get_mut(&lease.name) {
            (held.lease, held.asked) = (lease, asked);
            return;
        }
        self.win(known, lease, asked);
    }

    fn win(&self, known: &mut Known, lease: Lease, asked: Instant) {
        known.taken += 1;
        let taking = Taking(known.taken);
        known.seen.remove(&lease.name);
        known.held.insert(lease.name.clone(), Held { lease, asked, taking });
        self.changed.send_replace(());
    }

    /// Looks at every lease that somebody has.
    pub(crate) async fn observe(&self, store: &dyn ReadModelStore) -> Result<Vec<Standing>, ReadModelError> {
        let asked = Instant::now();
        let all = store.leases().await?;
        let mut known = self.known();
        known.seen.retain(|name, _| all.iter().any(|lease| lease.name == *name));
        Ok(all.into_iter().map(|lease| self.see(&mut known, lease, asked)).collect())
    }

    /// A lease stands still from when it was first seen so until the question that found it so again.
    fn see(&self, known: &mut Known, lease: Lease, asked: Instant) -> Standing {
        if lease.holder == self.holder {
            return Standing { lease, still: Duration::ZERO };
        }
        let still = known.seen.get(&lease.name).and_then(|seen| seen.still(&lease, asked));
        if still.is_none() {
            known.seen.insert(lease.name.clone(), Seen::now(lease.clone()));
        }
        Standing { lease, still: still.unwrap_or_default() }
    }

    /// Takes a lease that nobody has, or that has stood still for `time`; else says how it stands. What is known of other
    /// holders need not be of this moment: whoever has moved since keeps it.
    pub(crate) async fn take(
        &self,
        store: &dyn ReadModelStore,
        wish: TakeLease,
        time: Duration,
    ) -> Result<Result<Taking, Standing>, ReadModelError> {
        let _talking = self.talking.lock().await;
        let (name, asked) = (wish.name.clone(), Instant::now());
        let seen = self.known().seen.get(&name).cloned();
        let seen = seen.filter(|seen| asked.saturating_duration_since(seen.since) >= time);
        match store.take_lease(&TakeLease { seen: seen.map(|seen| seen.lease), ..wish }).await {
            Ok(lease) => {
                let mut known = self.known();
                self.win(&mut known, lease, asked);
                Ok(Ok(Taking(known.taken)))
            }
            Err(LeaseError::Held { lease }) => Ok(Err(self.see(&mut self.known(), *lease, asked))),
            Err(LeaseError::Fault(fault)) => Err(fault.into()),
            Err(other) => Err(Fault::new(FaultKind::Other, other.to_string()).into()),
        }
    }

    /// Says something beside a lease that is held. It is not taken anew: what stands under it goes on.
    pub(crate) async fn note(
        &self,
        store: &dyn ReadModelStore,
        name: &LeaseName,
        note: String,
    ) -> Result<(), ReadModelError> {
        let _talking = self.talking.lock().await;
        if !self.held(name) {
            return Ok(());
        }
        let asked = Instant::now();
        let wish = TakeLease { note, ..TakeLease::free(name.clone(), self.holder.clone()) };
        match store.take_lease(&wish).await {
            Ok(lease) => {
                self.have(&mut self.known(), lease, asked);
                Ok(())
            }
            // The next look finds that it was lost.
            Err(LeaseError::Held { .. }) => Ok(()),
            Err(LeaseError::Fault(fault)) => Err(fault.into()),
            Err(other) => Err(Fault::new(FaultKind::Other, other.to_string()).into()),
        }
    }

    /// Gives a lease back.
    pub(crate) async fn give(&self, store: &dyn ReadModelStore, name: &LeaseName) -> Result<(), ReadModelError> {
        let _talking = self.talking.lock().await;
        let Some(held) = self.known().held.remove(name) else { return Ok(()) };
        self.changed.send_replace(());
        if store.release_lease(&held.lease).await? {
            return Ok(());
        }
        // Its counter may have been raised by a call that was not answered.
        let now = store.renew_leases(&self.holder).await?;
        match now.iter().find(|lease| lease.name == *name) {
            Some(lease) => store.release_lease(lease).await.map(drop),
            None => Ok(()),
        }
    }
}
