//! Decisions that span streams, on the store. All of it is of one tenant, so that it lies in one log of any store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use factum::{
    Append, AppendError, Condition, Context, Decision, DecisionModel, Event, EventStore, EventType, ExecuteError,
    NewEvent, Outcome, Query, QueryItem, Recorded, Retry, StoredEvent, StreamId, Tag, Tags, UpcastError,
    decide_across_with,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::forgetful::Forgetful;
use crate::Fixture;
use crate::kit::*;

#[derive(Serialize, Deserialize)]
enum CourseEvent {
    Planned { course: String, seats: u32 },
    Taken { course: String },
}

impl Event for CourseEvent {
    const CATEGORY: &'static str = "course";
    const FORMER_TYPES: &'static [&'static str] = &["Enrolled"];

    fn upcast(stored: StoredEvent) -> Result<StoredEvent, UpcastError> {
        match stored.event_type.as_str() {
            "Enrolled" => Ok(stored.with_type(EventType::new("Taken")?)),
            _ => Ok(stored),
        }
    }

    fn tags(&self, tags: &mut Tags) {
        let (Self::Planned { course, .. } | Self::Taken { course }) = self;
        tags.push(course);
    }
}

/// How many seats of a course are free.
#[derive(Clone)]
struct FreeSeats {
    course: Tag,
    of: &'static str,
    free: i64,
}

impl DecisionModel for FreeSeats {
    type Event = CourseEvent;

    fn query(&self) -> Query {
        let item = |name| QueryItem::new().tag(self.course.clone()).event_type(event_type(name));
        Query::all().in_tenant(tenant(self.of)).or(item("Planned")).or(item("Taken"))
    }

    fn apply(&mut self, event: &Recorded<CourseEvent>) {
        match event.data {
            CourseEvent::Planned { seats, .. } => self.free += i64::from(seats),
            CourseEvent::Taken { .. } => self.free -= 1,
        }
    }
}

#[derive(Debug, PartialEq)]
struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the course is full")
    }
}

impl std::error::Error for Full {}

fn seats(course: &str) -> FreeSeats {
    FreeSeats { course: tag(course), of: "acme", free: 0 }
}

fn of(tenant_name: &str, name: &str) -> StreamId {
    StreamId::of("course", name).must("a stream id").in_tenant(tenant(tenant_name))
}

fn retry() -> Retry {
    Retry::default().attempts(500).waits(Duration::ZERO, Duration::ZERO)
}

type Answer = Result<factum::Appended, ExecuteError<Full>>;

async fn take(store: &Arc<dyn EventStore>, found: FreeSeats, by: &str, context: Context) -> Answer {
    let (course, stream) = (found.course.to_string(), of(found.of, by));
    decide_across_with(store, found, context, &retry(), move |found| match found.free {
        ..=0 => Err(Full),
        _ => Ok(Decision::none().and_to(stream.clone(), &CourseEvent::Taken { course: course.clone() })),
    })
    .await
}

async fn plan(fixture: &Fixture, owner: &str, course: &str, seats: u32) {
    let event = CourseEvent::Planned { course: course.to_owned(), seats };
    let event = factum::encode(&event, factum::Metadata::new(), factum::RoundTrip::Checked).must("an event");
    add(fixture, &of(owner, course), vec![event]).await;
}

async fn free(fixture: &Fixture, found: FreeSeats) -> i64 {
    let (mut free, retry) = (None, retry());
    let looked = decide_across_with(fixture.store(), found, Context::new(), &retry, |found| {
        free = Some(found.free);
        Ok::<_, Full>(Decision::none())
    });
    looked.await.must("looking");
    free.must("what was found")
}

fn under(text: &str) -> Context {
    Context::new().key(key(text), &"take").must("a context")
}

