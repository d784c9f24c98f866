//! Events: what a user writes, what a store takes, what a store gives back.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::UpcastError;
use crate::limits::{InputError, MAX_NAME, check_text};
use crate::metadata::{EventId, Metadata, Tag};
use crate::place::{LogId, Position, Version};
use crate::stream::StreamId;
use crate::text::text_type;

fn check_type(text: &str) -> Result<(), InputError> {
    check_text("event type", text, MAX_NAME)
}

text_type! {
    /// The recorded name of an event: its enum variant, with `#[serde(rename)]`.
    EventType, check_type
}

/// A fact that happened: a plain serde enum, in the past tense.
///
/// The variant's name is recorded as the event type, its content as the payload. Nothing needs deriving but serde's
/// own traits; internally tagged, untagged and struct types have no variant to split off and are refused on first use
/// with [`NotAnEventEnum`](crate::EncodeError::NotAnEventEnum).
///
/// ```
/// use factum::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened { owner: String }, Deposited { cents: i64 }, Closed }
///
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "needs `impl factum::Event for {Self}`",
    note = "an event is an enum that derives `serde::Serialize` and `serde::Deserialize`, with\n`impl Event for {Self} {{ const CATEGORY: &'static str = \"...\"; }}`"
)]
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The category of the streams that these events live in; not empty, without '-'.
    const CATEGORY: &'static str;

    /// The shape that is recorded today; raise it with each change that old code cannot read.
    const SCHEMA_VERSION: u32 = 1;

    /// Event types that were recorded once and are turned into today's by [`Event::upcast`]. A filter that is narrowed
    /// to event types holds these too.
    const FORMER_TYPES: &'static [&'static str] = &[];

    /// Brings a stored event to today's shape before it is decoded.
    ///
    /// # Errors
    /// [`UpcastError`] where the stored event cannot be converted; it is never skipped.
    fn upcast(stored: StoredEvent) -> Result<StoredEvent, UpcastError> {
        Ok(stored)
    }

    /// The labels by which decisions that span streams find this event.
    fn tags(&self, _tags: &mut Tags) {}
}

/// Collects the tags of one event.
///
/// ```
/// let mut tags = factum::Tags::default();
/// tags.push("course:c1");
/// tags.push(String::from("student:s1"));
/// assert_eq!(tags.into_vec()?.len(), 2);
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Debug, Default)]
pub struct Tags {
    tags: Vec<Tag>,
    refused: Option<InputError>,
}

impl Tags {
    /// Adds a tag. One that breaks a limit is refused when the event is appended.
    pub fn push(&mut self, tag: impl AsRef<str>) {
        match Tag::new(tag) {
            Ok(tag) if self.tags.contains(&tag) => {}
            Ok(tag) => self.tags.push(tag),
            Err(refused) => self.refused = Some(refused),
        }
    }

    /// The tags, each once, in the order in which they were pushed.
    ///
    /// # Errors
    /// [`InputError`] of a tag that broke a limit.
    pub fn into_vec(self) -> Result<Vec<Tag>, InputError> {
        self.refused.map_or(Ok(self.tags), Err)
    }
}

/// The recorded form of an event on its way to being decoded, as [`Event::upcast`] sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// The recorded event type.
    pub event_type: EventType,
    /// The schema version that was recorded with it.
    pub schema_version: u32,
    /// The content, JSON.
    pub payload: Bytes,
}

impl StoredEvent {
    /// The content as a JSON value, to be changed and given to [`StoredEvent::with_json`].
    ///
    /// # Errors
    /// [`serde_json::Error`] where the payload is not JSON.
    pub fn json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::from_slice(&self.payload)
    }

    /// The same event with other content.
    #[must_use]
    pub fn with_json(mut self, content: &serde_json::Value) -> Self {
        self.payload = Bytes::from(content.to_string());
        self
    }

    /// The same event under another type, for a variant that was renamed.
    #[must_use]
    pub fn with_type(mut self, event_type: EventType) -> Self {
        self.event_type = event_type;
        self
    }
}

/// An event that a store is asked to record.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its identity, made before the append.
    pub id: EventId,
    /// Its recorded name.
    pub event_type: EventType,
    /// The shape of its payload.
    pub schema_version: u32,
    /// Its content, JSON.
    pub payload: Bytes,
    /// What is known beside its content.
    pub metadata: Metadata,
    /// Its labels.
    pub tags: Vec<Tag>,
}

impl NewEvent {
    /// An event with a fresh id, schema version 1, no metadata and no tags.
    pub fn new(event_type: EventType, payload: impl Into<Bytes>) -> Self {
        Self {
            id: EventId::generate(),
            event_type,
            schema_version: 1,
            payload: payload.into(),
            metadata: Metadata::new(),
            tags: Vec::new(),
        }
    }
}

/// An event as a store recorded it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Its identity.
    pub id: EventId,
    /// The log in which it stands.
    pub log: LogId,
    /// Its place in that log.
    pub position: Position,
    /// The stream to which it belongs.
    pub stream: StreamId,
    /// Its number in that stream.
    pub version: Version,
    /// Its recorded name.
    pub event_type: EventType,
    /// The shape of its payload.
    pub schema_version: u32,
    /// Its content, JSON.
    pub payload: Bytes,
    /// What is known beside its content.
    pub metadata: Metadata,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When the store recorded it; does not decrease within a log.
    pub recorded_at: DateTime<Utc>,
}

impl RecordedEvent {
    /// When it happened in the world; when it was recorded, where nobody said.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.metadata.when().unwrap_or(self.recorded_at)
    }

    /// What [`Event::upcast`] sees of it.
    pub fn stored(&self) -> StoredEvent {
        StoredEvent {
            event_type: self.event_type.clone(),
            schema_version: self.schema_version,
            payload: self.payload.clone(),
        }
    }

    /// An estimate of the memory that it takes, in bytes, for pages that are bounded by size.
    pub fn size(&self) -> usize {
        std::mem::size_of::<Self>() + self.payload.len() + self.stream.name().len()
    }
}

/// A recorded event with its content decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<E> {
    /// The content.
    pub data: E,
    /// Its identity.
    pub id: EventId,
    /// The log in which it stands.
    pub log: LogId,
    /// Its place in that log.
    pub position: Position,
    /// The stream to which it belongs.
    pub stream: StreamId,
    /// Its number in that stream.
    pub version: Version,
    /// What is known beside its content.
    pub metadata: Metadata,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When the store recorded it.
    pub recorded_at: DateTime<Utc>,
}

impl<E> Recorded<E> {
    /// Puts decoded content in the place of the payload.
    pub fn new(data: E, event: RecordedEvent) -> Self {
        Self {
            data,
            id: event.id,
            log: event.log,
            position: event.position,
            stream: event.stream,
            version: event.version,
            metadata: event.metadata,
            tags: event.tags,
            recorded_at: event.recorded_at,
        }
    }

    /// When it happened in the world; when it was recorded, where nobody said.
    pub fn occurred_at(&self) -> DateTime<Utc> {
        self.metadata.when().unwrap_or(self.recorded_at)
    }
}
