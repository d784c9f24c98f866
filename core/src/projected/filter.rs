//! Which events a projection reads.

use thiserror::Error;

use crate::codec::{EncodeError, EventSet};
use crate::event::EventType;
use crate::limits::InputError;
use crate::query::{Query, QueryItem};
use crate::stream::Category;

/// The events of these categories, or of these types only where any is given; then those of former types too, of which
/// nobody knows what they become before they are upcast.
///
/// # Errors
/// [`EventFilterError`].
///
/// ```
/// use factum::{Event, event_filter};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened, Deposited { cents: i64 } }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// assert_eq!(event_filter::<AccountEvent>(&[])?.items().len(), 1);
/// assert!(event_filter::<AccountEvent>(&["Deposted"]).unwrap_err().to_string().contains("Deposted"));
/// # Ok::<(), factum::EventFilterError>(())
/// ```
pub fn event_filter<E: EventSet>(event_types: &[&'static str]) -> Result<Query, EventFilterError> {
    let known = E::event_types().map_err(|source| EventFilterError::Events(Box::new(source)))?;
    let mut item = QueryItem::new();
    for category in E::categories() {
        item = item.category(Category::from_static(category)?);
    }
    if event_types.is_empty() {
        return Ok(Query::all().or(item));
    }
    for event_type in event_types {
        if !known.contains(event_type) {
            return Err(EventFilterError::UnknownType { event_type, known: known.join(", ") });
        }
        item = item.event_type(EventType::from_static(event_type)?);
    }
    for former in E::former_types() {
        if !event_types.contains(&former) {
            item = item.event_type(EventType::from_static(former)?);
        }
    }
    Ok(Query::all().or(item))
}

/// Why a projection's events cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventFilterError {
    /// A category or type breaks a limit.
    #[error(transparent)]
    Input(#[from] InputError),
    /// They are not event enums.
    #[error(transparent)]
    Events(Box<EncodeError>),
    /// A type that they do not have.
    #[error("the event type {event_type} is asked for, which its events do not have: {known}")]
    UnknownType {
        /// The event type.
        event_type: &'static str,
        /// Those that they have.
        known: String,
    },
}
