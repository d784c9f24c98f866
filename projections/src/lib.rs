//! Projections of Factum: from history to read models, and back into their past.
//!
//! A [`Projection`] is a pure function from events to documents. A [`Projector`] runs projections: it
//! [keeps them up](Projector::run), lets a caller [read its own write](Projector::wait_for), and
//! [replays](Projector::replay) one into a new generation while the old one serves. A [`ReadModel`] answers with the
//! documents as they are, and [as they were](ReadModel::get_at) at any position, version or time, and
//! [`verify`](Projector::verify) compares them with a fresh fold of history.
//!
//! The crate knows no database: documents live in a [`ReadModelStore`](factum::ReadModelStore).

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod ahead;
mod building;
mod doctor;
mod documents;
mod drive;
mod error;
mod failing;
mod fields;
mod find;
mod fold;
mod gauges;
mod generations;
mod ground;
mod heads;
mod health;
mod json;
mod keeper;
mod kept_past;
mod lease;
mod options;
mod owner;
mod page;
mod projection;
mod projector;
mod read;
mod read_json;
mod rebuild;
mod rebuilt;
mod refused;
mod replay;
mod replay_error;
mod replay_estimate;
mod replay_generations;
mod replay_lease;
mod replay_options;
mod resume;
mod run;
mod share;
mod status;
mod supervise;
mod travel;
mod turns;
mod verify;
mod wait;

pub use building::BuildingStatus;
pub use doctor::Diagnosis;
pub use error::{Diverged, DocumentError, Forgotten, ProjectorError, UnknownProjection};
pub use fields::FieldValues;
pub use find::{FieldQuery, Find};
pub use generations::{Dropped, GenerationsError, Switched};
pub use health::{ProjectionHealth, WorkerHealth, WorkingOn};
pub use json::{FieldDifference, Json};
pub use kept_past::KeptPast;
pub use options::ProjectorOptions;
pub use owner::Owner;
pub use page::{Answer, Entry, Page, PageRequest, PageToken};
pub use projection::{ApplyError, Keys, Projection, SetupError};
pub use projector::{ProjectionResult, Projector};
pub use read::ReadModel;
pub use read_json::JsonReadModel;
pub use replay::{ReplayPhase, ReplayProgress, ReplayReport};
pub use replay_error::ReplayError;
pub use replay_estimate::ReplayEstimate;
pub use replay_options::{KEEP_OLD, ReplayOptions};
pub use resume::Resumed;
pub use status::{ProjectionState, ProjectionStatus};
pub use verify::{Difference, DifferenceKind, VerifyError, VerifyOptions, VerifyProgress, VerifyReport};
