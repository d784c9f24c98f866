//! Reading a read model by its name, for whoever does not know its type: a command line, an inspector.

use std::sync::Arc;

use factum::{At, DocumentKey, EventStore, Field, Generation, ReadModelError, ReadTarget, Tenant};

use crate::documents::Documents;
use crate::error::DocumentError;
use crate::find::FieldQuery;
use crate::fold::catching;
use crate::json::Json;
use crate::page::{Answer, Entry, Page, PageRequest, PageToken};
use crate::projection::Projection;
use crate::projector::{Inner, Projector};
use crate::rebuilt::Rebuilt;

/// The documents of a projection as JSON, as they are and as they were. What it answers is what
/// [`ReadModel`](crate::ReadModel) answers, as that would be stored.
#[derive(Clone)]
pub struct JsonReadModel {
    inner: Arc<Inner>,
    documents: Arc<dyn Rebuilt>,
    tenant: Tenant,
    /// Else the live one.
    generation: Option<Generation>,
}

impl std::fmt::Debug for JsonReadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("JsonReadModel");
        shown.field("projection", self.documents.name()).field("tenant", &self.tenant).finish()
    }
}

impl Projector {
    /// The read model of the projection with this name, of the default tenant.
    ///
    /// ```
    /// # use factum_projections::{DocumentError, PageRequest, Projector};
    /// /// The first keys of a read model, whatever its documents are.
    /// async fn first_keys(projector: &Projector, name: &str) -> Result<Vec<String>, DocumentError> {
    ///     let page = projector.read_model_json(name)?.list(PageRequest::first(10)).await?;
    ///     Ok(page.documents.into_iter().map(|entry| entry.key).collect())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`DocumentError::Unknown`], or `NotDocuments` if it keeps none.
    pub fn read_model_json(&self, name: &str) -> Result<JsonReadModel, DocumentError> {
        let driven = self.inner.find::<DocumentError>(name)?;
        let documents = driven.documents.clone();
        let documents = documents.ok_or_else(|| DocumentError::NotDocuments { projection: driven.name().clone() })?;
        Ok(JsonReadModel { inner: self.inner.clone(), documents, tenant: Tenant::default(), generation: None })
    }
}

impl JsonReadModel {
    /// The documents of another tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = tenant;
        self
    }

    /// The documents of this generation, as they are: of one that a replay builds and nobody reads yet, or that was
    /// replaced. As they were, those of the live one are shown all the same.
    #[must_use]
    pub fn of_generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// The document under a key, as it is.
    ///
    /// # Errors
    /// [`DocumentError`]; `Expired` where the generation that was asked for is gone, or never was.
    pub async fn get(&self, key: &str) -> Result<Answer<Json>, DocumentError> {
        match self.generation {
            Some(generation) => {
                let key = DocumentKey::new(self.tenant.clone(), key)?;
                self.documents.get_json_of(generation, key).await
            }
            None => self.get_json(key, None).await,
        }
    }

    /// The document under a key, as it was.
    ///
    /// # Errors
    /// [`DocumentError`], as for [`ReadModel::get_at`](crate::ReadModel::get_at).
    pub async fn get_at(&self, key: &str, at: impl Into<At>) -> Result<Answer<Json>, DocumentError> {
        self.get_json(key, Some(at.into())).await
    }

    /// A page of the documents, as they are, by key.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub async fn list(&self, mut request: PageRequest) -> Result<Page<Json>, DocumentError> {
        if let (Some(generation), None) = (self.generation, &request.token) {
            let (projection, after) = (self.documents.name().clone(), request.after.take().unwrap_or_default());
            request.token = Some(PageToken { projection, generation, after, up_to: None, found: None });
        }
        self.documents.list_json(&*self.inner.store, &self.tenant, request, None).await
    }

    /// A page of the documents, as they were, by key.
    ///
    /// # Errors
    /// [`DocumentError`], as for [`ReadModel::list_at`](crate::ReadModel::list_at).
    pub async fn list_at(&self, request: PageRequest, at: impl Into<At>) -> Result<Page<Json>, DocumentError> {
        self.documents.list_json(&*self.inner.store, &self.tenant, request, Some(at.into())).await
    }

    /// By which fields its documents are found.
    pub fn fields(&self) -> &'static [Field] {
        self.documents.fields()
    }

    /// A page of the documents that a query finds, as they are.
    ///
    /// # Errors
    /// [`DocumentError`], as for [`Find::page`](crate::Find::page).
    pub async fn find(
        &self,
        query: &FieldQuery,
        token: Option<PageToken>,
        limit: usize,
    ) -> Result<Page<Json>, DocumentError> {
        self.documents.find_json(&self.tenant, query, self.generation, token, limit).await
    }

    /// How many documents a query finds.
    ///
    /// # Errors
    /// [`DocumentError`], as for [`Find::page`](crate::Find::page).
    pub async fn count(&self, query: &FieldQuery) -> Result<u64, DocumentError> {
        self.documents.count_found(&self.tenant, query, self.generation).await
    }

    async fn get_json(&self, key: &str, at: Option<At>) -> Result<Answer<Json>, DocumentError> {
        let key = DocumentKey::new(self.tenant.clone(), key)?;
        self.documents.get_json(&*self.inner.store, key, at).await
    }
}

