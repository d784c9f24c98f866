//! Versions of a document in one column: a replay keeps more versions than it has documents, and a row costs more than the
//! bytes in it.
//!
//! A version is: position, version, times (microseconds, zigzag), length and bytes of its positions, 0 where the
//! document was deleted or else 1 + the length of its body, and that. All numbers in LEB128
//! (<https://en.wikipedia.org/wiki/LEB128>).

use bytes::Bytes;
use chrono::DateTime;

use super::document::Document;
use super::positions::Positions;
use crate::at::Bounds;
use crate::place::{LogId, Position, Version};

impl Document {
    /// Adds this version to others of the same document in one column; its log is not in it.
    ///
    /// ```
    /// use factum::{Bounds, Document, LogId, Position, Positions, Version};
    ///
    /// let (time, position) = (chrono::DateTime::UNIX_EPOCH, Position::new(7));
    /// let bounds =
    ///     Bounds { log: LogId::FIRST, position, version: Version::FIRST, recorded_at: time, occurred_at: time };
    /// let version = Document { body: Some("{}".into()), bounds, positions: Positions::default() };
    /// let mut column = Vec::new();
    /// version.pack(&mut column);
    /// version.pack(&mut column);
    /// assert_eq!(Document::unpack(LogId::FIRST, &column), Some(vec![version.clone(), version]));
    /// ```
    pub fn pack(&self, bytes: &mut Vec<u8>) {
        let Self { body, bounds, positions } = self;
        put_number(bytes, bounds.position.get());
        put_number(bytes, bounds.version.get());
        put_number(bytes, zigzag(bounds.recorded_at.timestamp_micros()));
        put_number(bytes, zigzag(bounds.occurred_at.timestamp_micros()));
        put_number(bytes, positions.as_bytes().len() as u64);
        bytes.extend_from_slice(positions.as_bytes());
        put_number(bytes, body.as_ref().map_or(0, |body| body.len() as u64 + 1));
        bytes.extend_from_slice(body.as_deref().unwrap_or_default());
    }

    /// The versions in a column, in the order in which they were added; `None` where the bytes are not what
    /// [`pack`](Self::pack) makes.
    pub fn unpack(log: LogId, mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut versions = Vec::new();
        while !bytes.is_empty() {
            versions.push(take(log, &mut bytes)?);
        }
        Some(versions)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn take(log: LogId, bytes: &mut &[u8]) -> Option<Document> {
    let position = Position::new(take_number(bytes)?);
    let version = Version::new(take_number(bytes)?).ok()?;
    let recorded_at = DateTime::from_timestamp_micros(unzigzag(take_number(bytes)?))?;
    let occurred_at = DateTime::from_timestamp_micros(unzigzag(take_number(bytes)?))?;
    let len = take_number(bytes)?;
    let positions = Positions::from_bytes(take_bytes(bytes, len)?.to_vec())?;
    let body = match take_number(bytes)? {
        0 => None,
        len => Some(Bytes::copy_from_slice(take_bytes(bytes, len - 1)?)),
    };
    Some(Document { body, bounds: Bounds { log, position, version, recorded_at, occurred_at }, positions })
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take_bytes<'b>(bytes: &mut &'b [u8], len: u64) -> Option<&'b [u8]> {
    let (taken, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version() -> impl Strategy<Value = Document> {
        let body = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let one = (1..=i64::MAX as u64, 1..u64::MAX, -(1i64 << 50)..1 << 50, -(1i64 << 50)..1 << 50, body);
        one.prop_map(|(position, version, recorded, occurred, body)| {
            let mut positions = Positions::default();
            positions.push(Position::new(position / 2));
            positions.push(Position::new(position));
            let bounds = Bounds {
                log: LogId::FIRST,
                position: Position::new(position),
                version: Version::new(version).unwrap(),
                recorded_at: DateTime::from_timestamp_micros(recorded).unwrap(),
                occurred_at: DateTime::from_timestamp_micros(occurred).unwrap(),
            };
            Document { body: body.map(Bytes::from), bounds, positions }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(versions in proptest::collection::vec(version(), 0..10)) {
            let mut bytes = Vec::new();
            versions.iter().for_each(|version| version.pack(&mut bytes));
            prop_assert_eq!(Document::unpack(LogId::FIRST, &bytes), Some(versions));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Document::unpack(LogId::FIRST, &bytes);
        }

        #[test]
        fn what_was_cut_short_is_not_taken_for_a_shorter_one(version in version()) {
            let mut bytes = Vec::new();
            version.pack(&mut bytes);
            for len in 1..bytes.len() {
                prop_assert_eq!(Document::unpack(LogId::FIRST, &bytes[..len]), None, "{} bytes were taken", len);
            }
        }
    }
}
