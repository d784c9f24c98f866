//! As of when.

use chrono::{DateTime, Utc};

use crate::event::RecordedEvent;
use crate::place::{Cursor, Version};

/// How things stood. Every bound is inclusive.
///
/// ```
/// use factum::{At, Position, Version};
///
/// let early = At::Version(Version::FIRST);
/// let then = At::from(Position::new(29_344));
/// let in_june = At::Occurred("1993-06-30T23:59:59.999999Z".parse()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// After the event with this version. Of a document: after those of its events whose version in their own stream
    /// is at most this.
    Version(Version),
    /// When the log, or each of the logs, had reached this position.
    Position(Cursor),
    /// By the events recorded at or before this time.
    Recorded(DateTime<Utc>),
    /// By the events that happened in the world at or before this time ([`RecordedEvent::occurred_at`]), in the order
    /// in which they were recorded. A later event may carry an earlier date, so the answer for a past time can change.
    Occurred(DateTime<Utc>),
}

impl At {
    /// Whether an event belongs to how things stood.
    pub fn includes(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::Version(version) => event.version <= *version,
            Self::Position(cursor) => event.position <= cursor.get(event.log),
            Self::Recorded(time) => event.recorded_at <= *time,
            Self::Occurred(time) => event.occurred_at() <= *time,
        }
    }

    /// Whether no event after one that is not included can be: true of every kind but `Occurred` within a stream.
    pub fn is_prefix_of_stream(&self) -> bool {
        !matches!(self, Self::Occurred(_))
    }
}

/// As it is written on a command line: `29344`, `version:3`, `recorded:1993-06-30T12:00:00Z` or `occurred:` and a time.
impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
        match self {
            Self::Version(version) => write!(f, "version:{version}"),
            Self::Position(cursor) => cursor.fmt(f),
            Self::Recorded(at) => write!(f, "recorded:{}", time(at)),
            Self::Occurred(at) => write!(f, "occurred:{}", time(at)),
        }
    }
}

impl From<crate::Position> for At {
    fn from(position: crate::Position) -> Self {
        Self::Position(Cursor::from(position))
    }
}

impl From<Cursor> for At {
    fn from(cursor: Cursor) -> Self {
        Self::Position(cursor)
    }
}

/// The greatest of everything that [`At`] asks about, over the events folded into a state or a document.
///
/// A saved state may serve as the base of an answer if all of its bounds that matter lie within what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The log of the events.
    pub log: crate::LogId,
    /// The greatest position.
    pub position: crate::Position,
    /// The greatest version.
    pub version: Version,
    /// The latest time of recording.
    pub recorded_at: DateTime<Utc>,
    /// The latest time of happening.
    pub occurred_at: DateTime<Utc>,
}

impl Bounds {
    /// The bounds of one event.
    pub fn of(event: &RecordedEvent) -> Self {
        Self {
            log: event.log,
            position: event.position,
            version: event.version,
            recorded_at: event.recorded_at,
            occurred_at: event.occurred_at(),
        }
    }

    /// The bounds of what these are of, and of `other`. Both lie in one log.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            log: self.log,
            position: self.position.max(other.position),
            version: self.version.max(other.version),
            recorded_at: self.recorded_at.max(other.recorded_at),
            occurred_at: self.occurred_at.max(other.occurred_at),
        }
    }

    /// Whether every event within these bounds belongs to how things stood at `at`.
    pub fn within(&self, at: &At) -> bool {
        match at {
            At::Version(version) => self.version <= *version,
            At::Position(cursor) => self.position <= cursor.get(self.log),
            At::Recorded(time) => self.recorded_at <= *time,
            At::Occurred(time) => self.occurred_at <= *time,
        }
    }
}
