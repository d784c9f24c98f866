//! A read model that somebody has been at is found out; one that is merely written on is not.

mod common;

use std::sync::Arc;

use common::{Balances, Happening, Turnover, acme, bank, block_on, deposit, history, open, record, record_all, soon};
use factum::{
    Commit, Document, DocumentKey, EventStore, FieldChange, Generation, LogId, Mark, Position, ProjectionName, ReadLog,
    ReadModelStore, Shard, Tenant,
};
use factum_memory::MemoryStore;
use factum_projections::{
    Difference, DifferenceKind, Json, Projector, ProjectorError, ReplayOptions, VerifyError, VerifyOptions,
    VerifyReport,
};
use proptest::prelude::*;

fn projector(store: &Arc<MemoryStore>) -> Projector {
    Projector::new(store.clone(), store.clone()).with(Balances::<5, 1>).with(Turnover::<5, 1>)
}

async fn verify(projector: &Projector, name: &str, options: VerifyOptions) -> (VerifyReport, Vec<Difference>) {
    let mut found = Vec::new();
    let report = projector.verify(name, &options, |difference| found.push(difference), |_| ()).await.unwrap();
    assert_eq!(report.differences, found.len() as u64);
    (report, found)
}

fn shard(projection: &str, log: LogId) -> Shard {
    Shard { projection: ProjectionName::new(projection).unwrap(), generation: Generation(1), partition: 0, log }
}

/// Changes documents behind the projector's back: with a commit that moves nothing.
async fn tamper(store: &MemoryStore, projection: &str, documents: Vec<(DocumentKey, Document)>) {
    tamper_with(store, projection, documents, Vec::new()).await;
}

async fn tamper_with(
    store: &MemoryStore,
    projection: &str,
    documents: Vec<(DocumentKey, Document)>,
    fields: Vec<FieldChange>,
) {
    let shard = shard(projection, LogId::FIRST);
    let at = store.checkpoint(&shard).await.unwrap();
    let to = Mark { position: at.position, event: at.stands_on.unwrap().1 };
    let (store_id, from, epoch) = (EventStore::id(store), at.position, at.epoch);
    store
        .commit(Commit {
            shard,
            from,
            epoch,
            store: store_id,
            to,
            documents,
            kept: Vec::new(),
            keep_from: None,
            fields,
        })
        .await
        .unwrap();
}

async fn stored(store: &MemoryStore, projection: &str, key: &DocumentKey) -> Document {
    let found = store.load(&shard(projection, LogId::FIRST), std::slice::from_ref(key)).await.unwrap();
    found.into_iter().next().flatten().unwrap()
}

fn key(tenant: Tenant, key: &str) -> DocumentKey {
    DocumentKey::new(tenant, key).unwrap()
}

