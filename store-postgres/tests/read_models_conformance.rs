//! The promises of the port to read models, on PostgreSQL: directly, and behind a pooler that hands out connections by
//! transaction.

mod common;

use std::sync::Arc;

use factum_conformance::{Fixture, checks};
use factum_postgres::PostgresOptions;

const SUITES: [&str; 5] = ["commits", "documents", "finding", "generations", "history"];

async fn keeps_every_promise(options: PostgresOptions) {
    let mut done = 0;
    for check in checks().into_iter().filter(|check| SUITES.contains(&check.suite())) {
        let Some(place) = common::place().await else { return };
        let store = Arc::new(options.connect(&place.url()).await.unwrap_or_else(|error| panic!("{error}")));
        let fixture = Fixture::events_only(store.clone()).with_read_models(store).keep(place.database);
        let name = format!("{check:?}");
        if let Err(error) = tokio::spawn(async move { check.run(&fixture).await }).await {
            panic!("{name}: {error}");
        }
        done += 1;
    }
    assert!(done > 48, "only {done} checks were run");
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_keep_every_promise() {
    keeps_every_promise(PostgresOptions::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_keep_every_promise_without_prepared_statements() {
    keeps_every_promise(PostgresOptions::new().transaction_pooler()).await;
}
