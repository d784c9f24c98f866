mod doctor;
mod read_model;
mod replay;
mod status;
mod work;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factum::{Append, Condition, Event, EventStore, Field, Metadata, Recorded, RoundTrip, StreamId, encode};
use factum_memory::MemoryStore;
use factum_projections::{ApplyError, FieldValues, KEEP_OLD, Keys, Projection, Projector, ReplayOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{GenerationsAction, GenerationsArgs, OpsCommand, ReplayArgs, StatusArgs, VerifyArgs};
use crate::command::OpsError;
use crate::console::Console;

#[derive(Serialize, Deserialize)]
enum LampEvent {
    Lit,
    Broken,
}

impl Event for LampEvent {
    const CATEGORY: &'static str = "lamp";
}

struct Lamps;

impl Projection for Lamps {
    const NAME: &'static str = "lamps";
    const FIELDS: &'static [Field] = &[Field::integer("lit"), Field::text("room")];
    type Event = LampEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<LampEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, lit: &mut Option<u64>, _: &Recorded<LampEvent>) {
        *lit.get_or_insert(0) += 1;
    }

    fn fields(&self, room: &str, lit: &u64, values: &mut FieldValues) {
        values.set("lit", i64::try_from(*lit).unwrap());
        values.set("room", room);
    }
}

/// Takes no lamp that broke.
struct Fragile;

impl Projection for Fragile {
    const NAME: &'static str = "fragile";
    type Event = LampEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<LampEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, _: &mut Option<u64>, _: &Recorded<LampEvent>) {}

    fn try_apply(&self, _: &str, lit: &mut Option<u64>, event: &Recorded<LampEvent>) -> Result<(), ApplyError> {
        lit.get_or_insert(0);
        match event.data {
            LampEvent::Lit => Ok(()),
            LampEvent::Broken => Err(ApplyError::new("a lamp broke")),
        }
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a command gave: result, stdout, stderr.
struct Ran {
    result: Result<(), OpsError>,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

async fn projector(events: &[LampEvent]) -> Projector {
    let store = Arc::new(MemoryStore::new());
    let stream = StreamId::new("lamp-hall").unwrap();
    for event in events {
        let event = encode(event, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(stream.clone(), Condition::Any, vec![event])).await.unwrap();
    }
    Projector::new(store.clone(), store).with(Fragile).with(Lamps)
}

async fn run(projector: &Projector, command: OpsCommand) -> Ran {
    let lines = Lines::default();
    let console = Arc::new(Console::new(Box::new(lines.clone()), false));
    let mut out = Vec::new();
    let result = command.execute(projector, &console, &mut out).await;
    let err = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    Ran { result, out: String::from_utf8(out).unwrap(), err }
}

fn replay_args(names: &[&str], json: bool) -> ReplayArgs {
    let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
    ReplayArgs { all: names.is_empty(), names, to: None, dry_run: false, keep_old: KEEP_OLD, verify: false, json }
}

fn replay(names: &[&str], json: bool) -> OpsCommand {
    OpsCommand::Replay(replay_args(names, json))
}

#[tokio::test]
async fn an_unknown_projection_is_named_with_those_that_are_known_and_nothing_is_replayed() {
    let projector = projector(&[LampEvent::Lit]).await;
    projector.catch_up().await.unwrap();
    let ran = run(&projector, replay(&["lamps", "lanterns"], true)).await;
    let error = ran.result.unwrap_err().to_string();
    assert!(error.contains("lanterns") && error.contains("fragile, lamps"), "{error}");
    assert_eq!(ran.out, "");
    assert_eq!(projector.status_of("lamps").await.unwrap().generation.unwrap().0, 1);
}

#[tokio::test]
async fn status_says_how_far_each_projection_is_and_why_it_is_not_further() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Broken]).await;
    let command = |json| OpsCommand::Status(StatusArgs { watch: None, over: Duration::ZERO, json });
    let before = run(&projector, command(true)).await.json();
    assert_eq!(before["head"], 2);
    assert_eq!(before["projections"][1]["state"], "new");
    assert_eq!(before["projections"][1]["lag"], 2);

    projector.catch_up().await.unwrap();
    let after = run(&projector, command(true)).await.json();
    let lamps = &after["projections"][1];
    assert_eq!((&lamps["name"], &lamps["generation"]), (&json!("lamps"), &json!(1)));
    assert_eq!((&lamps["checkpoint"], &lamps["lag"], &lamps["state"]), (&json!(2), &json!(0), &json!("live")));
    let fragile = &after["projections"][0];
    assert_eq!((&fragile["checkpoint"], &fragile["lag"], &fragile["state"]), (&json!(1), &json!(1), &json!("halted")));

    let text = run(&projector, command(false)).await.out;
    assert!(text.starts_with("head 2\n") && text.contains("halted") && text.contains("a lamp broke"), "{text}");
}

