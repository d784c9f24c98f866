//! `status` and `generations`: what is half built, and how far back the past is kept.

use factum::{LeaseHolder, LeaseName, NewGeneration, ProjectionName, ProjectionVersion, ReadModelStore, TakeLease};
use factum_projections::ProjectorOptions;

use super::*;

const TIME: Duration = Duration::from_millis(100);

fn status(over: Duration, json: bool) -> OpsCommand {
    OpsCommand::Status(StatusArgs { watch: None, over, json })
}

/// Lamps at the head, and a second generation half built.
async fn half_built() -> (Arc<MemoryStore>, Projector) {
    let store = Arc::new(MemoryStore::new());
    light(&store, 1).await;
    let options = ProjectorOptions::new().lease_time(TIME);
    let projector = Projector::new(store.clone(), store.clone()).with(Lamps).options(options);
    projector.catch_up().await.unwrap();
    let projection = ProjectionName::new("lamps").unwrap();
    let new = NewGeneration { projection, version: ProjectionVersion(1), fields: Vec::new() };
    ReadModelStore::build(&*store, &new).await.unwrap();
    (store, projector)
}

async fn light(store: &MemoryStore, times: u32) {
    for _ in 0..times {
        let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(StreamId::new("lamp-hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    }
}

/// Takes the lease of a replay as another process would.
async fn elsewhere(store: &MemoryStore) -> LeaseHolder {
    let holder = LeaseHolder::new("elsewhere:7:1").unwrap();
    let name = LeaseName::replay(&ProjectionName::new("lamps").unwrap(), ProjectionVersion(1));
    store.take_lease(&TakeLease::free(name, holder.clone())).await.unwrap();
    holder
}

const STOPPED: &str = "generation 2 is half built, stopped at 0; nobody builds it: run replay lamps again, or generations \
                       lamps drop 2";

/// A replay that had been killed long ago was shown as one that builds, for as long as nobody took its generation up again.
#[tokio::test]
async fn what_nobody_builds_is_not_said_to_be_built() {
    let (store, projector) = half_built().await;
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    assert!(shown.contains(STOPPED), "{shown}");

    elsewhere(&store).await;
    // One look cannot tell.
    let first = run(&projector, status(Duration::ZERO, true)).await.json();
    let building = &first["projections"][0]["building"];
    assert_eq!((&building["stopped"], &building["owner"]["holder"]), (&json!(false), &json!("elsewhere:7:1")));
    let shown = run(&projector, status(Duration::from_millis(1), false)).await.out;
    assert!(shown.contains(STOPPED), "{shown}");
    let shown = run(&projector, status(Duration::from_millis(1), true)).await.json();
    assert_eq!(shown["projections"][0]["building"]["stopped"], true);
}

#[tokio::test]
async fn what_somebody_builds_is_said_to_be_built_by_whom() {
    let (store, projector) = half_built().await;
    let holder = elsewhere(&store).await;
    let alive = async {
        loop {
            store.renew_leases(&holder).await.unwrap();
            tokio::time::sleep(TIME / 10).await;
        }
    };
    let looks = async {
        for _ in 0..3 {
            let shown = run(&projector, status(TIME, false)).await.out;
            assert!(shown.contains("a replay builds generation 2, now at 0, by elsewhere:7:1\n"), "{shown}");
        }
    };
    tokio::select! {
        () = looks => {}
        () = alive => unreachable!(),
    }
}

/// A generation that was to be gone back to stayed behind, open and kept for ever, and nobody said so.
#[tokio::test]
async fn what_was_reopened_and_left_is_told_with_how_to_go_on() {
    use factum::Generation;
    let (store, projector) = half_built().await;
    let projection = ProjectionName::new("lamps").unwrap();
    store.drop_generation(&projection, Generation(2)).await.unwrap();
    projector.replay("lamps", ReplayOptions::new(), |_| ()).await.unwrap();
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    assert!(!shown.contains("generation 1"), "{shown}");
    // As a switch back to it does that is killed before it has caught up.
    store.reopen(&projection, Generation(1)).await.unwrap();
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    let said = "generation 1 was reopened to go back to it, stopped at 1; nobody catches it up: run generations lamps switch 1 \
                again, or generations lamps drop 1";
    assert!(shown.contains(said), "{shown}");
    let found = run(&projector, OpsCommand::Doctor(crate::args::DoctorArgs { watch: TIME, json: false })).await;
    assert!(matches!(found.result, Err(OpsError::NotWell)));
    assert!(
        found.out.contains("[replay-abandoned]") && found.out.contains("`generations lamps switch 1`"),
        "{}",
        found.out
    );
    projector.switch_to("lamps", Generation(1)).await.unwrap();
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    assert!(!shown.contains("generation 1 "), "{shown}");
}

/// Its past is not kept for ever.
struct Short;

impl Projection for Short {
    const NAME: &'static str = "short";
    const KEEP_EVERY: u64 = 2;
    const KEEP_FOR: Option<u64> = Some(3);
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
async fn from_where_on_the_past_is_kept_is_shown_where_it_is_not_kept_for_ever() {
    let store = Arc::new(MemoryStore::new());
    let projector = Projector::new(store.clone(), store.clone()).with(Short).with(Lamps);
    light(&store, 2).await;
    projector.catch_up().await.unwrap();
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    assert_eq!(shown.matches("the past is kept").count(), 1, "{shown}");
    assert!(shown.contains("the past is kept from the start on\n"), "{shown}");

    light(&store, 5).await;
    projector.catch_up().await.unwrap();
    let fourth = store.read_positions(factum::LogId::FIRST, &[factum::Position::new(4)]).await.unwrap();
    let recorded = fourth[0].recorded_at;
    let said = format!("the past is kept from 4 on, recorded {}\n", recorded.format("%Y-%m-%d %H:%M:%S UTC"));
    let shown = run(&projector, status(Duration::ZERO, false)).await.out;
    assert!(shown.contains(&said) && shown.matches("the past is kept").count() == 1, "{shown}");
    let shown = run(&projector, status(Duration::ZERO, true)).await.json();
    let past = json!({"from": 4, "recorded_at": recorded});
    assert_eq!(shown["projections"][0]["past"], past);
    assert_eq!(shown["projections"][1].get("past"), None);
    // What is said can be had, and nothing before it.
    let short = projector.read_model::<Short>();
    let at = |position| factum::At::Position(factum::Position::new(position).into());
    assert_eq!(short.get_at("hall", at(4)).await.unwrap().document, Some(4));
    assert_eq!(short.get_at("hall", factum::At::Recorded(recorded)).await.unwrap().document, Some(4));
    short.get_at("hall", at(3)).await.unwrap_err();

    let list = |name: &str, json| {
        OpsCommand::Generations(GenerationsArgs { name: name.to_owned(), action: GenerationsAction::List, json })
    };
    let listed = run(&projector, list("short", false)).await.out;
    assert!(listed.contains(&said), "{listed}");
    assert_eq!(run(&projector, list("short", true)).await.json()["generations"][0]["past"], past);
    assert_eq!(run(&projector, list("lamps", true)).await.json()["generations"][0].get("past"), None);
    assert!(!run(&projector, list("lamps", false)).await.out.contains("the past is kept"));
}
