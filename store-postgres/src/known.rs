//! What a process knows from the answers to its own groups: while nobody else appends, where the log ends, and where those of its
//! streams that it wrote. Of a group whose streams are all among them nothing needs to be looked up.
//!
//! What it offers is only believed if the log shows it: `append_known` in `sql/migrations/0012_append_known.sql` looks, under the
//! order lock, at an event that was answered and at the ends of what was sent since. Else the group is sent again as any other.
//!
//! A group may be offered while another is under way on the other connection. Its streams are not among those of the other: what a
//! group writes is not known until it is answered. One that is not offered, or was offered in vain, waits until what departed before
//! it has landed: what a process appends stands in the log in the order in which it came.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factum::{Append, AppendError, Outcome, StreamId, Version};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::columns::column;
use crate::commit::Done;

/// After how many groups in a row, with nobody else's appends in between, groups are offered: one in vain costs a round trip.
const ROW: u32 = 4;

/// Of how many appends a group is at least that is offered: of fewer little is saved.
const LEAST: usize = 16;

/// How old what is known of a stream may be: somebody with the rights of the owner could take away what is not at the end of the log.
const RECENT: Duration = Duration::from_secs(10);

/// Of how many streams the end is known at most.
const STREAMS: usize = 50_000;

#[derive(Debug, Default)]
pub(crate) struct Known {
    state: Mutex<State>,
    landed: Notify,
}

#[derive(Debug, Default)]
struct State {
    head: Option<Mark>,
    /// How many groups in a row began right after the one before.
    row: u32,
    ends: HashMap<StreamId, (Version, Instant)>,
    /// What was sent, in that order, and of which nothing was learned yet: answers may come in another order.
    flights: VecDeque<Flight>,
    departed: u64,
    /// Whether the server would not have it.
    never: bool,
}

/// An event at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: i64,
    pub(crate) id: Uuid,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    /// Its first and its last event, and how many it has; `None` where it has none.
    span: Option<(Uuid, Uuid, i64)>,
    streams: HashSet<StreamId>,
    /// Whether it is sent: else it waits for what departed before it.
    goes: bool,
    /// What became of it, once it is answered.
    landed: Option<Landed>,
}

/// What of a group was recorded.
#[derive(Debug)]
struct Landed {
    first: i64,
    last: Mark,
    events: i64,
    ends: Vec<(StreamId, Version)>,
}

/// A group under way. What becomes of it is told, or nothing is known any more.
#[derive(Debug)]
pub(crate) struct Departed<'k> {
    known: &'k Known,
    number: u64,
    pub(crate) offer: Option<Offer>,
}

/// Where a group belongs if the log is as it is believed to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) marks: Vec<Mark>,
    /// The position of its first event.
    pub(crate) first: i64,
    /// The version of each event.
    pub(crate) versions: Vec<i64>,
}

impl Known {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that a group is sent, and says where it belongs, if that is known.
    pub(crate) fn depart(&self, appends: &[&Append]) -> Departed<'_> {
        let mut state = self.state();
        let offer = state.offer(appends);
        let writes = appends.iter().flat_map(|append| &append.writes);
        let streams: HashSet<_> = writes.map(|write| write.stream.clone()).collect();
        for stream in &streams {
            state.ends.remove(stream);
        }
        state.departed += 1;
        let number = state.departed;
        let goes = offer.is_some() || state.flights.iter().all(|flight| flight.landed.is_some());
        state.flights.push_back(Flight { number, span: span(appends), streams, goes, landed: None });
        Departed { known: self, number, offer }
    }

    /// The server never takes what it is offered, for want of a right or for a rule of its owner's.
    pub(crate) fn offer_none(&self) {
        self.state().never = true;
    }

    /// Somebody else appended, or nobody knows what became of a group.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        if state.head.is_some() {
            state.forget();
        }
    }
}

impl Departed<'_> {
    /// Whether nothing that departed before it is still under way.
    pub(crate) fn is_first(&self) -> bool {
        let earlier = |flight: &Flight| flight.number < self.number && flight.landed.is_none();
        !self.known.state().flights.iter().any(earlier)
    }

    /// Ends when nothing that departed before it is under way any more.
    pub(crate) async fn comes_first(&self) {
        loop {
            let landed = self.known.landed.notified();
            if self.is_first() {
                return;
            }
            landed.await;
        }
    }

    /// Takes note of what became of the group.
    pub(crate) fn land(&self, appends: &[&Append], told: &[Done]) {
        let refused = |error: &AppendError| !matches!(error, AppendError::NotDone(_) | AppendError::Unknown(_));
        let told_all = told.iter().all(|done| done.as_ref().err().is_none_or(refused));
        let Some(landed) = Landed::of(appends, told).filter(|_| told_all) else { return };
        let mut state = self.known.state();
        if let Some(flight) = state.flights.iter_mut().find(|flight| flight.number == self.number) {
            flight.landed = Some(landed);
        }
        state.learn_in_order();
        drop(state);
        self.known.landed.notify_waiters();
    }
}

