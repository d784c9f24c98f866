//! Which events a projection takes: several categories, few types, old shapes, and none at all.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use common::*;
use factum::{
    Append, Batch, Checkpoint, Condition, Event, EventStore, EventType, Failure, LogId, Metadata, NewEvent, Position,
    Projected, ProjectedError, ProjectionName, ProjectionVersion, Query, Recorded, RoundTrip, StoredEvent, StreamId,
    UpcastError,
};
use factum_memory::MemoryStore;
use factum_projections::{Keys, Projection, Projector, ProjectorError, ProjectorOptions, ReplayError, ReplayOptions};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum TransferEvent {
    #[serde(alias = "Asked")]
    Requested {
        to: String,
        cents: i64,
    },
    Refused,
}

impl Event for TransferEvent {
    const CATEGORY: &'static str = "transfer";
    const SCHEMA_VERSION: u32 = 2;
    const FORMER_TYPES: &'static [&'static str] = &["Asked", "Denied", "Wished"];

    fn upcast(stored: StoredEvent) -> Result<StoredEvent, UpcastError> {
        match stored.event_type.as_str() {
            "Denied" => Ok(stored.with_type(EventType::from_static("Refused")?)),
            "Wished" => {
                let mut content = stored.json()?;
                content["cents"] = 1.into();
                Ok(stored.with_type(EventType::from_static("Requested")?).with_json(&content))
            }
            _ => Ok(stored),
        }
    }
}

factum::event_set! {
    enum BankEvent { Account(AccountEvent), Transfer(TransferEvent) }
}

/// What moved to or from whom, over two categories.
struct Movements;

impl Projection for Movements {
    const NAME: &'static str = "movements";
    type Event = BankEvent;
    type Document = i64;

    fn keys(&self, event: &Recorded<BankEvent>, keys: &mut Keys) {
        match &event.data {
            BankEvent::Account(_) => keys.push(event.stream.id()),
            BankEvent::Transfer(TransferEvent::Requested { to, .. }) => keys.push(to),
            BankEvent::Transfer(TransferEvent::Refused) => {}
        }
    }

    fn apply(&self, _key: &str, moved: &mut Option<i64>, event: &Recorded<BankEvent>) {
        let cents = match event.data {
            BankEvent::Account(AccountEvent::Deposited { cents }) => cents,
            BankEvent::Transfer(TransferEvent::Requested { cents, .. }) => cents,
            _ => 0,
        };
        *moved.get_or_insert(0) += cents;
    }
}

/// Only what was requested, under whatever name.
struct Requests;

impl Projection for Requests {
    const NAME: &'static str = "requests";
    const EVENT_TYPES: &'static [&'static str] = &["Requested"];
    type Event = TransferEvent;
    type Document = (u32, i64);

    fn keys(&self, _event: &Recorded<TransferEvent>, keys: &mut Keys) {
        keys.push("all");
    }

    fn apply(&self, _key: &str, all: &mut Option<(u32, i64)>, event: &Recorded<TransferEvent>) {
        let all = all.get_or_insert_default();
        let cents = if let TransferEvent::Requested { cents, .. } = &event.data { *cents } else { 1_000 };
        *all = (all.0 + 1, all.1 + cents);
    }
}

/// Asks for a type that its events do not have.
struct Misspelled;

impl Projection for Misspelled {
    const NAME: &'static str = "misspelled";
    const EVENT_TYPES: &'static [&'static str] = &["Requestet"];
    type Event = TransferEvent;
    type Document = i64;
    fn keys(&self, _event: &Recorded<TransferEvent>, _keys: &mut Keys) {}
    fn apply(&self, _key: &str, _document: &mut Option<i64>, _event: &Recorded<TransferEvent>) {}
}

async fn transfer(store: &MemoryStore, event: &TransferEvent) {
    let event = factum::encode(event, Metadata::new(), RoundTrip::Checked).unwrap();
    let stream = StreamId::new("transfer-1").unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap();
}

async fn former(store: &MemoryStore, event_type: &str, payload: &'static str) {
    let event = NewEvent::new(EventType::new(event_type).unwrap(), payload);
    let stream = StreamId::new("transfer-1").unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap();
}

#[tokio::test]
async fn one_projection_takes_the_events_of_two_categories() {
    let store = bank(1);
    deposit(&*store, 1, 5).await;
    transfer(&store, &TransferEvent::Requested { to: "1".to_owned(), cents: 7 }).await;
    transfer(&store, &TransferEvent::Refused).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Movements);
    projector.catch_up_one("movements").await.unwrap();
    assert_eq!(projector.read_model::<Movements>().get("1").await.unwrap().document, Some(12));
}

