//! `neighbours-unharmed` on the command path: commands that queue on one aggregate.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::{JoinAll, join_all};

use super::account::{Account, Command, TooLittle};
use super::shelf::{Befalls, Shelf};
use crate::repository::ticket::Answer;
use crate::*;

use Command::{Curse, Deposit, Look, Note, Panic, Withdraw};

/// Lets a first command wait at the store, queues these behind it, and lets all go. The answers are those of the queue.
async fn queued(shelf: &Arc<Shelf>, accounts: &Repository<Account>, commands: Vec<Command>) -> Vec<Answer<Account>> {
    queued_with(shelf, accounts, commands.into_iter().map(|command| (command, Context::new())).collect()).await
}

async fn queued_with(
    shelf: &Arc<Shelf>,
    accounts: &Repository<Account>,
    commands: Vec<(Command, Context)>,
) -> Vec<Answer<Account>> {
    shelf.close_gate();
    let all = std::iter::once((Deposit(0), Context::new())).chain(commands);
    let all = all.map(|(command, context)| {
        let accounts = accounts.clone();
        Box::pin(async move { accounts.execute_with("1", command, context).await })
    });
    let mut all: JoinAll<_> = join_all(all.collect::<Vec<_>>());
    assert!((&mut all).now_or_never().is_none(), "the gate is closed");
    shelf.open();
    let mut answers = all.await;
    answers.remove(0).expect("the first command");
    assert_eq!(accounts.core.desk.open_lanes(), 0, "an idle lane stays open");
    answers
}

fn version(answer: &Answer<Account>) -> u64 {
    answer.as_ref().unwrap().version.unwrap().get()
}

/// With and without a cache; the behaviour is the same.
fn both(shelf: &Arc<Shelf>) -> [Repository<Account>; 2] {
    [shelf.accounts(), shelf.accounts().cache(8)]
}

#[tokio::test]
async fn commands_that_queue_share_an_append_and_each_is_told_its_own_place() {
    for step in [1, 3] {
        for cached in [false, true] {
            let shelf = Shelf::new();
            shelf.step.store(step, Ordering::SeqCst);
            let accounts = both(&shelf)[usize::from(cached)].clone();
            let answers = queued(&shelf, &accounts, vec![Deposit(5), Look, Deposit(7), Withdraw(12), Look]).await;
            assert_eq!(*shelf.appends.lock().unwrap(), [1, 3], "events of the appends");
            assert_eq!(answers.iter().map(version).collect::<Vec<_>>(), [2, 2, 3, 4, 4]);
            let events = shelf.events();
            for (answer, event) in [(0, 1), (2, 2), (3, 3)] {
                let done = answers[answer].as_ref().unwrap();
                let event = &events[event];
                let versions =
                    vec![Versions { stream: event.stream.clone(), first: event.version, last: event.version }];
                let (first, last, recorded_at) = (event.position, event.position, event.recorded_at);
                assert_eq!(done.outcome, Outcome::Accepted { log: LogId::FIRST, first, last, recorded_at, versions });
                assert_eq!(done.cursor, Cursor::from(event.position));
            }
            let looked = answers[1].as_ref().unwrap();
            assert_eq!((&looked.outcome, &looked.cursor), (&Outcome::Empty, &Cursor::from(events[1].position)));
        }
    }
}

#[tokio::test]
async fn neighbours_unharmed_by_a_refusal() {
    for cached in [false, true] {
        let shelf = Shelf::new();
        let accounts = both(&shelf)[usize::from(cached)].clone();
        let commands = vec![Withdraw(100), Deposit(7), Withdraw(8), Withdraw(7), Withdraw(1)];
        let answers = queued(&shelf, &accounts, commands).await;
        let left = |n: usize| match &answers[n] {
            Err(ExecuteError::Refused(TooLittle { balance })) => *balance,
            other => panic!("command {n} led to {other:?}"),
        };
        assert_eq!([left(0), left(2), left(4)], [0, 7, 0]);
        assert_eq!((version(&answers[1]), version(&answers[3])), (2, 3));
        assert_eq!(shelf.balance("1"), 0);
    }
}

#[tokio::test]
async fn neighbours_unharmed_by_a_panic() {
    for cached in [false, true] {
        for panicking in [Panic, Curse(9)] {
            let shelf = Shelf::new();
            let accounts = both(&shelf)[usize::from(cached)].clone();
            let commands = vec![Deposit(5), panicking.clone(), Deposit(6), panicking.clone(), Withdraw(11)];
            let answers = queued(&shelf, &accounts, commands).await;
            for n in [1, 3] {
                match &answers[n] {
                    Err(ExecuteError::Panicked { stream, what }) => {
                        assert_eq!(stream.name(), "account-1");
                        assert!(what == "cursed" || what.starts_with("decided at"), "{what}");
                    }
                    other => panic!("{panicking:?} led to {other:?}"),
                }
            }
            assert_eq!([0, 2, 4].map(|n| version(&answers[n])), [2, 3, 4]);
            assert_eq!(shelf.balance("1"), 0, "half of a command was recorded");
            assert_eq!(accounts.load("1").await.unwrap().state, Account { balance: 0, events: 4 });
        }
    }
}

