//! Reading a read model as it is.

use std::sync::Arc;

use factum::{At, Document, DocumentKey, Generation, ListDocuments, ProjectionVersion, ReadTarget, Tenant};
use futures_util::Stream;
use futures_util::stream::{self, TryStreamExt};

use crate::documents::Documents;
use crate::error::DocumentError;
use crate::fold::decode_document;
use crate::page::{Answer, Entry, Page, PageRequest, PageToken};
use crate::projection::Projection;
use crate::projector::{Inner, Projector};

/// The documents of a projection, as they are and as they were.
///
/// Every answer says which generation it comes from and how far that is. Reading runs no projection: where an answer
/// must show what was just appended, [wait](Projector::wait_for) for it first.
pub struct ReadModel<P: Projection> {
    inner: Arc<Inner>,
    tenant: Tenant,
    _projection: std::marker::PhantomData<fn() -> P>,
}

impl<P: Projection> Clone for ReadModel<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), tenant: self.tenant.clone(), _projection: std::marker::PhantomData }
    }
}

impl<P: Projection> std::fmt::Debug for ReadModel<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadModel").field("projection", &P::NAME).field("tenant", &self.tenant).finish()
    }
}

impl Projector {
    /// The read model of a projection, of the default tenant. Reading it fails with [`DocumentError::Unknown`] if this
    /// projector does not have the projection.
    pub fn read_model<P: Projection>(&self) -> ReadModel<P> {
        ReadModel { inner: self.inner.clone(), tenant: Tenant::default(), _projection: std::marker::PhantomData }
    }
}

impl<P: Projection> ReadModel<P> {
    /// The documents of another tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// The document under a key, as it is.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn get(&self, key: &str) -> Result<Answer<P::Document>, DocumentError> {
        self.documents()?.get(DocumentKey::new(self.tenant.clone(), key)?).await
    }

    /// The document under a key, as it was: exactly what the projection made of the events that belong to `at`.
    ///
    /// It is folded from the newest kept version within `at` and the events of this document after it; how many were read
    /// is told with the answer ([`events_read`](Answer::events_read)). At a position, or by a time of recording, these are
    /// at most `KEEP_EVERY + KEEP_AFTER - 1` of each log, however busy the document is
    /// ([`KEEP_EVERY`](Projection::KEEP_EVERY)).
    ///
    /// By a time of happening, or by a version where the document has events of several streams, a later event may belong
    /// where an earlier one does not. Then all events of this document are read that came after the newest kept version
    /// *none* of whose events lies past `at`. Where events are recorded in the order in which they happened, these are at
    /// most those since `at` and `KEEP_EVERY + KEEP_AFTER - 1` more; each event dated ahead of its time adds, for earlier
    /// dates, those that the document had since it was recorded; and never are there more than the document has had since
    /// the oldest position that is kept ([`KEEP_FOR`](Projection::KEEP_FOR)) and `KEEP_EVERY + KEEP_AFTER - 1` before that.
    ///
    /// # Errors
    /// [`DocumentError`]; a position that the read model has not reached is `NotYet`, one past the last event
    /// `PastHead`, a moment from which the past is no longer kept `Forgotten`.
    pub async fn get_at(&self, key: &str, at: impl Into<At>) -> Result<Answer<P::Document>, DocumentError> {
        let documents = self.documents()?;
        let key = DocumentKey::new(self.tenant.clone(), key)?;
        crate::travel::get_at(&documents, &*self.inner.store, key, at.into()).await
    }

    /// A page of the documents, as they are, by key.
    ///
    /// # Errors
    /// [`DocumentError`]; a token whose generation was dropped [is expired](DocumentError::is_expired).
    pub async fn list(&self, request: PageRequest) -> Result<Page<P::Document>, DocumentError> {
        self.documents()?.list(&self.tenant, &request).await
    }

    /// A page of the documents, as they were, by key. All pages of a listing show the same moment: what was appended
    /// since the first is in none of them.
    ///
    /// # Errors
    /// [`DocumentError`], as for [`get_at`](ReadModel::get_at) and [`list`](ReadModel::list).
    pub async fn list_at(&self, request: PageRequest, at: impl Into<At>) -> Result<Page<P::Document>, DocumentError> {
        let documents = self.documents()?;
        let listed = documents.list_request(&self.tenant, &request, true)?;
        crate::travel::list_at(&documents, &*self.inner.store, listed, request.token, at.into()).await
    }

    /// All documents, as they are, by key, read a page at a time.
    ///
    /// ```
    /// # use factum_projections::{DocumentError, Projection, ReadModel};
    /// use futures_util::TryStreamExt;
    ///
    /// async fn total<P: Projection<Document = i64>>(balances: &ReadModel<P>) -> Result<i64, DocumentError> {
    ///     balances.all().try_fold(0, |total, entry| async move { Ok(total + entry.document) }).await
    /// }
    /// ```
    pub fn all(&self) -> impl Stream<Item = Result<Entry<P::Document>, DocumentError>> + Send + '_ {
        self.pages(None)
    }

    /// All documents, as they were, by key, read a page at a time; all of one moment.
    pub fn all_at(
        &self,
        at: impl Into<At>,
    ) -> impl Stream<Item = Result<Entry<P::Document>, DocumentError>> + Send + '_ {
        self.pages(Some(at.into()))
    }

    fn pages(&self, at: Option<At>) -> impl Stream<Item = Result<Entry<P::Document>, DocumentError>> + Send + '_ {
        let first = Some(PageRequest::first(STREAMED));
        let pages = stream::try_unfold((first, at), async move |(request, at)| {
            let Some(request) = request else { return Ok::<_, DocumentError>(None) };
            let page = match &at {
                Some(at) => self.list_at(request, at.clone()).await?,
                None => self.list(request).await?,
            };
            let next = page.next.map(|token| PageRequest::after(token).limit(STREAMED));
            let entries = stream::iter(page.documents.into_iter().map(Ok::<_, DocumentError>));
            Ok(Some((entries, (next, at))))
        });
        pages.try_flatten()
    }

    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    pub(crate) fn documents(&self) -> Result<Arc<Documents<P>>, DocumentError> {
        self.inner.documents()
    }
}

