//! Finding documents by their fields.

use std::ops::RangeBounds;

use factum::{
    Field, FieldCondition, FieldValue, FindDocuments, FoundAt, FoundDocument, Generation, ReadTarget, Tenant,
};
use futures_util::Stream;
use futures_util::stream::{self, TryStreamExt};

use crate::documents::Documents;
use crate::error::DocumentError;
use crate::fold::decode_document;
use crate::page::{Entry, FoundPlace, Page, PageToken};
use crate::projection::Projection;
use crate::read::{ReadModel, STREAMED, live};

/// Which documents are asked for by their fields, and in which order: by key, unless it is said.
///
/// ```
/// use factum_projections::FieldQuery;
///
/// let query = FieldQuery::new().equal("owner", "Jana").between("cents", 0..=500).order_by("cents").descending();
/// assert_eq!(query.to_string(), "owner = \"Jana\", cents >= 0 and cents <= 500, by cents, descending");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldQuery {
    conditions: Vec<FieldCondition>,
    order_by: Option<String>,
    descending: bool,
}

impl FieldQuery {
    /// All documents, by key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those that meet this condition too.
    #[must_use]
    pub fn and(mut self, condition: FieldCondition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Only those whose field has this value.
    #[must_use]
    pub fn equal(self, field: impl Into<String>, value: impl Into<FieldValue>) -> Self {
        self.and(FieldCondition::equal(field, value))
    }

    /// Only those whose field lies within this range.
    #[must_use]
    pub fn between<T: Into<FieldValue> + Clone>(self, field: impl Into<String>, range: impl RangeBounds<T>) -> Self {
        self.and(FieldCondition::between(field, range))
    }

    /// Sorted by this field, those of one value by key. What has no value for it is not found.
    #[must_use]
    pub fn order_by(mut self, field: impl Into<String>) -> Self {
        self.order_by = Some(field.into());
        self
    }

    /// In the same order, but from its end.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Tells the query from others, in page tokens.
    fn fingerprint(&self) -> u64 {
        // FNV-1a: https://datatracker.ietf.org/doc/html/draft-eastlake-fnv
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }

    fn check<P: Projection>(&self, documents: &Documents<P>) -> Result<(), DocumentError> {
        let projection = || documents.name.clone();
        let find = |name: &str| {
            let field = P::FIELDS.iter().find(|field| field.name() == name);
            field.ok_or_else(|| DocumentError::NoField {
                projection: projection(),
                field: name.to_owned(),
                fields: P::FIELDS.to_vec(),
            })
        };
        for condition in &self.conditions {
            let field = find(&condition.field)?;
            if let Some(found) = condition.values().map(FieldValue::kind).find(|kind| *kind != field.kind()) {
                return Err(DocumentError::FieldKind { projection: projection(), field: field.clone(), found });
            }
        }
        self.order_by.as_deref().map_or(Ok(()), |name| find(name).map(drop))
    }
}

impl std::fmt::Display for FieldQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for condition in &self.conditions {
            write!(f, "{condition}, ")?;
        }
        write!(f, "by {}", self.order_by.as_deref().unwrap_or("key"))?;
        f.write_str(if self.descending { ", descending" } else { "" })
    }
}

/// A query of a read model by the fields of its documents: see [`ReadModel::find`].
pub struct Find<'a, P: Projection> {
    model: &'a ReadModel<P>,
    query: FieldQuery,
    token: Option<PageToken>,
}

impl<P: Projection> std::fmt::Debug for Find<'_, P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Find").field("model", self.model).field("query", &self.query).finish_non_exhaustive()
    }
}

impl<P: Projection> ReadModel<P> {
    /// The documents with certain fields, as they are: by equality and range, in the order of a field, page by page, or
    /// only counted. What may be asked for is what [`Projection::FIELDS`] declares.
    ///
    #[doc = include_str!("../docs/find.md")]
    pub fn find(&self) -> Find<'_, P> {
        Find { model: self, query: FieldQuery::new(), token: None }
    }
}

