//! `what-goes-in-comes-out`: every byte, every name, every time.

use bytes::Bytes;
use factum::{Append, Condition, Metadata, NewEvent, RecordedEvent, to_micros};
use serde_json::json;
use uuid::Uuid;

use crate::Fixture;
use crate::kit::*;

/// Records events and reads them back; each must be what it was.
async fn comes_back(fixture: &Fixture, given: Vec<NewEvent>) -> Vec<RecordedEvent> {
    let account = stream("account-1");
    let answer = add(fixture, &account, given.clone()).await;
    let found = stream_of(fixture, &account).await;
    let found: Vec<_> = found.into_iter().filter(|event| event.position >= answer.first).collect();
    assert_eq!(found.len(), given.len(), "not as many events came back as were given");
    for (given, found) in given.iter().zip(&found) {
        assert_eq!(found.id, given.id, "an event id changed");
        assert_eq!(found.event_type, given.event_type, "an event type changed");
        assert_eq!(found.schema_version, given.schema_version, "a schema version changed");
        assert_eq!(found.payload, given.payload, "a payload changed");
        assert_eq!(found.metadata, given.metadata, "metadata changed");
        assert_eq!(found.tags, given.tags, "tags changed");
    }
    found
}

fn with_payload(text: &str) -> NewEvent {
    NewEvent { payload: Bytes::from(text.to_owned()), ..event("Noted", 1) }
}

/// A payload is bytes: the order of its fields, its blanks and its numbers are the author's.
pub(crate) async fn payloads_come_back_byte_for_byte(fixture: &Fixture) {
    let payloads = [
        "null",
        "0",
        "\"\"",
        "{}",
        "[]",
        r#"{"b":1,"a":2,"b":3}"#,
        "{ \"spaced\" :\t[ 1 , 2 ]\n}",
        "0.1000",
        "-0.0",
        "1e400",
        "123456789012345678901234567890",
        r#""\u0000 \ud83d\ude00 \/""#,
        "\"Žluťoučký kůň 😀 שלום \u{202e}\u{feff}\"",
    ];
    comes_back(fixture, payloads.into_iter().map(with_payload).collect()).await;
}

pub(crate) async fn metadata_comes_back(fixture: &Fixture) {
    let full = Metadata::new()
        .occurred_at(time("1993-06-30T23:59:59.999999Z"))
        .correlation_id(Uuid::now_v7())
        .causation_id(Uuid::from_u128(u128::MAX))
        .actor("teller 7 'DROP TABLE \"events\"; -- Š")
        .with("nested", json!({"a": [1, 2.5, null, {"b": "č"}]}))
        .with("", "an empty name")
        .with("float", 0.1 + 0.2);
    let some = [
        Metadata::new(),
        Metadata::new().actor(""),
        Metadata::new().correlation_id(Uuid::nil()),
        Metadata::new().with("null", json!(null)),
        Metadata::new().occurred_at(time("0001-01-01T00:00:00Z")),
        Metadata::new().occurred_at(time("1969-12-31T23:59:59.999999Z")),
        Metadata::new().occurred_at(time("9999-12-31T23:59:59.999999Z")),
        full,
    ];
    let given = some.into_iter().map(|metadata| NewEvent { metadata, ..event("Noted", 1) }).collect();
    comes_back(fixture, given).await;
}

pub(crate) async fn types_tags_and_schema_versions_come_back(fixture: &Fixture) {
    let mut given: Vec<_> = ["Opened", "opened", "Eröffnet 😀", "a b", "'; --", "%_\\"]
        .iter()
        .map(|name| tagged(name, &["course:c1", "Course:C1", "b", "a", "š", "with 'quote'", "%"]))
        .collect();
    given.push(NewEvent { schema_version: 0, ..event("Noted", 1) });
    given.push(NewEvent { schema_version: u32::MAX, ..event("Noted", 1) });
    comes_back(fixture, given).await;
}

/// Stream ids that differ only in case, in blanks or in how a character is composed are different streams.
pub(crate) async fn stream_names_are_compared_by_their_bytes(fixture: &Fixture) {
    let names = ["a-x", "A-x", "a-X", "a- x", "a-x ", "a-é", "a-e\u{301}", "a-%", "a-_", "a-'x'", "a-x-y", "a-😀"];
    for (n, name) in names.iter().enumerate() {
        record(fixture, Append::to(stream(name), Condition::NoStream, vec![event("Counted", n)])).await;
    }
    for (n, name) in names.iter().enumerate() {
        let found = stream_of(fixture, &stream(name)).await;
        assert_eq!(numbers(&found), [n], "the stream {name:?} is taken for another");
        assert_eq!(found[0].stream, stream(name), "the stream {name:?} came back under another name");
    }
}

/// Times are kept to the microsecond, and what is finer was cut before.
pub(crate) async fn times_come_back_to_the_microsecond(fixture: &Fixture) {
    let given: Vec<_> =
        (0..50).map(|n| occurred(&format!("2026-11-21T08:00:00.{:06}Z", (n * 19_999 + 1) % 1_000_000))).collect();
    let found = comes_back(fixture, given.clone()).await;
    for (given, found) in given.iter().zip(&found) {
        assert_eq!(Some(found.occurred_at()), given.metadata.when(), "a time of happening changed");
        assert_eq!(found.recorded_at, to_micros(found.recorded_at), "recorded_at is finer than a microsecond");
    }
}

/// Random events from a fixed seed.
pub(crate) async fn a_variety_of_events_comes_back(fixture: &Fixture) {
    let mut random = fastrand::Rng::with_seed(0x0fac_7025);
    for _ in 0..20 {
        let count = random.usize(1..20);
        let given = (0..count).map(|_| arbitrary(&mut random)).collect();
        comes_back(fixture, given).await;
    }
}

fn arbitrary(random: &mut fastrand::Rng) -> NewEvent {
    let mut metadata = Metadata::new();
    if random.bool() {
        metadata = metadata.actor(text(random, 0));
    }
    if random.bool() {
        let micros = random.i64(-60_000_000_000_000_000..250_000_000_000_000_000);
        metadata = metadata.occurred_at(chrono::DateTime::from_timestamp_micros(micros).must("a time"));
    }
    for _ in 0..random.usize(0..4) {
        metadata = metadata.with(text(random, 0), value(random, 2));
    }
    let mut tags: Vec<_> = (0..random.usize(0..4)).map(|_| tag(&text(random, 1))).collect();
    tags.dedup();
    NewEvent {
        payload: Bytes::from(value(random, 4).to_string()),
        schema_version: random.u32(..),
        metadata,
        tags,
        ..event(&text(random, 1), 1)
    }
}

fn text(random: &mut fastrand::Rng, least: usize) -> String {
    (0..random.usize(least..30)).map(|_| random.char('\u{1}'..)).collect()
}

fn value(random: &mut fastrand::Rng, depth: u32) -> serde_json::Value {
    match random.u32(0..if depth == 0 { 5 } else { 7 }) {
        0 => json!(null),
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(f64::from_bits(random.u64(..))),
        4 => json!(text(random, 0)),
        5 => (0..random.usize(0..4)).map(|_| value(random, depth - 1)).collect(),
        _ => (0..random.usize(0..4)).map(|_| (text(random, 0), value(random, depth - 1))).collect(),
    }
}
