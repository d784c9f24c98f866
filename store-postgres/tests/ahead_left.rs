//! What is read ahead for somebody who does not come for it: it ends with its reader, its store and its runtime, wherever these
//! are dropped.

mod common;

use std::sync::Arc;

use common::{Place, between, in_time, pass_on, place, until};
use factum::{EventStore, LogId, PageLimit, Position, ReadLog};
use factum_postgres::PostgresStore;
use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

const EVENTS: u64 = 30_000;
const PAGE: usize = 100;
/// More than a connection holds.
const LARGE: usize = 500;

async fn filled() -> Option<Place> {
    let place = place().await?;
    place
        .execute(
            "INSERT INTO factum.events
             SELECT n, (n - 1) / 10 + 1, now(), NULL, gen_random_uuid(), 1, '', 'account', 'account-' || n % 10, 'Deposited', NULL,
               NULL, to_json(repeat('x', 500))
             FROM generate_series(1, 30000) n;
             ANALYZE",
        )
        .await;
    Some(place)
}

/// Ends when no session of another is in the middle of a statement.
async fn until_nothing_is_open(place: &Place) {
    let mut conn = place.connection().await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND (state <> 'idle' OR backend_xmin IS NOT NULL) AND backend_type = 'client backend'";
    until(&mut conn, open, |open| open == 0).await;
}

fn read_after(after: Position, events: usize) -> ReadLog {
    ReadLog::after(LogId::FIRST, after).limit(PageLimit::events(events))
}

/// Reads so many pages, and says how far it came.
async fn pages(store: &PostgresStore, mut after: Position, pages: usize, events: usize) -> Position {
    for _ in 0..pages {
        let page = in_time(store.read_log(read_after(after, events))).await.unwrap();
        let positions = page.events.iter().map(|event| event.position.get());
        assert!(positions.eq(after.get() + 1..=after.get() + page.events.len() as u64), "after {after}");
        after = page.reached.map_or(after, |reached| reached.position);
    }
    after
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A connection that was dropped where no runtime is panicked in the driver.
#[test]
fn a_store_may_be_dropped_outside_of_its_runtime() {
    let runtime = multi_thread();
    let Some(place) = runtime.block_on(filled()) else { return };
    let store = runtime.block_on(async {
        let store = place.store().await;
        pages(&store, Position::START, 60, PAGE).await;
        store
    });
    drop(store);
    runtime.block_on(until_nothing_is_open(&place));
}

/// What one runtime has begun was read on in the next, where its timers panicked; and what was left lying there stayed open.
#[test]
fn a_reader_goes_on_in_another_runtime_and_leaves_nothing_in_the_one_that_ended() {
    let lasting = multi_thread();
    let Some(place) = lasting.block_on(filled()) else { return };
    let store: Arc<PostgresStore> = lasting.block_on(place.store());
    let mut after = Position::START;
    for _ in 0..6 {
        let short = Builder::new_current_thread().enable_all().build().unwrap();
        after = short.block_on(pages(&store, after, 40, PAGE));
        drop(short);
    }
    assert_eq!(after, Position::new(6 * 40 * PAGE as u64));
    lasting.block_on(async {
        until_nothing_is_open(&place).await;
        assert_eq!(pages(&store, after, 61, PAGE).await, Position::new(EVENTS));
        in_time(store.close()).await.unwrap();
    });
}

/// A store to which comes no more than its connection holds for as long as the test keeps the only thread to itself: a task
/// passes on what its server sends. Otherwise one that keeps up leaves no read lying.
async fn behind_a_task(place: &Place) -> Option<(Arc<PostgresStore>, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let (listener, server, url) = between(&place.url(), folder.path())?;
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            pass_on(client, &server).await;
        }
    });
    Some((Arc::new(PostgresStore::connect(&url).await.unwrap()), folder))
}

/// As `select!` does with a branch that takes long. Its statement stayed open for as long as it lay there.
#[tokio::test]
async fn a_read_that_is_left_lying_holds_no_statement_open_and_goes_on_where_it_was() {
    let Some(place) = filled().await else { return };
    let Some((store, _folder)) = behind_a_task(&place).await else { return };
    let (mut lain, mut after) = (0, Position::START);
    for _ in 0..12 {
        after = pages(&store, after, 3, LARGE).await;
        let mut lying = store.read_log(read_after(after, LARGE));
        let page = match (&mut lying).now_or_never() {
            Some(page) => page,
            None => {
                lain += 1;
                until_nothing_is_open(&place).await;
                in_time(lying).await
            }
        };
        let page = page.unwrap();
        assert_eq!(page.events.first().map(|event| event.position.get()), Some(after.get() + 1));
        after = page.reached.unwrap().position;
    }
    assert!(lain > 0, "all pages were there at once");
    assert_eq!(pages(&store, after, 13, LARGE).await, Position::new(EVENTS));
}

#[tokio::test]
async fn a_store_is_closed_while_a_read_is_left_lying() {
    let Some(place) = filled().await else { return };
    let Some((store, _folder)) = behind_a_task(&place).await else { return };
    let mut after = pages(&store, Position::START, 8, LARGE).await;
    let mut lying = store.read_log(read_after(after, LARGE));
    while (&mut lying).now_or_never().is_some() {
        after = Position::new(after.get() + LARGE as u64);
        lying = store.read_log(read_after(after, LARGE));
    }
    in_time(store.close()).await.unwrap();
    drop(lying);
}
