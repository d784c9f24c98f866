//! Which statement answers a page of the log: one that walks an index, wherever there is one for the filter.

use std::collections::BTreeMap;

use factum::{Direction, Query, QueryItem, ReadLog};
use sqlx::SqlStr;

use crate::columns::{array_literal, tag_texts, tenant_column};
use crate::db::Bound;
use crate::sql::Statements;

/// How many positions a page looks at before it gives what it has, where the index holds more than what is meant: so that a
/// filter that matches little moves on, and no statement takes long.
pub(crate) const LOOK: i64 = 50_000;

/// The same for tags that may never meet: each step is a look into the index.
const LOOK_FOR_TAGS: i64 = 10_000;

/// How a filter is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Everything, in the order of the log.
    All,
    /// By the index of categories; what it finds is what is meant.
    Category(String),
    /// By the same, for several categories, or some event types or one tenant in them.
    Categories { categories: Vec<String>, types: Vec<Option<String>>, tenant: Option<String> },
    /// By the index of tags: every item names one.
    Tags { tags: Vec<String>, categories: Vec<Option<String>>, types: Vec<Option<String>>, tenant: Option<String> },
    /// By looking at every event, past those that cannot be meant.
    Scan { tenant: Option<String>, categories: Option<Vec<String>>, types: Option<Vec<String>> },
}

impl Plan {
    pub(crate) fn of(query: &Query) -> Self {
        if query.is_all() {
            return Self::All;
        }
        let tenant = query.tenant().map(|tenant| tenant_column(tenant).to_owned());
        let items = query.items();
        let all = |holds: fn(&QueryItem) -> bool| !items.is_empty() && items.iter().all(holds);
        if all(|item| !item.tags().is_empty()) {
            return Self::Tags {
                tags: items.iter().map(|item| array_literal(tag_texts(item.tags()))).collect(),
                categories: items.iter().map(|item| literal(item.categories(), |c| c.as_str())).collect(),
                types: items.iter().map(|item| literal(item.event_types(), |t| t.as_str())).collect(),
                tenant,
            };
        }
        if all(|item| item.tags().is_empty() && !item.categories().is_empty()) {
            return by_category(items, tenant);
        }
        let narrow = |texts: fn(&QueryItem) -> Vec<String>| {
            let narrowed = all_say(items, texts);
            narrowed.then(|| items.iter().flat_map(texts).collect())
        };
        Self::Scan { tenant, categories: narrow(categories_of), types: narrow(types_of) }
    }

    /// Whether a row may be found that is not meant.
    pub(crate) fn is_rough(&self) -> bool {
        matches!(self, Self::Scan { .. })
    }

    /// How many positions one statement may look at.
    pub(crate) fn look(&self) -> i64 {
        match self {
            Self::All | Self::Category(_) => i64::MAX,
            Self::Categories { types, tenant: None, .. } if types.iter().all(Option::is_none) => i64::MAX,
            Self::Tags { .. } => LOOK_FOR_TAGS,
            Self::Categories { .. } | Self::Scan { .. } => LOOK,
        }
    }

    /// The statement for a page of `rows` rows that looks at `look` positions.
    pub(crate) fn bind<'q>(&'q self, sql: &Statements, read: &ReadLog, rows: i64, look: i64) -> Bound<'q> {
        let forward = read.direction == Direction::Forward;
        let after = read.after.as_i64();
        let bound = sqlx::query(self.statement(sql, forward)).bind(after).bind(rows);
        // Counted from where it begins, which is added to it.
        let look = if forward { look.min(i64::MAX - after) } else { look };
        let bound = match self {
            Self::All => bound,
            Self::Category(category) => bound.bind(look).bind(category),
            Self::Categories { categories, types, tenant: None } => bound.bind(look).bind(categories).bind(types),
            Self::Categories { categories, types, tenant } => {
                bound.bind(look).bind(categories).bind(types).bind(tenant)
            }
            Self::Tags { tags, categories, types, tenant } => {
                bound.bind(look).bind(tags).bind(categories).bind(types).bind(tenant)
            }
            Self::Scan { tenant, categories, types } => bound.bind(look).bind(tenant).bind(categories).bind(types),
        };
        if forward { bound.bind(read.up_to.as_i64()) } else { bound }
    }

    fn statement(&self, sql: &Statements, forward: bool) -> SqlStr {
        let (forwards, backwards) = match self {
            Self::All => (&sql.read_log_forward, &sql.read_log_backward),
            Self::Category(_) => (&sql.read_category_forward, &sql.read_category_backward),
            Self::Categories { tenant: None, .. } => (&sql.read_categories_forward, &sql.read_categories_backward),
            Self::Categories { .. } => {
                (&sql.read_categories_of_tenant_forward, &sql.read_categories_of_tenant_backward)
            }
            Self::Tags { .. } => (&sql.read_tags_forward, &sql.read_tags_backward),
            Self::Scan { .. } => (&sql.scan_log_forward, &sql.scan_log_backward),
        };
        if forward { forwards.clone() } else { backwards.clone() }
    }
}

/// Each category once, with the types that any item wants of it.
fn by_category(items: &[QueryItem], tenant: Option<String>) -> Plan {
    let mut wanted: BTreeMap<&str, Option<Vec<&str>>> = BTreeMap::new();
    for item in items {
        for category in item.categories() {
            let types = wanted.entry(category.as_str()).or_insert_with(|| Some(Vec::new()));
            match types {
                Some(types) if !item.event_types().is_empty() => {
                    types.extend(item.event_types().iter().map(|event_type| event_type.as_str()));
                }
                _ => *types = None,
            }
        }
    }
    let types: Vec<_> = wanted.values().map(|types| types.as_ref().map(|t| array_literal(t.iter().copied()))).collect();
    let mut categories: Vec<_> = wanted.into_keys().map(str::to_owned).collect();
    match (categories.len(), types.as_slice(), &tenant) {
        (1, [None], None) => Plan::Category(categories.remove(0)),
        _ => Plan::Categories { categories, types, tenant },
    }
}

fn literal<T>(texts: &[T], text: fn(&T) -> &str) -> Option<String> {
    (!texts.is_empty()).then(|| array_literal(texts.iter().map(text)))
}

fn categories_of(item: &QueryItem) -> Vec<String> {
    item.categories().iter().map(|category| category.as_str().to_owned()).collect()
}

fn types_of(item: &QueryItem) -> Vec<String> {
    item.event_types().iter().map(|event_type| event_type.as_str().to_owned()).collect()
}

fn all_say(items: &[QueryItem], texts: fn(&QueryItem) -> Vec<String>) -> bool {
    !items.is_empty() && items.iter().all(|item| !texts(item).is_empty())
}
