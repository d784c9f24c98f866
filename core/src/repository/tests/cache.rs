//! The cache of hot aggregates: fewer round trips, and never another answer.

use super::account::{Account, Command, TooLittle};
use super::shelf::{Befalls, Shelf};
use crate::*;

use Command::{Curse, Deposit, Look, Withdraw};

fn under(text: &str, command: &Command) -> Context {
    Context::new().key(Key::new(text).unwrap(), command).unwrap()
}

#[tokio::test]
async fn a_command_on_a_kept_state_costs_one_append_and_no_read() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 1, 0));
    for version in 2..5 {
        let done = accounts.clone().execute("1", Deposit(5)).await.unwrap();
        assert_eq!((done.version.unwrap().get(), done.attempts), (version, 1));
        assert_eq!(shelf.asked(), (1, 0, 0));
    }
    accounts.execute_with("1", Deposit(5), under("a", &Deposit(5))).await.unwrap();
    assert_eq!(shelf.asked(), (1, 0, 0), "the append looks the key up");
}

#[tokio::test]
async fn nothing_is_told_from_a_state_that_is_behind() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    shelf.rival("1", 10);
    shelf.asked();
    let done = accounts.execute("1", Withdraw(12)).await.expect("there is enough, the kept state does not know");
    assert_eq!((done.version.unwrap().get(), done.attempts), (3, 2));
    assert_eq!(shelf.asked(), (1, 1, 0));
    shelf.rival("1", 10);
    let looked = accounts.execute("1", Look).await.unwrap();
    assert_eq!((looked.version.unwrap().get(), looked.cursor), (4, Cursor::from(Position::new(4))));
    let refused = accounts.execute("1", Withdraw(100)).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(TooLittle { balance: 13 }))), "{refused:?}");
}

#[tokio::test]
async fn a_conflict_reads_the_tail_and_decides_again_even_where_one_attempt_is_allowed() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().retry(Retry::default().attempts(1)).cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    shelf.rival("1", 10);
    shelf.asked();
    let done = accounts.execute("1", Withdraw(1)).await.unwrap();
    assert_eq!((done.version.unwrap().get(), done.attempts), (3, 2));
    assert_eq!(shelf.asked(), (2, 1, 0));
    accounts.execute("1", Withdraw(14)).await.unwrap();
    assert_eq!(shelf.balance("1"), 0);
}

#[tokio::test]
async fn a_store_that_was_restored_is_read_anew() {
    for others in [0, 1, 2, 7] {
        let shelf = Shelf::new();
        let accounts = shelf.accounts().cache(8);
        for _ in 0..4 {
            accounts.execute("1", Deposit(5)).await.unwrap();
        }
        shelf.restore(1);
        for _ in 0..others {
            shelf.rival("1", 1);
        }
        let loaded = accounts.load("1").await.unwrap();
        assert_eq!(loaded.state.balance, 5 + others, "with {others} others");
        let done = accounts.execute("1", Withdraw(5 + others)).await.unwrap();
        assert_eq!(done.version.unwrap().get(), 2 + u64::try_from(others).unwrap());
    }
}

#[tokio::test]
async fn a_command_on_a_store_that_was_restored_succeeds() {
    for left in [0, 1, 3] {
        let shelf = Shelf::new();
        let accounts = shelf.accounts().cache(8);
        for _ in 0..4 {
            accounts.execute("1", Deposit(5)).await.unwrap();
        }
        shelf.restore(left);
        let refused = accounts.execute("1", Withdraw(20)).await.unwrap_err();
        assert!(refused.is_refusal(), "{refused:?}");
        for n in 1..3 {
            let done = accounts.execute("1", Deposit(5)).await.unwrap();
            assert_eq!(done.version.unwrap().get(), left as u64 + n);
        }
    }
}

#[tokio::test]
async fn loading_reads_what_is_new_and_only_that() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    shelf.rival("1", 10);
    shelf.asked();
    let loaded = accounts.load("1").await.unwrap();
    assert_eq!((loaded.state, loaded.version.unwrap().get()), (Account { balance: 15, events: 2 }, 2));
    assert_eq!(shelf.asked(), (0, 1, 0));
    accounts.execute("1", Withdraw(15)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 0, 0), "what was loaded is kept");
}

#[tokio::test]
async fn the_one_used_least_recently_goes() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(2);
    for id in ["1", "2", "1", "3"] {
        accounts.execute(id, Deposit(5)).await.unwrap();
    }
    shelf.asked();
    accounts.execute("1", Deposit(5)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 0, 0));
    accounts.execute("2", Deposit(5)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 1, 0));
}

#[tokio::test]
async fn tenants_share_a_cache_and_no_state() {
    let shelf = Shelf::new();
    let ours = shelf.accounts().cache(8);
    ours.execute("1", Deposit(5)).await.unwrap();
    let theirs = ours.clone().in_tenant(Tenant::new("acme").unwrap());
    assert!(theirs.execute("1", Withdraw(5)).await.unwrap_err().is_refusal());
    shelf.asked();
    ours.execute("1", Withdraw(5)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 0, 0));
}

/// A panic in the midst of its events, and an append that is not done, leave the kept state as it was.
#[tokio::test]
async fn what_is_not_recorded_is_not_kept() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    let told = accounts.execute("1", Curse(100)).await;
    assert!(matches!(told, Err(ExecuteError::Panicked { .. })), "{told:?}");
    shelf.asked();
    accounts.execute("1", Withdraw(5)).await.unwrap();
    assert_eq!(shelf.asked(), (1, 0, 0), "the state of before is still kept");
    shelf.befall([Befalls::NotDone(FaultKind::Unavailable)]);
    assert!(matches!(accounts.execute("1", Deposit(50)).await, Err(ExecuteError::Append(_))));
    assert!(accounts.execute("1", Withdraw(1)).await.unwrap_err().is_refusal());
    assert_eq!(shelf.events().len(), 2);
}

/// `one-outcome-per-key`: whatever the kept state says now, the first outcome counts.
#[tokio::test]
async fn a_repetition_on_a_kept_state_gets_the_first_outcome() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().cache(8);
    accounts.execute("1", Deposit(5)).await.unwrap();
    let first = accounts.execute_with("1", Withdraw(5), under("a", &Withdraw(5))).await.unwrap();
    let again = accounts.execute_with("1", Withdraw(5), under("a", &Withdraw(5))).await.expect("it was accepted");
    assert_eq!((again.already, &again.outcome), (true, &first.outcome));
    let refused = accounts.execute_with("1", Withdraw(5), under("b", &Withdraw(5))).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(TooLittle { balance: 0 }))));
    accounts.execute("1", Deposit(9)).await.unwrap();
    shelf.asked();
    let again = accounts.execute_with("1", Withdraw(5), under("b", &Withdraw(5))).await;
    assert!(matches!(again, Err(ExecuteError::RefusedBefore { .. })), "{again:?}");
    assert_eq!(shelf.asked(), (1, 0, 0));
    let curse = Curse(1);
    let cursed = accounts.execute_with("1", curse.clone(), under("a", &Withdraw(5))).await.unwrap();
    assert!(cursed.already, "a command that panics now was accepted when it was first sent");
    let done = accounts.execute("1", Withdraw(9)).await.unwrap();
    assert_eq!((done.version.unwrap().get(), shelf.balance("1")), (4, 0), "a repetition changed the kept state");
}