impl Drop for Departed<'_> {
    fn drop(&mut self) {
        let mut state = self.known.state();
        let own = state.flights.iter().position(|flight| flight.number == self.number && flight.landed.is_none());
        if let Some(own) = own {
            state.flights.remove(own);
            state.forget();
            state.learn_in_order();
        }
        drop(state);
        self.known.landed.notify_waiters();
    }
}

impl State {
    fn forget(&mut self) {
        (self.head, self.row) = (None, 0);
        self.ends.clear();
    }

    fn offer(&self, appends: &[&Append]) -> Option<Offer> {
        let head = self.head.filter(|_| appends.len() >= LEAST && self.row >= ROW && !self.never)?;
        let (mut marks, mut last) = (vec![head], head.position);
        for flight in &self.flights {
            let (first_id, last_id, events) = flight.span.filter(|_| flight.goes)?;
            marks.push(Mark { position: last + 1, id: first_id });
            last += events;
            marks.push(Mark { position: last, id: last_id });
        }
        let mut streams = HashSet::with_capacity(appends.len());
        let mut versions = Vec::with_capacity(appends.len());
        for append in appends {
            if append.keyed.is_some() || append.query_condition.is_some() || append.events() == 0 {
                return None;
            }
            for write in &append.writes {
                let (end, learned) = self.ends.get(&write.stream)?;
                let holds = write.condition.holds(Some(*end)) && learned.elapsed() < RECENT;
                // Where nothing is written, no index says that somebody else came in between.
                if !holds || write.events.is_empty() || !streams.insert(&write.stream) {
                    return None;
                }
                let after = column(end.get());
                versions.extend((1..=column(write.events.len() as u64)).map(|n| after + n));
            }
        }
        Some(Offer { marks, first: last + 1, versions })
    }

    /// Learns of what has landed, as far as nothing before it is under way. What comes first now need not wait any longer.
    fn learn_in_order(&mut self) {
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.landed.is_some()) {
            flight.landed.into_iter().for_each(|landed| self.learn(landed));
        }
        if let Some(first) = self.flights.front_mut() {
            first.goes = true;
        }
    }

    fn learn(&mut self, landed: Landed) {
        let Landed { first, last, events, ends } = landed;
        let before = self.head.map(|head| head.position);
        let follows = before.is_some_and(|before| before + 1 == first) && last.position - first + 1 == events;
        self.row = if follows { self.row.saturating_add(1) } else { 0 };
        if !follows || self.ends.len() + ends.len() > STREAMS {
            self.ends.clear();
        }
        if before.is_none_or(|before| before < last.position) {
            let learned = Instant::now();
            self.head = Some(last);
            // What is under way writes some of them anew.
            let under_way = |stream: &StreamId| self.flights.iter().any(|flight| flight.streams.contains(stream));
            let ends = ends.into_iter().filter(|(stream, _)| !under_way(stream));
            self.ends.extend(ends.map(|(stream, end)| (stream, (end, learned))));
        }
    }
}

impl Landed {
    /// `None` where nothing was recorded.
    fn of(appends: &[&Append], told: &[Done]) -> Option<Self> {
        let mut landed: Option<Self> = None;
        for (append, done) in appends.iter().zip(told) {
            let Ok(done) = done else { continue };
            let Outcome::Accepted { first, last, versions, .. } = &done.outcome else { continue };
            let Some(id) = ids(append).next_back().filter(|_| !done.already) else { continue };
            let (first, last) = (first.as_i64(), Mark { position: last.as_i64(), id });
            let landed = landed.get_or_insert_with(|| Self { first, last, events: 0, ends: Vec::new() });
            landed.first = landed.first.min(first);
            if landed.last.position < last.position {
                landed.last = last;
            }
            landed.events += column(append.events() as u64);
            landed.ends.extend(versions.iter().map(|versions| (versions.stream.clone(), versions.last)));
        }
        landed
    }
}

fn ids(append: &Append) -> impl DoubleEndedIterator<Item = Uuid> {
    append.writes.iter().flat_map(|write| &write.events).map(|event| event.id.as_uuid())
}

fn span(appends: &[&Append]) -> Option<(Uuid, Uuid, i64)> {
    let mut all = appends.iter().flat_map(|append| ids(append));
    let first = all.next()?;
    let last = all.next_back().unwrap_or(first);
    Some((first, last, column(appends.iter().map(|append| append.events() as u64).sum())))
}

#[cfg(test)]
mod tests;
