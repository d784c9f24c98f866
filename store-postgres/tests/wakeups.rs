//! Who wakes whom, with notifications alone: nobody polls here.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Place, one, place};
use factum::{Condition, EventStore, Fault, Wakeups};
use factum_postgres::PostgresStore;
use sqlx::Connection;

async fn store(place: &Place) -> Arc<PostgresStore> {
    let options = place.options().poll(Duration::from_secs(3_600));
    Arc::new(options.connect(&place.url()).await.unwrap())
}

async fn woken(wakeups: &mut Wakeups) -> Result<(), Fault> {
    tokio::time::timeout(Duration::from_secs(20), wakeups.changed()).await.expect("nobody woke it")
}

/// How many sessions hold an advisory lock that others may share: those that listen.
async fn listeners(place: &Place) -> i64 {
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND database = \
                (SELECT oid FROM pg_database WHERE datname = current_database())";
    let mut connection = place.connection().await;
    let held = sqlx::query_scalar(held).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    held
}

#[tokio::test]
async fn a_reader_is_woken_by_what_another_process_appends() {
    let Some(place) = place().await else { return };
    let (writer, reader) = (store(&place).await, store(&place).await);
    let mut wakeups = reader.wakeups();
    // It listens, and has looked at the log itself.
    woken(&mut wakeups).await.unwrap();
    for n in 0..3 {
        writer.append(one(&n.to_string(), Condition::NoStream)).await.unwrap();
        woken(&mut wakeups).await.unwrap();
    }
}

/// The writer has found before that nobody listens.
#[tokio::test]
async fn a_reader_that_comes_later_is_woken_too() {
    let Some(place) = place().await else { return };
    let (writer, reader) = (store(&place).await, store(&place).await);
    writer.append(one("before", Condition::NoStream)).await.unwrap();
    let mut wakeups = reader.wakeups();
    woken(&mut wakeups).await.unwrap();
    writer.append(one("after", Condition::NoStream)).await.unwrap();
    woken(&mut wakeups).await.unwrap();
}

/// Eight processes that only appended woke each other sixteen hundred times a second.
#[tokio::test]
async fn only_a_store_with_a_reader_listens() {
    let Some(place) = place().await else { return };
    let (writer, reader) = (store(&place).await, store(&place).await);
    writer.append(one("1", Condition::NoStream)).await.unwrap();
    assert_eq!(listeners(&place).await, 0);
    woken(&mut reader.wakeups()).await.unwrap();
    assert_eq!(listeners(&place).await, 1);
}
