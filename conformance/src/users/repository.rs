//! Aggregates on the store.

use std::sync::Arc;
use std::time::Duration;

use factum::{At, Context, EventStore, ExecuteError, Executed, Metadata, Outcome, Repository, SnapshotKey, Version};
use futures_util::TryStreamExt;
use futures_util::future::join_all;

use super::account::{Account, AccountCommand, AccountEvent, TooLittle};
use super::forgetful::Forgetful;
use crate::Fixture;
use crate::kit::*;

const DEPOSIT: AccountCommand = AccountCommand::Deposit { cents: 5 };
const WITHDRAW: AccountCommand = AccountCommand::Withdraw { cents: 5 };

fn accounts(fixture: &Fixture) -> Repository<Account> {
    Repository::new(fixture.store().clone())
}

/// Decides again as often as it takes, at once.
fn patient(fixture: &Fixture) -> Repository<Account> {
    let retry = factum::Retry::default().attempts(500).waits(Duration::ZERO, Duration::ZERO);
    accounts(fixture).retry(retry)
}

fn under(text: &str, command: AccountCommand) -> Context {
    Context::new().key(key(text), &command).must("a context")
}

pub(crate) async fn what_was_executed_is_loaded(fixture: &Fixture) {
    let accounts = accounts(fixture);
    let empty = accounts.load("1").await.must("loading");
    assert_eq!((empty.state, empty.version), (Account::default(), None), "an aggregate without events");
    for n in 1..=3 {
        let done = accounts.execute("1", DEPOSIT).await.must("executing");
        assert_eq!(done.version, Some(version(n)), "a command tells another version");
        assert!(done.cursor <= fixture.store().head().await.must("the head"), "a cursor beyond the head");
    }
    let refused = accounts.execute("1", AccountCommand::Withdraw { cents: 100 }).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(TooLittle { balance: 15 }))), "a refusal is {refused:?}");
    accounts.execute("1", WITHDRAW).await.must("executing");
    let loaded = accounts.load("1").await.must("loading");
    assert_eq!((loaded.state.balance, loaded.version), (10, Some(version(4))));
    let history: Vec<_> = accounts.history("1").try_collect().await.must("a history");
    let kinds: Vec<_> = history.into_iter().map(|event| event.data).collect();
    let deposited = AccountEvent::Deposited { cents: 5 };
    assert_eq!(kinds, [deposited.clone(), deposited.clone(), deposited, AccountEvent::Withdrawn { cents: 5 }]);
}

/// A conflict is decided again on fresh state: no command is lost, and none is decided on what was no longer so.
pub(crate) async fn racing_commands_are_all_decided_on_fresh_state(fixture: &Fixture) {
    let accounts = patient(fixture);
    accounts.execute("1", AccountCommand::Deposit { cents: 50 }).await.must("executing");
    let racing = (0..16).map(|_| {
        let accounts = accounts.clone();
        tokio::spawn(async move { accounts.execute("1", WITHDRAW).await })
    });
    let (mut done, mut refused) = (0, 0);
    for answer in join_all(racing.collect::<Vec<_>>()).await {
        match answer.must("a task") {
            Ok(_) => done += 1,
            Err(ExecuteError::Refused(TooLittle { balance: 0 })) => refused += 1,
            Err(other) => panic!("one of many withdrawals led to {other:?}"),
        }
    }
    assert_eq!((done, refused), (10, 6), "of 16 withdrawals of 5 from 50");
    assert_eq!(accounts.load("1").await.must("loading").state.balance, 0);
}

