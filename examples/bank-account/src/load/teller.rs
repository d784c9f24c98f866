//! Sends the commands of a load, and reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factum::{
    Aggregate as _, Append, AppendError, Condition, Context, Cursor, EventStore, ExecuteError, Fingerprint, Key, Keyed,
    LogId, Metadata, Outcome, Position, Repository, RoundTrip, StreamWrite, encode,
};
use factum_projections::Projector;
use fastrand::Rng;

use super::book::{Book, Change, Entry, Shown, Verdicts};
use super::report::{Report, Times};
use crate::account::{Account, AccountCommand};
use crate::bank::Bank;
use crate::error::BankError;
use crate::money::Money;
use crate::read_models::Balances;

/// For how long a command is sent again whose outcome is not known, or that could not be recorded.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a read waits for its own write.
const WAIT: Duration = Duration::from_secs(30);

/// How often a transfer is decided again because somebody else was faster.
const ATTEMPTS: u32 = 50;

/// A command, and what is read after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    what: What,
    read: usize,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Deposit { to: usize, amount: Money },
    Withdraw { from: usize, amount: Money },
    Transfer { from: usize, to: usize, amount: Money },
}

impl Plan {
    pub(super) fn draw(rng: &mut Rng, accounts: usize) -> Self {
        let (one, other, read) = (rng.usize(..accounts), rng.usize(..accounts), rng.usize(..accounts));
        let amount = Money::minor(rng.i64(1..=10_000));
        let what = match rng.u8(..100) {
            0..50 => What::Deposit { to: one, amount },
            50..75 => What::Withdraw { from: one, amount },
            _ if one == other => What::Deposit { to: one, amount },
            _ => What::Transfer { from: one, to: other, amount },
        };
        Self { what, read }
    }
}

/// What became of a command.
enum Ended {
    /// Recorded, with the position of its first and of its last event.
    Done(Position, Position),
    Refused,
    /// Nobody knows.
    Failed(String),
}

#[derive(Default)]
struct Tally {
    report: Report,
    verdicts: Verdicts,
    told: Vec<String>,
    commands: Vec<u64>,
    own: Vec<u64>,
    reads: Vec<u64>,
}