/// How many documents a stream reads at once.
pub(crate) const STREAMED: usize = 1_000;

pub(crate) fn live<P: Projection>(documents: &Documents<P>) -> ReadTarget {
    ReadTarget::Live(documents.name.clone(), ProjectionVersion(P::VERSION))
}

impl<P: Projection> Documents<P> {
    pub(crate) async fn get(&self, key: DocumentKey) -> Result<Answer<P::Document>, DocumentError> {
        let mut found = self.read_models.get(&live(self), std::slice::from_ref(&key)).await?;
        let stored = found.documents.pop().unwrap_or_default();
        Ok(Answer {
            document: self.join(&key, stored)?,
            generation: found.read.generation,
            checkpoint: found.read.checkpoint,
            events_read: 0,
        })
    }

    pub(crate) async fn list(
        &self,
        tenant: &Tenant,
        request: &PageRequest,
    ) -> Result<Page<P::Document>, DocumentError> {
        let page = self.read_models.list(&self.list_request(tenant, request, false)?).await?;
        let mut entries = Vec::with_capacity(page.documents.len());
        let last = page.documents.last().map(|(key, _)| key.key().to_owned());
        for (key, stored) in page.documents {
            if let Some(document) = self.join(&key, stored)? {
                entries.push(Entry { key: key.key().to_owned(), document });
            }
        }
        let next = last.filter(|_| !page.end).map(|after| self.token(page.read.generation, after, None));
        let (generation, checkpoint) = (page.read.generation, page.read.checkpoint);
        Ok(Page { documents: entries, generation, checkpoint, events_read: 0, next })
    }

    pub(crate) fn list_request(
        &self,
        tenant: &Tenant,
        request: &PageRequest,
        deleted: bool,
    ) -> Result<ListDocuments, DocumentError> {
        let (target, after) = match &request.token {
            None => (live(self), request.after.clone()),
            Some(token) => {
                self.own_token(token)?;
                if token.found.is_some() {
                    return Err(DocumentError::OtherListing { projection: self.name.clone() });
                }
                (ReadTarget::Generation(self.name.clone(), token.generation), Some(token.after.clone()))
            }
        };
        Ok(ListDocuments { target, tenant: tenant.clone(), after, limit: request.limit, deleted })
    }

    pub(crate) fn token(&self, generation: Generation, after: String, up_to: Option<factum::Cursor>) -> PageToken {
        PageToken { projection: self.name.clone(), generation, after, up_to, found: None }
    }

    /// That a token belongs to this projection.
    pub(crate) fn own_token(&self, token: &PageToken) -> Result<(), DocumentError> {
        if token.projection == self.name {
            return Ok(());
        }
        let (expected, found) = (self.name.clone(), token.projection.clone());
        Err(DocumentError::ForeignToken { expected, found })
    }

    /// What a key has, from the documents that it has in each log.
    pub(crate) fn join(&self, key: &DocumentKey, stored: Vec<Document>) -> Result<Option<P::Document>, DocumentError> {
        let bodies = stored.iter().filter_map(|document| document.body.as_deref());
        let contents: Result<Vec<_>, _> = bodies.map(|body| decode_document(&self.name, key, body)).collect();
        self.merge(key, contents?)
    }

    /// What a key has, from what it has in each log.
    pub(crate) fn merge(
        &self,
        key: &DocumentKey,
        mut contents: Vec<P::Document>,
    ) -> Result<Option<P::Document>, DocumentError> {
        if contents.len() < 2 {
            return Ok(contents.pop());
        }
        let logs = contents.len();
        self.projection.merge(key.key(), contents).map(Some).ok_or_else(|| DocumentError::KeySpansLogs {
            projection: self.name.clone(),
            key: key.key().to_owned(),
            logs,
        })
    }
}
