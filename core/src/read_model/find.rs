//! Finding documents by their fields.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use super::document::{Document, DocumentKey, DocumentRead, ReadTarget};
use super::field::{Field, FieldValue};
use super::generation::{Generation, ReadModelError};
use crate::limits::{InputError, MAX_STREAM_ID};
use crate::place::LogId;
use crate::stream::Tenant;

/// A request for documents by their fields. It finds each document as it was folded from one log: a key that has
/// documents in several logs is found once for each of them that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindDocuments {
    /// In which generation.
    pub target: ReadTarget,
    /// Of which tenant.
    pub tenant: Tenant,
    /// What must hold, all of it.
    pub conditions: Vec<FieldCondition>,
    /// The field to sort by, those of one value by key and log; `None`: by key and log alone. What has no value for the
    /// field is not found.
    pub order_by: Option<String>,
    /// Whether the last comes first: the same order, from its end.
    pub descending: bool,
    /// Beginning after this place in the order; `None`: with the first.
    pub after: Option<FoundAt>,
    /// How many documents at most, at least 1.
    pub limit: usize,
}

/// A condition on one field: its value lies between two bounds. What has no value for the field does not meet it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldCondition {
    /// The field.
    pub field: String,
    /// Where its values begin.
    pub from: Bound<FieldValue>,
    /// Where they end.
    pub to: Bound<FieldValue>,
}

impl FieldCondition {
    /// The field has this value.
    pub fn equal(field: impl Into<String>, value: impl Into<FieldValue>) -> Self {
        let value = value.into();
        Self { field: field.into(), from: Bound::Included(value.clone()), to: Bound::Included(value) }
    }

    /// The field's value lies within a range.
    ///
    /// ```
    /// use factum::FieldCondition;
    ///
    /// let small = FieldCondition::between("cents", 0..=500);
    /// assert_eq!(small.to_string(), "cents >= 0 and cents <= 500");
    /// ```
    pub fn between<T: Into<FieldValue> + Clone>(field: impl Into<String>, range: impl RangeBounds<T>) -> Self {
        let bound = |bound: Bound<&T>| bound.cloned().map(Into::into);
        Self { field: field.into(), from: bound(range.start_bound()), to: bound(range.end_bound()) }
    }

    /// The values that it compares with.
    pub fn values(&self) -> impl Iterator<Item = &FieldValue> {
        [&self.from, &self.to].into_iter().filter_map(|bound| match bound {
            Bound::Included(value) | Bound::Excluded(value) => Some(value),
            Bound::Unbounded => None,
        })
    }
}

impl std::fmt::Display for FieldCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let field = &self.field;
        match (&self.from, &self.to) {
            (Bound::Included(a), Bound::Included(b)) if a == b => return write!(f, "{field} = {a}"),
            (Bound::Unbounded, Bound::Unbounded) => return write!(f, "{field} has a value"),
            _ => {}
        }
        let from = match &self.from {
            Bound::Included(value) => format!("{field} >= {value}"),
            Bound::Excluded(value) => format!("{field} > {value}"),
            Bound::Unbounded => String::new(),
        };
        let to = match &self.to {
            Bound::Included(value) => format!("{field} <= {value}"),
            Bound::Excluded(value) => format!("{field} < {value}"),
            Bound::Unbounded => String::new(),
        };
        let and = if from.is_empty() || to.is_empty() { "" } else { " and " };
        write!(f, "{from}{and}{to}")
    }
}

/// A place in the order of what is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundAt {
    /// The value of the field that is sorted by; `None` where none is.
    pub value: Option<FieldValue>,
    /// The key.
    pub key: String,
    /// The log.
    pub log: LogId,
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundDocument {
    /// Its key.
    pub key: DocumentKey,
    /// The document of one log, which its bounds name.
    pub document: Document,
    /// Its value of the field that is sorted by; `None` where none is.
    pub value: Option<FieldValue>,
}

impl FoundDocument {
    /// Its place in the order: the next page begins after that of the last.
    pub fn place(&self) -> FoundAt {
        FoundAt { value: self.value.clone(), key: self.key.key().to_owned(), log: self.document.bounds.log }
    }
}

/// A page of documents that were found.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPage {
    /// Where they come from.
    pub read: DocumentRead,
    /// The documents, in the order that was asked for.
    pub documents: Vec<FoundDocument>,
    /// Whether there is nothing after them.
    pub end: bool,
}

/// How many documents meet conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Where they were counted.
    pub read: DocumentRead,
    /// How many they are.
    pub count: u64,
}

