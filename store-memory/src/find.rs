//! Finding documents by their fields: every document of the tenant is looked at, in the order of keys and logs.

use factum::{
    Counted, Document, DocumentKey, DocumentRead, FieldRange, FieldValue, FindDocuments, FoundDocument, FoundPage,
    LogId, ReadModelError,
};

use crate::generations::Build;

type Place<'a> = (&'a [u8], &'a str, i64);

pub(crate) fn find(find: &FindDocuments, read: DocumentRead, build: &Build) -> Result<FoundPage, ReadModelError> {
    find.check(read.generation, &build.fields)?;
    let plan = find.plan()?;
    let mut ranges: Vec<FieldRange> = plan.walk.iter().chain(&plan.sort).cloned().collect();
    ranges.extend(plan.check);
    let ordered = plan.sort.or(plan.walk);
    let mut found = matching(build, find, &ranges, ordered.as_ref().map(|range| range.field.as_str()));
    let (value, key, log) = &plan.start;
    let start: Place<'_> = (value, key, *log);
    found.retain(|(place, _)| if find.descending { *place < start } else { *place > start });
    found.sort_unstable_by_key(|(place, _)| *place);
    if find.descending {
        found.reverse();
    }
    let end = found.len() <= find.limit.max(1);
    let kind = find.order_by.as_ref().and_then(|name| build.fields.iter().find(|field| field.name() == name));
    let mut documents = Vec::new();
    for ((value, key, _), document) in found.into_iter().take(find.limit.max(1)) {
        let value = kind.and_then(|field| FieldValue::from_bytes(field.kind(), value));
        let key = DocumentKey::new(find.tenant.clone(), key)?;
        documents.push(FoundDocument { key, document: document.clone(), value });
    }
    Ok(FoundPage { read, documents, end })
}

pub(crate) fn count(find: &FindDocuments, read: DocumentRead, build: &Build) -> Result<Counted, ReadModelError> {
    find.check(read.generation, &build.fields)?;
    let (walk, mut ranges) = find.counting();
    ranges.extend(walk);
    let count = matching(build, find, &ranges, None).len() as u64;
    Ok(Counted { read, count })
}

/// The documents that are not deleted and have values in all ranges, each with its place in the order.
fn matching<'a>(
    build: &'a Build,
    find: &FindDocuments,
    ranges: &[FieldRange],
    order: Option<&str>,
) -> Vec<(Place<'a>, &'a Document)> {
    let of_tenant = build.documents.iter().filter(|(key, _)| *key.tenant() == find.tenant);
    let mut found = Vec::new();
    for (key, logs) in of_tenant {
        for (log, versions) in logs {
            let Some(current) = versions.current.as_ref().filter(|current| current.body.is_some()) else { continue };
            if ranges.iter().all(|range| versions.has(range)) {
                let value = order.and_then(|field| versions.value(field)).unwrap_or_default();
                found.push(((value, key.key(), place(*log)), current));
            }
        }
    }
    found
}

fn place(log: LogId) -> i64 {
    i64::from(log.get())
}
