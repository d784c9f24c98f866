//! Which projections this process drives: it says that it runs, sees who else does, and takes and gives back leases until each
//! has an even share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use factum::{LeaseHolder, LeaseName, ReadModelError, TakeLease};
use futures_util::future;

use crate::drive::Driven;
use crate::lease::Standing;
use crate::projector::Inner;
use crate::share::{Share, Workers, share};

/// How much more often one looks that has less than its share, in rounds: others give something back for it.
const HUNGRY: u32 = 4;

/// How much time lies between two looks for generations that are kept no longer.
const DROP_EVERY: Duration = Duration::from_secs(60);

/// What one process knows from round to round.
#[derive(Default)]
struct Rounds {
    /// Since when leases were free that another is to take.
    free: HashMap<LeaseName, Instant>,
    /// When what is kept no longer was dropped last.
    dropped: Option<Instant>,
    /// What it would have when it said so last.
    said: Option<String>,
}

impl Inner {
    /// Takes what is its share, for as long as it is awaited. Never ends.
    pub(crate) async fn supervise(&self) {
        let mut rounds = Rounds::default();
        loop {
            let third = self.options.lease_time / 3;
            let pause = match self.round(&mut rounds).await {
                Ok(true) => third,
                Ok(false) => third / HUNGRY,
                Err(error) => {
                    tracing::warn!(holder = %self.leases.holder(), %error, "the leases could not be looked at");
                    third
                }
            };
            self.leases.turned();
            self.tell_failing().await;
            self.drop_expired(&mut rounds).await;
            self.options.timer.sleep(pause).await;
        }
    }

    /// Drops what replays have left of the projections that are driven here and is kept no longer.
    async fn drop_expired(&self, rounds: &mut Rounds) {
        if rounds.dropped.is_some_and(|dropped| dropped.elapsed() < DROP_EVERY) {
            return;
        }
        rounds.dropped = Some(Instant::now());
        for driven in self.driven.iter().filter(|driven| self.leases.held(&driven.lease)) {
            driven.drop_expired().await;
        }
    }

    /// Says whether it has its share.
    async fn round(&self, rounds: &mut Rounds) -> Result<bool, ReadModelError> {
        let store = &*self.read_models;
        self.leases.renew(store).await?;
        let willing = self.willing();
        self.announce(rounds, &willing).await?;
        let all = self.leases.observe(store).await?;
        let time = self.options.lease_time;
        let me = self.leases.holder();
        let workers = workers(&all, me, &willing, time);
        let alive = all.iter().filter(|standing| standing.still < time);
        let held: BTreeMap<_, _> =
            alive.map(|standing| (standing.lease.name.clone(), standing.lease.holder.clone())).collect();
        let Share { mut take, give } = share(me, &workers, &held);
        take.extend(overdue(rounds, &willing, &held, &take, time));
        for name in
            self.leases.held_of("projection/").into_iter().filter(|name| give.contains(name) || self.is_unfit(name))
        {
            self.give_up(&name).await?;
        }
        for name in &take {
            if let Some(driven) = self.driven_under(name)
                && let Err(error) = self.take(driven).await
            {
                tracing::warn!(lease = %name, %error, "a lease could not be taken");
                // It may have been waited for, and the others are to be renewed.
                break;
            }
        }
        self.bury(&all, time).await?;
        Ok(!self.is_hungry(&willing, &workers, &held))
    }

    /// Whether another has at least two more, of those that this process would drive: it will give one back.
    fn is_hungry(
        &self,
        willing: &BTreeSet<LeaseName>,
        workers: &Workers,
        held: &BTreeMap<LeaseName, LeaseHolder>,
    ) -> bool {
        let mine = willing.iter().filter(|name| self.leases.held(name)).count();
        // What a worker says of itself is a lease too.
        let load = |worker| held.values().filter(|holder| *holder == worker).count() - 1;
        let others = held.iter().filter(|(name, holder)| willing.contains(*name) && workers.contains_key(*holder));
        others.filter(|(_, holder)| *holder != self.leases.holder()).any(|(_, holder)| load(holder) >= mine + 2)
    }

    /// The projections that this process would drive: those that it runs, and whose events it knows.
    fn willing(&self) -> BTreeSet<LeaseName> {
        let wanted = self.leases.wanted();
        let fit = self.driven.iter().filter(|driven| !driven.is_too_old()).map(|driven| driven.lease.clone());
        fit.filter(|name| wanted.contains(name)).collect()
    }

