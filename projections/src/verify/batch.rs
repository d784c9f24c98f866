//! The documents that one reading of history is compared with, in bounded memory.
//!
//! A batch is a row of parts; a part is what one page of a listing told: every document of a tenant within an interval of keys,
//! as of one checkpoint. So a key that history names and no part has is missing, and a part says how far it is to be folded.

use std::collections::HashMap;
use std::io;

use factum::{Bounds, Cursor, Document, DocumentFields, DocumentKey, InputError, LogId, Position, Tenant};
use serde::Serialize;

/// What an interval of keys takes beside its documents, and a document beside its key and content, in bytes.
const PART: usize = 512;
const SLOT: usize = 700;
/// A decoded document takes more room than its JSON.
const CONTENT_FACTOR: usize = 3;
/// What a kept version takes, and a value of a field beside what it is.
const KEPT: usize = 120;
const FIELD: usize = 64;

/// What history makes of a document in one log.
#[derive(Debug)]
pub(super) struct Folded<D> {
    pub(super) log: LogId,
    pub(super) content: Option<D>,
    pub(super) bounds: Option<Bounds>,
    /// The last event that named it: an event that names a key twice changes it once.
    pub(super) named_by: Position,
    pub(super) dirty: bool,
    /// The size of its JSON when it was last measured.
    size: usize,
}

/// One key: what is stored under it, and what history makes of it, by log.
#[derive(Debug)]
pub(super) struct Slot<D> {
    pub(super) key: Box<str>,
    pub(super) stored: Vec<Document>,
    pub(super) folded: Vec<Folded<D>>,
    /// By log and position.
    pub(super) kept: Vec<Kept>,
    /// What the stored documents are found by, by log.
    pub(super) fields: Vec<DocumentFields>,
}

/// A version that is kept of a document, without its content.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) bounds: Bounds,
    /// Of its content; `None` where that is no JSON.
    pub(super) hash: Option<u64>,
    pub(super) is: Verdict,
}

/// What a kept version is.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Not met in history yet.
    Unmet,
    Right,
    /// Not what history made of the document then, which is this (unless many are wrong), with these bounds.
    Wrong(Option<String>, Option<Bounds>),
}

impl<D> Slot<D> {
    fn new(key: &str, stored: Vec<Document>) -> Self {
        Self { key: key.into(), stored, folded: Vec::new(), kept: Vec::new(), fields: Vec::new() }
    }

    fn bytes(&self) -> usize {
        let stored: usize =
            self.stored.iter().filter_map(|document| document.body.as_ref()).map(|body| body.len()).sum();
        let folded: usize = self.folded.iter().map(|folded| CONTENT_FACTOR * folded.size).sum();
        let fields = self.fields.iter().flat_map(|of| &of.values).map(|(_, value)| FIELD + value.len());
        SLOT + 2 * self.key.len() + stored + folded + KEPT * self.kept.len() + fields.sum::<usize>()
    }

    /// What history makes of it in a log.
    pub(super) fn folded(&mut self, log: LogId) -> usize {
        if let Some(at) = self.folded.iter().position(|folded| folded.log == log) {
            return at;
        }
        let (content, bounds, named_by) = (None, None, Position::START);
        self.folded.push(Folded { log, content, bounds, named_by, dirty: false, size: 0 });
        self.folded.len() - 1
    }

    /// The version that is kept of it at a position.
    pub(super) fn kept_at(&self, log: LogId, position: Position) -> Option<usize> {
        self.kept.binary_search_by_key(&(log, position), |kept| (kept.bounds.log, kept.bounds.position)).ok()
    }
}

/// The documents of a tenant within an interval of keys.
#[derive(Debug)]
pub(super) struct Part<D> {
    pub(super) tenant: Tenant,
    /// The interval begins after this key; `None`: with the first.
    pub(super) after: Option<String>,
    /// It ends with this key; `None`: with the last.
    pub(super) until: Option<String>,
    /// How far the read model was when they were read.
    pub(super) checkpoint: Cursor,
    /// Keys whose documents cannot be read, and why.
    pub(super) unreadable: Vec<(DocumentKey, String)>,
    slots: Vec<Slot<D>>,
    places: HashMap<Box<str>, usize>,
    bytes: usize,
}

impl<D> Part<D> {
    pub(super) fn new(
        tenant: Tenant,
        after: Option<String>,
        until: Option<String>,
        checkpoint: Cursor,
        stored: impl Iterator<Item = (DocumentKey, Vec<Document>)>,
    ) -> Self {
        let (places, bytes) = (HashMap::new(), PART);
        let (slots, unreadable) = (Vec::new(), Vec::new());
        let mut part = Self { tenant, after, until, checkpoint, unreadable, slots, places, bytes };
        stored.for_each(|(key, stored)| {
            part.add(Slot::new(key.key(), stored));
        });
        part
    }

