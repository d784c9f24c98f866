//! `read-model`: what it shows, and what it says where there is nothing to show.

use super::*;
use crate::args_read_model::{DiffArgs, GetArgs, ListArgs, ReadModelAction, ReadModelArgs, ReadModelOf};
use crate::at::parse_at;

fn of(name: &str, json: bool) -> ReadModelOf {
    ReadModelOf { name: name.to_owned(), tenant: None, json }
}

fn command(action: ReadModelAction) -> OpsCommand {
    OpsCommand::ReadModel(ReadModelArgs { action })
}

fn get(name: &str, key: &str, at: Option<&str>, json: bool) -> OpsCommand {
    let at = at.map(|at| parse_at(at).unwrap());
    command(ReadModelAction::Get(GetArgs { of: of(name, json), key: key.to_owned(), at, generation: None }))
}

fn list(after: Option<&str>, limit: usize, at: Option<&str>, json: bool) -> OpsCommand {
    let at = at.map(|at| parse_at(at).unwrap());
    command(ReadModelAction::List(ListArgs {
        of: of("lamps", json),
        after: after.map(str::to_owned),
        limit,
        at,
        generation: None,
        conditions: Vec::new(),
        order_by: None,
        desc: false,
    }))
}

fn diff(key: &str, [from, to]: [&str; 2], json: bool) -> OpsCommand {
    let [from, to] = [from, to].map(|at| parse_at(at).unwrap());
    command(ReadModelAction::Diff(DiffArgs { of: of("lamps", json), key: key.to_owned(), from, to }))
}

/// Lamps in three rooms, lit once each, and the first again.
async fn rooms() -> Projector {
    let store = Arc::new(MemoryStore::new());
    for room in ["attic", "cellar", "hall", "attic"] {
        let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(StreamId::of("lamp", room).unwrap(), Condition::Any, vec![event])).await.unwrap();
    }
    Projector::new(store.clone(), store).with(Lamps)
}

#[tokio::test]
async fn a_document_is_shown_as_it_is_and_was() {
    let projector = rooms().await;
    let none = run(&projector, get("lamps", "attic", None, true)).await.result.unwrap_err().to_string();
    assert!(none.contains("no live generation"), "{none}");
    projector.catch_up().await.unwrap();
    let now = run(&projector, get("lamps", "attic", None, true)).await.json();
    assert_eq!(now, json!({"key": "attic", "document": 2, "generation": 1, "checkpoint": 4, "events_read": 0}));
    let then = run(&projector, get("lamps", "attic", Some("3"), true)).await.json();
    assert_eq!((&then["document"], &then["events_read"]), (&json!(1), &json!(1)));
    assert_eq!(run(&projector, get("lamps", "attic", Some("version:1"), true)).await.json()["document"], 1);
    assert_eq!(run(&projector, get("lamps", "attic", None, false)).await.out, "2\ngeneration 1 at 4\n");
    let then = run(&projector, get("lamps", "attic", Some("occurred:1993-01-01"), true)).await;
    assert!(then.result.is_err(), "nothing had happened by then");
    let then = run(&projector, get("lamps", "attic", Some("occurred:9999-01-01"), false)).await.out;
    assert_eq!(then, "2\ngeneration 1 at 4, 0 events read\n");
    let then = run(&projector, get("lamps", "attic", Some("2"), false)).await.out;
    assert_eq!(then, "1\ngeneration 1 at 4, 1 events read\n");

    let told = async |command| {
        let ran = run(&projector, command).await;
        assert_eq!(ran.out, "");
        ran.result.unwrap_err().to_string()
    };
    assert_eq!(told(get("lamps", "hall", Some("2"), true)).await, "lamps has no document \"hall\" at 2");
    assert_eq!(told(get("lamps", "shed", None, true)).await, "lamps has no document \"shed\" at 4");
    assert!(told(get("lamps", "attic", Some("5"), true)).await.contains("5 lies past the last event, which is at 4"));
    assert!(told(get("lanterns", "attic", None, true)).await.contains("lanterns"));
    assert!(told(get("lamps", "", None, true)).await.contains("empty"));
}

#[tokio::test]
async fn documents_are_listed_a_page_at_a_time_and_as_they_were() {
    let projector = rooms().await;
    projector.catch_up().await.unwrap();
    let first = run(&projector, list(None, 2, None, true)).await.json();
    assert_eq!(first["documents"], json!([{"key": "attic", "document": 2}, {"key": "cellar", "document": 1}]));
    assert_eq!(first["next"], "cellar");
    let second = run(&projector, list(Some("cellar"), 2, None, true)).await.json();
    assert_eq!((&second["documents"], &second["next"]), (&json!([{"key": "hall", "document": 1}]), &Value::Null));
    let then = run(&projector, list(Some("attic"), 2, Some("2"), true)).await.json();
    assert_eq!(then["documents"], json!([{"key": "cellar", "document": 1}]));
    let text = run(&projector, list(None, 2, None, false)).await.out;
    assert_eq!(text, "attic  2\ncellar  1\n2 documents, generation 1 at 4; more with --after \"cellar\"\n");
    let text = run(&projector, list(None, 9, Some("2"), false)).await.out;
    assert_eq!(text, "attic  1\ncellar  1\n2 documents, generation 1 at 4, 1 events read\n");
    let json = run(&projector, list(None, 9, Some("2"), true)).await.json();
    assert_eq!(json["events_read"], 1);
}