#[tokio::test]
async fn a_narrowed_projection_takes_former_types_that_are_its_own_today_and_no_others() {
    let store = bank(1);
    transfer(&store, &TransferEvent::Requested { to: "1".to_owned(), cents: 100 }).await;
    former(&store, "Asked", r#"{"to":"1","cents":10}"#).await;
    former(&store, "Wished", r#"{"to":"1"}"#).await;
    former(&store, "Denied", "null").await;
    transfer(&store, &TransferEvent::Refused).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Requests);
    let reached = projector.catch_up_one("requests").await.unwrap();
    assert_eq!(reached, Position::new(5).into());
    let requests = projector.read_model::<Requests>();
    assert_eq!(requests.get("all").await.unwrap().document, Some((3, 111)));
    assert_eq!(requests.get_at("all", Position::new(2)).await.unwrap().document, Some((2, 110)));
    let report = projector.replay("requests", ReplayOptions::new(), |_| {}).await.unwrap();
    assert_eq!((report.events, requests.get("all").await.unwrap().document), (3, Some((3, 111))));
}

#[tokio::test]
async fn a_type_that_no_event_has_is_refused_at_once() {
    let store = bank(1);
    let projector = Projector::new(store.clone(), store.clone()).with(Misspelled);
    let refused = projector.catch_up().await.unwrap_err();
    let says = "projection misspelled asks for the event type Requestet, which its events do not have: ";
    assert!(refused.to_string().starts_with(says), "{refused}");
}

#[tokio::test]
async fn a_long_stretch_without_a_match_moves_the_checkpoint_in_few_steps() {
    let store = bank(1);
    let counted = Arc::new(Counted::new(ProjectionName::new("counted").unwrap(), "transfer"));
    let projector = Projector::new(store.clone(), store.clone())
        .with_projected(Shared(counted.clone()))
        .options(ProjectorOptions::new().pages(1, 1));
    transfer(&store, &TransferEvent::Refused).await;
    for _ in 0..500 {
        open(&*store, 1).await;
    }
    let reached = projector.catch_up_one("counted").await.unwrap();
    assert_eq!(reached, Position::new(501).into());
    assert_eq!(counted.events.load(Ordering::SeqCst), 1);
    let batches = counted.batches.load(Ordering::SeqCst);
    assert!((1..=20).contains(&batches), "{batches} steps");
    let replay = projector.replay("counted", ReplayOptions::new(), |_| {}).await.unwrap_err();
    assert!(matches!(replay, ReplayError::NotDocuments { .. }), "{replay:?}");
}

#[tokio::test]
async fn a_projection_written_by_hand_halts_with_its_failure_reported() {
    let store = bank(1);
    let counted = Arc::new(Counted::new(ProjectionName::new("counted").unwrap(), "account"));
    let projector = Projector::new(store.clone(), store.clone()).with_projected(Shared(counted.clone()));
    deposit(&*store, 1, 13).await;
    let error = soon(projector.catch_up_one("counted")).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    assert_eq!(counted.reported.lock().unwrap().as_ref().unwrap().cause, "thirteen");
}

/// Counts events, by hand and in memory.
#[derive(Debug)]
struct Counted {
    name: ProjectionName,
    filter: Query,
    checkpoint: std::sync::Mutex<Checkpoint>,
    events: AtomicU64,
    batches: AtomicU64,
    reported: std::sync::Mutex<Option<Failure>>,
}

impl Counted {
    fn new(name: ProjectionName, category: &'static str) -> Self {
        let filter = Query::categories([factum::Category::new(category).unwrap()]);
        let (checkpoint, reported) = Default::default();
        Self { name, filter, checkpoint, events: AtomicU64::new(0), batches: AtomicU64::new(0), reported }
    }
}

#[derive(Debug)]
struct Shared(Arc<Counted>);

#[async_trait]
impl Projected for Shared {
    fn name(&self) -> &ProjectionName {
        &self.0.name
    }

    fn version(&self) -> ProjectionVersion {
        ProjectionVersion(1)
    }

    fn filter(&self) -> &Query {
        &self.0.filter
    }

    async fn checkpoint(&self, _log: LogId) -> Result<Checkpoint, ProjectedError> {
        Ok(*self.0.checkpoint.lock().unwrap())
    }

    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError> {
        if let Some(event) = batch.events.iter().find(|event| event.payload.ends_with(b":13}")) {
            return Err(ProjectedError::Halted(Box::new(Failure {
                log: event.log,
                position: event.position,
                stream: event.stream.clone(),
                version: event.version,
                event_type: event.event_type.to_string(),
                cause: "thirteen".to_owned(),
                since: event.recorded_at,
            })));
        }
        let mut checkpoint = self.0.checkpoint.lock().unwrap();
        assert_eq!(*checkpoint, batch.from);
        checkpoint.position = batch.to.position;
        checkpoint.stands_on = Some((batch.store, batch.to.event));
        self.0.events.fetch_add(batch.events.len() as u64, Ordering::SeqCst);
        self.0.batches.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn report(&self, _log: LogId, failure: Option<Failure>) -> Result<(), ProjectedError> {
        *self.0.reported.lock().unwrap() = failure;
        Ok(())
    }
}
