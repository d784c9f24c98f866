//! What is found out about an event type on its first use.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, PoisonError, RwLock};

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{EncodeError, de::join, ser::split};
use crate::event::Event;
use crate::limits::check_text;
use crate::stream::Category;

/// What serde knows of an event enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventInfo {
    /// The type's name, for messages.
    pub name: &'static str,
    /// The names that it decodes: those of its variants and their aliases.
    pub variants: &'static [&'static str],
    /// The variant that stands for unknown types, if one is marked `#[serde(other)]`.
    pub other: Option<&'static str>,
}

static KNOWN: LazyLock<RwLock<HashMap<TypeId, Result<EventInfo, EncodeError>>>> = LazyLock::new(RwLock::default);

/// Probes an event type on first use and remembers the answer.
///
/// ```
/// use factum::Event;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct NotAnEnum { cents: i64 }
/// impl Event for NotAnEnum { const CATEGORY: &'static str = "account"; }
///
/// assert!(factum::event_info::<NotAnEnum>().is_err());
/// ```
///
/// # Errors
/// [`EncodeError::NotAnEventEnum`] where serde finds no variants, [`EncodeError::Input`] where the category or a
/// variant's name breaks a limit.
pub fn event_info<E: Event>() -> Result<EventInfo, EncodeError> {
    let id = TypeId::of::<E>();
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
        return known.clone();
    }
    let info = probe::<E>();
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(id, info.clone());
    info
}

fn probe<E: Event>() -> Result<EventInfo, EncodeError> {
    let name = std::any::type_name::<E>();
    Category::from_static(E::CATEGORY)?;
    let variants = variants::<E>().ok_or(EncodeError::NotAnEventEnum { enum_name: name })?;
    for variant in variants {
        check_text("event type", variant, crate::limits::MAX_NAME)?;
    }
    let other = join::<E>("\u{1}no such type\u{1}", b"null").ok().and_then(|other| split(&other).ok()).map(|s| s.0);
    Ok(EventInfo { name, variants, other })
}

fn variants<E: DeserializeOwned>() -> Option<&'static [&'static str]> {
    match E::deserialize(Prober) {
        Err(Probed::Variants(variants)) => Some(variants),
        _ => None,
    }
}

struct Prober;

/// The answer of a probe travels as its error.
#[derive(Debug)]
enum Probed {
    Variants(&'static [&'static str]),
    Nothing,
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a probe ends here")
    }
}

impl std::error::Error for Probed {}

impl de::Error for Probed {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Nothing
    }
}

impl<'de> Deserializer<'de> for Prober {
    type Error = Probed;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Probed> {
        Err(Probed::Nothing)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Probed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Probed> {
        Err(Probed::Variants(variants))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
