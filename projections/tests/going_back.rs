//! Going back to a generation that was replaced, and what becomes of those that nobody needs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use factum::{Generation, GenerationState, ProjectionName, ReadModelStore, Recorded, SwitchError, Tenant};
use factum_memory::MemoryStore;
use factum_projections::{
    GenerationsError, Keys, Projection, Projector, ReplayError, ReplayOptions, VerifyError, VerifyOptions,
};
use futures_util::FutureExt;
use proptest::prelude::*;

fn projector(store: &Arc<MemoryStore>) -> Projector {
    Projector::new(store.clone(), store.clone()).with(Balances::<5, 1>)
}

async fn replay(projector: &Projector) {
    projector.replay("balances", ReplayOptions::new().page_events(3), |_| {}).await.unwrap();
}

async fn states(projector: &Projector) -> Vec<(u64, GenerationState)> {
    let all = projector.generations("balances").await.unwrap();
    all.into_iter().map(|info| (info.generation.0, info.state)).collect()
}

/// That every document is what the plainest fold makes of history.
async fn exact(projector: &Projector, store: &MemoryStore) {
    projector.catch_up_one("balances").await.unwrap();
    for tenant in [Tenant::default(), acme()] {
        let expected = naive(&Balances::<5, 1>, store, &tenant, None).await;
        let model = projector.read_model::<Balances<5, 1>>().in_tenant(tenant);
        for account in 0..4 {
            let key = account.to_string();
            assert_eq!(model.get(&key).await.unwrap().document.as_ref(), expected.get(&key), "account {key}");
        }
    }
}

#[tokio::test]
async fn one_that_was_replaced_takes_what_came_since_and_is_live_again() {
    let store = bank(1);
    let [one, other] = [(); 2].map(|()| projector(&store));
    open(&*store, 1).await;
    // It holds what it knows of the first generation while that is replaced, reopened and live again.
    one.catch_up().await.unwrap();
    replay(&other).await;
    for _ in 0..20 {
        deposit(&*store, 1, 5).await;
    }
    other.catch_up().await.unwrap();
    let switched = soon(other.switch_to("balances", Generation(1))).await.unwrap();
    assert_eq!((switched.generation, switched.replaced, switched.caught_up), (Generation(1), Generation(2), 20));
    assert_eq!(states(&other).await, [(1, GenerationState::Live), (2, GenerationState::Retired)]);
    deposit(&*store, 1, 7).await;
    soon(exact(&one, &store)).await;
    soon(exact(&other, &store)).await;
    assert_eq!(one.read_model::<Balances<5, 1>>().get("1").await.unwrap().generation, Generation(1));
}

#[tokio::test]
async fn of_two_who_go_back_at_once_one_does_and_nothing_is_lost_or_doubled() {
    let store = bank(1);
    let [one, other] = [(); 2].map(|()| projector(&store));
    open(&*store, 1).await;
    one.catch_up().await.unwrap();
    replay(&one).await;
    for _ in 0..50 {
        deposit(&*store, 1, 5).await;
    }
    one.catch_up().await.unwrap();
    let options = ReplayOptions::new().page_events(3).commit_events(5);
    let back = |projector: Projector| {
        let options = options.clone();
        async move { projector.switch_to_with("balances", Generation(1), &options, |_| {}).await }
    };
    let (first, second) = soon(futures_util::future::join(back(one.clone()), back(other.clone()))).await;
    let told = |result: &Result<_, GenerationsError>| match result {
        Err(GenerationsError::CatchUp { source, .. }) => matches!(**source, ReplayError::AnotherReplay { .. }),
        _ => false,
    };
    assert!(told(&first) != told(&second) && (first.is_ok() != second.is_ok()), "{first:?} {second:?}");
    assert_eq!(states(&one).await, [(1, GenerationState::Live), (2, GenerationState::Retired)]);
    soon(exact(&one, &store)).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Wherever it ends, what is read is as it was, and it can be begun again.
    #[test]
    fn going_back_may_be_broken_off_anywhere(
        before in history(20), since in history(40), polls in 0usize..40, logs in 1u32..3,
    ) {
        block_on(async {
            let store = bank(logs);
            let one = projector(&store);
            record_all(&*store, &before).await;
            one.catch_up().await.unwrap();
            replay(&one).await;
            record_all(&*store, &since).await;
            one.catch_up().await.unwrap();
            let options = ReplayOptions::new().page_events(3).commit_events(4);
            {
                let mut broken_off = Box::pin(one.switch_to_with("balances", Generation(1), &options, |_| {}));
                for _ in 0..polls {
                    if (&mut broken_off).now_or_never().is_some() {
                        break;
                    }
                }
            }
            exact(&one, &store).await;
            let other = projector(&store);
            match other.switch_to_with("balances", Generation(1), &options, |_| {}).await {
                Ok(_) | Err(GenerationsError::LiveAlready { .. }) => {}
                Err(error) => panic!("it cannot be begun again: {error}"),
            }
            exact(&other, &store).await;
            exact(&one, &store).await;
            let shown = one.read_model::<Balances<5, 1>>().get("1").await.unwrap();
            assert_eq!(shown.generation, Generation(1));
        });
    }
}

