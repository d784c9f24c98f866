//! `time-travel-is-exact` where the past is not kept for ever, and what a look back may cost: an answer is right or an error
//! that says the oldest moment which can be had, and reads a bounded number of events.

mod common;

use std::sync::Arc;

use chrono::TimeDelta;
use common::*;
use factum::{At, Cursor, EventStore, Generation, LogId, Position, Tenant, Version};
use factum_memory::MemoryStore;
use factum_projections::{
    DocumentError, Forgotten, PageRequest, Projection, Projector, ProjectorOptions, ReadModel, ReplayOptions,
};
use proptest::prelude::*;

const KEYS: [&str; 8] = ["0", "1", "2", "3", "all", "1993-02", "1993-04", "none"];

fn moments(head: u64, logs: u32) -> impl Strategy<Value = At> {
    let position = proptest::collection::vec(0..=head, logs as usize).prop_map(|positions| {
        let mut cursor = Cursor::start();
        for (log, position) in (0..).zip(positions) {
            cursor.set(LogId::new(log), Position::new(position));
        }
        At::Position(cursor)
    });
    prop_oneof![
        3 => position,
        1 => (1u64..12).prop_map(|version| At::Version(Version::new(version).unwrap())),
        2 => (0i64..80).prop_map(|s| At::Recorded(beginning() + TimeDelta::days(100) + TimeDelta::seconds(s))),
        2 => (0i64..200).prop_map(|day| At::Occurred(beginning() + TimeDelta::days(day))),
    ]
}

/// The oldest position of each log that can be had.
fn oldest<P: Projection>(head: &Cursor) -> Cursor {
    let mut oldest = Cursor::start();
    for (log, position) in head.positions() {
        let keep = P::KEEP_FOR.unwrap_or(u64::MAX);
        oldest.set(log, Position::new(position.get().saturating_sub(keep)));
    }
    oldest
}

/// Whether a moment must be answered, whatever the document.
async fn must_be_had<P: Projection>(store: &MemoryStore, at: &At) -> bool {
    let oldest = oldest::<P>(&store.head().await.unwrap());
    let early = |event: &factum::RecordedEvent| event.position <= oldest.get(event.log);
    match at {
        At::Position(cursor) => oldest <= *cursor,
        at => everything(store).await.iter().filter(|event| early(event)).all(|event| at.includes(event)),
    }
}

fn bound<P: Projection>(logs: usize) -> usize {
    (P::KEEP_EVERY as usize + P::KEEP_AFTER - 1) * logs
}

