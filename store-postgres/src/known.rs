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
        for write in appends.iter().flat_map(|append| &append.writes) {
            state.ends.remove(&write.stream);
        }
        state.departed += 1;
        let number = state.departed;
        let goes = offer.is_some() || state.flights.iter().all(|flight| flight.landed.is_some());
        state.flights.push_back(Flight { number, span: span(appends), goes, landed: None });
        Departed { known: self, number, offer }
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
        let head = self.head.filter(|_| appends.len() >= LEAST && self.row >= ROW)?;
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
                if !holds || !streams.insert(&write.stream) {
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
            self.ends.extend(ends.into_iter().map(|(stream, end)| (stream, (end, learned))));
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
mod tests {
    use chrono::DateTime;
    use factum::{
        Appended, Condition, Cursor, EventType, Fault, Fingerprint, Key, Keyed, LogId, NewEvent, Position, Query,
        QueryCondition, Versions,
    };

    use super::*;

    fn stream(number: usize) -> StreamId {
        StreamId::new(format!("account-{number}")).unwrap()
    }

    fn event() -> NewEvent {
        NewEvent::new(EventType::new("Deposited").unwrap(), "1")
    }

    fn group(numbers: std::ops::Range<usize>) -> Vec<Append> {
        numbers.map(|number| Append::to(stream(number), Condition::Any, vec![event()])).collect()
    }

    /// The answers to a group that begins at a position, all of whose streams were at a version.
    fn told(group: &[Append], begins: u64, at: u64) -> Vec<Done> {
        let (log, recorded_at, number) = (LogId::FIRST, DateTime::UNIX_EPOCH, Version::new(at + 1).unwrap());
        let accepted = |(append, position): (&Append, u64)| {
            let place = Position::new(position);
            let stream = append.writes[0].stream.clone();
            let versions = vec![Versions { stream, first: number, last: number }];
            let outcome = Outcome::Accepted { log, first: place, last: place, recorded_at, versions };
            Ok(Appended::new(outcome, false))
        };
        group.iter().zip(begins..).map(accepted).collect()
    }

    /// So many groups of 20 streams were answered, one after another.
    fn after(groups: u64) -> Known {
        let known = Known::default();
        for number in 0..groups {
            let group = group(0..20);
            let appends: Vec<_> = group.iter().collect();
            known.depart(&appends).land(&appends, &told(&group, 20 * number + 1, number));
        }
        known
    }

    fn offered(known: &Known, group: &[Append]) -> Option<Offer> {
        let mut state = known.state();
        state.row = state.row.max(ROW);
        state.offer(&group.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_group_whose_streams_are_known_belongs_behind_the_last_one() {
        let offer = offered(&after(6), &group(0..18)).unwrap();
        assert_eq!((offer.first, offer.versions), (121, vec![7; 18]));
        assert_eq!(offer.marks.iter().map(|mark| mark.position).collect::<Vec<_>>(), [120]);
    }

    #[test]
    fn nothing_is_offered_before_so_many_groups_followed_one_another() {
        let group = group(0..20);
        let appends: Vec<_> = group.iter().collect();
        assert!(after(4).depart(&appends).offer.is_none());
        assert!(after(6).depart(&appends).offer.is_some());
    }

    #[test]
    fn a_group_with_anything_to_look_up_is_not_offered() {
        let known = after(6);
        let with = |change: fn(&mut Append)| {
            let mut group = group(0..20);
            change(&mut group[7]);
            offered(&known, &group)
        };
        assert!(with(|_| {}).is_some());
        let keyed = Keyed { key: Key::new("k").unwrap(), fingerprint: Fingerprint::of(b"k"), refusal: None };
        assert!(
            offered(&known, &group(0..20).into_iter().map(|append| append.keyed(keyed.clone())).collect::<Vec<_>>())
                .is_none()
        );
        let condition = || QueryCondition { query: Query::all(), after: Cursor::start() };
        assert!(
            offered(&known, &group(0..20).into_iter().map(|append| append.when(condition())).collect::<Vec<_>>())
                .is_none()
        );
        assert!(with(|append| append.writes[0].stream = stream(20)).is_none(), "a stream that is not known");
        assert!(with(|append| append.writes[0].stream = stream(8)).is_none(), "a stream twice");
        assert!(with(|append| append.writes[0].condition = Condition::NoStream).is_none(), "what would be refused");
        assert!(with(|append| append.writes[0].events.clear()).is_none(), "nothing to record");
        assert!(offered(&known, &group(0..LEAST - 1)).is_none(), "few");
    }

    #[test]
    fn behind_what_is_under_way_only_other_streams_are_offered_and_its_ends_are_marks() {
        let known = after(6);
        let (first, second) = (group(0..4), group(4..20));
        let under_way = known.depart(&first.iter().collect::<Vec<_>>());
        assert!(offered(&known, &group(0..20)).is_none());
        let offer = offered(&known, &second).unwrap();
        assert_eq!((offer.first, offer.versions), (125, vec![7; 16]));
        let ends = [(120, None), (121, first.first()), (124, first.last())];
        for (mark, (position, append)) in offer.marks.iter().zip(ends) {
            assert_eq!(mark.position, position);
            assert!(append.is_none_or(|append| append.writes[0].events[0].id.as_uuid() == mark.id));
        }
        drop(under_way);
        assert!(offered(&known, &second).is_none(), "nobody knows what became of the first");
    }

    #[test]
    fn answers_that_come_in_another_order_are_learned_in_that_of_the_log() {
        let known = after(6);
        let (first, second) = (group(0..4), group(4..20));
        let (of_first, of_second): (Vec<_>, Vec<_>) = (first.iter().collect(), second.iter().collect());
        let (one, two) = (known.depart(&of_first), known.depart(&of_second));
        two.land(&of_second, &told(&second, 125, 6));
        one.land(&of_first, &told(&first, 121, 6));
        drop((one, two));
        let offer = offered(&known, &group(0..20)).unwrap();
        assert_eq!((offer.first, offer.versions), (141, vec![8; 20]));
        assert!(known.state().row > 6);
    }

    #[test]
    fn what_others_appended_or_what_is_not_known_ends_what_was_known() {
        let known = after(6);
        let group = group(0..20);
        let appends: Vec<_> = group.iter().collect();
        known.depart(&appends).land(&appends, &told(&group, 130, 6));
        assert_eq!(known.state().row, 0);
        let known = after(6);
        let mut unknown = told(&group, 121, 6);
        unknown[3] = Err(AppendError::Unknown(Fault::closed("lost")));
        known.depart(&appends).land(&appends, &unknown);
        assert!(known.state().head.is_none() && known.state().ends.is_empty());
    }
}
