//! Tables of a store's file, driven, replayed and killed as documents are.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use factum::{EventStore, Generation};
use factum_projections::{ProjectionState, Projector, ProjectorError, ProjectorOptions, ReplayError, ReplayOptions};
use factum_sqlite::{SqlError, SqlReader, SqliteStore};
use proptest::prelude::*;
use sql_projection::{OrderEvent, Revenue, Top, record, top};

fn open(file: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(file).unwrap())
}

fn projector(store: &Arc<SqliteStore>) -> Projector {
    Projector::new(store.clone(), store.clone())
        .with_projected(store.sql_projection(Revenue).unwrap())
        .options(ProjectorOptions::new().pages(1, 7))
}

fn placed(customer: &str) -> OrderEvent {
    OrderEvent::Placed { customer: customer.to_owned() }
}

fn added(cents: i64) -> OrderEvent {
    OrderEvent::Added { product: "book".to_owned(), cents }
}

/// Every row, in an order that does not depend on how it came there.
async fn rows(store: &SqliteStore) -> Vec<String> {
    let orders = "SELECT 'order ' || id || ' ' || customer FROM orders
                  UNION ALL SELECT 'line ' || order_id || ' ' || position || ' ' || product || ' ' || cents FROM lines
                  ORDER BY 1";
    store.query(move |sql| sql.query(orders, [], |row| row.get(0))).await.unwrap()
}

/// Fails instead of hanging.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("it hangs")
}

fn history() -> impl Strategy<Value = Vec<(u8, OrderEvent)>> {
    let event = prop_oneof![(1i64..500).prop_map(added), Just(OrderEvent::Cancelled)];
    proptest::collection::vec((0u8..5, event), 0..40)
}

/// Only what an order that is there can take: a line of an order that is gone breaks its foreign key.
async fn live_through(store: &SqliteStore, history: &[(u8, OrderEvent)]) -> BTreeMap<u8, Vec<i64>> {
    let mut orders: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
    for (order, event) in history {
        let mut events = Vec::new();
        let lines = orders.entry(*order).or_insert_with(|| {
            events.push(placed(&format!("customer {}", order % 2)));
            Vec::new()
        });
        events.push(event.clone());
        match event {
            OrderEvent::Added { cents, .. } => lines.push(*cents),
            _ => drop(orders.remove(order)),
        }
        record(store, &order.to_string(), &events).await.unwrap();
    }
    orders
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// `replay-equals-live`, and both are what the plainest fold makes of the events.
    #[test]
    fn replay_equals_live(history in history(), page in 1usize..9) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let store = open(&directory.path().join("shop.db"));
            let orders = live_through(&store, &history).await;
            let projector = projector(&store);
            projector.catch_up_one("revenue").await.unwrap();
            let live = rows(&store).await;
            let expected: usize = orders.values().map(|lines| 1 + lines.len()).sum();
            prop_assert_eq!(live.len(), expected);
            let cents: i64 = orders.values().flatten().sum();
            prop_assert_eq!(top(&store, 10).await.unwrap().iter().map(|top| top.cents).sum::<i64>(), cents);
            let options = ReplayOptions::new().page_events(page);
            let report = projector.replay("revenue", options, |_| {}).await.unwrap();
            prop_assert_eq!(report.generation, Generation(2));
            prop_assert_eq!(rows(&store).await, live);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn tables_show_what_was_waited_for_and_status_says_how_far_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("shop.db"));
    let projector = projector(&store);
    assert_eq!(projector.status_of("revenue").await.unwrap().state, ProjectionState::New);
    let written = record(&*store, "1", &[placed("Jana"), added(500)]).await.unwrap();
    soon(projector.wait_for("revenue", &written)).await.unwrap();
    assert_eq!(top(&store, 5).await.unwrap(), [Top { customer: "Jana".to_owned(), cents: 500 }]);
    let status = projector.status_of("revenue").await.unwrap();
    assert_eq!((status.state, status.lag, status.generation), (ProjectionState::Live, Some(0), Some(Generation(1))));
    assert_eq!(status.checkpoint, written);
}