fn generations(name: &str, action: GenerationsAction, json: bool) -> OpsCommand {
    OpsCommand::Generations(GenerationsArgs { name: name.to_owned(), action, json })
}

fn switch_to(generation: u64) -> GenerationsAction {
    GenerationsAction::Switch { generation, keep_old: KEEP_OLD }
}

#[tokio::test]
async fn generations_are_listed_switched_and_dropped_by_number() {
    let projector = projector(&[LampEvent::Lit]).await;
    projector.replay("lamps", ReplayOptions::new(), |_| ()).await.unwrap();
    let listed = run(&projector, generations("lamps", GenerationsAction::List, true)).await.json();
    let states = |listed: &Value| {
        let all = listed["generations"].as_array().unwrap().iter();
        all.map(|info| (info["generation"].as_u64().unwrap(), info["state"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(states(&listed), [(1, json!("retired")), (2, json!("live"))]);
    assert_eq!((&listed["projection"], &listed["generations"][1]["checkpoint"]), (&json!("lamps"), &json!(1)));
    assert!(listed["generations"][0]["kept_until"].is_string() && listed["generations"][1]["kept_until"].is_null());
    // The first was empty when it was replaced: it takes what it has missed.
    let back = run(&projector, generations("lamps", switch_to(1), true)).await;
    assert_eq!(back.json(), json!({"projection": "lamps", "live": 1, "replaced": 2, "caught_up": 1}));
    let back = run(&projector, generations("lamps", switch_to(2), false)).await;
    assert_eq!(back.out, "lamps: generation 2 is live; generation 1 is kept for 1h\n");

    projector.replay("lamps", ReplayOptions::new(), |_| ()).await.unwrap();
    let back = run(&projector, generations("lamps", switch_to(2), true)).await;
    assert_eq!(back.json(), json!({"projection": "lamps", "live": 2, "replaced": 3, "caught_up": 0}));
    let dropped = run(&projector, generations("lamps", GenerationsAction::Drop { generation: 1 }, true)).await;
    assert_eq!(dropped.json(), json!({"projection": "lamps", "dropped": 1, "version": 1, "was_live": false}));
    let listed = run(&projector, generations("lamps", GenerationsAction::List, true)).await.json();
    assert_eq!(states(&listed), [(2, json!("live")), (3, json!("retired"))]);
    let text = run(&projector, generations("lamps", GenerationsAction::List, false)).await.out;
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().take(4).collect()).collect();
    assert_eq!(rows[1..], [["2", "1", "live", "1"], ["3", "1", "retired", "1"]], "{text}");
}

#[tokio::test]
async fn what_cannot_be_switched_or_dropped_is_told_and_nothing_changes() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Broken]).await;
    projector.catch_up().await.unwrap();
    run(&projector, replay(&["fragile"], false)).await.result.unwrap_err();
    let told = async |name, action| {
        let ran = run(&projector, generations(name, action, false)).await;
        assert_eq!(ran.out, "");
        ran.result.unwrap_err().to_string()
    };
    let (switch, drop) = (switch_to, |generation| GenerationsAction::Drop { generation });
    let halted = told("fragile", switch(2)).await;
    assert!(
        halted.contains("generation 2 of fragile cannot become live") && halted.contains("a lamp broke"),
        "{halted}"
    );
    assert_eq!(told("lamps", switch(1)).await, "generation 1 of lamps is live already");
    assert_eq!(told("lamps", switch(7)).await, "lamps has no generation 7; it has: 1");
    assert_eq!(told("lamps", drop(7)).await, "lamps has no generation 7; it has: 1");
    assert!(told("lamps", drop(1)).await.contains("generation 1 of lamps is live; switch to another"));
    assert!(told("lanterns", GenerationsAction::List).await.contains("fragile, lamps"));
    let listed = run(&projector, generations("fragile", GenerationsAction::List, false)).await.out;
    assert!(listed.contains("building") && listed.contains("halted at position 2"), "{listed}");
}

