//! Documents that are found by any query, against a model that looks at every document.

use std::collections::BTreeMap;

use factum::{Field, FieldCondition, FieldValue, FindDocuments};

use super::finding::{FIELDS, change, finding, found, live, names, paged, write};
use super::kit::*;
use crate::Fixture;

/// What a document has, by field.
type Values = BTreeMap<&'static str, FieldValue>;

fn arbitrary_value(random: &mut fastrand::Rng, field: &Field) -> FieldValue {
    match field.name() {
        "cents" => random.i64(-3..4).into(),
        "owner" => ["", "a", "aa", "b", "ů"][random.usize(0..5)].into(),
        "open" => random.bool().into(),
        _ => moment(random.u64(0..5)).into(),
    }
}

fn arbitrary_find(random: &mut fastrand::Rng) -> FindDocuments {
    let mut find = finding(v1());
    for _ in 0..random.usize(0..4) {
        let field = &FIELDS[random.usize(0..4)];
        let mut bound = || match random.usize(0..3) {
            0 => std::ops::Bound::Unbounded,
            1 => std::ops::Bound::Included(arbitrary_value(random, field)),
            _ => std::ops::Bound::Excluded(arbitrary_value(random, field)),
        };
        let (from, to) = (bound(), bound());
        find.conditions.push(match random.bool() {
            true => FieldCondition::equal(field.name(), arbitrary_value(random, field)),
            false => FieldCondition { field: field.name().to_owned(), from, to },
        });
    }
    find.order_by = random.bool().then(|| FIELDS[random.usize(0..4)].name().to_owned());
    find.descending = random.bool();
    find
}

/// What should be found: every document is looked at, with nothing that a store uses.
fn naive<'m>(model: &'m BTreeMap<String, Values>, find: &FindDocuments) -> Vec<&'m str> {
    let order = |value: &FieldValue| match value {
        FieldValue::Integer(number) => (*number, ""),
        FieldValue::Bool(value) => (i64::from(*value), ""),
        FieldValue::Time(time) => (time.timestamp_micros(), ""),
        FieldValue::Text(_) => (0, ""),
    };
    let less = |a: &FieldValue, b: &FieldValue| match (a, b) {
        (FieldValue::Text(a), FieldValue::Text(b)) => a < b,
        _ => order(a) < order(b),
    };
    let holds = |values: &Values, condition: &FieldCondition| {
        let Some(value) = values.get(condition.field.as_str()) else { return false };
        let after = match &condition.from {
            std::ops::Bound::Unbounded => true,
            std::ops::Bound::Included(from) => !less(value, from),
            std::ops::Bound::Excluded(from) => less(from, value),
        };
        after
            && match &condition.to {
                std::ops::Bound::Unbounded => true,
                std::ops::Bound::Included(to) => !less(to, value),
                std::ops::Bound::Excluded(to) => less(value, to),
            }
    };
    let sorted_by = |values: &Values| find.order_by.as_deref().map(|field| values.get(field).cloned());
    let mut all: Vec<_> = model
        .iter()
        .filter(|(_, values)| find.conditions.iter().all(|condition| holds(values, condition)))
        .filter(|(_, values)| sorted_by(values) != Some(None))
        .map(|(key, values)| (sorted_by(values).flatten(), key.as_str()))
        .collect();
    all.sort_by(|(a, x), (b, y)| match (a, b) {
        (Some(a), Some(b)) if less(a, b) => std::cmp::Ordering::Less,
        (Some(a), Some(b)) if less(b, a) => std::cmp::Ordering::Greater,
        _ => x.cmp(y),
    });
    if find.descending {
        all.reverse();
    }
    all.into_iter().map(|(_, key)| key).collect()
}

/// Documents that come, change and go, and queries of all shapes, against a model that looks at every document.
pub(crate) async fn any_query_finds_what_a_look_at_every_document_does(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let mut random = fastrand::Rng::with_seed(0x0f1e_1d5a);
    let mut model: BTreeMap<String, Values> = BTreeMap::new();
    for _ in 0..12 {
        let mut written = Vec::new();
        for n in 0..30 {
            if random.bool() {
                continue;
            }
            let (name, mut values, gone) = (format!("{n:02}"), Values::new(), random.u8(0..5) == 0);
            let key = key(&name);
            let mut fields = Vec::new();
            for (field, name) in FIELDS.iter().zip(["cents", "owner", "open", "since"]) {
                let value = (!gone && random.u8(0..6) > 0).then(|| arbitrary_value(&mut random, field));
                values.extend(value.clone().map(|value| (name, value)));
                fields.push(change(&key, name, value));
            }
            written.push((key, (!gone).then_some("{}"), fields));
            match gone {
                true => model.remove(&name),
                false => model.insert(name, values),
            };
        }
        write(&store, &shard(live), written).await;
        for _ in 0..25 {
            let find = arbitrary_find(&mut random);
            let wanted = naive(&model, &find);
            assert_eq!(names(&found(&store, &find).await), wanted, "{find:?}");
            let limit = random.usize(1..6);
            let pages = paged(&store, &FindDocuments { limit, ..find.clone() }).await;
            assert_eq!(names(&pages), wanted, "in pages of {limit}: {find:?}");
        }
    }
}
