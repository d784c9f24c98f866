//! What a user writes: a pure function from events to documents.

use std::borrow::Cow;

use factum::{EncodeError, EventFilterError, EventSet, Field, InputError, Query, Recorded, event_filter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::fields::FieldValues;

/// A pure function from events to the documents of a read model.
///
/// Nothing in it reads a clock or does I/O, so the framework may run it again: into a new generation while the old one
/// serves, or up to a moment in the past.
///
/// ```
/// use factum::{Event, Recorded};
/// use factum_projections::{Keys, Projection};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened { owner: String }, Deposited { cents: i64 }, Closed }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// #[derive(Serialize, Deserialize)]
/// struct Balance { cents: i64 }
///
/// struct Balances;
///
/// impl Projection for Balances {
///     const NAME: &'static str = "balances";
///     type Event = AccountEvent;
///     type Document = Balance;
///
///     fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
///         keys.push(event.stream.id());
///     }
///
///     fn apply(&self, _key: &str, balance: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
///         match &event.data {
///             AccountEvent::Opened { .. } => *balance = Some(Balance { cents: 0 }),
///             AccountEvent::Deposited { cents } => {
///                 if let Some(balance) = balance {
///                     balance.cents += cents;
///                 }
///             }
///             AccountEvent::Closed => *balance = None,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection",
    note = "implement `factum_projections::Projection` for it"
)]
pub trait Projection: Send + Sync + 'static {
    /// What it is called, in checkpoints and on the command line.
    const NAME: &'static str;

    /// Raised when the same events shall lead to other documents. Each version has read models of its own, so an old
    /// and a new deployment run side by side.
    const VERSION: u32 = 1;

    /// The event types that it takes; every one of its categories if there are none. Narrow it where most events
    /// are of no interest. The types that [`FORMER_TYPES`](factum::Event::FORMER_TYPES) names are read too, and
    /// dropped if they are none of these once they are upcast.
    const EVENT_TYPES: &'static [&'static str] = &[];

    /// The distance, in positions of a log, at which versions of a changed document are kept, at least 1. A smaller
    /// one makes looking at the past cheaper and the read model larger.
    ///
    /// However busy a document is, how it was at a position, or by a time of recording, is folded from at most
    /// `KEEP_EVERY + KEEP_AFTER - 1` events of each log. What an answer by a time of happening reads is said with
    /// [`ReadModel::get_at`](crate::ReadModel::get_at).
    const KEEP_EVERY: u64 = 10_000;

    /// How many events a document must have had since its last kept version for another to be worth keeping. Without
    /// it (0 or 1), a read model of many quiet documents would keep nearly one version for each event.
    const KEEP_AFTER: usize = 16;

    /// For how many positions of a log before its checkpoint the past is kept; `None`, the default: for ever.
    ///
    /// Kept versions that only older answers need are forgotten as events are folded, some with each commit: a read model
    /// of busy documents then stays about as large as its retention, however long the log is. Of each document one version
    /// from before is kept as well, so that none is missing at the oldest position, and current documents are never
    /// forgotten. Asking for what was forgotten is [`Forgotten`](crate::DocumentError::Forgotten), which says the oldest
    /// position that can be had.
    ///
    /// The unit is positions and not time so that a replay keeps what a worker has kept that went along. A shorter one takes
    /// effect as the projection goes on; a longer one lets the past that is still kept grow, and to have back what was
    /// forgotten takes a replay. Choose it so that it is not passed while a listing is read: several times
    /// [`KEEP_EVERY`](Projection::KEEP_EVERY).
    const KEEP_FOR: Option<u64> = None;

    /// By which fields documents are found and sorted, with [`ReadModel::find`](crate::ReadModel::find): each is an index
    /// that is kept up with the documents, and is paid for at each write of one. Without any nothing is paid.
    ///
    /// A generation keeps the fields that were declared when it was made. Where they change, raise
    /// [`VERSION`](Projection::VERSION), or replay: until then a new field is
    /// [`NoField`](factum::ReadModelError::NoField), and one that is no longer declared is no longer kept up.
    const FIELDS: &'static [Field] = &[];

    /// The events: one event enum, or several through [`event_set!`](factum::event_set).
    type Event: EventSet;

    /// What is kept under each key.
    type Document: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Which documents an event changes. Keys belong to the tenant of the event's stream.
    fn keys(&self, event: &Recorded<Self::Event>, keys: &mut Keys);

    /// Takes an event into one of its documents. `None`: there is none, or it was deleted.
    ///
    /// A panic halts the projection at this event, as an error of [`try_apply`](Projection::try_apply) does.
    fn apply(&self, key: &str, document: &mut Option<Self::Document>, event: &Recorded<Self::Event>);

    /// [`apply`](Projection::apply) where that can fail. Calls it unless overridden.
    ///
    /// # Errors
    /// [`ApplyError`] halts the projection at this event until somebody has looked.
    fn try_apply(
        &self,
        key: &str,
        document: &mut Option<Self::Document>,
        event: &Recorded<Self::Event>,
    ) -> Result<(), ApplyError> {
        self.apply(key, document, event);
        Ok(())
    }

    /// What a document is found and sorted by. Sets values of [`FIELDS`](Projection::FIELDS), each or not; called for each
    /// document that is written. A panic, or a field that was not declared, halts the projection.
    fn fields(&self, _key: &str, _document: &Self::Document, _values: &mut FieldValues) {}

    /// One document from those that a key has in several logs; each was folded from the events of one. Only for
    /// projections whose keys span streams, on stores with several logs. `None`, the default: they cannot be merged,
    /// and reading such a key is [`KeySpansLogs`](crate::DocumentError::KeySpansLogs).
    fn merge(&self, _key: &str, _documents: Vec<Self::Document>) -> Option<Self::Document> {
        None
    }
}

