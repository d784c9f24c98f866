//! Query conditions: no event that a decision depends on came after it looked.

use factum::{Append, AppendError, Condition, Cursor, NewEvent, Position, Query, QueryCondition, QueryItem};

use crate::Fixture;
use crate::kit::*;

/// Everything here belongs to one tenant, so that it lies in one log of a store that has several.
fn query() -> Query {
    Query::all().in_tenant(tenant("acme"))
}

fn when(query: Query, after: Cursor) -> Append {
    let decided = Append::to(acme("seat-decided"), Condition::Any, vec![event("Decided", 1)]);
    decided.when(QueryCondition { query, after })
}

/// An append under a condition that must conflict, and why it does.
async fn conflicts(fixture: &Fixture, query: Query, after: Cursor, why: &str) -> AppendError {
    let before = stream_of(fixture, &acme("seat-decided")).await.len();
    let error = refuse(fixture, when(query, after), why).await;
    assert!(matches!(error, AppendError::QueryConflict { .. }), "{why}, and the answer is {error:?}");
    assert!(error.is_conflict());
    let now = stream_of(fixture, &acme("seat-decided")).await.len();
    assert_eq!(now, before, "an append whose query condition failed was recorded");
    error
}

pub(crate) async fn an_event_that_came_after_is_a_conflict(fixture: &Fixture) {
    let seat = acme("seat-1");
    let seen = add(fixture, &seat, events(1)).await;
    let missed = add(fixture, &seat, vec![event("Taken", 2), event("Taken", 3)]).await;
    match conflicts(fixture, query(), seen.cursor.clone(), "two events came after").await {
        AppendError::QueryConflict { log, after, found, stream, event_type } => {
            assert_eq!((log, after), (seen.log, seen.last), "the conflict tells another place than was asked about");
            assert!(found > after && found <= missed.last, "the conflict names {found}, where no missed event stands");
            assert_eq!((stream, event_type.as_str()), (seat, "Taken"), "the conflict names another event");
        }
        other => panic!("not a query conflict: {other:?}"),
    }
}

pub(crate) async fn what_was_seen_is_no_conflict(fixture: &Fixture) {
    let seen = add(fixture, &acme("seat-1"), events(3)).await;
    let decided = record(fixture, when(query(), seen.cursor)).await;
    record(fixture, when(query(), decided.cursor)).await;
    conflicts(fixture, query(), Cursor::start(), "nothing was seen").await;
}

pub(crate) async fn an_empty_log_holds_against_any_query(fixture: &Fixture) {
    record(fixture, when(query(), Cursor::start())).await;
}

/// One event after the decision looked, and queries that mean it or do not.
pub(crate) async fn only_events_that_match_are_conflicts(fixture: &Fixture) {
    let seat = acme("seat-1");
    let seen = add(fixture, &seat, events(1)).await.cursor;
    add(fixture, &seat, vec![tagged("Taken", &["course:c1", "student:s1"])]).await;
    let item = QueryItem::new;
    let others = [
        ("another category", query().or(item().category(category("course")))),
        ("another type", query().or(item().event_type(event_type("Freed")))),
        ("another tag", query().or(item().tag(tag("course:c2")))),
        (
            "one tag that it has and one that it has not",
            query().or(item().tag(tag("course:c1")).tag(tag("student:s2"))),
        ),
        (
            "its category with another type",
            query().or(item().category(category("seat")).event_type(event_type("Freed"))),
        ),
        ("its type with another tag", query().or(item().event_type(event_type("Taken")).tag(tag("course:c2")))),
    ];
    for (what, other) in &others {
        let append = Append::to(acme("else-1"), Condition::Any, vec![event("Decided", 1)])
            .when(QueryCondition { query: other.clone(), after: seen.clone() });
        let answer = fixture.store().append(append).await;
        assert!(answer.is_ok(), "a query of {what} conflicted with an event that it does not mean: {answer:?}");
    }
    let same = [
        ("its category", query().or(item().category(category("course")).category(category("seat")))),
        ("its type", query().or(item().event_type(event_type("Freed")).event_type(event_type("Taken")))),
        ("both of its tags", query().or(item().tag(tag("student:s1")).tag(tag("course:c1")))),
        ("one item of two", query().or(item().tag(tag("course:c2"))).or(item().tag(tag("student:s1")))),
        (
            "all of it",
            query().or(item().category(category("seat")).event_type(event_type("Taken")).tag(tag("course:c1"))),
        ),
    ];
    for (what, same) in same {
        conflicts(fixture, same, seen.clone(), &format!("an event that a query of {what} means came after")).await;
    }
}

