//! What a store is asked to record, and what it answers.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::NewEvent;
use crate::limits::{InputError, Limits, MAX_NAME, check_text};
use crate::place::{Cursor, LogId, Position, Version};
use crate::query::Query;
use crate::stream::{StreamId, Tenant};

/// What must hold of a stream for an append to it.
///
/// ```
/// use factum::{Condition, Version};
///
/// assert!(Condition::NoStream.holds(None));
/// assert!(Condition::from(Some(Version::FIRST)).holds(Some(Version::FIRST)));
/// assert!(!Condition::Exists.holds(None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Whatever it holds.
    Any,
    /// It has no event yet.
    NoStream,
    /// It has at least one event.
    Exists,
    /// Its last event has this version.
    Version(Version),
}

impl Condition {
    /// Whether the condition holds for a stream whose last version is `actual`.
    pub fn holds(self, actual: Option<Version>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual.is_none(),
            Self::Exists => actual.is_some(),
            Self::Version(expected) => actual == Some(expected),
        }
    }
}

/// The condition that a stream is still as it was loaded.
impl From<Option<Version>> for Condition {
    fn from(version: Option<Version>) -> Self {
        version.map_or(Self::NoStream, Self::Version)
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("anything"),
            Self::NoStream => f.write_str("no stream"),
            Self::Exists => f.write_str("an existing stream"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// What must hold of a log for an append: no event that matches `query` came after `after`.
///
/// This is the dynamic consistency boundary: the decision depends on what the query found, wherever it lies.
/// See <https://dcb.events>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryCondition {
    /// Which events would change the decision.
    pub query: Query,
    /// Up to where they were taken into account.
    pub after: Cursor,
}

/// The events that one append adds to one stream, and what must hold of that stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// What must hold of it.
    pub condition: Condition,
    /// What is added; may be empty, to state a condition on a stream or where a key belongs.
    pub events: Vec<NewEvent>,
}

/// The identity of a command, chosen by whoever sends it, unique within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    tenant: Tenant,
    text: String,
}

impl Key {
    /// A key of the default tenant.
    ///
    /// # Errors
    /// [`InputError`] where the text is empty, longer than 255 bytes or holds a NUL.
    pub fn new(text: impl Into<String>) -> Result<Self, InputError> {
        let text = text.into();
        check_text("key", &text, MAX_NAME)?;
        Ok(Self { tenant: Tenant::default(), text })
    }

    /// The key of the same text that belongs to `tenant`.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Whose key it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A digest of what a keyed command asks for, to tell a repetition from another command under the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(Uuid);

impl Fingerprint {
    /// The digest of some bytes: the same on every machine and in every release (a UUIDv5, RFC 9562).
    pub fn of(content: &[u8]) -> Self {
        const NAMESPACE: Uuid = Uuid::from_u128(0x6661_6374_756d_0000_8000_0000_0000_0001);
        Self(Uuid::new_v5(&NAMESPACE, content))
    }

    /// The digest as a UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for Fingerprint {
    fn from(digest: Uuid) -> Self {
        Self(digest)
    }
}

/// A key, what it stands for, and what to remember under it if the append holds no events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The key.
    pub key: Key,
    /// What the command asks for.
    pub fingerprint: Fingerprint,
    /// Why the command was refused; `None` if it was not.
    pub refusal: Option<String>,
}

impl Keyed {
    /// The same under a key of `tenant`, unless its key names a tenant itself.
    pub(crate) fn in_tenant(mut self, tenant: &Tenant) -> Self {
        if self.key.tenant.is_default() {
            self.key.tenant = tenant.clone();
        }
        self
    }
}

/// One atomic set of writes: all of it is recorded, or nothing.
///
/// ```
/// use factum::{Append, Condition, EventType, NewEvent, StreamId};
///
/// let opened = NewEvent::new(EventType::new("Opened")?, r#"{"owner":"Jana"}"#);
/// let append = Append::to(StreamId::new("account-2378")?, Condition::NoStream, vec![opened]);
/// append.check(&factum::Limits::default())?;
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Append {
    /// What is written to which streams.
    pub writes: Vec<StreamWrite>,
    /// What must hold beside the conditions of the writes.
    pub query_condition: Option<QueryCondition>,
    /// The key under which the outcome is remembered.
    pub keyed: Option<Keyed>,
}

impl Append {
    /// An append to one stream.
    pub fn to(stream: StreamId, condition: Condition, events: Vec<NewEvent>) -> Self {
        Self { writes: vec![StreamWrite { stream, condition, events }], ..Self::default() }
    }

    /// With a further stream.
    #[must_use]
    pub fn and(mut self, stream: StreamId, condition: Condition, events: Vec<NewEvent>) -> Self {
        self.writes.push(StreamWrite { stream, condition, events });
        self
    }

