//! One store of each kind, opened in the test's own process.

use std::sync::Arc;
use std::time::Duration;

use factum::{EventStore, ReadModelStore};
use factum_memory::MemoryStore;
use factum_postgres::PostgresOptions;
use factum_postgres_server::Server;
use factum_sqlite::SqliteStore;

async fn soon(future: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(300), future).await.expect("it hangs");
}

pub(crate) async fn in_memory<F: Future<Output = ()>>(
    scenario: impl FnOnce(Arc<dyn EventStore>, Arc<dyn ReadModelStore>) -> F,
) {
    let store = Arc::new(MemoryStore::new());
    soon(scenario(store.clone(), store)).await;
}

pub(crate) async fn on_sqlite<F: Future<Output = ()>>(
    scenario: impl FnOnce(Arc<dyn EventStore>, Arc<dyn ReadModelStore>) -> F,
) {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(folder.path().join("meters.db")).unwrap());
    soon(scenario(store.clone(), store)).await;
}

/// Nothing where there is no server.
pub(crate) async fn on_postgres<F: Future<Output = ()>>(
    scenario: impl FnOnce(Arc<dyn EventStore>, Arc<dyn ReadModelStore>) -> F,
) {
    on_postgres_with(PostgresOptions::new(), scenario).await;
}

pub(crate) async fn on_postgres_with<F: Future<Output = ()>>(
    options: PostgresOptions,
    scenario: impl FnOnce(Arc<dyn EventStore>, Arc<dyn ReadModelStore>) -> F,
) {
    let Some(server) = Server::for_test() else { return };
    let database = server.empty_database().await.unwrap();
    options.migrate(&database.url()).await.unwrap();
    let store = Arc::new(options.connect(&database.url()).await.unwrap());
    soon(scenario(store.clone(), store)).await;
}