#[test]
fn what_differs_is_missing_or_should_not_be_there_is_named_with_its_fields() {
    block_on(soon(async {
        let store = bank(1);
        for account in 1..=4 {
            open(&*store, account).await;
            deposit(&*store, account, 100 * i64::from(account)).await;
        }
        record(&*store, &Happening { account: 1, tenant: true, event: common::AccountEvent::Opened, day: None }).await;
        let projector = projector(&store);
        projector.catch_up().await.unwrap();
        let (report, found) = verify(&projector, "balances", VerifyOptions::new()).await;
        assert_eq!((report.documents, report.passes, found.len()), (5, 1, 0));

        let [one, two, three, other] =
            [(Tenant::default(), "1"), (Tenant::default(), "2"), (Tenant::default(), "3"), (acme(), "1")]
                .map(|(tenant, id)| key(tenant, id));
        let changed = |document: &Document, body: Option<&'static str>| Document {
            body: body.map(Into::into),
            ..document.clone()
        };
        let (first, second) = (stored(&store, "balances", &one).await, stored(&store, "balances", &two).await);
        let fifth = stored(&store, "balances", &other).await;
        let mut moved = stored(&store, "balances", &three).await;
        moved.bounds.position = Position::new(5);
        let tampered = vec![
            (one.clone(), changed(&first, Some(r#"{"positions":[1,2],"cents":101,"owner":"x"}"#))),
            (two.clone(), changed(&second, None)),
            (three.clone(), moved),
            (key(Tenant::default(), "33"), first.clone()),
            (key(Tenant::new("nobody").unwrap(), "1"), first.clone()),
            (other, changed(&fifth, Some("no json"))),
        ];
        tamper(&store, "balances", tampered).await;
        let (report, found) = verify(&projector, "balances", VerifyOptions::new()).await;
        assert_eq!((report.documents, report.checkpoint.to_string().as_str()), (7, "9"));
        let shown = |json: &Option<Json>| json.as_ref().map_or_else(|| "-".to_owned(), Json::to_string);
        let lines: Vec<_> = found
            .iter()
            .flat_map(|d| d.fields.iter().map(move |field| (d, field)))
            .map(|(d, f)| {
                format!("{}{} {:?} {} {} {}", d.tenant, d.key, d.kind, f.path, shown(&f.expected), shown(&f.found))
            })
            .collect();
        let default = Tenant::default();
        let expected = [
            format!("{default}1 Differs $.cents 100 101"),
            format!("{default}1 Differs $.owner - \"x\""),
            format!("{default}2 Missing $ {{\"cents\":200,\"positions\":[3,4]}} -"),
            format!("{default}3 Differs position 6 5"),
            format!("{default}33 Unexpected $ - {{\"cents\":100,\"positions\":[1,2]}}"),
            "acme1 Differs $ {\"cents\":0,\"positions\":[9]} \"not read as JSON: no json\"".to_owned(),
        ];
        assert_eq!(lines[..5], expected[..5]);
        assert_eq!(lines[5], expected[5]);
        assert_eq!(
            lines[6..],
            ["nobody1 Unexpected $ - {\"cents\":100,\"positions\":[1,2]}"],
            "history never heard of that tenant"
        );

        let (_, some) = verify(&projector, "balances", VerifyOptions::new().keys(["2", "4", "9"])).await;
        assert_eq!(some.iter().map(|d| (d.key.as_str(), d.kind)).collect::<Vec<_>>(), [("2", DifferenceKind::Missing)]);
        let (_, of_acme) = verify(&projector, "balances", VerifyOptions::new().tenant(acme())).await;
        assert_eq!(of_acme.len(), 1);
        let (report, sampled) = verify(&projector, "balances", VerifyOptions::new().sample(1_000)).await;
        assert_eq!((report.documents, sampled.len()), (7, 6), "a sample of more than there are is all of them");

        // Nothing was touched: what is wrong stays wrong until it is replayed.
        projector.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
        assert_eq!(verify(&projector, "balances", VerifyOptions::new()).await.1, []);
    }));
}

/// Fields in another order, spaces: the document is the same.
#[test]
fn another_way_of_writing_the_same_document_is_no_difference() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        deposit(&*store, 1, 5).await;
        let projector = projector(&store);
        projector.catch_up().await.unwrap();
        let one = key(Tenant::default(), "1");
        let document = stored(&store, "balances", &one).await;
        let body = Some("{ \"positions\": [1, 2],\n \"cents\": 5 }".into());
        tamper(&store, "balances", vec![(one, Document { body, ..document })]).await;
        assert_eq!(verify(&projector, "balances", VerifyOptions::new()).await.1, []);
    }));
}

