//! A small bank, a naive fold to compare with, and ways to look into a read model.

#![allow(dead_code, unreachable_pub, unused_imports)] // Each test file uses a part of it.

mod faulty;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use factum::{
    Append, At, Condition, Cursor, Document, Event, EventStore, Generation, HistoryFrom, ListDocuments, Metadata,
    Position, ProjectionName, ReadHistory, ReadLog, ReadModelStore, ReadTarget, Recorded, RecordedEvent, RoundTrip,
    StreamId, Tenant,
};
use factum_memory::{MemoryOptions, MemoryStore};
use factum_projections::{Keys, Projection};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

pub use faulty::Faulty;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AccountEvent {
    Opened,
    Deposited { cents: i64 },
    Closed,
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

/// What became of an account: every event of it, so that one that is lost, doubled or out of order shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    pub cents: i64,
    pub positions: Vec<u64>,
}

/// To keep the past for ever.
pub const EVER: u64 = u64::MAX;

const fn keep_for(positions: u64) -> Option<u64> {
    if positions == EVER { None } else { Some(positions) }
}

/// Per account; an account that was never opened has no balance, and a closed one is deleted.
pub struct Balances<const KEEP: u64 = 5, const AFTER: usize = 1, const FOR: u64 = EVER>;

impl<const KEEP: u64, const AFTER: usize, const FOR: u64> Projection for Balances<KEEP, AFTER, FOR> {
    const NAME: &'static str = "balances";
    const KEEP_EVERY: u64 = KEEP;
    const KEEP_AFTER: usize = AFTER;
    const KEEP_FOR: Option<u64> = keep_for(FOR);
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _key: &str, balance: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        match event.data {
            AccountEvent::Opened => *balance = Some(Balance::default()),
            AccountEvent::Closed => *balance = None,
            AccountEvent::Deposited { .. } => {}
        }
        if let Some(balance) = balance {
            balance.positions.push(event.position.get());
            if let AccountEvent::Deposited { cents } = event.data {
                balance.cents += cents;
            }
        }
    }
}

/// Per month and over all: an event changes two documents, and a document has events of many streams.
pub struct Turnover<const KEEP: u64 = 5, const AFTER: usize = 1, const FOR: u64 = EVER>;

impl<const KEEP: u64, const AFTER: usize, const FOR: u64> Projection for Turnover<KEEP, AFTER, FOR> {
    const NAME: &'static str = "turnover";
    const KEEP_EVERY: u64 = KEEP;
    const KEEP_AFTER: usize = AFTER;
    const KEEP_FOR: Option<u64> = keep_for(FOR);
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.occurred_at().format("%Y-%m").to_string());
        keys.push("all");
        keys.push("all");
    }

    fn apply(&self, _key: &str, turnover: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        let turnover = turnover.get_or_insert_default();
        turnover.positions.push(event.position.get());
        if let AccountEvent::Deposited { cents } = event.data {
            turnover.cents += cents;
        }
    }

    fn merge(&self, _key: &str, turnovers: Vec<Balance>) -> Option<Balance> {
        Some(turnovers.into_iter().fold(Balance::default(), |mut sum, turnover| {
            sum.cents += turnover.cents;
            sum.positions.extend(turnover.positions);
            sum
        }))
    }
}

/// One event to be appended.
#[derive(Clone, Debug)]
pub struct Happening {
    pub account: u8,
    pub tenant: bool,
    pub event: AccountEvent,
    /// When it happened, in days after the beginning; `None`: nobody said.
    pub day: Option<u16>,
}

pub fn happening() -> impl Strategy<Value = Happening> {
    let event = prop_oneof![
        2 => Just(AccountEvent::Opened),
        6 => (1i64..1000).prop_map(|cents| AccountEvent::Deposited { cents }),
        1 => Just(AccountEvent::Closed),
    ];
    (0u8..4, any::<bool>(), event, proptest::option::of(0u16..200))
        .prop_map(|(account, tenant, event, day)| Happening { account, tenant, event, day })
}

pub fn history(max: usize) -> impl Strategy<Value = Vec<Happening>> {
    proptest::collection::vec(happening(), 0..max)
}

pub fn beginning() -> DateTime<Utc> {
    "1993-01-01T00:00:00Z".parse().unwrap()
}

pub fn acme() -> Tenant {
    Tenant::new("acme").unwrap()
}

