//! Group commit: what shares a transaction is judged, answered and harmed alone (`neighbours-unharmed`).

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{append, event, everything, one, place, stream};
use factum::{
    Append, AppendError, Condition, EventStore, EventType, FaultKind, Fingerprint, Key, Keyed, NewEvent, Outcome,
};
use factum_sqlite::{KeyRetention, SqliteOptions, SqliteStore};
use rusqlite::Connection;

fn keyed(key: &str, append: Append) -> Append {
    append.keyed(Keyed { key: Key::new(key).unwrap(), fingerprint: Fingerprint::of(b"same"), refusal: None })
}

/// Holds the lock that writers need, as another process would, so that what is sent meanwhile makes one group.
fn hold(file: &std::path::Path) -> Connection {
    let conn = Connection::open(file).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

/// Sends these while nobody can write, lets them go, and gives the answers in order.
async fn as_one_group(store: &Arc<SqliteStore>, appends: Vec<Append>) -> Vec<Result<factum::Appended, AppendError>> {
    let held = hold(store.file());
    let mut tasks = Vec::new();
    // The first is taken as a group of its own, and waits for the lock; the rest queue up behind it.
    for append in std::iter::once(one("first", Condition::Any)).chain(appends) {
        let store = Arc::clone(store);
        tasks.push(tokio::spawn(async move { store.append(append).await }));
        tokio::task::yield_now().await;
    }
    held.execute_batch("COMMIT").unwrap();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(tokio::time::timeout(Duration::from_secs(30), task).await.unwrap().unwrap());
    }
    answers.remove(0).unwrap();
    answers
}

#[tokio::test]
async fn a_conflict_in_a_group_is_its_own_and_no_other_s() {
    let (_directory, file) = place();
    let store = Arc::new(SqliteStore::open(file).unwrap());
    let answers = as_one_group(
        &store,
        vec![one("a", Condition::NoStream), one("a", Condition::NoStream), one("b", Condition::NoStream)],
    )
    .await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(&answers[1], Err(AppendError::Conflict { actual: Some(_), .. })), "{answers:?}");
    assert_eq!(everything(&store).await.len(), 3);
}

#[tokio::test]
async fn of_two_with_one_key_in_a_group_the_second_is_judged_after_the_first() {
    let (_directory, file) = place();
    let store = Arc::new(SqliteStore::open(file).unwrap());
    let answers = as_one_group(
        &store,
        vec![
            keyed("k", one("a", Condition::NoStream)),
            keyed("k", one("a", Condition::NoStream)),
            // The first with this key conflicts, so the second is the first to have it.
            keyed("l", one("a", Condition::NoStream)),
            keyed("l", one("a", Condition::Exists)),
        ],
    )
    .await;
    let already: Vec<_> = answers.iter().map(|answer| answer.as_ref().ok().map(|done| done.already)).collect();
    assert_eq!(already, [Some(false), Some(true), None, Some(false)], "{answers:?}");
    assert_eq!(answers[0].as_ref().unwrap().outcome, answers[1].as_ref().unwrap().outcome);
}

fn large(id: &str) -> Append {
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(200_000));
    Append::to(stream(id), Condition::Any, vec![NewEvent::new(EventType::new("Noted").unwrap(), payload)])
}

/// SQLite rolls the whole transaction back by itself when the disk is full: whoever was in it and had been written
/// already must not be told that it is done.
#[tokio::test]
async fn on_a_full_disk_nobody_is_told_done_who_is_not_and_each_is_tried_alone() {
    let (_directory, file) = place();
    let options = || SqliteOptions::new().busy_timeout(Duration::from_secs(30));
    let store = Arc::new(options().max_pages(100).open(&file).unwrap());
    let answers = as_one_group(
        &store,
        vec![one("a", Condition::Any), large("b"), large("c"), large("d"), one("e", Condition::Any)],
    )
    .await;
    let full: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert!(!full[0], "{answers:?}");
    assert!(full[1..4].contains(&true), "the disk was not full: {full:?}");
    assert!(!full[4], "{answers:?}");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert!(matches!(refused, AppendError::NotDone(fault) if fault.kind() == FaultKind::Full), "{refused}");
    }
    let there: Vec<_> = everything(&store).await.into_iter().map(|(_, stream, _)| stream).collect();
    let expected: Vec<_> = ["a", "b", "c", "d", "e"].iter().zip(&full).filter(|(_, full)| !**full).collect();
    assert_eq!(there.len(), expected.len() + 1, "{there:?}");
    assert!(expected.iter().all(|(name, _)| there.iter().any(|stream| stream == *name)), "{there:?}");

    // It goes on when there is room again.
    store.close().await.unwrap();
    let store = options().open(&file).unwrap();
    store.append(large("d")).await.unwrap();
    assert_eq!(everything(&store).await.len(), there.len() + 1);
}

