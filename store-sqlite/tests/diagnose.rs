//! What the store finds when it looks at its file.

use factum::{EventStore, FaultKind, ReadModelStore, Severity};
use factum_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::Connection;

#[tokio::test]
async fn who_keeps_everybody_from_writing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("bank.db")).unwrap();
    assert_eq!(EventStore::diagnose(&store).await.unwrap(), [], "the store is well");
    let other = Connection::open(store.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let found = EventStore::diagnose(&store).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code(), found[0].severity()), ("write-lock-held", Severity::Problem));
    assert!(found[0].what().contains("bank.db"), "{}", found[0]);
    if cfg!(target_os = "linux") {
        let pid = format!("pid {}", std::process::id());
        assert_eq!(found[0].holders().iter().map(|holder| holder.id.as_str()).collect::<Vec<_>>(), [&pid]);
        assert!(found[0].why().contains(&pid), "{}", found[0]);
    }
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(ReadModelStore::diagnose(&store).await.unwrap(), []);
}

#[tokio::test]
async fn a_store_that_may_not_write_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bank.db");
    SqliteStore::open(&file).unwrap().close().await.unwrap();
    let store = SqliteOptions::new().read_only().open(&file).unwrap();
    let found = EventStore::diagnose(&store).await.unwrap();
    assert_eq!(found.iter().map(|finding| finding.code()).collect::<Vec<_>>(), ["read-only"]);
    store.close().await.unwrap();
    assert_eq!(EventStore::diagnose(&store).await.unwrap_err().kind(), FaultKind::Closed);
}

/// A page of zeros, as a disk leaves it that has lost a write.
#[tokio::test]
async fn a_file_that_is_damaged_is_found_out() {
    use std::io::{Seek, SeekFrom, Write};
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bank.db");
    SqliteStore::open(&file).unwrap().close().await.unwrap();
    let mut bytes = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    bytes.seek(SeekFrom::End(-4_096)).unwrap();
    bytes.write_all(&[0; 4_096]).unwrap();
    drop(bytes);
    let store = SqliteStore::open(&file).unwrap();
    let found = EventStore::diagnose(&store).await.unwrap();
    assert!(found.iter().any(|finding| finding.code() == "damaged"), "{found:?}");
}
