//! From a user's enum to (event type, payload) and back, by serde alone.
//!
//! Encoding runs the enum through a small serializer that splits the variant off; decoding hands serde an enum whose
//! variant is the recorded type and whose content is the payload. No value tree lies in between.

mod de;
mod info;
mod ser;
mod set;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use thiserror::Error;

use crate::event::{Event, EventType, NewEvent, RecordedEvent, StoredEvent, Tags};
use crate::limits::InputError;
use crate::metadata::Metadata;

pub use info::{EventInfo, event_info};
pub use set::EventSet;
#[doc(hidden)]
pub use set::assert_distinct;

/// Whether an event is decoded once before it is appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoundTrip {
    /// What would not come back is refused and never recorded.
    #[default]
    Checked,
    /// Saves about a tenth of a microsecond for each event.
    Unchecked,
}

/// Turns an event into what a store records, with this metadata.
///
/// ```
/// use factum::{Event, Metadata, RoundTrip};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Deposited { cents: i64 }, Closed }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// let event = factum::encode(&AccountEvent::Deposited { cents: 500 }, Metadata::new(), RoundTrip::Checked)?;
/// assert_eq!(event.event_type.as_str(), "Deposited");
/// assert_eq!(&event.payload[..], br#"{"cents":500}"#);
/// # Ok::<(), factum::EncodeError>(())
/// ```
///
/// # Errors
/// [`EncodeError`] says what about the event, or its type, cannot be recorded.
pub fn encode<E: Event>(event: &E, metadata: Metadata, round_trip: RoundTrip) -> Result<NewEvent, EncodeError> {
    let info = event_info::<E>()?;
    let (variant, payload) = ser::split(event).map_err(|source| failed::<E>(&source))?;
    if info.other == Some(variant) {
        return Err(EncodeError::OtherVariant { enum_name: info.name, variant });
    }
    if round_trip == RoundTrip::Checked {
        let back = de::join::<E>(variant, &payload)
            .map_err(|source| EncodeError::WouldNotComeBack { event_type: variant, cause: source.to_string() })?;
        if info.other.is_some() && ser::split(&back).map(|(again, _)| again != variant).unwrap_or(true) {
            let cause = "it decodes as another variant".to_owned();
            return Err(EncodeError::WouldNotComeBack { event_type: variant, cause });
        }
    }
    let mut tags = Tags::default();
    event.tags(&mut tags);
    let mut new = NewEvent::new(EventType::from_static(variant)?, Bytes::from(payload));
    new.schema_version = E::SCHEMA_VERSION;
    new.metadata = metadata;
    new.tags = tags.into_vec()?;
    Ok(new)
}

fn failed<E: Event>(source: &ser::SplitError) -> EncodeError {
    let enum_name = std::any::type_name::<E>();
    match source {
        ser::SplitError::NotAVariant => EncodeError::NotAnEventEnum { enum_name },
        ser::SplitError::Message(cause) => EncodeError::NotSerializable { enum_name, cause: cause.clone() },
    }
}

/// Turns a recorded event back into a user's enum, upcasting it first.
///
/// # Errors
/// [`DecodeError`] says what is unknown, newer, or malformed.
pub fn decode<E: Event>(event: &RecordedEvent) -> Result<E, DecodeError> {
    decode_as_recorded(&event.event_type, event.stored())
}

/// [`decode`] for an event that is no longer, or not yet, in a store.
///
/// # Errors
/// [`DecodeError`] says what is unknown, newer, or malformed.
pub fn decode_stored<E: Event>(stored: StoredEvent) -> Result<E, DecodeError> {
    decode_as_recorded(&stored.event_type.clone(), stored)
}

fn decode_as_recorded<E: Event>(recorded_type: &EventType, stored: StoredEvent) -> Result<E, DecodeError> {
    let upcast = upcast::<E>(recorded_type, stored)?;
    de::join(upcast.event_type.as_str(), &upcast.payload).map_err(|error| match error {
        de::JoinError::UnknownVariant => DecodeError::UnknownType {
            event_type: upcast.event_type.to_string(),
            enum_name: std::any::type_name::<E>(),
        },
        de::JoinError::Message(cause) => DecodeError::Payload { event_type: upcast.event_type.to_string(), cause },
    })
}