    /// Whether it is driven here and needs newer code: then a newer process is to have it.
    fn is_unfit(&self, name: &LeaseName) -> bool {
        self.driven_under(name).is_some_and(|driven| driven.is_too_old())
    }

    fn driven_under(&self, name: &LeaseName) -> Option<&Arc<Driven>> {
        self.driven.iter().find(|driven| driven.lease == *name)
    }

    /// Says that this process runs, and what it would drive.
    async fn announce(&self, rounds: &mut Rounds, willing: &BTreeSet<LeaseName>) -> Result<(), ReadModelError> {
        let worker = LeaseName::worker(self.leases.holder());
        let note = serde_json::to_string(willing).unwrap_or_default();
        if self.leases.held(&worker) && rounds.said.as_ref() == Some(&note) {
            return Ok(());
        }
        let wish = TakeLease { note: note.clone(), ..TakeLease::free(worker, self.leases.holder().clone()) };
        if self.leases.take(&*self.read_models, wish, self.options.lease_time).await?.is_ok() {
            rounds.said = Some(note);
        }
        Ok(())
    }

    /// Gives one back between two pages, or at a later round if a page takes long.
    async fn give_up(&self, name: &LeaseName) -> Result<(), ReadModelError> {
        let Some(driven) = self.driven_under(name) else { return Ok(()) };
        let wait = std::pin::pin!(driven.drive.lock());
        let patience = self.options.timer.sleep(self.options.lease_time / 6);
        if let future::Either::Left((mut drive, _)) = future::select(wait, patience).await {
            drive.drop_all();
            tracing::info!(lease = %name, holder = %self.leases.holder(), "a lease is given back");
            self.leases.give(&*self.read_models, name).await?;
        }
        Ok(())
    }

    /// Removes what dead workers said of themselves.
    async fn bury(&self, all: &[Standing], time: Duration) -> Result<(), ReadModelError> {
        for Standing { lease, .. } in all.iter().filter(|standing| is_worker(standing) && standing.still >= time) {
            tracing::warn!(worker = %lease.holder, "a worker is gone");
            self.read_models.release_lease(lease).await?;
        }
        Ok(())
    }

    /// Gives back what no run of this process would have any more.
    pub(crate) async fn give_unwanted(&self, driven: &[Arc<Driven>]) {
        let wanted = self.leases.wanted();
        let mut names: Vec<_> = driven.iter().map(|driven| driven.lease.clone()).collect();
        names.retain(|name| !wanted.contains(name));
        names.extend(wanted.is_empty().then(|| LeaseName::worker(self.leases.holder())));
        for name in names.iter().filter(|name| self.leases.held(name)) {
            if let Err(error) = self.leases.give(&*self.read_models, name).await {
                tracing::warn!(lease = %name, %error, "a lease was not given back; others wait until it stands still");
            }
        }
    }
}

fn is_worker(standing: &Standing) -> bool {
    standing.lease.name == LeaseName::worker(&standing.lease.holder)
}

/// The processes that run. This one does, whatever was seen of it.
fn workers(all: &[Standing], me: &LeaseHolder, willing: &BTreeSet<LeaseName>, time: Duration) -> Workers {
    let alive = all.iter().filter(|standing| is_worker(standing) && standing.still < time);
    let mut workers: Workers = alive
        .map(|Standing { lease, .. }| {
            // What it says is no list, if it is of another release: it wants nothing then that this one knows.
            (lease.holder.clone(), serde_json::from_str(&lease.note).unwrap_or_default())
        })
        .collect();
    workers.insert(me.clone(), willing.clone());
    workers
}

/// What another was to take and has not in all this time.
fn overdue(
    rounds: &mut Rounds,
    willing: &BTreeSet<LeaseName>,
    held: &BTreeMap<LeaseName, LeaseHolder>,
    take: &[LeaseName],
    time: Duration,
) -> Vec<LeaseName> {
    let free = || willing.iter().filter(|name| !held.contains_key(*name) && !take.contains(name));
    rounds.free.retain(|name, _| free().any(|free| free == name));
    let now = Instant::now();
    free()
        .filter(|name| now.duration_since(*rounds.free.entry((*name).clone()).or_insert(now)) >= time)
        .cloned()
        .collect()
}
