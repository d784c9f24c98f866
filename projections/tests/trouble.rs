//! What halts, what is retried, and that nobody else is harmed and nothing is silent.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::*;
use factum::{
    Append, Condition, EventStore, EventType, Generation, NewEvent, Position, ProjectionName, ReadModelStore, Recorded,
    StreamId, Tenant,
};
use factum_memory::MemoryStore;
use factum_projections::{
    ApplyError, Keys, Projection, ProjectionState, Projector, ProjectorError, ProjectorOptions, ReplayError,
    ReplayOptions,
};
use futures_util::FutureExt;

/// How `Fragile` fails on a deposit of 13.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Error,
    PanicInApply,
    PanicInKeys,
    EmptyKey,
    Unserializable,
}

/// Takes everything but deposits of 13, until it is mended.
struct Fragile {
    way: Way,
    mended: Arc<AtomicBool>,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sum {
    cents: i64,
    #[serde(serialize_with = "or_fail")]
    poisoned: bool,
}

fn or_fail<S: serde::Serializer>(poisoned: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    if *poisoned { Err(serde::ser::Error::custom("poisoned")) } else { serializer.serialize_bool(false) }
}

impl Fragile {
    fn hits(&self, event: &Recorded<AccountEvent>) -> bool {
        !self.mended.load(Ordering::SeqCst) && matches!(event.data, AccountEvent::Deposited { cents: 13 })
    }
}

impl Projection for Fragile {
    const NAME: &'static str = "fragile";
    const KEEP_EVERY: u64 = 2;
    type Event = AccountEvent;
    type Document = Sum;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        let hit = self.hits(event);
        assert!(!(hit && self.way == Way::PanicInKeys), "thirteen");
        // The first document of the event that fails is changed before the second one fails.
        keys.push("all");
        keys.push(if hit && self.way == Way::EmptyKey { "" } else { event.stream.id() });
    }

    fn apply(&self, _key: &str, sum: &mut Option<Sum>, event: &Recorded<AccountEvent>) {
        if let AccountEvent::Deposited { cents } = event.data {
            sum.get_or_insert_default().cents += cents;
        }
    }

    fn try_apply(&self, key: &str, sum: &mut Option<Sum>, event: &Recorded<AccountEvent>) -> Result<(), ApplyError> {
        self.apply(key, sum, event);
        if key != "all" && self.hits(event) {
            match self.way {
                Way::Error => return Err(ApplyError::new("thirteen")),
                Way::PanicInApply => panic!("thirteen"),
                Way::Unserializable => sum.get_or_insert_default().poisoned = true,
                _ => {}
            }
        }
        Ok(())
    }
}

struct Bank {
    store: Arc<MemoryStore>,
    mended: Arc<AtomicBool>,
    way: Way,
}

impl Bank {
    fn new(way: Way) -> Self {
        Self { store: bank(1), mended: Arc::default(), way }
    }

    /// As a process that has just started.
    fn projector(&self) -> Projector {
        let fragile = Fragile { way: self.way, mended: self.mended.clone() };
        Projector::new(self.store.clone(), self.store.clone()).with(fragile).with(Turnover::<5>)
    }

    async fn deposits(&self, cents: &[i64]) {
        for cents in cents {
            deposit(&*self.store, 1, *cents).await;
        }
    }
}

const WAYS: [Way; 5] = [Way::Error, Way::PanicInApply, Way::PanicInKeys, Way::EmptyKey, Way::Unserializable];

#[tokio::test]
async fn what_precedes_a_failing_event_is_committed_and_nothing_of_it_or_after_it() {
    for way in WAYS {
        let bank = Bank::new(way);
        bank.deposits(&[1, 2, 13, 4]).await;
        let projector = bank.projector();
        let error = soon(projector.catch_up_one("fragile")).await.unwrap_err();
        let ProjectorError::Halted { failure, .. } = &error else { panic!("{error:?}") };
        assert_eq!((failure.position, failure.event_type.as_str()), (Position::new(3), "Deposited"));
        assert_eq!((failure.stream.name(), failure.version.get()), ("account-1", 3));
        let says = if way == Way::EmptyKey { "document key is empty" } else { "thirteen" };
        let says = if way == Way::Unserializable { "poisoned" } else { says };
        assert!(failure.cause.contains(says), "{}", failure.cause);
        for key in ["all", "1"] {
            let shown = projector.read_model::<Fragile>().get(key).await.unwrap();
            assert_eq!((shown.document.unwrap().cents, shown.checkpoint), (3, Position::new(2).into()));
        }
    }
}

