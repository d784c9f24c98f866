//! Several event enums read as one.

use super::ser::split;
use super::{DecodeError, EncodeError, decode, event_info, failed};
use crate::event::{Event, RecordedEvent};

/// The events that a projection or a subscription takes: one event enum, or several through
/// [`event_set!`](crate::event_set).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither an event nor a set of events",
    note = "write `impl factum::Event for {Self}` for an enum of events, or make it with `factum::event_set!`"
)]
pub trait EventSet: Sized + Send + Sync + 'static {
    /// The categories of its members.
    fn categories() -> Vec<&'static str>;

    /// The recorded event types that its members know today.
    ///
    /// # Errors
    /// [`EncodeError::NotAnEventEnum`] if a member is none.
    fn event_types() -> Result<Vec<&'static str>, EncodeError>;

    /// The event types that its members knew once.
    fn former_types() -> Vec<&'static str>;

    /// Decodes an event of one of the members.
    ///
    /// # Errors
    /// [`DecodeError`].
    fn decode(event: &RecordedEvent) -> Result<Self, DecodeError>;

    /// The event type under which this event would be recorded today, after upcasts and renames.
    ///
    /// # Errors
    /// [`EncodeError`] where the event is none that could be recorded.
    fn event_type(&self) -> Result<&'static str, EncodeError>;
}

impl<E: Event> EventSet for E {
    fn categories() -> Vec<&'static str> {
        vec![E::CATEGORY]
    }

    fn event_types() -> Result<Vec<&'static str>, EncodeError> {
        Ok(event_info::<E>()?.variants.to_vec())
    }

    fn former_types() -> Vec<&'static str> {
        E::FORMER_TYPES.to_vec()
    }

    fn decode(event: &RecordedEvent) -> Result<Self, DecodeError> {
        if event.stream.category() != E::CATEGORY {
            return Err(DecodeError::UnknownCategory {
                category: event.stream.category().to_owned(),
                expected: E::CATEGORY.to_owned(),
            });
        }
        decode(event)
    }

    fn event_type(&self) -> Result<&'static str, EncodeError> {
        split(self).map(|(variant, _)| variant).map_err(|source| failed::<E>(&source))
    }
}

/// Declares an enum whose variants are event enums of different categories, for a projection over several aggregates.
///
/// ```
/// use factum::{Event, EventSet};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Opened }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// #[derive(Serialize, Deserialize)]
/// enum TransferEvent { Requested { cents: i64 } }
/// impl Event for TransferEvent { const CATEGORY: &'static str = "transfer"; }
///
/// factum::event_set! {
///     /// All that happens at the bank.
///     pub enum BankEvent { Account(AccountEvent), Transfer(TransferEvent) }
/// }
/// assert_eq!(BankEvent::categories(), ["account", "transfer"]);
/// assert_eq!(BankEvent::Transfer(TransferEvent::Requested { cents: 1 }).event_type()?, "Requested");
/// # Ok::<(), factum::EncodeError>(())
/// ```
///
/// Two members of one category do not compile:
///
/// ```compile_fail
/// # use factum::Event;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] enum A { X }
/// # impl Event for A { const CATEGORY: &'static str = "account"; }
/// # #[derive(Serialize, Deserialize)] enum B { Y }
/// # impl Event for B { const CATEGORY: &'static str = "account"; }
/// factum::event_set! { pub enum Both { A(A), B(B) } }
/// ```
#[macro_export]
macro_rules! event_set {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident($event:ty)),+ $(,)? }) => {
        $(#[$meta])*
        $vis enum $name { $($(#[$vmeta])* #[allow(missing_docs)] $variant($event)),+ }

        const _: () = $crate::assert_distinct(&[$(<$event as $crate::Event>::CATEGORY),+]);

        impl $crate::EventSet for $name {
            fn categories() -> ::std::vec::Vec<&'static str> {
                ::std::vec![$(<$event as $crate::Event>::CATEGORY),+]
            }

            fn event_types() -> ::std::result::Result<::std::vec::Vec<&'static str>, $crate::EncodeError> {
                let mut types = ::std::vec::Vec::new();
                $(types.extend(<$event as $crate::EventSet>::event_types()?);)+
                ::std::result::Result::Ok(types)
            }

            fn former_types() -> ::std::vec::Vec<&'static str> {
                let mut types = ::std::vec::Vec::new();
                $(types.extend_from_slice(<$event as $crate::Event>::FORMER_TYPES);)+
                types
            }

            fn decode(event: &$crate::RecordedEvent) -> ::std::result::Result<Self, $crate::DecodeError> {
                let category = event.stream.category();
                $(if category == <$event as $crate::Event>::CATEGORY {
                    return <$event as $crate::EventSet>::decode(event).map(Self::$variant);
                })+
                ::std::result::Result::Err($crate::DecodeError::UnknownCategory {
                    category: ::std::string::ToString::to_string(category),
                    expected: Self::categories().join(", "),
                })
            }

            fn event_type(&self) -> ::std::result::Result<&'static str, $crate::EncodeError> {
                match self {
                    $(Self::$variant(event) => <$event as $crate::EventSet>::event_type(event)),+
                }
            }
        }
    };
}

/// Stops the build if two categories of an event set are the same.
#[doc(hidden)]
pub const fn assert_distinct(categories: &[&str]) {
    let mut i = 0;
    while i < categories.len() {
        let mut j = i + 1;
        while j < categories.len() {
            assert!(!same(categories[i], categories[j]), "two members of this event set have the same category");
            j += 1;
        }
        i += 1;
    }
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
