//! A projector keeps a read model, waits for it, and replays it.

use std::sync::Arc;

use factum::{Append, At, Condition, Event, EventStore, Metadata, Position, Recorded, RoundTrip, StreamId, Version};
use factum_memory::MemoryStore;
use factum_projections::{Keys, PageRequest, Projection, Projector, ReplayOptions};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
enum AccountEvent {
    Deposited { cents: i64 },
}
impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

struct Balances;
impl Projection for Balances {
    const NAME: &'static str = "balances";
    const KEEP_EVERY: u64 = 3;
    type Event = AccountEvent;
    type Document = i64;
    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }
    fn apply(&self, _: &str, balance: &mut Option<i64>, event: &Recorded<AccountEvent>) {
        let AccountEvent::Deposited { cents } = event.data;
        *balance.get_or_insert(0) += cents;
    }
}

async fn deposit(store: &MemoryStore, account: &str, cents: i64) -> factum::Cursor {
    let event = factum::encode(&AccountEvent::Deposited { cents }, Metadata::new(), RoundTrip::Checked).unwrap();
    let stream = StreamId::of("account", account).unwrap();
    store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap().cursor
}

#[tokio::test]
async fn what_was_appended_is_shown_and_stays_through_a_replay() {
    let store = Arc::new(MemoryStore::new());
    let projector = Projector::new(store.clone(), store.clone()).with(Balances);
    let mut last = factum::Cursor::start();
    for n in 1..=20 {
        last = deposit(&store, ["a", "b"][n % 2], n as i64).await;
    }
    projector.wait_for("balances", &last).await.unwrap();
    let balances = projector.read_model::<Balances>();
    assert_eq!(balances.get("a").await.unwrap().document, Some(110));
    assert_eq!(balances.get_at("a", Position::new(7)).await.unwrap().document, Some(12));
    assert_eq!(balances.get_at("a", At::Version(Version::new(2).unwrap())).await.unwrap().document, Some(6));
    let before = balances.list(PageRequest::first(1)).await.unwrap();
    let report = projector.replay("balances", ReplayOptions::new().page_events(3), |_| {}).await.unwrap();
    assert_eq!((report.events, report.generation.0), (20, 2));
    assert_eq!(balances.get("b").await.unwrap().document, Some(100));
    assert!(balances.list(PageRequest::after(before.next.unwrap())).await.unwrap_err().is_expired());
    let status = projector.status().await.unwrap();
    assert_eq!((status[0].lag, &status[0].checkpoint), (Some(0), &last));
}