    fn add(&mut self, slot: Slot<D>) -> usize {
        let place = self.slots.len();
        self.bytes += slot.bytes();
        self.places.insert(slot.key.clone(), place);
        self.slots.push(slot);
        place
    }

    pub(super) fn weigh(&mut self) {
        self.bytes = PART + self.slots.iter().map(Slot::bytes).sum::<usize>();
    }

    /// What is known of a key that history names.
    pub(super) fn slot(&mut self, key: &str) -> Result<&mut Slot<D>, InputError> {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => {
                let key = DocumentKey::new(self.tenant.clone(), key)?;
                self.add(Slot::new(key.key(), Vec::new()))
            }
        };
        Ok(&mut self.slots[place])
    }

    pub(super) fn is_readable(&self, key: &str) -> bool {
        self.unreadable.iter().all(|(unreadable, _)| unreadable.key() != key)
    }

    /// The keys under which something is stored.
    pub(super) fn stored_mut(&mut self) -> impl Iterator<Item = &mut Slot<D>> {
        self.slots.iter_mut().filter(|slot| !slot.stored.is_empty())
    }

    /// Its keys, in order, with what is stored and what is folded.
    pub(super) fn by_key(&self) -> Vec<&Slot<D>> {
        let mut slots: Vec<_> = self.slots.iter().collect();
        slots.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        slots
    }

    /// Leaves the lower half of its keys, of which there are at least two.
    fn halve(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        slots.truncate(slots.len() / 2);
        self.until = slots.last().map(|slot| slot.key.clone().into());
        (self.places, self.bytes) = (HashMap::new(), PART);
        slots.into_iter().for_each(|slot| {
            self.add(slot);
        });
    }
}

/// Parts in the order in which they were listed.
#[derive(Debug)]
pub(super) struct Batch<D> {
    pub(super) parts: Vec<Part<D>>,
    /// The first and the number of the parts of each tenant.
    tenants: HashMap<Tenant, (usize, usize)>,
    /// How many events were folded since the documents were measured.
    pub(super) unmeasured: usize,
}

impl<D> Default for Batch<D> {
    fn default() -> Self {
        Self { parts: Vec::new(), tenants: HashMap::new(), unmeasured: 0 }
    }
}

impl<D> Batch<D> {
    pub(super) fn push(&mut self, part: Part<D>) {
        let next = self.parts.len();
        self.tenants.entry(part.tenant.clone()).or_insert((next, 0)).1 += 1;
        self.parts.push(part);
    }

    /// The part that a key belongs to.
    pub(super) fn part(&mut self, tenant: &Tenant, key: &str) -> Option<&mut Part<D>> {
        let (first, count) = *self.tenants.get(tenant)?;
        let parts = self.parts.get_mut(first..first + count)?;
        let begun = parts.partition_point(|part| part.after.as_deref().is_none_or(|after| after < key));
        let part = parts.get_mut(begun.checked_sub(1)?)?;
        part.until.as_deref().is_none_or(|until| key <= until).then_some(part)
    }

    /// How far a log is to be folded.
    pub(super) fn until(&self, log: LogId) -> Position {
        self.parts.iter().map(|part| part.checkpoint.get(log)).max().unwrap_or(Position::START)
    }

    /// The memory that it takes, in bytes, as estimated.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Gives up keys from the end until it fits, and answers where those begin that it gave up, the last first.
    pub(super) fn shrink(&mut self, memory: usize) -> Vec<(Tenant, Option<String>)> {
        let mut given_up = Vec::new();
        while self.bytes() > memory {
            if self.parts.len() > 1 {
                let Some(part) = self.parts.pop() else { break };
                if let Some((_, count)) = self.tenants.get_mut(&part.tenant) {
                    *count -= 1;
                }
                given_up.push((part.tenant, part.after));
            } else {
                let Some(part) = self.parts.last_mut().filter(|part| part.slots.len() > 1) else { break };
                part.halve();
                given_up.push((part.tenant.clone(), part.until.clone()));
            }
        }
        given_up
    }

    fn slots(&self) -> usize {
        self.parts.iter().map(|part| part.slots.len()).sum()
    }
}

impl<D: Serialize> Batch<D> {
    /// Measures what has changed, once enough has that this costs little.
    pub(super) fn measure(&mut self) {
        if self.unmeasured < self.slots().max(10_000) {
            return;
        }
        self.unmeasured = 0;
        for part in &mut self.parts {
            for folded in part.slots.iter_mut().flat_map(|slot| &mut slot.folded).filter(|folded| folded.dirty) {
                folded.dirty = false;
                let mut size = Size(0);
                // One that cannot be written is told when it is compared.
                let _ = serde_json::to_writer(&mut size, &folded.content);
                folded.size = size.0;
            }
            part.weigh();
        }
    }
}

struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
