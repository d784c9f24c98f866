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
        offered(&known, &group(0..20).into_iter().map(|append| append.when(condition())).collect::<Vec<_>>()).is_none()
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

/// A stream was known again as soon as the first of two groups that write it was answered.
#[test]
fn what_is_under_way_twice_is_not_known_after_the_first_answer() {
    let known = after(6);
    let (first, second) = (group(0..20), group(0..1));
    let (of_first, of_second): (Vec<_>, Vec<_>) = (first.iter().collect(), second.iter().collect());
    let (one, two) = (known.depart(&of_first), known.depart(&of_second));
    one.land(&of_first, &told(&first, 121, 6));
    assert!(offered(&known, &group(0..20)).is_none());
    assert!(offered(&known, &group(1..20)).is_some());
    two.land(&of_second, &told(&second, 141, 7));
    assert!(offered(&known, &group(0..20)).is_some());
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

#[test]
fn the_end_of_a_stream_that_was_written_long_ago_is_looked_up() {
    let known = after(6);
    known.state().ends.values_mut().for_each(|(_, learned)| *learned = learned.checked_sub(RECENT).unwrap());
    assert!(offered(&known, &group(0..20)).is_none());
}

#[test]
fn it_knows_of_so_many_streams_and_no_more() {
    let known = Known::default();
    for number in 0..STREAMS / 500 + 2 {
        let group = group(500 * number..500 * (number + 1));
        let appends: Vec<_> = group.iter().collect();
        known.depart(&appends).land(&appends, &told(&group, 500 * number as u64 + 1, 0));
        assert!(known.state().ends.len() <= STREAMS);
    }
}

#[test]
fn where_others_appended_only_what_came_after_is_known() {
    let known = after(6);
    let group = group(20..40);
    let appends: Vec<_> = group.iter().collect();
    known.depart(&appends).land(&appends, &told(&group, 130, 0));
    let state = known.state();
    assert!(state.ends.len() == 20 && group.iter().all(|append| state.ends.contains_key(&append.writes[0].stream)));
}
