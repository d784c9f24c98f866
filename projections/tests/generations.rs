//! Choosing between generations by hand.

mod common;

use common::{Balances, bank, block_on, deposit, open, soon};
use factum::{Generation, GenerationState};
use factum_projections::{Projector, ReplayOptions};

/// A projector that held the replaced generation warm would commit to it, be refused, and must load anew.
#[test]
fn after_a_switch_by_hand_the_projector_goes_on_in_the_generation_that_is_live() {
    block_on(soon(async {
        let store = bank(1);
        let projector = Projector::new(store.clone(), store.clone()).with(Balances::<5, 1>);
        open(&*store, 1).await;
        deposit(&*store, 1, 100).await;
        projector.catch_up_one("balances").await.unwrap();
        projector.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
        projector.catch_up_one("balances").await.unwrap();

        let switched = projector.switch_to("balances", Generation(1)).await.unwrap();
        assert_eq!((switched.generation, switched.replaced, switched.caught_up), (Generation(1), Generation(2), 0));
        let cursor = deposit(&*store, 1, 20).await;
        projector.wait_for("balances", &cursor).await.unwrap();
        let answer = projector.read_model::<Balances<5, 1>>().get("1").await.unwrap();
        assert_eq!((answer.generation, answer.document.map(|balance| balance.cents)), (Generation(1), Some(120)));

        projector.drop_generation("balances", Generation(2)).await.unwrap();
        let all = projector.generations("balances").await.unwrap();
        let all: Vec<_> = all.iter().map(|info| (info.generation.0, info.state)).collect();
        assert_eq!(all, [(1, GenerationState::Live)]);
    }));
}

/// A generation that was dropped while another projector held it is told as superseded, never written on.
#[test]
fn a_projector_that_knows_nothing_of_a_switch_finds_the_live_one() {
    block_on(soon(async {
        let store = bank(1);
        let [one, other] = [(); 2].map(|()| Projector::new(store.clone(), store.clone()).with(Balances::<5, 1>));
        open(&*store, 1).await;
        one.catch_up().await.unwrap();
        other.replay("balances", ReplayOptions::new(), |_| ()).await.unwrap();
        other.drop_generation("balances", Generation(1)).await.unwrap();
        let cursor = deposit(&*store, 1, 7).await;
        one.wait_for("balances", &cursor).await.unwrap();
        let answer = one.read_model::<Balances<5, 1>>().get("1").await.unwrap();
        assert_eq!((answer.generation, answer.document.map(|balance| balance.cents)), (Generation(2), Some(7)));
    }));
}
