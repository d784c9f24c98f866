//! `docs/metrics.md` lists what is recorded, all of it and nothing else; the alerts are about nothing else either.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use factum::{EventStore, ReadModelStore, Repository};
use factum_memory::MemoryStore;
use factum_postgres::PostgresStore;
use factum_postgres_server::Server;
use factum_projections::{ProjectionStatus, Projector, ProjectorOptions, ReplayOptions};
use factum_sqlite::SqliteStore;
use metrics_example::{Room, Warmth};
use metrics_exporter_prometheus::PrometheusBuilder;

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// Names with their kinds, as the table has them.
fn table() -> BTreeMap<String, String> {
    let page = page("metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `factum_"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>());
    cells.map(|cells| (cells[1].clone(), cells[2].clone())).collect()
}

/// Every kind of thing that is measured happens at least once.
async fn workload(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>) {
    tokio::time::timeout(Duration::from_secs(60), work(store, read_models)).await.expect("it hangs");
}

async fn work(store: Arc<dyn EventStore>, read_models: Arc<dyn ReadModelStore>) {
    let rooms = || Repository::<Room>::new(store.clone());
    let projector = || {
        let options = ProjectorOptions::new().poll_every(Duration::from_millis(1));
        Projector::new(store.clone(), read_models.clone()).with(Warmth).options(options)
    };
    let (one, other) = (rooms(), rooms());
    for n in 0..20 {
        // Two processes on one room: where appending takes time, one of the two decides again.
        let (a, b) = tokio::join!(one.execute("hall", n), other.execute("hall", n));
        assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    }
    one.execute("hall", -5_000).await.unwrap_err();

    let (runner, other) = (projector(), projector());
    let until = async |what: fn(&ProjectionStatus) -> bool| {
        while !what(&other.status_of("warmth").await.unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    let script = async {
        until(|status| status.lag == Some(0)).await;
        // Who holds a page of a generation that another has replaced is overtaken.
        other.replay("warmth", ReplayOptions::new(), |_| {}).await.unwrap();
        one.execute("hall", 200).await.unwrap();
        until(|status| status.lag == Some(0)).await;
        // A fire halts it, which its runner tells.
        one.execute("hall", 9_000).await.unwrap();
        until(|status| status.failure.is_some()).await;
    };
    runner.run(script).await.unwrap();
}

#[tokio::test]
async fn the_table_lists_what_is_recorded() {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let memory = Arc::new(MemoryStore::new());
    workload(memory.clone(), memory).await;
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Arc::new(SqliteStore::open(folder.path().join("rooms.db")).unwrap());
    workload(sqlite.clone(), sqlite).await;
    if let Some(server) = Server::for_test() {
        let database = server.database("metrics", |url| async move { PostgresStore::migrate(&url).await }).await;
        let database = database.unwrap_or_else(|error| panic!("{error}"));
        let postgres = Arc::new(PostgresStore::connect(&database.url()).await.unwrap());
        workload(postgres.clone(), postgres).await;
    }

    let text = recorder.render();
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).filter_map(|line| line.split_once(' '));
    let recorded: BTreeMap<String, String> = kinds
        .map(|(name, kind)| (name.to_owned(), if kind == "summary" { "histogram" } else { kind }.to_owned()))
        .collect();
    assert_eq!(recorded, table(), "left is what was recorded, right what docs/metrics.md lists");

    let lag = text.lines().find(|line| line.starts_with("factum_projection_lag_events{")).unwrap();
    assert!(lag.ends_with(" 1"), "one event was not taken: {lag}");
    let halted = "factum_projection_state{projection=\"warmth\",state=\"halted\"} 1";
    assert!(text.contains(halted), "{text}");
}

#[test]
fn the_alerts_are_about_metrics_of_the_table() {
    let (table, alerts) = (table(), page("alerts.yml"));
    let words =
        alerts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("factum_"));
    let names: BTreeSet<_> = words
        .map(|word| ["_sum", "_count", "_bucket"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word))
        .collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(table.contains_key(name), "an alert is about {name}, which is not in the table");
    }
}
