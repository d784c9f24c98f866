//! What is committed in place and what is not, and that it is told, refused and harmed as on the thread.

use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::time::Duration;

use factum::{
    Append, AppendError, Condition, EventStore, EventType, FaultKind, LogId, NewEvent, Position, ReadLog, StreamId,
};
use factum_conformance::Fixture;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::inside::{Inside, Proof};
use crate::job::Failed;
use crate::pace::Bounds;
use crate::{SqliteOptions, SqliteStore, Synchronous};

/// A store for which every commit is short: these tests are not about time.
fn timeless(file: &Path, options: SqliteOptions, alone: u32) -> SqliteStore {
    let store = options.open(file).unwrap();
    let bounds = Bounds { alone, short: Duration::MAX, too_long: Duration::MAX };
    store.writer.shared.pen().as_mut().unwrap().pace.bounds = bounds;
    store
}

fn open(options: SqliteOptions) -> (TempDir, Arc<SqliteStore>) {
    let directory = tempfile::tempdir().unwrap();
    let store = timeless(&directory.path().join("bank.db"), options, 8);
    (directory, Arc::new(store))
}

/// How many transactions were committed in place, and how many at all.
fn counts(store: &SqliteStore) -> (u64, u64) {
    store.writer.shared.pen().as_ref().unwrap().pace.counts
}

fn in_place_is_next(store: &SqliteStore) -> bool {
    store.writer.shared.pen().as_ref().unwrap().pace.in_place()
}

fn of_size(bytes: usize) -> Append {
    let payload = format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
    let event = NewEvent::new(EventType::new("Noted").unwrap(), payload);
    Append::to(StreamId::new("account-1").unwrap(), Condition::Any, vec![event])
}

async fn append(store: &SqliteStore) {
    store.append(of_size(10)).await.unwrap();
}

/// Appends, one after the other, until the next one may be committed in place.
async fn be_alone(store: &SqliteStore) {
    for _ in 0..1_000 {
        append(store).await;
        if in_place_is_next(store) {
            return;
        }
    }
    panic!("nobody else writes, and nothing is committed in place");
}