impl<P: Projection> Find<'_, P> {
    /// What another query asks for.
    #[must_use]
    pub fn query(mut self, query: FieldQuery) -> Self {
        self.query = query;
        self
    }

    /// Only those whose field has this value.
    #[must_use]
    pub fn equal(mut self, field: &str, value: impl Into<FieldValue>) -> Self {
        self.query = self.query.equal(field, value);
        self
    }

    /// Only those whose field lies within this range.
    #[must_use]
    pub fn between<T: Into<FieldValue> + Clone>(mut self, field: &str, range: impl RangeBounds<T>) -> Self {
        self.query = self.query.between(field, range);
        self
    }

    /// Sorted by this field, those of one value by key. What has no value for it is not found.
    #[must_use]
    pub fn order_by(mut self, field: &str) -> Self {
        self.query = self.query.order_by(field);
        self
    }

    /// In the same order, but from its end.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.query = self.query.descending();
        self
    }

    /// Beginning where a page of the same query ended.
    #[must_use]
    pub fn after(mut self, token: PageToken) -> Self {
        self.token = Some(token);
        self
    }

    /// A page of so many documents at most. All pages of a query come from one generation; a token whose generation was
    /// dropped [is expired](DocumentError::is_expired).
    ///
    /// # Errors
    /// [`DocumentError`]; `NoField` if the code does not declare a field, and
    /// [`ReadModelError::NoField`](factum::ReadModelError::NoField) if it does but the generation was made before.
    pub async fn page(self, limit: usize) -> Result<Page<P::Document>, DocumentError> {
        let documents = self.model.documents()?;
        documents.find(self.model.tenant(), &self.query, None, self.token.as_ref(), limit).await
    }

    /// How many there are, on all pages together.
    ///
    /// # Errors
    /// As for [`page`](Find::page).
    pub async fn count(self) -> Result<u64, DocumentError> {
        self.model.documents()?.count(self.model.tenant(), &self.query, None).await
    }
}

impl<'a, P: Projection> Find<'a, P> {
    /// All of them, read a page at a time.
    pub fn all(self) -> impl Stream<Item = Result<Entry<P::Document>, DocumentError>> + Send + 'a {
        let Self { model, query, token } = self;
        let pages = stream::try_unfold(Some((query, token)), async move |next| {
            let Some((query, token)) = next else { return Ok::<_, DocumentError>(None) };
            let page = model.documents()?.find(model.tenant(), &query, None, token.as_ref(), STREAMED).await?;
            let entries = stream::iter(page.documents.into_iter().map(Ok::<_, DocumentError>));
            Ok(Some((entries, page.next.map(|token| (query, Some(token))))))
        });
        pages.try_flatten()
    }
}

impl<P: Projection> Documents<P> {
    fn finding(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<&PageToken>,
        limit: usize,
    ) -> Result<FindDocuments, DocumentError> {
        query.check(self)?;
        let FieldQuery { conditions, order_by, descending } = query.clone();
        let (target, after) = match token {
            None => {
                let of = |generation| ReadTarget::Generation(self.name.clone(), generation);
                (generation.map_or_else(|| live(self), of), None)
            }
            Some(token) => self.found_at(token, query)?,
        };
        let tenant = tenant.clone();
        Ok(FindDocuments { target, tenant, conditions, order_by, descending, after, limit: limit.max(1) })
    }

    /// Where a token goes on.
    fn found_at(&self, token: &PageToken, query: &FieldQuery) -> Result<(ReadTarget, Option<FoundAt>), DocumentError> {
        self.own_token(token)?;
        let Some(FoundPlace { value, log, .. }) =
            token.found.as_ref().filter(|found| found.query == query.fingerprint())
        else {
            return Err(DocumentError::OtherListing { projection: self.name.clone() });
        };
        let place = FoundAt { value: value.clone(), key: token.after.clone(), log: *log };
        Ok((ReadTarget::Generation(self.name.clone(), token.generation), Some(place)))
    }

    pub(crate) async fn find(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<&PageToken>,
        limit: usize,
    ) -> Result<Page<P::Document>, DocumentError> {
        let page = self.read_models.find(&self.finding(tenant, query, generation, token, limit)?).await?;
        let (generation, checkpoint) = (page.read.generation, page.read.checkpoint);
        let place = page.documents.last().filter(|_| !page.end).map(FoundDocument::place);
        let next = place.map(|FoundAt { value, key, log }| PageToken {
            found: Some(FoundPlace { query: query.fingerprint(), value, log }),
            ..self.token(generation, key, None)
        });
        let entry = |FoundDocument { key, document, .. }: FoundDocument| {
            let document = decode_document(&self.name, &key, document.body.as_deref().unwrap_or_default())?;
            Ok(Entry { key: key.key().to_owned(), document })
        };
        let documents = page.documents.into_iter().map(entry).collect::<Result<_, DocumentError>>()?;
        Ok(Page { documents, generation, checkpoint, events_read: 0, next })
    }

    pub(crate) async fn count(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
    ) -> Result<u64, DocumentError> {
        Ok(self.read_models.count(&self.finding(tenant, query, generation, None, 1)?).await?.count)
    }
}

/// The fields in words.
pub(crate) fn show(fields: &[Field]) -> String {
    match fields {
        [] => "none".to_owned(),
        fields => fields.iter().map(Field::to_string).collect::<Vec<_>>().join(", "),
    }
}
