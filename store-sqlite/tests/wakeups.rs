//! Who is woken by what is appended to the file.

mod common;

use std::time::Duration;

use common::one;
use factum::{Condition, EventStore, Wakeups};
use factum_sqlite::SqliteStore;

async fn append(store: &SqliteStore, id: u32) {
    store.append(one(id, Condition::NoStream)).await.unwrap();
}

async fn woken(wakeups: &mut Wakeups) {
    tokio::time::timeout(Duration::from_secs(20), wakeups.changed()).await.expect("nobody woke it").unwrap();
}

/// Whoever waited for its own write while another process drove the projection waited for that one's next poll: a second.
#[tokio::test]
async fn a_reader_is_woken_by_what_another_process_appends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bank.db");
    let (writer, reader) = (SqliteStore::open(&file).unwrap(), SqliteStore::open(&file).unwrap());
    let mut wakeups = reader.wakeups();
    for id in 0..3 {
        append(&writer, id).await;
        woken(&mut wakeups).await;
        // Each has been seen before the next comes: the one ring is not another's.
        assert_eq!(reader.head().await.unwrap(), writer.head().await.unwrap());
    }
}

/// The connection that looks at the file cannot put the log of writes into it: it is never the last one.
#[tokio::test]
async fn a_store_with_a_reader_leaves_one_file_behind() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bank.db");
    let store = SqliteStore::open(&file).unwrap();
    let mut wakeups = store.wakeups();
    append(&store, 1).await;
    woken(&mut wakeups).await;
    store.close().await.unwrap();
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["bank.db"]);
    assert!(wakeups.changed().await.is_err(), "the store has ended");
}
