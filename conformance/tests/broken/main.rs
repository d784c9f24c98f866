//! For each promise a store that breaks it, and the checks that must reject it; and no check that rejects nothing.

mod append;
mod bend;
mod how;
mod leases;
mod models;
mod read;
mod snapshots;
mod store;
mod table;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use factum_conformance::{Check, Fixture, check, checks};
use futures_util::FutureExt;

use how::How;
use table::{EVENTS, READ_MODELS, SEVERAL_LOGS, Table};

/// Runs a check on a broken store; what it says if it rejects it. The clock stands still, so that a check which waits
/// in vain gives up at once.
fn rejection(how: How, logs: u32, check: Check) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let fixture = store::fixture(how, logs);
        let fate = AssertUnwindSafe(check.run(&fixture)).catch_unwind().await.err()?;
        let said = fate.downcast_ref::<String>().cloned();
        Some(said.or_else(|| fate.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default())
    })
}

fn all_rejected(table: Table, logs: u32) {
    let mut passed = Vec::new();
    for (how, names) in table {
        for name in *names {
            let (suite, of_suite) = name.split_once("::").unwrap();
            match rejection(*how, logs, check(suite, of_suite)) {
                Some(said) => assert!(!said.is_empty(), "{name} rejects {how:?} without saying why"),
                None => passed.push(format!("{name} accepts a store that {how:?}")),
            }
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

#[test]
fn every_broken_store_of_events_is_rejected() {
    all_rejected(EVENTS, 1);
}

#[test]
fn every_broken_store_of_read_models_is_rejected() {
    all_rejected(READ_MODELS, 1);
}

#[test]
fn every_broken_store_with_several_logs_is_rejected() {
    all_rejected(SEVERAL_LOGS, 3);
}

#[test]
fn every_check_rejects_a_broken_store() {
    let rows = || EVENTS.iter().chain(READ_MODELS).chain(SEVERAL_LOGS);
    let rejecting: BTreeSet<_> = rows().flat_map(|(_, names)| *names).map(|name| (*name).to_owned()).collect();
    let all: BTreeSet<_> = checks().iter().map(|check| format!("{check:?}")).collect();
    assert_eq!(rejecting, all, "a check that no broken store fails could as well not be there");
    let unused: Vec<_> = How::ALL
        .iter()
        .filter(|how| **how != How::Intact && !rows().any(|(broken, names)| broken == *how && !names.is_empty()))
        .collect();
    assert!(unused.is_empty(), "nothing rejects a store that {unused:?}");
}

/// The layer that breaks one thing breaks nothing by itself.
mod intact {
    use super::*;

    mod one_log {
        use super::*;

        async fn store() -> Fixture {
            store::fixture(How::Intact, 1)
        }

        factum_conformance::suite!(store);
    }

    mod several_logs {
        use super::*;

        async fn store() -> Fixture {
            store::fixture(How::Intact, 3)
        }

        factum_conformance::suite!(store);
    }
}
