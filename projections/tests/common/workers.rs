//! Workers that run side by side, each as a process would.

#![allow(dead_code, unreachable_pub)] // Each test file uses a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use factum::{LeaseHolder, LeaseName, ProjectionName, ProjectionVersion, ReadModelStore, Recorded, Tenant};
use factum_memory::MemoryStore;
use factum_projections::{Keys, Projection, ProjectionResult, Projector, ProjectorOptions};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::common::*;

/// Takes over after a third of a second.
pub fn quick() -> ProjectorOptions {
    ProjectorOptions::new().lease_time(Duration::from_millis(300)).poll_every(Duration::from_millis(50)).pages(1, 4)
}

/// So many projections with a name of their own each, all of them [`Turnover`].
macro_rules! projections {
    ($($name:ident $text:literal)*) => {
        $(pub struct $name;
        impl Projection for $name {
            const NAME: &'static str = $text;
            type Event = AccountEvent;
            type Document = Balance;
            fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
                Projection::keys(&Turnover::<5>, event, keys);
            }
            fn apply(&self, key: &str, turnover: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
                Projection::apply(&Turnover::<5>, key, turnover, event);
            }
        })*
        pub const NAMES: &[&str] = &[$($text),*];
        pub fn all(store: &Arc<MemoryStore>) -> Projector {
            Projector::new(store.clone(), store.clone()).options(quick())$(.with($name))*
        }
    };
}

projections! { A "a" B "b" C "c" D "d" E "e" F "f" }

/// A worker that runs in a task of its own; dropping it kills it, as a process is killed.
pub struct Worker {
    pub projector: Projector,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Vec<ProjectionResult>>,
}

impl Worker {
    pub fn start(projector: Projector) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn({
            let projector = projector.clone();
            async move { projector.run(async { drop(stopped.await) }).await.unwrap() }
        });
        Self { projector, stop: Some(stop), running }
    }

    pub fn holder(&self) -> LeaseHolder {
        self.projector.holder().clone()
    }

    pub async fn kill(self) {
        self.running.abort();
        drop(self.running.await);
    }

    pub async fn end(mut self) -> Vec<ProjectionResult> {
        drop(self.stop.take());
        soon(self.running).await.unwrap()
    }
}

pub fn lease_of(name: &str) -> LeaseName {
    LeaseName::projection(&ProjectionName::new(name).unwrap(), ProjectionVersion(1))
}

pub async fn holders(store: &MemoryStore) -> BTreeMap<LeaseName, LeaseHolder> {
    let leases = store.leases().await.unwrap().into_iter();
    leases
        .filter(|lease| lease.name.as_str().starts_with("projection/"))
        .map(|lease| (lease.name, lease.holder))
        .collect()
}

/// Until those who hold something hold so many each.
pub async fn settled(store: &MemoryStore, loads: &[usize]) -> BTreeMap<LeaseName, LeaseHolder> {
    soon(async {
        loop {
            let held = holders(store).await;
            let mut found: BTreeMap<&LeaseHolder, usize> = BTreeMap::new();
            held.values().for_each(|holder| *found.entry(holder).or_default() += 1);
            let mut found: Vec<_> = found.into_values().collect();
            found.sort_unstable();
            if found == loads {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

pub async fn current(store: &Arc<MemoryStore>, reader: &Projector, done: &factum::Cursor) {
    let expected = naive(&Turnover::<5>, &**store, &Tenant::default(), None).await;
    for name in NAMES {
        soon(reader.wait_for(name, done)).await.unwrap();
        let shown = reader.read_model_json(name).unwrap().get("all").await.unwrap();
        let shown: Balance = serde_json::from_str(&serde_json::to_string(&shown.document).unwrap()).unwrap();
        assert_eq!(Some(&shown), expected.get("all"), "{name}");
    }
}
