//! What documents are found by, told as it is kept, so that it can be compared with what they say.

use factum::{
    DocumentFields, Field, FieldChange, FieldValue, Generation, LogId, NewGeneration, Position, ReadModelError,
    ReadTarget, Shard,
};

use super::kit::*;
use crate::Fixture;
use crate::kit::{Must, tenant};

static FIELDS: [Field; 2] = [Field::integer("cents"), Field::text("owner")];

fn values(cents: i64, owner: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let owner = owner.map(|owner| ("owner".to_owned(), FieldValue::from(owner).to_bytes()));
    [("cents".to_owned(), FieldValue::from(cents).to_bytes())].into_iter().chain(owner).collect()
}

pub(crate) async fn what_is_kept_of_documents_is_told_by_key_and_log(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let new = NewGeneration { fields: FIELDS.to_vec(), ..new(V1) };
    let generation = store.open(&new).await.must("opening a read model with fields").generation;
    let other = key_of(tenant("other"), "a");
    let change = |of: &factum::DocumentKey, field: &'static str, value: Option<FieldValue>| FieldChange {
        key: of.clone(),
        field: field.into(),
        value,
    };
    for log in [LogId::FIRST, LogId::new(1)] {
        let shard = Shard { log, ..shard(generation) };
        let mut commit = step(&shard, 0, 10);
        let position = 2 + u64::from(log.get());
        let cents = i64::from(log.get());
        commit.documents.push((key("a"), document_in(log, position, Some("{}"))));
        commit.fields.push(change(&key("a"), "cents", Some(cents.into())));
        commit.fields.push(change(&key("a"), "owner", Some("Jana".into())));
        commit.documents.push((other.clone(), document_in(log, 4, Some("{}"))));
        commit.fields.push(change(&other, "cents", Some(7.into())));
        for (of, body) in [("bare", Some("{}")), ("gone", None)] {
            commit.documents.push((key(of), document_in(log, 5, body)));
        }
        store.commit(commit).await.must("writing documents with fields");
    }
    let target = ReadTarget::Generation(name(), generation);
    let keys = [key("gone"), key("bare"), other, key("nobody"), key("a")];
    let told = store.field_values(&target, &keys).await.must("what documents are found by");
    let of = |log: u32, position: u64, values| {
        let (log, position) = (LogId::new(log), Position::new(position));
        DocumentFields { log, position, values }
    };
    let expected = [
        vec![],
        vec![of(0, 5, vec![]), of(1, 5, vec![])],
        vec![of(0, 4, values(7, None)), of(1, 4, values(7, None))],
        vec![],
        vec![of(0, 2, values(0, Some("Jana"))), of(1, 3, values(1, Some("Jana")))],
    ];
    assert_eq!(told, expected, "what documents are found by is not told as it was written");
    let missing = store.field_values(&ReadTarget::Generation(name(), Generation(99)), &keys).await;
    assert!(matches!(missing, Err(ReadModelError::Expired { .. })), "of a generation that is not there: {missing:?}");
}
