//! A deserializer that presents (event type, payload) to serde as an enum.

use std::fmt::Display;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

#[derive(Debug)]
pub(crate) enum JoinError {
    UnknownVariant,
    Message(String),
}

impl Display for JoinError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownVariant => f.write_str("unknown event type"),
            Self::Message(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for JoinError {}

impl de::Error for JoinError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::UnknownVariant
    }
}

impl From<serde_json::Error> for JoinError {
    fn from(error: serde_json::Error) -> Self {
        Self::Message(without_values(&error.to_string()))
    }
}

/// What serde_json says, less the values that it quotes: errors end up in logs, payloads must not.
pub(crate) fn without_values(message: &str) -> String {
    let quotes = ["invalid type: ", "invalid value: ", "unknown variant "];
    let Some(start) = quotes.iter().find(|start| message.starts_with(**start)) else {
        return message.to_owned();
    };
    let Some(expected) = message.rfind(", expected ") else { return (*start).trim_end_matches([':', ' ']).to_owned() };
    let kind = message[start.len()..expected].split(['`', '"']).next().unwrap_or_default();
    format!("{}{}", format!("{start}{kind}").trim_end_matches([':', ' ']), &message[expected..])
}

pub(crate) fn join<E: DeserializeOwned>(event_type: &str, payload: &[u8]) -> Result<E, JoinError> {
    E::deserialize(Joiner { event_type, payload })
}

struct Joiner<'a> {
    event_type: &'a str,
    payload: &'a [u8],
}

impl<'de> Deserializer<'de> for Joiner<'de> {
    type Error = JoinError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JoinError> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, JoinError> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Joiner<'de> {
    type Error = JoinError;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Content<'de>), JoinError> {
        let name: StrDeserializer<'_, JoinError> = self.event_type.into_deserializer();
        Ok((seed.deserialize(name)?, Content(self.payload)))
    }
}

struct Content<'a>(&'a [u8]);

impl<'de> VariantAccess<'de> for Content<'de> {
    type Error = JoinError;

    // A unit variant ignores its payload, so that #[serde(other)] takes whatever comes.
    fn unit_variant(self) -> Result<(), JoinError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, JoinError> {
        let mut json = self.json()?;
        let value = seed.deserialize(&mut json)?;
        json.end()?;
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, JoinError> {
        let mut json = self.json()?;
        let value = json.deserialize_tuple(len, visitor)?;
        json.end()?;
        Ok(value)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JoinError> {
        let mut json = self.json()?;
        let value = json.deserialize_struct("", fields, visitor)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> Content<'de> {
    /// Looked at as a whole once: JSON in bytes would be looked at text by text.
    fn json(self) -> Result<serde_json::Deserializer<serde_json::de::StrRead<'de>>, JoinError> {
        let text =
            std::str::from_utf8(self.0).map_err(|error| JoinError::Message(format!("it is no JSON: {error}")))?;
        Ok(serde_json::Deserializer::from_str(text))
    }
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn messages_name_types_and_fields_and_no_values() {
        let cases = [
            (
                r#"invalid type: string "4711 secret, expected x", expected i64 at line 1 column 9"#,
                "invalid type: string, expected i64 at line 1 column 9",
            ),
            ("invalid value: integer `-5`, expected u32", "invalid value: integer, expected u32"),
            ("unknown variant `secret`, expected `A` or `B`", "unknown variant, expected `A` or `B`"),
            ("missing field `cents` at line 1 column 2", "missing field `cents` at line 1 column 2"),
        ];
        for (said, told) in cases {
            assert_eq!(without_values(said), told);
        }
    }
}