/// Lamps whose past is kept for two positions.
struct Dimming;

impl Projection for Dimming {
    const NAME: &'static str = "lamps";
    const KEEP_EVERY: u64 = 1;
    const KEEP_AFTER: usize = 1;
    const KEEP_FOR: Option<u64> = Some(2);
    type Event = LampEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<LampEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, lit: &mut Option<u64>, _: &Recorded<LampEvent>) {
        *lit.get_or_insert(0) += 1;
    }
}

#[tokio::test]
async fn what_is_no_longer_kept_is_an_error_that_says_what_is() {
    let store = Arc::new(MemoryStore::new());
    for _ in 0..6 {
        let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(StreamId::of("lamp", "hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    }
    let projector = Projector::new(store.clone(), store).with(Dimming);
    projector.catch_up().await.unwrap();
    let told = async |command| run(&projector, command).await.result.unwrap_err().to_string();
    let gone = "lamps no longer keeps how things stood at 3: the oldest position that can be had is 4";
    assert_eq!(told(get("lamps", "hall", Some("3"), true)).await, gone);
    assert_eq!(told(list(None, 9, Some("3"), false)).await, gone);
    assert_eq!(told(diff("hall", ["3", "6"], false)).await, gone);
    let by_version = told(get("lamps", "hall", Some("version:2"), false)).await;
    assert!(by_version.ends_with("is 4, the oldest such moment version:4"), "{by_version}");
    assert_eq!(run(&projector, get("lamps", "hall", Some("version:4"), true)).await.json()["document"], 4);
    assert_eq!(run(&projector, diff("hall", ["4", "6"], true)).await.json()["fields"][0]["from"], 4);
}

#[tokio::test]
async fn what_changed_between_two_moments_is_named_by_field() {
    let projector = rooms().await;
    projector.catch_up().await.unwrap();
    let changed = run(&projector, diff("attic", ["1", "4"], true)).await.json();
    let fields = json!([{"path": "$", "from": 1, "to": 2}]);
    assert_eq!(changed, json!({"key": "attic", "from": "1", "to": "4", "events_read": 1, "fields": fields}));
    assert_eq!(run(&projector, diff("hall", ["2", "3"], true)).await.json()["fields"][0]["from"], Value::Null);
    assert_eq!(run(&projector, diff("attic", ["2", "3"], true)).await.json()["fields"], json!([]));
    let text = run(&projector, diff("attic", ["4", "1"], false)).await.out;
    assert_eq!(text, "\"attic\" from 4 to 1: 1 field differs, 1 events read\n  $: from 2, to 1\n");
    let nothing = run(&projector, diff("shed", ["1", "4"], true)).await.result.unwrap_err().to_string();
    assert_eq!(nothing, "lamps has no document \"shed\" at 1 and at 4");
}

fn find(conditions: &[&str], order_by: Option<&str>, desc: bool, after: Option<&str>, limit: usize) -> OpsCommand {
    let conditions = conditions.iter().map(|text| crate::find::parse_where(text).unwrap()).collect();
    command(ReadModelAction::List(ListArgs {
        of: of("lamps", true),
        after: after.map(str::to_owned),
        limit,
        at: None,
        conditions,
        order_by: order_by.map(str::to_owned),
        desc,
        generation: None,
    }))
}

#[tokio::test]
async fn documents_are_found_and_sorted_by_their_fields() {
    let projector = rooms().await;
    projector.catch_up().await.unwrap();
    let keys = |json: &Value| {
        let documents = json["documents"].as_array().unwrap().clone();
        documents.iter().map(|entry| entry["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = run(&projector, find(&[], Some("lit"), true, None, 2)).await.json();
    assert_eq!(keys(&first), ["attic", "hall"]);
    let token = first["next"].as_str().unwrap().to_owned();
    let second = run(&projector, find(&[], Some("lit"), true, Some(&token), 2)).await.json();
    assert_eq!((keys(&second), &second["next"]), (vec!["cellar".to_owned()], &Value::Null));
    assert_eq!(keys(&run(&projector, find(&["lit<2", "room>cellar"], None, false, None, 9)).await.json()), ["hall"]);
    let told = async |command| run(&projector, command).await.result.unwrap_err().to_string();
    let unknown = told(find(&["watts=5"], None, false, None, 9)).await;
    assert!(unknown.contains("no field \"watts\"") && unknown.contains("lit (integer), room (text)"), "{unknown}");
    assert_eq!(told(find(&["lit=many"], None, false, None, 9)).await, "\"many\" is not a value of a field: an integer");
    assert!(told(find(&["lit=1"], None, false, Some("hall"), 9)).await.contains("page token"));
}
