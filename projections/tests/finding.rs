//! Documents found by their fields, through the projector: as it goes, after a replay, through changes of the code.

mod common;

use common::{AccountEvent, Balance, bank, block_on, deposit, history, naive, open, record_all, soon};
use factum::{Field, FieldValue, Generation, ReadModelError, Recorded, Tenant};
use factum_projections::{
    DocumentError, FieldQuery, FieldValues, Keys, PageToken, Projection, Projector, ReplayOptions,
};
use futures_util::TryStreamExt;
use proptest::prelude::*;

/// What is declared differs from one deployment to the next; what happens is the same.
struct Balances<const FIELDS: usize>;

const SOME: [&[Field]; 5] = [
    &[],
    &[Field::integer("cents")],
    &[Field::integer("events"), Field::integer("cents")],
    &[Field::text("cents")],
    &[Field::integer("cents"), Field::text("cents")],
];

impl<const FIELDS: usize> Projection for Balances<FIELDS> {
    const NAME: &'static str = "balances";
    const KEEP_EVERY: u64 = 5;
    const FIELDS: &'static [Field] = SOME[FIELDS];
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, key: &str, balance: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        common::Balances::<5, 1>.apply(key, balance, event);
    }

    fn fields(&self, _key: &str, balance: &Balance, values: &mut FieldValues) {
        assert!(balance.cents < 1_000_000, "too rich");
        match FIELDS {
            3 => values.set("cents", format!("{:09}", balance.cents)),
            _ => values.set("cents", balance.cents),
        }
        if FIELDS == 2 && balance.positions.len() > 1 {
            values.set("events", balance.positions.len() as i64);
        }
    }
}

fn keys<D>(entries: &[factum_projections::Entry<D>]) -> Vec<&str> {
    entries.iter().map(|entry| entry.key.as_str()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whether the projector kept them up in steps or a replay wrote them at once.
    #[test]
    fn what_is_found_is_what_a_fold_of_history_has(history in history(60), cut in 0usize..60, cents in -1i64..2_000) {
        block_on(soon(async {
            let store = bank(2);
            let projector = Projector::new(store.clone(), store.clone()).with(Balances::<2>);
            record_all(&*store, &history[..cut.min(history.len())]).await;
            projector.catch_up().await.unwrap();
            record_all(&*store, &history[cut.min(history.len())..]).await;
            projector.catch_up().await.unwrap();
            for _ in 0..2 {
                for tenant in [Tenant::default(), common::acme()] {
                    let all = naive(&Balances::<2>, &*store, &tenant, None).await;
                    let mut wanted: Vec<_> = all.iter().filter(|(_, balance)| balance.cents <= cents).collect();
                    wanted.sort_by_key(|(key, balance)| (balance.cents, *key));
                    let model = projector.read_model::<Balances<2>>().in_tenant(tenant);
                    let found = model.find().between("cents", ..=cents).order_by("cents");
                    let found: Vec<_> = found.all().try_collect().await.unwrap();
                    let found: Vec<_> = found.iter().map(|entry| (&entry.key, &entry.document)).collect();
                    prop_assert_eq!(&found, &wanted);
                    let many = all.values().filter(|balance| balance.positions.len() > 1).count();
                    prop_assert_eq!(model.find().between::<i64>("events", ..).count().await.unwrap(), many as u64);
                    prop_assert_eq!(model.find().count().await.unwrap(), all.len() as u64);
                }
                projector.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
            }
            Ok(())
        }))?;
    }
}

#[test]
fn pages_go_on_in_their_generation_until_it_is_dropped() {
    block_on(soon(async {
        let store = bank(1);
        let projector = Projector::new(store.clone(), store.clone()).with(Balances::<1>);
        for (account, cents) in [(1, 300), (2, 100), (3, 200), (4, 100)] {
            open(&*store, account).await;
            deposit(&*store, account, cents).await;
        }
        projector.catch_up().await.unwrap();
        let model = projector.read_model::<Balances<1>>();
        let first = model.find().order_by("cents").descending().page(2).await.unwrap();
        assert_eq!(keys(&first.documents), ["1", "3"]);
        let token: PageToken = first.next.unwrap().to_string().parse().unwrap();
        projector
            .replay("balances", ReplayOptions::new().keep_old(std::time::Duration::from_secs(3_600)), |_| ())
            .await
            .unwrap();
        let rest = || model.find().order_by("cents").descending().after(token.clone());
        let second = rest().page(2).await.unwrap();
        assert_eq!((keys(&second.documents), second.generation, second.next), (vec!["4", "2"], Generation(1), None));

        let ascending = model.find().order_by("cents").after(token.clone()).page(2).await;
        assert!(
            matches!(ascending, Err(DocumentError::OtherListing { .. })),
            "the token of another query: {ascending:?}"
        );
        let listed = model.list(factum_projections::PageRequest::after(token.clone())).await;
        assert!(matches!(listed, Err(DocumentError::OtherListing { .. })), "a query's token in a listing: {listed:?}");
        let listing = model.list(factum_projections::PageRequest::first(1)).await.unwrap().next.unwrap();
        assert!(matches!(model.find().after(listing).page(2).await, Err(DocumentError::OtherListing { .. })));

        projector.drop_generation("balances", Generation(1)).await.unwrap();
        assert!(rest().page(2).await.unwrap_err().is_expired());
    }));
}

/// A field that is new in the code, without a new version, is not found empty: it is told, until a replay.
#[test]
fn a_field_that_was_declared_later_is_told_until_a_replay() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        Projector::new(store.clone(), store.clone()).with(Balances::<1>).catch_up().await.unwrap();
        for _ in 0..2 {
            deposit(&*store, 1, 50).await;
        }
        let projector = Projector::new(store.clone(), store.clone()).with(Balances::<2>);
        projector.catch_up().await.unwrap();
        let model = projector.read_model::<Balances<2>>();
        assert_eq!(model.find().equal("cents", 100).count().await.unwrap(), 1, "a field that was there is kept up");
        let error = model.find().order_by("events").page(1).await.unwrap_err();
        assert!(matches!(&error, DocumentError::ReadModel(ReadModelError::NoField { .. })), "{error}");
        assert!(error.to_string().contains("raise Projection::VERSION, or replay balances"), "{error}");
        projector.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
        assert_eq!(keys(&model.find().order_by("events").page(1).await.unwrap().documents), ["1"]);
    }));
}

