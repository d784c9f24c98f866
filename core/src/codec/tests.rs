//! What goes in comes out: every shape of variant that serde knows, through the split and back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    street: String,
    #[serde(flatten)]
    rest: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape<T> {
    Unit,
    Newtype(T),
    Tuple(i64, String, Option<f64>),
    Struct {
        id: Uuid,
        at: DateTime<Utc>,
        amount: f64,
        note: Option<String>,
    },
    #[serde(rename = "renamed.since", alias = "old_name")]
    Renamed {
        n: u8,
    },
    Flattened(Address),
    Inline {
        a: i32,
        #[serde(flatten)]
        rest: BTreeMap<String, i64>,
    },
}

impl<T: Serialize + serde::de::DeserializeOwned + Send + Sync + 'static> Event for Shape<T> {
    const CATEGORY: &'static str = "shape";
}

fn there_and_back<E: Event>(event: &E) -> E {
    let new = encode(event, Metadata::new(), RoundTrip::Checked).unwrap();
    decode_stored(stored(new.event_type.as_str(), &new.payload)).unwrap()
}

fn stored(event_type: &str, payload: &[u8]) -> StoredEvent {
    StoredEvent {
        event_type: EventType::new(event_type).unwrap(),
        schema_version: 1,
        payload: Bytes::copy_from_slice(payload),
    }
}

fn shapes() -> impl Strategy<Value = Shape<Vec<String>>> {
    let maps = proptest::collection::btree_map("x[a-z]{0,5}", any::<i64>(), 0..3);
    prop_oneof![
        Just(Shape::Unit),
        proptest::collection::vec(any::<String>(), 0..4).prop_map(Shape::Newtype),
        (any::<i64>(), any::<String>(), proptest::option::of(-1e300..1e300f64))
            .prop_map(|(a, b, c)| Shape::Tuple(a, b, c)),
        (any::<u128>(), 0..4_000_000_000_000_000i64, -1e300..1e300f64, proptest::option::of(any::<String>())).prop_map(
            |(id, micros, amount, note)| Shape::Struct {
                id: Uuid::from_u128(id),
                at: DateTime::from_timestamp_micros(micros).unwrap(),
                amount,
                note
            }
        ),
        any::<u8>().prop_map(|n| Shape::Renamed { n }),
        (any::<String>(), maps.clone()).prop_map(|(street, rest)| Shape::Flattened(Address { street, rest })),
        (any::<i32>(), maps).prop_map(|(a, rest)| Shape::Inline { a, rest }),
    ]
}

proptest! {
    #[test]
    fn every_shape_of_variant_comes_back(event in shapes()) {
        prop_assert_eq!(there_and_back(&event), event);
    }

    #[test]
    fn no_payload_makes_decoding_panic(event_type in "[A-Za-z]{1,8}|Struct|Tuple|Newtype", payload in any::<Vec<u8>>()) {
        let _ = decode_stored::<Shape<String>>(stored(&event_type, &payload));
    }
}

