//! Many who append at once in one process: two transactions of theirs are under way, and each is told what is so.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Place, in_time, one, place, stream, until};
use factum::{
    Append, AppendError, Appended, Condition, EventStore, LogId, PageLimit, Position, ReadLog, RecordedEvent, Version,
};
use factum_postgres::PostgresStore;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

type Told = Result<Appended, AppendError>;

/// Sessions that wait for the order lock.
const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Enough for two transactions at once.
const CROWD: usize = 200;

/// Each in a task of its own; told by its number.
fn all(store: &Arc<PostgresStore>, appends: Vec<Append>) -> JoinSet<(usize, Told)> {
    let mut tasks = JoinSet::new();
    for (number, append) in appends.into_iter().enumerate() {
        let store = Arc::clone(store);
        tasks.spawn(async move { (number, store.append(append).await) });
    }
    tasks
}

async fn answers(tasks: JoinSet<(usize, Told)>) -> BTreeMap<usize, Told> {
    in_time(tasks.join_all()).await.into_iter().collect()
}

/// Holds the order lock with an append that is not committed.
async fn hold<'c>(place: &Place, holder: &'c mut PgConnection) -> sqlx::Transaction<'c, sqlx::Postgres> {
    let mut transaction = holder.begin().await.unwrap();
    place.store().await.append_in(&mut transaction, one("holder", Condition::Any)).await.unwrap();
    transaction
}

async fn log(store: &PostgresStore) -> Vec<RecordedEvent> {
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 100_000, ..read.limit };
    store.read_log(read).await.unwrap().events
}