/// What a look back answers is right, costs no more than it may, and is an error only where it has to be.
async fn looks<P: Projection<Document = Balance>>(
    projection: &P,
    store: &MemoryStore,
    read_model: &ReadModel<P>,
    tenant: &Tenant,
    at: &At,
) -> Result<Vec<Option<Option<Balance>>>, TestCaseError> {
    let head = store.head().await.unwrap();
    let logs = store.logs().len();
    let (expected, must) = (naive(projection, store, tenant, Some(at)).await, must_be_had::<P>(store, at).await);
    let mut all = Vec::new();
    for key in KEYS {
        match read_model.get_at(key, at.clone()).await {
            Ok(answer) => {
                prop_assert_eq!(answer.document.as_ref(), expected.get(key), "{} {} at {}", P::NAME, key, at);
                prop_assert!(
                    must || !matches!(at, At::Position(_)),
                    "{} is answered at {}, which is forgotten",
                    key,
                    at
                );
                if matches!(at, At::Position(_) | At::Recorded(_)) {
                    prop_assert!(answer.events_read <= bound::<P>(logs), "{} events at {}", answer.events_read, at);
                }
                all.push(Some(answer.document));
            }
            Err(DocumentError::Forgotten(forgotten)) => {
                prop_assert!(!must, "{} at {} lies within the retention: {}", key, at, forgotten);
                prop_assert_eq!(&forgotten.oldest, &oldest::<P>(&head));
                prop_assert_eq!(&forgotten.at, at);
                let from_oldest = At::Position(forgotten.oldest.clone());
                let then = naive(projection, store, tenant, Some(&from_oldest)).await;
                let answer = read_model.get_at(key, from_oldest).await.unwrap();
                prop_assert_eq!(answer.document.as_ref(), then.get(key), "the oldest that can be had of {}", key);
                prop_assert_eq!(forgotten.since.is_some(), !matches!(at, At::Position(_)));
                if let Some(since) = forgotten.since.filter(|_| logs == 1) {
                    let then = naive(projection, store, tenant, Some(&since)).await;
                    let answer = read_model.get_at(key, since.clone()).await.unwrap();
                    prop_assert_eq!(answer.document.as_ref(), then.get(key), "{} at {}, which can be had", key, since);
                }
                all.push(None);
            }
            Err(DocumentError::PastHead { .. }) => prop_assert!(!(at_within(at, &head)), "{} is past no head", at),
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
    let listed = read_model.list_at(PageRequest::first(100), at.clone()).await;
    match listed {
        Ok(page) => {
            let shown = page.documents.into_iter().map(|entry| (entry.key, entry.document)).collect();
            prop_assert_eq!(expected, shown, "list_at {}", at);
        }
        Err(DocumentError::Forgotten(_)) => prop_assert!(!must, "a listing at {} lies within the retention", at),
        Err(other) => prop_assert!(matches!(other, DocumentError::PastHead { .. }), "{}", other),
    }
    Ok(all)
}

fn at_within(at: &At, head: &Cursor) -> bool {
    !matches!(at, At::Position(cursor) if !matches!(cursor.partial_cmp(head), Some(order) if order.is_le()))
}

/// What is kept must be what a projection keeps that keeps all, from the newest version at or before the oldest position on.
async fn keeps_what_it_must(
    store: &MemoryStore,
    whole: &MemoryStore,
    name: &str,
    generation: Generation,
    oldest: &Cursor,
) -> Result<(), TestCaseError> {
    for tenant in [Tenant::default(), acme()] {
        let mut all = dump(whole, name, Generation(1), &tenant).await;
        for ((_, log), versions) in &mut all {
            let oldest = oldest.get(LogId::new(*log));
            // The current version is there beside the kept ones, and none of those takes its place.
            let kept = &versions[..versions.len().saturating_sub(1)];
            let first = kept.iter().rposition(|version| version.bounds.position <= oldest).unwrap_or(0);
            versions.drain(..first);
        }
        prop_assert_eq!(dump(store, name, generation, &tenant).await, all, "what is kept of {}", name);
    }
    Ok(())
}

async fn exact<const KEEP: u64, const AFTER: usize, const FOR: u64>(
    logs: u32,
    history: Vec<Happening>,
    moments: Vec<At>,
    pages: (usize, usize, u64),
) -> Result<(), TestCaseError> {
    let (store, whole) = (bank(logs), bank(logs));
    let options = ProjectorOptions::new().pages(1, pages.0);
    let projector = Projector::new(store.clone(), store.clone())
        .with(Balances::<KEEP, AFTER, FOR>)
        .with(Turnover::<KEEP, AFTER, FOR>)
        .options(options);
    for (n, happening) in history.iter().enumerate() {
        record(&*store, happening).await;
        if n % 7 == 3 {
            projector.catch_up().await.unwrap();
        }
    }
    projector.catch_up().await.unwrap();
    let keeping_all =
        Projector::new(store.clone(), whole.clone()).with(Balances::<KEEP, AFTER>).with(Turnover::<KEEP, AFTER>);
    keeping_all.catch_up().await.unwrap();
    let head = store.head().await.unwrap();
    let oldest = oldest::<Balances<KEEP, AFTER, FOR>>(&head);
    let looks_all = async || {
        let mut all = Vec::new();
        for (tenant, at) in [Tenant::default(), acme()].iter().flat_map(|of| moments.iter().map(move |at| (of, at))) {
            let balances = projector.read_model::<Balances<KEEP, AFTER, FOR>>().in_tenant(tenant.clone());
            all.push(looks(&Balances::<KEEP, AFTER, FOR>, &store, &balances, tenant, at).await?);
            let turnover = projector.read_model::<Turnover<KEEP, AFTER, FOR>>().in_tenant(tenant.clone());
            all.push(looks(&Turnover::<KEEP, AFTER, FOR>, &store, &turnover, tenant, at).await?);
        }
        Ok::<_, TestCaseError>(all)
    };
    let before = looks_all().await?;
    for name in ["balances", "turnover"] {
        keeps_what_it_must(&store, &whole, name, Generation(1), &oldest).await?;
        let options = ReplayOptions::new().page_events(pages.1).commit_events(pages.2);
        let replayed = projector.replay(name, options, |_| {}).await.unwrap().generation;
        keeps_what_it_must(&store, &whole, name, replayed, &oldest).await?;
    }
    prop_assert_eq!(looks_all().await?, before, "a replay looks back otherwise than the worker before it");
    Ok(())
}

fn pages() -> impl Strategy<Value = (usize, usize, u64)> {
    (1usize..9, 1usize..9, 1u64..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn answers_within_the_retention_are_exact(
        history in history(80), at in proptest::collection::vec(moments(80, 1), 4), pages in pages(),
    ) {
        block_on(exact::<5, 2, 20>(1, history, at, pages))?;
    }

    #[test]
    fn answers_within_the_retention_of_several_logs_are_exact(
        history in history(80), at in proptest::collection::vec(moments(30, 3), 4), pages in pages(),
    ) {
        block_on(exact::<3, 1, 7>(3, history, at, pages))?;
    }

    #[test]
    fn a_retention_that_is_shorter_than_the_grid_is_exact(
        history in history(60), at in proptest::collection::vec(moments(60, 1), 4), pages in pages(),
    ) {
        block_on(exact::<8, 5, 0>(1, history, at, pages))?;
    }

    #[test]
    fn an_answer_reads_a_bounded_number_of_events_whatever_the_key(
        history in history(120), at in proptest::collection::vec(moments(120, 1), 12), pages in pages(),
    ) {
        block_on(exact::<4, 1, EVER>(1, history.clone(), at.clone(), pages))?;
        block_on(exact::<7, 3, EVER>(1, history.clone(), at.clone(), pages))?;
        block_on(exact::<2, 16, EVER>(1, history, at, pages))?;
    }
}

async fn deposits(store: &dyn EventStore, account: u8, count: usize) {
    for _ in 0..count {
        deposit(store, account, 1).await;
    }
}

fn recorded(position: u64) -> At {
    // The clock of the bank ticks with each event.
    At::Recorded(beginning() + TimeDelta::days(100) + TimeDelta::seconds(position as i64 - 1))
}

#[tokio::test]
async fn the_bound_of_what_an_answer_reads_is_reached_and_not_passed() {
    let store = bank(1);
    open(&*store, 2).await;
    deposits(&*store, 2, 6).await;
    // Three events of this one lie before a line of the grid: too few to keep it there. Then it is the only one.
    open(&*store, 1).await;
    deposits(&*store, 1, 32).await;
    // Of this one five do, which is enough.
    deposits(&*store, 2, 5).await;
    open(&*store, 3).await;
    deposits(&*store, 3, 15).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<10, 4>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<10, 4>>();
    let mut most = 0;
    for (key, opened, position) in (1..=40).map(|at| ("1", 8, at)).chain((41..=61).map(|at| ("3", 46, at))) {
        for at in [At::from(Position::new(position)), recorded(position)] {
            let answer = balances.get_at(key, at).await.unwrap();
            let cents = answer.document.map_or(-1, |balance| balance.cents);
            assert_eq!(cents, (position as i64 - opened).max(-1), "{key} at {position}");
            most = most.max(answer.events_read);
        }
    }
    assert_eq!(most, 10 + 4 - 1);
}

#[tokio::test]
async fn what_is_forgotten_is_an_error_that_says_what_can_be_had() {
    let store = bank(1);
    open(&*store, 1).await;
    deposits(&*store, 1, 99).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<5, 1, 30>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<5, 1, 30>>();
    let oldest = Cursor::from(Position::new(70));
    let early = balances.get_at("1", Position::new(69)).await.unwrap_err();
    let DocumentError::Forgotten(forgotten) = &early else { panic!("{early}") };
    let at = At::from(Position::new(69));
    let projection = forgotten.projection.clone();
    assert_eq!(**forgotten, Forgotten { projection, key: None, at, oldest: oldest.clone(), since: None });
    assert_eq!(
        early.to_string(),
        "balances no longer keeps how things stood at 69: the oldest position that can be had is 70"
    );
    assert_eq!(balances.get_at("1", Position::new(70)).await.unwrap().document.unwrap().cents, 69);
    let early = balances.get_at("1", recorded(60)).await.unwrap_err();
    let DocumentError::Forgotten(forgotten) = &early else { panic!("{early}") };
    assert_eq!((forgotten.key.as_deref(), &forgotten.oldest), (Some("1"), &oldest));
    assert_eq!(forgotten.since, Some(recorded(70)));
    assert!(early.to_string().ends_with("is 70, the oldest such moment recorded:1993-04-11T00:01:09Z"), "{early}");
    assert_eq!(balances.get_at("1", recorded(70)).await.unwrap().document.unwrap().cents, 69);
    let listed = balances.list_at(PageRequest::default(), recorded(60)).await;
    assert!(matches!(listed, Err(DocumentError::Forgotten(_))), "{listed:?}");
}

#[tokio::test]
async fn a_document_that_is_older_than_the_retention_is_still_there() {
    let store = bank(1);
    for account in 0..4 {
        open(&*store, account).await;
        deposits(&*store, account, 20).await;
    }
    deposits(&*store, 3, 100).await;
    let projector = Projector::new(store.clone(), store.clone()).with(Balances::<5, 1, 30>);
    projector.catch_up().await.unwrap();
    let balances = projector.read_model::<Balances<5, 1, 30>>();
    for account in ["0", "1", "2"] {
        assert_eq!(balances.get(account).await.unwrap().document.unwrap().cents, 20);
        let then = balances.get_at(account, Position::new(160)).await.unwrap();
        assert_eq!((then.document.unwrap().cents, then.events_read), (20, 0));
    }
    // What is kept of them, though nothing has changed them since: one version before the current one.
    for (key, versions) in dump(&store, "balances", Generation(1), &Tenant::default()).await {
        let early = versions.iter().filter(|version| version.bounds.position <= Position::new(154)).count();
        assert!(early <= 2, "{early} versions of {key:?} are kept from before the retention");
    }
}

#[tokio::test]
async fn a_shorter_retention_forgets_as_it_goes_on_and_a_longer_one_brings_nothing_back() {
    let store = bank(1);
    open(&*store, 1).await;
    deposits(&*store, 1, 99).await;
    let long = Projector::new(store.clone(), store.clone()).with(Balances::<5>);
    long.catch_up().await.unwrap();
    let short = Projector::new(store.clone(), store.clone()).with(Balances::<5, 1, 20>);
    let past = short.read_model::<Balances<5, 1, 20>>();
    assert_eq!(
        past.get_at("1", Position::new(10)).await.unwrap().document.unwrap().cents,
        9,
        "nothing is forgotten yet"
    );
    deposits(&*store, 1, 20).await;
    short.catch_up().await.unwrap();
    let early = past.get_at("1", Position::new(99)).await;
    assert!(matches!(early, Err(DocumentError::Forgotten(_))), "{early:?}");
    assert_eq!(past.get_at("1", Position::new(100)).await.unwrap().document.unwrap().cents, 99);
    let kept = &dump(&store, "balances", Generation(1), &Tenant::default()).await[&("1".to_owned(), 0)];
    assert!(kept.len() <= 6, "{} versions are left of what was kept when all was", kept.len());
    // Keeping all again forgets no more, and gives nothing back without a replay.
    deposits(&*store, 1, 20).await;
    long.catch_up().await.unwrap();
    let past = long.read_model::<Balances<5>>();
    assert!(matches!(past.get_at("1", Position::new(99)).await, Err(DocumentError::Forgotten(_))));
    assert_eq!(past.get_at("1", Position::new(100)).await.unwrap().document.unwrap().cents, 99);
    long.replay("balances", ReplayOptions::new(), |_| {}).await.unwrap();
    assert_eq!(past.get_at("1", Position::new(7)).await.unwrap().document.unwrap().cents, 6);
}

#[tokio::test]
async fn a_look_back_that_is_overtaken_by_forgetting_begins_anew() {
    let inner = bank(1);
    open(&*inner, 1).await;
    deposits(&*inner, 1, 19).await;
    let worker = || Projector::new(inner.clone(), inner.clone()).with(Balances::<5, 1, 10>);
    worker().catch_up().await.unwrap();
    let store = Arc::new(Faulty::new(inner.clone()));
    let reader = Projector::new(store.clone(), inner.clone()).with(Balances::<5, 1, 10>);
    let overtake = || {
        let (inner, worker) = (inner.clone(), worker());
        let work = move || {
            block_on(async {
                deposits(&*inner, 1, 40).await;
                worker.catch_up().await.unwrap();
            });
        };
        store.meanwhile(move || std::thread::spawn(work).join().unwrap());
    };
    let ever = At::Occurred(beginning() + TimeDelta::days(1_000));
    let balances = reader.read_model::<Balances<5, 1, 10>>();
    overtake();
    let answer = balances.get_at("1", ever.clone()).await.unwrap();
    assert_eq!((answer.document.unwrap().cents, answer.checkpoint), (59, Position::new(60).into()));
    overtake();
    let page = balances.list_at(PageRequest::first(1), ever.clone()).await.unwrap();
    assert_eq!((page.documents[0].document.cents, page.checkpoint), (99, Position::new(100).into()));
    // A position that was kept when it was asked for is forgotten all the same, and a listing that has begun cannot move on.
    overtake();
    let gone = balances.get_at("1", Position::new(95)).await;
    assert!(matches!(gone, Err(DocumentError::Forgotten(_))), "{gone:?}");
    open(&*inner, 2).await;
    worker().catch_up().await.unwrap();
    let first = balances.list_at(PageRequest::first(1), ever.clone()).await.unwrap();
    overtake();
    let second = balances.list_at(PageRequest::after(first.next.unwrap()), ever).await;
    assert!(matches!(second, Err(DocumentError::Forgotten(_))), "{second:?}");
}