/// The values of a field between two bounds, as a store keeps them: from `low` up to `high`, which is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRange {
    /// The field.
    pub field: String,
    /// The least bytes that belong to it.
    pub low: Vec<u8>,
    /// The least bytes that no longer do.
    pub high: Vec<u8>,
}

/// Sorts after the bytes of every value: no text begins so, and no other value is as long.
const END: [u8; 9] = [0xff; 9];

impl FieldRange {
    fn all(field: &str) -> Self {
        Self { field: field.to_owned(), low: Vec::new(), high: END.to_vec() }
    }

    fn of(condition: &FieldCondition) -> Self {
        // The bytes that follow all others: nothing lies in between.
        let after = |value: &FieldValue| {
            let mut bytes = value.to_bytes();
            bytes.push(0);
            bytes
        };
        let mut range = Self::all(&condition.field);
        match &condition.from {
            Bound::Included(value) => range.low = value.to_bytes(),
            Bound::Excluded(value) => range.low = after(value),
            Bound::Unbounded => {}
        }
        match &condition.to {
            Bound::Included(value) => range.high = after(value),
            Bound::Excluded(value) => range.high = value.to_bytes(),
            Bound::Unbounded => {}
        }
        range
    }

    fn and(self, other: Self) -> Self {
        Self { field: self.field, low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// Whether a value, as a store keeps it, belongs to it.
    pub fn contains(&self, value: &[u8]) -> bool {
        *self.low <= *value && *value < *self.high
    }

    fn is_one_value(&self) -> bool {
        self.high.split_last() == Some((&0, &self.low[..]))
    }
}

/// How a store with an index by field, value, key and log finds documents: each store in the same way, so that what a
/// query costs can be told beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindPlan {
    /// The part of the index that is walked; `None`: the documents themselves, by key and log.
    pub walk: Option<FieldRange>,
    /// The field to sort by where the walk is not in its order: what is walked is one value of another.
    pub sort: Option<FieldRange>,
    /// What is looked up, for each document on the walk, and must hold.
    pub check: Vec<FieldRange>,
    /// The place (value, key, log) that everything found comes after, in the direction that is asked for. The value is
    /// that of the field that is sorted by, or of the walk where that is not sorted.
    pub start: (Vec<u8>, String, i64),
}

impl FindDocuments {
    /// All documents of the default tenant that a target has, by key.
    pub fn new(target: ReadTarget) -> Self {
        let (conditions, order_by, after) = (Vec::new(), None, None);
        let (tenant, descending, limit) = (Tenant::default(), false, 100);
        Self { target, tenant, conditions, order_by, descending, after, limit }
    }

    /// Checks that a generation has the fields that this names, with values of their kinds.
    ///
    /// # Errors
    /// [`ReadModelError::NoField`].
    pub fn check(&self, generation: Generation, fields: &[Field]) -> Result<(), ReadModelError> {
        let missing = |field: &str, kind: Option<super::field::FieldKind>| ReadModelError::NoField {
            projection: self.target.projection().clone(),
            generation,
            field: field.to_owned(),
            kind,
            fields: fields.to_vec(),
        };
        let find = |name: &str| fields.iter().find(|field| field.name() == name).ok_or_else(|| missing(name, None));
        for condition in &self.conditions {
            let field = find(&condition.field)?;
            if let Some(other) = condition.values().find(|value| value.kind() != field.kind()) {
                return Err(missing(&condition.field, Some(other.kind())));
            }
        }
        self.order_by.as_deref().map_or(Ok(()), |name| find(name).map(drop))
    }

    /// How it is found.
    ///
    /// # Errors
    /// [`InputError`] where it begins after a place that is none in its order.
    pub fn plan(&self) -> Result<FindPlan, InputError> {
        let mut ranges: BTreeMap<&str, FieldRange> = BTreeMap::new();
        for condition in &self.conditions {
            let range = FieldRange::of(condition);
            let both = match ranges.remove(condition.field.as_str()) {
                Some(other) => other.and(range),
                None => range,
            };
            ranges.insert(&condition.field, both);
        }
        let ordered = self.order_by.as_deref();
        let sorted = ordered.map(|field| ranges.remove(field).unwrap_or_else(|| FieldRange::all(field)));
        // One value of another field is fewer entries than all that are sorted, as a rule.
        let narrow = sorted.as_ref().is_none_or(|sorted| !sorted.is_one_value());
        let one = ranges.values().find(|range| narrow && range.is_one_value()).map(|range| range.field.clone());
        let one = one.and_then(|field| ranges.remove(field.as_str()));
        let (walk, sort) = match (one, sorted) {
            (Some(one), sorted) => (Some(one), sorted),
            (None, sorted) => (sorted, None),
        };
        let start = self.start(sort.as_ref().or(walk.as_ref()))?;
        Ok(FindPlan { walk, sort, check: ranges.into_values().collect(), start })
    }

