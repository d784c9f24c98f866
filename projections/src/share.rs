//! Who of the processes that run keeps which projection current: an even share each, and as little moving as possible.
//!
//! Each process works this out for itself, from leases that all of them see. Where they see different things, the taking of a
//! lease decides, so that no two ever have the same one.

use std::collections::{BTreeMap, BTreeSet};

use factum::{LeaseHolder, LeaseName};

/// The processes that run, and for each the leases that it would have.
pub(crate) type Workers = BTreeMap<LeaseHolder, BTreeSet<LeaseName>>;

/// What one process does about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// What nobody has and this process is to take.
    pub(crate) take: Vec<LeaseName>,
    /// What it has too much of, and gives back for others.
    pub(crate) give: Vec<LeaseName>,
}

/// The share of `me`. `held` are the leases that somebody alive has, be it a worker or not.
pub(crate) fn share(me: &LeaseHolder, workers: &Workers, held: &BTreeMap<LeaseName, LeaseHolder>) -> Share {
    let mut has: BTreeMap<&LeaseHolder, BTreeSet<&LeaseName>> =
        workers.keys().map(|worker| (worker, BTreeSet::new())).collect();
    for (name, holder) in held {
        if let (Some(has), Some(wanted)) = (has.get_mut(holder), workers.get(holder))
            && wanted.contains(name)
        {
            has.insert(name);
        }
    }
    let mut share = Share::default();
    let free: BTreeSet<_> = workers.values().flatten().filter(|name| !held.contains_key(*name)).collect();
    for name in free {
        // Of those who have the fewest, the first: all processes come to the same one.
        let willing = workers.iter().filter(|(_, wanted)| wanted.contains(name)).map(|(worker, _)| worker);
        if let Some(worker) = willing.min_by_key(|worker| has.get(worker).map_or(0, BTreeSet::len)) {
            has.entry(worker).or_default().insert(name);
            if worker == me {
                share.take.push(name.clone());
            }
        }
    }
    while let Some((from, to, name)) = uneven(workers, &has) {
        has.entry(from).or_default().remove(name);
        has.entry(to).or_default().insert(name);
        let is_free = !held.contains_key(name);
        if from == me {
            share.take.retain(|taken| taken != name);
            share.give.extend((!is_free).then(|| name.clone()));
        } else if to == me {
            share.take.extend(is_free.then(|| name.clone()));
        }
    }
    share
}

/// A lease of one who has at least two more than another who would have it.
fn uneven<'w>(
    workers: &'w Workers,
    has: &BTreeMap<&'w LeaseHolder, BTreeSet<&'w LeaseName>>,
) -> Option<(&'w LeaseHolder, &'w LeaseHolder, &'w LeaseName)> {
    let mut by_load: Vec<_> = has.iter().map(|(worker, has)| (has.len(), *worker)).collect();
    by_load.sort_unstable();
    for (most, from) in by_load.iter().rev() {
        for (_, to) in by_load.iter().take_while(|(fewest, _)| fewest + 2 <= *most) {
            let wanted = workers.get(*to)?;
            if let Some(name) = has.get(from)?.iter().find(|name| wanted.contains(**name)) {
                return Some((from, to, name));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(n: usize) -> LeaseHolder {
        LeaseHolder::new(format!("worker {n}")).unwrap()
    }

    fn lease(n: usize) -> LeaseName {
        LeaseName::new(format!("lease {n:02}")).unwrap()
    }

    /// Workers that would all have leases 0 to `leases`.
    fn alike(workers: usize, leases: usize) -> Workers {
        (0..workers).map(|n| (worker(n), (0..leases).map(lease).collect())).collect()
    }

    type Held = BTreeMap<LeaseName, LeaseHolder>;

    /// Everybody gives back and takes what is its share, again and again; how often until nothing changed.
    fn settle(workers: &Workers, held: &mut Held) -> usize {
        for round in 0..100 {
            let before = held.clone();
            for me in workers.keys() {
                // Whatever happened meanwhile, each looks anew.
                let Share { take, give } = share(me, workers, held);
                give.iter().for_each(|name| drop(held.remove(name)));
                for name in take {
                    assert_eq!(held.insert(name.clone(), me.clone()), None, "{name} was taken from somebody");
                }
            }
            if *held == before {
                return round;
            }
        }
        panic!("it never settles: {held:?}");
    }

    fn loads(workers: &Workers, held: &Held) -> Vec<usize> {
        workers.keys().map(|worker| held.values().filter(|holder| *holder == worker).count()).collect()
    }

    #[test]
    fn a_lone_process_takes_everything() {
        let workers = alike(1, 5);
        assert_eq!(share(&worker(0), &workers, &Held::new()).take.len(), 5);
    }

    #[test]
    fn who_comes_second_gets_half_and_nothing_else_moves() {
        let mut held: Held = (0..10).map(|n| (lease(n), worker(0))).collect();
        let before = held.clone();
        let workers = alike(2, 10);
        assert_eq!(share(&worker(1), &workers, &held), Share::default());
        assert_eq!(share(&worker(0), &workers, &held).give.len(), 5);
        settle(&workers, &mut held);
        assert_eq!(loads(&workers, &held), [5, 5]);
        assert_eq!(held.iter().filter(|(name, holder)| before[*name] == **holder).count(), 5);
    }

    #[test]
    fn what_a_dead_one_had_is_shared_by_the_others_in_one_round() {
        let workers = alike(3, 9);
        let mut held: Held = (0..9).filter(|n| n % 3 > 0).map(|n| (lease(n), worker(n % 3))).collect();
        let alive: Workers = workers.into_iter().skip(1).collect();
        let takes: Vec<_> = alive.keys().map(|me| share(me, &alive, &held).take).collect();
        assert_eq!(takes.concat().iter().collect::<BTreeSet<_>>().len(), 3, "they get in each other's way: {takes:?}");
        settle(&alive, &mut held);
        assert!(loads(&alive, &held).iter().all(|load| (4..=5).contains(load)));
    }

    #[test]
    fn what_a_command_has_is_left_to_it() {
        let workers = alike(2, 1);
        let held = Held::from([(lease(0), LeaseHolder::new("a command").unwrap())]);
        for me in workers.keys() {
            assert_eq!(share(me, &workers, &held), Share::default());
        }
    }

    proptest! {
        #[test]
        fn everything_that_somebody_wants_is_had_and_evenly(
            wants in proptest::collection::vec(proptest::collection::btree_set(0usize..12, 0..12), 1..6),
            had in proptest::collection::btree_map(0usize..12, 0usize..6, 0..12),
        ) {
            let workers: Workers = wants.iter().enumerate()
                .map(|(n, wants)| (worker(n), wants.iter().map(|n| lease(*n)).collect())).collect();
            let mut held: Held = had.iter()
                .filter(|(name, by)| wants.get(**by).is_some_and(|wants| wants.contains(*name)))
                .map(|(name, by)| (lease(*name), worker(*by))).collect();
            settle(&workers, &mut held);
            for (worker, wanted) in &workers {
                for name in wanted {
                    let holder = held.get(name).expect("nobody has what somebody wants");
                    prop_assert!(workers[holder].contains(name), "{holder} has {name} and does not want it");
                    let of = |worker: &LeaseHolder| held.values().filter(|holder| *holder == worker).count();
                    prop_assert!(of(holder) < of(worker) + 2, "{holder} has two more than {worker}, who wants {name}");
                }
            }
        }
    }
}
