//! `replay` on the command line.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// The lines of JSON of a kind.
fn lines(ran: &Ran, kind: &str) -> Vec<Value> {
    let all = ran.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|line| line["kind"] == kind).collect()
}

#[tokio::test]
async fn a_replay_says_what_it_built_from_how_many_events() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Lit]).await;
    projector.catch_up().await.unwrap();
    let ran = run(&projector, replay(&["lamps", "lamps"], true)).await;
    ran.result.as_ref().unwrap();
    let done = lines(&ran, "done");
    assert_eq!(done.len(), 1, "a projection that is named twice is replayed once");
    assert_eq!(
        (&done[0]["projection"], &done[0]["live"], &done[0]["kept"]),
        (&json!("lamps"), &json!(true), &json!(1))
    );
    assert_eq!((&done[0]["generation"], &done[0]["events"]), (&json!(2), &json!(2)));
    assert!(done[0]["seconds"].is_f64() && done[0]["events_per_second"].is_u64());
    let steps = lines(&ran, "progress");
    assert_eq!(
        (&steps[0]["position"], &steps[0]["head"], &steps[0]["phase"]),
        (&json!(2), &json!(2), &json!("folding"))
    );
    assert_eq!(ran.err, "");

    let ran = run(&projector, replay(&[], false)).await;
    let begun: Vec<_> = ran.out.lines().map(|line| line.split(" is live, ").next().unwrap()).collect();
    assert_eq!(begun, ["fragile: generation 2", "lamps: generation 3"]);
    assert!(ran.out.ends_with("generation 2 is kept for 1h\n"), "{}", ran.out);
}

#[tokio::test]
async fn a_replay_of_an_empty_store_ends_at_once_and_says_so() {
    let projector = projector(&[]).await;
    let ran = run(&projector, replay(&["lamps"], true)).await;
    ran.result.as_ref().unwrap();
    assert_eq!(ran.out.lines().count(), 1);
    let done = &lines(&ran, "done")[0];
    assert_eq!((&done["events"], &done["live"], &done["generation"]), (&json!(0), &json!(true), &json!(2)));
}

/// `neighbours-unharmed`, `nothing-silent`: one replay that fails is told, and holds up no other.
#[tokio::test]
async fn a_failed_replay_is_told_and_fails_the_command_while_others_go_on() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Broken]).await;
    let ran = run(&projector, replay(&[], true)).await;
    assert!(matches!(ran.result, Err(OpsError::NotReplayed { failed: 1, asked: 2 })));
    assert!(ran.err.starts_with("error: ") && ran.err.contains("fragile"), "{}", ran.err);
    assert!(ran.err.contains("position 2") && ran.err.contains("a lamp broke"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1);
    assert_eq!(lines(&ran, "done")[0]["projection"], "lamps");
    let failed = lines(&ran, "failed");
    assert_eq!((failed.len(), &failed[0]["projection"]), (1, &json!("fragile")));
    assert!(failed[0]["error"].as_str().unwrap().contains("a lamp broke"));
}

#[tokio::test]
async fn a_replay_up_to_a_position_is_looked_at_and_not_live_until_it_is_whole() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Lit, LampEvent::Lit]).await;
    projector.catch_up().await.unwrap();
    let to = |position| Some(factum::Position::new(position).into());
    let some = OpsCommand::Replay(ReplayArgs { to: to(2), ..replay_args(&["lamps"], false) });
    let ran = run(&projector, some.clone()).await;
    assert!(ran.out.starts_with("lamps: generation 2 is built up to 2 and not live, 2 events in "), "{}", ran.out);
    let get = |generation| {
        let words = ["service", "read-model", "get", "lamps", "hall", "--json", "--generation", generation];
        <Cli as clap::Parser>::parse_from(words).command
    };
    let looked = run(&projector, get("2")).await.json();
    assert_eq!((&looked["document"], &looked["checkpoint"], &looked["generation"]), (&json!(2), &json!(2), &json!(2)));
    assert_eq!(run(&projector, get("1")).await.json()["document"], 3);
    assert!(run(&projector, get("9")).await.result.is_err());
    let refused = run(&projector, generations("lamps", switch_to(2), false)).await.result.unwrap_err().to_string();
    assert!(refused.contains("is at 2 of log 0 and the live one at 3"), "{refused}");

    let back = OpsCommand::Replay(ReplayArgs { to: to(1), ..replay_args(&["lamps"], false) });
    let refused = run(&projector, back).await;
    assert!(
        refused.err.contains("generation 2") && refused.err.contains("is at 2 already; drop it"),
        "{}",
        refused.err
    );
    let past = OpsCommand::Replay(ReplayArgs { to: to(4), ..replay_args(&["lamps"], false) });
    assert!(run(&projector, past).await.err.contains("past the last event, which is at 3"));

    let whole = run(&projector, replay(&["lamps"], true)).await;
    let done = &lines(&whole, "done")[0];
    assert_eq!((&done["generation"], &done["live"], &done["resumed_at"]), (&json!(2), &json!(true), &json!(2)));
    assert_eq!(done["events"], 1, "what was built before was not built again");
}