pub(crate) async fn an_aggregate_is_shown_as_it_was(fixture: &Fixture) {
    let plain = accounts(fixture);
    let with_snapshots = plain.clone().snapshots(2, 3);
    let days = [3, 1, 2, 9, 4, 8, 7];
    let mut moments = Vec::new();
    for day in days {
        let when = Metadata::new().occurred_at(time(&format!("1993-06-{day:02}T12:00:00Z")));
        let done = with_snapshots.execute_with("1", DEPOSIT, Context::new().metadata(when)).await.must("executing");
        let Outcome::Accepted { recorded_at, .. } = done.outcome else { panic!("a deposit led to {:?}", done.outcome) };
        moments.push((done.cursor, recorded_at));
    }
    for accounts in [&plain, &with_snapshots] {
        for (n, (cursor, recorded_at)) in (1..).zip(&moments) {
            let at_version = accounts.load_at("1", At::Version(version(n))).await.must("loading");
            assert_eq!((at_version.state.events, at_version.version), (n, Some(version(n))), "at version {n}");
            let at_position = accounts.load_at("1", At::Position(cursor.clone())).await.must("loading");
            assert_eq!(at_position.state.events, n, "at position {cursor}");
            let by = moments.iter().filter(|(_, other)| other <= recorded_at).count();
            let at_time = accounts.load_at("1", At::Recorded(*recorded_at)).await.must("loading");
            assert_eq!(usize::try_from(at_time.state.events).ok(), Some(by), "as recorded by {recorded_at}");
        }
        for day in 1..=9 {
            let at = At::Occurred(time(&format!("1993-06-{day:02}T12:00:00Z")));
            let happened = days.iter().filter(|other| **other <= day).count();
            let then = accounts.load_at("1", at.clone()).await.must("loading");
            assert_eq!(usize::try_from(then.state.events).ok(), Some(happened), "what had happened by {at:?}");
        }
    }
}

/// A snapshot saves time and changes nothing; one that does not decode is not trusted.
pub(crate) async fn snapshots_change_nothing_but_time(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let accounts = accounts(fixture).snapshots(3, 2);
    for _ in 0..10 {
        accounts.execute("1", DEPOSIT).await.must("executing");
    }
    let key = SnapshotKey { stream: accounts.stream("1").must("a stream"), schema: 1 };
    let snapshot = store.newest(&key, None).await.must("looking").must("a snapshot after ten events");
    assert!(snapshot.bounds.version > Version::FIRST, "a snapshot of {:?}", snapshot.bounds);
    assert_eq!(accounts.load("1").await.must("loading").state, Account { balance: 50, events: 10 });
    let broken = factum::Snapshot { state: bytes::Bytes::from_static(b"{\"balance\":"), ..snapshot };
    store.save(broken, 2).await.must("saving");
    let loaded = accounts.load("1").await.must("loading beside a broken snapshot");
    assert_eq!(loaded.state, Account { balance: 50, events: 10 }, "a broken snapshot was trusted");
}

pub(crate) async fn a_repeated_command_happens_once(fixture: &Fixture) {
    let accounts = accounts(fixture);
    let first = accounts.execute_with("1", DEPOSIT, under("k1", DEPOSIT)).await.must("executing");
    let second = accounts.execute_with("1", DEPOSIT, under("k1", DEPOSIT)).await.must("executing again");
    assert_eq!((first.already, second.already), (false, true));
    assert_eq!((&first.outcome, first.version), (&second.outcome, second.version), "a repetition got another outcome");
    let other = AccountCommand::Deposit { cents: 6 };
    let reused = accounts.execute_with("1", other, under("k1", other)).await;
    assert!(
        matches!(reused, Err(ExecuteError::KeyReused { .. })),
        "another command under the same key led to {reused:?}"
    );
    assert_eq!(accounts.load("1").await.must("loading").state.balance, 5);
}

/// A refusal and an empty decision are outcomes too: what changed meanwhile does not change the answer.
pub(crate) async fn refusals_and_empty_decisions_are_remembered(fixture: &Fixture) {
    let accounts = accounts(fixture);
    let refused = accounts.execute_with("1", WITHDRAW, under("k1", WITHDRAW)).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(TooLittle { balance: 0 }))), "the answer is {refused:?}");
    let looked = accounts.execute_with("1", AccountCommand::Look, under("k2", AccountCommand::Look)).await;
    assert_eq!(looked.must("looking").outcome, Outcome::Empty);
    accounts.execute("1", DEPOSIT).await.must("executing");
    match accounts.execute_with("1", WITHDRAW, under("k1", WITHDRAW)).await {
        Err(ExecuteError::RefusedBefore { reason, .. }) => assert_eq!(reason, "only 0 is left"),
        other => panic!("a command that was refused before led to {other:?}"),
    }
    let looked =
        accounts.execute_with("1", AccountCommand::Look, under("k2", AccountCommand::Look)).await.must("again");
    assert_eq!((looked.outcome, looked.already), (Outcome::Empty, true));
    assert_eq!(
        accounts.load("1").await.must("loading").state.balance,
        5,
        "a refused command was done by its repetition"
    );
}

