//! Generations of a read model.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::commit::Failure;
use super::document::DocumentKey;
use super::field::{Field, FieldKind};
use crate::fault::Fault;
use crate::limits::{InputError, MAX_NAME, check_text};
use crate::place::{Cursor, LogId, Position};
use crate::text::text_type;

fn check_name(text: &str) -> Result<(), InputError> {
    check_text("projection name", text, MAX_NAME)
}

text_type! {
    /// What a projection is called, such as `balances`.
    ProjectionName, check_name
}

/// The version of a projection's code. A generation belongs to one; old and new deployments run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProjectionVersion(pub u32);

impl std::fmt::Display for ProjectionVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of one build of a read model, from 1, unique within its projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a generation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GenerationState {
    /// A replay writes it; nobody reads it.
    Building,
    /// Readers of its version read it, and the projector writes it.
    Live,
    /// It takes no more writes: it was replaced, or taken out of service.
    Retired,
    /// It was retired and takes writes again, so that it can catch up and become live once more; nobody reads it.
    Reopened,
}

/// What a generation is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGeneration {
    /// Of which projection.
    pub projection: ProjectionName,
    /// Of which version of its code.
    pub version: ProjectionVersion,
    /// By which fields its documents shall be found and sorted. Those of a generation that is there already stay as they
    /// are.
    pub fields: Vec<Field>,
}

/// A generation as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationInfo {
    /// Of which projection.
    pub projection: ProjectionName,
    /// Its number.
    pub generation: Generation,
    /// Of which version of the projection's code.
    pub version: ProjectionVersion,
    /// What it is for.
    pub state: GenerationState,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
    /// Where it is retired: until when it is kept, by the clock of its store. `None`: until somebody drops it.
    pub kept_until: Option<DateTime<Utc>>,
    /// How far it is: the least of its partitions, for each log.
    pub checkpoint: Cursor,
    /// Why a shard of it stands still, if one does.
    pub failure: Option<Failure>,
    /// By which fields its documents are found and sorted.
    pub fields: Vec<Field>,
}

/// An exchange of the live generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Of which projection.
    pub projection: ProjectionName,
    /// The generation that is live.
    pub from: Generation,
    /// The generation that shall be.
    pub to: Generation,
    /// For how long the one that was live is kept from then on. `None`: until somebody drops it.
    pub keep_old: Option<Duration>,
}

/// Until when something is kept that is to be kept for some time from now on; `None` where no calendar reaches that far.
///
/// For whoever writes a store.
///
/// ```
/// use std::time::Duration;
///
/// let now = chrono::DateTime::UNIX_EPOCH;
/// let until = factum::kept_until(now, Duration::from_secs(3_600)).map(|until| until.timestamp());
/// assert_eq!(until, Some(3_600));
/// assert_eq!(factum::kept_until(now, Duration::MAX), None);
/// ```
pub fn kept_until(now: DateTime<Utc>, keep: Duration) -> Option<DateTime<Utc>> {
    let until = now.checked_add_signed(TimeDelta::from_std(keep).ok()?)?;
    // What no store can hold, and nobody will live to see.
    (until.timestamp() < 253_370_764_800).then_some(until)
}

/// Why a read model could not be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadModelError {
    /// The generation is gone: it was replaced and dropped. Start again with the live one.
    #[error("generation {generation} of {projection} was dropped; read the live one from the beginning")]
    Expired {
        /// The projection.
        projection: ProjectionName,
        /// The generation that was asked for.
        generation: Generation,
    },
    /// Nothing was built yet for this version of the projection.
    #[error("{projection} has no live generation of version {version}; run its projector")]
    NoGeneration {
        /// The projection.
        projection: ProjectionName,
        /// The version that was asked for.
        version: ProjectionVersion,
    },
    /// The generation is live, so it cannot be dropped.
    #[error("generation {generation} of {projection} is live; switch to another before dropping it")]
    Live {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
    },
    /// The generation is in use, so there is nothing to reopen.
    #[error("generation {generation} of {projection} is not retired; only one that is can be reopened")]
    NotRetired {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
    },
    /// Documents cannot be found or sorted by a field: the generation was made before the field was declared, or when
    /// it was of another kind.
    #[error(
        "generation {generation} of {projection} keeps no field {field:?}{}; it keeps: {}; raise Projection::VERSION, or \
         replay {projection}, for one that does",
        match .kind { Some(kind) => format!(" of kind {kind}"), None => String::new() }, show_fields(.fields)
    )]
    NoField {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
        /// The field that was asked for.
        field: String,
        /// The kind of the values that it was compared with, where that is what does not fit.
        kind: Option<FieldKind>,
        /// The fields that it keeps.
        fields: Vec<Field>,
    },
    /// A stored document or checkpoint is not what was written.
    #[error("the read model {projection} is damaged: {what}; replay it")]
    Damaged {
        /// The projection.
        projection: ProjectionName,
        /// What is wrong.
        what: String,
    },
    /// One stored document is not what was written, so nothing that holds it can be read. What does not is whole.
    #[error("the document {:?} of {projection} is damaged: {what}; replay it", .key.key())]
    DamagedDocument {
        /// The projection.
        projection: ProjectionName,
        /// The document.
        key: DocumentKey,
        /// What is wrong.
        what: String,
    },
    /// What a generation is to consist of could not be made.
    #[error("the read model {projection} cannot be made: {why}")]
    NotMade {
        /// The projection.
        projection: ProjectionName,
        /// Why not, and what to do.
        why: String,
    },
    /// The input is such that no store takes it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store failed.
    #[error("the read model store failed: {0}")]
    Fault(#[from] Fault),
}

/// Why a switch did not happen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SwitchError {
    /// The old generation is not the live one (any more).
    #[error("generation {from} of {projection} is not live; {} is", show(*.live))]
    NotLive {
        /// The projection.
        projection: ProjectionName,
        /// The generation that should have been live.
        from: Generation,
        /// The one that is, if any.
        live: Option<Generation>,
    },
    /// The new generation is not one that could become live: it is gone, of another version, or has failed.
    #[error("generation {to} of {projection} cannot become live: {why}")]
    Unfit {
        /// The projection.
        projection: ProjectionName,
        /// The generation that should become live.
        to: Generation,
        /// Why it cannot.
        why: String,
    },
    /// The new generation has not reached what the old one shows.
    #[error(
        "generation {to} of {projection} is at {at} of log {log} and the live one at {live}; a replay brings it up to there"
    )]
    Behind {
        /// The projection.
        projection: ProjectionName,
        /// The generation that should become live.
        to: Generation,
        /// The log in which it is behind.
        log: LogId,
        /// Its checkpoint there.
        at: Position,
        /// The live one's.
        live: Position,
    },
    /// The store failed.
    #[error("the switch did not happen: {0}")]
    Fault(#[from] Fault),
}

fn show(generation: Option<Generation>) -> String {
    generation.map_or_else(|| "none".to_owned(), |generation| generation.to_string())
}

fn show_fields(fields: &[Field]) -> String {
    match fields {
        [] => "none".to_owned(),
        fields => fields.iter().map(Field::to_string).collect::<Vec<_>>().join(", "),
    }
}
