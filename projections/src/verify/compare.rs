//! What is stored beside what history makes of it.

use chrono::SecondsFormat;
use factum::{Bounds, Document, LogId};

use super::batch::{Batch, Folded, Part, Slot};
use super::work::Verify;
use super::{Difference, DifferenceKind, VerifyError, Watch};
use crate::fold::catching;
use crate::json::{FieldDifference, Json};
use crate::projection::Projection;

/// How many fields of a document are named.
pub(super) const FIELDS: usize = 100;

impl<P: Projection> Verify<'_, P> {
    /// Compares every document of a batch that is folded.
    pub(super) fn compare(&mut self, batch: &Batch<P::Document>, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        for part in &batch.parts {
            self.tell_unreadable(part, watch);
            for slot in part.by_key().into_iter().filter(|slot| part.is_readable(&slot.key)) {
                for log in logs(slot) {
                    self.compare_one(part, slot, log, watch)?;
                }
            }
        }
        Ok(())
    }

    /// What cannot be read is as wrong as can be.
    fn tell_unreadable(&mut self, part: &Part<P::Document>, watch: &mut Watch<'_>) {
        for (key, what) in &part.unreadable {
            self.report.documents += 1;
            self.report.differences += 1;
            let found = Some(Json::Text(format!("it cannot be read: {what}; replay {}", self.documents.name)));
            let fields = vec![FieldDifference { path: "$".to_owned(), expected: None, found }];
            let (tenant, key, log) = (key.tenant().clone(), key.key().to_owned(), LogId::FIRST);
            let (kind, position) = (DifferenceKind::Unreadable, part.checkpoint.get(log));
            (watch.found)(Difference { tenant, key, log, kind, kept: false, position, fields });
        }
    }

    fn compare_one(
        &mut self,
        part: &Part<P::Document>,
        slot: &Slot<P::Document>,
        log: LogId,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        let stored = slot.stored.iter().find(|document| document.bounds.log == log && document.body.is_some());
        let expected = slot.folded.iter().find(|folded| folded.log == log).and_then(written);
        let expected = match expected {
            Some(Ok(expected)) => Some(expected),
            None => None,
            Some(Err(cause)) => {
                let (projection, key) = (self.documents.name.clone(), slot.key.to_string());
                return Err(VerifyError::Unserializable { projection, key, cause });
            }
        };
        let (kind, mut fields) = match (&expected, stored) {
            (None, None) => return Ok(()),
            (Some((body, bounds)), Some(stored)) => (DifferenceKind::Differs, differing(body, bounds, stored)),
            (Some((body, _)), None) => (DifferenceKind::Missing, Json::diff(Some(&parsed(body)), None, FIELDS)),
            (None, Some(stored)) => (DifferenceKind::Unexpected, Json::diff(None, Some(&found(stored)), FIELDS)),
        };
        self.report.documents += 1;
        if let (Some(_), Some(stored)) = (&expected, stored) {
            fields.extend(self.compare_fields(slot, &stored.bounds)?);
        }
        if fields.is_empty() {
            return Ok(());
        }
        self.report.differences += 1;
        let (tenant, key, position) = (part.tenant.clone(), slot.key.to_string(), part.checkpoint.get(log));
        if kind == DifferenceKind::Missing {
            self.missing.add(&tenant, &key, log);
        }
        (watch.found)(Difference { tenant, key, log, kind, kept: false, position, fields });
        Ok(())
    }
}

/// The logs in which a key is stored or folded.
fn logs<D>(slot: &Slot<D>) -> Vec<LogId> {
    let stored = slot.stored.iter().map(|document| document.bounds.log);
    let mut logs: Vec<_> = stored.chain(slot.folded.iter().map(|folded| folded.log)).collect();
    logs.sort_unstable();
    logs.dedup();
    logs
}

/// What history makes of a document, as it would be stored; `None` where it makes none.
fn written<D: serde::Serialize>(folded: &Folded<D>) -> Option<Result<(String, Bounds), String>> {
    let (content, bounds) = (folded.content.as_ref()?, folded.bounds?);
    let written = catching(|| serde_json::to_string(content));
    Some(written.and_then(|body| body.map_err(|error| error.to_string())).map(|body| (body, bounds)))
}

fn differing(expected: &str, bounds: &Bounds, stored: &Document) -> Vec<FieldDifference> {
    let mut fields = match stored.body.as_deref() == Some(expected.as_bytes()) {
        true => Vec::new(),
        false => Json::diff(Some(&parsed(expected)), Some(&found(stored)), FIELDS),
    };
    fields.extend(beside(bounds, &stored.bounds));
    fields
}

/// A body; one that is no JSON, since somebody has been at it, or that is nested too deep, is a text which says so.
fn parsed(body: &str) -> Json {
    Json::parse(body).unwrap_or_else(|| Json::Text(format!("not read as JSON: {body}")))
}

fn found(stored: &Document) -> Json {
    parsed(&String::from_utf8_lossy(stored.body.as_deref().unwrap_or_default()))
}

/// What is kept beside a document and differs: time travel relies on it.
pub(super) fn beside(expected: &Bounds, found: &Bounds) -> Vec<FieldDifference> {
    let time = |time: chrono::DateTime<chrono::Utc>| Json::Text(time.to_rfc3339_opts(SecondsFormat::Micros, true));
    let number = |number: u64| Json::Number(number.to_string());
    let named = |bounds: &Bounds| {
        [
            ("position", number(bounds.position.get())),
            ("version", number(bounds.version.get())),
            ("recorded_at", time(bounds.recorded_at)),
            ("occurred_at", time(bounds.occurred_at)),
        ]
    };
    let pairs = named(expected).into_iter().zip(named(found));
    let differing = pairs.filter(|((_, expected), (_, found))| expected != found);
    let field = |((path, expected), (_, found)): ((&str, Json), (&str, Json))| FieldDifference {
        path: path.to_owned(),
        expected: Some(expected),
        found: Some(found),
    };
    differing.map(field).collect()
}
