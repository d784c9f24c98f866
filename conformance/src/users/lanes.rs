//! Commands of many tasks and several processes on the same aggregates: lanes, and the cache of hot ones.

use std::time::Duration;

use factum::{
    At, Context, ExecuteError, InputError, Metadata, Outcome, Repository, Retry, SnapshotKey, StreamId, Version,
};
use futures_util::future::join_all;

use super::account::{Account, AccountCommand, TooLittle};
use super::forgetful::Forgetful;
use crate::Fixture;
use crate::kit::*;

const DEPOSIT: AccountCommand = AccountCommand::Deposit { cents: 5 };

/// Decides again as often as it takes.
fn patient() -> Retry {
    Retry::default().attempts(10_000).waits(Duration::ZERO, Duration::from_millis(2))
}

fn plain(fixture: &Fixture) -> Repository<Account> {
    Repository::new(fixture.store().clone()).retry(patient())
}

/// As two processes have them: neither knows what the other keeps or runs.
fn two_processes(fixture: &Fixture) -> [Repository<Account>; 2] {
    [plain(fixture).cache(2), plain(fixture).cache(2)]
}

fn account(id: &str) -> StreamId {
    stream(&format!("account-{id}"))
}

/// Two processes with many tasks each: no money is lost, made, or taken below nothing.
pub(crate) async fn sums_add_up_with_two_processes_and_a_cache(fixture: &Fixture) {
    let processes = two_processes(fixture);
    let tasks = (0..32_i64).map(|n| {
        let accounts = processes[usize::from(n % 2 == 1)].clone();
        tokio::spawn(async move {
            let mut sums = [0_i64; 3];
            for step in 0..12 {
                let place = usize::try_from(n * 7 + step).must("a number") % 3;
                let cents = 1 + (n + step) % 4;
                let command = if (n + step) % 3 == 0 {
                    AccountCommand::Withdraw { cents: cents * 2 }
                } else {
                    AccountCommand::Deposit { cents }
                };
                match accounts.execute(place.to_string(), command).await {
                    Ok(_) => {
                        sums[place] += match command {
                            AccountCommand::Withdraw { cents } => -cents,
                            AccountCommand::Deposit { cents } => cents,
                            AccountCommand::Look => 0,
                        }
                    }
                    Err(ExecuteError::Refused(TooLittle { balance })) => {
                        assert!(balance < cents * 2, "a withdrawal of {} was refused at {balance}", cents * 2);
                    }
                    Err(other) => panic!("one of many commands led to {other:?}"),
                }
            }
            sums
        })
    });
    let mut expected = [0; 3];
    for sums in soon("many commands", join_all(tasks.collect::<Vec<_>>())).await {
        let sums = sums.must("a task");
        expected.iter_mut().zip(sums).for_each(|(sum, cents)| *sum += cents);
    }
    for (n, expected) in expected.into_iter().enumerate() {
        let mut balance = 0;
        for event in stream_of(fixture, &account(&n.to_string())).await {
            balance += match factum::decode(&event).must("an event") {
                super::account::AccountEvent::Deposited { cents } => cents,
                super::account::AccountEvent::Withdrawn { cents } => -cents,
            };
            assert!(balance >= 0, "account {n} was at {balance} at version {}", event.version);
        }
        assert_eq!(balance, expected, "the events of account {n} are not what the callers were told");
        for accounts in &processes {
            let loaded = accounts.load(n.to_string()).await.must("loading");
            assert_eq!(loaded.state.balance, expected, "a kept state of account {n} is not what its events say");
        }
    }
}