#[test]
fn what_cannot_be_verified_is_told_and_nothing_is_built() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        let projector = projector(&store);
        let refused = async |name: &str, options: VerifyOptions| {
            projector.verify(name, &options, |_| (), |_| ()).await.unwrap_err().to_string()
        };
        assert!(refused("balances", VerifyOptions::new()).await.contains("no live generation"));
        assert_eq!(ReadModelStore::projections(&*store).await.unwrap(), []);
        assert!(refused("balance", VerifyOptions::new()).await.contains("balances, turnover"));
        projector.catch_up().await.unwrap();
        assert!(refused("balances", VerifyOptions::new().keys([""])).await.contains("empty"));

        // A read model from another store, whose history this one does not have.
        let other = bank(1);
        open(&*other, 1).await;
        let elsewhere = Projector::new(other.clone(), store.clone()).with(Balances::<5, 1>);
        let diverged = elsewhere.verify("balances", &VerifyOptions::new(), |_| (), |_| ()).await.unwrap_err();
        assert!(matches!(diverged, VerifyError::Diverged(_)), "{diverged}");
    }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// With so little memory that history is read again for each few documents, on several logs and tenants, the answer is that
    /// of one reading: nothing where nothing is wrong, and else what was tampered with, once.
    #[test]
    fn memory_makes_no_difference(events in history(60), logs in 1u32..3, memory in 0usize..6_000, gone in 0u8..4) {
        block_on(soon(async {
            let store = bank(logs);
            record_all(&*store, &events).await;
            let projector = projector(&store);
            projector.catch_up().await.unwrap();
            for name in ["balances", "turnover"] {
                let (report, found) = verify(&projector, name, VerifyOptions::new().memory(memory)).await;
                prop_assert_eq!(found, [], "{} of {:?}", name, report);
            }
            let (whole, _) = verify(&projector, "balances", VerifyOptions::new()).await;
            let (bit_by_bit, _) = verify(&projector, "balances", VerifyOptions::new().memory(memory)).await;
            prop_assert_eq!(whole.documents, bit_by_bit.documents);
            let (sampled, found) = verify(&projector, "balances", VerifyOptions::new().sample(2)).await;
            prop_assert!(sampled.documents <= whole.documents && found.is_empty());

            let gone = key(Tenant::default(), &gone.to_string());
            let documents = store.load(&shard("balances", LogId::FIRST), std::slice::from_ref(&gone)).await.unwrap();
            if let Some(Some(document)) = documents.into_iter().next().filter(|found| found.as_ref().is_some_and(|d| d.body.is_some())) {
                tamper(&store, "balances", vec![(gone.clone(), Document { body: None, ..document })]).await;
                let (_, found) = verify(&projector, "balances", VerifyOptions::new().memory(memory)).await;
                let found: Vec<_> = found.iter().map(|d| (d.key.as_str(), d.kind)).collect();
                prop_assert_eq!(found, [(gone.key(), DifferenceKind::Missing)]);
            }
            Ok(())
        }))?;
    }
}

