//! What is asked of a read model, and its answers.

use std::fmt;
use std::str::FromStr;

use factum::{Cursor, FieldValue, Generation, InputError, LogId, ProjectionName};
use serde::{Deserialize, Serialize};

/// How many documents a page holds unless it is asked for otherwise.
const DEFAULT_LIMIT: usize = 100;

/// One document, where it comes from, and how current that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer<D> {
    /// The document; `None` where there is none, or it was deleted.
    pub document: Option<D>,
    /// The generation that was read.
    pub generation: Generation,
    /// How far that was.
    pub checkpoint: Cursor,
    /// How many events were read to fold the past from a kept version; 0 for how things stand now.
    pub events_read: usize,
}

/// One document of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry<D> {
    /// Its key.
    pub key: String,
    /// Its content.
    pub document: D,
}

/// A page of documents, by key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<D> {
    /// The documents. A page of the past may hold fewer than were asked for, even none, and not be the last.
    pub documents: Vec<Entry<D>>,
    /// The generation that was read.
    pub generation: Generation,
    /// How far that was; of the past: how far it was when the listing began.
    pub checkpoint: Cursor,
    /// How many events were read to fold the past from kept versions; 0 for how things stand now.
    pub events_read: usize,
    /// Where the next page begins; `None` after the last.
    pub next: Option<PageToken>,
}

/// Which page of a listing is asked for.
///
/// ```
/// use factum_projections::PageRequest;
///
/// let first = PageRequest::first(500);
/// assert_eq!(first, PageRequest::default().limit(500));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    pub(crate) limit: usize,
    pub(crate) token: Option<PageToken>,
    pub(crate) after: Option<String>,
}

impl PageRequest {
    /// The first page, of at most `limit` documents.
    pub fn first(limit: usize) -> Self {
        Self::default().limit(limit)
    }

    /// The page that a token leads to.
    #[must_use]
    pub fn after(token: PageToken) -> Self {
        Self { token: Some(token), ..Self::default() }
    }

    /// The page that begins after this key, in the generation that is live then: unlike a token, a key does not tell
    /// whether the read model was replaced between two pages.
    #[must_use]
    pub fn after_key(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// At most so many documents.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.max(1);
        self
    }
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, token: None, after: None }
    }
}

/// Where the next page of a listing begins. It pins the generation: all pages of a listing come from one, and once
/// that was replaced and dropped the token is `Expired`, never an empty page.
///
/// It can be shown and parsed, for use in a URL or a cookie; it names a key, which is no secret to whoever lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    pub(crate) projection: ProjectionName,
    pub(crate) generation: Generation,
    pub(crate) after: String,
    /// Up to where a listing of the past looks, so that all its pages show the same moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) up_to: Option<Cursor>,
    /// Of a query by fields: where it goes on, beside the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found: Option<FoundPlace>,
}

/// Where a query by fields goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundPlace {
    /// Of which query, as a fingerprint.
    pub(crate) query: u64,
    /// The value of the field that is sorted by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<FieldValue>,
    pub(crate) log: LogId,
}

impl PageToken {
    /// The key after which the page begins.
    pub fn key(&self) -> &str {
        &self.after
    }
}

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&json)
    }
}

impl FromStr for PageToken {
    type Err = InputError;

    fn from_str(text: &str) -> Result<Self, InputError> {
        serde_json::from_str(text).map_err(|_| InputError::Malformed {
            what: "page token",
            text: text.chars().take(80).collect(),
            expected: "a token that a page of this listing gave",
        })
    }
}
