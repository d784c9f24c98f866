//! Limits of input, alike in every store.

use bytes::Bytes;
use factum::{Append, AppendError, Condition, EventId, InputError, Key, MAX_NAME, MAX_STREAM_ID, NewEvent, Tag};

use crate::Fixture;
use crate::kit::*;

async fn refused_input(fixture: &Fixture, append: Append, why: &str) -> InputError {
    let error = refuse(fixture, append, why).await;
    assert!(everything(fixture).await.is_empty(), "{why}, and something was recorded");
    match error {
        AppendError::Input(error) => error,
        other => panic!("{why}, and the answer is {other:?}"),
    }
}

fn one(event: NewEvent) -> Append {
    Append::to(stream("account-1"), Condition::Any, vec![event])
}

/// JSON text of exactly so many bytes.
fn json_of(len: usize) -> Bytes {
    Bytes::from(format!("\"{}\"", "x".repeat(len.saturating_sub(2))))
}

pub(crate) async fn a_payload_over_the_limit_is_refused(fixture: &Fixture) {
    let max = fixture.store().limits().max_payload;
    let with = |len| NewEvent { payload: json_of(len), ..event("Noted", 1) };
    let error = refused_input(fixture, one(with(max + 1)), "a payload is one byte over the limit").await;
    assert!(matches!(error, InputError::PayloadTooLarge { len, .. } if len == max + 1), "the answer is {error:?}");
    let two = Append::to(acme("account-1"), Condition::Any, vec![event("Noted", 1)]).and(
        acme("account-2"),
        Condition::Any,
        vec![with(max + 1)],
    );
    refused_input(fixture, two, "one of two payloads is over the limit").await;
    record(fixture, one(with(max))).await;
    let found = stream_of(fixture, &stream("account-1")).await;
    assert_eq!(found[0].payload.len(), max, "a payload of the largest size did not come back whole");
}

pub(crate) async fn a_payload_that_is_not_json_is_refused(fixture: &Fixture) {
    let bad: [&[u8]; 6] = [b"", b"{", b"{\"n\":1}}", b"nul", b"\0", b"{\"text\":\"\xff\"}"];
    for bad in bad {
        let append = one(NewEvent { payload: Bytes::from_static(bad), ..event("Noted", 1) });
        let what = format!("the payload {:?} is not JSON", String::from_utf8_lossy(bad));
        let error = refused_input(fixture, append, &what).await;
        assert!(matches!(error, InputError::PayloadNotJson { .. }), "the answer is {error:?}");
    }
}

pub(crate) async fn an_append_of_nothing_is_refused(fixture: &Fixture) {
    for append in [Append::default(), Append::to(stream("account-1"), Condition::NoStream, Vec::new())] {
        let error = refused_input(fixture, append, "there is nothing to append").await;
        assert_eq!(error, InputError::NothingToAppend);
    }
}

pub(crate) async fn what_is_named_twice_in_one_append_is_refused(fixture: &Fixture) {
    let twice =
        Append::to(acme("account-1"), Condition::Any, events(1)).and(acme("account-1"), Condition::Any, events(1));
    let error = refused_input(fixture, twice, "a stream is named twice").await;
    assert!(matches!(error, InputError::StreamTwice { .. }), "the answer is {error:?}");
    let id = EventId::generate();
    let same = || NewEvent { id, ..event("Noted", 1) };
    let error = refused_input(
        fixture,
        Append::to(stream("account-1"), Condition::Any, vec![same(), same()]),
        "an id is used twice",
    )
    .await;
    assert!(matches!(error, InputError::EventIdTwice { .. }), "the answer is {error:?}");
    let tag = || Tag::new("iban:CZ65").unwrap_or_else(|error| panic!("{error}"));
    let tagged = NewEvent { tags: vec![tag(), tag()], ..event("Noted", 1) };
    let error =
        refused_input(fixture, Append::to(stream("account-1"), Condition::Any, vec![tagged]), "a tag is carried twice")
            .await;
    assert!(matches!(error, InputError::TagTwice { .. }), "the answer is {error:?}");
}

/// The longest names that core allows come back whole, and differ in their last character.
pub(crate) async fn the_longest_names_are_taken(fixture: &Fixture) {
    let long = |max: usize, last: char| "ä".repeat((max - 1) / 2) + &last.to_string();
    let streams = ['a', 'b'].map(|last| acme(&format!("c-{}", long(MAX_STREAM_ID - 2, last))));
    let longest = NewEvent {
        event_type: event_type(&long(MAX_NAME, 'a')),
        tags: vec![tag(&long(MAX_NAME, 'a')), tag(&long(MAX_NAME, 'b'))],
        ..event("Noted", 1)
    };
    for (n, account) in streams.iter().enumerate() {
        let text = long(MAX_NAME, if n == 0 { 'a' } else { 'b' });
        let keyed = factum::Keyed { key: Key::new(text).must("a key"), ..keyed("k", "content") };
        let event = NewEvent { id: EventId::generate(), ..longest.clone() };
        record(fixture, Append::to(account.clone(), Condition::NoStream, vec![event]).keyed(keyed)).await;
    }
    for account in &streams {
        let found = stream_of(fixture, account).await;
        assert_eq!(found.len(), 1, "streams with long names are taken for each other");
        assert_eq!((&found[0].event_type, &found[0].tags), (&longest.event_type, &longest.tags));
        assert_eq!(&found[0].stream, account);
    }
}