#[tokio::test]
async fn a_lone_panic_is_told_and_records_nothing() {
    let shelf = Shelf::new();
    for accounts in both(&shelf) {
        for panicking in [Panic, Curse(9)] {
            let told = accounts.execute("1", panicking).await;
            assert!(matches!(told, Err(ExecuteError::Panicked { .. })), "{told:?}");
        }
    }
    assert!(shelf.events().is_empty());
    assert_eq!(shelf.asked().0, 0);
}

/// A store that panics is a bug, and still nobody waits for ever.
#[tokio::test]
async fn a_store_that_panics_is_told_to_those_of_its_append() {
    let shelf = Shelf::new();
    shelf.befall([Befalls::Nothing, Befalls::Panic]);
    let accounts = shelf.accounts();
    let answers = queued(&shelf, &accounts, vec![Deposit(5), Deposit(6)]).await;
    for answer in answers {
        assert!(
            matches!(&answer, Err(ExecuteError::Panicked { what, .. }) if what == "the store fell over"),
            "{answer:?}"
        );
    }
    assert_eq!(version(&accounts.execute("1", Deposit(1)).await), 2);
}

/// In the middle of a full lane another process writes: everything is decided again on what it left.
#[tokio::test]
async fn neighbours_unharmed_by_a_conflict_with_another_process() {
    for cached in [false, true] {
        let shelf = Shelf::new();
        let accounts = both(&shelf)[usize::from(cached)].clone();
        shelf.befall([Befalls::Nothing, Befalls::Rival(100), Befalls::Rival(100)]);
        let commands = vec![Deposit(5), Withdraw(150), Withdraw(60), Withdraw(200)];
        let answers = queued(&shelf, &accounts, commands).await;
        assert_eq!((version(&answers[0]), version(&answers[1])), (4, 5), "{answers:?}");
        let refused = |n: usize, left| matches!(&answers[n], Err(ExecuteError::Refused(TooLittle { balance })) if *balance == left);
        assert!(refused(2, 55) && refused(3, 55), "decided on what was no longer so: {answers:?}");
        assert_eq!(shelf.balance("1"), 55);
    }
}

#[tokio::test]
async fn whoever_conflicts_too_often_is_told_and_a_refusal_is_not_held_up() {
    let shelf = Shelf::new();
    let accounts = shelf.accounts().retry(Retry::default().attempts(2).waits(Default::default(), Default::default()));
    shelf.befall([Befalls::Nothing].into_iter().chain([Befalls::Rival(1), Befalls::Rival(1), Befalls::Rival(1)]));
    let answers = queued(&shelf, &accounts, vec![Withdraw(500), Deposit(5), Withdraw(600)]).await;
    assert!(matches!(&answers[1], Err(ExecuteError::Conflict { attempts: 2, .. })), "{answers:?}");
    assert!(answers[0].as_ref().unwrap_err().is_refusal() && answers[2].as_ref().unwrap_err().is_refusal());
    assert_eq!(shelf.events().len(), 4);
}

fn under(text: &str, command: &Command) -> Context {
    Context::new().key(Key::new(text).unwrap(), command).unwrap()
}

/// An append holds one key: whoever has one goes alone, in order.
#[tokio::test]
async fn a_key_among_neighbours_is_its_commands_own() {
    for cached in [false, true] {
        let shelf = Shelf::new();
        let accounts = both(&shelf)[usize::from(cached)].clone();
        let with = |text: &str, command: Command| (command.clone(), under(text, &command));
        let commands = vec![
            (Deposit(5), Context::new()),
            with("a", Withdraw(5)),
            with("a", Withdraw(5)),
            with("b", Withdraw(1)),
            (Deposit(1), Context::new()),
            (Deposit(2), Context::new()),
            with("a", Deposit(9)),
        ];
        let answers = queued_with(&shelf, &accounts, commands).await;
        assert_eq!([0, 1, 2, 4, 5].map(|n| version(&answers[n])), [2, 3, 3, 4, 5]);
        assert_eq!((answers[1].as_ref().unwrap().already, answers[2].as_ref().unwrap().already), (false, true));
        assert!(matches!(answers[3], Err(ExecuteError::Refused(TooLittle { balance: 0 }))));
        assert!(matches!(answers[6], Err(ExecuteError::KeyReused { .. })));
        let again = accounts.execute_with("1", Withdraw(1), under("b", &Withdraw(1))).await;
        assert!(matches!(again, Err(ExecuteError::RefusedBefore { .. })), "{again:?}");
        assert_eq!(shelf.balance("1"), 3);
    }
}

