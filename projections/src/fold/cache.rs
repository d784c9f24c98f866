//! The documents that a fold holds in memory.

use std::collections::HashMap;

use bytes::Bytes;
use factum::{Bounds, Document, DocumentKey, InputError, Position, Positions, Recorded, Tenant};
use serde::Serialize;

/// What is known of a document beside its content.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) bounds: Bounds,
    /// The positions of its events since the version that was kept before it.
    positions: Positions,
    /// How many these are.
    events: usize,
}

impl Trace {
    pub(crate) fn loaded(bounds: Bounds, positions: Positions) -> Self {
        let events = positions.iter().count();
        Self { bounds, positions, events }
    }

    pub(crate) fn of<E>(event: &Recorded<E>) -> Self {
        let mut positions = Positions::default();
        positions.push(event.position);
        Self { bounds: bounds_of(event), positions, events: 1 }
    }

    pub(crate) fn add<E>(&mut self, event: &Recorded<E>) {
        self.bounds = self.bounds.and(bounds_of(event));
        self.positions.push(event.position);
        self.events += 1;
    }

    /// How many events it has had since the version that was kept before it.
    pub(crate) fn events(&self) -> usize {
        self.events
    }
}

pub(crate) fn bounds_of<E>(event: &Recorded<E>) -> Bounds {
    Bounds {
        log: event.log,
        position: event.position,
        version: event.version,
        recorded_at: event.recorded_at,
        occurred_at: event.occurred_at(),
    }
}

/// A document in memory.
#[derive(Debug)]
pub(crate) struct Entry<D> {
    pub(crate) key: DocumentKey,
    /// The content; `None` where there is none, or it was deleted.
    pub(crate) content: Option<D>,
    /// `None` until an event has made something of it.
    pub(crate) trace: Option<Trace>,
    /// Its versions that are to be kept and were not yet committed.
    pub(crate) kept: Vec<Document>,
    /// Changed since the last commit.
    pub(crate) dirty: bool,
    /// The last event that named it: an event that names a key twice changes it once.
    pub(crate) named_by: Position,
    /// The size as it was last written or loaded, in bytes.
    size: usize,
}

impl<D: Serialize> Entry<D> {
    /// The document as it is stored.
    pub(crate) fn to_document(&self, scratch: &mut Vec<u8>) -> Result<Option<Document>, serde_json::Error> {
        let Some(trace) = &self.trace else { return Ok(None) };
        let body = self.body(scratch)?;
        Ok(Some(Document { body, bounds: trace.bounds, positions: trace.positions.clone() }))
    }

    /// Keeps the document as it is, before an event changes it. Its positions begin anew.
    pub(crate) fn keep(&mut self, scratch: &mut Vec<u8>) -> Result<usize, serde_json::Error> {
        let body = self.body(scratch)?;
        let Some(trace) = &mut self.trace else { return Ok(0) };
        let document = Document { body, bounds: trace.bounds, positions: std::mem::take(&mut trace.positions) };
        trace.events = 0;
        let size = std::mem::size_of::<(DocumentKey, Document)>() + stored_size(&document);
        if self.kept.len() == self.kept.capacity() {
            // Mostly there is one, or two: room for four at once would be most of what a fold of many documents takes.
            self.kept.reserve_exact(self.kept.len().max(1));
        }
        self.kept.push(document);
        Ok(size)
    }

    fn body(&self, scratch: &mut Vec<u8>) -> Result<Option<Bytes>, serde_json::Error> {
        let Some(content) = &self.content else { return Ok(None) };
        scratch.clear();
        serde_json::to_writer(&mut *scratch, content)?;
        Ok(Some(Bytes::copy_from_slice(scratch)))
    }
}

/// What a document takes where it is stored, beside its key, in bytes.
pub(crate) fn stored_size(document: &Document) -> usize {
    document.body.as_ref().map_or(0, Bytes::len) + document.positions.as_bytes().len()
}

/// The documents of one log, found by tenant and key, and named by their place: an event's keys are looked up once.
#[derive(Debug)]
pub(crate) struct Cache<D> {
    tenants: HashMap<Tenant, usize>,
    keys: Vec<HashMap<Box<str>, u32>>,
    /// The tenant that was asked for last, and its place in `keys`: most events in a row have the same.
    last: Option<(Tenant, usize)>,
    entries: Vec<Entry<D>>,
    bytes: usize,
    /// It began at the start of the log and has forgotten nothing: what is not here does not exist.
    complete: bool,
}

impl<D> Cache<D> {
    pub(crate) fn new(complete: bool) -> Self {
        let (tenants, keys, entries) = (HashMap::new(), Vec::new(), Vec::new());
        Self { tenants, keys, last: None, entries, bytes: 0, complete }
    }

    /// The place of a document, which is new to the cache if `true`.
    pub(crate) fn place(&mut self, tenant: &Tenant, key: &str) -> Result<(u32, bool), InputError> {
        let of = self.place_of(tenant);
        let keys = &mut self.keys[of];
        if let Some(place) = keys.get(key) {
            return Ok((*place, false));
        }
        let document_key = DocumentKey::new(tenant.clone(), key)?;
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        keys.insert(Box::from(key), place);
        self.bytes += ENTRY + 2 * key.len();
        self.entries.push(Entry {
            key: document_key,
            content: None,
            trace: None,
            kept: Vec::new(),
            dirty: false,
            named_by: Position::START,
            size: 0,
        });
        Ok((place, true))
    }

    fn place_of(&mut self, tenant: &Tenant) -> usize {
        if let Some((last, of)) = &self.last
            && last == tenant
        {
            return *of;
        }
        let of = *self.tenants.entry(tenant.clone()).or_insert_with(|| {
            self.keys.push(HashMap::new());
            self.keys.len() - 1
        });
        self.last = Some((tenant.clone(), of));
        of
    }

    /// Sorts places by the keys of their documents.
    pub(crate) fn sort(&self, places: &mut [u32]) {
        places.sort_unstable_by(|a, b| self.entries[*a as usize].key.cmp(&self.entries[*b as usize].key));
    }

    pub(crate) fn entry(&mut self, place: u32) -> &mut Entry<D> {
        &mut self.entries[place as usize]
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Puts what was loaded into its place.
    pub(crate) fn fill(&mut self, place: u32, content: Option<D>, trace: Trace, body: usize) {
        let size = body + trace.positions.as_bytes().len();
        let entry = self.entry(place);
        (entry.content, entry.trace) = (content, Some(trace));
        self.resize(place, size);
    }

    /// Says how large a document is, by its stored form in bytes.
    pub(crate) fn resize(&mut self, place: u32, size: usize) {
        let entry = &mut self.entries[place as usize];
        self.bytes = self.bytes - CONTENT_FACTOR * entry.size + CONTENT_FACTOR * size;
        entry.size = size;
    }

    /// An estimate of the memory that it takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything. Nothing may be dirty.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(false);
    }
}

/// The bytes of an entry beside its content, with its share of the map.
const ENTRY: usize = 256;
/// A decoded document takes more room than its JSON.
const CONTENT_FACTOR: usize = 3;
