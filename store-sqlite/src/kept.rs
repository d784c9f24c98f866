//! Kept versions of documents, packed: one row holds what one commit keeps of one document.

use factum::{Document, DocumentKey, Position};

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
    let mut all: Vec<_> = kept.iter().collect();
    // Mostly they come so.
    all.sort_by_key(|(key, document)| (key, document.bounds.position));
    let mut rows = Vec::new();
    all.chunk_by(|(a, _), (b, _)| a == b).for_each(|documents| pack_one(documents, &mut rows));
    rows
}

fn pack_one(mut documents: &[&(DocumentKey, Document)], rows: &mut Vec<Packed>) {
    while let [(key, first), ..] = documents {
        let (first, mut last, mut versions) = (first.bounds.position, first.bounds.position, Vec::new());
        while let [(_, document), rest @ ..] = documents
            && versions.len() < ROW_BYTES
        {
            document.pack(&mut versions);
            last = document.bounds.position;
            documents = rest;
        }
        rows.push(Packed { key: key.clone(), first, last, versions });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use chrono::DateTime;
    use factum::{Bounds, LogId, Positions, Tenant, Version};
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
                let versions = Document::unpack(LogId::FIRST, &row.versions).unwrap();
                prop_assert_eq!(versions.first().unwrap().bounds.position, row.first);
                prop_assert_eq!(versions.last().unwrap().bounds.position, row.last);
                out.extend(versions.into_iter().map(|version| (row.key.clone(), version)));
            }
            let mut expected = kept;
            expected.sort_by_key(|(key, document)| (key.clone(), document.bounds.position));
            prop_assert_eq!(out, expected);
        }
    }
}
