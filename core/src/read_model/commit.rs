//! What a projector commits.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::document::{Document, DocumentKey};
use super::field::FieldChange;
use super::generation::{Generation, ProjectionName};
use crate::fault::Fault;
use crate::metadata::EventId;
use crate::place::{LogId, Position, Version};
use crate::read::Mark;
use crate::store::StoreId;
use crate::stream::StreamId;

/// A number that rises whenever ownership or content of a shard changes other than by its checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a generation that has a checkpoint of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// The projection.
    pub projection: ProjectionName,
    /// The generation.
    pub generation: Generation,
    /// The partition of its keys; 0 where it has one only.
    pub partition: u32,
    /// The log.
    pub log: LogId,
}

/// How far a shard is, and on what it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The position up to which the read model contains everything.
    pub position: Position,
    /// The event at that position, and the store that holds it; `None` at the start.
    pub stands_on: Option<(StoreId, EventId)>,
    /// The epoch.
    pub epoch: Epoch,
}

/// One step of a shard.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Of which shard.
    pub shard: Shard,
    /// The position that its checkpoint must have.
    pub from: Position,
    /// The epoch that it must have.
    pub epoch: Epoch,
    /// The store that the events came from.
    pub store: StoreId,
    /// The place that its checkpoint moves to.
    pub to: Mark,
    /// The documents that changed, each key once.
    pub documents: Vec<(DocumentKey, Document)>,
    /// Versions of documents to be kept for time travel.
    pub kept: Vec<(DocumentKey, Document)>,
    /// From where on the past is kept: kept versions that only older answers need are forgotten. `None`: it is kept for
    /// ever, and nothing is forgotten. Where an earlier commit said a later position, that holds.
    pub keep_from: Option<Position>,
    /// What the documents that changed are found and sorted by, each key and field once. What is not among them stays.
    pub fields: Vec<FieldChange>,
}

/// Why a shard stands still.
///
/// It is over, and a store tells it no more, once the checkpoint of its shard has come to its event: somebody has taken
/// that event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The log of the event that it failed on.
    pub log: LogId,
    /// The position of that event.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its version in that stream.
    pub version: Version,
    /// Its recorded type.
    pub event_type: String,
    /// What went wrong.
    pub cause: String,
    /// Since when it stands still.
    pub since: DateTime<Utc>,
}

impl Failure {
    /// Whether it is over for a shard that has come to this position.
    pub fn is_over_at(&self, checkpoint: Position) -> bool {
        self.position <= checkpoint
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "halted at position {} of log {} by event {} (version {} of stream {}): {}",
            self.position, self.log, self.event_type, self.version, self.stream, self.cause
        )
    }
}

/// Why a commit did not happen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Somebody else has moved the shard, or taken it over.
    #[error(
        "{projection} expected checkpoint {expected} in epoch {expected_epoch} and found {found} in epoch {found_epoch}"
    )]
    Stale {
        /// The projection.
        projection: ProjectionName,
        /// The position that was expected.
        expected: Position,
        /// The epoch that was expected.
        expected_epoch: Epoch,
        /// The position that the checkpoint has.
        found: Position,
        /// The epoch that it has.
        found_epoch: Epoch,
    },
    /// The generation was replaced or dropped; it takes no more writes.
    #[error("generation {generation} of {projection} was superseded")]
    Superseded {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
    },
    /// The store failed; nothing was committed, or all of it, which the checkpoint tells.
    #[error("the commit failed: {0}")]
    Fault(#[from] Fault),
}
