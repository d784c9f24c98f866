//! The suites that every store must pass, on a database.

mod common;

use std::pin::Pin;
use std::sync::Arc;

use common::{Place, place};
use factum_conformance::Fixture;
use factum_postgres::PostgresStore;

fn fixture(url: String) -> Pin<Box<dyn Future<Output = Fixture> + Send>> {
    Box::pin(async move {
        let store = PostgresStore::connect(&url).await.unwrap_or_else(|error| panic!("{error}"));
        Fixture::events_only(Arc::new(store)).with_reopen(move || fixture(url.clone()))
    })
}

async fn one_database() -> Option<Fixture> {
    let Place { database } = place().await?;
    Some(fixture(database.url()).await.keep(database))
}

factum_conformance::suite!(one_database);