pub(crate) async fn racing_decisions_never_break_their_rule(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 10).await;
    let racing = (0..40).map(|n| {
        let store = fixture.store().clone();
        tokio::spawn(async move { take(&store, seats("c1"), &format!("s{n}"), Context::new()).await })
    });
    let (mut taken, mut refused) = (0, 0);
    for answer in join_all(racing.collect::<Vec<_>>()).await {
        match answer.must("a task") {
            Ok(_) => taken += 1,
            Err(ExecuteError::Refused(Full)) => refused += 1,
            Err(other) => panic!("one of many who wanted a seat is told {other:?}"),
        }
    }
    assert_eq!((taken, refused), (10, 30), "of 40 who wanted one of 10 seats");
    assert_eq!(free(fixture, seats("c1")).await, 0, "seats that are left");
}

/// Each has one attempt only: what others decide on lies outside its boundary.
pub(crate) async fn an_unrelated_boundary_is_no_conflict(fixture: &Fixture) {
    for n in 0..32 {
        plan(fixture, "acme", &format!("c{n}"), 1).await;
    }
    let racing = (0..32).map(|n| {
        let store = fixture.store().clone();
        tokio::spawn(async move {
            let course = format!("c{n}");
            let decided = |found: &FreeSeats| {
                assert_eq!(found.free, 1, "free seats of a course that nobody else takes");
                let event = CourseEvent::Taken { course: course.clone() };
                Ok::<_, Full>(Decision::none().and_to(of("acme", &format!("s{n}")), &event))
            };
            let once = Retry::default().attempts(1);
            decide_across_with(&store, seats(&course), Context::new(), &once, decided).await
        })
    });
    for answer in join_all(racing.collect::<Vec<_>>()).await {
        answer.must("a task").must("a decision on a course that nobody else decided on");
    }
}

pub(crate) async fn whoever_repeats_gets_the_first_outcome(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 1).await;
    let store = fixture.store();
    let first = take(store, seats("c1"), "s1", under("k1")).await.must("taking the only seat");
    let second = take(store, seats("c1"), "s1", under("k1")).await.must("sending that again");
    assert_eq!((first.already, second.already), (false, true));
    assert_eq!((&first.outcome, &first.cursor), (&second.outcome, &second.cursor), "a repetition got another outcome");
    let refused = take(store, seats("c1"), "s2", under("k2")).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Full))), "the answer is {refused:?}");
    plan(fixture, "acme", "c1", 5).await;
    match take(store, seats("c1"), "s2", under("k2")).await {
        Err(ExecuteError::RefusedBefore { reason, .. }) => assert_eq!(reason, "the course is full"),
        other => panic!("a decision that was refused before led to {other:?}"),
    }
    let other = Context::new().key(key("k1"), &"something else").must("a context");
    let reused = take(store, seats("c1"), "s3", other).await;
    assert!(matches!(reused, Err(ExecuteError::KeyReused { .. })), "another decision under the key led to {reused:?}");
    assert_eq!(free(fixture, seats("c1")).await, 5, "of 6 seats one was taken");
}

pub(crate) async fn racing_repetitions_take_one_seat(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 5).await;
    let racing = (0..8).map(|_| {
        let store = fixture.store().clone();
        tokio::spawn(async move { take(&store, seats("c1"), "s1", under("k1")).await })
    });
    let mut news = 0;
    for answer in join_all(racing.collect::<Vec<_>>()).await {
        news += usize::from(!answer.must("a task").must("a seat").already);
    }
    assert_eq!(news, 1, "of 8 repetitions so many are told that they were first");
    assert_eq!(free(fixture, seats("c1")).await, 4);
}

/// The key lay in the default tenant whatever the decision's: the second tenant was told the first one's outcome, and
/// its decision never happened.
pub(crate) async fn a_key_belongs_to_the_tenant_of_the_decision(fixture: &Fixture) {
    for owner in ["acme", "globex"] {
        plan(fixture, owner, "c1", 1).await;
    }
    take(fixture.store(), seats("c1"), "s1", under("k1")).await.must("a seat of the one");
    let theirs = FreeSeats { of: "globex", ..seats("c1") };
    let done = take(fixture.store(), theirs.clone(), "s1", under("k1")).await.must("a seat of the other");
    assert!(!done.already, "a tenant was told what became of another tenant's command: {done:?}");
    assert_eq!(free(fixture, theirs).await, 0);
}