    /// With a query condition.
    #[must_use]
    pub fn when(mut self, condition: QueryCondition) -> Self {
        self.query_condition = Some(condition);
        self
    }

    /// With a key under which the outcome is remembered.
    #[must_use]
    pub fn keyed(mut self, keyed: Keyed) -> Self {
        self.keyed = Some(keyed);
        self
    }

    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.writes.iter().map(|write| write.events.len()).sum()
    }

    /// What is to be remembered under its key if it is recorded without events.
    pub fn outcome_without_events(&self) -> Outcome {
        match self.keyed.as_ref().and_then(|keyed| keyed.refusal.clone()) {
            Some(reason) => Outcome::Refused { reason },
            None => Outcome::Empty,
        }
    }

    /// Refuses what no store takes. Every store calls this before anything else.
    ///
    /// # Errors
    /// [`InputError`] names the first limit that is broken.
    pub fn check(&self, limits: &Limits) -> Result<(), InputError> {
        if self.events() == 0 && self.keyed.is_none() {
            return Err(InputError::NothingToAppend);
        }
        if let [write] = self.writes.as_slice()
            && let [event] = write.events.as_slice()
        {
            return check_event(&write.stream, event, limits);
        }
        let mut streams = HashSet::with_capacity(self.writes.len());
        let mut ids = HashSet::with_capacity(self.events());
        for write in &self.writes {
            if !streams.insert(&write.stream) {
                return Err(InputError::StreamTwice { stream: write.stream.to_string() });
            }
            for event in &write.events {
                check_event(&write.stream, event, limits)?;
                if !ids.insert(event.id) {
                    return Err(InputError::EventIdTwice { id: event.id.to_string() });
                }
            }
        }
        Ok(())
    }
}

fn check_event(stream: &StreamId, event: &NewEvent, limits: &Limits) -> Result<(), InputError> {
    let len = event.payload.len();
    if len > limits.max_payload {
        return Err(InputError::PayloadTooLarge {
            stream: stream.to_string(),
            event_type: event.event_type.to_string(),
            len,
            max: limits.max_payload,
        });
    }
    if !is_json(&event.payload) {
        return Err(InputError::PayloadNotJson {
            stream: stream.to_string(),
            event_type: event.event_type.to_string(),
        });
    }
    let mut tags = HashSet::new();
    if let Some(tag) = event.tags.iter().find(|tag| !tags.insert(*tag)) {
        return Err(InputError::TagTwice {
            stream: stream.to_string(),
            event_type: event.event_type.to_string(),
            tag: tag.to_string(),
        });
    }
    Ok(())
}

/// JSON is UTF-8 throughout (RFC 8259, 8.1); what is skipped in a slice of bytes is not looked at for that.
fn is_json(payload: &[u8]) -> bool {
    std::str::from_utf8(payload).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// The versions that an append gave to the events of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The stream.
    pub stream: StreamId,
    /// The version of the first event.
    pub first: Version,
    /// The version of the last event.
    pub last: Version,
}

/// What became of a command: remembered under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Its events were recorded.
    Accepted {
        /// The log in which they stand.
        log: LogId,
        /// The position of the first.
        first: Position,
        /// The position of the last.
        last: Position,
        /// When they were recorded.
        recorded_at: DateTime<Utc>,
        /// Their versions, by stream, in the order of the writes; streams without events are left out.
        versions: Vec<Versions>,
    },
    /// It decided that nothing was to happen.
    Empty,
    /// It was refused.
    Refused {
        /// Why.
        reason: String,
    },
}

/// What a store keeps under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// What the command asked for.
    pub fingerprint: Fingerprint,
    /// What became of it.
    pub outcome: Outcome,
}

/// A store's answer to an append that was recorded, now or before under the same key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// What became of it.
    pub outcome: Outcome,
    /// Whether it had been recorded before under the same key, so that nothing was written now.
    pub already: bool,
    /// What to wait for, so that a read model shows it.
    pub cursor: Cursor,
}

impl Appended {
    /// The answer for an outcome: its cursor stands at the last event that it recorded.
    pub fn new(outcome: Outcome, already: bool) -> Self {
        let cursor = match &outcome {
            Outcome::Accepted { log, last, .. } => Cursor::of(*log, *last),
            _ => Cursor::start(),
        };
        Self { outcome, already, cursor }
    }

    /// The last version that it gave to an event of `stream`.
    pub fn version(&self, stream: &StreamId) -> Option<Version> {
        match &self.outcome {
            Outcome::Accepted { versions, .. } => versions.iter().find(|v| v.stream == *stream).map(|v| v.last),
            _ => None,
        }
    }
}
