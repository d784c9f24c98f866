//! Documents that are found, sorted and counted by their fields.

use factum::{
    Commit, DocumentKey, Field, FieldChange, FieldCondition, FieldValue, FindDocuments, FoundDocument, Generation,
    LogId, NewGeneration, ReadModelError, ReadTarget, Shard, Tenant,
};

use super::kit::*;
use crate::Fixture;
use crate::kit::{Must, tenant, time};

pub(super) static FIELDS: [Field; 4] =
    [Field::integer("cents"), Field::text("owner"), Field::bool("open"), Field::time("since")];

fn declaring(fields: &[Field]) -> NewGeneration {
    NewGeneration { fields: fields.to_vec(), ..new(V1) }
}

/// The live generation, with all fields.
pub(super) async fn live(fixture: &Fixture) -> Option<(Store, Generation)> {
    let store = fixture.read_models()?.clone();
    let info = store.open(&declaring(&FIELDS)).await.must("opening a read model with fields");
    assert_eq!(info.fields, FIELDS, "a generation does not keep the fields that it was made with");
    Some((store, info.generation))
}

pub(super) fn finding(target: ReadTarget) -> FindDocuments {
    FindDocuments { limit: 1_000, ..FindDocuments::new(target) }
}

pub(super) fn by(field: &str) -> FindDocuments {
    FindDocuments { order_by: Some(field.to_owned()), ..finding(v1()) }
}

pub(super) fn change(of: &DocumentKey, field: &'static str, value: Option<FieldValue>) -> FieldChange {
    FieldChange { key: of.clone(), field: field.into(), value }
}

/// Writes documents, each with its values; the next hundred positions.
pub(super) async fn write(store: &Store, shard: &Shard, written: Vec<(DocumentKey, Option<&str>, Vec<FieldChange>)>) {
    let at = store.checkpoint(shard).await.must("a checkpoint").position.get();
    let mut commit = step(shard, at, at + 100);
    for (n, (key, body, fields)) in (at + 1..).zip(written) {
        commit.documents.push((key, document_in(shard.log, n, body)));
        commit.fields.extend(fields);
    }
    store.commit(commit).await.must("writing documents with fields");
}

/// Writes documents that have one value each.
async fn write_values<V: Into<FieldValue> + Clone>(
    store: &Store,
    generation: Generation,
    field: &'static str,
    values: &[(&str, V)],
) {
    let written = values.iter().map(|(of, value)| {
        let key = key(of);
        let fields = vec![change(&key, field, Some(value.clone().into()))];
        (key, Some("{}"), fields)
    });
    write(store, &shard(generation), written.collect()).await;
}

pub(super) fn names(found: &[FoundDocument]) -> Vec<&str> {
    found.iter().map(|found| found.key.key()).collect()
}

/// All that is found, and that it is as many as are counted.
pub(super) async fn found(store: &Store, find: &FindDocuments) -> Vec<FoundDocument> {
    let page = store.find(find).await.must("finding documents");
    assert!(page.end, "{} documents are said not to be all", page.documents.len());
    let counted = store.count(find).await.must("counting documents").count;
    assert_eq!(counted, page.documents.len() as u64, "counted others than are found by {find:?}");
    page.documents
}

async fn found_where(store: &Store, conditions: &[FieldCondition]) -> Vec<String> {
    let find = FindDocuments { conditions: conditions.to_vec(), ..finding(v1()) };
    names(&found(store, &find).await).into_iter().map(str::to_owned).collect()
}