#[tokio::test]
async fn each_command_keeps_its_own_metadata() {
    let shelf = Shelf::new();
    let by = |actor: &str| Context::new().metadata(Metadata::new().actor(actor));
    let commands = vec![(Deposit(1), by("Jana")), (Deposit(2), Context::new()), (Deposit(3), by("Karel"))];
    queued_with(&shelf, &shelf.accounts(), commands).await;
    let actors: Vec<_> = shelf.events().iter().map(|event| event.metadata.who().map(str::to_owned)).collect();
    assert_eq!(actors, [None, Some("Jana".to_owned()), None, Some("Karel".to_owned())]);
}

#[tokio::test]
async fn neighbours_unharmed_by_input_that_the_store_does_not_take() {
    let shelf = Shelf::new();
    let answers = queued(&shelf, &shelf.accounts(), vec![Deposit(5), Note(600_000), Deposit(6), Look]).await;
    assert_eq!([0, 2, 3].map(|n| version(&answers[n])), [2, 3, 3]);
    let told = &answers[1];
    assert!(
        matches!(told, Err(ExecuteError::Append(AppendError::Input(InputError::PayloadTooLarge { .. })))),
        "{told:?}"
    );
}

/// A group that fails for a reason that is nobody's: each is tried again alone, unless the store cannot be reached.
#[tokio::test]
async fn what_fails_together_is_tried_apart() {
    let shelf = Shelf::new();
    shelf.befall([Befalls::Nothing, Befalls::NotDone(FaultKind::Full), Befalls::Nothing]);
    shelf.befall([Befalls::NotDone(FaultKind::Full)]);
    let answers = queued(&shelf, &shelf.accounts(), vec![Deposit(5), Deposit(6), Deposit(7)]).await;
    assert_eq!(*shelf.appends.lock().unwrap(), [1, 3, 1, 1, 1]);
    assert_eq!((version(&answers[0]), version(&answers[2])), (2, 3));
    assert!(matches!(&answers[1], Err(ExecuteError::Append(AppendError::NotDone(_)))));

    shelf.befall([Befalls::Nothing, Befalls::NotDone(FaultKind::Unavailable)]);
    let answers = queued(&shelf, &shelf.accounts(), vec![Deposit(5), Withdraw(500), Deposit(7)]).await;
    assert!([0, 2].iter().all(|n| matches!(&answers[*n], Err(ExecuteError::Append(AppendError::NotDone(_))))));
    assert!(matches!(&answers[1], Err(ExecuteError::Refused(TooLittle { balance: 12 }))), "{:?}", answers[1]);
}

#[tokio::test]
async fn each_learns_what_became_of_its_events_when_the_answer_is_lost() {
    for script in [[Befalls::AnswerLost, Befalls::Nothing], [Befalls::Lost, Befalls::AnswerLost]] {
        for cached in [false, true] {
            let shelf = Shelf::new();
            let accounts = both(&shelf)[usize::from(cached)].clone();
            shelf.befall([Befalls::Nothing].into_iter().chain(script.clone()));
            let answers = queued(&shelf, &accounts, vec![Deposit(5), Deposit(6), Withdraw(12)]).await;
            assert_eq!((version(&answers[0]), version(&answers[1])), (2, 3));
            assert!(matches!(answers[2], Err(ExecuteError::Refused(TooLittle { balance: 11 }))));
            assert_eq!(shelf.balance("1"), 11, "something happened twice, or not");
            assert_eq!(version(&accounts.execute("1", Withdraw(11)).await), 4);
        }
    }
}

#[tokio::test]
async fn an_append_of_a_lane_is_bounded() {
    let shelf = Shelf::new();
    let answers = queued(&shelf, &shelf.accounts(), (0..2_500).map(|_| Deposit(1)).collect()).await;
    assert_eq!(*shelf.appends.lock().unwrap(), [1, 1_000, 1_000, 500]);
    assert_eq!(answers.iter().map(version).collect::<Vec<_>>(), (2..=2_501).collect::<Vec<_>>());
    shelf.asked();
    queued(&shelf, &shelf.accounts(), vec![Note(500_000), Note(500_000), Note(500_000), Deposit(1)]).await;
    assert_eq!(*shelf.appends.lock().unwrap(), [1, 2, 2]);
}

/// Between two commands that follow each other at once nothing is read, even without a cache: the lane is still open.
#[tokio::test]
async fn a_busy_lane_reads_its_aggregate_once() {
    let shelf = Shelf::new();
    queued(&shelf, &shelf.accounts(), (0..10).map(Deposit).collect()).await;
    assert_eq!(shelf.asked(), (2, 1, 0));
}
