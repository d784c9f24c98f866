//! What is known about an event beside its content.

use std::collections::BTreeMap;

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::limits::{InputError, MAX_NAME, check_text};
use crate::text::text_type;

/// Cuts a time to whole microseconds, which every store can hold.
///
/// ```
/// use chrono::{DateTime, Utc};
///
/// let fine: DateTime<Utc> = "2026-11-21T08:00:00.123456789Z".parse()?;
/// assert_eq!(factum::to_micros(fine).to_rfc3339(), "2026-11-21T08:00:00.123456+00:00");
/// # Ok::<(), chrono::ParseError>(())
/// ```
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// The identity of one event, a UUIDv7 made before the append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id that sorts roughly by time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a UUID.
    pub fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn check_tag(text: &str) -> Result<(), InputError> {
    check_text("tag", text, MAX_NAME)
}

text_type! {
    /// A label by which decisions that span streams find their events, such as `course:c1`.
    Tag, check_tag
}

/// What is known about an event beside its content: who, why and when.
///
/// ```
/// use factum::Metadata;
///
/// let metadata = Metadata::new()
///     .actor("teller 7")
///     .occurred_at("1993-06-30T00:00:00Z".parse()?)
///     .with("branch", "Praha 1");
/// assert_eq!(metadata.get("branch").and_then(|v| v.as_str()), Some("Praha 1"));
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    occurred_at: Option<DateTime<Utc>>,
    // Most events of a bulk load carry only a time: a pointer keeps those small.
    more: Option<Box<More>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct More {
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "correlation_id")]
    correlation: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "causation_id")]
    causation: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rest: BTreeMap<String, Value>,
}

impl Metadata {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    fn more(mut self, set: impl FnOnce(&mut More)) -> Self {
        set(self.more.get_or_insert_default());
        self
    }

    /// With the time at which it happened in the world, cut to microseconds.
    #[must_use]
    pub fn occurred_at(mut self, time: DateTime<Utc>) -> Self {
        self.occurred_at = Some(to_micros(time));
        self
    }

    /// With the id that all that belongs to one request carries.
    #[must_use]
    pub fn correlation_id(self, id: Uuid) -> Self {
        self.more(|more| more.correlation = Some(id))
    }

    /// With the id of the event or command that caused it.
    #[must_use]
    pub fn causation_id(self, id: Uuid) -> Self {
        self.more(|more| more.causation = Some(id))
    }

    /// With who did it.
    #[must_use]
    pub fn actor(self, actor: impl Into<String>) -> Self {
        let actor = actor.into();
        self.more(|more| more.actor = Some(actor))
    }

    /// With an entry of the user's own.
    #[must_use]
    pub fn with(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.more(|more| {
            more.rest.insert(name, value);
        })
    }

    /// When it happened in the world, where somebody said so.
    pub fn when(&self) -> Option<DateTime<Utc>> {
        self.occurred_at
    }

    /// The id that all that belongs to one request carries.
    pub fn correlation(&self) -> Option<Uuid> {
        self.more.as_ref().and_then(|more| more.correlation)
    }

    /// The id of the event or command that caused it.
    pub fn causation(&self) -> Option<Uuid> {
        self.more.as_ref().and_then(|more| more.causation)
    }

    /// Who did it.
    pub fn who(&self) -> Option<&str> {
        self.more.as_ref().and_then(|more| more.actor.as_deref())
    }

    /// An entry of the user's own.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.more.as_ref().and_then(|more| more.rest.get(name))
    }

    /// All but the time, as a JSON object for a store's column; `None` where there is nothing.
    ///
    /// # Errors
    /// [`serde_json::Error`] where a value cannot be JSON.
    pub fn to_json(&self) -> Result<Option<String>, serde_json::Error> {
        match &self.more {
            Some(more) if **more != More::default() => serde_json::to_string(more).map(Some),
            _ => Ok(None),
        }
    }

    /// The inverse of [`Metadata::to_json`], beside the time that a store keeps in a column of its own.
    ///
    /// # Errors
    /// [`serde_json::Error`] where the text is not what [`Metadata::to_json`] wrote.
    pub fn from_parts(occurred_at: Option<DateTime<Utc>>, json: Option<&str>) -> Result<Self, serde_json::Error> {
        let more = json.map(serde_json::from_str).transpose()?;
        Ok(Self { occurred_at, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_its_parts() {
        let full = Metadata::new()
            .occurred_at(Utc::now())
            .correlation_id(Uuid::now_v7())
            .causation_id(Uuid::now_v7())
            .actor("teller 7")
            .with("n", 3);
        let json = full.to_json().unwrap();
        assert_eq!(Metadata::from_parts(full.when(), json.as_deref()).unwrap(), full);
        assert_eq!(Metadata::new().to_json().unwrap(), None);
    }
}
