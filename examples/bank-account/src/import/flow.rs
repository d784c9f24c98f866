//! Many accounts in flight, one row of each at a time.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use factum::{Context, ExecuteError, Executed, Key, Metadata, Repository};
use factum_ops::one_line;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::console::Console;
use super::tally::Tally;
use super::{BATCH, Read};
use crate::account::{Account, AccountCommand, Refusal};
use crate::error::BankError;
use crate::ledger::{LedgerLine, Row};

/// How many accounts have a row in flight: what the store can commit together.
const IN_FLIGHT: usize = 512;

/// How many rows are read ahead of those in flight: more where a ledger is sorted by account would keep more accounts
/// in flight, and take more memory.
pub(super) const WINDOW: usize = 32 * 1024;

/// How often the progress bar moves.
const TICK: Duration = Duration::from_millis(100);

struct Booking {
    line: u64,
    row: Row,
    result: Result<Executed, BookError>,
}

enum BookError {
    Execute(ExecuteError<Refusal>),
    Other(BankError),
}

/// A ledger on its way into the bank.
pub(super) struct Flow<'a> {
    accounts: &'a Repository<Account>,
    console: &'a Console,
    tally: Tally,
    /// The rows that wait for an earlier one of their account, which is ready or in flight.
    waiting: HashMap<u64, VecDeque<(u64, Row)>>,
    ready: VecDeque<(u64, Row)>,
    running: FuturesUnordered<BoxFuture<'a, Booking>>,
    /// How many rows are waiting or ready.
    held: usize,
    stopped: Option<BankError>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(accounts: &'a Repository<Account>, console: &'a Console) -> Self {
        Self {
            accounts,
            console,
            tally: Tally::default(),
            waiting: HashMap::new(),
            ready: VecDeque::new(),
            running: FuturesUnordered::new(),
            held: 0,
            stopped: None,
        }
    }

    /// Books what comes until there is no more. Once something stopped it, nothing more is begun, and what is in
    /// flight is waited for, so that the tally is true.
    pub(super) async fn run(mut self, mut lines: mpsc::Receiver<Read>) -> (Tally, Option<BankError>) {
        let mut interrupted = std::pin::pin!(interrupted());
        let mut ticks = tokio::time::interval(TICK);
        let mut open = true;
        loop {
            self.begin();
            if self.running.is_empty() && !open {
                return (self.tally, self.stopped);
            }
            tokio::select! {
                Some(booking) = self.running.next() => self.settle(booking),
                batch = lines.recv(), if open && self.held + BATCH <= WINDOW => match batch {
                    Some(Read::Lines(batch)) => batch.into_iter().for_each(|line| self.take(line)),
                    Some(Read::Broken(error)) => self.end(Some(error.into()), &mut open),
                    Some(Read::End) => self.end(None, &mut open),
                    None => self.end(Some(BankError::Internal("the ledger's reader ended".to_owned())), &mut open),
                },
                () = &mut interrupted, if self.stopped.is_none() => self.stop(BankError::Interrupted),
                _ = ticks.tick() => self.console.tick(self.tally.transactions()),
            }
            if self.stopped.is_some() && open && self.ready.is_empty() && self.waiting.is_empty() {
                open = false;
                lines.close();
            }
        }
    }

    /// There are no more lines. Of a ledger that broke off, too, what was read is booked.
    fn end(&mut self, error: Option<BankError>, open: &mut bool) {
        *open = false;
        self.stopped = self.stopped.take().or(error);
    }

    /// Begins nothing more, for the first reason given.
    fn stop(&mut self, error: BankError) {
        self.stopped.get_or_insert(error);
        self.ready.clear();
        self.waiting.clear();
        self.held = 0;
    }

    fn take(&mut self, line: LedgerLine) {
        let row = match line.row {
            Ok(row) => row,
            Err(error) => {
                self.tally.malformed += 1;
                self.console.say(&format!(
                    "error: line {}: {}; mend it and import again",
                    line.number,
                    one_line(&error)
                ));
                return;
            }
        };
        self.held += 1;
        match self.waiting.get_mut(&row.account_id) {
            Some(earlier) => earlier.push_back((line.number, row)),
            None => {
                self.waiting.insert(row.account_id, VecDeque::new());
                self.ready.push_back((line.number, row));
            }
        }
    }

    fn begin(&mut self) {
        while self.running.len() < IN_FLIGHT
            && let Some((line, row)) = self.ready.pop_front()
        {
            self.held -= 1;
            self.running.push(Box::pin(book(self.accounts, line, row)));
        }
    }

    fn settle(&mut self, booking: Booking) {
        let Booking { line, row, result } = booking;
        match result {
            Ok(done) => self.tally.stands(&row, done.already),
            Err(BookError::Execute(error)) if error.is_refusal() || matches!(error, ExecuteError::KeyReused { .. }) => {
                self.tally.refused += 1;
                let (trans, account, why) = (row.trans_id, row.account_id, one_line(&error));
                self.console.say(&format!("error: line {line}: transaction {trans} of account {account}: {why}"));
            }
            Err(BookError::Execute(source)) => return self.stop(BankError::Row { line, source: Box::new(source) }),
            Err(BookError::Other(error)) => return self.stop(error),
        }
        match self.waiting.get_mut(&row.account_id).map(VecDeque::pop_front) {
            Some(Some(next)) => self.ready.push_back(next),
            Some(None) => drop(self.waiting.remove(&row.account_id)),
            None => {}
        }
    }
}

/// Ends when the user asks to stop; never, where that cannot be heard.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn book(accounts: &Repository<Account>, line: u64, row: Row) -> Booking {
    let result = execute(accounts, &row).await;
    Booking { line, row, result }
}

async fn execute(accounts: &Repository<Account>, row: &Row) -> Result<Executed, BookError> {
    let command = AccountCommand::Book { side: row.side, amount: row.amount };
    let key = Key::new(row.trans_id.to_string()).map_err(|error| BookError::Other(error.into()))?;
    let context = Context::new()
        .metadata(Metadata::new().occurred_at(row.occurred_at))
        .key(key, &(&command, row.occurred_at))
        .map_err(|error| BookError::Other(error.into()))?;
    accounts.execute_with(row.account_id.to_string(), command, context).await.map_err(BookError::Execute)
}
