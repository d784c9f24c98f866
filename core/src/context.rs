//! What accompanies a command: metadata for its events, and a key.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::append::{Fingerprint, Key, Keyed};
use crate::metadata::Metadata;

/// What accompanies a command.
///
/// ```
/// use factum::{Context, Key, Metadata};
///
/// let context = Context::new()
///     .metadata(Metadata::new().actor("teller 7"))
///     .key(Key::new("695247")?, &("deposit", 500))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Context {
    metadata: Metadata,
    key: Option<(Key, Vec<u8>)>,
}

impl Context {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this metadata on every event of the command.
    #[must_use]
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// With a key, which belongs to the tenant of the aggregate: whoever sends the command again under it gets the first outcome, and nothing happens twice.
    ///
    /// `content` is what the command asks for, usually the command itself. The same key with other content, or for
    /// another stream, is refused as [`KeyReused`](crate::AppendError::KeyReused). Only a digest of it is stored.
    ///
    /// # Errors
    /// [`serde_json::Error`] where the content cannot be serialized.
    pub fn key(mut self, key: Key, content: &impl Serialize) -> Result<Self, serde_json::Error> {
        self.key = Some((key, serde_json::to_vec(content)?));
        Ok(self)
    }

    pub(crate) fn event_metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    /// When the events of the command happened in the world, where somebody said so.
    pub(crate) fn occurred_at(&self) -> Option<DateTime<Utc>> {
        self.metadata.when()
    }

    /// The key for a command that is addressed to `target`.
    pub(crate) fn keyed(&self, target: impl Display) -> Option<Keyed> {
        let (key, content) = self.key.as_ref()?;
        let target = target.to_string();
        let mut bytes = Vec::with_capacity(target.len() + 1 + content.len());
        bytes.extend_from_slice(target.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(content);
        Some(Keyed { key: key.clone(), fingerprint: Fingerprint::of(&bytes), refusal: None })
    }
}
