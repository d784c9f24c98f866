//! A bounded map that forgets what was used least recently.

use std::collections::HashMap;

use crate::stream::StreamId;

/// No slot: the end of the list.
const NONE: usize = usize::MAX;

/// States by stream, at most so many. Everything takes the same time, however many there are.
pub(super) struct Cache<V> {
    places: HashMap<StreamId, usize>,
    /// A list from the one used last to the one used least recently, linked by their indices.
    slots: Vec<Slot<V>>,
    newest: usize,
    oldest: usize,
    capacity: usize,
}

struct Slot<V> {
    stream: StreamId,
    value: V,
    newer: usize,
    older: usize,
}

impl<V> Cache<V> {
    pub(super) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { places: HashMap::new(), slots: Vec::new(), newest: NONE, oldest: NONE, capacity }
    }

    /// What is kept of a stream, which is thereby used.
    pub(super) fn get(&mut self, stream: &StreamId) -> Option<&V> {
        let place = *self.places.get(stream)?;
        self.use_slot(place);
        self.slots.get(place).map(|slot| &slot.value)
    }

    /// Keeps a value and gives back what had to go for it, for the caller to drop where no lock is held.
    #[must_use]
    pub(super) fn put(&mut self, stream: &StreamId, value: V) -> Option<V> {
        if let Some(place) = self.places.get(stream).copied() {
            self.use_slot(place);
            return Some(std::mem::replace(&mut self.slots[place].value, value));
        }
        let slot = Slot { stream: stream.clone(), value, newer: NONE, older: NONE };
        let (place, gone) = if self.slots.len() < self.capacity {
            self.slots.push(slot);
            (self.slots.len() - 1, None)
        } else {
            let place = self.oldest;
            self.unlink(place);
            let gone = std::mem::replace(&mut self.slots[place], slot);
            self.places.remove(&gone.stream);
            (place, Some(gone.value))
        };
        self.places.insert(stream.clone(), place);
        self.link(place);
        gone
    }

    fn use_slot(&mut self, place: usize) {
        if self.newest != place {
            self.unlink(place);
            self.link(place);
        }
    }

    fn unlink(&mut self, place: usize) {
        let Slot { newer, older, .. } = self.slots[place];
        match self.slots.get_mut(newer) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link(&mut self, place: usize) {
        let older = self.newest;
        self.slots[place].newer = NONE;
        self.slots[place].older = older;
        match self.slots.get_mut(older) {
            Some(slot) => slot.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(n: u8) -> StreamId {
        StreamId::new(format!("a-{n}")).unwrap()
    }

    proptest! {
        /// Beside a list that is searched, which is slow and plainly right.
        #[test]
        fn it_keeps_what_was_used_last(
            capacity in 1_usize..6,
            uses in proptest::collection::vec((any::<bool>(), 0_u8..9), 0..200),
        ) {
            let mut cache = Cache::new(capacity);
            let mut plain: Vec<(u8, usize)> = Vec::new();
            for (n, (put, key)) in uses.into_iter().enumerate() {
                let known = plain.iter().position(|(other, _)| *other == key).map(|at| plain.remove(at));
                if put {
                    let gone = if known.is_some() || plain.len() < capacity { known } else { Some(plain.remove(0)) };
                    prop_assert_eq!(cache.put(&stream(key), n), gone.map(|(_, value)| value));
                    plain.push((key, n));
                } else {
                    prop_assert_eq!(cache.get(&stream(key)).copied(), known.map(|(_, value)| value));
                    plain.extend(known);
                }
                prop_assert!(cache.slots.len() <= capacity && cache.places.len() == cache.slots.len());
            }
        }
    }
}
