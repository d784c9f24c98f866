//! A ledger into the bank: every row a command, its `trans_id` the command's key.
//!
//! A thread reads and parses; one task keeps many accounts in flight, so that the store has something to commit
//! together, and one row of each account at a time, so that each account's rows stay in the order of the file. What is
//! held in memory is bounded by [`flow::WINDOW`] rows and the ids of the accounts, however long the ledger is.
//!
//! An import that was stopped, by whatever, is gone on with by running it again: what was booked is found under its
//! key.

mod console;
mod flow;
mod tally;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use factum::{Repository, Retry};
use tokio::sync::mpsc;

use crate::account::Account;
use crate::bank::Bank;
use crate::cli::ImportArgs;
use crate::error::BankError;
use crate::ledger::{Ledger, LedgerError, LedgerLine};
use console::Console;
use flow::Flow;
use tally::Tally;

/// How many lines go from the reading thread to the booking task at once.
const BATCH: usize = 256;

/// What the reading thread hands over.
enum Read {
    Lines(Vec<LedgerLine>),
    /// The ledger cannot be read further; the last that is handed over.
    Broken(LedgerError),
    /// The ledger ended; the last that is handed over.
    End,
}

/// `bank-account import`. A row that was left out, which stderr tells, makes the exit code 1.
pub(crate) async fn import(bank: &Bank, args: &ImportArgs, out: &mut dyn Write) -> Result<ExitCode, BankError> {
    let begun = Instant::now();
    let (ledger, progress) = Ledger::open(&args.file)?;
    let console = Console::new(&args.file, progress);
    let (tally, stopped) = book(bank, ledger, &console).await;
    let ended = match stopped {
        None => bank.catch_up().await,
        Some(error) => Err(error),
    };
    console.finish();
    // However it ended, what was counted is true.
    tally.print(begun.elapsed(), ended.is_ok(), args.json, out)?;
    ended?;
    Ok(if tally.left_out() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Books rows until the ledger ends, or something stops it.
async fn book(bank: &Bank, ledger: Ledger, console: &Console) -> (Tally, Option<BankError>) {
    let (sender, receiver) = mpsc::channel(8);
    // Not one of the runtime's threads, which would be waited for: a ledger may be a pipe that nobody writes to.
    if let Err(error) = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || read(ledger, &sender)) {
        return (Tally::default(), Some(BankError::Internal(format!("no thread could be started: {error}"))));
    }
    // Nobody waits for an answer here, so it is worth more patience than a command that somebody typed.
    let patient = Retry::default().attempts(200).waits(Duration::from_millis(1), Duration::from_millis(100));
    let accounts: Repository<Account> = bank.accounts().retry(patient);
    Flow::new(&accounts, console).run(receiver).await
}

/// Reads a ledger to its end. That nobody listens any more is known to whoever stopped listening.
fn read(ledger: Ledger, sender: &mpsc::Sender<Read>) {
    let mut batch = Vec::with_capacity(BATCH);
    for line in ledger {
        match line {
            Ok(line) => batch.push(line),
            Err(error) => {
                let _ = sender.blocking_send(Read::Lines(batch));
                let _ = sender.blocking_send(Read::Broken(error));
                return;
            }
        }
        if batch.len() == BATCH && sender.blocking_send(Read::Lines(std::mem::take(&mut batch))).is_err() {
            return;
        }
    }
    let _ = sender.blocking_send(Read::Lines(batch));
    let _ = sender.blocking_send(Read::End);
}
