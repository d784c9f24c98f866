//! A serializer that splits the variant of an enum from its content.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Impossible};

#[derive(Debug)]
pub(crate) enum SplitError {
    NotAVariant,
    Message(String),
}

impl Display for SplitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAVariant => f.write_str("not an enum variant"),
            Self::Message(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for SplitError {}

impl ser::Error for SplitError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Message(message.to_string())
    }
}

type Split = (&'static str, Vec<u8>);

pub(crate) fn split<E: Serialize>(event: &E) -> Result<Split, SplitError> {
    event.serialize(Splitter)
}

fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), SplitError> {
    serde_json::to_writer(out, value).map_err(|error| SplitError::Message(error.to_string()))
}

struct Splitter;

macro_rules! not_a_variant {
    ($($method:ident($($ty:ty),*))*) => {
        $(fn $method(self $(, _: $ty)*) -> Result<Split, SplitError> { Err(SplitError::NotAVariant) })*
    };
}

impl ser::Serializer for Splitter {
    type Ok = Split;
    type Error = SplitError;
    type SerializeSeq = Impossible<Split, SplitError>;
    type SerializeTuple = Impossible<Split, SplitError>;
    type SerializeTupleStruct = Impossible<Split, SplitError>;
    type SerializeTupleVariant = Fields;
    type SerializeMap = Impossible<Split, SplitError>;
    type SerializeStruct = Impossible<Split, SplitError>;
    type SerializeStructVariant = Fields;

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Split, SplitError> {
        Ok((variant, b"null".to_vec()))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Split, SplitError> {
        let mut out = Vec::with_capacity(128);
        write(&mut out, value)?;
        Ok((variant, out))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, SplitError> {
        Ok(Fields::begin(variant, b'['))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, SplitError> {
        Ok(Fields::begin(variant, b'{'))
    }

    // A newtype around an enum is that enum.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Split, SplitError> {
        value.serialize(self)
    }

    not_a_variant! {
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
        serialize_f32(f32) serialize_f64(f64) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_none() serialize_unit() serialize_unit_struct(&'static str)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Split, SplitError> {
        Err(SplitError::NotAVariant)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, SplitError> {
        Err(SplitError::NotAVariant)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, SplitError> {
        Err(SplitError::NotAVariant)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, SplitError> {
        Err(SplitError::NotAVariant)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, SplitError> {
        Err(SplitError::NotAVariant)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, SplitError> {
        Err(SplitError::NotAVariant)
    }
}

/// The content of a tuple or struct variant, as a JSON array or object.
pub(crate) struct Fields {
    variant: &'static str,
    out: Vec<u8>,
}

impl Fields {
    fn begin(variant: &'static str, open: u8) -> Self {
        let mut out = Vec::with_capacity(128);
        out.push(open);
        Self { variant, out }
    }

    fn separate(&mut self) {
        if self.out.len() > 1 {
            self.out.push(b',');
        }
    }

    fn end(mut self, close: u8) -> Split {
        self.out.push(close);
        (self.variant, self.out)
    }
}

impl ser::SerializeTupleVariant for Fields {
    type Ok = Split;
    type Error = SplitError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SplitError> {
        self.separate();
        write(&mut self.out, value)
    }

    fn end(self) -> Result<Split, SplitError> {
        Ok(Fields::end(self, b']'))
    }
}

impl ser::SerializeStructVariant for Fields {
    type Ok = Split;
    type Error = SplitError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), SplitError> {
        self.separate();
        write(&mut self.out, key)?;
        self.out.push(b':');
        write(&mut self.out, value)
    }

    fn end(self) -> Result<Split, SplitError> {
        Ok(Fields::end(self, b'}'))
    }
}
