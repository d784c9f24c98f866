//! The suites that every store must pass, on a file.

use std::path::PathBuf;
use std::sync::Arc;

use factum_conformance::Fixture;
use factum_sqlite::SqliteStore;

fn fixture(file: PathBuf) -> Fixture {
    let store = SqliteStore::open(&file).unwrap_or_else(|error| panic!("{error}"));
    Fixture::new(Arc::new(store)).with_reopen(move || {
        let file = file.clone();
        async move { fixture(file) }
    })
}

async fn one_file() -> Fixture {
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    fixture(directory.path().join("bank.db")).keep(directory)
}

factum_conformance::suite!(one_file);
