//! A group of appends as one statement.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use factum::{Append, Fault, Key, LogId, NewEvent, Query, StreamId, Tag, Tenant};
use sqlx::SqlStr;

use crate::columns::{Json, array_literal, condition_column, metadata_column, tag_texts, tenant_column};
use crate::db::Bound;
use crate::known::Offer;

/// Which appends may share a transaction.
///
/// What one does to a stream the server reckons for the next. What else may bind two of them it does not: a key that both
/// carry, and a query that matches an event of the other. Those go into different groups.
#[derive(Debug, Default)]
pub(crate) struct Company<'a> {
    streams: HashSet<&'a StreamId>,
    bound_streams: HashSet<&'a StreamId>,
    keys: HashSet<&'a Key>,
    members: Vec<&'a Append>,
}

impl<'a> Company<'a> {
    /// Takes an append into the group, or says that it must wait for the next.
    pub(crate) fn join(&mut self, append: &'a Append) -> bool {
        let key = append.keyed.as_ref().map(|keyed| &keyed.key);
        let mut streams = append.writes.iter().map(|write| &write.stream);
        let alone = match &append.query_condition {
            Some(condition) => {
                streams.any(|stream| self.streams.contains(stream))
                    || self.members.iter().any(|other| matches(&condition.query, other))
            }
            None => streams.any(|stream| self.bound_streams.contains(stream)),
        };
        if alone || key.is_some_and(|key| self.keys.contains(key)) {
            return false;
        }
        self.keys.extend(key);
        for write in &append.writes {
            self.streams.insert(&write.stream);
            if append.query_condition.is_some() {
                self.bound_streams.insert(&write.stream);
            }
        }
        self.members.push(append);
        true
    }
}

fn matches(query: &Query, append: &Append) -> bool {
    append.writes.iter().any(|write| {
        let (tenant, category) = (write.stream.tenant().as_str(), write.stream.category());
        let meant = |event: &NewEvent| query.matches_parts(tenant, category, event.event_type.as_str(), &event.tags);
        write.events.iter().any(meant)
    })
}

/// The columns of a group, as the function `append_group` takes them.
#[derive(Debug, Default)]
pub(crate) struct Columns<'a> {
    pub(crate) appends: Vec<i32>,
    writes: Writes<'a>,
    events: Events<'a>,
    keys: Keys<'a>,
    queries: Queries<'a>,
}

#[derive(Debug, Default)]
struct Writes<'a> {
    append: Vec<i32>,
    stream: Vec<&'a str>,
    tenant: Vec<&'a str>,
    category: Vec<&'a str>,
    condition: Vec<i64>,
    events: Vec<i32>,
    before: Vec<i32>,
    last_of: HashMap<&'a StreamId, i32>,
    chained: bool,
    tenants: bool,
}

#[derive(Debug, Default)]
struct Events<'a> {
    append: Vec<i32>,
    write: Vec<i32>,
    in_append: Vec<i32>,
    in_write: Vec<i32>,
    stream: Vec<&'a str>,
    tenant: Vec<&'a str>,
    category: Vec<&'a str>,
    contents: Contents<'a>,
}

/// What events hold, whatever streams they are of.
#[derive(Debug, Default)]
pub(crate) struct Contents<'a> {
    id: Vec<uuid::Uuid>,
    event_type: Vec<&'a str>,
    schema_version: Vec<i64>,
    occurred_at: Vec<Option<DateTime<Utc>>>,
    tags: Vec<Option<String>>,
    metadata: Vec<Option<String>>,
    payload: Vec<Json<'a>>,
}

#[derive(Debug, Default)]
struct Keys<'a> {
    append: Vec<i32>,
    key: Vec<&'a str>,
    tenant: Vec<&'a str>,
    fingerprint: Vec<uuid::Uuid>,
    refusal: Vec<Option<&'a str>>,
}

#[derive(Debug, Default)]
struct Queries<'a> {
    append: Vec<i32>,
    tenant: Vec<Option<&'a str>>,
    after: Vec<i64>,
    item_of: Vec<i32>,
    categories: Vec<Option<String>>,
    types: Vec<Option<String>>,
    tags: Vec<Option<String>>,
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

impl<'a> Columns<'a> {
    /// # Errors
    /// Where the metadata of an event cannot be written.
    pub(crate) fn of(appends: impl IntoIterator<Item = &'a Append>) -> Result<Self, Fault> {
        let mut columns = Self::default();
        for append in appends {
            columns.push(append)?;
        }
        Ok(columns)
    }

