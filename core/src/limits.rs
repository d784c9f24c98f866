//! What core refuses before any store sees it, alike for every store.

use thiserror::Error;

/// The longest stream id, in bytes.
pub const MAX_STREAM_ID: usize = 512;
/// The longest event type, tag, key, tenant or projection name, in bytes.
pub const MAX_NAME: usize = 255;
/// The largest payload of one event unless a store is told otherwise, in bytes.
pub const DEFAULT_MAX_PAYLOAD: usize = 1 << 20;

/// Limits that a store may be configured with; the others are the same everywhere.
///
/// ```
/// let limits = factum::Limits::default();
/// assert_eq!(limits.max_payload, 1024 * 1024);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload of one event, in bytes.
    pub max_payload: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_payload: DEFAULT_MAX_PAYLOAD }
    }
}

impl Limits {
    /// The same limits with another bound on the payload of one event, in bytes.
    #[must_use]
    pub fn with_max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }
}

/// Input that no store takes: what it was, and which limit it broke.
///
/// ```
/// use factum::{InputError, StreamId};
///
/// let refused = StreamId::new("account").unwrap_err();
/// assert!(matches!(refused, InputError::NoCategory { .. }));
/// assert!(refused.to_string().contains("category-id"));
/// ```
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// A text that must say something is empty.
    #[error("the {what} is empty; give it at least one character")]
    Empty {
        /// What the text was for.
        what: &'static str,
    },
    /// A text contains the NUL character, which some databases cannot hold.
    #[error("the {what} {text:?} contains a NUL character; remove it")]
    Nul {
        /// What the text was for.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A text is longer than every store must be able to hold.
    #[error("the {what} starting with {start:?} has {len} bytes; at most {max} are allowed")]
    TooLong {
        /// What the text was for.
        what: &'static str,
        /// Its first characters.
        start: String,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A stream id without a category or without an id.
    #[error("the stream id {text:?} is not of the form category-id, such as account-2378")]
    NoCategory {
        /// The text.
        text: String,
    },
    /// A category that contains a '-', which would end it.
    #[error("the category {text:?} contains '-', which separates a category from an id; use another character")]
    DashInCategory {
        /// The text.
        text: String,
    },
    /// An event's payload is larger than the store's limit.
    #[error(
        "the payload of event {event_type:?} for stream {stream} has {len} bytes; this store takes at most {max}; \
         keep large content elsewhere and record a reference"
    )]
    PayloadTooLarge {
        /// The stream that it was meant for.
        stream: String,
        /// The event's type.
        event_type: String,
        /// The payload's size in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A payload that is not JSON.
    #[error("the payload of event {event_type:?} for stream {stream} is not JSON")]
    PayloadNotJson {
        /// The stream that it was meant for.
        stream: String,
        /// The event's type.
        event_type: String,
    },
    /// One append names the same stream twice.
    #[error("one append names the stream {stream} twice; put its events into one write")]
    StreamTwice {
        /// The stream.
        stream: String,
    },
    /// One append names the same event id twice.
    #[error("one append holds the event id {id} twice; make a new id for each event")]
    EventIdTwice {
        /// The event id.
        id: String,
    },
    /// An event carries the same tag twice.
    #[error("the event {event_type:?} for stream {stream} carries the tag {tag} twice; once is enough")]
    TagTwice {
        /// The stream that it was meant for.
        stream: String,
        /// The event's type.
        event_type: String,
        /// The tag.
        tag: String,
    },
    /// An append with nothing to remember: no events and no key.
    #[error("an append needs at least one event, or a key with an outcome")]
    NothingToAppend,
    /// A number that must start at 1 is 0.
    #[error("a {what} counts from 1; 0 is not one")]
    Zero {
        /// What the number was for.
        what: &'static str,
    },
    /// A text that should be a value of some type and is not.
    #[error("{text:?} is not a {what}: {expected}")]
    Malformed {
        /// What the text was for.
        what: &'static str,
        /// The text.
        text: String,
        /// What would have been right.
        expected: &'static str,
    },
}

pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), InputError> {
    if text.is_empty() {
        return Err(InputError::Empty { what });
    }
    if text.contains('\0') {
        return Err(InputError::Nul { what, text: text.to_owned() });
    }
    if text.len() > max {
        let start = text.chars().take(40).collect();
        return Err(InputError::TooLong { what, start, len: text.len(), max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_measured_in_bytes_and_its_start_is_cut_at_a_character() {
        let text = "ä".repeat(200);
        let Err(InputError::TooLong { start, len, max, .. }) = check_text("tag", &text, MAX_NAME) else {
            panic!("400 bytes were taken");
        };
        assert_eq!((len, max), (400, 255));
        assert_eq!(start, "ä".repeat(40));
    }

    #[test]
    fn empty_and_nul_are_refused() {
        assert_eq!(check_text("key", "", 9), Err(InputError::Empty { what: "key" }));
        assert!(matches!(check_text("key", "a\0", 9), Err(InputError::Nul { .. })));
    }
}
