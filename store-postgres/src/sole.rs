//! What a connection knows from the answers to its own appends: while nobody else appends, the next one need not look for the
//! end of the log, nor for that of its stream.
//!
//! What it offers is only a guess. Whether position and version are free the server sees under the order lock: `append_next` in `sql`. If they are not, it is sent again as any other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use factum::{Appended, Condition, Outcome, Position, StreamId, StreamWrite, Version};

/// After how many appends in a row, with nobody else's in between, it begins to guess: a wrong guess costs more than none.
const ROW: u32 = 8;

/// After how many it is sure of what it guesses, and how long no connection of the store is any more after a place was taken that
/// one was sure of: that stands in the server's log as an error, so there is at most one in an hour for each store.
const LONG_ROW: u32 = 128;
const UNSURE: Duration = Duration::from_secs(3_600);

/// How old what it knows of the log may be, and of a stream. Somebody with the rights of the owner could take away what was appended,
/// and what is free then is not the end. The server looks at the time of the log again.
const RECENT: Duration = Duration::from_secs(1);
const RECENT_END: Duration = Duration::from_secs(10);

/// Of how many streams it knows the end at most.
const STREAMS: usize = 10_000;

/// What all connections of a store know together, of which one may be sure alone.
#[derive(Debug, Default)]
pub(crate) struct Sure {
    /// The last event of which any of them knows.
    head: Arc<AtomicI64>,
    /// When a place was taken of which one was sure.
    refused: Mutex<Option<Instant>>,
}

impl Sure {
    pub(crate) fn new(head: Arc<AtomicI64>) -> Self {
        Self { head, refused: Mutex::default() }
    }

    /// Whether nothing is known to come after this position, and nobody was wrong of late.
    fn is_end(&self, position: Position, now: Instant) -> bool {
        let refused = *self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        position.as_i64() >= self.head.load(Ordering::Relaxed)
            && refused.is_none_or(|when| now.saturating_duration_since(when) > UNSURE)
    }

    /// The server said by an error that such a place was taken.
    pub(crate) fn refused(&self) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// What one connection knows. It is recorded on the server at the other end: one that a failover leads to may have lost it, but is
/// another connection.
#[derive(Debug, Default)]
pub(crate) struct Sole {
    head: Option<Head>,
    /// How many appends in a row began right after the one before.
    row: u32,
    ends: HashMap<StreamId, (Version, Instant)>,
    /// Whether the server would not have it.
    never: bool,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    position: Position,
    recorded_at: DateTime<Utc>,
    learned: Instant,
}

/// What the next event of a stream will be, unless somebody else has appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) version: Version,
    pub(crate) position: Position,
    /// When the last event of the log was recorded.
    pub(crate) after: DateTime<Utc>,
    /// Whether that place is almost certainly free: if it is not, that may be an error.
    pub(crate) sure: bool,
}

impl Sole {
    /// Where the first event of this write belongs, if that is known and its condition holds there.
    pub(crate) fn next(&self, write: &StreamWrite, all: &Sure) -> Option<Next> {
        let head = self.head.filter(|head| self.row >= ROW && !self.never && head.learned.elapsed() < RECENT)?;
        let end =
            self.ends.get(&write.stream).filter(|(_, learned)| learned.elapsed() < RECENT_END).map(|(end, _)| *end);
        // Nobody need know anything of a stream that is not to be there.
        let known = end.is_some() || write.condition == Condition::NoStream;
        if !known || !write.condition.holds(end) {
            return None;
        }
        // A stream of which nothing is known may well be there, whoever appends. With several events it is looked at.
        let looked_at = write.events.len() > 1;
        let sure = (end.is_some() || looked_at) && self.row >= LONG_ROW && all.is_end(head.position, Instant::now());
        Some(Next { version: Version::after(end), position: after(head.position), after: head.recorded_at, sure })
    }