    fn start(&self, range: Option<&FieldRange>) -> Result<(Vec<u8>, String, i64), InputError> {
        if let Some(FoundAt { value, key, log }) = &self.after {
            let bytes = match (value, self.order_by.is_some()) {
                (Some(value), true) => value.to_bytes(),
                (None, false) => range.map(|range| range.low.clone()).unwrap_or_default(),
                _ => {
                    let expected = "the place of a document that the same query has found";
                    return Err(InputError::Malformed { what: "place to go on from", text: key.clone(), expected });
                }
            };
            return Ok((bytes, key.clone(), i64::from(log.get())));
        }
        Ok(match (range, self.descending) {
            (Some(range), false) => (range.low.clone(), String::new(), -1),
            (Some(range), true) => (range.high.clone(), String::new(), -1),
            (None, false) => (Vec::new(), String::new(), -1),
            // No key is as long.
            (None, true) => (Vec::new(), char::MAX.to_string().repeat(MAX_STREAM_ID / 4 + 1), i64::MAX),
        })
    }

    /// What must hold of a document to be counted: the range of the index that is walked (`None`: the documents
    /// themselves), and what is looked up for each on it.
    pub fn counting(&self) -> (Option<FieldRange>, Vec<FieldRange>) {
        let mut plan = match self.plan() {
            Ok(plan) => plan,
            Err(_) => return Self { after: None, ..self.clone() }.counting(),
        };
        plan.check.extend(plan.sort);
        if plan.walk.is_none() && !plan.check.is_empty() {
            plan.walk = Some(plan.check.remove(0));
        }
        (plan.walk, plan.check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProjectionName, ProjectionVersion};

    fn find() -> FindDocuments {
        FindDocuments::new(ReadTarget::Live(ProjectionName::new("balances").unwrap(), ProjectionVersion(1)))
    }

    #[test]
    fn the_values_of_a_field_lie_between_the_bounds_of_its_conditions() {
        let conditions = vec![FieldCondition::between("n", -3..7), FieldCondition::between("n", ..=9)];
        let plan = FindDocuments { conditions, order_by: Some("n".to_owned()), ..find() }.plan().unwrap();
        let walk = plan.walk.unwrap();
        let inside: Vec<i64> = (-9..9).filter(|n| walk.contains(&FieldValue::from(*n).to_bytes())).collect();
        assert_eq!(inside, (-3..7).collect::<Vec<_>>());
        for value in [i64::MIN, i64::MAX].map(FieldValue::from) {
            assert!(FieldRange::all("n").contains(&value.to_bytes()));
        }
        assert!(FieldRange::all("t").contains(&FieldValue::from(char::MAX.to_string().repeat(125)).to_bytes()));
    }

    #[test]
    fn one_value_is_walked_where_there_is_one_and_else_the_order() {
        let walked = |conditions: &[FieldCondition], order: Option<&str>| {
            let order_by = order.map(str::to_owned);
            let plan = FindDocuments { conditions: conditions.to_vec(), order_by, ..find() }.plan().unwrap();
            let name = |range: Option<FieldRange>| range.map_or("-".to_owned(), |range| range.field);
            (name(plan.walk), name(plan.sort), plan.check.len())
        };
        let [one, range] = [FieldCondition::equal("owner", "x"), FieldCondition::between("cents", 1..)];
        let of = |walk: &str, sort: &str, check| (walk.to_owned(), sort.to_owned(), check);
        assert_eq!(walked(&[], None), of("-", "-", 0));
        assert_eq!(walked(std::slice::from_ref(&range), None), of("-", "-", 1));
        assert_eq!(walked(&[range.clone(), one.clone()], None), of("owner", "-", 1));
        assert_eq!(walked(&[range.clone(), one.clone()], Some("cents")), of("owner", "cents", 0));
        assert_eq!(walked(&[range.clone(), one.clone()], Some("owner")), of("owner", "-", 1));
        assert_eq!(walked(&[range], Some("owner")), of("owner", "-", 1));
    }

    #[test]
    fn a_place_of_another_order_is_refused() {
        let place = |value| Some(FoundAt { value, key: "1".to_owned(), log: LogId::FIRST });
        assert!(FindDocuments { after: place(Some(FieldValue::from(1))), ..find() }.plan().is_err());
        let sorted = FindDocuments { order_by: Some("n".to_owned()), after: place(None), ..find() };
        assert!(sorted.plan().is_err());
        assert_eq!(sorted.counting().0, Some(FieldRange::all("n")));
    }
}
