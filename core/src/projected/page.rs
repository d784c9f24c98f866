//! The events of a page, decoded, and what stopped the decoding.

use chrono::Utc;

use super::ProjectedError;
use crate::codec::{DecodeError, EventSet};
use crate::event::{EventType, Recorded, RecordedEvent};
use crate::metadata::to_micros;
use crate::place::{LogId, Position, Version};
use crate::read::Mark;
use crate::read_model::Failure;
use crate::stream::StreamId;

/// Which event a projection stopped at, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The log of the event.
    pub log: LogId,
    /// Its position.
    pub position: Position,
    /// Its stream.
    pub stream: StreamId,
    /// Its version in that stream.
    pub version: Version,
    /// Its recorded type.
    pub event_type: String,
    /// Why it stopped there.
    pub why: StopCause,
}

/// Why a projection stopped at an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// This code cannot take it; what went wrong.
    Failed(String),
    /// It was recorded by newer code, under this schema version.
    Newer(u32),
}

impl Stopped {
    /// A stop at this event.
    pub fn at(event: &RecordedEvent, why: StopCause) -> Self {
        Self {
            log: event.log,
            position: event.position,
            stream: event.stream.clone(),
            version: event.version,
            event_type: event.event_type.to_string(),
            why,
        }
    }

    /// What is reported of an event that cannot be taken, since now.
    pub fn failure(&self, cause: &str) -> Failure {
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

/// What a projector is told of a stop.
impl From<&Stopped> for ProjectedError {
    fn from(stopped: &Stopped) -> Self {
        match &stopped.why {
            StopCause::Newer(schema_version) => Self::NeedsNewerCode {
                position: stopped.position,
                event_type: stopped.event_type.clone(),
                schema_version: *schema_version,
            },
            StopCause::Failed(cause) => Self::Halted(Box::new(stopped.failure(cause))),
        }
    }
}

/// A page as a projection takes it: its events, decoded, up to the first that cannot be taken.
///
/// For whoever implements [`Projected`](crate::Projected): what precedes [`stopped`](Self::stopped) can be applied,
/// with the checkpoint moved to [`last`](Self::last).
///
/// ```
/// use factum::{DecodedPage, Event};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened, Deposited { cents: i64 } }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// # let events = Vec::new();
/// let deposits = DecodedPage::<AccountEvent>::decode(events, &["Deposited"]);
/// assert!(deposits.events.is_empty() && deposits.stopped.is_none());
/// ```
#[derive(Debug)]
pub struct DecodedPage<E> {
    /// The events.
    pub events: Vec<Recorded<E>>,
    /// The event that follows them and cannot be taken.
    pub stopped: Option<Stopped>,
    types: Vec<EventType>,
}

impl<E: EventSet> DecodedPage<E> {
    /// Decodes events, and leaves out those that are of none of these types today; none of them, if no type is given.
    pub fn decode(events: Vec<RecordedEvent>, event_types: &[&str]) -> Self {
        let (events_of, types) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let mut page = Self { events: events_of, types, stopped: None };
        let mut events = events.into_iter();
        if let Err(cause) = catch_panic(|| page.decode_all(&mut events, event_types)) {
            page.stopped = events.as_slice().first().map(|event| Stopped::at(event, StopCause::Failed(cause)));
        }
        page
    }

    // The event at the front of `events` is the one that user code is busy with.
    fn decode_all(&mut self, events: &mut std::vec::IntoIter<RecordedEvent>, event_types: &[&str]) {
        while let Some(event) = events.as_slice().first() {
            match decode_taken(event, event_types) {
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
}

impl<E> DecodedPage<E> {
    /// The event with this index as one that cannot be taken; `None` if there is none.
    pub fn stopped_at(&self, index: usize, cause: String) -> Option<Stopped> {
        let (event, event_type) = (self.events.get(index)?, self.types.get(index)?);
        Some(Stopped {
            log: event.log,
            position: event.position,
            stream: event.stream.clone(),
            version: event.version,
            event_type: event_type.to_string(),
            why: StopCause::Failed(cause),
        })
    }

    /// Leaves what stands before the event with this index, and that event as what stopped the page.
    pub fn cut(&mut self, index: usize, cause: String) {
        if let Some(stopped) = self.stopped_at(index, cause) {
            self.stopped = Some(stopped);
        }
        self.events.truncate(index);
        self.types.truncate(index);
    }

    /// Where the event at this position stands in the page; the last one if it is not in it.
    pub fn index_of(&self, position: Position) -> usize {
        let last = self.events.len().saturating_sub(1);
        self.events.binary_search_by_key(&position, |event| event.position).unwrap_or(last)
    }

    /// The last event that is left.
    pub fn last(&self) -> Option<Mark> {
        self.events.last().map(|event| Mark { position: event.position, event: event.id })
    }
}

/// Runs user code; a panic becomes its message. Whatever that code was changing is to be thrown away then.
///
/// # Errors
/// What the panic said.
///
/// ```
/// assert_eq!(factum::catch_panic(|| 1 + 1), Ok(2));
/// ```
pub fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        message.map_or_else(|| "it panicked".to_owned(), |message| format!("it panicked: {message}"))
    })
}

fn decode_taken<E: EventSet>(event: &RecordedEvent, event_types: &[&str]) -> Result<Option<E>, StopCause> {
    let data = E::decode(event).map_err(|error| why(&error, event))?;
    if event_types.is_empty() {
        return Ok(Some(data));
    }
    let today = data.event_type().map_err(|error| StopCause::Failed(error.to_string()))?;
    let recorded = event.event_type.as_str();
    // An alias is a name that was asked for and is not today's; a former type was read for what it may have become.
    let is_alias = || event_types.contains(&recorded) && !E::former_types().contains(&recorded);
    Ok((event_types.contains(&today) || is_alias()).then_some(data))
}

fn why(error: &DecodeError, event: &RecordedEvent) -> StopCause {
    if error.needs_newer_code() { StopCause::Newer(event.schema_version) } else { StopCause::Failed(error.to_string()) }
}