async fn polled_once<T>(what: &mut Pin<Box<impl Future<Output = T> + ?Sized>>) -> Option<T> {
    std::future::poll_fn(|context| match what.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Returns once so many wait for the thread, or are done by it at the moment.
async fn sent(store: &SqliteStore, jobs: usize) {
    let sent = async {
        while store.writer.shared.under_way.load(Ordering::SeqCst) < jobs {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sent).await.expect("they are not left to the thread");
}

/// Polls all of them within one task until all are done.
async fn all<T>(what: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = what.into_iter().map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut running {
            if let Some(polled) = future
                && let Poll::Ready(answer) = polled.as_mut().poll(context)
            {
                (*future, *done) = (None, Some(answer));
            }
        }
        if running.iter().all(|(future, _)| future.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().map(|(_, done)| done.unwrap()).collect()
}

/// `dense-positions`: that many events, and no gap.
async fn assert_dense(store: &SqliteStore, events: usize) {
    let (mut positions, mut after) = (Vec::new(), Position::START);
    loop {
        let page = store.read_log(ReadLog::after(LogId::FIRST, after)).await.unwrap();
        positions.extend(page.events.iter().map(|event| event.position.get()));
        match page.reached {
            Some(reached) if !page.end => after = reached.position,
            _ => break,
        }
    }
    assert_eq!(positions, (1..=events as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_appends_alone_commits_in_place_all_but_every_thirty_second() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let before = counts(&store);
    for _ in 0..320 {
        append(&store).await;
    }
    let after = counts(&store);
    let (in_place, at_all) = (after.0 - before.0, after.1 - before.1);
    assert_eq!(at_all, 320);
    assert!((1..=310).contains(&in_place), "{in_place} of 320 in place");
    assert_dense(&store, usize::try_from(after.1).unwrap()).await;
}

/// What the runtime cannot spare a thread for, what is large, and what its owner does not want is left to the thread.
#[test]
fn in_place_only_where_the_runtime_can_spare_a_thread() {
    let hundred = |runtime: tokio::runtime::Runtime, options: SqliteOptions, bytes| {
        let (_directory, store) = open(options);
        runtime.block_on(async {
            for _ in 0..100 {
                store.append(of_size(bytes)).await.unwrap();
            }
            // A round trip through the thread: it is done with the last one.
            store.writer.submit::<(), AppendError, _>(0, |_| Ok(())).await.unwrap();
        });
        counts(&store).0
    };
    let threads = |number| tokio::runtime::Builder::new_multi_thread().worker_threads(number).build().unwrap();
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(hundred(one, SqliteOptions::new(), 10), 0, "one thread runs everything");
    assert_eq!(hundred(threads(1), SqliteOptions::new(), 10), 0, "one thread runs everything");
    assert_eq!(hundred(threads(2), SqliteOptions::new().commit_in_place(false), 10), 0, "switched off");
    assert_eq!(hundred(threads(2), SqliteOptions::new(), 65 << 10), 0, "large");
    assert!(hundred(threads(2), SqliteOptions::new(), 10) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_appends_are_committed_in_place() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let before = counts(&store).0;
    for _ in 0..40 {
        let thread = store.writer.submit::<_, AppendError, _>(0, |_| Ok(std::thread::current().id())).await.unwrap();
        assert_ne!(thread, std::thread::current().id());
    }
    assert_eq!(counts(&store).0, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_committed_in_place_wakes_who_listens() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    // The bell itself: behind `wakeups` the file is looked at, too.
    let mut wakeups = store.writer.shared.pen().as_ref().unwrap().bell.wakeups();
    let before = counts(&store).0;
    append(&store).await;
    assert_eq!(counts(&store).0, before + 1, "it was not in place");
    let woken = polled_once(&mut Box::pin(wakeups.changed())).await;
    woken.expect("nobody was woken").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_the_file_locked_waits_without_holding_its_thread() {
    let (_directory, store) = open(SqliteOptions::new().busy_timeout(Duration::from_secs(60)));
    be_alone(&store).await;
    let events = usize::try_from(counts(&store).1).unwrap();
    let held = Connection::open(store.file()).unwrap();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waits = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(of_size(10)).await }
    });
    sent(&store, 1).await;
    held.execute_batch("COMMIT").unwrap();
    waits.await.unwrap().unwrap();
    assert!(!in_place_is_next(&store), "another process writes");
    assert_dense(&store, events + 1).await;
    be_alone(&store).await;
}

/// Each of them ends within its poll as long as it is committed in place, so that they look like one caller who is alone:
/// all of them were transactions of their own, and a batch took as long as its appends one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_appends_of_one_task_soon_share_transactions() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let before = counts(&store).1;
    let (go, wait) = mpsc::channel::<()>();
    let (wait, caller) = (Arc::new(Mutex::new(wait)), std::thread::current().id());
    let one = |_| {
        let wait = Arc::clone(&wait);
        store.writer.append(0, move |inside: &mut Inside<'_>| {
            if std::thread::current().id() != caller {
                // The thread goes on once all were polled, however quick it is.
                let _ = wait.lock().unwrap().recv();
            }
            crate::append::append(inside, &of_size(10), None)
        })
    };
    // Polled by this thread alone, all in one go.
    let mut together = Box::pin(tokio::task::unconstrained(all((0..320).map(one))));
    assert!(polled_once(&mut together).await.is_none(), "none was left to the thread");
    drop(go);
    assert!(together.await.iter().all(Result::is_ok));
    let transactions = counts(&store).1 - before;
    assert!(transactions <= 31 + 2, "{transactions} transactions for 320 appends");
    assert_dense(&store, usize::try_from(before).unwrap() + 320).await;
}

/// Holds what is committed in place until the sender is dropped.
fn held_in_place(
    store: &Arc<SqliteStore>,
) -> (tokio::task::JoinHandle<Result<(), AppendError>>, mpsc::Receiver<bool>, mpsc::Sender<()>) {
    let (begins, begun) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let store = Arc::clone(store);
    let task = tokio::spawn(async move {
        let polled_by = std::thread::current().id();
        let work = move |_: &mut Inside<'_>| {
            let _ = begins.send(std::thread::current().id() == polled_by);
            let _ = wait.recv();
            Ok(())
        };
        store.writer.append(0, work).await
    });
    (task, begun, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_waits_for_a_commit_in_place_and_closes_the_connection() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let (held, begun, go) = held_in_place(&store);
    assert!(begun.recv().unwrap(), "it is not in place");
    let mut closes = Box::pin(store.close());
    for _ in 0..100 {
        assert!(polled_once(&mut closes).await.is_none(), "closed while somebody commits");
        tokio::task::yield_now().await;
    }
    drop(go);
    closes.await.unwrap();
    held.await.unwrap().unwrap();
    assert!(store.writer.shared.pen().is_none());
    assert!(!crate::schema::beside(store.file(), "-wal").exists(), "a connection is left open");
    match store.append(of_size(10)).await {
        Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::Closed),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_during_a_commit_in_place_is_served_by_the_thread_after_it() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let (held, begun, go) = held_in_place(&store);
    assert!(begun.recv().unwrap(), "it is not in place");
    let mut comes = store.append(of_size(10));
    assert!(polled_once(&mut comes).await.is_none());
    drop(go);
    comes.await.unwrap();
    held.await.unwrap().unwrap();
    assert!(!in_place_is_next(&store), "two are not alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_a_transaction_after_one_in_place() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let before = counts(&store).1;
    let (held, begun, go) = held_in_place(&store);
    assert!(begun.recv().unwrap(), "it is not in place");
    let one = |_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&store).await })
    };
    let tasks: Vec<_> = (0..64).map(one).collect();
    sent(&store, 64).await;
    drop(go);
    for task in tasks {
        task.await.unwrap();
    }
    held.await.unwrap().unwrap();
    assert_eq!(counts(&store).1 - before, 2, "transactions");
    assert_dense(&store, usize::try_from(before).unwrap() + 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_unharmed_by_a_panic_in_place() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let events = usize::try_from(counts(&store).1).unwrap();
    let told = store.writer.append::<(), _>(0, |inside| {
        crate::append::append(inside, &of_size(10), None).map(drop)?;
        panic!("a test ends this append");
    });
    match told.await {
        Err(AppendError::Unknown(fault)) => assert_eq!(fault.kind(), FaultKind::Closed),
        other => panic!("{other:?}"),
    }
    let other = Connection::open(store.file()).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; ROLLBACK").expect("its transaction is still open");
    append(&store).await;
    assert_dense(&store, events + 1).await;
    be_alone(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_place_is_told_as_on_the_thread() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    let events = usize::try_from(counts(&store).1).unwrap();
    let before = counts(&store).0;
    let fails = store.writer.append::<(), _>(0, |inside| {
        crate::append::append(inside, &of_size(10), None).map(drop)?;
        Err(Failed::Sqlite(inside.conn.execute_batch("INSERT INTO nowhere VALUES (1)").unwrap_err()))
    });
    assert!(matches!(fails.await, Err(AppendError::NotDone(_))));
    assert_eq!(counts(&store).0, before + 1, "it was not in place");
    append(&store).await;
    assert_dense(&store, events + 1).await;

    be_alone(&store).await;
    let before = counts(&store).0;
    let breaks = store.writer.append::<(), _>(0, |inside| {
        // Commits behind the store's back, and takes away what could tell.
        inside.proof = Some(Proof::Event { position: 1, id: [0; 16] });
        inside.conn.execute_batch("COMMIT; ALTER TABLE events RENAME TO elsewhere")?;
        Ok(())
    });
    assert!(matches!(breaks.await, Err(AppendError::Unknown(_))));
    assert_eq!(counts(&store).0, before + 1, "it was not in place");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_dropped_generation_are_swept_before_more_is_committed_in_place() {
    let (_directory, store) = open(SqliteOptions::new());
    be_alone(&store).await;
    store.writer.shared.pen().as_mut().unwrap().known.to_sweep = true;
    let before = counts(&store).0;
    append(&store).await;
    assert_eq!(counts(&store).0, before);
    be_alone(&store).await;
}

/// The log is moved into the file by the thread alone: it must get to it often enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_beside_the_file_does_not_grow_while_one_appends_alone() {
    let (_directory, store) = open(SqliteOptions::new().synchronous(Synchronous::Normal));
    be_alone(&store).await;
    let before = counts(&store).0;
    for _ in 0..1_000 {
        store.append(of_size(30_000)).await.unwrap();
    }
    assert!(counts(&store).0 - before > 500, "not in place");
    let log = crate::schema::size(&crate::schema::beside(store.file(), "-wal"));
    assert!(log < 20 << 20, "{log} bytes of 30 million that were written");
}

fn fixture(file: std::path::PathBuf) -> Fixture {
    let store = timeless(&file, SqliteOptions::new(), 0);
    Fixture::new(Arc::new(store)).with_reopen(move || {
        let file = file.clone();
        async move { fixture(file) }
    })
}

/// A store that commits in place whenever nobody else writes.
async fn eager() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    fixture(directory.path().join("bank.db")).keep(directory)
}

factum_conformance::suite!(eager);
