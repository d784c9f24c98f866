//! What goes wrong with aggregates.

use thiserror::Error;

use crate::append::{Condition, Key};
use crate::codec::{DecodeError, EncodeError};
use crate::limits::InputError;
use crate::place::{Position, Version};
use crate::store::{AppendError, ReadError, show_version};
use crate::stream::StreamId;

/// Why an aggregate could not be loaded.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The id breaks a limit.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// One of its events cannot be decoded; it is never skipped.
    #[error("version {version} of stream {stream} (position {position}): {source}")]
    Decode {
        /// The stream.
        stream: StreamId,
        /// The version of the event.
        version: Version,
        /// Its position.
        position: Position,
        /// What is wrong with it.
        source: DecodeError,
    },
}

/// Why a command did not lead to what it asked for.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecuteError<E: std::error::Error + 'static> {
    /// The aggregate refused it.
    #[error(transparent)]
    Refused(E),
    /// It was sent before under the same key, and refused then.
    #[error("the command with key {key} was refused when it was first sent: {reason}")]
    RefusedBefore {
        /// The key.
        key: Key,
        /// Why, in the words of the aggregate's error.
        reason: String,
    },
    /// The key was used before for another command.
    #[error("the key {key} was used before for another command; a new command needs a new key")]
    KeyReused {
        /// The key.
        key: Key,
    },
    /// Others wrote to the stream each time it was tried.
    #[error(
        "conflict: stream {stream} should have been at {expected} and is at {}; gave up after {attempts} attempts",
        show_version(*.actual)
    )]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What the last attempt expected of it.
        expected: Condition,
        /// Its version then.
        actual: Option<Version>,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The aggregate could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What it decided cannot be recorded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The store did not record it, or may not have.
    #[error(transparent)]
    Append(AppendError),
    /// `decide`, `apply` or other code of the aggregate panicked. Of commands that run at the same time, the others are
    /// unharmed. What panics while it is decided or applied to the state is not recorded.
    #[error("the code of the aggregate panicked on stream {stream}: {what}")]
    Panicked {
        /// The stream.
        stream: StreamId,
        /// The text of the panic.
        what: String,
    },
}

impl<E: std::error::Error + 'static> ExecuteError<E> {
    /// Whether the aggregate refused, now or when the command was first sent.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::RefusedBefore { .. })
    }

    /// Whether others wrote to the stream each time it was tried.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn from_append(error: AppendError, attempts: u32) -> Self {
        match error {
            AppendError::Conflict { stream, expected, actual } => Self::Conflict { stream, expected, actual, attempts },
            AppendError::KeyReused { key } => Self::KeyReused { key },
            other => Self::Append(other),
        }
    }
}

impl<E: std::error::Error + 'static> From<ReadError> for ExecuteError<E> {
    fn from(error: ReadError) -> Self {
        Self::Load(LoadError::Read(error))
    }
}

impl<E: std::error::Error + 'static> From<InputError> for ExecuteError<E> {
    fn from(error: InputError) -> Self {
        Self::Load(LoadError::Input(error))
    }
}
