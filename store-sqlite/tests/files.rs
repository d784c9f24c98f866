//! What is refused as a file, and that it is not harmed by being refused.

mod common;

use std::path::Path;

use common::{append, everything, place};
use factum::{AppendError, EventStore, FaultKind, NewGeneration, ProjectionName, ProjectionVersion, ReadModelStore};
use factum_sqlite::{OpenError, SqliteOptions, SqliteStore};
use rusqlite::Connection;

/// A store with this many events, closed.
async fn filled(file: &Path, events: usize) {
    let store = SqliteStore::open(file).unwrap();
    for n in 0..events {
        append(&store, n % 7).await.unwrap();
    }
    store.close().await.unwrap();
}

/// That opening is refused and leaves every byte as it was; the refusal.
fn refused(file: &Path) -> OpenError {
    let before = std::fs::read(file).unwrap();
    let refused = SqliteStore::open(file).unwrap_err();
    assert_eq!(std::fs::read(file).unwrap(), before, "the file was changed by an opening that failed: {refused}");
    assert!(refused.to_string().contains(file.to_str().unwrap()), "{refused}");
    refused
}

#[test]
fn a_directory_a_missing_directory_and_a_missing_file_to_read_are_told_apart() {
    let (directory, file) = place();
    assert!(matches!(SqliteStore::open(directory.path()), Err(OpenError::IsDirectory { .. })));
    let lost = directory.path().join("lost").join("bank.db");
    assert!(matches!(SqliteStore::open(lost), Err(OpenError::NoDirectory { .. })));
    assert!(matches!(SqliteOptions::new().read_only().open(&file), Err(OpenError::NoFile { .. })));
    assert!(!file.exists());
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let (_directory, file) = place();
    std::fs::write(&file, b"").unwrap();
    filled(&file, 1).await;
    assert_eq!(everything(&SqliteStore::open(&file).unwrap()).await.len(), 1);
}

#[test]
fn the_database_of_another_program_is_foreign() {
    let (_directory, file) = place();
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA application_id = 7; CREATE TABLE songs (name TEXT); CREATE TABLE bands (name TEXT)")
        .unwrap();
    drop(conn);
    match refused(&file) {
        OpenError::Foreign { found: 7, tables: 2, expected: 0x4661_6374, .. } => {}
        other => panic!("{other}"),
    }
}

#[test]
fn a_database_of_another_program_whose_log_is_not_in_it_yet_is_left_alone() {
    let (_directory, file) = place();
    let conn = Connection::open(&file).unwrap();
    conn.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE songs (name TEXT)").unwrap();
    assert!(matches!(refused(&file), OpenError::Foreign { .. }));
}

#[test]
fn a_text_file_is_no_database() {
    let (_directory, file) = place();
    std::fs::write(&file, "Dear diary, today I opened an account.".repeat(100)).unwrap();
    assert!(matches!(refused(&file), OpenError::Malformed { .. }));
}

#[tokio::test]
async fn a_file_that_was_cut_short_is_refused_wherever_it_was_cut() {
    let (_directory, file) = place();
    filled(&file, 300).await;
    let whole = std::fs::read(&file).unwrap();
    for len in [50, 1_000, 4_096, 8_192, whole.len() / 2, whole.len() - 4_096] {
        std::fs::write(&file, &whole[..len]).unwrap();
        let refused = refused(&file);
        assert!(matches!(refused, OpenError::Malformed { .. }), "{len} bytes: {refused}");
    }
    std::fs::write(&file, &whole).unwrap();
    assert_eq!(everything(&SqliteStore::open(&file).unwrap()).await.len(), 300);
}

/// SQLite takes an empty file as new and throws away the log beside it, and with it what the log alone still held.
#[test]
fn an_empty_file_beside_a_log_is_one_that_lost_its_content() {
    let (directory, file) = place();
    let log = directory.path().join("bank.db-wal");
    std::fs::write(&file, b"").unwrap();
    std::fs::write(&log, b"what is left of the bank").unwrap();
    assert!(matches!(refused(&file), OpenError::Malformed { .. }));
    assert_eq!(std::fs::read(&log).unwrap(), b"what is left of the bank");
}

#[tokio::test]
async fn a_newer_file_is_refused_with_what_was_expected_and_found() {
    let (_directory, file) = place();
    filled(&file, 3).await;
    let change = |sql: &str| Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 9");
    let refused = refused(&file);
    assert!(matches!(refused, OpenError::Newer { known: 1, found: 9, .. }), "{refused}");
    change("PRAGMA user_version = 1");
    assert_eq!(everything(&SqliteStore::open(&file).unwrap()).await.len(), 3);
}

/// SQLite takes a file of one byte for an empty one; it was overwritten with a new store.
#[test]
fn a_file_of_one_byte_is_not_taken_for_an_empty_one() {
    let (_directory, file) = place();
    std::fs::write(&file, b"x").unwrap();
    assert!(matches!(refused(&file), OpenError::Malformed { .. }));
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

#[tokio::test]
async fn a_store_without_its_tables_is_malformed() {
    let (_directory, file) = place();
    filled(&file, 3).await;
    Connection::open(&file).unwrap().execute_batch("DROP TABLE meta").unwrap();
    assert!(matches!(refused(&file), OpenError::Malformed { .. }));
}

async fn reads_and_refuses_to_write(store: &SqliteStore) {
    assert!(store.is_read_only());
    assert_eq!(everything(store).await.len(), 3);
    match append(store, 1).await {
        Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly),
        other => panic!("{other:?}"),
    }
    let new = NewGeneration {
        projection: ProjectionName::new("new").unwrap(),
        version: ProjectionVersion(1),
        fields: Vec::new(),
    };
    assert!(store.open(&new).await.unwrap_err().to_string().contains("reading only"));
    assert_eq!(everything(store).await.len(), 3);
}

#[tokio::test]
async fn a_read_only_file_is_readable_while_nothing_needs_writing() {
    let (_directory, file) = place();
    filled(&file, 3).await;
    reads_and_refuses_to_write(&SqliteOptions::new().read_only().open(&file).unwrap()).await;

    let mut permissions = std::fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions).unwrap();
    reads_and_refuses_to_write(&SqliteStore::open(&file).unwrap()).await;
}

#[tokio::test]
async fn a_copy_made_in_use_is_a_store_as_of_one_moment() {
    let (directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    for n in 0..20 {
        append(&store, n).await.unwrap();
    }
    let copy = directory.path().join("copy.db");
    store.backup_to(&copy).await.unwrap();
    append(&store, 20).await.unwrap();

    let restored = SqliteStore::open(&copy).unwrap();
    assert_eq!(restored.id(), store.id());
    assert_eq!(everything(&restored).await, everything(&store).await[..20]);
    append(&restored, 20).await.unwrap();
    assert!(matches!(store.backup_to(&copy).await, Err(factum_sqlite::BackupError::Exists { .. })));
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains("part")), "{left:?}");
}

#[tokio::test]
async fn events_in_the_file_cannot_be_changed_or_deleted() {
    let (_directory, file) = place();
    filled(&file, 3).await;
    let conn = Connection::open(&file).unwrap();
    for sql in ["UPDATE events SET payload = '{}'", "DELETE FROM events WHERE position = 3"] {
        assert!(conn.execute_batch(sql).unwrap_err().to_string().contains("events are never"), "{sql}");
    }
}