/// Values of documents that are not there made `find` count what was none, and nothing named them.
#[test]
fn what_would_be_found_and_is_not_there_is_named_once() {
    block_on(soon(async {
        let store = bank(1);
        for account in 1..=3 {
            open(&*store, account).await;
        }
        let projector = projector(&store);
        projector.catch_up().await.unwrap();
        let value = |tenant: &Tenant, of: &str, field: &'static str, value: i64| FieldChange {
            key: key(tenant.clone(), of),
            field: field.into(),
            value: Some(value.into()),
        };
        let (default, nobody) = (Tenant::default(), Tenant::new("nobody").unwrap());
        // One of a document that is missing too, which is told of that.
        let two = key(default.clone(), "2");
        let gone = Document { body: None, ..stored(&store, "balances", &two).await };
        let left = vec![
            value(&default, "9", "cents", 5),
            value(&default, "9", "owner", 6),
            value(&default, "2", "cents", 7),
            value(&nobody, "1", "cents", 8),
        ];
        tamper_with(&store, "balances", vec![(two, gone)], left).await;
        let told = |found: Vec<Difference>| {
            let line = |d: &Difference| {
                let fields: Vec<_> = d.fields.iter().map(|f| (f.path.clone(), f.expected.is_some())).collect();
                (d.tenant.clone(), d.key.clone(), d.kind, d.position, fields)
            };
            found.iter().map(line).collect::<Vec<_>>()
        };
        let of = |field: &str| (format!("fields.{field}"), false);
        let (third, unexpected) = (Position::new(3), DifferenceKind::Unexpected);
        let missing = (default.clone(), "2".to_owned(), DifferenceKind::Missing, third, vec![("$".to_owned(), true)]);
        let nine = (default.clone(), "9".to_owned(), unexpected, third, vec![of("cents"), of("owner")]);
        let one = (nobody.clone(), "1".to_owned(), unexpected, third, vec![of("cents")]);
        let (report, found) = verify(&projector, "balances", VerifyOptions::new()).await;
        assert_eq!((report.documents, report.differences), (3, 3));
        assert_eq!(told(found), [missing, nine.clone(), one.clone()]);
        // Only of what is asked for.
        let (_, found) = verify(&projector, "balances", VerifyOptions::new().keys(["9", "1"])).await;
        assert_eq!(told(found), [nine]);
        let (_, found) = verify(&projector, "balances", VerifyOptions::new().tenant(nobody)).await;
        assert_eq!(told(found), [one]);
        let (_, found) = verify(&projector, "balances", VerifyOptions::new().keys(["1"])).await;
        assert_eq!(told(found), []);
    }));
}

/// Documents move on while they are compared; none of that is a difference, and a worker is not held up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_writer_that_goes_on_is_no_difference() {
    let store = bank(1);
    for account in 0..20 {
        open(&*store, account).await;
    }
    let projector = projector(&store);
    projector.catch_up().await.unwrap();
    let writing = {
        let (store, projector) = (store.clone(), projector.clone());
        tokio::spawn(async move {
            for n in 0..3_000u32 {
                let cursor = deposit(&*store, (n % 20) as u8, 1).await;
                projector.wait_for("balances", &cursor).await?;
                projector.wait_for("turnover", &cursor).await?;
            }
            Ok::<(), ProjectorError>(())
        })
    };
    let mut rounds = 0;
    while !writing.is_finished() || rounds == 0 {
        for name in ["balances", "turnover"] {
            let (report, found) = verify(&projector, name, VerifyOptions::new().memory(4_000)).await;
            assert_eq!(found, [], "{report:?}");
        }
        rounds += 1;
    }
    soon(writing).await.unwrap().unwrap();
    let last = store.read_log(ReadLog::after(LogId::FIRST, Position::new(3_019))).await.unwrap();
    assert_eq!(last.events.len(), 1);
}

/// A replay that replaces and drops the generation while it is compared: it is the new one that is looked at then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_that_is_replaced_meanwhile_is_verified_anew() {
    let store = bank(1);
    for account in 0..20 {
        open(&*store, account).await;
    }
    let projector = projector(&store);
    projector.catch_up().await.unwrap();
    let (mut replaced, none) = (false, |difference| panic!("{difference:?}"));
    let replay = |_| {
        if !std::mem::replace(&mut replaced, true) {
            let replay = projector.replay("balances", ReplayOptions::new().keep_old(std::time::Duration::ZERO), |_| ());
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(replay)).unwrap();
        }
    };
    let options = VerifyOptions::new().memory(0);
    let report = soon(projector.verify("balances", &options, none, replay)).await.unwrap();
    assert_eq!((report.generation, report.documents), (Generation(2), 20));
    // Whoever is replaced again and again is told.
    let again = |_| {
        let replay = projector.replay("balances", ReplayOptions::new().keep_old(std::time::Duration::ZERO), |_| ());
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(replay)).unwrap();
    };
    let error = soon(projector.verify("balances", &options, none, again)).await.unwrap_err();
    assert!(error.to_string().contains("was dropped"), "{error}");
}