/// A replay that went on with what somebody has reopened would make old documents live for new ones.
#[tokio::test]
async fn a_replay_does_not_go_on_with_what_was_reopened() {
    let store = bank(1);
    let one = projector(&store);
    open(&*store, 1).await;
    one.catch_up().await.unwrap();
    replay(&one).await;
    for _ in 0..30 {
        deposit(&*store, 1, 5).await;
    }
    one.catch_up().await.unwrap();
    let options = ReplayOptions::new().page_events(3).commit_events(4);
    {
        let mut broken_off = Box::pin(one.switch_to_with("balances", Generation(1), &options, |_| {}));
        for _ in 0..8 {
            assert!((&mut broken_off).now_or_never().is_none());
        }
    }
    assert_eq!(states(&one).await, [(1, GenerationState::Reopened), (2, GenerationState::Live)]);
    let report = one.replay("balances", ReplayOptions::new(), |_| {}).await.unwrap();
    assert_eq!((report.generation, report.events, report.resumed_at), (Generation(3), 31, None));
    soon(exact(&one, &store)).await;
}

#[tokio::test]
async fn one_that_was_never_live_and_is_behind_is_not_made_live() {
    let store = bank(1);
    let one = projector(&store);
    for _ in 0..4 {
        open(&*store, 1).await;
    }
    one.catch_up().await.unwrap();
    one.replay("balances", ReplayOptions::new().to(factum::Position::new(2)), |_| {}).await.unwrap();
    let behind = one.switch_to("balances", Generation(2)).await.unwrap_err();
    let told = matches!(&behind, GenerationsError::Switch { source: SwitchError::Behind { .. }, .. });
    assert!(told, "what the live one shows is not taken back: {behind}");
    assert_eq!(states(&one).await, [(1, GenerationState::Live), (2, GenerationState::Building)]);
    // It can be verified as far as it goes.
    let options = VerifyOptions::new().generation(Generation(2));
    let report = one.verify("balances", &options, |_| {}, |_| {}).await.unwrap();
    let looked_at = (report.generation, report.differences, report.documents, report.checkpoint);
    assert_eq!(looked_at, (Generation(2), 0, 1, factum::Position::new(2).into()));
    let gone = VerifyOptions::new().generation(Generation(9));
    let gone = one.verify("balances", &gone, |_| {}, |_| {}).await.unwrap_err();
    assert!(matches!(gone, VerifyError::NoSuch { generation: Generation(9), .. }), "{gone}");
}

#[tokio::test]
async fn what_is_kept_no_longer_is_dropped_by_the_next_replay() {
    let store = bank(1);
    let one = projector(&store);
    open(&*store, 1).await;
    one.catch_up().await.unwrap();
    // The clock of this store goes on by a second each time that it is asked.
    let short = ReplayOptions::new().keep_old(Duration::from_secs(1));
    assert_eq!(one.replay("balances", short.clone(), |_| {}).await.unwrap().kept, Some(Generation(1)));
    deposit(&*store, 1, 1).await;
    deposit(&*store, 1, 1).await;
    one.replay("balances", ReplayOptions::new(), |_| {}).await.unwrap();
    assert_eq!(states(&one).await, [(2, GenerationState::Retired), (3, GenerationState::Live)]);
}

/// The same, of a later version: other documents of the same events.
struct Counts;

impl Projection for Counts {
    const NAME: &'static str = "balances";
    const VERSION: u32 = 2;
    type Event = AccountEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _key: &str, count: &mut Option<u64>, _event: &Recorded<AccountEvent>) {
        *count.get_or_insert_default() += 1;
    }
}

#[tokio::test]
async fn what_a_deployment_left_that_is_gone_is_dropped_by_hand_and_never_what_this_code_serves() {
    let store = bank(1);
    let (old, new) = (projector(&store), Projector::new(store.clone(), store.clone()).with(Counts));
    open(&*store, 1).await;
    old.catch_up().await.unwrap();
    new.catch_up().await.unwrap();
    let own = new.drop_generation("balances", Generation(2)).await.unwrap_err().to_string();
    assert!(own.contains("generation 2 of balances is live"), "{own}");
    let foreign = VerifyOptions::new().generation(Generation(1));
    let foreign = new.verify("balances", &foreign, |_| {}, |_| {}).await.unwrap_err();
    assert!(matches!(foreign, VerifyError::OtherVersion { found: 1, version: 2, .. }), "{foreign}");
    let dropped = new.drop_generation("balances", Generation(1)).await.unwrap();
    assert_eq!((dropped.generation, dropped.version.0, dropped.was_live), (Generation(1), 1, true));
    assert_eq!(states(&new).await, [(2, GenerationState::Live)]);
    assert_eq!(new.read_model::<Counts>().get("1").await.unwrap().document, Some(1));
    // One that runs after all begins anew with the next event, and harms nobody.
    deposit(&*store, 1, 3).await;
    soon(exact(&old, &store)).await;
    assert_eq!(states(&new).await, [(2, GenerationState::Live), (3, GenerationState::Live)]);
    let name = ProjectionName::new("balances").unwrap();
    assert_eq!(store.drop_expired(&name).await.unwrap(), []);
}
