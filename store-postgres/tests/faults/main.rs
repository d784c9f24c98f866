//! What goes wrong around a store, and what is true afterwards: an append that was answered is there once, one that was not is
//! there whole or not at all and its key tells which, and the store goes on by itself.

#[path = "../common/mod.rs"]
mod common;
mod cut;
mod disk;
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Place, one, place, stream};
use factum::{AppendError, Condition, Cursor, EventStore, FaultKind, LogId, Position, ReadError, ReadLog, ReadStream};
use factum_postgres::{ConnectError, PostgresOptions, PostgresStore};
use factum_postgres_server::{Server, ServerOptions};
use load::Load;
use sqlx::{Connection, PgConnection};

/// A server that nobody else uses, and a store on it.
async fn own_place() -> Option<(Server, Place)> {
    let server = Server::own_for_test(&ServerOptions::careless())?;
    let database = server.database("store", |url| async move { PostgresStore::migrate(&url).await }).await;
    Some((server, Place { database: database.unwrap_or_else(|error| panic!("{error}")) }))
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what).await.expect("it does not end")
}

fn head(position: u64) -> Cursor {
    Cursor::from(Position::new(position))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lost_append_when_the_server_crashes_and_comes_back() {
    let Some((server, place)) = own_place().await else { return };
    let store = place.store().await;
    let load = Load::start(&store, 16);
    for _ in 0..2 {
        load.answers(60).await;
        let server = server.clone();
        let crash = move || server.stop_immediate().and_then(|()| server.start_again());
        tokio::task::spawn_blocking(crash).await.unwrap().unwrap();
    }
    load.answers(60).await;
    load.stop().await.reckon(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lost_append_when_connections_are_killed_again_and_again() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let load = Load::start(&store, 16);
    for _ in 0..15 {
        load.answers(10).await;
        place.database.kill_connections().await.unwrap();
    }
    load.answers(10).await;
    load.stop().await.reckon(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_said_to_be_and_used_again_when_it_is_back() {
    let Some((server, place)) = own_place().await else { return };
    let options = place.options().acquire_timeout(Duration::from_millis(200));
    let store = options.connect(&place.url()).await.unwrap();
    store.append(one("1", Condition::NoStream)).await.unwrap();
    server.stop().unwrap();
    for _ in 0..2 {
        match in_time(store.append(one("1", Condition::Exists))).await {
            Err(AppendError::NotDone(fault) | AppendError::Unknown(fault)) => {
                assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault}");
            }
            other => panic!("{other:?}"),
        }
        match in_time(store.read_stream(ReadStream::new(stream("1")))).await {
            Err(ReadError::Fault(fault)) => assert_eq!(fault.kind(), FaultKind::Unavailable, "{fault}"),
            other => panic!("{other:?}"),
        }
    }
    let connected = options.connect(&place.url()).await;
    assert!(matches!(connected, Err(ConnectError::Unreachable(_))), "{connected:?}");
    server.start_again().unwrap();
    in_time(store.append(one("2", Condition::NoStream))).await.unwrap();
    assert_eq!(store.read_stream(ReadStream::new(stream("1"))).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_pool_with_no_connection_left_is_an_error_that_says_so_and_appends_need_none() {
    let Some(place) = place().await else { return };
    let options = place.options().connections(1).acquire_timeout(Duration::from_millis(100));
    let store = Arc::new(options.connect(&place.url()).await.unwrap());
    store.append(one("1", Condition::NoStream)).await.unwrap();
    // Whoever asks for a key waits for this, and keeps the only connection meanwhile.
    let mut holder = place.connection().await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE factum.keys IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let waits = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.outcome(&common::key("k")).await }
    });
    place.until_somebody_waits_for("relation").await;
    match in_time(store.read_stream(ReadStream::new(stream("1")))).await {
        Err(ReadError::Fault(fault)) => {
            assert_eq!(fault.kind(), FaultKind::Unavailable);
            assert!(fault.to_string().contains("in use"), "{fault}");
        }
        other => panic!("{other:?}"),
    }
    in_time(store.append(one("2", Condition::NoStream))).await.unwrap();
    lock.rollback().await.unwrap();
    assert!(in_time(waits).await.unwrap().unwrap().is_none());
    assert_eq!(store.read_stream(ReadStream::new(stream("2"))).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn a_schema_that_is_newer_than_the_library_is_named() {
    let Some(place) = place().await else { return };
    let url = place.url();
    let needs = |error: Result<(), ConnectError>| match error {
        Err(ConnectError::Newer { schema, needed, known }) => {
            assert!(known < needed && schema == "factum");
            Some(needed)
        }
        Ok(()) => None,
        Err(error) => panic!("{error}"),
    };
    for (reader, writer, for_reading, for_writing) in
        [(1, 1, None, None), (1, 98, None, Some(98)), (97, 98, Some(97), Some(98)), (99, 98, Some(99), Some(99))]
    {
        let raise = format!("UPDATE factum.meta SET min_reader = {reader}, min_writer = {writer}");
        place.execute(&raise).await;
        let (writes, reads) = (PostgresOptions::new(), PostgresOptions::new().read_only());
        assert_eq!(needs(writes.check(&url).await), for_writing);
        assert_eq!(needs(writes.connect(&url).await.map(drop)), for_writing);
        assert_eq!(needs(reads.check(&url).await), for_reading);
        assert_eq!(needs(reads.connect(&url).await.map(drop)), for_reading);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_replica_serves_readers_and_refuses_writers() {
    let Some((primary, place)) = own_place().await else { return };
    let store = place.store().await;
    store.append(one("1", Condition::NoStream)).await.unwrap();
    let standby = Server::start_standby_of(&primary, &ServerOptions::careless()).unwrap();
    let url = standby.url(place.database.name());
    let connected = PostgresStore::connect(&url).await;
    assert!(matches!(connected, Err(ConnectError::Replica)), "{connected:?}");

    let options = PostgresOptions::new().read_only().poll(Duration::from_millis(20));
    let replica = options.connect(&url).await.unwrap();
    assert_eq!(replica.id(), store.id());
    assert_eq!(replica.read_stream(ReadStream::new(stream("1"))).await.unwrap().events.len(), 1);
    // What comes is told by polling: a replica sends no notifications.
    let mut wakeups = replica.wakeups();
    store.append(one("2", Condition::NoStream)).await.unwrap();
    let arrives = async {
        while replica.head().await.unwrap() != head(2) {
            wakeups.changed().await.unwrap();
        }
    };
    in_time(arrives).await;
    let page = replica.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap();
    assert_eq!(page.events.len(), 2);
    match replica.append(one("3", Condition::Any)).await {
        Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly, "{fault}"),
        other => panic!("{other:?}"),
    }
}

/// A replica refuses to be listened to. A store with a reader asked thirty times a second to be told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_replica_asks_less_and_less_often_whether_it_can_be_woken() {
    let Some((primary, place)) = own_place().await else { return };
    let store = place.store().await;
    let standby = Server::start_standby_of(&primary, &ServerOptions::careless()).unwrap();
    let url = standby.url(place.database.name());
    let replica = PostgresOptions::new().read_only().poll(Duration::from_millis(20)).connect(&url).await.unwrap();
    let mut wakeups = replica.wakeups();
    let (begun, before) = (Instant::now(), refusals(&url).await);
    for n in 1.. {
        store.append(one(&n.to_string(), Condition::NoStream)).await.unwrap();
        let arrives = async {
            while replica.head().await.unwrap() != head(n) {
                wakeups.changed().await.unwrap();
            }
        };
        in_time(arrives).await;
        // The waits in between are at least 25, 50, 100 ... ms.
        let (refused, most) =
            (refusals(&url).await - before, (begun.elapsed().as_secs_f64() / 0.025 + 1.0).log2() + 1.0);
        assert!((refused as f64) <= most, "it asked {refused} times, where {most} would be many");
        if refused >= 5 {
            break;
        }
    }
}

/// How often a server has refused to be listened to, by its log.
async fn refusals(url: &str) -> usize {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let select = "SELECT pg_read_file(current_setting('data_directory') || '/../log')";
    let log: String = sqlx::query_scalar(select).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    log.matches("cannot execute LISTEN").count()
}
