//! Leases: who keeps which read model current.

use std::collections::btree_map::Entry;

use chrono::{DateTime, Utc};
use factum::{Lease, LeaseError, LeaseHolder, TakeLease};

use crate::read_models::ReadModels;

impl ReadModels {
    pub(crate) fn take_lease(&mut self, take: &TakeLease, now: DateTime<Utc>) -> Result<Lease, LeaseError> {
        let fresh = |counter| {
            let TakeLease { name, holder, note, .. } = take.clone();
            Lease { name, holder, counter, note, since: now }
        };
        let lease = match self.leases.entry(take.name.clone()) {
            Entry::Vacant(free) => free.insert(fresh(1)),
            Entry::Occupied(held) => {
                let held = held.into_mut();
                if held.holder != take.holder && !take.seen.as_ref().is_some_and(|seen| is_still(held, seen)) {
                    return Err(LeaseError::Held { lease: Box::new(held.clone()) });
                }
                let since = if held.holder == take.holder { held.since } else { now };
                *held = Lease { since, ..fresh(held.counter + 1) };
                held
            }
        };
        let lease = lease.clone();
        if let Some(raise) = &take.raise {
            self.raise(raise);
        }
        Ok(lease)
    }

    pub(crate) fn renew_leases(&mut self, holder: &LeaseHolder) -> Vec<Lease> {
        let renewed = self.leases.values_mut().filter(|lease| lease.holder == *holder);
        renewed
            .map(|lease| {
                lease.counter += 1;
                lease.clone()
            })
            .collect()
    }

    pub(crate) fn release_lease(&mut self, seen: &Lease) -> bool {
        let is_so = self.leases.get(&seen.name).is_some_and(|held| is_still(held, seen));
        is_so && self.leases.remove(&seen.name).is_some()
    }
}

/// Whether a lease is as it was seen.
fn is_still(held: &Lease, seen: &Lease) -> bool {
    (&held.holder, held.counter) == (&seen.holder, seen.counter)
}
