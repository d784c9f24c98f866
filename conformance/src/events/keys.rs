//! Keys and outcomes: `one-outcome-per-key`.

use factum::{Append, AppendError, Condition, Outcome, StreamId};

use crate::Fixture;
use crate::kit::*;

fn opened(to: &StreamId, content: &str) -> Append {
    Append::to(to.clone(), Condition::NoStream, vec![event("Opened", 1)]).keyed(keyed("k1", content))
}

fn refusal(on: &StreamId, content: &str, reason: &str) -> Append {
    Append::to(on.clone(), Condition::Any, Vec::new()).keyed(refused("k1", content, reason))
}

fn nothing(on: &StreamId, content: &str) -> Append {
    Append::to(on.clone(), Condition::Any, Vec::new()).keyed(keyed("k1", content))
}

async fn outcome(fixture: &Fixture) -> Option<Outcome> {
    fixture.store().outcome(&key("k1")).await.must("asking for an outcome").map(|remembered| remembered.outcome)
}

pub(crate) async fn an_outcome_is_found_under_its_key(fixture: &Fixture) {
    assert_eq!(outcome(fixture).await, None, "a key that nobody used has an outcome");
    let append = opened(&stream("account-1"), "open");
    let answer = fixture.store().append(append.clone()).await.must("appending");
    let found = fixture.store().outcome(&key("k1")).await.must("asking for an outcome").must("the outcome of a key");
    assert_eq!(found.outcome, answer.outcome, "the key stands for another outcome than the answer's");
    let wanted = append.keyed.map(|keyed| keyed.fingerprint);
    assert_eq!(Some(found.fingerprint), wanted, "the fingerprint did not come back");
    assert!(fixture.store().outcome(&key("k2")).await.must("asking").is_none(), "another key has an outcome");
}

pub(crate) async fn a_repetition_gets_the_first_outcome_and_writes_nothing(fixture: &Fixture) {
    let account = stream("account-1");
    let first = fixture.store().append(opened(&account, "open")).await.must("appending");
    assert!(!first.already, "the first append under a key says that it was there before");
    // The second would conflict: its stream exists now. The key is looked up before any condition.
    for _ in 0..2 {
        let second = fixture.store().append(opened(&account, "open")).await.must("appending again under the same key");
        assert!(second.already, "a repetition does not say that it is one");
        assert_eq!(
            (&second.outcome, &second.cursor),
            (&first.outcome, &first.cursor),
            "a repetition got another outcome"
        );
    }
    assert_eq!(stream_of(fixture, &account).await.len(), 1, "a repetition was recorded again");
}

pub(crate) async fn a_key_is_looked_up_before_query_conditions(fixture: &Fixture) {
    let account = acme("account-1");
    let query = factum::Query::all().in_tenant(tenant("acme"));
    let keyed = factum::Keyed { key: key("k1").in_tenant(tenant("acme")), ..keyed("k1", "open") };
    let append = Append::to(account.clone(), Condition::Any, events(1))
        .keyed(keyed)
        .when(factum::QueryCondition { query, after: factum::Cursor::start() });
    let first = fixture.store().append(append.clone()).await.must("appending");
    let second = fixture.store().append(append).await.must("appending again under the same key");
    assert_eq!((second.already, second.outcome), (true, first.outcome), "a repetition was judged by its query");
}

pub(crate) async fn a_refusal_is_remembered(fixture: &Fixture) {
    let account = stream("account-1");
    let first = fixture.store().append(refusal(&account, "withdraw", "nothing there")).await.must("remembering");
    let told = Outcome::Refused { reason: "nothing there".to_owned() };
    assert_eq!((first.outcome, first.already), (told.clone(), false));
    assert_eq!(outcome(fixture).await, Some(told.clone()), "a refusal was not remembered");
    // Whoever comes second has decided otherwise meanwhile; the first outcome stands.
    let write = Append::to(account.clone(), Condition::Any, events(1)).keyed(keyed("k1", "withdraw"));
    let second = fixture.store().append(write).await.must("appending under the same key");
    assert_eq!((second.outcome, second.already), (told, true), "the second caller did not get the first outcome");
    assert!(stream_of(fixture, &account).await.is_empty(), "a refused command was recorded by its repetition");
}

pub(crate) async fn an_empty_outcome_is_remembered(fixture: &Fixture) {
    let account = stream("account-1");
    let first = fixture.store().append(nothing(&account, "rename")).await.must("remembering");
    assert_eq!((first.outcome, first.already), (Outcome::Empty, false));
    assert_eq!(outcome(fixture).await, Some(Outcome::Empty), "an empty outcome was not remembered");
    let second = fixture.store().append(refusal(&account, "rename", "closed")).await.must("appending again");
    assert_eq!((second.outcome, second.already), (Outcome::Empty, true), "the second caller got another outcome");
}

