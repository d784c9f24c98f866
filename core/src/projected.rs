//! The port that a projector drives, whatever it projects into.

mod filter;
mod generations;
mod page;

use std::fmt;

use async_trait::async_trait;
use thiserror::Error;

use crate::event::RecordedEvent;
use crate::place::{LogId, Position};
use crate::query::Query;
use crate::read::Mark;
use crate::read_model::{Checkpoint, CommitError, Failure, ProjectionName, ProjectionVersion, ReadModelError};
use crate::store::StoreId;

pub use filter::{EventFilterError, event_filter};
pub use generations::Generations;
pub use page::{DecodedPage, StopCause, Stopped, catch_panic};

/// A page of events for a projection, and the step of its checkpoint that goes with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The store that they came from.
    pub store: StoreId,
    /// The log that they came from.
    pub log: LogId,
    /// Where the checkpoint stands.
    pub from: Checkpoint,
    /// Where it moves to; at or past the last event.
    pub to: Mark,
    /// The events, in order; may be none.
    pub events: Vec<RecordedEvent>,
}

/// Something that events are projected into.
///
/// Document projections implement it over a [`ReadModelStore`](crate::ReadModelStore). Whoever projects into something
/// else implements it by hand: with a transaction it is exactly-once; without one at least once, and the epoch is the
/// fencing token to send along.
///
/// A projector drives it under a lease, which another process takes over when its holder has stood still for too long. The
/// holder may come back with a page in its hands: [`take_over`](Projected::take_over) is where an implementation raises
/// the epoch, so that this page is refused.
#[async_trait]
pub trait Projected: Send + Sync + fmt::Debug {
    /// What the projection is called.
    fn name(&self) -> &ProjectionName;

    /// The version of its code.
    fn version(&self) -> ProjectionVersion;

    /// Which events it takes.
    fn filter(&self) -> &Query;

    /// How far it is in a log.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn checkpoint(&self, log: LogId) -> Result<Checkpoint, ProjectedError>;

    /// Raises the epoch of a log, and says how far it is then, to a projector that has just taken the lease and drives it
    /// from now on: whoever drove it before cannot [`apply`](Projected::apply) what it still holds.
    ///
    /// As provided it raises nothing. Then the position alone tells a page of a former holder from one of the new: one that
    /// begins where the checkpoint still stands is applied, late, and once. An implementation that cannot compare and
    /// set its checkpoint in the transaction of the page (one that is at least once) then has no fence at all: two holders
    /// may write at the same time. Implement it wherever an epoch can be kept.
    ///
    /// It is not called where the lease is taken in the [store that keeps the checkpoints](Projected::store_id): there the
    /// epochs rise with the lease.
    ///
    /// # Errors
    /// [`ProjectedError`]. The epoch may have risen, which does no harm.
    async fn take_over(&self, log: LogId) -> Result<Checkpoint, ProjectedError> {
        self.checkpoint(log).await
    }

    /// Which store keeps its checkpoints, in generations that [`take_lease`](crate::ReadModelStore::take_lease) raises the
    /// epochs of; `None` where it is kept elsewhere.
    fn store_id(&self) -> Option<StoreId> {
        None
    }

    /// Applies a page and moves the checkpoint, both or neither, unless the checkpoint is not at `batch.from`.
    ///
    /// If an event cannot be taken, those before it may be applied, with the checkpoint moved as far.
    ///
    /// # Errors
    /// [`ProjectedError`]; `Halted` names the event.
    async fn apply(&self, batch: Batch) -> Result<(), ProjectedError>;

    /// Remembers why it stands still, where `status` shows it, or with `None` that it no longer does.
    ///
    /// # Errors
    /// [`ProjectedError`].
    async fn report(&self, log: LogId, failure: Option<Failure>) -> Result<(), ProjectedError>;

    /// Whether an event was recorded by newer code than this, so that [`apply`](Projected::apply) would answer
    /// [`NeedsNewerCode`](ProjectedError::NeedsNewerCode). Changes nothing; lets `status` say so beforehand.
    fn is_too_new(&self, _event: &RecordedEvent) -> bool {
        false
    }

    /// Its generations, where it is built in generations: then it can be replayed while it serves.
    fn generations(&self) -> Option<&dyn Generations> {
        None
    }
}

/// Why a page was not applied.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectedError {
    /// An event could not be taken. Nothing after it is, until somebody has looked.
    #[error("{0}")]
    Halted(Box<Failure>),
    /// An event is newer than this code: a newer deployment runs beside it.
    #[error("event {event_type} (schema version {schema_version}) at position {position} needs newer code than this")]
    NeedsNewerCode {
        /// The position of the event.
        position: Position,
        /// Its recorded type.
        event_type: String,
        /// Its recorded schema version.
        schema_version: u32,
    },
    /// Somebody else moved the checkpoint, or the generation was replaced: load again and go on.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The read model failed.
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
}
