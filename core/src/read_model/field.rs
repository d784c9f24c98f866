//! Fields by which documents are found and sorted.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::document::DocumentKey;
use crate::limits::{InputError, MAX_NAME, check_text};
use crate::place::{LogId, Position};

/// With how many of its first bytes a text counts where documents are found or sorted by it.
pub const MAX_FIELD_TEXT: usize = 500;

/// What the values of a field are. They sort alike in every store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Whole numbers, by their size.
    Integer,
    /// Texts, by their bytes in UTF-8; those that begin with the same 500 bytes are equal.
    Text,
    /// `false` before `true`.
    Bool,
    /// Moments in UTC to the microsecond, the earlier first.
    Time,
}

impl fmt::Display for FieldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Time => "time",
        })
    }
}

/// A field by which the documents of a read model are found and sorted. A generation has those that were declared when
/// it was made.
///
/// ```
/// use factum::{Field, FieldKind};
///
/// const FIELDS: &[Field] = &[Field::integer("cents"), Field::text("owner")];
/// assert_eq!((FIELDS[1].name(), FIELDS[1].kind()), ("owner", FieldKind::Text));
/// assert_eq!(FIELDS[0].to_string(), "cents (integer)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    name: Cow<'static, str>,
    kind: FieldKind,
}

impl Field {
    /// A field of whole numbers.
    pub const fn integer(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: FieldKind::Integer }
    }

    /// A field of texts.
    pub const fn text(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: FieldKind::Text }
    }

    /// A field that is true or false.
    pub const fn bool(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: FieldKind::Bool }
    }

    /// A field of moments.
    pub const fn time(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: FieldKind::Time }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is called, to be kept: copies nothing where it was declared in code.
    pub fn to_name(&self) -> Cow<'static, str> {
        self.name.clone()
    }

    /// What its values are.
    pub fn kind(&self) -> FieldKind {
        self.kind
    }

    /// Checks that stores take it.
    ///
    /// # Errors
    /// [`InputError`] where its name is empty, longer than 255 bytes, or holds a NUL.
    pub fn check(&self) -> Result<(), InputError> {
        check_text("field name", &self.name, MAX_NAME)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kind)
    }
}

/// The value of a field in one document.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldValue {
    /// A whole number.
    Integer(i64),
    /// A text. It counts with its first 500 bytes.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A moment. It counts to the microsecond.
    Time(DateTime<Utc>),
}

impl FieldValue {
    /// Of which kind it is.
    pub fn kind(&self) -> FieldKind {
        match self {
            Self::Integer(_) => FieldKind::Integer,
            Self::Text(_) => FieldKind::Text,
            Self::Bool(_) => FieldKind::Bool,
            Self::Time(_) => FieldKind::Time,
        }
    }

    /// The value as a store keeps it: the bytes of two values of one kind compare as the values do.
    ///
    /// ```
    /// use factum::{FieldKind, FieldValue};
    ///
    /// assert!(FieldValue::from(-1).to_bytes() < FieldValue::from(0).to_bytes());
    /// let text = FieldValue::from("Jana");
    /// assert_eq!(FieldValue::from_bytes(FieldKind::Text, &text.to_bytes()), Some(text));
    /// ```
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Integer(number) => sortable(*number),
            Self::Text(text) => text.as_bytes()[..text.floor_char_boundary(MAX_FIELD_TEXT)].to_vec(),
            Self::Bool(value) => vec![u8::from(*value)],
            Self::Time(time) => sortable(time.timestamp_micros()),
        }
    }

    /// The value that has these bytes; `None` where none of this kind has.
    pub fn from_bytes(kind: FieldKind, bytes: &[u8]) -> Option<Self> {
        let number = || bytes.try_into().ok().map(|bytes| (u64::from_be_bytes(bytes) ^ SIGN).cast_signed());
        Some(match kind {
            FieldKind::Integer => Self::Integer(number()?),
            FieldKind::Text => Self::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
            FieldKind::Bool => Self::Bool(match bytes {
                [0] => false,
                [1] => true,
                _ => return None,
            }),
            FieldKind::Time => Self::Time(DateTime::from_timestamp_micros(number()?)?),
        })
    }
}

