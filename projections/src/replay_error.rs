//! Why a replay did not end, with its facts.

use factum::{Cursor, Failure, Fault, Generation, LogId, Position, ProjectedError, ProjectionName, ReadError};
use thiserror::Error;

use crate::error::{UnknownProjection, fault_of};
use crate::projection::SetupError;
use crate::verify::{Difference, VerifyError, VerifyReport};

/// Why a replay did not end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no such projection.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// A projection cannot be run as it is written.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It is written by hand and has no generations.
    #[error(
        "{projection} keeps neither documents nor tables in generations to replay into; rebuild it by its own means"
    )]
    NotDocuments {
        /// The projection.
        projection: ProjectionName,
    },
    /// An event could not be taken. The live read model is as it was.
    #[error("the replay of {projection} {failure}; the live read model is as it was")]
    Halted {
        /// The projection.
        projection: ProjectionName,
        /// Where and why.
        failure: Box<Failure>,
    },
    /// An event is newer than this code. The live read model is as it was.
    #[error(
        "the replay of {projection} gave up at position {position} of log {log}: event {event_type} (schema version \
         {schema_version}) needs newer code than this; the live read model is as it was"
    )]
    NeedsNewerCode {
        /// The projection.
        projection: ProjectionName,
        /// The log of the event.
        log: LogId,
        /// The position of the event.
        position: Position,
        /// Its recorded type.
        event_type: String,
        /// Its recorded schema version.
        schema_version: u32,
    },
    /// It was to be built up to a position that no event has yet. Nothing was built.
    #[error("the replay of {projection} cannot end at {to}: that lies past the last event, which is at {head}")]
    PastHead {
        /// The projection.
        projection: ProjectionName,
        /// Where it was to end.
        to: Cursor,
        /// The last events.
        head: Cursor,
    },
    /// It was to be built up to a position that the generation is past which an earlier replay has left.
    #[error(
        "the replay of {projection} cannot end at {to}: generation {generation}, which an earlier replay has left, is at {at} \
         already; drop it, and replay"
    )]
    Beyond {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
        /// How far it is.
        at: Cursor,
        /// Where it was to end.
        to: Cursor,
    },
    /// What was retired, or was being built while the store was restored from a backup, stands on events that the store does not
    /// hold, so that it cannot go on. Nothing else has changed.
    #[error(
        "generation {generation} of {projection} stands on events that the store does not hold, so it cannot catch up; drop \
         it, and replay"
    )]
    Ungrounded {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
    },
    /// It was to be verified, and keeps no documents: tables cannot be compared with a fold. Nothing was built.
    #[error("{projection} keeps tables; only documents can be verified: replay it without that")]
    NotVerifiable {
        /// The projection.
        projection: ProjectionName,
    },
    /// The new generation could not be compared with history. The live read model is as it was.
    #[error("the replay of {projection} could not be verified: {source}; the live read model is as it was")]
    Verify {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: Box<VerifyError>,
    },
    /// The new generation is not what another fold of history comes to. It is retired; the live read model is as it was.
    #[error(
        "the replay of {projection} was not made live: {} of {} documents of generation {} are not what another fold of history \
         makes of them; a projection is to be pure", .report.differences, .report.documents, .report.generation
    )]
    Differs {
        /// The projection.
        projection: ProjectionName,
        /// What was compared.
        report: Box<VerifyReport>,
        /// The first of the differences.
        differences: Vec<Difference>,
    },
    /// Somebody else replays it, or goes back to a generation of it, at this moment.
    #[error("{projection} is being replayed by {holder}, since {since}; wait for that, or end it")]
    Running {
        /// The projection.
        projection: ProjectionName,
        /// The host, the process and a number of its own.
        holder: String,
        /// Since when, by the clock of the read model store.
        since: chrono::DateTime<chrono::Utc>,
    },
    /// Another replay writes, or wrote, the same generation.
    #[error("another replay of {projection} is running, or ended while this one ran ({found}); wait for it")]
    AnotherReplay {
        /// The projection.
        projection: ProjectionName,
        /// What told.
        found: String,
    },
    /// The events could not be read.
    #[error("the replay of {projection} could not read events: {source}")]
    Events {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ReadError,
    },
    /// The read model could not be read or written.
    #[error("the replay of {projection} could not be written: {source}")]
    Target {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ProjectedError,
    },
    /// The new generation could not be made live.
    #[error("the replay of {projection} could not be made live: {source}")]
    Switch {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: factum::SwitchError,
    },
}

impl ReplayError {
    /// Whether the same call may work later without anybody's help; it goes on where this one was.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Events { source, .. } => source.is_transient(),
            Self::Target { source, .. } => fault_of(source).is_some_and(Fault::is_transient),
            _ => false,
        }
    }
}