/// What was found under the key was this call's own first try, and was told as a repetition of somebody else's.
pub(crate) async fn a_lost_answer_is_no_repetition(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 4).await;
    for (n, lost) in [(0, 1), (1, 0), (1, 2)].into_iter().enumerate() {
        let store: Arc<dyn EventStore> = Forgetful::new(fixture.store(), lost.0, lost.1);
        let done = take(&store, seats("c1"), &format!("s{n}"), under(&format!("k{n}"))).await;
        assert!(!done.must("a seat while answers get lost").already, "told as already taken: {lost:?}");
    }
    assert_eq!(free(fixture, seats("c1")).await, 1, "of 4 seats 3 were taken");
}

pub(crate) async fn what_is_no_longer_so_called_is_found(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 1).await;
    let mut enrolled = NewEvent::new(event_type("Enrolled"), bytes::Bytes::from_static(br#"{"course":"c1"}"#));
    enrolled.tags = vec![tag("c1")];
    add(fixture, &of("acme", "s1"), vec![enrolled.clone()]).await;
    let full = take(fixture.store(), seats("c1"), "s2", Context::new()).await;
    assert!(matches!(full, Err(ExecuteError::Refused(Full))), "a seat was taken under a former name, and {full:?}");
    // The boundary holds the former name as well.
    plan(fixture, "acme", "c1", 1).await;
    let mut before = Some(Append::to(
        of("acme", "s3"),
        Condition::Any,
        vec![NewEvent { id: factum::EventId::generate(), ..enrolled }],
    ));
    let store = fixture.store().clone();
    let retry = retry();
    let answer = decide_across_with(fixture.store(), seats("c1"), Context::new(), &retry, |found| {
        if let Some(append) = before.take() {
            // Recorded while the decision is taken.
            let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
            let recorded = std::thread::spawn(move || runtime.block_on(store.append(append)));
            assert!(matches!(recorded.join(), Ok(Ok(_))), "an old program could not record its event");
        }
        if found.free < 1 {
            Err(Full)
        } else {
            Ok(Decision::none().and_to(of("acme", "s4"), &CourseEvent::Taken { course: "c1".to_owned() }))
        }
    });
    let answer = answer.await;
    assert!(
        matches!(answer, Err(ExecuteError::Refused(Full))),
        "an event of a former type was no conflict: {answer:?}"
    );
}

pub(crate) async fn an_empty_decision_records_nothing(fixture: &Fixture) {
    plan(fixture, "acme", "c1", 1).await;
    let before = fixture.store().head().await.must("the head");
    for (context, already) in [(Context::new(), false), (under("k1"), false), (under("k1"), true)] {
        let nothing = |_: &FreeSeats| Ok::<_, Full>(Decision::none());
        let done = decide_across_with(fixture.store(), seats("c1"), context, &retry(), nothing).await;
        let done = done.must("an empty decision");
        assert_eq!((done.outcome, done.already), (Outcome::Empty, already));
    }
    assert_eq!(fixture.store().head().await.must("the head"), before, "an empty decision recorded something");
}

/// A boundary of all tenants concerns every log, and no append can hold it where there are several.
pub(crate) async fn a_boundary_of_all_logs_is_refused_where_there_are_several(fixture: &Fixture) {
    #[derive(Clone)]
    struct Anything;
    impl DecisionModel for Anything {
        type Event = CourseEvent;
        fn query(&self) -> Query {
            Query::all()
        }
        fn apply(&mut self, _: &Recorded<CourseEvent>) {}
    }
    let event = CourseEvent::Planned { course: "c1".to_owned(), seats: 1 };
    let plan = |_: &Anything| Ok::<_, Full>(Decision::none().and("c1", &event));
    let answer = decide_across_with(fixture.store(), Anything, Context::new(), &retry(), plan).await;
    let refused = matches!(answer, Err(ExecuteError::Append(AppendError::SpansLogs { .. })));
    assert_eq!(refused, fixture.store().logs().len() > 1, "it led to {answer:?}");
    assert_eq!(everything(fixture).await.len(), usize::from(!refused));
}
