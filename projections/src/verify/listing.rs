//! What is stored, a page at a time; what cannot be read is named and passed.

use factum::{Cursor, DocumentKey, ListDocuments, ReadModelError, Tenant};

use super::VerifyError;
use super::batch::Part;
use super::work::Verify;
use crate::projection::Projection;

/// How many documents are listed at once, at first and at most.
pub(super) const LISTED: usize = 100;
const LISTED_MOST: usize = 1_000;

type KeyPage = (Vec<DocumentKey>, Option<String>);

impl<P: Projection> Verify<'_, P> {
    /// The documents of a tenant after a key, a page of them, and the checkpoint of the same moment.
    pub(super) async fn list<D>(&mut self, tenant: &Tenant, after: Option<String>) -> Result<Part<D>, VerifyError> {
        if let Some((page, until)) = self.next_keys(tenant, after.as_deref())? {
            return self.get_page(tenant, after, page, until).await;
        }
        let (tenant, mut limit) = (tenant.clone(), self.listed);
        let page = loop {
            let target = self.target();
            let list = ListDocuments { target, tenant: tenant.clone(), after: after.clone(), limit, deleted: false };
            match self.documents.read_models.list(&list).await {
                Ok(page) => break page,
                // What precedes the damaged one is listed without it.
                Err(ReadModelError::DamagedDocument { .. }) if limit > 1 => limit /= 2,
                Err(ReadModelError::DamagedDocument { key, what, .. }) => {
                    let until = Some(key.key().to_owned());
                    let mut part = Part::new(tenant, after, until, Cursor::start(), std::iter::empty());
                    part.unreadable.push((key, what));
                    return Ok(part);
                }
                Err(error) => return Err(error.into()),
            }
        };
        let last = page.documents.last().map(|(key, _)| key.key().to_owned());
        let until = last.filter(|_| !page.end);
        self.next_limit(page.documents.iter().flat_map(|(_, of_key)| of_key).filter_map(|d| d.body.as_ref()));
        let stored = page.documents.into_iter().filter(|(key, _)| self.is_wanted(&tenant, key.key()));
        Ok(Part::new(tenant.clone(), after, until, page.read.checkpoint, stored))
    }

    /// The documents with these keys.
    async fn get_page<D>(
        &self,
        tenant: &Tenant,
        after: Option<String>,
        mut keys: Vec<DocumentKey>,
        until: Option<String>,
    ) -> Result<Part<D>, VerifyError> {
        let mut unreadable = Vec::new();
        let found = loop {
            match self.documents.read_models.get(&self.target(), &keys).await {
                Ok(found) => break found,
                Err(ReadModelError::DamagedDocument { key, what, .. }) if keys.contains(&key) => {
                    keys.retain(|other| *other != key);
                    unreadable.push((key, what));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let stored = keys.into_iter().zip(found.documents);
        let mut part = Part::new(tenant.clone(), after, until, found.read.checkpoint, stored);
        part.unreadable = unreadable;
        Ok(part)
    }

    /// Where keys were asked for: the next of them, and the last of these if more follow.
    fn next_keys(&self, tenant: &Tenant, after: Option<&str>) -> Result<Option<KeyPage>, VerifyError> {
        let Some(keys) = &self.options.keys else { return Ok(None) };
        let mut rest = keys.iter().filter(|key| after.is_none_or(|after| key.as_str() > after));
        let page = rest.by_ref().take(LISTED).map(|key| DocumentKey::new(tenant.clone(), key));
        let page = page.collect::<Result<Vec<_>, _>>()?;
        let until = rest.next().and(page.last()).map(|key| key.key().to_owned());
        Ok(Some((page, until)))
    }

    /// A page is to take a small part of the memory, whatever the size of the documents.
    fn next_limit<'b>(&mut self, bodies: impl Iterator<Item = &'b bytes::Bytes>) {
        let (count, bytes) = bodies.fold((1, 1), |(count, bytes), body| (count + 1, bytes + body.len()));
        self.listed = (self.options.memory / 8 / (bytes / count).max(1)).clamp(1, LISTED_MOST);
    }
}
