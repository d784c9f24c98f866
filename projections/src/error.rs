//! What goes wrong, with its facts.

use std::time::Duration;

use factum::{
    At, CommitError, Cursor, EventId, Failure, Fault, FaultKind, Field, FieldKind, InputError, LogId, Position,
    ProjectedError, ProjectionName, ReadError, ReadModelError, StoreId,
};
use thiserror::Error;

use crate::projection::SetupError;

/// A name that no projection of this projector has.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("there is no projection {name:?}; there are: {}", show(.known))]
pub struct UnknownProjection {
    /// The name that was asked for.
    pub name: String,
    /// The names that there are, in the order in which they were added.
    pub known: Vec<String>,
}

fn show(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// A checkpoint that does not stand on the event that the store holds at its position: the store was restored from a
/// backup, or lost its tail, or is another one. Folding on would skip events or take them twice.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{projection} has diverged from its store: its checkpoint {position} of log {log} stands on event {expected} of \
     store {expected_store}, and store {store} {}; replay {projection}",
    match .found { Some(id) => format!("has event {id} there"), None => "has no event there".to_owned() }
)]
pub struct Diverged {
    /// The projection.
    pub projection: ProjectionName,
    /// The log.
    pub log: LogId,
    /// The checkpoint.
    pub position: Position,
    /// The store from which it was folded.
    pub expected_store: StoreId,
    /// The event on which the checkpoint stands.
    pub expected: EventId,
    /// The store that the projector reads.
    pub store: StoreId,
    /// The event that this store has at that position.
    pub found: Option<EventId>,
}

/// Why a projection was not brought as far as was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectorError {
    /// There is no such projection.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// A projection cannot be run as it is written.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// An event could not be taken. Nothing after it is, until the code is mended and the projection resumed.
    #[error("{projection} {failure}")]
    Halted {
        /// The projection.
        projection: ProjectionName,
        /// Where and why.
        failure: Box<Failure>,
    },
    /// An event is newer than this code: deploy newer code, or let a newer deployment that runs beside it go on.
    #[error(
        "{projection} gave up at position {position} of log {log}: event {event_type} (schema version \
         {schema_version}) needs newer code than this"
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
    /// The read model stands on events that the store does not hold.
    #[error(transparent)]
    Diverged(Box<Diverged>),
    /// What was waited for does not exist yet: no cursor that an append gave lies past the head.
    #[error("{projection} cannot reach {cursor}: the store's head is {head}")]
    PastHead {
        /// The projection.
        projection: ProjectionName,
        /// What was waited for.
        cursor: Cursor,
        /// The last events.
        head: Cursor,
    },
    /// The time was over before the projection had come so far.
    #[error(
        "{projection} is at {checkpoint} and not yet at {cursor} after {within:?}{}",
        match .trouble { Some(trouble) => format!(": {trouble}"), None => String::new() }
    )]
    TimedOut {
        /// The projection.
        projection: ProjectionName,
        /// What was waited for.
        cursor: Cursor,
        /// How far it is.
        checkpoint: Cursor,
        /// How long it was waited for.
        within: Duration,
        /// What holds it up, where something is known to.
        trouble: Option<String>,
    },
    /// The code of a projection panicked where that could not be told of an event: written by hand, or a part of this
    /// library. It is tried again.
    #[error("{projection} panicked: {message}")]
    Panicked {
        /// The projection.
        projection: ProjectionName,
        /// What the panic said.
        message: String,
    },
    /// The page in hand was not finished in time when everything was told to end. Nothing of it was written, or all of it.
    #[error("{projection} was at {checkpoint} and did not finish its page within {within:?} of being told to end")]
    Unfinished {
        /// The projection.
        projection: ProjectionName,
        /// How far it was seen.
        checkpoint: Cursor,
        /// How long was waited.
        within: Duration,
    },
    /// The events could not be read.
    #[error("{projection} could not read events: {source}")]
    Events {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ReadError,
    },
    /// It could not be read who runs what.
    #[error("the leases could not be read: {0}")]
    Leases(#[from] ReadModelError),
    /// The read model could not be read or written.
    #[error("{projection} could not be written: {source}")]
    Target {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ProjectedError,
    },
}

impl ProjectorError {
    /// Whether the same call may work later without anybody's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Events { source, .. } => source.is_transient(),
            // One that was tried often enough is halted.
            Self::Target { source: ProjectedError::Halted(_), .. } => true,
            Self::Target { source, .. } => fault_of(source).is_some_and(Fault::is_transient),
            _ => false,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_fault(FaultKind::Closed)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.is_fault(FaultKind::ReadOnly)
    }

    fn is_fault(&self, kind: FaultKind) -> bool {
        let fault = match self {
            Self::Events { source: ReadError::Fault(fault), .. } => Some(fault),
            Self::Target { source, .. } => fault_of(source),
            _ => None,
        };
        fault.is_some_and(|fault| fault.kind() == kind)
    }
}