/// Why an event cannot be taken into a document. Name ids and types in it, never content.
///
/// ```
/// let error = factum_projections::ApplyError::new("the account was never opened");
/// assert_eq!(error.to_string(), "the account was never opened");
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ApplyError(String);

impl ApplyError {
    /// Says what was wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// Collects the keys of the documents that one event changes.
///
/// ```
/// let mut keys = factum_projections::Keys::default();
/// keys.push("2378");
/// keys.push(format!("{}-{:02}", 1993, 6));
/// assert_eq!(keys.iter().collect::<Vec<_>>(), ["2378", "1993-06"]);
/// ```
#[derive(Debug, Default)]
pub struct Keys {
    // Strings beyond `len` are kept for their memory: an event's keys cost no allocation.
    keys: Vec<String>,
    len: usize,
}

impl Keys {
    /// Adds a key. One that was pushed before for the same event counts once.
    pub fn push(&mut self, key: impl AsRef<str>) {
        let key = key.as_ref();
        match self.keys.get_mut(self.len) {
            Some(place) => {
                place.clear();
                place.push_str(key);
            }
            None => self.keys.push(key.to_owned()),
        }
        self.len += 1;
    }

    /// The keys, in the order in which they were pushed.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.keys[..self.len].iter().map(String::as_str)
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

/// What of a log a projection reads.
pub(crate) fn filter<P: Projection>() -> Result<Query, SetupError> {
    let projection = Cow::Borrowed(P::NAME);
    event_filter::<P::Event>(P::EVENT_TYPES).map_err(|refused| match refused {
        EventFilterError::Input(source) => SetupError::Input { projection, source },
        EventFilterError::Events(source) => SetupError::Events { projection, source },
        EventFilterError::UnknownType { event_type, known } => {
            SetupError::UnknownType { projection, event_type, known }
        }
        source => SetupError::Filter { projection, source },
    })
}

/// Why a projection cannot be run as it is written.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Its name or a category breaks a limit.
    #[error("projection {projection:?} cannot be run: {source}")]
    Input {
        /// The projection.
        projection: Cow<'static, str>,
        /// The limit.
        source: InputError,
    },
    /// Its events are not event enums.
    #[error("projection {projection} cannot be run: {source}")]
    Events {
        /// The projection.
        projection: Cow<'static, str>,
        /// What is wrong with them.
        source: Box<EncodeError>,
    },
    /// It asks for an event type that its events do not have.
    #[error("projection {projection} asks for the event type {event_type}, which its events do not have: {known}")]
    UnknownType {
        /// The projection.
        projection: Cow<'static, str>,
        /// The event type.
        event_type: &'static str,
        /// Those that they have.
        known: String,
    },
    /// Its events cannot be read for another reason.
    #[error("projection {projection} cannot be run: {source}")]
    Filter {
        /// The projection.
        projection: Cow<'static, str>,
        /// Why.
        source: EventFilterError,
    },
    /// Two fields have the same name.
    #[error("projection {projection} declares the field {field:?} twice; give each a name of its own")]
    FieldTwice {
        /// The projection.
        projection: Cow<'static, str>,
        /// The name.
        field: String,
    },
    /// Two projections of one projector have the same name.
    #[error("two projections are called {projection}; give each a name of its own")]
    NameTwice {
        /// The name.
        projection: Cow<'static, str>,
    },
}
