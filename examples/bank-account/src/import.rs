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
use std::time::Instant;

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

/// What the reading thread hands over; an error is the last of it.
type Lines = Result<Vec<LedgerLine>, LedgerError>;

/// `bank-account import`.
pub(crate) async fn import(bank: &Bank, args: &ImportArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let begun = Instant::now();
    let (ledger, progress) = Ledger::open(&args.file)?;
    let console = Console::new(&args.file, progress);
    let (tally, stopped) = book(bank, ledger, &console).await;
    let caught_up = match stopped {
        None => bank.catch_up().await,
        Some(error) => Err(error),
    };
    console.finish();
    if let Err(error) = caught_up {
        console.say(&format!("until then: {}", tally.line()));
        return Err(error);
    }
    tally.print(begun.elapsed(), args.json, out)?;
    match tally.left_out() {
        0 => Ok(()),
        rows => Err(BankError::RowsLeft { rows }),
    }
}

/// Books rows until the ledger ends, or something stops it.
async fn book(bank: &Bank, ledger: Ledger, console: &Console) -> (Tally, Option<BankError>) {
    let (sender, receiver) = mpsc::channel(8);
    let reader = tokio::task::spawn_blocking(move || read(ledger, &sender));
    // Nobody waits for an answer here, so it is worth more patience than a command that somebody typed.
    let patient = Retry::default()
        .attempts(200)
        .waits(std::time::Duration::from_millis(1), std::time::Duration::from_millis(100));
    let accounts: Repository<Account> = bank.accounts().retry(patient);
    let result = Flow::new(&accounts, console).run(receiver).await;
    match reader.await {
        Ok(()) => result,
        Err(error) => (result.0, result.1.or_else(|| Some(BankError::Internal(error.to_string())))),
    }
}

/// Reads a ledger to its end, or until nobody listens.
fn read(ledger: Ledger, sender: &mpsc::Sender<Lines>) {
    let mut batch = Vec::with_capacity(BATCH);
    for line in ledger {
        match line {
            Ok(line) => batch.push(line),
            Err(error) => {
                let _ = sender.blocking_send(Ok(batch)).and_then(|()| sender.blocking_send(Err(error)));
                return;
            }
        }
        if batch.len() == BATCH && sender.blocking_send(Ok(std::mem::take(&mut batch))).is_err() {
            return;
        }
    }
    // That nobody listens any more is known to whoever stopped listening.
    let _ = sender.blocking_send(Ok(batch));
}
