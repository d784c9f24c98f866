//! Snapshots of aggregates.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use factum::{At, Snapshot, SnapshotError, SnapshotKey, SnapshotStore, Version};

use crate::store::MemoryStore;

#[derive(Debug, Default)]
pub(crate) struct Snapshots(HashMap<SnapshotKey, BTreeMap<Version, Snapshot>>);

impl Snapshots {
    fn prune(&mut self, key: &SnapshotKey, keep: usize) {
        if let Some(kept) = self.0.get_mut(key) {
            while kept.len() > keep {
                kept.pop_first();
            }
        }
    }
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    async fn save(&self, snapshot: Snapshot, keep: usize) -> Result<(), SnapshotError> {
        let mut snapshots = self.lock(&self.snapshots)?;
        let key = snapshot.key.clone();
        snapshots.0.entry(key.clone()).or_default().insert(snapshot.bounds.version, snapshot);
        snapshots.prune(&key, keep);
        Ok(())
    }

    async fn newest(&self, key: &SnapshotKey, at: Option<&At>) -> Result<Option<Snapshot>, SnapshotError> {
        let snapshots = self.lock(&self.snapshots)?;
        let within = |snapshot: &&Snapshot| at.is_none_or(|at| snapshot.bounds.within(at));
        Ok(snapshots.0.get(key).and_then(|kept| kept.values().rev().find(within)).cloned())
    }

    async fn prune(&self, key: &SnapshotKey, keep: usize) -> Result<(), SnapshotError> {
        self.lock(&self.snapshots)?.prune(key, keep);
        Ok(())
    }
}