/// `one-outcome-per-key`: while others change the balance, each of those who send one command is told the same.
pub(crate) async fn racing_repetitions_are_told_the_same(fixture: &Fixture) {
    let accounts = patient(fixture);
    for round in 0..10 {
        let (id, name) = (format!("a{round}"), format!("k{round}"));
        let racing = (0..6).map(|n| {
            let (accounts, id, context) = (accounts.clone(), id.clone(), under(&name, WITHDRAW));
            tokio::spawn(async move {
                if n == 3 {
                    accounts.execute(&id, DEPOSIT).await.must("a deposit among them");
                    return None;
                }
                Some(accounts.execute_with(&id, WITHDRAW, context).await)
            })
        });
        let answers: Vec<_> = join_all(racing.collect::<Vec<_>>()).await;
        let told: Vec<bool> =
            answers.into_iter().filter_map(|answer| answer.must("a task")).map(was_accepted).collect();
        assert!(told.iter().all(|one| *one == told[0]), "one-outcome-per-key: accepted or not: {told:?}");
        let balance = accounts.load(&id).await.must("loading").state.balance;
        assert_eq!(balance, if told[0] { 0 } else { 5 }, "the balance is not what the callers were told");
    }
}

fn was_accepted(answer: Result<Executed, ExecuteError<TooLittle>>) -> bool {
    match answer {
        Ok(done) => matches!(done.outcome, Outcome::Accepted { .. }),
        Err(error) if error.is_refusal() => false,
        Err(other) => panic!("one of those who send the same command is told {other:?}"),
    }
}

fn over(store: Arc<dyn EventStore>) -> Repository<Account> {
    Repository::new(store)
}

/// A lost answer is found by the key, or by the id of the first event: nothing happens twice, nothing is lost.
pub(crate) async fn a_lost_answer_is_found_again(fixture: &Fixture) {
    for (n, lost) in [(0, 1), (1, 0), (1, 2), (2, 1)].into_iter().enumerate() {
        let by_id = over(Forgetful::new(fixture.store(), lost.0, lost.1));
        let id = format!("{n}");
        let done = by_id.execute(&id, DEPOSIT).await.must("executing while answers get lost");
        assert_eq!(done.version, Some(Version::FIRST), "a lost answer was found as another");
        let by_key = over(Forgetful::new(fixture.store(), lost.0, lost.1));
        let context = under(&format!("k{n}"), DEPOSIT);
        let done =
            by_key.execute_with(&id, DEPOSIT, context).await.must("executing under a key while answers get lost");
        assert_eq!(done.version, Some(version(2)), "a lost answer was found as another");
        // What was found under the key was this call's own first try, and was told as a repetition.
        assert!(!done.already, "a command that was never repeated is told as done already: {lost:?}");
        let found = accounts(fixture).load(&id).await.must("loading");
        assert_eq!(
            found.state,
            Account { balance: 10, events: 2 },
            "a lost answer made a command happen twice, or not"
        );
    }
}

pub(crate) async fn tenants_have_aggregates_of_their_own(fixture: &Fixture) {
    let ours = accounts(fixture);
    let theirs = accounts(fixture).in_tenant(tenant("acme"));
    ours.execute("1", DEPOSIT).await.must("executing");
    theirs.execute("1", AccountCommand::Deposit { cents: 7 }).await.must("executing");
    let balances =
        [ours.load("1").await.must("ours").state.balance, theirs.load("1").await.must("theirs").state.balance];
    assert_eq!(balances, [5, 7], "two tenants share an aggregate");
}