pub(super) struct Teller {
    store: Arc<dyn EventStore>,
    accounts: Repository<Account>,
    projector: Projector,
    /// What the accounts and keys of this load begin with.
    run: String,
    books: Vec<Mutex<Book>>,
    tally: Mutex<Tally>,
    /// The newest checkpoint that was read.
    seen: AtomicU64,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Teller {
    /// Opens the accounts: without an overdraft, so that some withdrawals are refused.
    pub(super) async fn open(bank: &Bank, accounts: usize) -> Result<Self, BankError> {
        let teller = Self {
            store: bank.store().clone(),
            accounts: bank.accounts(),
            projector: bank.projector().clone(),
            run: format!("load{:016x}", fastrand::u64(..)),
            books: (0..accounts).map(|_| Mutex::default()).collect(),
            tally: Mutex::default(),
            seen: AtomicU64::new(0),
        };
        for account in 0..accounts {
            let open = AccountCommand::Open { owner: "load".to_owned(), overdraft_limit: Some(Money::ZERO) };
            lock(&teller.books[account]).begin();
            let opened = teller.accounts.execute(teller.id(account), open).await?;
            let at = opened.cursor.get(LogId::FIRST);
            teller.end(account, Some(Entry { at, change: Change::Opened }));
            // Where nothing was built yet there is nothing to read.
            teller.projector.wait_for("balances", &opened.cursor).await?;
        }
        Ok(teller)
    }

    fn id(&self, account: usize) -> String {
        format!("{}.{account}", self.run)
    }

    fn end(&self, account: usize, entry: Option<Entry>) {
        let mut tally = lock(&self.tally);
        lock(&self.books[account]).end(entry, &self.id(account), &mut tally.verdicts);
    }

    /// One command, and the reads after it.
    pub(super) async fn serve(&self, number: u64, plan: Plan) {
        let changes = match plan.what {
            What::Deposit { to, amount } => vec![(to, Change::In(amount))],
            What::Withdraw { from, amount } => vec![(from, Change::Out(amount))],
            What::Transfer { from, to, amount } => vec![(from, Change::Out(amount)), (to, Change::In(amount))],
        };
        if changes.iter().any(|(account, _)| lock(&self.books[*account]).doubtful) {
            return;
        }
        changes.iter().for_each(|(account, _)| lock(&self.books[*account]).begin());
        let begun = Instant::now();
        let ended = self.send(number, plan.what).await;
        let mut own_write = None;
        {
            let mut tally = lock(&self.tally);
            tally.commands.push(micros(begun));
            tally.report.commands += 1;
            match &ended {
                Ended::Done(..) => tally.report.done += 1,
                Ended::Refused => tally.report.refused += 1,
                Ended::Failed(why) => {
                    tally.report.failed += 1;
                    tally.told.push(format!("failed: a command: {why}"));
                }
            }
        }
        for (place, (account, change)) in changes.iter().enumerate() {
            let entry = match ended {
                Ended::Done(first, last) => {
                    own_write = Some((*account, last));
                    Some(Entry { at: if place == 0 { first } else { last }, change: *change })
                }
                Ended::Refused => None,
                Ended::Failed(_) => {
                    lock(&self.books[*account]).doubtful = true;
                    None
                }
            };
            self.end(*account, entry);
        }
        if let Some((account, written)) = own_write {
            self.read_own(account, written).await;
        }
        self.read(plan.read, self.newest(), Instant::now(), |tally| &mut tally.reads).await;
    }

    /// Sends a command under its key until its outcome is known.
    async fn send(&self, number: u64, what: What) -> Ended {
        let begun = Instant::now();
        loop {
            let key = Key::new(format!("{}-{number}", self.run));
            let sent = match (key, what) {
                (Err(error), _) => Err(error.to_string()),
                (Ok(key), What::Deposit { to, amount }) => {
                    self.command(to, AccountCommand::Deposit { amount }, key).await
                }
                (Ok(key), What::Withdraw { from, amount }) => {
                    self.command(from, AccountCommand::Withdraw { amount }, key).await
                }
                (Ok(key), What::Transfer { from, to, amount }) => self.transfer(from, to, amount, key).await,
            };
            match sent {
                Ok(ended) => return ended,
                Err(why) if begun.elapsed() > PATIENCE => return Ended::Failed(why),
                Err(_) => lock(&self.tally).report.repeated += 1,
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn command(&self, account: usize, command: AccountCommand, key: Key) -> Result<Ended, String> {
        let context = Context::new().key(key, &command).map_err(|error| error.to_string())?;
        match self.accounts.execute_with(self.id(account), command, context).await {
            Ok(done) => Ok(ended(&done.outcome)),
            Err(ExecuteError::Refused(_) | ExecuteError::RefusedBefore { .. }) => Ok(Ended::Refused),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Two accounts in one append, each as it was when it was decided.
    async fn transfer(&self, from: usize, to: usize, amount: Money, key: Key) -> Result<Ended, String> {
        for _ in 0..ATTEMPTS {
            let mut append = Append::default();
            let commands = [(from, AccountCommand::Withdraw { amount }), (to, AccountCommand::Deposit { amount })];
            for (account, command) in &commands {
                let account = self.accounts.load(self.id(*account)).await.map_err(|error| error.to_string())?;
                let Ok(decided) = account.state.decide(command) else { return self.refused(&key).await };
                let encoded = decided.iter().map(|event| encode(event, Metadata::new(), RoundTrip::Checked));
                let events = encoded.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
                let condition = account.version.map_or(Condition::NoStream, Condition::Version);
                append.writes.push(StreamWrite { stream: account.stream, condition, events });
            }
            let fingerprint = Fingerprint::of(format!("{commands:?}").as_bytes());
            let append = append.keyed(Keyed { key: key.clone(), fingerprint, refusal: None });
            match self.store.append(append).await {
                Ok(done) => return Ok(ended(&done.outcome)),
                Err(error) if error.is_conflict() => {}
                Err(error @ (AppendError::NotDone(_) | AppendError::Unknown(_))) => return Err(error.to_string()),
                Err(_) => return Ok(Ended::Refused),
            }
        }
        self.refused(&key).await
    }

    /// Refused now; but if it was sent before, it may have been recorded then, which is why it is refused now.
    async fn refused(&self, key: &Key) -> Result<Ended, String> {
        let known = self.store.outcome(key).await.map_err(|error| error.to_string())?;
        Ok(known.map_or(Ended::Refused, |known| ended(&known.outcome)))
    }

    async fn read_own(&self, account: usize, written: Position) {
        let begun = Instant::now();
        let waited = self.projector.wait_for_within("balances", &Cursor::of(LogId::FIRST, written), WAIT).await;
        match waited {
            Ok(()) => self.read(account, written.max(self.newest()), begun, |tally| &mut tally.own).await,
            Err(error) => self.failed(&error.to_string()),
        }
    }

    fn newest(&self) -> Position {
        Position::new(self.seen.load(Ordering::SeqCst))
    }

    async fn read(&self, account: usize, at_least: Position, begun: Instant, times: fn(&mut Tally) -> &mut Vec<u64>) {
        match self.projector.read_model::<Balances>().get(&self.id(account)).await {
            Ok(answer) => {
                let checkpoint = answer.checkpoint.get(LogId::FIRST);
                self.seen.fetch_max(checkpoint.get(), Ordering::SeqCst);
                let shown = Shown { balance: answer.document.map(|shown| shown.balance), checkpoint, at_least };
                let mut tally = lock(&self.tally);
                times(&mut tally).push(micros(begun));
                lock(&self.books[account]).show(shown, &self.id(account), &mut tally.verdicts);
            }
            Err(error) => self.failed(&error.to_string()),
        }
    }

    fn failed(&self, why: &str) {
        let mut tally = lock(&self.tally);
        tally.report.reads_failed += 1;
        tally.told.push(format!("failed: a read: {why}"));
    }

    /// What it came to; all has ended.
    pub(super) fn report(&self, seconds: f64) -> Report {
        let tally = std::mem::take(&mut *lock(&self.tally));
        let Tally { report, verdicts: Verdicts { right, wrong }, mut told, commands, own, reads } = tally;
        let reads_wrong = wrong.len() as u64;
        told.splice(0..0, wrong);
        Report {
            seconds: (seconds * 1e3).round() / 1e3,
            reads_right: right,
            reads_wrong,
            command_ms: Times::of(commands),
            read_own_write_ms: Times::of(own),
            read_ms: Times::of(reads),
            told,
            ..report
        }
    }
}

fn ended(outcome: &Outcome) -> Ended {
    match outcome {
        Outcome::Accepted { first, last, .. } => Ended::Done(*first, *last),
        _ => Ended::Refused,
    }
}