impl<P: Projection> Documents<P> {
    pub(crate) async fn answer_json(
        &self,
        store: &dyn EventStore,
        key: DocumentKey,
        at: Option<At>,
    ) -> Result<Answer<Json>, DocumentError> {
        let name = key.key().to_owned();
        let answer = match at {
            None => self.get(key).await?,
            Some(at) => crate::travel::get_at(self, store, key, at).await?,
        };
        let document = answer.document.map(|document| self.json(&name, &document)).transpose()?;
        let Answer { generation, checkpoint, events_read, .. } = answer;
        Ok(Answer { document, generation, checkpoint, events_read })
    }

    pub(crate) async fn page_json(
        &self,
        store: &dyn EventStore,
        tenant: &Tenant,
        request: PageRequest,
        at: Option<At>,
    ) -> Result<Page<Json>, DocumentError> {
        let page = match at {
            None => self.list(tenant, &request).await?,
            Some(at) => {
                let listed = self.list_request(tenant, &request, true)?;
                crate::travel::list_at(self, store, listed, request.token, at).await?
            }
        };
        self.json_page(page)
    }

    pub(crate) fn json_page(&self, page: Page<P::Document>) -> Result<Page<Json>, DocumentError> {
        let Page { documents, generation, checkpoint, events_read, next } = page;
        let entry = |Entry { key, document }: Entry<P::Document>| {
            let document = self.json(&key, &document)?;
            Ok(Entry { key, document })
        };
        let documents = documents.into_iter().map(entry).collect::<Result<_, DocumentError>>()?;
        Ok(Page { documents, generation, checkpoint, events_read, next })
    }

    pub(crate) async fn answer_json_of(
        &self,
        generation: Generation,
        key: DocumentKey,
    ) -> Result<Answer<Json>, DocumentError> {
        let target = ReadTarget::Generation(self.name.clone(), generation);
        let mut found = self.read_models.get(&target, std::slice::from_ref(&key)).await?;
        let document = self.join(&key, found.documents.pop().unwrap_or_default())?;
        let document = document.map(|document| self.json(key.key(), &document)).transpose()?;
        Ok(Answer { document, generation, checkpoint: found.read.checkpoint, events_read: 0 })
    }

    fn json(&self, key: &str, document: &P::Document) -> Result<Json, DocumentError> {
        let written = catching(|| serde_json::to_string(document));
        let written = written.and_then(|written| written.map_err(|error| error.to_string()));
        let damaged = |what| {
            let what = format!("the document {key:?} cannot be shown: {what}");
            DocumentError::ReadModel(ReadModelError::Damaged { projection: self.name.clone(), what })
        };
        Json::parse(&written.map_err(damaged)?).ok_or_else(|| damaged("it is nested too deep".to_owned()))
    }
}
