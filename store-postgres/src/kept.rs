//! Kept versions of documents, packed: one row holds what one commit keeps of one document.

use chrono::{DateTime, Utc};
use factum::{Document, DocumentKey, Position, Version};

/// After how many bytes a row is full: whoever reads one version unpacks its row, and two rows fit on a page.
const ROW_BYTES: usize = 3 << 10;

/// Versions of one document in one row.
#[derive(Debug, PartialEq)]
pub(crate) struct Packed<'k> {
    pub(crate) key: &'k DocumentKey,
    pub(crate) first: Position,
    /// The least of the versions' bounds.
    pub(crate) version: Version,
    pub(crate) recorded_at: DateTime<Utc>,
    pub(crate) occurred_at: DateTime<Utc>,
    pub(crate) versions: Vec<u8>,
}

/// Packs what a commit keeps, by key.
pub(crate) fn pack(kept: &[(DocumentKey, Document)]) -> Vec<Packed<'_>> {
    let mut all: Vec<_> = kept.iter().collect();
    // Mostly they come so. Of two at one position the later counts.
    all.reverse();
    all.sort_by_key(|(key, document)| (key, document.bounds.position));
    all.dedup_by(|(key, other), (kept_key, kept)| key == kept_key && other.bounds.position == kept.bounds.position);
    let mut rows = Vec::new();
    all.chunk_by(|(a, _), (b, _)| a == b).for_each(|documents| pack_one(documents, &mut rows));
    rows
}

fn pack_one<'k>(mut documents: &[&'k (DocumentKey, Document)], rows: &mut Vec<Packed<'k>>) {
    while let [(key, first), ..] = documents {
        let bounds = first.bounds;
        let mut row = Packed {
            key,
            first: bounds.position,
            version: bounds.version,
            recorded_at: bounds.recorded_at,
            occurred_at: bounds.occurred_at,
            versions: Vec::new(),
        };
        while let [(_, document), rest @ ..] = documents
            && row.versions.len() < ROW_BYTES
        {
            document.pack(&mut row.versions);
            row.version = row.version.min(document.bounds.version);
            row.recorded_at = row.recorded_at.min(document.bounds.recorded_at);
            row.occurred_at = row.occurred_at.min(document.bounds.occurred_at);
            documents = rest;
        }
        rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use factum::{Bounds, LogId, Positions, Tenant};
    use proptest::prelude::*;

    fn documents() -> impl Strategy<Value = Vec<(DocumentKey, Document)>> {
        let one = (0u8..4, 1..200u64, 1..50u64, 0i64..50, 0i64..50, 0..2_000usize);
        let document = |(key, position, version, recorded, occurred, size): (u8, u64, u64, i64, i64, usize)| {
            let bounds = Bounds {
                log: LogId::FIRST,
                position: Position::new(position),
                version: Version::new(version).unwrap(),
                recorded_at: DateTime::from_timestamp_micros(recorded).unwrap(),
                occurred_at: DateTime::from_timestamp_micros(occurred).unwrap(),
            };
            let key = DocumentKey::new(Tenant::default(), key.to_string()).unwrap();
            (key, Document { body: Some(Bytes::from(vec![b'1'; size])), bounds, positions: Positions::default() })
        };
        proptest::collection::vec(one, 0..60).prop_map(move |all| all.into_iter().map(document).collect())
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_by_key_and_position_once(kept in documents()) {
            let mut out = Vec::new();
            for row in pack(&kept) {
                let versions = Document::unpack(LogId::FIRST, &row.versions).unwrap();
                prop_assert_eq!(versions.first().map(|version| version.bounds.position), Some(row.first));
                prop_assert_eq!(versions.iter().map(|version| version.bounds.version).min(), Some(row.version));
                prop_assert_eq!(versions.iter().map(|version| version.bounds.recorded_at).min(), Some(row.recorded_at));
                prop_assert_eq!(versions.iter().map(|version| version.bounds.occurred_at).min(), Some(row.occurred_at));
                out.extend(versions.into_iter().map(|version| (row.key.clone(), version)));
            }
            let wanted: std::collections::BTreeMap<_, _> =
                kept.into_iter().map(|(key, version)| ((key, version.bounds.position), version)).collect();
            let wanted: Vec<_> = wanted.into_iter().map(|((key, _), version)| (key, version)).collect();
            prop_assert_eq!(out, wanted);
        }
    }
}
