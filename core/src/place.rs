//! Where an event stands: version in its stream, position in its log, and cursors over several logs.

use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::InputError;

/// An event's number in its stream, from 1.
///
/// A stream without events has no version, which is `None` of `Option<Version>`.
///
/// ```
/// use factum::Version;
///
/// let first = Version::FIRST;
/// assert_eq!(first.next(), Version::new(2)?);
/// assert!(Version::new(0).is_err());
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(NonZeroU64);

impl Version {
    /// The version of a stream's first event.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The version with this number.
    ///
    /// # Errors
    /// [`InputError::Zero`] for 0.
    pub fn new(number: u64) -> Result<Self, InputError> {
        NonZeroU64::new(number).map(Self).ok_or(InputError::Zero { what: "version" })
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The version of the event after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The version that follows `last` in a stream whose last version that is.
    #[must_use]
    pub fn after(last: Option<Self>) -> Self {
        last.map_or(Self::FIRST, Self::next)
    }

    /// The version of the `count`-th event after `last`; `last` itself for 0.
    #[must_use]
    pub fn advance(last: Option<Self>, count: u64) -> Option<Self> {
        NonZeroU64::new(last.map_or(0, Self::get).saturating_add(count)).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One ordered part of a store. A store made of one log has only [`LogId::FIRST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogId(u32);

impl LogId {
    /// The only log of a store that has one, and the first of a store that has several.
    pub const FIRST: Self = Self(0);

    /// The log with this number.
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event's place in its log. Later events have greater positions; nothing else may be computed from them.
///
/// There is no arithmetic: only a store knows which position follows another. How many events lie between two is asked
/// of the store.
///
/// ```
/// use factum::Position;
///
/// assert!(Position::START < Position::new(1));
/// assert_eq!("17".parse::<Position>()?, Position::new(17));
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// Before the first event of a log.
    pub const START: Self = Self(0);
    /// After every event of a log. Fits a signed 64-bit column.
    pub const END: Self = Self(i64::MAX as u64);

    /// The position with this number, at most [`Position::END`].
    pub fn new(number: u64) -> Self {
        Self(number.min(Self::END.0))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as databases hold it.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = InputError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::new).map_err(|_| InputError::Malformed {
            what: "position",
            text: text.to_owned(),
            expected: "a whole number such as 29344",
        })
    }
}

/// How far a reader is: one position for each log of a store.
///
/// A log that a cursor does not name stands at its start. Cursors are only partially ordered: one is at or past another
/// if it is in every log. Where there is one log, a position is a cursor.
///
/// ```
/// use factum::{Cursor, LogId, Position};
///
/// let one = Cursor::from(Position::new(17));
/// assert_eq!(one.to_string(), "17");
///
/// let mut a = one.clone();
/// a.set(LogId::new(1), Position::new(4));
/// let b = Cursor::from(Position::new(18));
/// assert!(one < a && one < b);
/// assert_eq!(a.partial_cmp(&b), None);
/// assert_eq!(a.to_string().parse::<Cursor>()?, a);
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cursor(Vec<(LogId, Position)>);

impl Cursor {
    /// Before the first event of every log.
    pub fn start() -> Self {
        Self::default()
    }

    /// The cursor that stands at `position` in `log` and at the start of every other.
    pub fn of(log: LogId, position: Position) -> Self {
        let mut cursor = Self::default();
        cursor.set(log, position);
        cursor
    }

    /// The position in `log`.
    pub fn get(&self, log: LogId) -> Position {
        self.0.iter().find(|(l, _)| *l == log).map_or(Position::START, |(_, p)| *p)
    }

    /// Moves the cursor to `position` in `log`, forwards or backwards.
    pub fn set(&mut self, log: LogId, position: Position) {
        match self.0.binary_search_by_key(&log, |(l, _)| *l) {
            Ok(at) if position == Position::START => {
                self.0.remove(at);
            }
            Ok(at) => self.0[at].1 = position,
            Err(_) if position == Position::START => {}
            Err(at) => self.0.insert(at, (log, position)),
        }
    }

    /// Moves the cursor forwards where `other` is further.
    pub fn merge(&mut self, other: &Self) {
        for (log, position) in other.positions() {
            if self.get(log) < position {
                self.set(log, position);
            }
        }
    }

    /// The logs in which the cursor is past the start, and where it stands.
    pub fn positions(&self) -> impl Iterator<Item = (LogId, Position)> + '_ {
        self.0.iter().copied()
    }
}

impl From<Position> for Cursor {
    fn from(position: Position) -> Self {
        Self::of(LogId::FIRST, position)
    }
}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let at_or_past = |a: &Self, b: &Self| b.positions().all(|(log, position)| a.get(log) >= position);
        match (at_or_past(self, other), at_or_past(other, self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

/// `17` for a cursor in the first log only, otherwise `0:17,1:4`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("0"),
            [(LogId::FIRST, position)] => position.fmt(f),
            several => {
                for (n, (log, position)) in several.iter().enumerate() {
                    let comma = if n == 0 { "" } else { "," };
                    write!(f, "{comma}{log}:{position}")?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Cursor {
    type Err = InputError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InputError::Malformed {
            what: "cursor",
            text: text.to_owned(),
            expected: "a position such as 17, or log:position pairs such as 0:17,1:4",
        };
        if let Ok(position) = text.parse::<Position>() {
            return Ok(Self::from(position));
        }
        let mut cursor = Self::default();
        for pair in text.split(',') {
            let (log, position) = pair.split_once(':').ok_or_else(malformed)?;
            let log = log.parse().map(LogId::new).map_err(|_| malformed())?;
            cursor.set(log, position.parse().map_err(|_| malformed())?);
        }
        Ok(cursor)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => Position::START.serialize(serializer),
            [(LogId::FIRST, position)] => position.serialize(serializer),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Number(u64),
            Text(String),
        }
        match Shape::deserialize(deserializer)? {
            Shape::Number(number) => Ok(Self::from(Position::new(number))),
            Shape::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cursors() -> impl Strategy<Value = Cursor> {
        proptest::collection::vec((0u32..4, 0u64..5), 0..6).prop_map(|pairs| {
            let mut cursor = Cursor::start();
            for (log, position) in pairs {
                cursor.set(LogId::new(log), Position::new(position));
            }
            cursor
        })
    }

    proptest! {
        #[test]
        fn a_cursor_survives_text_and_json(cursor in cursors()) {
            prop_assert_eq!(&cursor.to_string().parse::<Cursor>().unwrap(), &cursor);
            let json = serde_json::to_string(&cursor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
        }

        #[test]
        fn merge_is_the_least_upper_bound(a in cursors(), b in cursors(), c in cursors()) {
            let mut both = a.clone();
            both.merge(&b);
            prop_assert!(both >= a && both >= b);
            if c >= a && c >= b {
                prop_assert!(c >= both);
            }
        }

        #[test]
        fn the_order_is_partial_and_antisymmetric(a in cursors(), b in cursors()) {
            prop_assert_eq!(a.partial_cmp(&b), b.partial_cmp(&a).map(Ordering::reverse));
            prop_assert_eq!(a == b, a.partial_cmp(&b) == Some(Ordering::Equal));
        }
    }

    #[test]
    fn versions_count_from_one() {
        assert_eq!(Version::after(None).get(), 1);
        assert_eq!(Version::advance(None, 0), None);
        assert_eq!(Version::advance(Some(Version::FIRST), 2).map(Version::get), Some(3));
    }
}