/// Commands of one process on one aggregate conflict with nobody: they queue. Each is told its own version.
pub(crate) async fn commands_that_queue_are_told_their_own_events(fixture: &Fixture) {
    let accounts = plain(fixture).retry(Retry::default().attempts(1));
    let tasks = (0..64).map(|n| {
        let accounts = accounts.clone();
        let context = Context::new().metadata(Metadata::new().actor(format!("teller {n}")));
        tokio::spawn(async move { (n, accounts.execute_with("1", DEPOSIT, context).await) })
    });
    let answers = soon("commands on one aggregate", join_all(tasks.collect::<Vec<_>>())).await;
    let events = stream_of(fixture, &account("1")).await;
    assert_eq!(versions(&events), (1..=64).collect::<Vec<_>>());
    for answer in answers {
        let (n, done) = answer.must("a task");
        let done = done.must("a deposit among many of the same process");
        let told = done.version.must("a version");
        let place = usize::try_from(told.get() - 1).must("a small number");
        let event = events.get(place).must("the event that a command was told of");
        assert_eq!(event.metadata.who(), Some(format!("teller {n}").as_str()), "told of the event of another");
        assert_eq!(done.cursor.get(event.log), event.position, "a cursor that is not at the command's own event");
        let Outcome::Accepted { first, last, versions, .. } = &done.outcome else {
            panic!("a deposit led to {done:?}")
        };
        assert_eq!((*first, *last), (event.position, event.position), "positions of another");
        assert_eq!((versions[0].first, versions[0].last), (told, told), "versions of another");
    }
}

/// Another process fills and empties the account: what a kept state says is never told where it is no longer so.
pub(crate) async fn a_kept_state_never_gives_an_old_answer(fixture: &Fixture) {
    let [ours, theirs] = two_processes(fixture);
    for round in 1..=20_u64 {
        let refused = ours.execute("1", AccountCommand::Withdraw { cents: 5 }).await;
        assert!(matches!(refused, Err(ExecuteError::Refused(TooLittle { balance: 0 }))), "a refusal is {refused:?}");
        theirs.execute("1", DEPOSIT).await.must("a deposit");
        let looked = ours.execute("1", AccountCommand::Look).await.must("looking");
        assert_eq!(looked.version, Some(version(round * 2 - 1)), "an empty decision on what was no longer so");
        let done = ours.execute("1", AccountCommand::Withdraw { cents: 5 }).await.must("withdrawing what is there");
        assert_eq!(done.version, Some(version(round * 2)));
    }
    assert_eq!(theirs.load("1").await.must("loading").state, Account { balance: 0, events: 40 });
}

/// With a cache snapshots are written as without one, at the same times of happening.
pub(crate) async fn snapshots_are_written_beside_a_cache(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let accounts = plain(fixture).cache(4).snapshots(3, 2);
    let key = SnapshotKey { stream: account("1"), schema: 1 };
    for (n, day) in (1..=10_u64).zip([3, 1, 9, 4, 5, 8, 7, 2, 6, 1]) {
        let when = Metadata::new().occurred_at(time(&format!("1993-06-{day:02}T12:00:00Z")));
        accounts.execute_with("1", DEPOSIT, Context::new().metadata(when)).await.must("executing");
        let newest = store.newest(&key, None).await.must("looking").map(|snapshot| snapshot.bounds);
        let due = Version::new(n / 3 * 3).ok();
        assert_eq!(newest.map(|bounds| bounds.version), due, "the newest snapshot after {n} events");
        if let Some(bounds) = newest {
            let latest = time(&format!("1993-06-{:02}T12:00:00Z", if n < 3 { 3 } else { 9 }));
            assert_eq!(bounds.occurred_at, latest, "the bounds of a snapshot");
        }
    }
    let at_six = plain(fixture).snapshots(3, 2).load_at("1", At::Version(version(6))).await.must("loading");
    assert_eq!(at_six.state, Account { balance: 30, events: 6 });
}

/// A payload that is too large is told to its own command.
pub(crate) async fn input_that_is_refused_harms_no_neighbour(fixture: &Fixture) {
    let accounts = Repository::<Note>::new(fixture.store().clone()).retry(patient());
    let max = fixture.store().limits().max_payload;
    let tasks = (0..24_usize).map(|n| {
        let accounts = accounts.clone();
        tokio::spawn(async move {
            let long = n % 6 == 5;
            (long, accounts.execute("1", if long { max } else { n }).await)
        })
    });
    for answer in soon("notes", join_all(tasks.collect::<Vec<_>>())).await {
        match answer.must("a task") {
            (false, answer) => drop(answer.must("a note beside one that is too long")),
            (true, Err(ExecuteError::Append(factum::AppendError::Input(InputError::PayloadTooLarge { .. })))) => {}
            (true, other) => panic!("a note that is too long led to {other:?}"),
        }
    }
    assert_eq!(stream_of(fixture, &stream("note-1")).await.len(), 20);
}