#[tokio::test]
async fn a_dry_run_says_what_it_would_do_and_touches_nothing() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Lit]).await;
    let dry = |json| OpsCommand::Replay(ReplayArgs { dry_run: true, ..replay_args(&["lamps"], json) });
    let ran = run(&projector, dry(true)).await;
    let told = &lines(&ran, "dry-run")[0];
    assert_eq!((&told["events"], &told["documents"], &told["document_bytes"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(
        (&told["from"], &told["to"], &told["whole"], &told["resumes"]),
        (&json!(0), &json!(2), &json!(true), &json!(null))
    );
    let text = run(&projector, dry(false)).await.out;
    assert!(
        text.starts_with("lamps: would read 2 events after 0 up to 2\n") && text.contains("nothing was touched"),
        "{text}"
    );
    assert_eq!(projector.generations("lamps").await.unwrap(), [], "a dry run has made a generation");

    let broken = super::projector(&[LampEvent::Lit, LampEvent::Broken]).await;
    let halts = OpsCommand::Replay(ReplayArgs { dry_run: true, ..replay_args(&["fragile"], false) });
    let halts = run(&broken, halts).await;
    assert!(halts.result.is_err() && halts.err.contains("a lamp broke"), "{}", halts.err);
    assert_eq!(broken.generations("fragile").await.unwrap(), []);
}

/// Not pure: each fold makes other documents of the same events.
struct Whims(AtomicU64);

impl Projection for Whims {
    const NAME: &'static str = "whims";
    type Event = LampEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<LampEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, whim: &mut Option<u64>, _: &Recorded<LampEvent>) {
        *whim = Some(self.0.fetch_add(1, Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_replay_that_does_not_verify_is_not_live_is_shown_and_is_not_gone_on_with() {
    let projector = projector(&[LampEvent::Lit]).await.with(Whims(AtomicU64::new(0)));
    projector.catch_up().await.unwrap();
    let verified = |name: &str, json| OpsCommand::Replay(ReplayArgs { verify: true, ..replay_args(&[name], json) });
    let ran = run(&projector, verified("whims", false)).await;
    assert!(matches!(ran.result, Err(OpsError::Differs)), "the exit code would not be 3: {:?}", ran.result);
    assert!(ran.out.contains("\"hall\" differs") && ran.out.contains("history 2, stored 1"), "{}", ran.out);
    assert!(ran.err.contains("was not made live: 1 of 1 documents of generation 2"), "{}", ran.err);
    let states: Vec<_> = projector.generations("whims").await.unwrap().into_iter().map(|info| info.state).collect();
    assert_eq!(states, [factum::GenerationState::Live, factum::GenerationState::Retired]);
    let again = run(&projector, verified("whims", true)).await;
    assert_eq!(lines(&again, "not-live")[0]["verified"]["generation"], 3, "what is wrong was gone on with");

    let pure = run(&projector, verified("lamps", true)).await;
    pure.result.as_ref().unwrap();
    assert_eq!(lines(&pure, "done")[0]["verified"]["documents"], 1);
}

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(subcommand)]
    command: OpsCommand,
}
