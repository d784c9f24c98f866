//! Several logs: what would cross is refused, never half done. A store with one log has nothing to show here.

use std::collections::BTreeMap;

use factum::{Append, AppendError, Condition, Cursor, LogId, Query, QueryCondition, StreamId};

use crate::Fixture;
use crate::kit::*;

/// A stream for each log that some streams of the default tenant were placed in.
async fn spread(fixture: &Fixture) -> BTreeMap<LogId, StreamId> {
    let mut found = BTreeMap::new();
    for n in 0..64 {
        let account = stream(&format!("account-{n}"));
        let log = add(fixture, &account, events(1)).await.log;
        found.entry(log).or_insert(account);
    }
    found
}

pub(crate) async fn streams_spread_over_the_logs_and_stay(fixture: &Fixture) {
    let logs = fixture.store().logs();
    assert!(!logs.is_empty() && logs.is_sorted_by(|a, b| a < b), "the logs are not ascending: {logs:?}");
    let spread = spread(fixture).await;
    assert_eq!(spread.keys().copied().collect::<Vec<_>>(), logs, "64 streams do not lie in all of the logs");
    for (log, account) in spread {
        let again = add(fixture, &account, events(1)).await;
        assert_eq!(again.log, log, "{account} moved to another log");
        assert!(stream_of(fixture, &account).await.iter().all(|event| event.log == log));
    }
}

pub(crate) async fn a_tenant_lies_in_one_log(fixture: &Fixture) {
    for name in ["acme", "globex", "initech"] {
        let logs = (0..8).map(|n| stream(&format!("account-{n}")).in_tenant(tenant(name)));
        let mut seen = Vec::new();
        for account in logs {
            seen.push(add(fixture, &account, events(1)).await.log);
        }
        assert!(seen.iter().all(|log| *log == seen[0]), "the streams of tenant {name} lie in logs {seen:?}");
    }
}

pub(crate) async fn an_append_that_spans_logs_is_refused_whole(fixture: &Fixture) {
    if fixture.store().logs().len() < 2 {
        return;
    }
    let streams: Vec<_> = spread(fixture).await.into_values().collect();
    let before = everything(fixture).await;
    let append = |events_there| {
        Append::to(streams[0].clone(), Condition::Any, events(1)).and(
            streams[1].clone(),
            Condition::Any,
            events(events_there),
        )
    };
    for append in [append(1), append(0)] {
        let error = refuse(fixture, append, "its streams lie in two logs").await;
        assert!(matches!(error, AppendError::SpansLogs { .. }), "an append that spans logs led to {error:?}");
    }
    assert_eq!(everything(fixture).await, before, "an append that spans logs was half done");
}

pub(crate) async fn a_query_condition_that_spans_logs_is_refused(fixture: &Fixture) {
    if fixture.store().logs().len() < 2 {
        return;
    }
    let here = add(fixture, &acme("account-1"), events(1)).await.log;
    let elsewhere = spread(fixture).await.into_iter().find(|(log, _)| *log != here).must("a stream in another log").1;
    let of_acme = Query::all().in_tenant(tenant("acme"));
    let cases = [
        (elsewhere, of_acme, "the query's tenant lies in another log"),
        (acme("account-1"), Query::all(), "the query is about every log"),
        (acme("account-1"), Query::categories([category("account")]), "the query is about every log"),
    ];
    for (to, query, why) in cases {
        let before = stream_of(fixture, &to).await.len();
        let head = fixture.store().head().await.must("the head");
        let append = Append::to(to.clone(), Condition::Any, events(1)).when(QueryCondition { query, after: head });
        let error = refuse(fixture, append, why).await;
        assert!(matches!(error, AppendError::SpansLogs { .. }), "{why}, and the answer is {error:?}");
        assert_eq!(stream_of(fixture, &to).await.len(), before, "{why}, and it was recorded");
    }
}

/// A key lives in one log: in another it stands for another command.
pub(crate) async fn a_key_used_in_another_log_is_reused(fixture: &Fixture) {
    if fixture.store().logs().len() < 2 {
        return;
    }
    let streams: Vec<_> = spread(fixture).await.into_values().collect();
    let append = |to: &StreamId| Append::to(to.clone(), Condition::Any, events(1)).keyed(keyed("k1", "same"));
    record(fixture, append(&streams[0])).await;
    let error = refuse(fixture, append(&streams[1]), "the key was used in another log").await;
    assert!(
        matches!(error, AppendError::KeyReused { .. } | AppendError::SpansLogs { .. }),
        "a key that was used in another log led to {error:?}"
    );
    assert_eq!(stream_of(fixture, &streams[1]).await.len(), 1, "an append under a key of another log was recorded");
}

/// Each log has its own head and positions; a cursor names them all.
pub(crate) async fn the_head_names_every_log(fixture: &Fixture) {
    spread(fixture).await;
    let head = fixture.store().head().await.must("the head");
    let mut wanted = Cursor::start();
    let mut total = 0;
    for log in fixture.store().logs() {
        let events = log_of(fixture, log).await;
        assert!(events.iter().all(|event| event.log == log), "log {log} holds an event of another");
        total += events.len();
        wanted.set(log, events.last().must("an event in each log").position);
    }
    assert_eq!((head, total), (wanted, 64), "the head is not the last event of each log");
}
