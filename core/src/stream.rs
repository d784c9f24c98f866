//! Who an event belongs to: tenant, category, stream.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::{InputError, MAX_NAME, MAX_STREAM_ID, check_text};
use crate::text::text_type;

fn check_tenant(text: &str) -> Result<(), InputError> {
    check_text("tenant", text, MAX_NAME)
}

fn check_category(text: &str) -> Result<(), InputError> {
    check_text("category", text, MAX_NAME)?;
    if text.contains('-') {
        return Err(InputError::DashInCategory { text: text.to_owned() });
    }
    Ok(())
}

text_type! {
    /// Whose data it is. Part of a stream's identity from the start; whoever has one tenant only never names it.
    ///
    /// ```
    /// use factum::{StreamId, Tenant};
    ///
    /// let here = StreamId::new("account-2378")?;
    /// assert_eq!(here.tenant(), &Tenant::default());
    /// let there = here.clone().in_tenant(Tenant::new("acme")?);
    /// assert_ne!(here, there);
    /// # Ok::<(), factum::InputError>(())
    /// ```
    Tenant, check_tenant
}

impl Tenant {
    /// The name of the tenant of those who have none.
    pub const DEFAULT: &'static str = "default";

    /// Whether this is the tenant of those who have none.
    pub fn is_default(&self) -> bool {
        self.as_str() == Self::DEFAULT
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(crate::text::Text::Static(Self::DEFAULT))
    }
}

text_type! {
    /// The kind of a stream: what stands before the first '-' of its id.
    Category, check_category
}

/// The identity of a stream: a tenant, and a text of the form `category-id`.
///
/// The category ends at the first '-'; the id may hold more of them.
///
/// ```
/// use factum::StreamId;
///
/// let stream = StreamId::new("account-2378")?;
/// assert_eq!((stream.category(), stream.id()), ("account", "2378"));
/// assert_eq!(StreamId::of("account", "2378")?, stream);
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    tenant: Tenant,
    name: Arc<str>,
    dash: u16,
}

impl StreamId {
    /// A stream of the default tenant, from a text of the form `category-id`.
    ///
    /// # Errors
    /// [`InputError`] where the text is empty, longer than 512 bytes, holds a NUL, or has no category or no id.
    pub fn new(name: impl AsRef<str>) -> Result<Self, InputError> {
        let name = name.as_ref();
        check_text("stream id", name, MAX_STREAM_ID)?;
        let no_category = || InputError::NoCategory { text: name.to_owned() };
        let dash = name.find('-').ok_or_else(no_category)?;
        if dash == 0 || dash + 1 == name.len() {
            return Err(no_category());
        }
        let dash = u16::try_from(dash).map_err(|_| no_category())?;
        Ok(Self { tenant: Tenant::default(), name: Arc::from(name), dash })
    }

    /// The stream of `category` with this `id`, of the default tenant.
    ///
    /// # Errors
    /// [`InputError`] where category or id break a limit.
    pub fn of(category: &str, id: &str) -> Result<Self, InputError> {
        check_category(category)?;
        if id.is_empty() {
            return Err(InputError::Empty { what: "id of a stream" });
        }
        let mut name = String::with_capacity(category.len() + 1 + id.len());
        name.push_str(category);
        name.push('-');
        name.push_str(id);
        Self::new(name)
    }

    /// The stream of the same name that belongs to `tenant`.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// Whose stream it is.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// What stands before the first '-'.
    pub fn category(&self) -> &str {
        &self.name[..usize::from(self.dash)]
    }

    /// What stands after the first '-'.
    pub fn id(&self) -> &str {
        &self.name[usize::from(self.dash) + 1..]
    }

    /// Category and id as one text, without the tenant.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.tenant.is_default() {
            write!(f, "{}/", self.tenant)?;
        }
        f.write_str(&self.name)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

#[derive(Serialize, Deserialize)]
struct Parts<'a> {
    #[serde(default, skip_serializing_if = "Tenant::is_default")]
    tenant: Tenant,
    name: std::borrow::Cow<'a, str>,
}

impl Serialize for StreamId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Parts { tenant: self.tenant.clone(), name: self.name().into() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        let stream = Self::new(parts.name).map_err(serde::de::Error::custom)?;
        Ok(stream.in_tenant(parts.tenant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_ends_at_the_first_dash() {
        let stream = StreamId::new("order-2026-11-21").unwrap();
        assert_eq!((stream.category(), stream.id()), ("order", "2026-11-21"));
    }

    #[test]
    fn what_is_not_category_dash_id_is_refused() {
        for text in ["", "account", "-2378", "account-", "a\0-b"] {
            assert!(StreamId::new(text).is_err(), "{text:?} was taken");
        }
        assert!(StreamId::new(format!("a-{}", "x".repeat(510))).is_ok());
        assert!(StreamId::new(format!("a-{}", "x".repeat(511))).is_err());
        assert!(StreamId::of("a-b", "c").is_err());
        assert!(StreamId::of("a", "").is_err());
    }

    #[test]
    fn a_stream_survives_json() {
        let stream = StreamId::new("account-1").unwrap().in_tenant(Tenant::new("acme").unwrap());
        let json = serde_json::to_string(&stream).unwrap();
        assert_eq!(serde_json::from_str::<StreamId>(&json).unwrap(), stream);
    }
}
