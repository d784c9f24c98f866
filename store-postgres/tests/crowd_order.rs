//! What many append in one process stands in the log in the order in which it came, each under its condition.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{WAITING, hold, in_time, one, place, stream, until};
use factum::{AppendError, Condition, EventStore, LogId, PageLimit, Position, ReadLog};
use factum_postgres::PostgresStore;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, poll};
use tokio::task::JoinSet;

/// A write without events is a condition alone: nothing is inserted that a unique index could refuse. One was offered with a version
/// that its own process had under way, and 50 of 850 were accepted that should have been refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_without_events_holds_in_a_crowd() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut crowd, mut tasks) = (JoinSet::new(), JoinSet::new());
    let done = Arc::new(AtomicBool::new(false));
    for n in 0..120 {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        crowd.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                store.append(one(&format!("b{n}"), Condition::Any)).await.unwrap();
            }
        });
    }
    for n in 0..5 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut accepted = Vec::new();
            for _ in 0..80 {
                let appended = store.append(one("shared", Condition::Any)).await.unwrap();
                let seen = appended.version(&stream("shared")).unwrap();
                let alone = (stream("shared"), Condition::Version(seen), Vec::new());
                match store.append(one(&format!("c{n}"), Condition::Any).and(alone.0, alone.1, alone.2)).await {
                    Ok(appended) => accepted.push((appended.cursor.get(LogId::FIRST), seen.get())),
                    Err(AppendError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            accepted
        });
    }
    let accepted: HashMap<Position, u64> = in_time(tasks.join_all()).await.into_iter().flatten().collect();
    done.store(true, Ordering::Relaxed);
    in_time(crowd.join_all()).await;
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 1_000_000, bytes: usize::MAX };
    let mut version = 0;
    for event in store.read_log(read).await.unwrap().events {
        version += u64::from(event.stream == stream("shared"));
        let seen = accepted.get(&event.position);
        assert!(seen.is_none_or(|seen| *seen == version), "accepted at {seen:?}, and it was at {version}");
    }
    assert_eq!(version, 400);
}

type Lying = std::pin::Pin<Box<dyn Future<Output = (u64, u64, Position)> + Send>>;

/// One task begins appends one after another, 300 at a time, so that there is an order in which they came; each to a stream that
/// none of the others under way is of. The positions, in that order.
async fn begun_in_order(store: Arc<PostgresStore>, appends: u64, ended: Arc<AtomicUsize>) -> BTreeMap<u64, Position> {
    let mut under_way: FuturesUnordered<Lying> = FuturesUnordered::new();
    let (mut begun, mut told, mut free) = (0, BTreeMap::new(), (0..300).collect::<Vec<u64>>());
    loop {
        while let Some(id) = free.pop().filter(|_| begun < appends) {
            let (number, store) = (begun, Arc::clone(&store));
            begun += 1;
            let mut lying: Lying = Box::pin(async move {
                let appended = store.append(one(&id.to_string(), Condition::Any)).await.unwrap();
                (number, id, appended.cursor.get(LogId::FIRST))
            });
            match poll!(lying.as_mut()) {
                std::task::Poll::Ready((number, id, position)) => {
                    told.insert(number, position);
                    free.push(id);
                }
                std::task::Poll::Pending => under_way.push(lying),
            }
        }
        let Some((number, id, position)) = under_way.next().await else { return told };
        told.insert(number, position);
        free.push(id);
        ended.store(told.len(), Ordering::Relaxed);
    }
}

fn assert_in_order(told: &BTreeMap<u64, Position>) {
    assert!(told.values().is_sorted(), "what came later stands before what came earlier");
}

/// A turn took a group, and another took the next one and sent it first.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_one_task_appends_stands_in_its_order() {
    let Some(place) = place().await else { return };
    let task = begun_in_order(place.store().await, 60_000, Arc::default());
    assert_in_order(&in_time(tokio::spawn(tokio::task::unconstrained(task))).await.unwrap());
}

/// The runtime lets a task do so much before others have their turn: who then had to wait for a place in the queue, though there was
/// room, was overtaken.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_one_task_appends_stands_in_its_order_within_its_budget() {
    let Some(place) = place().await else { return };
    let task = begun_in_order(place.store().await, 60_000, Arc::default());
    assert_in_order(&in_time(tokio::spawn(task)).await.unwrap());
}

/// Groups whose connections were lost were sent again in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_task_appends_stands_in_its_order_when_connections_are_lost() {
    let Some(place) = place().await else { return };
    let mut observer = place.connection().await;
    let ended = Arc::new(AtomicUsize::new(0));
    let task = begun_in_order(place.store().await, 60_000, Arc::clone(&ended));
    let task = tokio::spawn(tokio::task::unconstrained(task));
    for round in 1..=10 {
        in_time(async {
            while ended.load(Ordering::Relaxed) < round * 5_000 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut holder = place.connection().await;
        let transaction = hold(&place, &mut holder).await;
        until(&mut observer, WAITING, |waiting| waiting > 0).await;
        place
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .await;
        transaction.rollback().await.unwrap();
    }
    assert_in_order(&in_time(task).await.unwrap());
}
