//! `time-travel-is-exact`: a read model as it was is what a plain fold of the events that belong to then comes to.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use common::*;
use factum::{At, Cursor, EventStore, Generation, Position, Tenant, Version};
use factum_memory::MemoryStore;
use factum_projections::{DocumentError, Entry, PageRequest, Projection, Projector, ProjectorOptions, ReadModel};
use futures_util::TryStreamExt;
use proptest::prelude::*;

fn moments(head: u64, logs: u32) -> impl Strategy<Value = At> {
    let position = proptest::collection::vec(0..=head, logs as usize).prop_map(move |positions| {
        let mut cursor = Cursor::start();
        for (log, position) in positions.into_iter().enumerate() {
            cursor.set(factum::LogId::new(log as u32), Position::new(position));
        }
        At::Position(cursor)
    });
    prop_oneof![
        position,
        (1u64..12).prop_map(|version| At::Version(Version::new(version).unwrap())),
        (0i64..80).prop_map(|s| At::Recorded(beginning() + TimeDelta::days(100) + TimeDelta::seconds(s))),
        (0i64..200).prop_map(|day| At::Occurred(beginning() + TimeDelta::days(day))),
    ]
}

async fn listed<P: Projection>(
    read_model: &ReadModel<P>,
    at: &At,
    limit: usize,
) -> Result<BTreeMap<String, P::Document>, DocumentError> {
    let mut all = BTreeMap::new();
    let mut request = PageRequest::first(limit);
    loop {
        let page = read_model.list_at(request, at.clone()).await?;
        all.extend(page.documents.into_iter().map(|Entry { key, document }| (key, document)));
        match page.next {
            Some(token) => request = PageRequest::after(token).limit(limit),
            None => return Ok(all),
        }
    }
}

async fn check<P: Projection<Document = Balance>>(
    projection: P,
    projector: &Projector,
    store: &MemoryStore,
    at: &At,
    limit: usize,
) -> Result<(), TestCaseError> {
    let head = store.head().await.unwrap();
    for tenant in [Tenant::default(), acme()] {
        let read_model = projector.read_model::<P>().in_tenant(tenant.clone());
        let all = listed(&read_model, at, limit).await;
        if let At::Position(cursor) = at
            && !matches!(cursor.partial_cmp(&head), Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal))
        {
            prop_assert!(matches!(all, Err(DocumentError::PastHead { .. })), "{all:?}");
            continue;
        }
        let expected = naive(&projection, store, &tenant, Some(at)).await;
        prop_assert_eq!(&all.unwrap(), &expected, "list_at of {}", P::NAME);
        let streamed: Vec<_> = read_model.all_at(at.clone()).try_collect().await.unwrap();
        prop_assert_eq!(streamed.len(), expected.len());
        for key in ["0", "1", "2", "3", "all", "1993-02", "1993-04", "none"] {
            let answer = read_model.get_at(key, at.clone()).await.unwrap();
            prop_assert_eq!(answer.document.as_ref(), expected.get(key), "get_at of {} {}", P::NAME, key);
        }
    }
    Ok(())
}

async fn exact<const KEEP: u64, const AFTER: usize>(
    store: Arc<MemoryStore>,
    history: Vec<Happening>,
    at: At,
    limit: usize,
) -> Result<(), TestCaseError> {
    let projector = Projector::new(store.clone(), store.clone())
        .with(Balances::<KEEP, AFTER>)
        .with(Turnover::<KEEP, AFTER>)
        .options(ProjectorOptions::new().pages(1, 4));
    let (early, late) = history.split_at(history.len() / 3);
    record_all(&*store, early).await;
    projector.catch_up().await.unwrap();
    record_all(&*store, late).await;
    for done in projector.catch_up().await.unwrap() {
        done.result.unwrap();
    }
    check(Balances::<KEEP, AFTER>, &projector, &store, &at, limit).await?;
    check(Turnover::<KEEP, AFTER>, &projector, &store, &at, limit).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn time_travel_is_exact_in_one_log(history in history(80), at in moments(82, 1), limit in 1usize..5) {
        block_on(exact::<5, 2>(bank(1), history, at, limit))?;
    }

    #[test]
    fn time_travel_is_exact_in_several_logs(history in history(80), at in moments(30, 3), limit in 1usize..5) {
        block_on(exact::<3, 1>(bank(3), history, at, limit))?;
    }

    #[test]
    fn time_travel_is_exact_where_every_change_is_kept(history in history(40), at in moments(42, 1)) {
        block_on(exact::<1, 1>(bank(1), history, at, 100))?;
    }
}

