//! What documents are found by, told as it is kept, so that it can be compared with what they say.

use factum::{
    DocumentFields, Field, FieldChange, FieldPlace, FieldValue, Generation, LogId, NewGeneration, Position,
    ReadModelError, ReadModelStore, ReadTarget, Shard,
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

/// Every stray value of a generation, so many values looked at for each page.
async fn strays(store: &dyn ReadModelStore, target: &ReadTarget, limit: usize) -> Vec<(FieldPlace, Vec<u8>)> {
    let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page =
            store.stray_fields(target, after.as_ref(), limit).await.must("values of documents that are not there");
        assert!(page.strays.len() <= limit, "more values on a page than were to be looked at");
        all.extend(page.strays);
        pages += 1;
        assert!(pages < 100, "the pages never end");
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    all.sort_by_key(|(place, _)| (place.key.clone(), place.log, place.field.clone()));
    all
}

pub(crate) async fn what_is_kept_of_documents_that_are_not_there_is_told(fixture: &Fixture) {
    let Some(store) = fixture.read_models() else { return };
    let new = NewGeneration { fields: FIELDS.to_vec(), ..new(V1) };
    let generation = store.open(&new).await.must("opening a read model with fields").generation;
    let target = ReadTarget::Generation(name(), generation);
    assert_eq!(strays(&**store, &target, 1).await, [], "values of a read model that is empty");
    let (here, gone, never) = (key("here"), key("gone"), key("never"));
    let (apart, elsewhere) = (key("apart"), key_of(tenant("other"), "here"));
    let change = |of: &factum::DocumentKey, field: &'static str, value: FieldValue| FieldChange {
        key: of.clone(),
        field: field.into(),
        value: Some(value),
    };
    for log in [LogId::FIRST, LogId::new(1)] {
        let mut commit = step(&Shard { log, ..shard(generation) }, 0, 10);
        commit.documents.push((here.clone(), document_in(log, 2, Some("{}"))));
        commit.documents.push((gone.clone(), document_in(log, 3, None)));
        // Of one log only.
        if log == LogId::FIRST {
            commit.documents.push((apart.clone(), document_in(log, 4, Some("{}"))));
        }
        for of in [&here, &gone, &never, &apart, &elsewhere] {
            commit.fields.push(change(of, "cents", 1.into()));
        }
        commit.fields.push(change(&never, "owner", "Jana".into()));
        store.commit(commit).await.must("writing documents and values");
    }
    let cents = |of: &factum::DocumentKey, log: u32| {
        let place = FieldPlace { key: of.clone(), log: LogId::new(log), field: "cents".to_owned() };
        (place, FieldValue::from(1).to_bytes())
    };
    let owner = |log: u32| {
        let place = FieldPlace { key: never.clone(), log: LogId::new(log), field: "owner".to_owned() };
        (place, FieldValue::from("Jana").to_bytes())
    };
    let mut expected = vec![cents(&gone, 0), cents(&gone, 1), cents(&never, 0), cents(&never, 1), owner(0), owner(1)];
    expected.extend([cents(&apart, 1), cents(&elsewhere, 0), cents(&elsewhere, 1)]);
    expected.sort_by_key(|(place, _)| (place.key.clone(), place.log, place.field.clone()));
    for limit in [1, 2, 3, 12, 1_000] {
        let told = strays(&**store, &target, limit).await;
        assert_eq!(told, expected, "what is kept of documents that are not there, {limit} values at a time");
    }
    let other = store.build(&new).await.must("building another").generation;
    assert_eq!(strays(&**store, &numbered(other), 10).await, [], "values of another generation");
    let missing = store.stray_fields(&numbered(Generation(99)), None, 10).await;
    assert!(is_expired(&missing), "of a generation that is not there: {missing:?}");
}