    fn push(&mut self, append: &'a Append) -> Result<(), Fault> {
        self.appends.push(count(append.events()));
        let number = count(self.appends.len());
        let mut in_append = 0;
        for write in &append.writes {
            self.writes.push(number, write);
            let write_number = count(self.writes.append.len());
            for (event, in_write) in write.events.iter().zip(1..) {
                in_append += 1;
                self.events.append.push(number);
                self.events.write.push(write_number);
                self.events.in_append.push(in_append);
                self.events.in_write.push(in_write);
                self.events.push(&write.stream, event)?;
            }
        }
        if let Some(keyed) = &append.keyed {
            self.keys.append.push(number);
            self.keys.key.push(keyed.key.as_str());
            self.keys.tenant.push(tenant_column(keyed.key.tenant()));
            self.keys.fingerprint.push(keyed.fingerprint.as_uuid());
            self.keys.refusal.push(keyed.refusal.as_deref());
        }
        if let Some(condition) = &append.query_condition {
            self.queries.push(number, &condition.query, condition.after.get(LogId::FIRST).as_i64());
        }
        Ok(())
    }

    /// The statement with its binds. What nobody in the group has is NULL, which is nothing to send and little to do.
    pub(crate) fn bind(self, sql: SqlStr, keys_since: DateTime<Utc>) -> Bound<'static> {
        let Self { appends, writes, events, keys, queries } = self;
        let keyed = !keys.append.is_empty();
        let queried = !queries.append.is_empty();
        let bound = sqlx::query(sql).bind(appends);
        let bound = writes.bind(bound);
        let bound = events.bind(bound);
        let bound = keys.bind(bound, keyed).bind(keyed.then_some(keys_since));
        queries.bind(bound, queried)
    }

    /// Whether what becomes of the group depends on the ends of its streams alone, and on none of them twice.
    pub(crate) fn are_plain(&self) -> bool {
        !self.writes.chained && self.keys.append.is_empty() && self.queries.append.is_empty()
    }

    /// What `append_plain` takes.
    pub(crate) fn bind_plain(self, sql: SqlStr) -> Bound<'static> {
        let Self { appends, writes, mut events, .. } = self;
        // What has no key has events, so that each append has a write.
        let several_writes = writes.append.len() > appends.len();
        let several_events = appends.iter().any(|events| *events > 1);
        let bound = sqlx::query(sql).bind(several_events.then_some(appends));
        let bound = bound.bind(several_writes.then_some(writes.append));
        let bound = bound.bind(writes.stream).bind(writes.tenants.then_some(writes.tenant)).bind(writes.category);
        let bound = events.bind_numbers(bound.bind(writes.condition));
        events.contents.bind(bound)
    }

    /// What `judge` takes: the group without its events.
    pub(crate) fn bind_judge(self, sql: SqlStr, keys_since: DateTime<Utc>) -> Bound<'static> {
        let Self { appends, writes, keys, queries, .. } = self;
        let keyed = !keys.append.is_empty();
        let queried = !queries.append.is_empty();
        let bound = writes.bind(sqlx::query(sql));
        let bound = bound.bind(keyed.then_some(keys.append)).bind(keyed.then_some(keys.key));
        let bound = bound.bind(keyed.then_some(keys.tenant)).bind(keyed.then_some(keys_since));
        queries.bind(bound, queried).bind(count(appends.len()))
    }
}

/// The statement of a group whose place is known, with its binds.
///
/// # Errors
/// Where the metadata of an event cannot be written.
pub(crate) fn bind_known(sql: SqlStr, appends: &[&Append], offer: &Offer) -> Result<Bound<'static>, Fault> {
    let mut events = Events::default();
    for write in appends.iter().flat_map(|append| &append.writes) {
        for event in &write.events {
            events.push(&write.stream, event)?;
        }
    }
    let (positions, ids): (Vec<_>, Vec<_>) = offer.marks.iter().map(|mark| (mark.position, mark.id)).unzip();
    let bound = sqlx::query(sql).bind(positions).bind(ids).bind(offer.versions.as_slice());
    Ok(events.bind_streams(bound))
}

impl<'a> Writes<'a> {
    fn push(&mut self, append: i32, write: &'a factum::StreamWrite) {
        self.append.push(append);
        self.stream.push(write.stream.name());
        self.tenant.push(tenant_column(write.stream.tenant()));
        self.tenants |= !write.stream.tenant().is_default();
        self.category.push(write.stream.category());
        self.condition.push(condition_column(write.condition));
        self.events.push(count(write.events.len()));
        let before = self.last_of.insert(&write.stream, count(self.append.len()));
        self.chained |= before.is_some();
        self.before.push(before.unwrap_or(0));
    }

    fn bind(self, bound: Bound<'static>) -> Bound<'static> {
        let bound = bound.bind(self.append).bind(self.stream).bind(self.tenants.then_some(self.tenant));
        bound.bind(self.condition).bind(self.events).bind(self.chained.then_some(self.before))
    }
}

impl<'a> Events<'a> {
    fn push(&mut self, stream: &'a StreamId, event: &'a NewEvent) -> Result<(), Fault> {
        self.stream.push(stream.name());
        self.tenant.push(tenant_column(stream.tenant()));
        self.category.push(stream.category());
        self.contents.push(event)
    }

