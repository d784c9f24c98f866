//! Reading pages of streams and logs.

use factum::{
    Cursor, Direction, LogId, LogPage, Mark, PageLimit, Position, ReadError, ReadLog, ReadStream, RecordedEvent,
    StreamPage, Version,
};

use crate::append::{Events, index_after, index_of_log};

impl Events {
    pub(crate) fn read_stream(&self, read: &ReadStream) -> StreamPage {
        let positions = self.streams.get(&read.stream).map_or(&[][..], Vec::as_slice);
        let number = |version: Option<Version>| version.map(|v| index_after(Position::new(v.get())));
        let (from, to) = match read.direction {
            Direction::Forward => (number(read.after).unwrap_or(0), number(read.up_to).unwrap_or(usize::MAX)),
            Direction::Backward => (0, number(read.after).map_or(usize::MAX, |before| before.saturating_sub(1))),
        };
        let wanted = between(positions, from, to);
        let log = self.logs.get(index_of_log(self.log_of_stream(&read.stream))).map_or(&[][..], Vec::as_slice);
        let mut page = Page::new(read.limit);
        for event in ordered(wanted, read.direction).filter_map(|position| at(log, *position)) {
            if !page.take(event) {
                break;
            }
        }
        StreamPage { end: page.events.len() == wanted.len(), events: page.events }
    }

    pub(crate) fn read_log(&self, read: &ReadLog) -> Result<LogPage, ReadError> {
        let events = self.existing(read.log)?;
        let wanted = match read.direction {
            Direction::Forward => between(events, index_after(read.after), index_after(read.up_to)),
            Direction::Backward => between(events, 0, index_after(read.after).saturating_sub(1)),
        };
        let mut page = Page::new(read.limit);
        let (mut looked_at, mut reached) = (0, None);
        for event in ordered(wanted, read.direction) {
            looked_at += 1;
            reached = Some(Mark { position: event.position, event: event.id });
            if read.filter.matches(event) && !page.take(event) {
                break;
            }
        }
        Ok(LogPage { events: page.events, reached, end: looked_at == wanted.len() })
    }

    pub(crate) fn read_positions(&self, log: LogId, asked: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        let events = self.existing(log)?;
        let mut asked = asked.to_vec();
        asked.sort_unstable();
        asked.dedup();
        Ok(asked.into_iter().filter_map(|position| at(events, position)).cloned().collect())
    }

    pub(crate) fn head(&self) -> Cursor {
        let mut head = Cursor::start();
        for last in self.logs.iter().filter_map(|events| events.last()) {
            head.set(last.log, last.position);
        }
        head
    }

    fn existing(&self, log: LogId) -> Result<&[RecordedEvent], ReadError> {
        self.logs.get(index_of_log(log)).map(Vec::as_slice).ok_or(ReadError::NoSuchLog { log })
    }
}

/// The event at a position.
fn at(events: &[RecordedEvent], position: Position) -> Option<&RecordedEvent> {
    events.get(index_after(position).checked_sub(1)?)
}

/// `all[from..to]`, cut to what there is.
fn between<T>(all: &[T], from: usize, to: usize) -> &[T] {
    let to = to.min(all.len());
    &all[from.min(to)..to]
}

fn ordered<T>(all: &[T], direction: Direction) -> Box<dyn Iterator<Item = &T> + '_> {
    match direction {
        Direction::Forward => Box::new(all.iter()),
        Direction::Backward => Box::new(all.iter().rev()),
    }
}

/// A page that is being filled.
struct Page {
    events: Vec<RecordedEvent>,
    bytes: usize,
    limit: PageLimit,
}

impl Page {
    fn new(limit: PageLimit) -> Self {
        Self { events: Vec::new(), bytes: 0, limit }
    }

    /// Takes an event; whether there is room for another.
    fn take(&mut self, event: &RecordedEvent) -> bool {
        self.bytes = self.bytes.saturating_add(event.size());
        self.events.push(event.clone());
        self.events.len() < self.limit.events && self.bytes <= self.limit.bytes
    }
}
