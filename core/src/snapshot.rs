//! The port to saved states of aggregates. Snapshots are disposable: losing all of them costs time only.

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

use crate::at::{At, Bounds};
use crate::fault::Fault;
use crate::stream::StreamId;

/// Which saved states mean the same: a stream, as one aggregate type in one snapshot version sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotKey {
    /// The stream.
    pub stream: StreamId,
    /// The number by which the aggregate's author tells states of different meaning apart.
    pub schema: u32,
}

/// The state of an aggregate after one of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of what.
    pub key: SnapshotKey,
    /// The greatest version, position and times of the events folded into it.
    pub bounds: Bounds,
    /// The state, JSON.
    pub state: Bytes,
}

/// Keeps snapshots of aggregates.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// Keeps a snapshot, in the place of one of the same key and version, and forgets all but the newest `keep` of
    /// that key.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshots kept before are as they were.
    async fn save(&self, snapshot: Snapshot, keep: usize) -> Result<(), SnapshotError>;

    /// The newest snapshot whose bounds lie within `at`; the newest of all without one.
    ///
    /// # Errors
    /// [`SnapshotError`].
    async fn newest(&self, key: &SnapshotKey, at: Option<&At>) -> Result<Option<Snapshot>, SnapshotError>;

    /// Forgets all but the newest `keep` snapshots of a key.
    ///
    /// # Errors
    /// [`SnapshotError`].
    async fn prune(&self, key: &SnapshotKey, keep: usize) -> Result<(), SnapshotError>;
}

/// Why a snapshot could not be kept or found.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The store failed.
    #[error("the snapshot store failed: {0}")]
    Fault(#[from] Fault),
}