    fn bind(mut self, bound: Bound<'static>) -> Bound<'static> {
        let bound = self.bind_numbers(bound);
        self.bind_streams(bound)
    }

    fn bind_numbers(&mut self, bound: Bound<'static>) -> Bound<'static> {
        // Where each append is of one event, its number says all of its place.
        let several = !(self.append.iter().zip(1..).all(|(append, number)| *append == number)
            && self.write.iter().zip(1..).all(|(write, number)| *write == number));
        let mut given = |numbers: fn(&mut Self) -> &mut Vec<i32>| several.then(|| std::mem::take(numbers(self)));
        let bound = bound.bind(given(|events| &mut events.append)).bind(given(|events| &mut events.write));
        bound.bind(given(|events| &mut events.in_append)).bind(given(|events| &mut events.in_write))
    }

    /// All but the numbers.
    fn bind_streams(self, bound: Bound<'static>) -> Bound<'static> {
        let tenants = self.tenant.iter().any(|tenant| !tenant.is_empty());
        let bound = bound.bind(self.stream).bind(tenants.then_some(self.tenant)).bind(self.category);
        self.contents.bind(bound)
    }
}

impl<'a> Contents<'a> {
    /// # Errors
    /// Where the metadata of an event cannot be written.
    pub(crate) fn of(events: &'a [NewEvent]) -> Result<Self, Fault> {
        let most = events.len();
        let mut contents = Self {
            id: Vec::with_capacity(most),
            event_type: Vec::with_capacity(most),
            schema_version: Vec::with_capacity(most),
            occurred_at: Vec::with_capacity(most),
            tags: Vec::with_capacity(most),
            metadata: Vec::with_capacity(most),
            payload: Vec::with_capacity(most),
        };
        for event in events {
            contents.push(event)?;
        }
        Ok(contents)
    }

    fn push(&mut self, event: &'a NewEvent) -> Result<(), Fault> {
        self.id.push(event.id.as_uuid());
        self.event_type.push(event.event_type.as_str());
        self.schema_version.push(i64::from(event.schema_version));
        self.occurred_at.push(event.metadata.when());
        self.tags.push((!event.tags.is_empty()).then(|| array_literal(tag_texts(&event.tags))));
        self.metadata.push(metadata_column(event)?);
        self.payload.push(Json(&event.payload));
        Ok(())
    }

    /// What no event has is NULL.
    pub(crate) fn bind(self, bound: Bound<'static>) -> Bound<'static> {
        let occurred = self.occurred_at.iter().any(Option::is_some);
        let tagged = self.tags.iter().any(Option::is_some);
        let described = self.metadata.iter().any(Option::is_some);
        let metadata: Option<Vec<_>> = described
            .then(|| self.metadata.iter().map(|json| json.as_deref().map(|json| Json(json.as_bytes()))).collect());
        let bound = bound.bind(self.id).bind(self.event_type).bind(self.schema_version);
        let bound = bound.bind(occurred.then_some(self.occurred_at));
        bound.bind(tagged.then_some(self.tags)).bind(metadata).bind(self.payload)
    }
}

impl Keys<'_> {
    fn bind(self, bound: Bound<'static>, any: bool) -> Bound<'static> {
        let bound = bound.bind(any.then_some(self.append)).bind(any.then_some(self.key));
        bound.bind(any.then_some(self.tenant)).bind(any.then_some(self.fingerprint)).bind(any.then_some(self.refusal))
    }
}

impl<'a> Queries<'a> {
    fn push(&mut self, append: i32, query: &'a Query, after: i64) {
        self.append.push(append);
        self.tenant.push(query.tenant().map(tenant_column));
        self.after.push(after);
        let number = count(self.append.len());
        let said = |texts: Vec<&str>| (!texts.is_empty()).then(|| array_literal(texts));
        for item in query.items() {
            self.item_of.push(number);
            self.categories.push(said(item.categories().iter().map(|category| category.as_str()).collect()));
            self.types.push(said(item.event_types().iter().map(|event_type| event_type.as_str()).collect()));
            self.tags.push(said(item.tags().iter().map(Tag::as_str).collect()));
        }
        if query.items().is_empty() {
            self.item_of.push(number);
            self.categories.push(None);
            self.types.push(None);
            self.tags.push(None);
        }
    }

    fn bind(self, bound: Bound<'static>, any: bool) -> Bound<'static> {
        let bound = bound.bind(any.then_some(self.append)).bind(any.then_some(self.tenant));
        let bound = bound.bind(any.then_some(self.after)).bind(any.then_some(self.item_of));
        bound.bind(any.then_some(self.categories)).bind(any.then_some(self.types)).bind(any.then_some(self.tags))
    }
}

/// The tenant that a column names.
pub(crate) fn tenant_of(column: &str) -> Result<Option<Tenant>, factum::InputError> {
    if column.is_empty() { Ok(None) } else { Tenant::new(column).map(Some) }
}
