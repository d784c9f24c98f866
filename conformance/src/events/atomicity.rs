//! One append to several streams: all of it or nothing.

use factum::{Append, AppendError, Condition};

use crate::Fixture;
use crate::kit::*;

pub(crate) async fn every_stream_gets_its_events(fixture: &Fixture) {
    let streams = ["a", "b", "c"].map(|id| acme(&format!("account-{id}")));
    let mut append = Append::default();
    for (n, account) in streams.iter().enumerate() {
        append = append.and(account.clone(), Condition::NoStream, vec![event("Counted", n), event("Counted", n + 10)]);
    }
    let answer = record(fixture, append).await;
    for (n, account) in streams.iter().enumerate() {
        let found = stream_of(fixture, account).await;
        assert_eq!(numbers(&found), [n, n + 10], "{account} does not hold its part of the append");
        assert!(found.iter().all(|event| (answer.first..=answer.last).contains(&event.position)));
    }
}

/// Whichever of the streams conflicts, none gets an event.
pub(crate) async fn a_conflict_on_one_stream_leaves_all_as_they_were(fixture: &Fixture) {
    let streams = ["a", "b", "c"].map(|id| acme(&format!("account-{id}")));
    for account in &streams {
        add(fixture, account, events(1)).await;
    }
    let before = everything(fixture).await;
    for bad in 0..streams.len() {
        let mut append = Append::default();
        for (n, account) in streams.iter().enumerate() {
            let condition = if n == bad { Condition::NoStream } else { Condition::Version(version(1)) };
            append = append.and(account.clone(), condition, events(2));
        }
        let error = refuse(fixture, append, "one of the streams exists").await;
        assert!(
            matches!(&error, AppendError::Conflict { stream, .. } if *stream == streams[bad]),
            "the conflict is on {}, and the answer is {error:?}",
            streams[bad]
        );
        assert_eq!(everything(fixture).await, before, "an append that conflicted on one stream left events behind");
    }
}

/// A reader never sees one side of a transfer without the other.
pub(crate) async fn a_reader_never_sees_half_of_it(fixture: &Fixture) {
    let (from, to) = (acme("account-from"), acme("account-to"));
    let writer = {
        let (store, from, to) = (fixture.store().clone(), from.clone(), to.clone());
        tokio::spawn(async move {
            for n in 0..60 {
                let append = Append::to(from.clone(), Condition::Any, vec![event("Withdrawn", n)]).and(
                    to.clone(),
                    Condition::Any,
                    vec![event("Deposited", n)],
                );
                store.append(append).await.must("a transfer");
            }
        })
    };
    loop {
        let over = writer.is_finished();
        // What is read first can only be behind what is read second.
        let (withdrawn, deposited) = (stream_of(fixture, &from).await.len(), stream_of(fixture, &to).await.len());
        assert!(withdrawn <= deposited, "{withdrawn} withdrawals were visible, and later only {deposited} deposits");
        let (deposited, withdrawn) = (stream_of(fixture, &to).await.len(), stream_of(fixture, &from).await.len());
        assert!(deposited <= withdrawn, "{deposited} deposits were visible, and later only {withdrawn} withdrawals");
        if over {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.must("the writer");
}
