//! The bank of the workloads: an account small enough that measuring it measures the library.

use factum::{Aggregate, Event};
use serde::{Deserialize, Serialize};

/// What happened to an account. Amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: i64, purpose: String },
    Withdrawn { cents: i64, purpose: String },
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

/// A row of a ledger: money that went in or, where negative, out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Book {
    pub(crate) cents: i64,
    pub(crate) purpose: &'static str,
}

impl Book {
    fn event(&self) -> AccountEvent {
        let purpose = self.purpose.to_owned();
        if self.cents < 0 {
            AccountEvent::Withdrawn { cents: self.cents.saturating_neg(), purpose }
        } else {
            AccountEvent::Deposited { cents: self.cents, purpose }
        }
    }
}

/// An account as its events left it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    open: bool,
    cents: i64,
}

impl Aggregate for Account {
    type Event = AccountEvent;
    type Command = Book;
    type Error = std::convert::Infallible;

    /// The first row opens the account, in the same append.
    fn decide(&self, row: &Book) -> Result<Vec<AccountEvent>, Self::Error> {
        let opened = (!self.open).then(|| AccountEvent::Opened { owner: "anonymous".to_owned() });
        Ok(opened.into_iter().chain([row.event()]).collect())
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { cents, .. } => self.cents += cents,
            AccountEvent::Withdrawn { cents, .. } => self.cents -= cents,
        }
    }
}

/// One transaction of a generated ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    pub(crate) id: u64,
    pub(crate) account: u32,
    /// Days since the first of the ledger; does not decrease.
    pub(crate) day: u32,
    pub(crate) book: Book,
}

/// As many transactions of as many accounts, the same ones each time.
pub(crate) fn ledger(transactions: usize, accounts: u32) -> impl Iterator<Item = Transaction> {
    const PURPOSES: [&str; 4] = ["", "household", "interest", "insurance payment"];
    let mut random = fastrand::Rng::with_seed(1993);
    (1_u64..).take(transactions).map(move |id| {
        let cents = random.i64(-500_000..1_000_000);
        let purpose = PURPOSES[random.usize(..PURPOSES.len())];
        let day = u32::try_from(id * 365 / (transactions as u64 + 1)).unwrap_or(364);
        Transaction { id, account: random.u32(..accounts), day, book: Book { cents, purpose } }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_the_same_each_time_and_its_days_do_not_decrease() {
        let ledger: Vec<_> = super::ledger(1_000, 40).collect();
        assert_eq!(ledger, super::ledger(1_000, 40).collect::<Vec<_>>());
        assert!(ledger.is_sorted_by_key(|transaction| transaction.day));
        assert!(ledger.iter().all(|transaction| transaction.account < 40 && transaction.day < 365));
    }

    #[test]
    fn the_first_row_opens_and_books() {
        let mut account = Account::default();
        let row = Book { cents: -5, purpose: "" };
        let events = account.decide(&row).unwrap();
        events.iter().for_each(|event| account.apply(event));
        assert_eq!((events.len(), account.cents), (2, -5));
        assert_eq!(account.decide(&row).unwrap().len(), 1);
    }
}