#[tokio::test]
async fn neighbours_unharmed_by_a_projection_that_halts() {
    for way in WAYS {
        let bank = Bank::new(way);
        bank.deposits(&[1, 13, 4]).await;
        let projector = bank.projector();
        let results = soon(projector.catch_up()).await.unwrap();
        assert!(results[0].result.is_err());
        assert_eq!(*results[1].result.as_ref().unwrap(), Position::new(3).into());
        let done = deposit(&*bank.store, 1, 5).await;
        soon(projector.wait_for("turnover", &done)).await.unwrap();
    }
}

#[tokio::test]
async fn waiting_for_a_halted_projection_fails_at_once_and_what_it_has_reached_is_there() {
    let bank = Bank::new(Way::Error);
    bank.deposits(&[1, 2, 13, 4]).await;
    let projector = bank.projector();
    for _ in 0..2 {
        soon(projector.wait_for("fragile", &Position::new(2).into())).await.unwrap();
        let error = soon(projector.wait_for("fragile", &Position::new(3).into())).await.unwrap_err();
        assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn another_process_sees_why_it_halted_and_a_restart_tries_again() {
    let bank = Bank::new(Way::PanicInApply);
    bank.deposits(&[1, 13]).await;
    soon(bank.projector().catch_up()).await.unwrap();
    let status = bank.projector().status_of("fragile").await.unwrap();
    assert_eq!((status.state, status.lag), (ProjectionState::Halted, Some(1)));
    assert_eq!(status.failure.as_ref().unwrap().position, Position::new(2));
    assert!(status.trouble.unwrap().contains("position 2 of log 0 by event Deposited (version 2 of stream account-1)"));

    bank.mended.store(true, Ordering::SeqCst);
    soon(bank.projector().catch_up_one("fragile")).await.unwrap();
    let status = bank.projector().status_of("fragile").await.unwrap();
    assert_eq!((status.state, status.failure, status.lag), (ProjectionState::Live, None, Some(0)));
}

#[tokio::test]
async fn a_halted_projection_goes_on_when_it_is_resumed() {
    let bank = Bank::new(Way::Error);
    bank.deposits(&[13]).await;
    let projector = bank.projector();
    assert!(soon(projector.catch_up_one("fragile")).await.is_err());
    bank.mended.store(true, Ordering::SeqCst);
    assert!(soon(projector.catch_up_one("fragile")).await.is_err(), "it tried again though nobody said so");
    let resumed = projector.resume("fragile").await.unwrap();
    assert_eq!(resumed.failures.len(), 1);
    soon(projector.catch_up_one("fragile")).await.unwrap();
    assert_eq!(projector.status_of("fragile").await.unwrap().state, ProjectionState::Live);
}

#[tokio::test]
async fn a_halted_runner_goes_on_when_a_replay_has_replaced_what_it_halted_on() {
    let bank = Bank::new(Way::Error);
    bank.deposits(&[13, 1]).await;
    let quick = ProjectorOptions::new().poll_every(Duration::from_millis(1));
    let (projector, other) = (bank.projector().options(quick), bank.projector());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let projector = projector.clone();
        async move { projector.run(stopped.map(|_| ())).await.unwrap() }
    });
    let reached = |state| {
        let projector = projector.clone();
        soon(async move {
            while projector.status_of("fragile").await.unwrap().state != state {
                tokio::task::yield_now().await;
            }
        })
    };
    reached(ProjectionState::Halted).await;
    bank.mended.store(true, Ordering::SeqCst);
    other.replay("fragile", ReplayOptions::new(), |_| {}).await.unwrap();
    bank.deposits(&[5]).await;
    reached(ProjectionState::Live).await;
    soon(projector.wait_for("fragile", &Position::new(3).into())).await.unwrap();
    assert_eq!(projector.read_model::<Fragile>().get("1").await.unwrap().document.unwrap().cents, 19);
    stop.send(()).unwrap();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_replay_that_fails_says_where_and_leaves_the_live_one_as_it_was() {
    for way in WAYS {
        let bank = Bank::new(way);
        bank.mended.store(true, Ordering::SeqCst);
        bank.deposits(&[1, 13, 5]).await;
        let projector = bank.projector();
        projector.catch_up().await.unwrap();
        bank.mended.store(false, Ordering::SeqCst);
        let error = projector.replay("fragile", ReplayOptions::new().commit_events(1), |_| {}).await.unwrap_err();
        let ReplayError::Halted { failure, .. } = &error else { panic!("{error:?}") };
        // A document is serialized when it is written: then the last of its events is named.
        let at = if way == Way::Unserializable { 3 } else { 2 };
        assert_eq!((failure.position, failure.stream.name()), (Position::new(at), "account-1"));
        let shown = projector.read_model::<Fragile>().get("all").await.unwrap();
        assert_eq!((shown.generation, shown.document.unwrap().cents), (Generation(1), 19));
        let status = bank.projector().status_of("fragile").await.unwrap();
        assert_eq!(status.building.unwrap().failure.unwrap(), **failure);
        assert_eq!(status.state, ProjectionState::Live);

        bank.mended.store(true, Ordering::SeqCst);
        let report = projector.replay("fragile", ReplayOptions::new(), |_| {}).await.unwrap();
        assert_eq!(report.generation, Generation(2));
        assert_eq!(bank.projector().status_of("fragile").await.unwrap().building, None);
    }
}

async fn raw(store: &MemoryStore, event_type: &str, schema: u32, payload: &'static str) {
    let mut event = NewEvent::new(EventType::new(event_type).unwrap(), payload);
    event.schema_version = schema;
    let stream = StreamId::new("account-1").unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn an_event_that_does_not_decode_halts() {
    let bank = Bank::new(Way::Error);
    bank.deposits(&[1]).await;
    raw(&bank.store, "Deposited", 1, r#"{"cents":"many"}"#).await;
    let error = soon(bank.projector().catch_up_one("turnover")).await.unwrap_err();
    let ProjectorError::Halted { failure, .. } = &error else { panic!("{error:?}") };
    assert_eq!(failure.position, Position::new(2));
    assert!(failure.cause.contains("the payload of event Deposited does not fit"), "{}", failure.cause);
    assert!(!failure.cause.contains("many"), "a payload in an error: {}", failure.cause);
    let error = bank.projector().replay("turnover", ReplayOptions::new(), |_| {}).await.unwrap_err();
    assert!(matches!(error, ReplayError::Halted { .. }), "{error:?}");
}

#[tokio::test]
async fn an_event_from_newer_code_is_given_up_and_neither_skipped_nor_reported_as_a_halt() {
    for (event_type, schema) in [("Frozen", 1), ("Deposited", 2)] {
        let bank = Bank::new(Way::Error);
        bank.deposits(&[1]).await;
        raw(&bank.store, event_type, schema, r#"{"cents":1}"#).await;
        bank.deposits(&[2]).await;
        let projector = bank.projector();
        for _ in 0..2 {
            let error = soon(projector.catch_up_one("turnover")).await.unwrap_err();
            let ProjectorError::NeedsNewerCode { position, schema_version, .. } = &error else { panic!("{error:?}") };
            assert_eq!((*position, *schema_version), (Position::new(2), schema));
        }
        let shown = projector.read_model::<Turnover<5>>().get("all").await.unwrap();
        assert_eq!((shown.document.unwrap().cents, shown.checkpoint), (1, Position::new(1).into()));
        assert_eq!(projector.status_of("turnover").await.unwrap().state, ProjectionState::NeedsNewerCode);
        // Only the process that had met the event said so; any other one showed a lag, and nothing of its cause.
        let elsewhere = bank.projector().status_of("turnover").await.unwrap();
        assert_eq!((elsewhere.state, elsewhere.lag), (ProjectionState::NeedsNewerCode, Some(2)));
        assert!(elsewhere.trouble.unwrap().contains("at position 2"));
        let error = projector.replay("turnover", ReplayOptions::new(), |_| {}).await.unwrap_err();
        assert!(matches!(error, ReplayError::NeedsNewerCode { .. }), "{error:?}");
    }
}

/// A process of old code halts and says so while one of newer code, which had begun before, takes the event: the status
/// was "halted" for ever, though the projection had long gone on.
#[tokio::test]
async fn a_halt_is_over_once_another_process_has_passed_it() {
    let bank = Bank::new(Way::Error);
    bank.deposits(&[1]).await;
    let fragile = |mended: bool| Fragile { way: Way::Error, mended: Arc::new(AtomicBool::new(mended)) };
    let of = |mended| Projector::new(bank.store.clone(), bank.store.clone()).with(fragile(mended));
    let (old, newer) = (of(false), of(true));
    soon(newer.catch_up_one("fragile")).await.unwrap();
    bank.deposits(&[13]).await;
    soon(old.catch_up_one("fragile")).await.unwrap_err();
    assert_eq!(of(true).status_of("fragile").await.unwrap().state, ProjectionState::Halted);
    soon(newer.catch_up_one("fragile")).await.unwrap();
    let status = of(true).status_of("fragile").await.unwrap();
    assert_eq!((status.state, status.failure, status.lag), (ProjectionState::Live, None, Some(0)));
}

#[derive(Debug, Default)]
struct NoWait(AtomicU64);

impl factum::Timer for NoWait {
    fn sleep(&self, _: Duration) -> factum::Sleep {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_store_that_is_busy_for_a_while_is_tried_again() {
    let store = bank(1);
    let done = open(&*store, 1).await;
    let (faulty, timer) = (Arc::new(Faulty::new(store.clone())), Arc::new(NoWait::default()));
    let options = ProjectorOptions::new().attempts(4).timer(timer.clone());
    let projector = Projector::new(faulty.clone(), store.clone()).with(Balances::<5>).options(options);
    faulty.fail(3);
    soon(projector.wait_for("balances", &done)).await.unwrap();
    assert_eq!(timer.0.load(Ordering::SeqCst), 3);
    faulty.fail(4);
    let next = open(&*store, 2).await;
    let error = soon(projector.wait_for("balances", &next)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("the store is too busy"), "{error}");
}

/// A server that restarts for a second ended a replay of hours, and an operator had to find that and say it again.
#[tokio::test]
async fn a_replay_goes_on_when_its_store_was_away_for_a_while() {
    let store = bank(1);
    for n in 0..20 {
        deposit(&*store, 1, n).await;
    }
    let faulty = Arc::new(Faulty::new(store.clone()));
    let options = ProjectorOptions::new().attempts(2).backoff(Duration::from_millis(1), Duration::from_millis(1));
    let projector = Projector::new(faulty.clone(), store.clone()).with(Turnover::<5>).options(options);
    let few = || ReplayOptions::new().page_events(2).commit_events(1);
    let mut away = 0;
    let now_and_then = |progress: factum_projections::ReplayProgress| {
        let position = progress.position.get(factum::LogId::FIRST).get();
        if position == 6 || position == 14 {
            // Each time as often as it is tried.
            away += 1;
            faulty.fail(3);
        }
    };
    let report = soon(projector.replay("turnover", few(), now_and_then)).await.unwrap();
    assert_eq!((report.live, report.position, away), (true, Position::new(20).into(), 2));
    let shown = projector.read_model::<Turnover<5>>().get("all").await.unwrap().document;
    assert_eq!(shown, naive(&Turnover::<5>, &*store, &Tenant::default(), None).await.remove("all"));
    faulty.fail(4);
    let error = soon(projector.replay("turnover", few(), |_| {})).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("the store is too busy"), "{error}");
}

#[tokio::test]
async fn a_read_model_that_stands_on_other_events_says_so_until_it_is_replayed() {
    let (old, restored) = (bank(1), bank(1));
    for n in 0..10 {
        deposit(&*old, 1, n).await;
    }
    // The same store after a restore: other events, and fewer, so that the live generation is ahead of its log.
    for n in 0..6 {
        deposit(&*restored, 1, n).await;
    }
    Projector::new(old.clone(), old.clone()).with(Turnover::<5>).catch_up().await.unwrap();
    let projector = Projector::new(restored.clone(), old.clone()).with(Turnover::<5>);
    for _ in 0..2 {
        for cursor in [Position::new(3), Position::new(6)] {
            let error = soon(projector.wait_for("turnover", &cursor.into())).await.unwrap_err();
            let ProjectorError::Diverged(diverged) = &error else { panic!("{error:?}") };
            assert_eq!((diverged.position, diverged.found), (Position::new(10), None));
            assert!(error.to_string().ends_with("replay turnover"), "{error}");
        }
    }
    assert_eq!(projector.status_of("turnover").await.unwrap().state, ProjectionState::Diverged);
    let at_once = ReplayOptions::new().keep_old(std::time::Duration::ZERO);
    projector.replay("turnover", at_once, |_| {}).await.unwrap();
    let done = deposit(&*restored, 1, 1).await;
    soon(projector.wait_for("turnover", &done)).await.unwrap();
    let shown = projector.read_model::<Turnover<5>>().get("all").await.unwrap().document;
    let expected = naive(&Turnover::<5>, &*restored, &Tenant::default(), None).await;
    assert_eq!(shown.as_ref(), expected.get("all"));
    let name = ProjectionName::new("turnover").unwrap();
    assert_eq!(old.generations(&name).await.unwrap().len(), 1);
}