/// With both ends of a range, with several conditions at once, of every kind.
pub(crate) async fn documents_are_found_by_their_fields(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let since = |day: u32| time(&format!("2026-03-{day:02}T10:00:00.000001Z"));
    let written = (1..=6u32).map(|n| {
        let key = key(&n.to_string());
        let owner = ["Jana", "Petr", "Jan"][n as usize % 3];
        let fields = vec![
            change(&key, "cents", Some(FieldValue::from(i64::from(n) * 10 - 30))),
            change(&key, "owner", Some(owner.into())),
            change(&key, "open", Some((n % 2 == 0).into())),
            change(&key, "since", Some(since(n).into())),
        ];
        (key, Some("{}"), fields)
    });
    write(&store, &shard(live), written.collect()).await;
    let cases = [
        (vec![FieldCondition::equal("cents", 0)], "3"),
        (vec![FieldCondition::equal("cents", 5)], ""),
        (vec![FieldCondition::between("cents", -10..=10)], "234"),
        (vec![FieldCondition::between("cents", -10..10)], "23"),
        (vec![FieldCondition::between("cents", ..0)], "12"),
        (vec![FieldCondition::between("cents", 11..)], "56"),
        (vec![FieldCondition::between("cents", 10..), FieldCondition::between("cents", ..0)], ""),
        (vec![FieldCondition::between::<i64>("cents", ..)], "123456"),
        (vec![FieldCondition::equal("owner", "Jan")], "25"),
        (vec![FieldCondition::between("owner", "Jan".."Jana")], "25"),
        (vec![FieldCondition::between("owner", "Jana"..)], "1346"),
        (vec![FieldCondition::equal("owner", "jan")], ""),
        (vec![FieldCondition::equal("open", true)], "246"),
        (vec![FieldCondition::between("since", since(2)..=since(4))], "234"),
        (vec![FieldCondition::equal("open", true), FieldCondition::equal("owner", "Jan")], "2"),
        (vec![FieldCondition::between("cents", 0..), FieldCondition::between("since", ..since(5))], "34"),
        (vec![FieldCondition::between("cents", 0..), FieldCondition::between("cents", ..20)], "34"),
        (vec![FieldCondition::equal("cents", 0), FieldCondition::equal("cents", 10)], ""),
        (vec![], "123456"),
    ];
    for (conditions, wanted) in cases {
        assert_eq!(found_where(&store, &conditions).await.concat(), wanted, "found where {conditions:?}");
    }
    let one = FindDocuments { conditions: vec![FieldCondition::equal("cents", 0)], ..by("owner") };
    let document = found(&store, &one).await.remove(0);
    assert_eq!((&document.document, document.value), (&document_in(LogId::FIRST, 3, Some("{}")), Some("Jana".into())));
}

/// By the bytes of texts and the size of numbers, those of one value by key; and backward the same from the end.
pub(crate) async fn what_is_found_is_sorted_alike_everywhere(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let mut texts =
        vec!["b", "a", "B", "10", "9", "ä", "", "a b", "a-b", "aB", "😀", "\u{ffff}", "é", "e\u{301}", "a\0b"];
    let keyed: Vec<_> = texts.iter().enumerate().map(|(n, text)| (format!("t{n:02}"), *text)).collect();
    let keyed: Vec<_> = keyed.iter().map(|(key, text)| (key.as_str(), *text)).collect();
    write_values(&store, live, "owner", &keyed).await;
    texts.sort_unstable();
    let values = |found: Vec<FoundDocument>| found.into_iter().filter_map(|found| found.value).collect::<Vec<_>>();
    let sorted: Vec<_> = texts.iter().copied().map(FieldValue::from).collect();
    assert_eq!(values(found(&store, &by("owner")).await), sorted, "texts are not in the order of their bytes");
    let numbers = [0, i64::MIN, -1, i64::MAX, 1, -256, 255, 256];
    let keyed: Vec<_> = numbers.iter().map(|number| (format!("n{number}"), *number)).collect();
    let keyed: Vec<_> = keyed.iter().map(|(key, number)| (key.as_str(), *number)).collect();
    write_values(&store, live, "cents", &keyed).await;
    let mut sorted = numbers;
    sorted.sort_unstable();
    let sorted = sorted.map(FieldValue::from);
    assert_eq!(values(found(&store, &by("cents")).await), sorted, "numbers are not in the order of their size");
    write_values(&store, live, "open", &[("z", true), ("y", false), ("x", true), ("w", false)]).await;
    let forward = found(&store, &by("open")).await;
    assert_eq!(names(&forward), ["w", "y", "x", "z"], "documents of one value are not in the order of their keys");
    let backward = found(&store, &FindDocuments { descending: true, ..by("open") }).await;
    assert_eq!(names(&backward), ["z", "x", "y", "w"], "the order from its end is another");
    let by_key = found(&store, &FindDocuments { descending: true, ..finding(v1()) }).await;
    assert!(by_key.is_sorted_by(|a, b| a.key > b.key) && by_key.len() == 27, "all by key, from the end");
}

/// What is asked page by page.
pub(super) async fn paged(store: &Store, find: &FindDocuments) -> Vec<FoundDocument> {
    let mut all: Vec<FoundDocument> = Vec::new();
    let mut find = find.clone();
    for _ in 0..200 {
        let page = store.find(&find).await.must("a page of what is found");
        assert!(page.documents.len() <= find.limit, "a page of {} holds {}", find.limit, page.documents.len());
        assert!(page.end || page.documents.len() == find.limit, "a page that is not the last is not full");
        find.after = page.documents.last().map(FoundDocument::place).or(find.after);
        all.extend(page.documents);
        if page.end {
            break;
        }
    }
    all
}

