//! What a reader asks for and what it gets: pages, bounded by count and by bytes.

use crate::event::RecordedEvent;
use crate::metadata::EventId;
use crate::place::{LogId, Position, Version};
use crate::query::Query;
use crate::stream::StreamId;

/// How many positions one call of [`read_positions`](crate::EventStore::read_positions) may ask for.
pub const MAX_POSITIONS: usize = 1_000;

/// From old to new or from new to old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From old to new.
    #[default]
    Forward,
    /// From new to old.
    Backward,
}

/// How large a page may become. A page holds at least one event if there is any, however large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// How many events at most.
    pub events: usize,
    /// How many bytes of events at most, by [`RecordedEvent::size`]; the event that exceeds it is the page's last.
    pub bytes: usize,
}

impl PageLimit {
    /// Pages of at most `events` events and 4 MiB.
    pub fn events(events: usize) -> Self {
        Self { events: events.max(1), ..Self::default() }
    }

    /// The same with another bound on bytes.
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }
}

impl Default for PageLimit {
    fn default() -> Self {
        Self { events: 1_000, bytes: 4 << 20 }
    }
}

/// A request for a page of one stream.
///
/// ```
/// use factum::{Direction, ReadStream, StreamId, Version};
///
/// let all = ReadStream::new(StreamId::new("account-2378")?);
/// let last = ReadStream::new(StreamId::new("account-2378")?).backward().limit(1);
/// assert_eq!((all.direction, last.direction), (Direction::Forward, Direction::Backward));
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStream {
    /// Which stream.
    pub stream: StreamId,
    /// Where the page begins: with the event that follows this one in the direction of reading; `None`: at the end
    /// from which that direction starts.
    pub after: Option<Version>,
    /// The last version to be read; only where reading forward.
    pub up_to: Option<Version>,
    /// In which direction.
    pub direction: Direction,
    /// How much at most.
    pub limit: PageLimit,
}

impl ReadStream {
    /// The first page of a stream, from its first event.
    pub fn new(stream: StreamId) -> Self {
        Self { stream, after: None, up_to: None, direction: Direction::Forward, limit: PageLimit::default() }
    }

    /// Beginning after this version in the direction of reading.
    #[must_use]
    pub fn after(mut self, version: Option<Version>) -> Self {
        self.after = version;
        self
    }

    /// Ending with this version, where reading forward.
    #[must_use]
    pub fn up_to(mut self, version: Version) -> Self {
        self.up_to = Some(version);
        self
    }

    /// From new to old.
    #[must_use]
    pub fn backward(mut self) -> Self {
        self.direction = Direction::Backward;
        self
    }

    /// At most `events` events.
    #[must_use]
    pub fn limit(mut self, events: usize) -> Self {
        self.limit = PageLimit::events(events);
        self
    }
}

/// A page of one stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamPage {
    /// The events, in the direction of reading.
    pub events: Vec<RecordedEvent>,
    /// Whether the stream, or what was asked of it, ended with this page when it was read.
    pub end: bool,
}

/// A request for a page of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadLog {
    /// Which log.
    pub log: LogId,
    /// Where the page begins: with the event that follows this position in the direction of reading.
    pub after: Position,
    /// The last position to be read; only where reading forward.
    pub up_to: Position,
    /// In which direction.
    pub direction: Direction,
    /// Which events.
    pub filter: Query,
    /// How much at most.
    pub limit: PageLimit,
}

impl ReadLog {
    /// A page of every event that follows `after`.
    pub fn after(log: LogId, after: Position) -> Self {
        Self {
            log,
            after,
            up_to: Position::END,
            direction: Direction::Forward,
            filter: Query::all(),
            limit: PageLimit::default(),
        }
    }

    /// A page of every event before `before`, from new to old. Start with [`Position::END`].
    pub fn before(log: LogId, before: Position) -> Self {
        Self { direction: Direction::Backward, ..Self::after(log, before) }
    }

    /// Only these events.
    #[must_use]
    pub fn filter(mut self, filter: Query) -> Self {
        self.filter = filter;
        self
    }

    /// Ending with this position, where reading forward.
    #[must_use]
    pub fn up_to(mut self, position: Position) -> Self {
        self.up_to = position;
        self
    }

    /// With this bound on the page.
    #[must_use]
    pub fn limit(mut self, limit: PageLimit) -> Self {
        self.limit = limit;
        self
    }
}

/// A place in a log and the event that stands there: what tells a log from another with the same positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The position.
    pub position: Position,
    /// The event at that position.
    pub event: EventId,
}

/// A page of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogPage {
    /// The events that matched, in the direction of reading.
    pub events: Vec<RecordedEvent>,
    /// How far the page has looked: no further event at or before it (in the direction of reading) matches. The next
    /// page begins after it. `None` where there was nothing to look at.
    pub reached: Option<Mark>,
    /// Whether the log, or what was asked of it, ended there when it was read.
    pub end: bool,
}
