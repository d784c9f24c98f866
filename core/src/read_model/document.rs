//! Documents and how they are read.

use std::sync::Arc;

use bytes::Bytes;

use super::generation::{Generation, ProjectionName, ProjectionVersion};
use super::positions::Positions;
use crate::at::{At, Bounds};
use crate::limits::{InputError, MAX_STREAM_ID, check_text};
use crate::place::{Cursor, Position};
use crate::stream::Tenant;

/// The identity of a document within a read model.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocumentKey {
    tenant: Tenant,
    // Shared: a commit names the key of a document once for each version of it that is kept.
    key: Arc<str>,
}

impl DocumentKey {
    /// The document of a tenant with this key.
    ///
    /// # Errors
    /// [`InputError`] where the key is empty, longer than 512 bytes, or holds a NUL.
    pub fn new(tenant: Tenant, key: impl AsRef<str>) -> Result<Self, InputError> {
        check_text("document key", key.as_ref(), MAX_STREAM_ID)?;
        Ok(Self { tenant, key: Arc::from(key.as_ref()) })
    }

    /// Whose document it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The key within the tenant.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A document as it was after one of its events: the current one, or a kept version.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The content, JSON; `None` where the document was deleted.
    pub body: Option<Bytes>,
    /// The log from which it was folded, and the greatest position, version and times of its events.
    pub bounds: Bounds,
    /// The positions of the events that were folded into it since the version that was kept before it (or since its
    /// beginning), so that an answer in between reads these and no others.
    pub positions: Positions,
}

/// Which generation is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadTarget {
    /// The live one of this version.
    Live(ProjectionName, ProjectionVersion),
    /// This one, whatever it is for: so that the pages of one listing belong together.
    Generation(ProjectionName, Generation),
}

impl ReadTarget {
    /// The projection that is read.
    pub fn projection(&self) -> &ProjectionName {
        match self {
            Self::Live(name, _) | Self::Generation(name, _) => name,
        }
    }
}

/// Where an answer comes from, as of the same moment as the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentRead {
    /// The generation that was read.
    pub generation: Generation,
    /// How far it was.
    pub checkpoint: Cursor,
}

/// Documents that were asked for by key.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Where they come from.
    pub read: DocumentRead,
    /// For each key that was asked for, its documents by log.
    pub documents: Vec<Vec<Document>>,
}

/// A request for a page of documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListDocuments {
    /// Of which generation.
    pub target: ReadTarget,
    /// Of which tenant.
    pub tenant: Tenant,
    /// Beginning after this key; `None`: with the first.
    pub after: Option<String>,
    /// How many keys at most.
    pub limit: usize,
    /// Whether deleted documents are listed too: time travel needs them.
    pub deleted: bool,
}

/// A page of documents.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentPage {
    /// Where they come from.
    pub read: DocumentRead,
    /// By key (as bytes), each with its documents by log.
    pub documents: Vec<(DocumentKey, Vec<Document>)>,
    /// Whether there is nothing after them.
    pub end: bool,
}

/// Where the versions of a document begin to be of interest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryFrom {
    /// With the newest whose bounds lie within this, else with the oldest.
    Base(At),
    /// With the first whose position is greater than this.
    After(Position),
}

/// Versions of documents, and from where on these are all, as of the same moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The greatest position that a commit named as [`keep_from`](crate::Commit::keep_from) for this log, else the start.
    ///
    /// Of a document every version after this position is there, and the newest at or before it. Of those before that one
    /// some may still be there.
    pub kept_from: Position,
    /// For each of the keys, its versions by position.
    pub versions: Vec<Vec<Document>>,
}

/// A request for versions of documents, kept and current. Names a log, since a document is folded from one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadHistory {
    /// Of which generation.
    pub target: ReadTarget,
    /// In which log.
    pub log: crate::LogId,
    /// Of which documents.
    pub keys: Vec<DocumentKey>,
    /// From where.
    pub from: HistoryFrom,
    /// How many versions of each document at most.
    pub limit: usize,
}
