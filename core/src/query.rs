//! Which events: the filter of a read and the content of a query condition.

use crate::event::EventType;
use crate::event::RecordedEvent;
use crate::metadata::Tag;
use crate::stream::{Category, Tenant};

/// Which events are meant: those of a tenant (or of all) that match at least one item; all of them without any item.
///
/// ```
/// use factum::{Category, Query, QueryItem, Tag};
///
/// let accounts = Query::all().or(QueryItem::new().category(Category::new("account")?));
/// let seats = Query::all()
///     .or(QueryItem::new().tag(Tag::new("course:c1")?))
///     .or(QueryItem::new().tag(Tag::new("student:s1")?));
/// assert_eq!((accounts.items().len(), seats.items().len()), (1, 2));
/// # Ok::<(), factum::InputError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    tenant: Option<Tenant>,
    items: Vec<QueryItem>,
}

impl Query {
    /// Every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every event of these categories; every event at all where there is none.
    pub fn categories(categories: impl IntoIterator<Item = Category>) -> Self {
        let categories: Vec<_> = categories.into_iter().collect();
        if categories.is_empty() {
            return Self::all();
        }
        Self::all().or(QueryItem { categories, ..QueryItem::default() })
    }

    /// Narrowed to the streams of one tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// With a further item: events that match it are meant too.
    #[must_use]
    pub fn or(mut self, item: QueryItem) -> Self {
        self.items.push(item);
        self
    }

    /// The tenant, where the query names one.
    pub fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref()
    }

    /// The items, of which an event must match at least one if there are any.
    pub fn items(&self) -> &[QueryItem] {
        &self.items
    }

    /// With these event types too in every item that names any: a query by today's types must also find events that
    /// were recorded under former ones.
    #[must_use]
    pub fn holding_former_types(mut self, former: &[EventType]) -> Self {
        for item in self.items.iter_mut().filter(|item| !item.types.is_empty()) {
            item.types.extend(former.iter().cloned());
        }
        self
    }

    /// Whether every event is meant.
    pub fn is_all(&self) -> bool {
        self.tenant.is_none() && self.items.is_empty()
    }

    /// Whether `event` is meant.
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        self.matches_parts(
            event.stream.tenant().as_str(),
            event.stream.category(),
            event.event_type.as_str(),
            &event.tags,
        )
    }

    /// The same for a store that has not built the event yet.
    pub fn matches_parts(&self, tenant: &str, category: &str, event_type: &str, tags: &[Tag]) -> bool {
        self.tenant.as_ref().is_none_or(|wanted| wanted.as_str() == tenant)
            && (self.items.is_empty() || self.items.iter().any(|item| item.matches(category, event_type, tags)))
    }
}

/// One alternative of a query: one of the categories, one of the types, and all of the tags. What is empty holds always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryItem {
    categories: Vec<Category>,
    types: Vec<EventType>,
    tags: Vec<Tag>,
}

impl QueryItem {
    /// Matches every event until it is narrowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Narrowed to this category, or to one more.
    #[must_use]
    pub fn category(mut self, category: Category) -> Self {
        self.categories.push(category);
        self
    }

    /// Narrowed to this event type, or to one more.
    #[must_use]
    pub fn event_type(mut self, event_type: EventType) -> Self {
        self.types.push(event_type);
        self
    }

    /// Narrowed to events that carry this tag too.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// The categories, one of which must be the event's.
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The event types, one of which must be the event's.
    pub fn event_types(&self) -> &[EventType] {
        &self.types
    }

    /// The tags, all of which the event must carry.
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    fn matches(&self, category: &str, event_type: &str, tags: &[Tag]) -> bool {
        (self.categories.is_empty() || self.categories.iter().any(|c| c.as_str() == category))
            && (self.types.is_empty() || self.types.iter().any(|t| t.as_str() == event_type))
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}
