//! Snapshots, broken.

use async_trait::async_trait;
use factum::{At, Snapshot, SnapshotError, SnapshotKey, SnapshotStore, Version};

use crate::how::How;
use crate::store::Broken;

impl Broken {
    fn snapshot_key(&self, key: &SnapshotKey) -> SnapshotKey {
        let schema = if self.how == How::MixesSnapshotSchemas { 1 } else { key.schema };
        SnapshotKey { stream: self.stream(key.stream.clone()), schema }
    }
}

#[async_trait]
impl SnapshotStore for Broken {
    async fn save(&self, mut snapshot: Snapshot, keep: usize) -> Result<(), SnapshotError> {
        snapshot.key = self.snapshot_key(&snapshot.key);
        let at = At::Version(snapshot.bounds.version);
        let keep = if self.how == How::NeverPrunes { usize::MAX } else { keep };
        match self.how {
            How::ForgetsSnapshots => return Ok(()),
            How::NeverReplacesSnapshots => {
                let there = self.inner.newest(&snapshot.key, Some(&at)).await?;
                if there.is_some_and(|there| there.bounds.version == snapshot.bounds.version) {
                    return Ok(());
                }
            }
            _ => {}
        }
        self.inner.save(snapshot, keep).await
    }

    async fn newest(&self, key: &SnapshotKey, at: Option<&At>) -> Result<Option<Snapshot>, SnapshotError> {
        let asked = key;
        let key = self.snapshot_key(key);
        let at = if self.how == How::NewestOfAll { None } else { at };
        let mut found = self.inner.newest(&key, at).await?;
        if self.how == How::NewestByHappening {
            for version in 1..60 {
                let at_version = At::Version(Version::new(version).unwrap());
                let Some(other) = self.inner.newest(&key, Some(&at_version)).await? else { continue };
                let fits = at.is_none_or(|at| other.bounds.within(at));
                // Among those within, the one that ends earliest by the clock of the world.
                if fits && found.as_ref().is_none_or(|f| other.bounds.occurred_at < f.bounds.occurred_at) {
                    found = Some(other);
                }
            }
        }
        Ok(found.map(|snapshot| Snapshot { key: asked.clone(), ..snapshot }))
    }

    async fn prune(&self, key: &SnapshotKey, keep: usize) -> Result<(), SnapshotError> {
        if self.how == How::NeverPrunes {
            return Ok(());
        }
        self.inner.prune(&self.snapshot_key(key), keep).await
    }
}