fn verify(name: &str, keys: &[&str], json: bool) -> OpsCommand {
    let keys = keys.iter().map(ToString::to_string).collect();
    OpsCommand::Verify(VerifyArgs { name: name.to_owned(), sample: None, keys, generation: None, tenant: None, json })
}

/// A projection whose code was changed without a new version: what was built is no longer what it makes of history.
struct Lanterns;

impl Projection for Lanterns {
    const NAME: &'static str = "lamps";
    type Event = LampEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<LampEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
        keys.push("all");
    }

    fn apply(&self, _: &str, lit: &mut Option<u64>, _: &Recorded<LampEvent>) {
        *lit.get_or_insert(10) += 1;
    }
}

#[tokio::test]
async fn a_document_that_differs_is_told_with_its_fields_and_fails_the_command_in_its_own_way() {
    let store = Arc::new(MemoryStore::new());
    let stream = StreamId::new("lamp-hall").unwrap();
    let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap();
    let built = Projector::new(store.clone(), store.clone()).with(Lamps);
    let changed = Projector::new(store.clone(), store).with(Lanterns);
    let nothing = run(&built, verify("lamps", &[], true)).await;
    assert!(nothing.result.unwrap_err().to_string().contains("no live generation"));
    built.catch_up().await.unwrap();

    let right = run(&built, verify("lamps", &[], true)).await;
    right.result.as_ref().unwrap();
    assert_eq!((&right.json()["documents"], &right.json()["differences"]), (&json!(1), &json!(0)));
    let wrong = run(&changed, verify("lamps", &[], true)).await;
    assert!(matches!(wrong.result, Err(OpsError::Differs)));
    let lines: Vec<Value> = wrong.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&lines[0]["key"], &lines[0]["kind"], &lines[0]["position"]),
        (&json!("all"), &json!("missing"), &json!(1))
    );
    assert_eq!((&lines[1]["key"], &lines[1]["kind"]), (&json!("hall"), &json!("differs")));
    // The changed code declares none of the fields either that the generation keeps.
    let fields = json!([
        {"path": "$", "expected": 11, "found": 1},
        {"path": "fields.lit", "expected": null, "found": 1},
        {"path": "fields.room", "expected": null, "found": "hall"},
    ]);
    assert_eq!(lines[1]["fields"], fields);
    assert_eq!((&lines[2]["documents"], &lines[2]["differences"], lines.len()), (&json!(2), &json!(2), 3));

    let text = run(&changed, verify("lamps", &["hall"], false)).await.out;
    let expected = "\"hall\" differs, at position 1\n  $: history 11, stored 1\n";
    assert!(text.starts_with(expected) && text.contains("1 document compared, 1 is not what"), "{text}");
    let text = run(&changed, verify("lamps", &["hall", "hell"], false)).await.out;
    assert!(text.contains("; of 1 of the 2 keys there is no document, and history makes none"), "{text}");
    let unknown = run(&built, verify("lanterns", &[], false)).await;
    assert!(unknown.result.unwrap_err().to_string().contains("lanterns"));
}

/// Whoever read the output has gone away: that nothing more can be told does not make a difference none.
#[tokio::test]
async fn a_difference_that_nobody_reads_is_still_one() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let projector = projector(&[LampEvent::Lit]).await;
    projector.catch_up().await.unwrap();
    let console = Arc::new(Console::new(Box::new(Lines::default()), false));
    let right = verify("lamps", &[], true).execute(&projector, &console, &mut Gone).await;
    assert!(matches!(right, Err(OpsError::Output(_))));
    let store = Arc::new(MemoryStore::new());
    let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
    store.append(Append::to(StreamId::new("lamp-hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    Projector::new(store.clone(), store.clone()).with(Lamps).catch_up().await.unwrap();
    let changed = Projector::new(store.clone(), store).with(Lanterns);
    let wrong = verify("lamps", &[], true).execute(&changed, &console, &mut Gone).await;
    assert!(matches!(wrong, Err(OpsError::Differs)));
}

/// A bar never hides what is said: with one on the screen, a line still comes out whole.
#[tokio::test]
async fn what_is_said_beside_a_bar_is_written() {
    let lines = Lines::default();
    let console = Arc::new(Console::new(Box::new(lines.clone()), true));
    let following = console.follow("lamps");
    console.say("error: a lamp broke");
    drop(following);
    console.say("done");
    assert_eq!(String::from_utf8(lines.0.lock().unwrap().clone()).unwrap(), "error: a lamp broke\ndone\n");
}