/// By value, key and log: also within documents of one value, and where the last of a page is gone when the next is read.
pub(crate) async fn pages_go_on_where_the_last_one_ended(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let keys: Vec<_> = (0..40).map(|n| format!("{n:02}")).collect();
    let values: Vec<_> = keys.iter().zip(0..).map(|(key, n): (_, i64)| (key.as_str(), n * 7 % 5)).collect();
    write_values(&store, live, "cents", &values).await;
    for descending in [false, true] {
        let whole = found(&store, &FindDocuments { descending, ..by("cents") }).await;
        assert_eq!(whole.len(), 40, "documents are missing");
        for limit in [1, 3, 8, 39, 40, 41] {
            let pages = paged(&store, &FindDocuments { descending, limit, ..by("cents") }).await;
            assert_eq!(names(&pages), names(&whole), "pages of {limit}, descending: {descending}");
        }
    }
    let first = store.find(&FindDocuments { limit: 3, ..by("cents") }).await.must("the first page").documents;
    let last = first.last().must("a document").clone();
    write(&store, &shard(live), vec![(last.key.clone(), None, vec![change(&last.key, "cents", None)])]).await;
    let rest = found_after(&store, &last).await;
    let both: Vec<_> = first.iter().map(|found| &found.key).chain(rest.iter().map(|found| &found.key)).collect();
    let mut once = both.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(
        (both.len(), once.len()),
        (40, 40),
        "a page that begins after a deleted document misses or repeats some"
    );
}

async fn found_after(store: &Store, last: &FoundDocument) -> Vec<FoundDocument> {
    let rest = FindDocuments { after: Some(last.place()), ..by("cents") };
    let page = store.find(&rest).await.must("the rest");
    assert!(page.end, "the rest is not all");
    page.documents
}

/// A value that changes moves its document; one that is gone, and a document that is deleted, is not found.
pub(crate) async fn fields_follow_their_documents(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    write_values(&store, live, "cents", &[("1", 10), ("2", 20), ("3", 30)]).await;
    let [one, two, three] = ["1", "2", "3"].map(key);
    write(&store, &shard, vec![(one.clone(), Some("{}"), vec![change(&one, "cents", Some(25.into()))])]).await;
    assert_eq!(names(&found(&store, &by("cents")).await), ["2", "1", "3"], "a document is where it was");
    assert_eq!(found_where(&store, &[FieldCondition::equal("cents", 10)]).await, [""; 0], "an old value is found");
    write(&store, &shard, vec![(two.clone(), Some("{}"), vec![change(&two, "cents", None)])]).await;
    write(&store, &shard, vec![(three.clone(), None, vec![change(&three, "cents", None)])]).await;
    assert_eq!(names(&found(&store, &by("cents")).await), ["1"], "what has no value is found by it");
    assert_eq!(found_where(&store, &[]).await, ["1", "2"], "without conditions every document is found that is there");
    let at = store.checkpoint(&shard).await.must("a checkpoint").position.get();
    let documents = vec![(one.clone(), document(at + 1, Some("[1]")))];
    store.commit(Commit { documents, ..step(&shard, at, at + 100) }).await.must("a commit without fields");
    let kept = found(&store, &by("cents")).await;
    assert_eq!(kept[0].document.body.as_deref(), Some(&b"[1]"[..]), "another version of a document is found");
    let late = Commit { fields: vec![change(&one, "cents", Some(1.into()))], ..step(&shard, at, at + 200) };
    assert!(is_stale(&store.commit(late).await), "a stale commit is not told");
    assert_eq!(found_where(&store, &[FieldCondition::equal("cents", 25)]).await, ["1"], "a stale commit left a value");
}