/// Positions have no gap, nor have the versions of any stream.
fn assert_whole(log: &[RecordedEvent]) {
    assert!(log.iter().map(|event| event.position.get()).eq(1..=log.len() as u64), "the log has a gap");
    let mut versions = BTreeMap::new();
    for event in log {
        let last: &mut u64 = versions.entry(event.stream.name()).or_default();
        *last += 1;
        assert_eq!(event.version.get(), *last, "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_transaction_waits_at_the_server_while_the_first_is_under_way_and_no_third() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    let tasks = all(&store, (0..3 * CROWD).map(|n| one(&n.to_string(), Condition::NoStream)).collect());
    until(&mut observer, WAITING, |waiting| waiting == 2).await;
    transaction.commit().await.unwrap();
    assert!(answers(tasks).await.values().all(Result::is_ok));
    let log = log(&store).await;
    assert_eq!(log.len(), 3 * CROWD + 1);
    assert_whole(&log);
    // Both connections end with the store.
    in_time(store.close()).await.unwrap();
    drop((store, holder));
    until(&mut observer, common::OTHERS, |others| others == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_wait_for_the_transaction_that_is_under_way() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    let mut tasks = all(&store, (0..32).map(|n| one(&n.to_string(), Condition::NoStream)).collect());
    until(&mut observer, WAITING, |waiting| waiting == 1).await;
    // Whatever else the process does meanwhile, the second one would have been sent by now.
    for _ in 0..10 {
        assert!(tasks.try_join_next().is_none());
        until(&mut observer, WAITING, |waiting| waiting == 1).await;
    }
    transaction.commit().await.unwrap();
    assert!(answers(tasks).await.values().all(Result::is_ok));
}

/// What a condition asks for is looked for no further back than it reaches; who is refused is told where the stream is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_in_a_crowd_harm_nobody_and_say_where_the_stream_is() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    for n in 0..CROWD {
        let events = (0..=n % 3).map(|_| common::event()).collect();
        other.append(Append::to(stream(&n.to_string()), Condition::NoStream, events)).await.unwrap();
    }
    let version = |n: usize| Version::new(n as u64).map_or(Condition::NoStream, Condition::Version);
    let expected = |n: usize| match n % 5 {
        0 => version((n % 3).saturating_sub(1)),
        1 => version(n % 3 + 5),
        2 => Condition::Exists,
        _ => version(n % 3 + 1),
    };
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    let tasks = all(&store, (0..CROWD).map(|n| one(&n.to_string(), expected(n))).collect());
    until(&mut observer, WAITING, |waiting| waiting == 2).await;
    transaction.commit().await.unwrap();
    for (n, told) in answers(tasks).await {
        let actual = Version::new(n as u64 % 3 + 1).ok();
        match told {
            Ok(appended) => {
                assert!(n % 5 > 1, "{:?} held of {actual:?}", expected(n));
                assert_eq!(appended.version(&stream(&n.to_string())), Version::new(n as u64 % 3 + 2).ok());
            }
            Err(AppendError::Conflict { actual: told, .. }) => {
                assert!(n % 5 < 2, "{:?} did not hold of {actual:?}", expected(n));
                assert_eq!(told, actual);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_whole(&log(&store).await);
}

/// The second connection is a favour: a server that has none to give took no append, and each of its group waited in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_second_connection_is_to_be_had_the_first_one_serves_everybody() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    place.execute("ALTER DATABASE :database WITH ALLOW_CONNECTIONS false").await;
    let tasks = all(&store, (0..CROWD).map(|n| one(&n.to_string(), Condition::NoStream)).collect());
    until(&mut observer, WAITING, |waiting| waiting == 1).await;
    transaction.commit().await.unwrap();
    assert!(answers(tasks).await.values().all(Result::is_ok));
    assert_eq!(store.head().await.unwrap(), factum::Cursor::from(Position::new(CROWD as u64 + 1)));
}

/// A connection that is lost with what was sent on it: the other one goes on, and everybody is told what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_connections_is_lost_everything_is_recorded_once() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    for round in 0..4 {
        let (mut holder, mut observer) = (place.connection().await, place.connection().await);
        let transaction = hold(&place, &mut holder).await;
        let tasks = all(&store, (0..CROWD).map(|n| one(&format!("{round}x{n}"), Condition::NoStream)).collect());
        until(&mut observer, WAITING, |waiting| waiting == 2).await;
        let waiting = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
        let which = if round % 2 == 0 { "min" } else { "max" };
        place
            .execute(&format!(
                "SELECT pg_terminate_backend({which}(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND {waiting}"
            ))
            .await;
        transaction.commit().await.unwrap();
        for (n, told) in answers(tasks).await {
            assert!(told.is_ok(), "{n}: {told:?}");
        }
    }
    let log = log(&store).await;
    assert_eq!(log.len(), 4 * (CROWD + 1));
    assert_whole(&log);
}

/// Two processes with a crowd each on the same streams, deciding again on conflicts as commands do, beside a reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_of_two_processes_on_the_same_streams_lose_and_double_nothing() {
    let Some(place) = place().await else { return };
    let stores = [place.store().await, place.store().await];
    let mut tasks = JoinSet::new();
    for n in 0..2 * CROWD {
        let store = Arc::clone(&stores[n % 2]);
        tasks.spawn(async move {
            let id = (n / 4).to_string();
            let (mut version, mut recorded) = (None, 0);
            while recorded < 5 {
                match store.append(one(&id, Condition::from(version))).await {
                    Ok(appended) => (version, recorded) = (appended.version(&stream(&id)), recorded + 1),
                    Err(AppendError::Conflict { actual, .. }) => version = actual,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let (mut seen, reader) = (0, place.store().await);
    while seen < 2 * CROWD * 5 {
        let read = ReadLog::after(LogId::FIRST, Position::new(seen as u64));
        let page = in_time(reader.read_log(read)).await.unwrap().events;
        let first = seen as u64 + 1;
        assert!(page.iter().map(|event| event.position.get()).eq(first..first + page.len() as u64), "skipped");
        seen += page.len();
        tokio::task::yield_now().await;
    }
    in_time(tasks.join_all()).await;
    let log = log(&stores[0]).await;
    assert_eq!(log.len(), 2 * CROWD * 5);
    assert_whole(&log);
}
