//! Kept versions of documents, packed: a replay keeps more versions than it has documents, and a row costs more than the
//! bytes in it. One row holds what one commit keeps of one document.
//!
//! A version is: position, version, times (microseconds, zigzag), length and bytes of its positions, 0 where the
//! document was deleted or else 1 + the length of its body, and that. All numbers in LEB128
//! (<https://en.wikipedia.org/wiki/LEB128>).

use std::collections::HashMap;

use bytes::Bytes;
use chrono::DateTime;
use factum::{Bounds, Document, DocumentKey, LogId, Position, Positions, Version};

/// After how many bytes a row is full: whoever reads one version unpacks its row.
const ROW_BYTES: usize = 32 << 10;

/// Versions of one document in one row.
#[derive(Debug, PartialEq)]
pub(crate) struct Packed {
    pub(crate) key: DocumentKey,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) versions: Vec<u8>,
}

/// Packs what a commit keeps, by key.
pub(crate) fn pack(kept: &[(DocumentKey, Document)]) -> Vec<Packed> {
    let mut by_key: HashMap<&DocumentKey, Vec<&Document>> = HashMap::new();
    for (key, document) in kept {
        by_key.entry(key).or_default().push(document);
    }
    let mut by_key: Vec<_> = by_key.into_iter().collect();
    by_key.sort_unstable_by_key(|(key, _)| *key);
    let mut rows = Vec::with_capacity(by_key.len());
    for (key, mut documents) in by_key {
        // Mostly they come so.
        documents.sort_by_key(|document| document.bounds.position);
        pack_one(key, &documents, &mut rows);
    }
    rows
}

fn pack_one(key: &DocumentKey, mut documents: &[&Document], rows: &mut Vec<Packed>) {
    while let [first, ..] = documents {
        let (first, mut last, mut versions) = (first.bounds.position, first.bounds.position, Vec::new());
        while let [document, rest @ ..] = documents
            && versions.len() < ROW_BYTES
        {
            put(&mut versions, document);
            last = document.bounds.position;
            documents = rest;
        }
        rows.push(Packed { key: key.clone(), first, last, versions });
    }
}

fn put(bytes: &mut Vec<u8>, document: &Document) {
    let Document { body, bounds, positions } = document;
    put_number(bytes, bounds.position.get());
    put_number(bytes, bounds.version.get());
    put_number(bytes, zigzag(bounds.recorded_at.timestamp_micros()));
    put_number(bytes, zigzag(bounds.occurred_at.timestamp_micros()));
    put_number(bytes, positions.as_bytes().len() as u64);
    bytes.extend_from_slice(positions.as_bytes());
    put_number(bytes, body.as_ref().map_or(0, |body| body.len() as u64 + 1));
    bytes.extend_from_slice(body.as_deref().unwrap_or_default());
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

/// The versions of a row, ascending; `None` where the bytes are not what [`pack`] makes.
pub(crate) fn unpack(log: LogId, mut bytes: &[u8]) -> Option<Vec<Document>> {
    let mut versions = Vec::new();
    while !bytes.is_empty() {
        versions.push(take(log, &mut bytes)?);
    }
    Some(versions)
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
    use factum::Tenant;
    use proptest::prelude::*;

    fn documents() -> impl Strategy<Value = Vec<(DocumentKey, Document)>> {
        let body = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let one = (0u8..4, 1..=i64::MAX as u64, 1..u64::MAX, -(1i64 << 50)..1 << 50, -(1i64 << 50)..1 << 50, body);
        proptest::collection::vec(one, 0..40).prop_map(|all| {
            let document =
                |(key, position, version, recorded, occurred, body): (u8, u64, u64, i64, i64, Option<Vec<u8>>)| {
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
                    let key = DocumentKey::new(Tenant::default(), key.to_string()).unwrap();
                    (key, Document { body: body.map(Bytes::from), bounds, positions })
                };
            all.into_iter().map(document).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_by_key_and_position(kept in documents()) {
            let mut out = Vec::new();
            for row in pack(&kept) {
                let versions = unpack(LogId::FIRST, &row.versions).unwrap();
                prop_assert_eq!(versions.first().unwrap().bounds.position, row.first);
                prop_assert_eq!(versions.last().unwrap().bounds.position, row.last);
                out.extend(versions.into_iter().map(|version| (row.key.clone(), version)));
            }
            let mut expected = kept;
            expected.sort_by_key(|(key, document)| (key.clone(), document.bounds.position));
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = unpack(LogId::FIRST, &bytes);
        }
    }

    #[test]
    fn a_row_that_was_cut_short_is_not_taken_for_a_shorter_one() {
        let key = DocumentKey::new(Tenant::default(), "a").unwrap();
        let bounds = Bounds {
            log: LogId::FIRST,
            position: Position::new(7),
            version: Version::FIRST,
            recorded_at: DateTime::UNIX_EPOCH,
            occurred_at: DateTime::UNIX_EPOCH,
        };
        let document = Document { body: Some(Bytes::from("{}")), bounds, positions: Positions::default() };
        let row = pack(&[(key, document)]).remove(0);
        for len in 1..row.versions.len() {
            assert_eq!(unpack(LogId::FIRST, &row.versions[..len]), None, "{len} bytes were taken");
        }
    }
}
