//! Conditions on streams: `conflict-or-append`, never both, never neither.

use factum::{Append, AppendError, Condition, StreamId, Version};

use crate::Fixture;
use crate::kit::*;

/// Tries a condition on a stream of so many events; it must hold or be reported as it is.
async fn expect(fixture: &Fixture, of: &StreamId, condition: Condition, holds: bool) {
    let before = stream_of(fixture, of).await;
    let actual = before.last().map(|event| event.version);
    let answer = fixture.store().append(Append::to(of.clone(), condition, vec![event("Tried", 9)])).await;
    let after = stream_of(fixture, of).await;
    match answer {
        Ok(_) => {
            assert!(holds, "the condition {condition} held for a stream at {actual:?}");
            assert_eq!(after.len(), before.len() + 1, "an accepted append is not there");
        }
        Err(AppendError::Conflict { stream, expected, actual: told }) => {
            assert!(!holds, "the condition {condition} did not hold for a stream at {actual:?}");
            assert_eq!(
                (&stream, expected, told),
                (of, condition, actual),
                "a conflict tells other facts than there are"
            );
            assert_eq!(after, before, "an append that conflicted changed its stream");
        }
        Err(other) => panic!("the condition {condition} led to {other:?}"),
    }
}

pub(crate) async fn any_always_holds(fixture: &Fixture) {
    let account = stream("account-1");
    expect(fixture, &account, Condition::Any, true).await;
    expect(fixture, &account, Condition::Any, true).await;
}

pub(crate) async fn no_stream_holds_before_the_first_event_only(fixture: &Fixture) {
    let account = stream("account-1");
    expect(fixture, &account, Condition::NoStream, true).await;
    expect(fixture, &account, Condition::NoStream, false).await;
}

pub(crate) async fn exists_holds_after_the_first_event_only(fixture: &Fixture) {
    let account = stream("account-1");
    expect(fixture, &account, Condition::Exists, false).await;
    add(fixture, &account, events(1)).await;
    expect(fixture, &account, Condition::Exists, true).await;
}

pub(crate) async fn a_version_holds_at_that_version_only(fixture: &Fixture) {
    let account = stream("account-1");
    expect(fixture, &account, Condition::Version(Version::FIRST), false).await;
    add(fixture, &account, events(3)).await;
    for (number, holds) in [(1, false), (2, false), (4, false), (3, true), (3, false), (4, true)] {
        expect(fixture, &account, Condition::Version(version(number)), holds).await;
    }
    let beyond = Condition::Version(version(u64::MAX));
    expect(fixture, &account, beyond, false).await;
}

/// A condition on a stream that gets no event counts as much as any.
pub(crate) async fn a_write_without_events_still_has_its_condition(fixture: &Fixture) {
    let (written, looked_at) = (acme("account-written"), acme("account-looked-at"));
    add(fixture, &looked_at, events(2)).await;
    let append = |at| {
        Append::to(written.clone(), Condition::Any, events(1)).and(
            looked_at.clone(),
            Condition::Version(version(at)),
            Vec::new(),
        )
    };
    let error = refuse(fixture, append(1), "the stream that was looked at has moved").await;
    assert!(
        matches!(&error, AppendError::Conflict { stream, actual, .. } if *stream == looked_at && *actual == Some(version(2))),
        "a conflict on a stream without events should name it, and is {error:?}"
    );
    assert!(stream_of(fixture, &written).await.is_empty(), "an append that conflicted was recorded");
    record(fixture, append(2)).await;
}