/// Nothing is found by a field that was declared later, or that was of another kind: it is said, not empty.
pub(crate) async fn a_field_that_a_generation_lacks_is_refused(fixture: &Fixture) {
    let Some(store) = fixture.read_models().cloned() else { return };
    let first = store.open(&declaring(&FIELDS[..1])).await.must("opening");
    write_values(&store, first.generation, "cents", &[("1", 10)]).await;
    let again = store.open(&declaring(&FIELDS)).await.must("opening with other fields");
    assert_eq!(
        (again.generation, &again.fields[..]),
        (first.generation, &FIELDS[..1]),
        "the fields of a generation change"
    );
    let refused = [
        by("owner"),
        FindDocuments { conditions: vec![FieldCondition::equal("owner", "Jana")], ..finding(v1()) },
        FindDocuments { conditions: vec![FieldCondition::equal("cents", "10")], ..finding(v1()) },
        FindDocuments { conditions: vec![FieldCondition::between("since", moment(1)..)], ..by("cents") },
    ];
    for find in &refused {
        for error in [store.find(find).await.err(), store.count(find).await.err()] {
            let Some(ReadModelError::NoField { generation, fields, .. }) = &error else {
                panic!("{find:?} is answered with {error:?}")
            };
            assert_eq!((*generation, &fields[..]), (first.generation, &FIELDS[..1]));
            assert!(
                error.must("an error").to_string().contains("cents (integer)"),
                "an error does not say what there is"
            );
        }
    }
    let next = store.build(&declaring(&FIELDS)).await.must("building");
    assert_eq!(next.fields, FIELDS, "a generation that is built has other fields than were declared");
    reach_with_owner(&store, next.generation).await;
    store.switch(&switch(first.generation, next.generation)).await.must("switching");
    assert_eq!(names(&found(&store, &refused[0]).await), ["1"], "what was built anew is not found by its new field");
}

async fn reach_with_owner(store: &Store, generation: Generation) {
    write_values(store, generation, "owner", &[("1", "Jana")]).await;
}

/// Each generation has values of its own, which are gone with it.
pub(crate) async fn fields_belong_to_their_generation(fixture: &Fixture) {
    let Some((store, old)) = live(fixture).await else { return };
    write_values(&store, old, "cents", &[("1", 10), ("2", 20)]).await;
    let next = store.build(&declaring(&FIELDS)).await.must("building").generation;
    write_values(&store, next, "cents", &[("1", 40), ("2", 30)]).await;
    assert_eq!(names(&found(&store, &by("cents")).await), ["1", "2"], "what is built is found");
    let page = store.find(&FindDocuments { limit: 1, ..by("cents") }).await.must("a page");
    assert_eq!((page.read.generation, &page.read.checkpoint), (old, &at(100)), "a page tells another place");
    store.switch(&switch(old, next)).await.must("switching");
    assert_eq!(names(&found(&store, &by("cents")).await), ["2", "1"], "what is live is not found");
    let after = page.documents.last().map(FoundDocument::place);
    let rest = FindDocuments { target: numbered(old), after, ..by("cents") };
    assert_eq!(
        names(&store.find(&rest).await.must("the rest").documents),
        ["2"],
        "a listing goes on in another generation"
    );
    store.drop_generation(&name(), old).await.must("dropping");
    assert!(is_expired(&store.find(&rest).await), "what was dropped is found");
    assert!(is_expired(&store.count(&rest).await), "what was dropped is counted");
}

/// Tenants do not see each other; a key of several logs is found once for each of its documents that matches.
pub(crate) async fn tenants_and_logs_are_apart(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shards = [0, 1].map(|log| Shard { log: LogId::new(log), ..shard(live) });
    let tenants = [Tenant::default(), tenant("acme")];
    for (shard, cents) in shards.iter().zip([10, 20]) {
        let written = tenants.iter().map(|tenant| {
            let key = key_of(tenant.clone(), "1");
            let fields = vec![change(&key, "cents", Some(cents.into()))];
            (key, Some("{}"), fields)
        });
        write(&store, shard, written.collect()).await;
    }
    for tenant in &tenants {
        let all = FindDocuments { tenant: tenant.clone(), ..by("cents") };
        let documents = found(&store, &all).await;
        assert!(documents.iter().all(|found| found.key.tenant() == tenant), "another tenant's document is found");
        let logs: Vec<_> = documents.iter().map(|found| found.document.bounds.log.get()).collect();
        assert_eq!(logs, [0, 1], "a key is not found once for each log");
        let one = FindDocuments { conditions: vec![FieldCondition::equal("cents", 20)], ..all.clone() };
        assert_eq!(found(&store, &one).await[0].document.bounds.log, LogId::new(1), "the document of another log");
        for find in [all, FindDocuments { tenant: tenant.clone(), ..finding(v1()) }] {
            for descending in [false, true] {
                let logs = paged(&store, &FindDocuments { limit: 1, descending, ..find.clone() }).await;
                assert_eq!(logs.len(), 2, "a page of one log's document hides that of the next");
            }
        }
    }
}
