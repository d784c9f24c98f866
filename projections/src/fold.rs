//! The fold: from the events of one log to documents, alike for the live projector, a replay and a look back.

mod cache;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use factum::{Commit, Document, DocumentKey, Epoch, Mark, Position, ReadModelError, ReadModelStore, Shard, StoreId};

use crate::fields::{KeptFields, changes};
use crate::projection::{Keys, Projection};
pub(crate) use cache::bounds_of;
use cache::{Cache, Trace, stored_size};
pub(crate) use factum::{DecodedPage as Page, StopCause as Why, Stopped, catch_panic as catching};

/// How much memory a fold may hold on to between pages, in bytes, by its own estimate.
const CACHE_BYTES: usize = 64 << 20;

/// How many bytes of kept versions wait for a commit, at most and at least, and how many of each changed document.
const KEPT_BYTES: usize = 8 << 20;
const FEW_KEPT_BYTES: usize = 1 << 20;
const VERSIONS_EACH: usize = 4;

/// Folds the events of one log into documents in memory, until what has changed is taken for a commit.
pub(crate) struct Fold<P: Projection> {
    projection: Arc<P>,
    read_models: Arc<dyn ReadModelStore>,
    shard: Shard,
    cache: Cache<P::Document>,
    keys: Keys,
    /// For each event of the page in hand, the places of its documents; `ends` says where each event's end.
    places: Vec<u32>,
    ends: Vec<usize>,
    /// Changed since the last commit.
    dirty: Vec<u32>,
    /// How many versions are to be kept with the next commit, and what they take.
    kept: usize,
    kept_bytes: usize,
    scratch: Vec<u8>,
    /// By what the documents of the generation are found.
    fields: KeptFields,
}

/// Why a page was not folded whole.
pub(crate) enum Failed {
    /// User code failed on the event with this index. What is in memory can no longer be trusted.
    At(usize, String),
    /// The documents could not be loaded.
    Load(ReadModelError),
}

impl<P: Projection> Fold<P> {
    pub(crate) fn new(
        projection: Arc<P>,
        read_models: Arc<dyn ReadModelStore>,
        shard: Shard,
        at: Position,
        fields: KeptFields,
    ) -> Self {
        let cache = Cache::new(at == Position::START);
        Self {
            projection,
            read_models,
            shard,
            cache,
            keys: Keys::default(),
            places: Vec::new(),
            ends: Vec::new(),
            dirty: Vec::new(),
            kept: 0,
            kept_bytes: 0,
            scratch: Vec::new(),
            fields,
        }
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Folds a page. On `Failed::At` the fold is spent.
    pub(crate) async fn page(&mut self, page: &Page<P::Event>) -> Result<(), Failed> {
        let unknown = self.find_places(page)?;
        self.load(unknown).await?;
        self.apply(page)
    }

    /// Asks for the keys of each event and finds their documents; answers which are to be loaded.
    fn find_places(&mut self, page: &Page<P::Event>) -> Result<Vec<u32>, Failed> {
        self.places.clear();
        self.ends.clear();
        let mut unknown = Vec::new();
        let found = catching(|| self.find_all(page, &mut unknown));
        // `ends` has grown by one for each event that was done.
        let failed = |cause| Failed::At(self.ends.len(), cause);
        match found {
            Ok(Ok(())) => Ok(unknown),
            Ok(Err(refused)) => Err(failed(refused.to_string())),
            Err(cause) => Err(failed(cause)),
        }
    }

    fn find_all(&mut self, page: &Page<P::Event>, unknown: &mut Vec<u32>) -> Result<(), factum::InputError> {
        for event in &page.events {
            self.keys.clear();
            self.projection.keys(event, &mut self.keys);
            for key in self.keys.iter() {
                let (place, new) = self.cache.place(event.stream.tenant(), key)?;
                if new && !self.cache.is_complete() {
                    unknown.push(place);
                }
                let entry = self.cache.entry(place);
                if entry.named_by != event.position {
                    entry.named_by = event.position;
                    self.places.push(place);
                }
            }
            self.ends.push(self.places.len());
        }
        Ok(())
    }

    async fn load(&mut self, unknown: Vec<u32>) -> Result<(), Failed> {
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = unknown.iter().map(|place| self.cache.entry(*place).key.clone()).collect();
        let documents = self.read_models.load(&self.shard, &keys).await.map_err(|error| match &error {
            ReadModelError::DamagedDocument { key, .. } => match keys.iter().position(|other| other == key) {
                Some(at) => self.damaged(unknown[at], error),
                None => Failed::Load(error),
            },
            _ => Failed::Load(error),
        })?;
        for ((place, key), document) in unknown.into_iter().zip(&keys).zip(documents) {
            let Some(Document { body, bounds, positions }) = document else { continue };
            let decode = |body| decode_document(&self.shard.projection, key, body);
            let content = body.as_deref().map(decode).transpose().map_err(|error| self.damaged(place, error))?;
            let size = body.map_or(0, |body| body.len());
            self.cache.fill(place, content, Trace::loaded(bounds, positions), size);
        }
        Ok(())
    }

    /// A document that cannot be folded on stops the fold at the first event that would change it, as an event does that
    /// cannot be taken: those before it are taken, and what is wrong is kept where everybody sees it.
    fn damaged(&self, place: u32, error: ReadModelError) -> Failed {
        let names = |begin: usize, end: usize| self.places[begin..end].contains(&place);
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        match begins.zip(&self.ends).position(|(begin, end)| names(begin, *end)) {
            Some(index) => Failed::At(index, error.to_string()),
            None => Failed::Load(error),
        }
    }

    fn apply(&mut self, page: &Page<P::Event>) -> Result<(), Failed> {
        let mut done = 0;
        match catching(|| self.apply_all(page, &mut done)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) | Err(cause) => Err(Failed::At(done, cause)),
        }
    }