    /// Takes note of the answers to one transaction, in their order.
    pub(crate) fn learn<'a>(&mut self, told: impl IntoIterator<Item = &'a Appended>) {
        told.into_iter().enumerate().for_each(|(n, appended)| self.learn_one(appended, n == 0));
    }

    fn learn_one(&mut self, appended: &Appended, begins: bool) {
        let Outcome::Accepted { first, last, recorded_at, versions, .. } = &appended.outcome else { return };
        if appended.already {
            return;
        }
        let follows = self.head.is_some_and(|head| after(head.position) == *first);
        self.row = if follows { self.row.saturating_add(u32::from(begins)) } else { 0 };
        if !follows || self.ends.len() + versions.len() > STREAMS {
            self.ends.clear();
        }
        let learned = Instant::now();
        self.head = Some(Head { position: *last, recorded_at: *recorded_at, learned });
        let ends = versions.iter().take(STREAMS).map(|versions| (versions.stream.clone(), (versions.last, learned)));
        self.ends.extend(ends);
    }

    /// Counts its appends in a row anew: one was not where it was believed to belong.
    pub(crate) fn start_over(&mut self) {
        self.row = 0;
    }

    /// Knows nothing any more, or does not even guess again.
    pub(crate) fn forget(&mut self, never: bool) {
        *self = Self { never, ..Self::default() };
    }
}

