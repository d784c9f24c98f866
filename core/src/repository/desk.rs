//! The lanes that are open, and the states that are kept of the others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cache::Cache;
use super::lane::Lane;
use super::work::Base;
use super::{CachePolicy, Loaded};
use crate::aggregate::Aggregate;
use crate::stream::StreamId;

/// Shared by the clones of a repository. A lane is open while somebody has a command in it; the state that it leaves
/// goes into the cache, if there is one.
pub(super) struct Desk<A: Aggregate>(Mutex<State<A>>);

struct State<A: Aggregate> {
    lanes: HashMap<StreamId, Open<A>>,
    cache: Option<States<A>>,
}

struct States<A> {
    cache: Cache<Arc<Loaded<A>>>,
    copy: fn(&A) -> A,
}

struct Open<A: Aggregate> {
    callers: usize,
    lane: Arc<Lane<A>>,
}

impl<A: Aggregate> Desk<A> {
    /// With a cache, or without one.
    pub(super) fn new(policy: Option<CachePolicy<A>>) -> Self {
        let cache = policy.map(|policy| States { cache: Cache::new(policy.capacity), copy: policy.copy });
        Self(Mutex::new(State { lanes: HashMap::new(), cache }))
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane of a stream, which is held open until the caller leaves.
    pub(super) fn enter(&self, stream: &StreamId) -> Arc<Lane<A>> {
        let mut state = self.state();
        let State { lanes, cache } = &mut *state;
        let open = lanes.entry(stream.clone()).or_insert_with(|| {
            let kept = cache
                .as_mut()
                .and_then(|states| states.cache.get(stream).map(|kept| Base::Shared(Arc::clone(kept), states.copy)));
            Open { callers: 0, lane: Arc::new(Lane::new(stream.clone(), kept)) }
        });
        open.callers += 1;
        Arc::clone(&open.lane)
    }

    /// The last one closes the lane. What is dropped with it is dropped after the lock: it may be a user's.
    pub(super) fn leave(&self, stream: &StreamId) {
        let mut state = self.state();
        let Entry::Occupied(mut open) = state.lanes.entry(stream.clone()) else { return };
        open.get_mut().callers -= 1;
        if open.get().callers > 0 {
            return;
        }
        let lane = open.remove().lane;
        let (kept, rest) = lane.end();
        let gone = match (&mut state.cache, kept) {
            (Some(states), Some(Base::Shared(kept, _))) => (states.cache.put(stream, kept), None),
            (_, kept) => (None, kept),
        };
        drop(state);
        drop((gone, rest, lane));
    }

    /// What is kept of a stream.
    pub(super) fn kept(&self, stream: &StreamId) -> Option<Arc<Loaded<A>>> {
        self.state().cache.as_mut().and_then(|states| states.cache.get(stream)).cloned()
    }

    /// Keeps a state that was read, unless a newer one was kept meanwhile; `instead` is one that is known to be wrong.
    pub(super) fn offer(&self, loaded: Arc<Loaded<A>>, instead: Option<&Arc<Loaded<A>>>) {
        let mut state = self.state();
        let gone = state.cache.as_mut().and_then(|states| match states.cache.get(&loaded.stream) {
            Some(kept) if kept.version >= loaded.version && !instead.is_some_and(|wrong| Arc::ptr_eq(kept, wrong)) => {
                None
            }
            _ => states.cache.put(&loaded.stream.clone(), loaded),
        });
        drop(state);
        drop(gone);
    }

    #[cfg(test)]
    pub(super) fn open_lanes(&self) -> usize {
        self.state().lanes.len()
    }
}