#[tokio::test]
async fn who_cannot_have_the_lock_in_time_is_told_that_it_is_unavailable() {
    let (_directory, file) = place();
    let store = SqliteOptions::new().busy_timeout(Duration::from_millis(1)).open(&file).unwrap();
    let held = hold(&file);
    match append(&store, 1).await {
        Err(AppendError::NotDone(fault)) => assert!(fault.is_transient(), "{fault}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(everything(&store).await.len(), 0, "reading needs no lock");
    held.execute_batch("ROLLBACK").unwrap();
    append(&store, 1).await.unwrap();
}

#[tokio::test]
async fn two_stores_on_one_file_see_each_other_s_events_before_they_decide() {
    let (_directory, file) = place();
    let stores = [SqliteStore::open(&file).unwrap(), SqliteStore::open(&file).unwrap()];
    for round in 0..20 {
        let (mine, other) = (&stores[round % 2], &stores[(round + 1) % 2]);
        let expected = if round == 0 { Condition::NoStream } else { Condition::Version(version(round)) };
        mine.append(one("a", expected)).await.unwrap();
        let conflict = other.append(one("a", expected)).await;
        assert!(matches!(&conflict, Err(AppendError::Conflict { actual: Some(at), .. }) if *at == version(round + 1)));
    }
    let positions: Vec<_> = everything(&stores[0]).await.into_iter().map(|(position, ..)| position).collect();
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
}

fn version(number: usize) -> factum::Version {
    factum::Version::new(number as u64).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_two_stores_race_and_the_log_stays_dense() {
    let (_directory, file) = place();
    let stores: Vec<_> = (0..2).map(|_| Arc::new(SqliteStore::open(&file).unwrap())).collect();
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let store = Arc::clone(&stores[writer % 2]);
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                append(&store, writer).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let all = everything(&stores[0]).await;
    assert_eq!(all.iter().map(|(position, ..)| *position).collect::<Vec<_>>(), (1..=160).collect::<Vec<_>>());
    for writer in 0..8 {
        let versions = all.iter().filter(|(_, stream, _)| *stream == writer.to_string()).map(|(.., version)| *version);
        assert_eq!(versions.collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_key_is_forgotten_when_its_time_has_passed_and_not_before() {
    let (_directory, file) = place();
    let store = SqliteOptions::new().key_retention(KeyRetention::For(Duration::ZERO)).open(&file).unwrap();
    let done = store.append(keyed("k", one("a", Condition::Any))).await.unwrap();
    assert!(!done.already);
    assert_eq!(store.outcome(&Key::new("k").unwrap()).await.unwrap(), None);
    for n in 0..5 {
        store.append(keyed(&format!("k{n}"), one("a", Condition::Any))).await.unwrap();
    }
    assert!(!store.append(keyed("k", one("a", Condition::Any))).await.unwrap().already);
    store.close().await.unwrap();
    let left: i64 =
        Connection::open(&file).unwrap().query_row("SELECT count(*) FROM keys", [], |row| row.get(0)).unwrap();
    assert!(left <= 2, "{left} keys are kept whose time has passed");

    let store = SqliteOptions::new().key_retention(KeyRetention::For(Duration::from_secs(3_600))).open(&file).unwrap();
    store.append(keyed("n", one("a", Condition::Any))).await.unwrap();
    assert!(store.append(keyed("n", one("a", Condition::Any))).await.unwrap().already);
    assert!(matches!(store.outcome(&Key::new("n").unwrap()).await.unwrap().unwrap().outcome, Outcome::Accepted { .. }));
}

#[tokio::test]
async fn an_append_whose_caller_has_gone_still_happens() {
    let (_directory, file) = place();
    let store = Arc::new(SqliteStore::open(&file).unwrap());
    let held = hold(&file);
    let caller = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(Append::to(stream("gone"), Condition::Any, vec![event()])).await }
    });
    tokio::task::yield_now().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    held.execute_batch("COMMIT").unwrap();
    store.close().await.unwrap();
    assert_eq!(everything(&SqliteStore::open(&file).unwrap()).await.len(), 1);
}
