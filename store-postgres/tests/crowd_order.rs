//! What many append in one process stands in the log in the order in which it came, each under its condition, and nothing that hangs
//! holds it up.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{WAITING, in_time, one, place, stream, until};
use factum::{AppendError, Condition, EventStore, LogId, PageLimit, Position, ReadLog};
use factum_postgres::PostgresStore;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, poll};
use sqlx::Connection;
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
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

/// Groups whose connections were lost were sent again in any order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_task_appends_stands_in_its_order_when_connections_are_lost() {
    let Some(place) = place().await else { return };
    let (mut observer, other) = (place.connection().await, place.store().await);
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
        let mut transaction = holder.begin().await.unwrap();
        other.append_in(&mut transaction, one("holder", Condition::Any)).await.unwrap();
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

/// Between a store and its server: whoever connects while it `hangs` is never answered.
fn between(url: &str, folder: &std::path::Path, hangs: Arc<AtomicBool>, hung: Arc<AtomicUsize>) -> Option<String> {
    let host = url.split('@').nth(1)?.split(":5432/").next()?.to_owned();
    let real = format!("{}/.s.PGSQL.5432", host.replace("%2F", "/"));
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).ok()?;
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut client, _)) = listener.accept().await {
            if hangs.load(Ordering::SeqCst) {
                held.push(client);
                hung.fetch_add(1, Ordering::SeqCst);
            } else if let Ok(mut server) = UnixStream::connect(&real).await {
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        }
    });
    Some(url.replace(&host, &folder.display().to_string().replace('/', "%2F")))
}

/// A second connection that was never answered counted as one, and those who came had to be many for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_that_is_never_answered_holds_nobody_up() {
    let Some(place) = place().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (hangs, hung) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let Some(url) = between(&place.url(), folder.path(), Arc::clone(&hangs), Arc::clone(&hung)) else {
        // A server that was named has no socket in a folder.
        return;
    };
    let store = Arc::new(PostgresStore::connect(&url).await.unwrap());
    store.append(one("first", Condition::Any)).await.unwrap();
    hangs.store(true, Ordering::SeqCst);
    let (mut holder, other) = (place.connection().await, place.store().await);
    let mut transaction = holder.begin().await.unwrap();
    other.append_in(&mut transaction, one("holder", Condition::Any)).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.append(one(&n.to_string(), Condition::Any)).await });
    }
    until(&mut place.connection().await, WAITING, |waiting| waiting == 1).await;
    transaction.commit().await.unwrap();
    assert!(in_time(tasks.join_all()).await.iter().all(Result::is_ok));
    in_time(store.append(one("one-more", Condition::Any))).await.unwrap();
    in_time(store.close()).await.unwrap();
}
