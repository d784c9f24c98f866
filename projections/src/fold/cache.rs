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
    pub(crate) positions: Positions,
}

impl Trace {
    pub(crate) fn of<E>(event: &Recorded<E>) -> Self {
        let mut positions = Positions::default();
        positions.push(event.position);
        Self { bounds: bounds_of(event), positions }
    }

    pub(crate) fn add<E>(&mut self, event: &Recorded<E>) {
        self.bounds = self.bounds.and(bounds_of(event));
        self.positions.push(event.position);
    }
}

fn bounds_of<E>(event: &Recorded<E>) -> Bounds {
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
    /// Changed since the last commit.
    pub(crate) dirty: bool,
    /// The last event that named it: an event that names a key twice changes it once.
    pub(crate) named_by: Position,
    /// The size as it was last written or loaded, in bytes.
    size: usize,
}

impl<D: Serialize> Entry<D> {
    /// The document as it is stored.
    pub(crate) fn to_document(&self) -> Result<Option<Document>, serde_json::Error> {
        let Some(trace) = &self.trace else { return Ok(None) };
        let body = self.content.as_ref().map(serde_json::to_vec).transpose()?.map(Bytes::from);
        Ok(Some(Document { body, bounds: trace.bounds, positions: trace.positions.clone() }))
    }
}

/// The documents of one log, found by tenant and key, and named by their place: an event's keys are looked up once.
#[derive(Debug)]
pub(crate) struct Cache<D> {
    tenants: HashMap<Tenant, HashMap<Box<str>, u32>>,
    entries: Vec<Entry<D>>,
    bytes: usize,
    /// It began at the start of the log and has forgotten nothing: what is not here does not exist.
    complete: bool,
}

impl<D> Cache<D> {
    pub(crate) fn new(complete: bool) -> Self {
        Self { tenants: HashMap::new(), entries: Vec::new(), bytes: 0, complete }
    }

    /// The place of a document, which is new to the cache if `true`.
    pub(crate) fn place(&mut self, tenant: &Tenant, key: &str) -> Result<(u32, bool), InputError> {
        let keys = match self.tenants.get_mut(tenant) {
            Some(keys) => keys,
            None => self.tenants.entry(tenant.clone()).or_default(),
        };
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
            dirty: false,
            named_by: Position::START,
            size: 0,
        });
        Ok((place, true))
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
