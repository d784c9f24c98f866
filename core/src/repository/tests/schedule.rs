//! Every order of things: callers that are polled only when they are woken, in any order, dropped or left lying at any
//! await, on a store that answers in several polls while another process writes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Polling, Poll, Wake, Waker};

use proptest::prelude::*;

use super::account::{Account, Command};
use super::shelf::{Befalls, Shelf};
use crate::repository::ticket::Answer;
use crate::*;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Task {
    future: Option<Pin<Box<dyn Future<Output = Answer<Account>>>>>,
    woken: Arc<Flag>,
    polls: u32,
    /// After so many polls the caller goes away; or stays, and is never polled again.
    end: Option<(u32, bool)>,
    command: Command,
    answer: Option<Answer<Account>>,
}

impl Task {
    fn new(accounts: &Repository<Account>, command: Command, key: Option<u8>, end: Option<(u32, bool)>) -> Self {
        let (accounts, sent) = (accounts.clone(), command.clone());
        let context = match key {
            Some(key) => Context::new().key(Key::new(format!("k{key}")).unwrap(), &key).unwrap(),
            None => Context::new(),
        };
        let future = Box::pin(async move { accounts.execute_with("1", sent, context).await });
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self { future: Some(future), woken, polls: 0, end, command, answer: None }
    }

    fn frozen(&self) -> bool {
        self.end.is_some_and(|(polls, _)| self.polls >= polls)
    }

    fn wants(&self) -> bool {
        self.future.is_some() && !self.frozen()
    }

    fn poll(&mut self) {
        let Some(future) = &mut self.future else { return };
        self.woken.0.store(false, Ordering::SeqCst);
        self.polls += 1;
        let waker = Waker::from(self.woken.clone());
        if let Poll::Ready(answer) = future.as_mut().poll(&mut Polling::from_waker(&waker)) {
            self.answer = Some(answer);
            self.future = None;
        } else if self.end == Some((self.polls, true)) {
            self.future = None;
        }
    }
}

fn commands() -> impl Strategy<Value = Command> {
    prop_oneof![
        4 => (1_i64..5).prop_map(Command::Deposit),
        4 => (1_i64..5).prop_map(Command::Withdraw),
        1 => Just(Command::Look),
        1 => Just(Command::Panic),
        1 => (1_i64..5).prop_map(Command::Curse),
    ]
}

fn befalls() -> impl Strategy<Value = Befalls> {
    prop_oneof![
        6 => Just(Befalls::Nothing),
        2 => (1_i64..5).prop_map(Befalls::Rival),
        1 => Just(Befalls::AnswerLost),
        1 => Just(Befalls::Lost),
        1 => Just(Befalls::NotDone(FaultKind::Unavailable)),
        1 => Just(Befalls::NotDone(FaultKind::Full)),
    ]
}

fn ends() -> impl Strategy<Value = Option<(u32, bool)>> {
    prop_oneof![3 => Just(None), 1 => (1_u32..8, any::<bool>()).prop_map(Some)]
}

type Plan = (Command, Option<u8>, Option<(u32, bool)>, u8);

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let key = prop_oneof![5 => Just(None), 1 => (0_u8..200).prop_map(Some)];
    proptest::collection::vec((commands(), key, ends(), 0_u8..6), 1..14)
}

/// Polls woken tasks by the choices until nobody who is still there waits.
fn run(repositories: &[Repository<Account>], plans: Vec<Plan>, choices: &[usize]) -> Result<Vec<Task>, TestCaseError> {
    let mut plans = plans.into_iter().enumerate().peekable();
    let mut tasks: Vec<Task> = Vec::new();
    for step in 0.. {
        prop_assert!(step < 20_000, "it never ends");
        let woken: Vec<usize> =
            (0..tasks.len()).filter(|n| tasks[*n].wants() && tasks[*n].woken.0.load(Ordering::SeqCst)).collect();
        let choice = choices[step % choices.len()];
        let comes = plans.peek().is_some_and(|(_, (.., pause))| woken.is_empty() || choice % 6 >= usize::from(*pause));
        if comes && let Some((n, (command, key, end, _))) = plans.next() {
            // The same key is sent by one task only, so that each may expect an outcome of its own.
            let key = key.map(|_| u8::try_from(n).unwrap());
            tasks.push(Task::new(&repositories[n % repositories.len()], command, key, end));
        } else if woken.is_empty() {
            let waiting = tasks.iter().filter(|task| task.wants()).count();
            prop_assert_eq!(waiting, 0, "callers are left that nobody will wake");
            return Ok(tasks);
        } else {
            tasks[woken[choice % woken.len()]].poll();
        }
    }
    Ok(tasks)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn neighbours_unharmed_in_any_order(
        plans in plans(),
        script in proptest::collection::vec(befalls(), 0..8),
        polls in 0_u32..3,
        cached in any::<bool>(),
        processes in 1_usize..3,
        choices in proptest::collection::vec(any::<usize>(), 40),
    ) {
        let shelf = Shelf::new();
        shelf.polls.store(polls, Ordering::SeqCst);
        let rivals = script.iter().map(|befalls| match befalls { Befalls::Rival(cents) => *cents, _ => 0 }).sum::<i64>();
        let all = script.len();
        shelf.befall(script);
        let new = || if cached { shelf.accounts().cache(2) } else { shelf.accounts() };
        let repositories: Vec<_> = (0..processes).map(|_| new()).collect();
        let tasks = run(&repositories, plans, &choices)?;

        // Who went away may have been heard or not; of all others it is known.
        let (mut sure, mut least, mut most) = (0, 0, 0);
        for task in &tasks {
            let cents = match task.command { Command::Deposit(cents) => cents, Command::Withdraw(cents) => -cents, _ => 0 };
            match &task.answer {
                Some(Ok(done)) => {
                    sure += cents;
                    let nothing = matches!(task.command, Command::Look);
                    prop_assert_eq!(nothing, done.outcome == Outcome::Empty);
                }
                Some(Err(error)) if error.is_refusal() => prop_assert!(cents < 0),
                Some(Err(ExecuteError::Panicked { .. })) => {
                    prop_assert!(matches!(task.command, Command::Panic | Command::Curse(_)), "{:?}", task.command);
                }
                Some(Err(ExecuteError::Append(AppendError::NotDone(_)))) => {}
                Some(Err(ExecuteError::Append(AppendError::Unknown(_)))) | None => {
                    least += cents.min(0);
                    most += cents.max(0);
                }
                Some(Err(other)) => prop_assert!(false, "{:?} led to {:?}", task.command, other),
            }
        }
        let unused = shelf.script.lock().unwrap().len();
        let balance = shelf.balance("1");
        prop_assert!(balance >= 0, "a withdrawal was decided on what was no longer so");
        if unused == 0 || all == 0 {
            let others = balance - rivals;
            prop_assert!((sure + least..=sure + most).contains(&others), "{} of {} to {}", others, sure + least, sure + most);
        }
        let mut versions: Vec<_> = tasks.iter().filter_map(|task| match &task.answer {
            Some(Ok(done)) if done.outcome != Outcome::Empty => done.version.map(Version::get),
            _ => None,
        }).collect();
        let told = versions.len();
        versions.sort_unstable();
        versions.dedup();
        prop_assert_eq!(versions.len(), told, "two commands were told the same event");
        drop(tasks);
        for accounts in &repositories {
            prop_assert_eq!(accounts.core.desk.open_lanes(), 0, "a lane stays open that nobody uses");
        }
    }
}