pub(crate) fn fault_of(error: &ProjectedError) -> Option<&Fault> {
    match error {
        ProjectedError::Commit(CommitError::Fault(fault)) | ProjectedError::ReadModel(ReadModelError::Fault(fault)) => {
            Some(fault)
        }
        _ => None,
    }
}

/// A moment from which the past is no longer kept, by [`Projection::KEEP_FOR`](crate::Projection::KEEP_FOR).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{projection} no longer keeps how {} at {at}: the oldest position that can be had is {oldest}{}",
    match .key { Some(key) => format!("{key:?} was"), None => "things stood".to_owned() },
    match .since { Some(since) => format!(", the oldest such moment {since}"), None => String::new() }
)]
pub struct Forgotten {
    /// The projection.
    pub projection: ProjectionName,
    /// The document of which too much is forgotten; `None` where it is so of all.
    pub key: Option<String>,
    /// What was asked for.
    pub at: At,
    /// The oldest position that can be had, of each log.
    pub oldest: Cursor,
    /// The oldest moment of the kind that was asked for; `None` for positions, or where it is not known. By a time of
    /// recording any later one can be had of all documents; by a time of happening or a version it holds for this document
    /// in this log.
    pub since: Option<At>,
}

/// Why documents could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The projector does not run this projection.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// A projection cannot be run as it is written.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It keeps something else than documents, such as tables of its store: query those.
    #[error("{projection} keeps no documents to read; query what it writes")]
    NotDocuments {
        /// The projection.
        projection: ProjectionName,
    },
    /// The key, or a page's token, is such that no read model has it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The token belongs to a listing of another projection.
    #[error("this page token continues a listing of {found}, not of {expected}")]
    ForeignToken {
        /// The projection that is listed.
        expected: ProjectionName,
        /// The projection of the token.
        found: ProjectionName,
    },
    /// The token continues another listing, or another query, of this projection.
    #[error("this page token continues another listing of {projection}; go on with the query that gave it")]
    OtherListing {
        /// The projection.
        projection: ProjectionName,
    },
    /// The code of the projection declares no such field.
    #[error(
        "{projection} declares no field {field:?} to find documents by; it declares: {}; add it to Projection::FIELDS",
        crate::find::show(.fields)
    )]
    NoField {
        /// The projection.
        projection: ProjectionName,
        /// The field that was asked for.
        field: String,
        /// Those that it declares.
        fields: Vec<Field>,
    },
    /// A field is compared with a value of another kind.
    #[error("the field {field} of {projection} is compared with a value of kind {found}")]
    FieldKind {
        /// The projection.
        projection: ProjectionName,
        /// The field.
        field: Field,
        /// The kind of the value.
        found: FieldKind,
    },
    /// The read model could not be read; `Expired` if a page token's generation was dropped.
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    /// The events between two kept versions could not be read.
    #[error("the past of {projection} could not be read: {source}")]
    Events {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ReadError,
    },
    /// An event of the past can no longer be taken.
    #[error("{projection} {failure}")]
    Halted {
        /// The projection.
        projection: ProjectionName,
        /// Where and why.
        failure: Box<Failure>,
    },
    /// A position was asked for that the read model has not reached: wait for it first.
    #[error("{projection} is at {checkpoint}, not yet at {at}; wait for it, or run its projector")]
    NotYet {
        /// The projection.
        projection: ProjectionName,
        /// The position that was asked for.
        at: Cursor,
        /// How far it is.
        checkpoint: Cursor,
    },
    /// A position was asked for that no event has yet.
    #[error("{at} lies past the last event, which is at {head}; ask for a position up to that")]
    PastHead {
        /// The position that was asked for.
        at: Cursor,
        /// The last events.
        head: Cursor,
    },
    /// A moment was asked for from which the past is no longer kept.
    #[error(transparent)]
    Forgotten(Box<Forgotten>),
    /// A key has documents in several logs, and [`Projection::merge`](crate::Projection::merge) does not say what they
    /// are together.
    #[error("the key {key:?} of {projection} has documents in {logs} logs; implement Projection::merge to read it")]
    KeySpansLogs {
        /// The projection.
        projection: ProjectionName,
        /// The key.
        key: String,
        /// In how many logs.
        logs: usize,
    },
}

impl DocumentError {
    /// Whether the generation that a page token names is gone: begin the listing again.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::ReadModel(ReadModelError::Expired { .. }))
    }
}

/// Whether somebody else has moved the checkpoint, so that the step is to be taken again.
pub(crate) fn is_overtaken(error: &ProjectorError) -> bool {
    matches!(
        error,
        ProjectorError::Target {
            source: ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })
                | ProjectedError::ReadModel(ReadModelError::Expired { .. }),
            ..
        }
    )
}