/// A replay that was begun by code with other fields is begun anew: going on in it would leave documents without values.
#[test]
fn a_replay_does_not_go_on_in_what_was_begun_with_other_fields() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        deposit(&*store, 1, 2_000_000).await;
        open(&*store, 2).await;
        let old = Projector::new(store.clone(), store.clone()).with(Balances::<0>);
        old.catch_up().await.unwrap();
        let before = Projector::new(store.clone(), store.clone()).with(Balances::<1>);
        assert!(before.replay("balances", ReplayOptions::new(), |_| ()).await.is_err(), "an account is too rich");
        let after = Projector::new(store.clone(), store.clone()).with(common::Balances::<5, 1>);
        after.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
        let model = after.read_model::<common::Balances<5, 1>>();
        assert_eq!(model.find().count().await.unwrap(), 2);
        assert_eq!(model.find().page(5).await.unwrap().generation, Generation(3));
    }));
}

#[test]
fn what_cannot_be_found_by_is_said() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        let projector = Projector::new(store.clone(), store.clone()).with(Balances::<1>);
        projector.catch_up().await.unwrap();
        let model = projector.read_model::<Balances<1>>();
        let unknown = model.find().equal("owner", "Jana").page(1).await.unwrap_err();
        assert!(unknown.to_string().contains("declares no field \"owner\""), "{unknown}");
        assert!(unknown.to_string().contains("cents (integer)"), "{unknown}");
        let kind = model.find().equal("cents", "1").count().await.unwrap_err();
        assert!(matches!(kind, DocumentError::FieldKind { .. }), "{kind}");
        let json = projector.read_model_json("balances").unwrap();
        let query = FieldQuery::new().equal("cents", 0);
        assert_eq!(keys(&json.find(&query, None, 1).await.unwrap().documents), ["1"]);
        assert_eq!((json.count(&query).await.unwrap(), json.fields()), (1, SOME[1]));
    }));
}

/// User code that fails here halts the projection where the document was last changed, as it does in `apply`.
#[test]
fn fields_that_cannot_be_had_halt_the_projection() {
    block_on(soon(async {
        let store = bank(1);
        open(&*store, 1).await;
        deposit(&*store, 1, 2_000_000).await;
        let projector = Projector::new(store.clone(), store.clone()).with(Balances::<1>);
        let error = projector.catch_up_one("balances").await.unwrap_err();
        assert!(error.to_string().contains("position 2") && error.to_string().contains("too rich"), "{error}");
        let found = projector.read_model::<Balances<1>>().find().equal("cents", 0).count().await.unwrap();
        assert_eq!(found, 1, "what came before was taken");

        struct Undeclared;
        impl Projection for Undeclared {
            const NAME: &'static str = "undeclared";
            type Event = AccountEvent;
            type Document = Balance;
            const FIELDS: &'static [Field] = &[Field::text("owner")];
            fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
                keys.push(event.stream.id());
            }
            fn apply(&self, key: &str, balance: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
                common::Balances::<5, 1>.apply(key, balance, event);
            }
            fn fields(&self, _key: &str, balance: &Balance, values: &mut FieldValues) {
                values.set("cent", balance.cents);
            }
        }
        let projector = Projector::new(store.clone(), store.clone()).with(Undeclared);
        let error = projector.catch_up_one("undeclared").await.unwrap_err();
        assert!(error.to_string().contains("\"cent\" is set"), "{error}");
        let twice = Projector::new(store.clone(), store.clone()).with(Balances::<4>).catch_up().await;
        assert!(format!("{twice:?}").contains("FieldTwice"), "{twice:?}");
        assert_eq!(FieldValue::from(1), 1.into());
    }));
}
