//! Wake-ups.

use std::pin::pin;

use factum::FaultKind;
use futures_util::future::poll_immediate;

use crate::Fixture;
use crate::kit::*;

pub(crate) async fn an_append_wakes_who_waits(fixture: &Fixture) {
    let mut wakeups = fixture.store().wakeups();
    let mut waiting = pin!(wakeups.changed());
    assert!(poll_immediate(waiting.as_mut()).await.is_none(), "a wake-up came before anything was appended");
    add(fixture, &stream("account-1"), events(1)).await;
    soon("a wake-up after an append", waiting).await.must("a wake-up");
}

/// A reader that reads, finds nothing and then waits misses nothing that came in between.
pub(crate) async fn a_wakeup_before_the_wait_is_not_lost(fixture: &Fixture) {
    let mut wakeups = fixture.store().wakeups();
    add(fixture, &stream("account-1"), events(1)).await;
    soon("a wake-up for an append before the wait", wakeups.changed()).await.must("a wake-up");
}

/// What was announced can be read: a reader that is woken too early would find nothing, and wait for the poll.
pub(crate) async fn who_is_woken_finds_the_event(fixture: &Fixture) {
    let mut wakeups = fixture.store().wakeups();
    for n in 1..=20 {
        let store = fixture.store().clone();
        let append = factum::Append::to(stream("account-1"), factum::Condition::Any, vec![event("Counted", n)]);
        let writer = tokio::spawn(async move { store.append(append).await });
        loop {
            soon("a wake-up after an append", wakeups.changed()).await.must("a wake-up");
            // A store may ring more often than it must.
            if stream_of(fixture, &stream("account-1")).await.len() == n {
                break;
            }
        }
        writer.await.must("the writer").must("appending");
    }
}

/// Nobody waits for a store that is gone.
pub(crate) async fn closing_ends_the_wait(fixture: &Fixture) {
    let mut wakeups = fixture.store().wakeups();
    let waiting = tokio::spawn(async move {
        loop {
            if let Err(fault) = wakeups.changed().await {
                return fault;
            }
        }
    });
    fixture.store().close().await.must("closing");
    let fault = soon("the end of a wait for a store that was closed", waiting).await.must("the one who waits");
    assert_eq!(fault.kind(), FaultKind::Closed, "whoever waits is told {fault:?}");
}
