//! The events of a page, decoded, and what stopped the decoding.

use chrono::Utc;
use factum::{
    DecodeError, EventSet, EventType, Failure, LogId, Mark, Position, Recorded, RecordedEvent, StreamId, Version,
    to_micros,
};

use crate::projection::Projection;

/// Which event a fold failed on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stopped {
    pub(crate) log: LogId,
    pub(crate) position: Position,
    pub(crate) stream: StreamId,
    pub(crate) version: Version,
    pub(crate) event_type: String,
    pub(crate) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It cannot be taken by this code.
    Failed(String),
    /// It was recorded by newer code, under this schema version.
    Newer(u32),
}

impl Stopped {
    pub(crate) fn at(event: &RecordedEvent, why: Why) -> Self {
        Self {
            log: event.log,
            position: event.position,
            stream: event.stream.clone(),
            version: event.version,
            event_type: event.event_type.to_string(),
            why,
        }
    }

    /// What is reported of an event that cannot be taken.
    pub(crate) fn failure(&self, cause: &str) -> Failure {
        Failure {
            log: self.log,
            position: self.position,
            stream: self.stream.clone(),
            version: self.version,
            event_type: self.event_type.clone(),
            cause: cause.to_owned(),
            since: to_micros(Utc::now()),
        }
    }
}

/// A decoded page: the events up to the first that cannot be decoded.
pub(crate) struct Page<E> {
    pub(crate) events: Vec<Recorded<E>>,
    types: Vec<EventType>,
    pub(crate) stopped: Option<Stopped>,
}

impl<E: EventSet> Page<E> {
    /// Decodes events and leaves out those that a narrowed projection does not take.
    pub(crate) fn decode<P: Projection<Event = E>>(events: Vec<RecordedEvent>) -> Self {
        let (events_of, types) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let mut page = Self { events: events_of, types, stopped: None };
        let mut events = events.into_iter();
        if let Err(cause) = catching(|| page.decode_all::<P>(&mut events)) {
            page.stopped = events.as_slice().first().map(|event| Stopped::at(event, Why::Failed(cause)));
        }
        page
    }

    // The event at the front of `events` is the one that user code is busy with.
    fn decode_all<P: Projection<Event = E>>(&mut self, events: &mut std::vec::IntoIter<RecordedEvent>) {
        while let Some(event) = events.as_slice().first() {
            match decode_taken::<P>(event) {
                Ok(data) => {
                    if let (Some(event), Some(data)) = (events.next(), data) {
                        self.push(data, event);
                    }
                }
                Err(why) => {
                    self.stopped = Some(Stopped::at(event, why));
                    break;
                }
            }
        }
    }

    fn push(&mut self, data: E, event: RecordedEvent) {
        let RecordedEvent { id, log, position, stream, version, event_type, metadata, tags, recorded_at, .. } = event;
        self.types.push(event_type);
        self.events.push(Recorded { data, id, log, position, stream, version, metadata, tags, recorded_at });
    }

    /// What is left of the page before the event with this index, and that event as what stopped it.
    pub(crate) fn cut(&mut self, index: usize, cause: String) {
        if let (Some(event), Some(event_type)) = (self.events.get(index), self.types.get(index)) {
            self.stopped = Some(Stopped {
                log: event.log,
                position: event.position,
                stream: event.stream.clone(),
                version: event.version,
                event_type: event_type.to_string(),
                why: Why::Failed(cause),
            });
        }
        self.events.truncate(index);
        self.types.truncate(index);
    }

    /// Where the event at this position stands in the page; the last one if it is not in it.
    pub(crate) fn index_of(&self, position: Position) -> usize {
        let last = self.events.len().saturating_sub(1);
        self.events.binary_search_by_key(&position, |event| event.position).unwrap_or(last)
    }

    /// The last event that is left.
    pub(crate) fn last(&self) -> Option<Mark> {
        self.events.last().map(|event| Mark { position: event.position, event: event.id })
    }
}

/// Runs user code; a panic becomes its message.
pub(crate) fn catching<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever user code was changing is thrown away by the caller.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        message.map_or_else(|| "it panicked".to_owned(), |message| format!("it panicked: {message}"))
    })
}

fn decode_taken<P: Projection>(event: &RecordedEvent) -> Result<Option<P::Event>, Why> {
    let data = P::Event::decode(event).map_err(|error| why(&error, event))?;
    if P::EVENT_TYPES.is_empty() {
        return Ok(Some(data));
    }
    let today = data.event_type().map_err(|error| Why::Failed(error.to_string()))?;
    let recorded = event.event_type.as_str();
    // An alias is a name that was asked for and is not today's; a former type was read for what it may have become.
    let is_alias = || P::EVENT_TYPES.contains(&recorded) && !P::Event::former_types().contains(&recorded);
    Ok((P::EVENT_TYPES.contains(&today) || is_alias()).then_some(data))
}

fn why(error: &DecodeError, event: &RecordedEvent) -> Why {
    if error.needs_newer_code() { Why::Newer(event.schema_version) } else { Why::Failed(error.to_string()) }
}