#[tokio::test]
async fn a_halt_is_shown_with_its_event_and_a_replay_that_halts_leaves_what_serves() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory.path().join("shop.db"));
    let projector = projector(&store);
    record(&*store, "1", &[placed("Jana"), added(500)]).await.unwrap();
    // A line of an order that was never placed: the foreign key refuses it.
    let written = record(&*store, "2", &[added(7)]).await.unwrap();
    let error = soon(projector.wait_for("revenue", &written)).await.unwrap_err();
    let ProjectorError::Halted { failure, .. } = &error else { panic!("{error:?}") };
    assert_eq!((failure.position.get(), failure.stream.name()), (3, "order-2"));
    assert!(failure.cause.contains("FOREIGN KEY"), "{}", failure.cause);
    let status = self::projector(&store).status_of("revenue").await.unwrap();
    assert_eq!((status.state, status.checkpoint.to_string()), (ProjectionState::Halted, "2".to_owned()));
    assert_eq!(status.failure.as_ref(), Some(&**failure));

    let replay = projector.replay("revenue", ReplayOptions::new(), |_| {}).await.unwrap_err();
    assert!(matches!(replay, ReplayError::Halted { .. }), "{replay:?}");
    let status = projector.status_of("revenue").await.unwrap();
    assert_eq!((status.generation, status.building.unwrap().checkpoint.to_string()), (Some(Generation(1)), "2".into()));
    assert_eq!(top(&store, 5).await.unwrap()[0].cents, 500);
}

/// What is in the way of a line is removed by hand, and whoever runs the projection goes on where it stands.
#[tokio::test]
async fn tables_that_halted_go_on_after_a_resume_by_another_process() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    let (store, other) = (open(&file), open(&file));
    let (runner, operator) = (projector(&store), projector(&other));
    record(&*store, "1", &[placed("Jana")]).await.unwrap();
    let written = record(&*store, "2", &[added(7)]).await.unwrap();
    let error = soon(runner.wait_for("revenue", &written)).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    let halted = operator.status_of("revenue").await.unwrap();
    assert_eq!(halted.state, ProjectionState::Halted);

    // Nothing was mended: it halts at the same event.
    assert_eq!(operator.resume("revenue").await.unwrap().failures, halted.failure.into_iter().collect::<Vec<_>>());
    assert_eq!(operator.status_of("revenue").await.unwrap().failure, None, "a resume does not drive it");
    let error = soon(runner.wait_for("revenue", &written)).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");

    // The parent that its foreign key looks for.
    let by_hand = rusqlite::Connection::open(&file).unwrap();
    by_hand.execute("INSERT INTO orders VALUES ('2', 'Petr')", []).unwrap();
    assert_eq!(operator.resume("revenue").await.unwrap().failures.len(), 1);
    soon(runner.wait_for("revenue", &written)).await.unwrap();
    assert_eq!(top(&store, 5).await.unwrap()[0], Top { customer: "Petr".to_owned(), cents: 7 });
    let status = operator.status_of("revenue").await.unwrap();
    assert_eq!((status.state, status.failure, status.checkpoint), (ProjectionState::Live, None, written));
    assert!(operator.resume("revenue").await.unwrap().failures.is_empty());
}

/// Whoever takes its lease raises the epoch of the tables once, in whichever store the lease lies.
#[tokio::test]
async fn a_lease_in_another_store_raises_the_epoch_of_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    for apart in [false, true] {
        let file = directory.path().join(format!("shop-{apart}.db"));
        let store = open(&file);
        let leases = if apart { open(&directory.path().join("leases.db")) } else { store.clone() };
        let epoch = || {
            let conn = rusqlite::Connection::open(&file).unwrap();
            conn.query_row("SELECT epoch FROM checkpoints", [], |row| row.get::<_, i64>(0)).unwrap()
        };
        for taking in 1..=3 {
            let written = record(&*store, &taking.to_string(), &[placed("Jana"), added(1)]).await.unwrap();
            let process = Projector::new(store.clone(), leases.clone());
            let process = process.with_projected(store.sql_projection(Revenue).unwrap());
            soon(process.wait_for("revenue", &written)).await.unwrap();
            assert_eq!(epoch(), taking, "leases apart: {apart}");
        }
    }
}

