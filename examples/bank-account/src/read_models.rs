//! What is read: balances by account, turnover by month.

use chrono::Datelike;
use factum::{Field, Recorded};
use factum_projections::{FieldValues, Keys, Projection};
use serde::{Deserialize, Serialize};

use crate::account::AccountEvent;
use crate::money::Sum;

/// The balance of each account that is not closed, by account id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Balances;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) balance: Sum,
}

impl Projection for Balances {
    const NAME: &'static str = "balances";
    const FIELDS: &'static [Field] = &[Field::integer("cents")];
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _account: &str, document: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        // As of a day, the event that opened the account may be missing: a row recorded later, dated earlier.
        let balance = &mut document.get_or_insert_default().balance;
        match &event.data {
            AccountEvent::Opened { .. } => {}
            AccountEvent::Deposited { amount } => balance.add(*amount),
            AccountEvent::Withdrawn { amount } => balance.subtract(*amount),
            AccountEvent::Closed => *document = None,
        }
    }

    fn fields(&self, _account: &str, document: &Balance, values: &mut FieldValues) {
        values.set("cents", document.balance.nearest());
    }
}

/// What went in and out in each month, by the time it happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonthlyTurnover;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Turnover {
    pub(crate) credits: Sum,
    pub(crate) debits: Sum,
    pub(crate) count: u64,
}

impl Projection for MonthlyTurnover {
    const NAME: &'static str = "monthly-turnover";
    const EVENT_TYPES: &'static [&'static str] = &["Deposited", "Withdrawn"];
    type Event = AccountEvent;
    type Document = Turnover;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        let day = event.occurred_at();
        keys.push(format!("{:04}-{:02}", day.year(), day.month()));
    }

    fn apply(&self, _month: &str, document: &mut Option<Turnover>, event: &Recorded<AccountEvent>) {
        let turnover = document.get_or_insert_default();
        match &event.data {
            AccountEvent::Deposited { amount } => turnover.credits.add(*amount),
            AccountEvent::Withdrawn { amount } => turnover.debits.add(*amount),
            AccountEvent::Opened { .. } | AccountEvent::Closed => return,
        }
        turnover.count += 1;
    }

    /// A month's accounts may lie in several logs.
    fn merge(&self, _month: &str, parts: Vec<Turnover>) -> Option<Turnover> {
        Some(Turnover {
            credits: Sum::total(parts.iter().map(|part| part.credits)),
            debits: Sum::total(parts.iter().map(|part| part.debits)),
            count: parts.iter().map(|part| part.count).sum(),
        })
    }
}
