//! What became of the rows of a ledger.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use crate::account::Side;
use crate::error::BankError;
use crate::ledger::Row;
use crate::money::Sum;

/// Counts rows; accounts and amounts are those of the rows that stand in the bank, booked now or before.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) added: u64,
    pub(super) already: u64,
    pub(super) refused: u64,
    pub(super) malformed: u64,
    accounts: HashSet<u64>,
    credits: Sum,
    debits: Sum,
}

#[derive(Serialize)]
struct Report {
    transactions: u64,
    accounts: usize,
    added: u64,
    already: u64,
    refused: u64,
    malformed: u64,
    credits: String,
    debits: String,
    seconds: f64,
}

impl Tally {
    /// A row that stands in the bank.
    pub(super) fn stands(&mut self, row: &Row, already: bool) {
        let count = if already { &mut self.already } else { &mut self.added };
        *count += 1;
        self.accounts.insert(row.account_id);
        match row.side {
            Side::Credit => self.credits.add(row.amount),
            Side::Debit => self.debits.add(row.amount),
        }
    }

    pub(super) fn transactions(&self) -> u64 {
        self.added + self.already + self.left_out()
    }

    /// Rows that do not stand in the bank.
    pub(super) fn left_out(&self) -> u64 {
        self.refused + self.malformed
    }

    fn line(&self) -> String {
        format!(
            "{} transactions: {} added, {} already there, {} refused, {} malformed; {} accounts, credits {}, debits {}",
            self.transactions(),
            self.added,
            self.already,
            self.refused,
            self.malformed,
            self.accounts.len(),
            self.credits,
            self.debits,
        )
    }

    pub(super) fn print(
        &self,
        took: Duration,
        caught_up: bool,
        json: bool,
        out: &mut dyn Write,
    ) -> Result<(), BankError> {
        if !json {
            let (line, seconds) = (self.line(), took.as_secs_f64());
            let end = if caught_up { "read models caught up" } else { "stopped" };
            writeln!(out, "{line}; {end} after {seconds:.2} s")?;
            return Ok(());
        }
        let report = Report {
            transactions: self.transactions(),
            accounts: self.accounts.len(),
            added: self.added,
            already: self.already,
            refused: self.refused,
            malformed: self.malformed,
            credits: self.credits.to_string(),
            debits: self.debits.to_string(),
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
        };
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        Ok(())
    }
}