pub(crate) async fn another_tenant_is_no_conflict(fixture: &Fixture) {
    add(fixture, &stream("seat-1").in_tenant(tenant("globex")), events(1)).await;
    add(fixture, &stream("seat-1"), events(1)).await;
    record(fixture, when(query(), Cursor::start())).await;
}

/// Where there is one log a query needs no tenant.
pub(crate) async fn a_query_of_all_tenants_holds_for_the_whole_log(fixture: &Fixture) {
    if fixture.store().logs().len() > 1 {
        return;
    }
    let seen = add(fixture, &stream("seat-1"), events(1)).await.cursor;
    add(fixture, &stream("seat-2").in_tenant(tenant("globex")), events(1)).await;
    conflicts(fixture, Query::all(), seen, "an event of another tenant came after").await;
    let head = fixture.store().head().await.must("the head");
    record(fixture, when(Query::all(), head)).await;
}

pub(crate) async fn stream_conditions_count_beside_it(fixture: &Fixture) {
    let seat = acme("seat-1");
    let seen = add(fixture, &seat, events(2)).await.cursor;
    let append = |condition, after| {
        Append::to(seat.clone(), condition, events(1)).when(QueryCondition { query: query(), after })
    };
    let error = refuse(fixture, append(Condition::NoStream, seen.clone()), "the stream exists").await;
    assert!(matches!(error, AppendError::Conflict { .. }), "a stream condition failed, and the answer is {error:?}");
    let error = refuse(fixture, append(Condition::Exists, Cursor::start()), "two events came after").await;
    assert!(
        matches!(error, AppendError::QueryConflict { .. }),
        "a query condition failed, and the answer is {error:?}"
    );
    record(fixture, append(Condition::Exists, seen)).await;
}

/// Far beyond the head nothing can have come after.
pub(crate) async fn a_cursor_beyond_the_head_holds(fixture: &Fixture) {
    let log = add(fixture, &acme("seat-1"), events(1)).await.log;
    record(fixture, when(query(), Cursor::of(log, Position::END))).await;
}

/// Of many that decide on the same state at once exactly one is recorded.
pub(crate) async fn of_racing_decisions_one_wins(fixture: &Fixture) {
    let seen = add(fixture, &acme("seat-1"), vec![tagged("Offered", &["seat:1"])]).await.cursor;
    let wanted = query().or(QueryItem::new().tag(tag("seat:1")));
    let attempts = (0..16).map(|n| {
        let store = fixture.store().clone();
        let taken: NewEvent = tagged("Taken", &["seat:1"]);
        let append = Append::to(acme(&format!("student-{n}")), Condition::Any, vec![taken])
            .when(QueryCondition { query: wanted.clone(), after: seen.clone() });
        tokio::spawn(async move { store.append(append).await })
    });
    let mut won = 0;
    for attempt in attempts.collect::<Vec<_>>() {
        match attempt.await.must("a task") {
            Ok(_) => won += 1,
            Err(error) => assert!(error.is_conflict(), "a decision that came too late failed with {error:?}"),
        }
    }
    assert_eq!(won, 1, "of 16 decisions on the same state {won} were recorded");
}