/// Where it is set, the test below is the process that is killed.
const FILE: &str = "FACTUM_SQL_PROJECTION_FILE";
const KILLED: &str = "each_event_is_in_the_tables_once_after_kills";

/// What the killed process does: orders, tables and replays without end.
async fn run_until_killed(file: &str) {
    let store = open(Path::new(file));
    let (driving, replaying) = (projector(&store), projector(&store));
    tokio::spawn(async move { driving.run(std::future::pending()).await });
    tokio::spawn(async move {
        loop {
            replaying.replay("revenue", ReplayOptions::new().page_events(3), |_| {}).await.unwrap();
        }
    });
    for order in 0.. {
        let id = format!("{}-{order}", std::process::id());
        record(&*store, &id, &[placed("Jana"), added(1)]).await.unwrap();
        println!("answered");
    }
}

/// `exactly-once-read-model`: whatever a process was doing when it was killed, what it left is whole.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_the_tables_once_after_kills() {
    if let Ok(file) = std::env::var(FILE) {
        return run_until_killed(&file).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    for orders in [3, 20, 45] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", KILLED, "--nocapture"])
            .env(FILE, &file)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let answered = lines.map(Result::unwrap).filter(|line| line == "answered").take(orders).count();
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success() && answered == orders, "it was not killed");

        let store = open(&file);
        let projector = projector(&store);
        let checkpoint = store.query(|sql| Ok((sql.checkpoint("revenue", 1)?, count(sql)?)));
        // As it was left: exactly what the checkpoint says, if it came so far as to make its tables.
        if let Ok((Some(reached), rows)) = checkpoint.await {
            assert_eq!(rows, reached.get(factum::LogId::FIRST).get());
        }
        let head = soon(projector.catch_up_one("revenue")).await.unwrap();
        let rows_now = store.query(count).await.unwrap();
        assert_eq!(rows_now, head.get(factum::LogId::FIRST).get(), "each event makes one row");
        soon(projector.replay("revenue", ReplayOptions::new(), |_| {})).await.unwrap();
        assert_eq!(store.query(count).await.unwrap(), rows_now);
        store.close().await.unwrap();
    }
}

fn count(sql: &SqlReader<'_>) -> Result<u64, SqlError> {
    let rows = "SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM lines)";
    Ok(sql.query_one(rows, [], |row| row.get::<_, i64>(0))?.map_or(0, |rows| u64::try_from(rows).unwrap()))
}

/// `exactly-once-read-model`: runners, waiters and replays in two processes' stores on one file.
#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_in_the_tables_once_while_workers_race_and_replays_switch() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shop.db");
    let (store, other) = (open(&file), open(&file));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let runners: Vec<_> = [&store, &other, &store]
        .map(|store| {
            let (projector, mut stopped) = (projector(store), stopped.clone());
            tokio::spawn(async move { projector.run(async move { drop(stopped.wait_for(|stop| *stop).await) }).await })
        })
        .into();
    let replaying = projector(&other);
    let writer = async {
        for order in 0..60 {
            record(&*store, &order.to_string(), &[placed("Jana"), added(1), added(2)]).await.unwrap();
        }
    };
    let replays = async {
        for _ in 0..4 {
            replaying.replay("revenue", ReplayOptions::new().page_events(20), |_| {}).await.unwrap();
        }
    };
    soon(async { tokio::join!(writer, replays) }).await;
    let head = store.head().await.unwrap();
    soon(projector(&store).wait_for("revenue", &head)).await.unwrap();
    stop.send_replace(true);
    for runner in runners {
        soon(runner).await.unwrap().unwrap();
    }
    assert_eq!(top(&store, 5).await.unwrap(), [Top { customer: "Jana".to_owned(), cents: 180 }]);
    assert_eq!(rows(&store).await.len(), 60 * 3);
    assert_eq!(projector(&store).status_of("revenue").await.unwrap().generation, Some(Generation(5)));
}