    fn apply_all(&mut self, page: &Page<P::Event>, done: &mut usize) -> Result<(), String> {
        let mut begin = 0;
        for (event, end) in page.events.iter().zip(&self.ends) {
            for place in &self.places[begin..*end] {
                let entry = self.cache.entry(*place);
                let crosses = entry.trace.as_ref().is_some_and(|trace| {
                    trace.events() >= P::KEEP_AFTER
                        && interval::<P>(trace.bounds.position) < interval::<P>(event.position)
                });
                if crosses {
                    self.kept += 1;
                    self.kept_bytes += entry.keep(&mut self.scratch).map_err(|error| unserializable(&error))?;
                }
                let applied = self.projection.try_apply(entry.key.key(), &mut entry.content, event);
                applied.map_err(|error| error.to_string())?;
                match &mut entry.trace {
                    Some(trace) => trace.add(event),
                    // An event that makes nothing of nothing leaves no trace: it can make no difference to any answer.
                    None if entry.content.is_none() => continue,
                    None => entry.trace = Some(Trace::of(event)),
                }
                if !entry.dirty {
                    entry.dirty = true;
                    self.dirty.push(*place);
                }
            }
            begin = *end;
            *done += 1;
        }
        Ok(())
    }

    /// Whether enough versions wait to be kept. A commit writes each changed document once, so it pays to wait for
    /// several versions of each; what that takes depends on how many documents there are, not on how long the log is.
    pub(crate) fn has_much_to_keep(&self) -> bool {
        self.kept_bytes >= KEPT_BYTES
            || (self.kept_bytes >= FEW_KEPT_BYTES && self.kept >= VERSIONS_EACH * self.dirty.len())
    }

    /// How many documents wait to be written.
    pub(crate) fn changed(&self) -> usize {
        self.dirty.len()
    }

    /// Whether it holds as many documents as it may: once they are written, it forgets them.
    pub(crate) fn is_large(&self) -> bool {
        self.cache.bytes() > CACHE_BYTES
    }

    /// The step of the shard from `from` to `to`, with everything that has changed since the last.
    ///
    /// # Errors
    /// The position of the last event of a document that cannot be serialized, and why. The fold is spent.
    pub(crate) fn take_commit(
        &mut self,
        store: StoreId,
        from: Position,
        epoch: Epoch,
        to: Mark,
    ) -> Result<Commit, (Position, String)> {
        // Of the size that they have in the end: what grows by doubling is larger in some commits than in most.
        let mut documents = Vec::with_capacity(self.dirty.len());
        let mut kept = Vec::with_capacity(self.kept);
        let mut fields = Vec::with_capacity(self.dirty.len() * self.fields.len());
        let keep_from = keep_from::<P>(to.position);
        // By key, as stores keep them, and each with its kept versions in order.
        self.cache.sort(&mut self.dirty);
        for place in self.dirty.drain(..) {
            let entry = self.cache.entry(place);
            entry.dirty = false;
            let last = entry.trace.as_ref().map_or(from, |trace| trace.bounds.position);
            let document = catching(|| entry.to_document(&mut self.scratch));
            let document = document.and_then(|done| done.map_err(|error| unserializable(&error)));
            let forgotten = keep_from.map_or(0, |from| superseded(&entry.kept, from));
            kept.extend(
                std::mem::take(&mut entry.kept).into_iter().skip(forgotten).map(|version| (entry.key.clone(), version)),
            );
            if let Some(document) = document.map_err(|cause| (last, cause))? {
                let (key, size) = (entry.key.clone(), stored_size(&document));
                if !self.fields.is_empty() {
                    let content = entry.content.as_ref();
                    let found = catching(|| changes(&*self.projection, &self.fields, &key, content, &mut fields));
                    found.and_then(|found| found).map_err(|cause| (last, cause))?;
                }
                documents.push((key, document));
                self.cache.resize(place, size);
            }
        }
        (self.kept, self.kept_bytes) = (0, 0);
        if self.cache.bytes() > CACHE_BYTES {
            self.cache.clear();
        }
        Ok(Commit { shard: self.shard.clone(), from, epoch, store, to, documents, kept, keep_from, fields })
    }
}

/// In which part of the grid a position lies: a version of a document is kept when the next part changes it.
fn interval<P: Projection>(position: Position) -> u64 {
    const { assert!(P::KEEP_EVERY > 0, "Projection::KEEP_EVERY is at least 1") };
    position.get().saturating_sub(1) / P::KEEP_EVERY
}

/// From where on the past is kept by a read model that has come to a position.
fn keep_from<P: Projection>(to: Position) -> Option<Position> {
    P::KEEP_FOR.map(|positions| Position::new(to.get().saturating_sub(positions)))
}

/// How many of the versions, by position, lie before the newest at or before a position: nobody needs them from there on.
fn superseded(versions: &[Document], from: Position) -> usize {
    versions.iter().rposition(|version| version.bounds.position <= from).unwrap_or(0)
}

fn unserializable(error: &serde_json::Error) -> String {
    format!("the document cannot be serialized: {error}")
}

pub(crate) fn decode_document<D: serde::de::DeserializeOwned>(
    projection: &factum::ProjectionName,
    key: &DocumentKey,
    body: &[u8],
) -> Result<D, ReadModelError> {
    serde_json::from_slice(body).map_err(|error| {
        // serde's own words would quote the document.
        let place = format!("line {} column {}", error.line(), error.column());
        let what = format!("the document {:?} is not what this version of the code writes, at {place}", key.key());
        ReadModelError::Damaged { projection: projection.clone(), what }
    })
}
