//! Factum's core: events, aggregates, and the ports that stores and projections implement.
//!
//! An *aggregate* decides on *commands* by the *events* of its *stream*; an append-only *store* remembers them;
//! *projections* turn history into *read models*; any of it can be looked at as it was.
//!
//! The crate has no runtime and knows no database. Start with [`Event`], [`Aggregate`] and [`Repository`]; whoever
//! writes a store starts with [`EventStore`] and `factum-conformance`.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod across;
mod aggregate;
mod append;
mod at;
mod codec;
mod context;
mod event;
mod fault;
mod finding;
mod golden;
mod limits;
mod measure;
mod metadata;
mod place;
mod projected;
mod query;
mod read;
mod read_model;
mod repository;
mod retry;
mod snapshot;
mod store;
mod stream;
mod subscribe;
mod text;
mod timer;
mod wake;

pub use across::{Decision, DecisionModel, decide_across, decide_across_with};
pub use aggregate::Aggregate;
pub use append::{
    Append, Appended, Condition, Fingerprint, Key, Keyed, Outcome, QueryCondition, Remembered, StreamWrite, Versions,
};
pub use at::{At, Bounds};
#[doc(hidden)]
pub use codec::assert_distinct;
pub use codec::{
    DecodeError, EncodeError, EventInfo, EventSet, RoundTrip, UpcastError, decode, decode_stored, encode, event_info,
};
pub use context::Context;
pub use event::{Event, EventType, NewEvent, Recorded, RecordedEvent, StoredEvent, Tags};
pub use fault::{Fault, FaultKind};
pub use finding::{Finding, Holder, Severity};
pub use golden::{GOLDEN_VARIABLE, GoldenError, golden_events};
pub use limits::{DEFAULT_MAX_PAYLOAD, InputError, Limits, MAX_NAME, MAX_STREAM_ID};
pub use measure::MeasuredAppend;
pub use metadata::{EventId, Metadata, Tag, to_micros};
pub use place::{Cursor, LogId, Position, Version};
pub use projected::{
    Batch, DecodedPage, EventFilterError, Generations, Projected, ProjectedError, StopCause, Stopped, catch_panic,
    event_filter,
};
pub use query::{Query, QueryItem};
pub use read::{Direction, LogPage, MAX_POSITIONS, Mark, PageLimit, ReadLog, ReadStream, StreamPage};
pub use read_model::{
    Checkpoint, Commit, CommitError, Counted, Document, DocumentFields, DocumentKey, DocumentPage, DocumentRead, Epoch,
    Failure, Field, FieldChange, FieldCondition, FieldKind, FieldPlace, FieldRange, FieldValue, FindDocuments,
    FindPlan, Found, FoundAt, FoundDocument, FoundPage, Generation, GenerationInfo, GenerationState, History,
    HistoryFrom, Lease, LeaseError, LeaseHolder, LeaseName, ListDocuments, MAX_FIELD_TEXT, NewGeneration, Positions,
    ProjectionName, ProjectionVersion, RaiseEpochs, ReadHistory, ReadModelError, ReadModelStore, ReadTarget, Shard,
    StrayFields, Switch, SwitchError, TakeLease, kept_until,
};
pub use repository::{ExecuteError, Executed, LoadError, Loaded, Repository};
pub use retry::Retry;
pub use snapshot::{Snapshot, SnapshotError, SnapshotKey, SnapshotStore};
pub use store::{AppendError, Capabilities, CloseError, EventStore, ReadError, StoreId};
pub use stream::{Category, StreamId, Tenant};
pub use subscribe::{SubscribeError, Subscription};
pub use timer::{Sleep, SystemTimer, Timer, system_timer};
pub use wake::{Bell, Wakeups};