const SIGN: u64 = 1 << 63;

fn sortable(number: i64) -> Vec<u8> {
    (number.cast_unsigned() ^ SIGN).to_be_bytes().to_vec()
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Bool(value) => value.fmt(f),
            Self::Time(time) => f.write_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $kind:ident),* $(,)?) => {
        $(impl From<$from> for FieldValue {
            fn from(value: $from) -> Self {
                Self::$kind(value.into())
            }
        })*
    };
}

value_from! {
    i64 => Integer, i32 => Integer, i16 => Integer, i8 => Integer, u32 => Integer, u16 => Integer, u8 => Integer,
    &str => Text, String => Text, &String => Text, bool => Bool, DateTime<Utc> => Time,
}

/// The value that a field of a changed document has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Of which document.
    pub key: DocumentKey,
    /// Which of the fields that the generation was made with.
    pub field: Cow<'static, str>,
    /// The value; `None` where the document has none, or was deleted.
    pub value: Option<FieldValue>,
}

/// What one document is found and sorted by, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFields {
    /// The log from which the document is folded.
    pub log: LogId,
    /// The position of the document when they were read: another one says that it has changed since.
    pub position: Position,
    /// By the names of the fields, [as a store keeps them](FieldValue::to_bytes).
    pub values: Vec<(String, Vec<u8>)>,
}

impl DocumentFields {
    /// Adds a value to those of the last document, or of a new one: for whoever writes a store.
    pub fn add(all: &mut Vec<Self>, log: LogId, position: Position, value: Option<(String, Vec<u8>)>) {
        match all.last_mut() {
            Some(last) if last.log == log => last.values.extend(value),
            _ => all.push(Self { log, position, values: value.into_iter().collect() }),
        }
    }
}

/// Where a value lies that a document is found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPlace {
    /// Of which document.
    pub key: DocumentKey,
    /// The log from which that is folded.
    pub log: LogId,
    /// Of which field.
    pub field: String,
}

/// Values that are kept to find documents by that are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrayFields {
    /// Where they lie, and what they are, [as a store keeps them](FieldValue::to_bytes).
    pub strays: Vec<(FieldPlace, Vec<u8>)>,
    /// The value that was looked at last, after which it goes on; `None` if there are no more.
    pub next: Option<FieldPlace>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs() -> impl Strategy<Value = (FieldValue, FieldValue, std::cmp::Ordering)> {
        let time = |micros: i64| FieldValue::Time(DateTime::from_timestamp_micros(micros).unwrap());
        prop_oneof![
            any::<(i64, i64)>().prop_map(|(a, b)| (FieldValue::from(a), FieldValue::from(b), a.cmp(&b))),
            any::<(bool, bool)>().prop_map(|(a, b)| (FieldValue::from(a), FieldValue::from(b), a.cmp(&b))),
            (".*", ".*").prop_map(|(a, b)| (FieldValue::from(&a), FieldValue::from(&b), a.cmp(&b))),
            (-(1i64 << 55)..1 << 55, -(1i64 << 55)..1 << 55).prop_map(move |(a, b)| (time(a), time(b), a.cmp(&b))),
        ]
    }

    proptest! {
        #[test]
        fn bytes_compare_as_values_do_and_come_back((a, b, order) in pairs()) {
            prop_assert_eq!(a.to_bytes().cmp(&b.to_bytes()), order);
            prop_assert_eq!(FieldValue::from_bytes(a.kind(), &a.to_bytes()), Some(a));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            for kind in [FieldKind::Integer, FieldKind::Text, FieldKind::Bool, FieldKind::Time] {
                if let Some(value) = FieldValue::from_bytes(kind, &bytes) {
                    prop_assert_eq!(value.to_bytes(), bytes.clone());
                }
            }
        }
    }

    #[test]
    fn a_long_text_counts_with_whole_characters_of_its_beginning() {
        let bytes = FieldValue::from("x".repeat(499) + "ůů").to_bytes();
        assert_eq!(bytes.len(), 499);
        assert_eq!(FieldValue::from("ů".repeat(400)).to_bytes().len(), MAX_FIELD_TEXT);
    }
}
