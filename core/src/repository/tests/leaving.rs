//! Callers that go away in the middle of a round.

use std::sync::atomic::Ordering;

use futures_util::FutureExt;

use super::account::Command::{self, Deposit};
use super::shelf::Shelf;
use crate::*;

fn under(text: &str, command: &Command) -> Context {
    Context::new().key(Key::new(text).unwrap(), command).unwrap()
}

/// `one-outcome-per-key`: a command with a key whose caller went away while its aggregate was read was not decided any more,
/// and yet what it had decided, nothing, was remembered under its key. Whoever sent it again was told that it had been
/// accepted without events: a deposit was lost. It needs another who waits behind it and drives the round on.
#[tokio::test]
async fn a_command_that_nobody_waits_for_leaves_no_outcome_under_its_key() {
    for cached in [false, true] {
        for polls in 0..12 {
            let shelf = Shelf::new();
            shelf.polls.store(1, Ordering::SeqCst);
            let accounts = if cached { shelf.accounts().cache(8) } else { shelf.accounts() };
            let mut leaving = Box::pin(accounts.execute_with("1", Deposit(5), under("a", &Deposit(5))));
            let mut staying = Box::pin(accounts.execute("1", Deposit(1)));
            let mut answered = false;
            for _ in 0..=polls {
                answered = answered || (&mut leaving).now_or_never().is_some();
            }
            if answered {
                break;
            }
            assert!((&mut staying).now_or_never().is_none());
            drop(leaving);
            staying.await.unwrap();
            accounts.execute_with("1", Deposit(5), under("a", &Deposit(5))).await.unwrap();
            assert_eq!(shelf.balance("1"), 6, "left after {polls} polls, cached: {cached}");
        }
    }
}