/// Answers get lost while many commands share an append: each is recorded once, and each is told its own version.
pub(crate) async fn lost_answers_of_shared_appends_are_found(fixture: &Fixture) {
    for (n, lost) in [(0, 1), (2, 3)].into_iter().enumerate() {
        let store = Forgetful::new(fixture.store(), lost.0, lost.1);
        let accounts = Repository::<Account>::new(store).retry(patient()).cache(4);
        let id = n.to_string();
        let tasks = (0..16).map(|_| {
            let (accounts, id) = (accounts.clone(), id.clone());
            tokio::spawn(async move { accounts.execute(&id, DEPOSIT).await })
        });
        let mut told = Vec::new();
        for answer in soon("commands whose answers get lost", join_all(tasks.collect::<Vec<_>>())).await {
            let done = answer.must("a task").must("a command whose answer was lost");
            told.push(done.version.must("a version").get());
        }
        told.sort_unstable();
        assert_eq!(told, (1..=16).collect::<Vec<_>>(), "what the callers were told, after {lost:?}");
        assert_eq!(versions(&stream_of(fixture, &account(&id)).await), told, "something happened twice, or not");
    }
}

/// Callers go away in the middle of everything: whoever stays is answered, and what was answered is there.
pub(crate) async fn callers_that_go_away_harm_no_neighbour(fixture: &Fixture) {
    let accounts = plain(fixture).cache(4);
    let tasks = (0..60_u64).map(|n| {
        let accounts = accounts.clone();
        tokio::spawn(async move {
            let command = accounts.execute("1", DEPOSIT);
            if n % 3 == 0 {
                let away = tokio::time::timeout(Duration::from_micros(n * 40), command).await;
                away.map_or(None, |answer| answer.must("a deposit").version)
            } else {
                command.await.must("a deposit beside some that went away").version
            }
        })
    });
    let mut told = Vec::new();
    for answer in soon("those who stay", join_all(tasks.collect::<Vec<_>>())).await {
        told.extend(answer.must("a task"));
    }
    told.sort_unstable();
    let all = told.len();
    told.dedup();
    assert_eq!(told.len(), all, "two commands were told the same event");
    assert!(all >= 40, "{all} of the 40 who stayed were answered");
    let last = accounts.execute("1", DEPOSIT).await.must("a deposit after all").version.must("a version");
    let recorded = stream_of(fixture, &account("1")).await;
    assert!((41..=61).contains(&recorded.len()), "{} events of at most 61 commands", recorded.len());
    assert_eq!(recorded.last().map(|event| event.version), Some(last));
}

/// Repetitions under one key, on two processes that keep what they have seen.
pub(crate) async fn racing_repetitions_on_kept_states_are_told_the_same(fixture: &Fixture) {
    let processes = two_processes(fixture);
    for round in 0..6 {
        let id = format!("a{round}");
        for accounts in &processes {
            accounts.execute(&id, DEPOSIT).await.must("a deposit");
        }
        let command = AccountCommand::Withdraw { cents: 10 };
        let racing = (0..8_usize).map(|n| {
            let (accounts, id) = (processes[n % 2].clone(), id.clone());
            let context = Context::new().key(key(&format!("k{round}")), &command).must("a context");
            tokio::spawn(async move { accounts.execute_with(&id, command, context).await })
        });
        for answer in soon("repetitions", join_all(racing.collect::<Vec<_>>())).await {
            let done = answer.must("a task").must("a repetition of what was accepted");
            assert_eq!(done.version, Some(version(3)), "one-outcome-per-key");
        }
        assert_eq!(stream_of(fixture, &account(&id)).await.len(), 3, "one-outcome-per-key: done more than once");
    }
}

/// An aggregate whose events are as large as one likes.
#[derive(Default)]
struct Note;

#[derive(serde::Serialize, serde::Deserialize)]
enum Written {
    Written(String),
}

impl factum::Event for Written {
    const CATEGORY: &'static str = "note";
}

impl factum::Aggregate for Note {
    type Event = Written;
    type Command = usize;
    type Error = std::convert::Infallible;

    fn decide(&self, length: &usize) -> Result<Vec<Written>, Self::Error> {
        Ok(vec![Written::Written("a".repeat(*length))])
    }

    fn apply(&mut self, _: &Written) {}
}