fn upcast<E: Event>(recorded_type: &EventType, stored: StoredEvent) -> Result<StoredEvent, DecodeError> {
    if stored.schema_version > E::SCHEMA_VERSION {
        return Err(DecodeError::NewerSchema {
            event_type: stored.event_type.to_string(),
            found: stored.schema_version,
            known: E::SCHEMA_VERSION,
        });
    }
    E::upcast(stored).map_err(|source| DecodeError::Upcast { event_type: recorded_type.to_string(), source })
}

/// Why an event cannot be recorded.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The type has no variant that serde could split off.
    #[error(
        "{enum_name} is not an event enum: events are enums in serde's default, externally tagged form; \
         remove #[serde(tag)], #[serde(untagged)] or put the struct into a variant of an enum"
    )]
    NotAnEventEnum {
        /// The type.
        enum_name: &'static str,
    },
    /// The variant marked `#[serde(other)]` stands for types that this code does not know; it is never recorded.
    #[error(
        "{enum_name}::{variant} stands for events that this code does not know (#[serde(other)]); it cannot be appended"
    )]
    OtherVariant {
        /// The type.
        enum_name: &'static str,
        /// The variant's recorded name.
        variant: &'static str,
    },
    /// serde refused to serialize it.
    #[error("an event of {enum_name} cannot be serialized: {cause}")]
    NotSerializable {
        /// The type.
        enum_name: &'static str,
        /// What serde said.
        cause: String,
    },
    /// It serializes, but its own code would not read it back.
    #[error("event {event_type} would not come back and was not appended: {cause}")]
    WouldNotComeBack {
        /// The event type.
        event_type: &'static str,
        /// What serde said.
        cause: String,
    },
    /// The category, type or a tag breaks a limit.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// Why a recorded event cannot be turned into a user's enum.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No variant has this name: it was recorded by newer code, or renamed without `#[serde(alias)]` or upcast.
    #[error(
        "{enum_name} does not know the event type {event_type}; newer code recorded it, or a rename lost it: add #[serde(alias)] or upcast it"
    )]
    UnknownType {
        /// The event type.
        event_type: String,
        /// The enum that should have known it.
        enum_name: &'static str,
    },
    /// It was recorded by newer code.
    #[error("event {event_type} has schema version {found} and this code knows up to {known}; it needs newer code")]
    NewerSchema {
        /// The event type.
        event_type: String,
        /// The schema version that was recorded.
        found: u32,
        /// The schema version of this code.
        known: u32,
    },
    /// It belongs to a category that the reader does not read.
    #[error("the category {category} is not one of {expected}")]
    UnknownCategory {
        /// The event's category.
        category: String,
        /// The categories that were expected.
        expected: String,
    },
    /// Its content does not fit the variant.
    #[error("the payload of event {event_type} does not fit: {cause}")]
    Payload {
        /// The event type.
        event_type: String,
        /// What serde said.
        cause: String,
    },
    /// [`Event::upcast`] refused it.
    #[error("event {event_type} could not be upcast: {source}")]
    Upcast {
        /// The event type as recorded.
        event_type: String,
        /// What was wrong.
        source: UpcastError,
    },
}

impl DecodeError {
    /// Whether newer code than this may be able to read it.
    pub fn needs_newer_code(&self) -> bool {
        matches!(self, Self::UnknownType { .. } | Self::NewerSchema { .. })
    }
}

/// Why [`Event::upcast`] could not convert an event.
///
/// ```
/// let error = factum::UpcastError::new("the amount has no currency");
/// assert_eq!(error.to_string(), "the amount has no currency");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UpcastError(String);

impl UpcastError {
    /// Says what was wrong with the stored event.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<serde_json::Error> for UpcastError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(de::without_values(&error.to_string()))
    }
}

impl From<InputError> for UpcastError {
    fn from(error: InputError) -> Self {
        Self::new(error.to_string())
    }
}
