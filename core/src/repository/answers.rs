//! Where the events of each command of a round stand.

use chrono::{DateTime, Utc};

use super::decide::Decided;
use super::{Core, Executed};
use crate::aggregate::Aggregate;
use crate::append::{Appended, Outcome, Versions};
use crate::at::Bounds;
use crate::place::{Cursor, LogId, Position, Version};
use crate::read::ReadStream;
use crate::stream::StreamId;

/// The place of a round in its stream and log.
pub(super) struct Places {
    /// The version before its events.
    version: Option<Version>,
    /// What was before its events.
    bounds: Option<Bounds>,
    events: Option<Events>,
}

struct Events {
    log: LogId,
    first: Position,
    last: Position,
    recorded_at: DateTime<Utc>,
    positions: Positions,
}

enum Positions {
    /// There is no room between them for others.
    Dense,
    /// These.
    Listed(Vec<Position>),
    /// Somewhere between the first and the last.
    Within,
}

impl Places {
    /// Of a round without events.
    pub(super) fn before<A>(decided: &Decided<A>) -> Self {
        Self { version: decided.version, bounds: decided.bounds, events: None }
    }

    fn version(&self, events: usize) -> Option<Version> {
        Version::advance(self.version, events as u64)
    }

    pub(super) fn accepted(&self, stream: &StreamId, before: usize, count: usize, attempts: u32) -> Executed {
        let Some(events) = &self.events else { return self.empty(stream, before, attempts) };
        let version = self.version(before + count);
        let versions = version.map(|last| Versions {
            stream: stream.clone(),
            first: self.version(before + 1).unwrap_or(last),
            last,
        });
        let last = events.last_of(before + count - 1);
        let outcome = Outcome::Accepted {
            log: events.log,
            first: events.first_of(before),
            last,
            recorded_at: events.recorded_at,
            versions: versions.into_iter().collect(),
        };
        let cursor = Cursor::of(events.log, last);
        Executed { stream: stream.clone(), version, outcome, cursor, already: false, attempts }
    }

    /// For a command that came after so many events of the round and added none.
    pub(super) fn empty(&self, stream: &StreamId, before: usize, attempts: u32) -> Executed {
        let cursor = match (&self.events, before.checked_sub(1)) {
            (Some(events), Some(last)) => Cursor::of(events.log, events.last_of(last)),
            _ => self.bounds.map_or_else(Cursor::start, |bounds| Cursor::of(bounds.log, bounds.position)),
        };
        let version = self.version(before);
        Executed { stream: stream.clone(), version, outcome: Outcome::Empty, cursor, already: false, attempts }
    }
}

impl Events {
    fn first_of(&self, event: usize) -> Position {
        self.at(event).unwrap_or(self.first)
    }

    fn last_of(&self, event: usize) -> Position {
        self.at(event).unwrap_or(self.last)
    }

    fn at(&self, event: usize) -> Option<Position> {
        match &self.positions {
            Positions::Dense => Some(Position::new(self.first.get().saturating_add(event as u64))),
            Positions::Listed(positions) => positions.get(event).copied(),
            Positions::Within => None,
        }
    }
}

impl<A: Aggregate> Core<A> {
    /// The places of the events of an append that was recorded.
    ///
    /// Positions of one append rise; if as many numbers as events lie from the first to the last, each of them is one.
    /// Where there are more, the stream says which.
    pub(super) async fn places(
        &self,
        stream: &StreamId,
        decided: &Decided<A>,
        appended: &Appended,
        count: usize,
    ) -> Places {
        let mut places = Places::before(decided);
        let Outcome::Accepted { log, first, last, recorded_at, .. } = &appended.outcome else { return places };
        let positions = if last.get().checked_sub(first.get()) == Some(count as u64 - 1) {
            Positions::Dense
        } else {
            let listed = self.positions(stream, decided.version, count).await;
            listed.map_or(Positions::Within, Positions::Listed)
        };
        places.events = Some(Events { log: *log, first: *first, last: *last, recorded_at: *recorded_at, positions });
        places
    }

    /// The positions of so many events after a version; `None` where they cannot be had.
    async fn positions(&self, stream: &StreamId, after: Option<Version>, count: usize) -> Option<Vec<Position>> {
        let events = self.events_after(ReadStream::new(stream.clone()).after(after), count).await.ok()?;
        (events.len() == count).then(|| events.iter().map(|event| event.position).collect())
    }
}
