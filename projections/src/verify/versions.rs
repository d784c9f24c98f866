//! The versions of documents that are kept for time travel, beside what history made of the documents then.
//!
//! Of each only a hash is held, so that a read model with many versions is compared in bounded memory; one that is wrong is
//! read again to show where.

use std::hash::{DefaultHasher, Hash, Hasher};

use factum::{Document, DocumentKey, HistoryFrom, LogId, Position, ReadHistory};

use super::batch::{Batch, Folded, Kept, Part, Slot, Verdict};
use super::compare::{FIELDS, beside};
use super::work::Verify;
use super::{Difference, DifferenceKind, VerifyError, Watch};
use crate::fold::catching;
use crate::json::{FieldDifference, Json};
use crate::projection::Projection;

/// How many versions of how many documents are read at once.
const VERSIONS: usize = 64;
const KEYS: usize = 50;

/// Of how many wrong versions what they should be is remembered.
const REMEMBERED: usize = 1_000;

/// Of a body that was deleted; of one that is, by what it says as JSON and not by how that is written. `None`: no JSON.
fn hash_of(body: Option<&str>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match body {
        None => 0u8.hash(&mut hasher),
        Some(body) => Json::parse(body)?.to_string().hash(&mut hasher),
    }
    Some(hasher.finish())
}

fn text(document: &Document) -> Option<std::borrow::Cow<'_, str>> {
    document.body.as_deref().map(String::from_utf8_lossy)
}

/// What a kept version is, now that history has come to its position.
pub(super) fn judge<D: serde::Serialize>(
    kept: &Kept,
    folded: &Folded<D>,
    wrong: &mut usize,
) -> Result<Verdict, String> {
    let written = folded.content.as_ref().map(|content| catching(|| serde_json::to_string(content)));
    let expected = written.transpose()?.transpose().map_err(|error| error.to_string())?;
    let hash = hash_of(expected.as_deref());
    if hash.is_some() && kept.hash == hash && folded.bounds == Some(kept.bounds) {
        return Ok(Verdict::Right);
    }
    *wrong += 1;
    Ok(Verdict::Wrong(expected.filter(|_| *wrong <= REMEMBERED), folded.bounds))
}

impl<P: Projection> Verify<'_, P> {
    /// Finds the kept versions of the documents of a part.
    pub(super) async fn find_kept(&mut self, part: &mut Part<P::Document>) -> Result<(), VerifyError> {
        for (log, _) in part.checkpoint.clone().positions() {
            let tenant = part.tenant.clone();
            let mut slots: Vec<_> = part.stored_mut().map(|slot| (slot, Position::START)).collect();
            for some in slots.chunks_mut(KEYS) {
                let mut left: Vec<_> = some.iter_mut().collect();
                while !left.is_empty() {
                    // Those that have got as far as the others are read together.
                    let after = left.iter().map(|(_, after)| *after).min().unwrap_or(Position::START);
                    let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|(_, at)| *at == after);
                    left = later;
                    let keys = now.iter().map(|(slot, _)| DocumentKey::new(tenant.clone(), &slot.key));
                    let keys = keys.collect::<Result<Vec<_>, _>>()?;
                    let (from, limit) = (HistoryFrom::After(after), VERSIONS);
                    let read = ReadHistory { target: self.target(), log, keys, from, limit };
                    let histories = self.documents.read_models.history(&read).await?.versions;
                    for (entry, versions) in now.into_iter().zip(histories) {
                        let more = versions.len() == VERSIONS;
                        take(entry.0, &versions, log);
                        if let Some(last) = versions.last().filter(|_| more) {
                            entry.1 = last.bounds.position;
                            left.push(entry);
                        }
                    }
                }
            }
        }
        part.stored_mut().for_each(|slot| slot.kept.sort_by_key(|kept| (kept.bounds.log, kept.bounds.position)));
        part.weigh();
        Ok(())
    }

    /// Tells the kept versions of a batch that are not what history made of their documents.
    pub(super) async fn compare_kept(
        &mut self,
        batch: &Batch<P::Document>,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        for part in &batch.parts {
            for slot in part.by_key() {
                for kept in &slot.kept {
                    self.report.versions += 1;
                    if !matches!(kept.is, Verdict::Right) {
                        self.tell_kept(part, slot, kept, watch).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn tell_kept(
        &mut self,
        part: &Part<P::Document>,
        slot: &Slot<P::Document>,
        kept: &Kept,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        let (log, position) = (kept.bounds.log, kept.bounds.position);
        let found = self.version_at(part, slot, log, position).await?;
        let found = found.as_ref().and_then(text).and_then(|body| Json::parse(&body));
        let fields = match &kept.is {
            Verdict::Right => return Ok(()),
            Verdict::Unmet => vec![unmet(position)],
            Verdict::Wrong(expected, bounds) => {
                let expected = expected.as_deref().and_then(Json::parse);
                let mut fields = Json::diff(expected.as_ref(), found.as_ref(), FIELDS);
                fields.extend(bounds.iter().flat_map(|bounds| beside(bounds, &kept.bounds)));
                fields
            }
        };
        self.report.differences += 1;
        let (tenant, key, kind) = (part.tenant.clone(), slot.key.to_string(), DifferenceKind::Differs);
        (watch.found)(Difference { tenant, key, log, kind, kept: true, position, fields });
        Ok(())
    }

    /// A version, read again.
    async fn version_at(
        &self,
        part: &Part<P::Document>,
        slot: &Slot<P::Document>,
        log: LogId,
        position: Position,
    ) -> Result<Option<Document>, VerifyError> {
        let before = Position::new(position.get().saturating_sub(1));
        let keys = vec![DocumentKey::new(part.tenant.clone(), &slot.key)?];
        let read = ReadHistory { target: self.target(), log, keys, from: HistoryFrom::After(before), limit: 1 };
        let found = self.documents.read_models.history(&read).await?.versions.into_iter().flatten().next();
        Ok(found.filter(|version| version.bounds.position == position))
    }
}

/// Versions that are older than the document as it was listed, without their content.
fn take<D>(slot: &mut Slot<D>, versions: &[Document], log: LogId) {
    let now = slot.stored.iter().find(|document| document.bounds.log == log);
    let Some(now) = now.map(|document| document.bounds.position) else { return };
    for version in versions.iter().filter(|version| version.bounds.position < now) {
        let hash = hash_of(text(version).as_deref());
        slot.kept.push(Kept { bounds: version.bounds, hash, is: Verdict::Unmet });
    }
}

/// That no event of the document stands where a version of it is kept.
fn unmet(position: Position) -> FieldDifference {
    let found = Some(Json::Number(position.get().to_string()));
    FieldDifference { path: "position".to_owned(), expected: None, found }
}