pub(crate) async fn whoever_refuses_second_gets_what_was_accepted(fixture: &Fixture) {
    let account = stream("account-1");
    let first = fixture.store().append(opened(&account, "open")).await.must("appending");
    let second = fixture.store().append(refusal(&account, "open", "exists already")).await.must("appending again");
    assert_eq!((second.outcome, second.already), (first.outcome, true), "a refusal replaced what was accepted");
}

pub(crate) async fn other_content_under_the_same_key_is_refused(fixture: &Fixture) {
    let account = stream("account-1");
    let first = fixture.store().append(opened(&account, "open")).await.must("appending");
    let other = Append::to(account.clone(), Condition::Any, events(1)).keyed(keyed("k1", "close"));
    for append in [other, nothing(&account, "close"), refusal(&account, "close", "no")] {
        let error = refuse(fixture, append, "the key stands for another command").await;
        assert!(matches!(&error, AppendError::KeyReused { key } if key.as_str() == "k1"), "the answer is {error:?}");
    }
    assert_eq!(stream_of(fixture, &account).await.len(), 1, "an append under a used key was recorded");
    assert_eq!(outcome(fixture).await, Some(first.outcome), "a key took another outcome");
}

pub(crate) async fn a_key_belongs_to_its_tenant(fixture: &Fixture) {
    let mine = fixture.store().append(opened(&stream("account-1"), "open")).await.must("appending");
    let theirs = key("k1").in_tenant(tenant("acme"));
    assert!(fixture.store().outcome(&theirs).await.must("asking").is_none(), "a key is known to another tenant");
    let keyed = factum::Keyed { key: theirs, ..keyed("k1", "something else") };
    let append = Append::to(acme("account-1"), Condition::NoStream, events(2)).keyed(keyed);
    let answer = fixture.store().append(append).await.must("appending under the same text for another tenant");
    assert!(!answer.already && answer.outcome != mine.outcome, "two tenants share a key");
}

/// Only what was recorded is remembered: a command that conflicted runs again under its key.
pub(crate) async fn a_conflict_leaves_the_key_unused(fixture: &Fixture) {
    let account = stream("account-1");
    add(fixture, &account, events(1)).await;
    refuse(fixture, opened(&account, "open"), "the stream exists").await;
    assert_eq!(outcome(fixture).await, None, "a key remembers an append that conflicted");
    let again = Append::to(account.clone(), Condition::Version(version(1)), events(1)).keyed(keyed("k1", "open"));
    let answer = fixture.store().append(again).await.must("appending after a conflict");
    assert!(!answer.already, "an append that conflicted counts as recorded");
    assert_eq!(stream_of(fixture, &account).await.len(), 2);
}

/// Many send one command at once; some of them would refuse it. One outcome, and each is told that one.
pub(crate) async fn of_racing_repetitions_one_outcome_stands(fixture: &Fixture) {
    for round in 0..10 {
        let account = stream(&format!("account-{round}"));
        let name = format!("race-{round}");
        let attempts = (0..8).map(|n| {
            let store = fixture.store().clone();
            let append = match n % 3 {
                0 => Append::to(account.clone(), Condition::NoStream, events(2)).keyed(keyed(&name, "open")),
                1 => Append::to(account.clone(), Condition::Any, Vec::new()).keyed(refused(&name, "open", "no")),
                _ => Append::to(account.clone(), Condition::Any, Vec::new()).keyed(keyed(&name, "open")),
            };
            tokio::spawn(async move { store.append(append).await })
        });
        let mut answers = Vec::new();
        for attempt in attempts.collect::<Vec<_>>() {
            answers.push(attempt.await.must("a task").must("an append under a key that others use at once"));
        }
        let firsts: Vec<_> = answers.iter().filter(|answer| !answer.already).collect();
        assert_eq!(firsts.len(), 1, "{} of 8 racing repetitions were told that they came first", firsts.len());
        assert!(
            answers.iter().all(|answer| answer.outcome == firsts[0].outcome),
            "one-outcome-per-key: racing repetitions got different outcomes: {answers:?}"
        );
        let recorded = if matches!(firsts[0].outcome, Outcome::Accepted { .. }) { 2 } else { 0 };
        let found = stream_of(fixture, &account).await.len();
        assert_eq!(found, recorded, "what the stream holds is not what the outcome says");
    }
}