/// A store whose clock goes on by a second with each event.
pub fn bank(logs: u32) -> Arc<MemoryStore> {
    let ticks = std::sync::atomic::AtomicI64::new(0);
    let clock = move || {
        beginning() + TimeDelta::days(100) + TimeDelta::seconds(ticks.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
    };
    Arc::new(MemoryStore::with(MemoryOptions::default().logs(logs).clock(Arc::new(clock))))
}

pub async fn record(store: &dyn EventStore, happening: &Happening) -> Cursor {
    let metadata = match happening.day {
        Some(day) => Metadata::new().occurred_at(beginning() + TimeDelta::days(day.into())),
        None => Metadata::new(),
    };
    let event = factum::encode(&happening.event, metadata, RoundTrip::Checked).unwrap();
    let mut stream = StreamId::of("account", &happening.account.to_string()).unwrap();
    if happening.tenant {
        stream = stream.in_tenant(acme());
    }
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap().cursor
}

pub async fn record_all(store: &dyn EventStore, history: &[Happening]) {
    for happening in history {
        record(store, happening).await;
    }
}

pub async fn deposit(store: &dyn EventStore, account: u8, cents: i64) -> Cursor {
    record(store, &Happening { account, tenant: false, event: AccountEvent::Deposited { cents }, day: None }).await
}

/// What a store held, and what it holds after a restore: the same events up to one, and others after that.
pub async fn with_a_backup(common: i64, lost: i64, since: i64) -> (Arc<MemoryStore>, Arc<MemoryStore>) {
    let (before, after) = (bank(1), bank(1));
    for cents in 0..common {
        let event = factum::encode(&AccountEvent::Deposited { cents }, Metadata::new(), RoundTrip::Checked).unwrap();
        let append = Append::to(StreamId::of("account", "1").unwrap(), Condition::Any, vec![event]);
        before.append(append.clone()).await.unwrap();
        after.append(append).await.unwrap();
    }
    for cents in 0..lost {
        deposit(&*before, 1, 1000 + cents).await;
    }
    for cents in 0..since {
        deposit(&*after, 1, 2000 + cents).await;
    }
    (before, after)
}

pub async fn open(store: &dyn EventStore, account: u8) -> Cursor {
    record(store, &Happening { account, tenant: false, event: AccountEvent::Opened, day: None }).await
}

pub async fn everything(store: &dyn EventStore) -> Vec<RecordedEvent> {
    let mut all = Vec::new();
    for log in store.logs() {
        let mut after = Position::START;
        loop {
            let page = store.read_log(ReadLog::after(log, after)).await.unwrap();
            all.extend(page.events);
            match page.reached {
                Some(mark) if !page.end => after = mark.position,
                _ => break,
            }
        }
    }
    all
}

/// What a projection must come to, by the plainest fold there is.
pub async fn naive<P: Projection>(
    projection: &P,
    store: &dyn EventStore,
    tenant: &Tenant,
    at: Option<&At>,
) -> BTreeMap<String, P::Document> {
    let mut by_log: BTreeMap<(String, u32), Option<P::Document>> = BTreeMap::new();
    for event in everything(store).await {
        if event.stream.tenant() != tenant || !at.is_none_or(|at| at.includes(&event)) {
            continue;
        }
        let log = event.log.get();
        let decoded = Recorded::new(<P::Event as factum::EventSet>::decode(&event).unwrap(), event);
        let mut keys = Keys::default();
        projection.keys(&decoded, &mut keys);
        let keys: std::collections::BTreeSet<_> = keys.iter().collect();
        for key in keys {
            projection.apply(key, by_log.entry((key.to_owned(), log)).or_default(), &decoded);
        }
    }
    let mut by_key: BTreeMap<String, Vec<P::Document>> = BTreeMap::new();
    for ((key, _), document) in by_log {
        by_key.entry(key).or_default().extend(document);
    }
    let merged = by_key.into_iter().filter_map(|(key, mut documents)| match documents.len() {
        0 | 1 => documents.pop().map(|document| (key, document)),
        _ => projection.merge(&key, documents).map(|document| (key, document)),
    });
    merged.collect()
}

type Versions = BTreeMap<(String, u32), Vec<Document>>;

/// Every version of every document of a generation, kept and current.
pub async fn dump(store: &MemoryStore, projection: &str, generation: Generation, tenant: &Tenant) -> Versions {
    let target = ReadTarget::Generation(ProjectionName::new(projection).unwrap(), generation);
    let (tenant, limit) = (tenant.clone(), usize::MAX);
    let list = ListDocuments { target: target.clone(), tenant, after: None, limit, deleted: true };
    let keys: Vec<_> = store.list(&list).await.unwrap().documents.into_iter().map(|(key, _)| key).collect();
    let mut all = BTreeMap::new();
    for log in store.logs() {
        let from = HistoryFrom::After(Position::START);
        let read = ReadHistory { target: target.clone(), log, keys: keys.clone(), from, limit };
        for (key, versions) in keys.iter().zip(ReadModelStore::history(store, &read).await.unwrap().versions) {
            all.insert((key.key().to_owned(), log.get()), versions);
        }
    }
    all
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Fails instead of hanging.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}
