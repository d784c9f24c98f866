//! `doctor` and `resume`.

use super::*;
use crate::args::{DoctorArgs, ResumeArgs};

fn doctor(json: bool) -> OpsCommand {
    OpsCommand::Doctor(DoctorArgs { watch: Duration::from_millis(1), json })
}

fn codes(ran: &Ran) -> Vec<String> {
    let found = ran.json()["findings"].as_array().unwrap().clone();
    found.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_doctor_who_finds_nothing_says_that_all_is_well() {
    let projector = projector(&[LampEvent::Lit]).await;
    projector.catch_up().await.unwrap();
    let ran = run(&projector, doctor(true)).await;
    ran.result.as_ref().unwrap();
    assert_eq!((&ran.json()["well"], codes(&ran)), (&json!(true), vec![]));
    let text = run(&projector, doctor(false)).await;
    text.result.unwrap();
    assert_eq!(text.out, "all is well with 2 projections and their stores\n");
}

#[tokio::test]
async fn a_doctor_says_in_words_what_stands_still_and_what_to_do() {
    let projector = projector(&[LampEvent::Lit, LampEvent::Broken, LampEvent::Lit]).await;
    let ran = run(&projector, doctor(true)).await;
    assert!(matches!(ran.result, Err(OpsError::NotWell)));
    assert_eq!(codes(&ran), ["never-run", "never-run"]);
    projector.catch_up().await.unwrap();
    let ran = run(&projector, doctor(true)).await;
    assert!(matches!(ran.result, Err(OpsError::NotWell)));
    assert_eq!(codes(&ran), ["halted"]);
    let halted = &ran.json()["findings"][0];
    assert_eq!((&halted["severity"], &halted["projection"]), (&json!("problem"), &json!("fragile")));
    let text = run(&projector, doctor(false)).await.out;
    assert!(text.starts_with("problem: fragile is halted at position 2 of log 0 [halted]\n"), "{text}");
    assert!(text.contains("  why  event Broken (version 2 of stream lamp-hall) could not be taken, since 2"), "{text}");
    assert!(text.contains("a lamp broke") && text.contains("then `resume fragile`"), "{text}");
    assert!(text.ends_with("problems: 1, warnings: 0\n"), "{text}");
}

/// A projection of which nobody takes the events, and a replay that was killed.
#[tokio::test]
async fn what_nobody_runs_is_told() {
    let store = Arc::new(MemoryStore::new());
    let projector = Projector::new(store.clone(), store.clone()).with(Lamps);
    let light = async || {
        let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(StreamId::new("lamp-hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    };
    light().await;
    projector.catch_up().await.unwrap();
    light().await;
    let new = factum::NewGeneration {
        projection: factum::ProjectionName::new("lamps").unwrap(),
        version: factum::ProjectionVersion(1),
        fields: Vec::new(),
    };
    factum::ReadModelStore::build(&*store, &new).await.unwrap();
    let ran = run(&projector, doctor(true)).await;
    assert!(matches!(ran.result, Err(OpsError::NotWell)));
    assert_eq!(codes(&ran), ["nobody-runs-it", "replay-abandoned"]);
    let text = run(&projector, doctor(false)).await.out;
    assert!(text.contains("lamps is 1 events behind") && text.contains("run `work lamps`"), "{text}");
    assert!(text.contains("`generations lamps drop 2`"), "{text}");
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_what_is_found() {
    let store = Arc::new(MemoryStore::new());
    let projector = Projector::new(store.clone(), store.clone()).with(Lamps);
    store.close().await.unwrap();
    let ran = run(&projector, doctor(true)).await;
    assert!(matches!(ran.result, Err(OpsError::NotWell)));
    assert_eq!(codes(&ran), ["store-unreadable", "status-unreadable"]);
    assert!(ran.json()["findings"][0]["why"].as_str().unwrap().contains("was closed"));
}

#[tokio::test]
async fn what_was_halted_is_resumed_by_name() {
    let projector = projector(&[LampEvent::Broken]).await;
    projector.catch_up().await.unwrap();
    let resume = |name: &str, json| OpsCommand::Resume(ResumeArgs { name: name.to_owned(), json });
    let ran = run(&projector, resume("lamps", false)).await;
    assert_eq!(ran.out, "lamps was not halted; nothing was changed\n");
    let ran = run(&projector, resume("fragile", true)).await.json();
    assert_eq!((&ran["projection"], &ran["failures"][0]["position"]), (&json!("fragile"), &json!(1)));
    let status = projector.status_of("fragile").await.unwrap();
    assert_eq!((status.failure, status.state), (None, factum_projections::ProjectionState::Live));
    projector.catch_up().await.unwrap();
    let text = run(&projector, resume("fragile", false)).await.out;
    assert!(text.starts_with("fragile was halted at position 1") && text.contains("within its poll"), "{text}");
    assert!(run(&projector, resume("lanterns", false)).await.result.unwrap_err().to_string().contains("lanterns"));
}

/// Whether a holder does anything is told by its counter, never by a clock.
#[tokio::test]
async fn who_holds_the_lease_of_what_does_not_move_is_told_and_whether_it_does_anything() {
    use factum::{LeaseHolder, LeaseName, ProjectionName, ProjectionVersion, ReadModelStore as _, TakeLease};
    let store = Arc::new(MemoryStore::new());
    let projector = Projector::new(store.clone(), store.clone()).with(Lamps);
    let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
    projector.catch_up().await.unwrap();
    store.append(Append::to(StreamId::new("lamp-hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    let (name, holder) = (ProjectionName::new("lamps").unwrap(), LeaseHolder::here());
    let take = TakeLease::free(LeaseName::projection(&name, ProjectionVersion(1)), holder.clone());
    store.take_lease(&take).await.unwrap();
    let status =
        run(&projector, OpsCommand::Status(StatusArgs { watch: None, over: Duration::ZERO, json: false })).await;
    assert!(status.out.contains(&format!("run by {holder} since 2")), "{}", status.out);

    let ran = run(&projector, doctor(true)).await;
    assert_eq!(codes(&ran), ["lease-stands-still"]);
    let found = &ran.json()["findings"][0];
    assert_eq!(found["holders"][0]["id"], holder.as_str());
    assert!(found["why"].as_str().unwrap().contains("without renewing it"), "{found}");

    let renewing = async {
        loop {
            store.renew_leases(&holder).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let watch = OpsCommand::Doctor(DoctorArgs { watch: Duration::from_millis(50), json: true });
    let ran = tokio::select! {
        ran = run(&projector, watch) => ran,
        () = renewing => unreachable!(),
    };
    assert_eq!(codes(&ran), ["not-moving"]);
    assert!(ran.json()["findings"][0]["why"].as_str().unwrap().contains("was renewed meanwhile"));
}