fn after(position: Position) -> Position {
    Position::new(position.get().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use factum::{EventType, LogId, NewEvent, Versions};

    use super::*;

    fn stream(name: &str) -> StreamId {
        StreamId::new(name).unwrap()
    }

    fn write(name: &str, condition: Condition) -> StreamWrite {
        let event = NewEvent::new(EventType::new("Deposited").unwrap(), "1");
        StreamWrite { stream: stream(name), condition, events: vec![event] }
    }

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    /// One event of a stream at a position.
    fn answer(name: &str, at: u64, number: u64) -> Appended {
        let (first, last) = (version(number), version(number));
        let versions = vec![Versions { stream: stream(name), first, last }];
        let (first, last) = (Position::new(at), Position::new(at));
        let recorded_at = DateTime::UNIX_EPOCH;
        Appended::new(Outcome::Accepted { log: LogId::FIRST, first, last, recorded_at, versions }, false)
    }

    fn learn(sole: &mut Sole, appended: &Appended) {
        sole.learn([appended]);
    }

    fn offered(sole: &Sole, write: &StreamWrite) -> Option<Next> {
        sole.next(write, &Sure::default())
    }

    /// Has appended so often in a row, to one stream, from position and version 1.
    fn sole(appends: u64) -> Sole {
        let mut sole = Sole::default();
        (1..=appends).for_each(|n| learn(&mut sole, &answer("account-1", n, n)));
        sole
    }

    #[test]
    fn the_next_event_follows_what_this_connection_appended_last() {
        let sole = sole(20);
        let after = DateTime::UNIX_EPOCH;
        let next = Next { version: version(21), position: Position::new(21), after, sure: false };
        for condition in [Condition::Version(version(20)), Condition::Exists, Condition::Any] {
            assert_eq!(offered(&sole, &write("account-1", condition)), Some(next), "{condition:?}");
        }
        let first = Next { version: version(1), ..next };
        assert_eq!(offered(&sole, &write("account-2", Condition::NoStream)), Some(first));
    }

    #[test]
    fn nothing_is_guessed_of_a_stream_that_is_not_known_or_elsewhere_than_it_should_be() {
        let sole = sole(20);
        for condition in [Condition::Version(version(19)), Condition::Version(version(21)), Condition::NoStream] {
            assert_eq!(offered(&sole, &write("account-1", condition)), None, "{condition:?}");
        }
        for condition in [Condition::Version(version(1)), Condition::Exists, Condition::Any] {
            assert_eq!(offered(&sole, &write("account-2", condition)), None, "{condition:?}");
        }
    }

    #[test]
    fn an_append_of_somebody_else_ends_the_guessing_and_what_is_known() {
        let mut sole = sole(20);
        learn(&mut sole, &answer("account-2", 22, 1));
        assert_eq!(offered(&sole, &write("account-2", Condition::Any)), None);
        for n in 2..20 {
            learn(&mut sole, &answer("account-2", 21 + n, n));
        }
        assert!(offered(&sole, &write("account-2", Condition::Any)).is_some());
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
    }

    #[test]
    fn an_answer_from_under_a_key_is_not_the_end_of_the_log() {
        let mut sole = sole(20);
        let before = offered(&sole, &write("account-1", Condition::Any));
        learn(&mut sole, &Appended { already: true, ..answer("account-1", 3, 3) });
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), before);
    }

    #[test]
    fn few_appends_and_old_ones_are_nothing_to_guess_from() {
        assert_eq!(offered(&sole(5), &write("account-1", Condition::Any)), None);
        let mut sole = sole(20);
        sole.head = sole.head.map(|head| Head { learned: head.learned.checked_sub(RECENT).unwrap(), ..head });
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
    }

    fn is_sure(sole: &Sole, name: &str, condition: Condition, all: &Sure) -> Option<bool> {
        sole.next(&write(name, condition), all).map(|next| next.sure)
    }

    #[test]
    fn a_place_is_sure_after_a_long_row_in_a_stream_that_is_known() {
        let all = Sure::default();
        // The first one follows nothing.
        assert_eq!(is_sure(&sole(u64::from(LONG_ROW)), "account-1", Condition::Any, &all), Some(false));
        let mut sole = sole(u64::from(LONG_ROW) + 1);
        assert_eq!(is_sure(&sole, "account-1", Condition::Any, &all), Some(true));
        assert_eq!(is_sure(&sole, "account-2", Condition::NoStream, &all), Some(false), "it may be there");
        learn(&mut sole, &answer("account-2", 1_000, 1));
        assert_eq!(is_sure(&sole, "account-2", Condition::Any, &all), None);
    }

    #[test]
    fn who_was_wrong_counts_anew() {
        let mut sole = sole(200);
        sole.start_over();
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
        (201..=208).for_each(|n| learn(&mut sole, &answer("account-1", n, n)));
        assert_eq!(is_sure(&sole, "account-1", Condition::Any, &Sure::default()), Some(false));
    }

    #[test]
    fn the_place_of_several_events_is_sure_in_a_stream_that_is_new_too() {
        let (sole, one) = (sole(200), write("account-2", Condition::NoStream));
        let several = StreamWrite { events: [one.events.clone(), one.events.clone()].concat(), ..one };
        assert_eq!(sole.next(&several, &Sure::default()).map(|next| next.sure), Some(true));
    }

    #[test]
    fn a_group_counts_once_in_a_row() {
        let mut sole = Sole::default();
        let group: Vec<_> = (1..=2_000).map(|n| answer("account-1", n, n)).collect();
        sole.learn(&group[..1_000]);
        sole.learn(&group[1_000..]);
        assert_eq!(sole.row, 1);
    }

    #[test]
    fn a_place_is_not_sure_where_another_connection_of_the_store_came_further() {
        let all = Sure::new(Arc::new(AtomicI64::new(2_000)));
        let mut sole = sole(2_000);
        assert_eq!(is_sure(&sole, "account-1", Condition::Any, &all), Some(true));
        all.head.store(2_001, Ordering::Relaxed);
        assert_eq!(is_sure(&sole, "account-1", Condition::Any, &all), Some(false));
        learn(&mut sole, &answer("account-1", 2_001, 2_001));
        assert_eq!(is_sure(&sole, "account-1", Condition::Any, &all), Some(true));
    }

    #[test]
    fn after_a_place_that_was_taken_none_is_sure_for_an_hour() {
        let (all, end) = (Sure::default(), Position::new(9));
        let now = Instant::now();
        assert!(all.is_end(end, now));
        all.refused();
        assert!(!all.is_end(end, now) && !all.is_end(end, now + UNSURE / 2));
        assert!(all.is_end(end, now + UNSURE * 2));
    }

    #[test]
    fn the_end_of_a_stream_that_was_written_long_ago_is_looked_up_again() {
        let mut sole = sole(20);
        sole.ends.values_mut().for_each(|(_, learned)| *learned = learned.checked_sub(RECENT_END).unwrap());
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
        assert!(offered(&sole, &write("account-2", Condition::NoStream)).is_some());
    }

    #[test]
    fn what_the_server_would_never_have_is_not_tried_again() {
        let mut sole = sole(20);
        sole.forget(false);
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
        (1..=20).for_each(|n| learn(&mut sole, &answer("account-1", n, n)));
        assert!(offered(&sole, &write("account-1", Condition::Any)).is_some());
        sole.forget(true);
        (1..=20).for_each(|n| learn(&mut sole, &answer("account-1", n, n)));
        assert_eq!(offered(&sole, &write("account-1", Condition::Any)), None);
    }

    #[test]
    fn it_knows_of_so_many_streams_and_no_more() {
        let mut sole = Sole::default();
        for n in 1..=25_000 {
            learn(&mut sole, &answer(&format!("account-{n}"), n, 1));
            assert!(sole.ends.len() <= STREAMS);
        }
        assert!(offered(&sole, &write("account-25000", Condition::Any)).is_some());
    }
}