#[test]
fn names_are_those_of_serde() {
    let new = encode(&Shape::<u8>::Renamed { n: 7 }, Metadata::new(), RoundTrip::Checked).unwrap();
    assert_eq!((new.event_type.as_str(), &new.payload[..]), ("renamed.since", &br#"{"n":7}"#[..]));
    let old: Shape<u8> = decode_stored(stored("old_name", br#"{"n":7}"#)).unwrap();
    assert_eq!(old, Shape::Renamed { n: 7 });
    assert_eq!(event_info::<Shape<u8>>().unwrap().variants.len(), 8, "seven names and an alias");
}

#[test]
fn what_is_not_an_externally_tagged_enum_is_refused_by_name() {
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Internal {
        A { x: i32 },
    }
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        A { x: i32 },
    }
    #[derive(Serialize, Deserialize)]
    #[serde(tag = "t", content = "c")]
    enum Adjacent {
        A { x: i32 },
    }
    #[derive(Serialize, Deserialize)]
    struct Plain {
        x: i32,
    }
    fn refused<E: Event>(event: &E) {
        let error = encode(event, Metadata::new(), RoundTrip::Checked).unwrap_err();
        assert!(matches!(error, EncodeError::NotAnEventEnum { .. }), "{error}");
        assert!(error.to_string().contains(std::any::type_name::<E>()));
    }
    impl Event for Internal {
        const CATEGORY: &'static str = "x";
    }
    impl Event for Untagged {
        const CATEGORY: &'static str = "x";
    }
    impl Event for Adjacent {
        const CATEGORY: &'static str = "x";
    }
    impl Event for Plain {
        const CATEGORY: &'static str = "x";
    }
    refused(&Internal::A { x: 1 });
    refused(&Untagged::A { x: 1 });
    refused(&Adjacent::A { x: 1 });
    refused(&Plain { x: 1 });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum WithOther {
    Known {
        x: i32,
    },
    #[serde(other)]
    Unknown,
}

impl Event for WithOther {
    const CATEGORY: &'static str = "other";
}

#[test]
fn the_other_variant_takes_unknown_types_and_is_never_appended() {
    let strange: WithOther = decode_stored(stored("FromTheFuture", br#"{"deep":[1,2]}"#)).unwrap();
    assert_eq!(strange, WithOther::Unknown);
    let error = encode(&strange, Metadata::new(), RoundTrip::Unchecked).unwrap_err();
    assert!(matches!(error, EncodeError::OtherVariant { variant: "Unknown", .. }), "{error}");
    assert_eq!(there_and_back(&WithOther::Known { x: 1 }), WithOther::Known { x: 1 });
}

#[derive(Debug, Serialize, Deserialize)]
enum OneWay {
    Lossy {
        #[serde(skip_serializing)]
        must: i32,
    },
    NotANumber(f64),
    #[serde(rename(serialize = "Written", deserialize = "Read"))]
    TwoNames,
}

impl Event for OneWay {
    const CATEGORY: &'static str = "oneway";
}

#[test]
fn what_would_not_come_back_is_refused() {
    for event in [OneWay::Lossy { must: 1 }, OneWay::NotANumber(f64::NAN), OneWay::TwoNames] {
        let error = encode(&event, Metadata::new(), RoundTrip::Checked).unwrap_err();
        assert!(matches!(error, EncodeError::WouldNotComeBack { .. }), "{error}");
        assert!(encode(&event, Metadata::new(), RoundTrip::Unchecked).is_ok());
    }
}

#[test]
fn an_event_that_cannot_be_read_says_why() {
    let unknown = decode_stored::<Shape<u8>>(stored("Vanished", b"{}")).unwrap_err();
    assert!(matches!(&unknown, DecodeError::UnknownType { event_type, .. } if event_type == "Vanished"));
    assert!(unknown.needs_newer_code());

    let mut newer = stored("Unit", b"null");
    newer.schema_version = 2;
    assert!(decode_stored::<Shape<u8>>(newer).unwrap_err().needs_newer_code());

    let malformed = decode_stored::<Shape<u8>>(stored("Renamed", b"{}")).unwrap_err();
    assert!(matches!(malformed, DecodeError::UnknownType { .. }), "a Rust name is not a recorded name: {malformed}");
    let malformed = decode_stored::<Shape<u8>>(stored("renamed.since", b"{}")).unwrap_err();
    assert!(matches!(&malformed, DecodeError::Payload { cause, .. } if cause.contains("missing field `n`")));
    let trailing = decode_stored::<Shape<u8>>(stored("renamed.since", br#"{"n":1} x"#)).unwrap_err();
    assert!(matches!(trailing, DecodeError::Payload { .. }));

    // JSON is UTF-8, also where nobody looks.
    for (event_type, payload) in
        [("renamed.since", &b"{\"n\":1,\"x\":\"\xff\"}"[..]), ("Newtype", b"\"\xff\""), ("Tuple", b"[1,\"\xff\",null]")]
    {
        let error = decode_stored::<Shape<String>>(stored(event_type, payload)).unwrap_err();
        assert!(matches!(&error, DecodeError::Payload { cause, .. } if cause.contains("utf-8")), "{error}");
    }
    assert!(
        decode_stored::<Shape<u8>>(stored("Unit", b"\xff")).is_ok(),
        "a variant without content has none to be wrong"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Priced {
    Paid { cents: i64, currency: String },
}

impl Event for Priced {
    const CATEGORY: &'static str = "priced";
    const SCHEMA_VERSION: u32 = 2;
    const FORMER_TYPES: &'static [&'static str] = &["PaidInCrowns"];

    fn upcast(stored: StoredEvent) -> Result<StoredEvent, UpcastError> {
        if stored.event_type.as_str() != "PaidInCrowns" {
            return Ok(stored);
        }
        let mut content = stored.json()?;
        let crowns = content["crowns"].as_i64().ok_or_else(|| UpcastError::new("no crowns"))?;
        content = serde_json::json!({ "cents": crowns * 100, "currency": "CZK" });
        Ok(stored.with_json(&content).with_type(EventType::new("Paid")?))
    }
}

#[test]
fn an_old_event_is_brought_to_todays_shape_and_a_bad_one_is_not_skipped() {
    let old: Priced = decode_stored(stored("PaidInCrowns", br#"{"crowns":5}"#)).unwrap();
    assert_eq!(old, Priced::Paid { cents: 500, currency: "CZK".into() });
    let bad = decode_stored::<Priced>(stored("PaidInCrowns", b"{}")).unwrap_err();
    assert!(matches!(bad, DecodeError::Upcast { .. }), "{bad}");
}

/// An upcast that reads the old shape with serde and passes its error on told what serde had quoted: errors end up in
/// logs, payloads must not.
#[test]
fn an_upcast_that_fails_quotes_no_payload() {
    let error = serde_json::from_str::<i64>("\"4711 secret\"").unwrap_err();
    assert!(error.to_string().contains("4711 secret"), "serde quotes what it read: {error}");
    let told = UpcastError::from(error).to_string();
    assert!(told.contains("expected i64") && !told.contains("4711"), "{told}");
}
