//! The read models of the bank.

use factum::Recorded;
use factum_projections::{Keys, Projection};
use serde::{Deserialize, Serialize};

use crate::bank::AccountEvent;

/// What an account holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Balance {
    cents: i64,
    transactions: u64,
}

/// One document for each account.
#[derive(Debug)]
pub(crate) struct Balances;

impl Projection for Balances {
    const NAME: &'static str = "balances";
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, balance: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        let balance = balance.get_or_insert_default();
        match &event.data {
            AccountEvent::Opened { .. } => return,
            AccountEvent::Deposited { cents, .. } => balance.cents += cents,
            AccountEvent::Withdrawn { cents, .. } => balance.cents -= cents,
        }
        balance.transactions += 1;
    }
}

/// What went in and out in a month.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Turnover {
    credits: i64,
    debits: i64,
}

/// One document for each month, by the time at which a transaction happened.
#[derive(Debug)]
pub(crate) struct MonthlyTurnover;

impl Projection for MonthlyTurnover {
    const NAME: &'static str = "monthly-turnover";
    type Event = AccountEvent;
    type Document = Turnover;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        if !matches!(event.data, AccountEvent::Opened { .. }) {
            keys.push(event.occurred_at().format("%Y-%m").to_string());
        }
    }

    fn apply(&self, _: &str, turnover: &mut Option<Turnover>, event: &Recorded<AccountEvent>) {
        let turnover = turnover.get_or_insert_default();
        match &event.data {
            AccountEvent::Opened { .. } => {}
            AccountEvent::Deposited { cents, .. } => turnover.credits += cents,
            AccountEvent::Withdrawn { cents, .. } => turnover.debits += cents,
        }
    }
}
