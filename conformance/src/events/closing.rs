//! Closing.

use factum::{Append, AppendError, Condition, Fault, FaultKind, LogId, Position, ReadError, ReadLog, ReadStream};

use crate::Fixture;
use crate::kit::*;

fn closed<T: std::fmt::Debug>(what: &str, answer: Result<T, ReadError>) {
    assert!(
        matches!(&answer, Err(ReadError::Fault(fault)) if fault.kind() == FaultKind::Closed),
        "{what} after closing should fail as closed, and led to {answer:?}"
    );
}

pub(crate) async fn calls_after_closing_fail_as_closed(fixture: &Fixture) {
    let account = stream("account-1");
    add(fixture, &account, events(1)).await;
    let store = fixture.store();
    store.close().await.must("closing");
    let append = store.append(Append::to(account.clone(), Condition::Any, events(1)));
    let answer = soon("the answer of an append after closing", append).await;
    assert!(
        matches!(&answer, Err(AppendError::NotDone(fault)) if fault.kind() == FaultKind::Closed),
        "appending after closing should not be done, and led to {answer:?}"
    );
    closed("reading a stream", store.read_stream(ReadStream::new(account)).await);
    closed("reading a log", store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await);
    closed("reading positions", store.read_positions(LogId::FIRST, &[Position::new(1)]).await);
    closed("asking for the head", store.head().await);
    closed("asking for a key", store.outcome(&key("k1")).await);
}

pub(crate) async fn closing_twice_is_closing_once(fixture: &Fixture) {
    fixture.store().close().await.must("closing");
    soon("closing again", fixture.store().close()).await.must("closing again");
}

/// What was taken before is finished: an append is answered as recorded or as not done, and nobody waits for ever.
pub(crate) async fn what_was_taken_is_finished(fixture: &Fixture) {
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let (store, append) = (
                fixture.store().clone(),
                Append::to(stream(&format!("account-{n}")), Condition::Any, vec![event("Counted", n)]),
            );
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    tokio::task::yield_now().await;
    soon("closing among appends", fixture.store().close()).await.must("closing among appends");
    for task in tasks {
        match soon("the answer of an append that raced with closing", task).await.must("a task") {
            Ok(_) => {}
            Err(AppendError::NotDone(fault)) => assert!(is_closed(&fault), "an append that came too late: {fault:?}"),
            Err(other) => panic!("an append that raced with closing led to {other:?}"),
        }
    }
}

fn is_closed(fault: &Fault) -> bool {
    fault.kind() == FaultKind::Closed
}