#[tokio::test]
async fn an_answer_reads_no_more_events_than_lie_between_two_kept_versions() {
    let store = bank(1);
    open(&*store, 1).await;
    for _ in 0..99 {
        deposit(&*store, 1, 1).await;
    }
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<10>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<10>>();
    for position in 1..=100 {
        let answer = balances.get_at("1", Position::new(position)).await.unwrap();
        assert_eq!(answer.document.unwrap().cents, position as i64 - 1);
        assert!(answer.events_read <= 10, "{} events for position {position}", answer.events_read);
    }
    let version = At::Version(Version::new(50).unwrap());
    assert_eq!(balances.get_at("1", version).await.unwrap().document.unwrap().cents, 49);
}

#[tokio::test]
async fn a_quiet_document_is_kept_only_once_enough_has_happened_to_it() {
    let store = bank(1);
    for account in (0..4).cycle().take(400) {
        record(&*store, &Happening { account, tenant: false, event: AccountEvent::Opened, day: None }).await;
    }
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<10, 16>);
    projector.catch_up().await.unwrap();
    for versions in dump(&store, "balances", Generation(1), &Tenant::default()).await.values() {
        let (current, kept) = versions.split_last().unwrap();
        assert!(!kept.is_empty() && kept.iter().all(|kept| (16..20).contains(&kept.positions.iter().count())));
        assert!(current.positions.iter().count() < 20);
    }
}

#[tokio::test]
async fn a_long_history_of_one_document_is_read_page_by_page() {
    let store = bank(1);
    record(&*store, &Happening { account: 1, tenant: false, event: AccountEvent::Opened, day: Some(0) }).await;
    for n in 0..300 {
        let event = AccountEvent::Deposited { cents: 1 };
        let day = Some(if n % 100 == 0 { 1 } else { 50 });
        record(&*store, &Happening { account: 1, tenant: false, event, day }).await;
    }
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<1>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<1>>();
    let second_day = At::Occurred(beginning() + TimeDelta::days(1));
    assert_eq!(balances.get_at("1", second_day).await.unwrap().document.unwrap().positions, [1, 2, 102, 202]);
}

#[tokio::test]
async fn a_position_that_was_not_reached_is_an_error_and_not_an_old_answer() {
    let store = bank(1);
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<5>);
    open(&*store, 1).await;
    projector.catch_up().await.unwrap();
    deposit(&*store, 1, 5).await;
    let balances = projector.read_model::<Balances<5>>();
    let not_yet = balances.get_at("1", Position::new(2)).await.unwrap_err();
    assert!(matches!(&not_yet, DocumentError::NotYet { checkpoint, .. } if *checkpoint == Position::new(1).into()));
    let past_head = balances.get_at("1", Position::new(3)).await.unwrap_err();
    assert!(matches!(&past_head, DocumentError::PastHead { head, .. } if *head == Position::new(2).into()));
    projector.catch_up().await.unwrap();
    assert_eq!(balances.get_at("1", Position::new(2)).await.unwrap().document.unwrap().cents, 5);
}

#[tokio::test]
async fn all_pages_of_a_past_show_one_moment_although_events_come_in_between() {
    let store = bank(1);
    for account in 0..4 {
        open(&*store, account).await;
    }
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<2>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<2>>();
    let ever = At::Occurred(beginning() + TimeDelta::days(1_000));
    let first = balances.list_at(PageRequest::first(2), ever.clone()).await.unwrap();
    for account in (0..4).chain(6..8) {
        open(&*store, account).await;
        deposit(&*store, account, 100).await;
    }
    projector.catch_up().await.unwrap();
    let token = first.next.unwrap().to_string().parse().unwrap();
    let second = balances.list_at(PageRequest::after(token).limit(10), ever).await.unwrap();
    let shown: Vec<_> = second.documents.iter().map(|entry| (entry.key.as_str(), entry.document.cents)).collect();
    assert_eq!(shown, [("2", 0), ("3", 0)]);
    assert_eq!((second.checkpoint, second.next), (Position::new(4).into(), None));
}

#[tokio::test]
async fn a_closed_account_is_absent_now_and_present_then() {
    let store = bank(1);
    open(&*store, 1).await;
    record(&*store, &Happening { account: 1, tenant: false, event: AccountEvent::Closed, day: None }).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<5>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<5>>();
    assert_eq!(balances.get("1").await.unwrap().document, None);
    assert_eq!(balances.list(PageRequest::default()).await.unwrap().documents, []);
    assert!(balances.get_at("1", Position::new(1)).await.unwrap().document.is_some());
    assert_eq!(balances.list_at(PageRequest::default(), Position::new(1)).await.unwrap().documents.len(), 1);
}
