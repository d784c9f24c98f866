//! `generate`: synthetic transactions, for measuring.
//!
//! They go to the store in large appends, past the aggregate: what is measured with them is what comes after. They are
//! the events that commands would have led to.

use std::collections::HashMap;
use std::io::Write;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use factum::{Append, Condition, Metadata, NewEvent, RoundTrip, StreamId, StreamWrite, encode};
use fastrand::Rng;

use crate::account::{AccountEvent, Status};
use crate::bank::Bank;
use crate::cli::GenerateArgs;
use crate::error::BankError;
use crate::money::Money;

/// How many transactions go into one append.
const BATCH: u64 = 2_000;

/// When the generated transactions begin: 2020-01-01.
const START: DateTime<Utc> = match DateTime::from_timestamp(1_577_836_800, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

/// `bank-account generate`.
pub(super) async fn generate(bank: &Bank, args: &GenerateArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let begun = Instant::now();
    let mut generator = Generator::new(bank, args)?;
    let mut left = args.transactions;
    while left > 0 {
        let batch = left.min(BATCH);
        generator.append(batch).await?;
        left -= batch;
    }
    let seconds = begun.elapsed().as_secs_f64();
    writeln!(
        out,
        "{} transactions and {} openings recorded in {seconds:.2} s; the head is at {}",
        args.transactions,
        generator.openings,
        bank.store().head().await?
    )?;
    Ok(())
}

struct Generator<'a> {
    bank: &'a Bank,
    rng: Rng,
    accounts: Vec<(StreamId, Known)>,
    time: DateTime<Utc>,
    openings: u64,
}

/// What is known of whether an account is open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Open,
}

impl<'a> Generator<'a> {
    fn new(bank: &'a Bank, args: &GenerateArgs) -> Result<Self, BankError> {
        let accounts = (1..=args.accounts)
            .map(|number| Ok((bank.accounts().stream(format!("g{number}"))?, Known::Nothing)))
            .collect::<Result<_, BankError>>()?;
        Ok(Self { bank, rng: Rng::with_seed(args.seed), accounts, time: START, openings: 0 })
    }

    /// Appends so many transactions at once, with the openings of the accounts that had none yet.
    async fn append(&mut self, transactions: u64) -> Result<(), BankError> {
        let mut append = Append::default();
        let mut writes: HashMap<usize, usize> = HashMap::new();
        for _ in 0..transactions {
            let account = self.rng.usize(..self.accounts.len());
            let place = match writes.get(&account) {
                Some(place) => *place,
                None => {
                    append.writes.push(self.write(account).await?);
                    writes.insert(account, append.writes.len() - 1);
                    append.writes.len() - 1
                }
            };
            let event = self.transaction()?;
            append.writes[place].events.push(event);
        }
        self.bank.store().append(append).await?;
        Ok(())
    }

    /// A write to an account; with its opening, if the bank does not know it.
    async fn write(&mut self, account: usize) -> Result<StreamWrite, BankError> {
        let (stream, known) = self.accounts[account].clone();
        let mut write = StreamWrite { stream, condition: Condition::Exists, events: Vec::new() };
        if known == Known::Nothing {
            self.accounts[account].1 = Known::Open;
            match self.bank.accounts().load(write.stream.id()).await?.state.status {
                Status::Open => {}
                Status::Closed => return Err(BankError::GeneratedClosed { id: write.stream.id().to_owned() }),
                Status::None => {
                    write.condition = Condition::NoStream;
                    let opened = AccountEvent::Opened { owner: "generated".to_owned(), overdraft_limit: None };
                    write.events.push(self.event(&opened)?);
                    self.openings += 1;
                }
            }
        }
        Ok(write)
    }

    /// The next transaction, a minute after the last one.
    fn transaction(&mut self) -> Result<NewEvent, BankError> {
        self.time = self.time.checked_add_signed(TimeDelta::minutes(1)).unwrap_or(self.time);
        let amount = Money::minor(self.rng.i64(1..=1_000_000));
        // A little more goes in than out.
        let credit = self.rng.u8(..100) < 55;
        self.event(&if credit { AccountEvent::Deposited { amount } } else { AccountEvent::Withdrawn { amount } })
    }

    fn event(&self, event: &AccountEvent) -> Result<NewEvent, BankError> {
        Ok(encode(event, Metadata::new().occurred_at(self.time), RoundTrip::Unchecked)?)
    }
}
