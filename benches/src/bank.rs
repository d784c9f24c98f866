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

/// Makes the payload of an event 98 bytes long, with an amount of five digits.
const PURPOSE: &str = "standing order 4711, savings plan, reference 2378-0001-1993, household";

impl Book {
    /// The row with this number of those whose events have a payload of 98 bytes.
    pub(crate) fn numbered(number: u64) -> Self {
        let cents = 10_000 + i64::try_from(number % 90_000).unwrap_or(0);
        Self { cents: if number.is_multiple_of(2) { cents } else { -cents }, purpose: PURPOSE }
    }

    /// What it does to an account.
    pub(crate) fn event(&self) -> AccountEvent {
        let purpose = self.purpose.to_owned();
        if self.cents < 0 {
            AccountEvent::Withdrawn { cents: self.cents.saturating_neg(), purpose }
        } else {
            AccountEvent::Deposited { cents: self.cents, purpose }
        }
    }
}

/// An account as its events left it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
        if self.open {
            return Ok(vec![row.event()]);
        }
        Ok(vec![AccountEvent::Opened { owner: "anonymous".to_owned() }, row.event()])
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
    fn numbered_rows_have_payloads_of_98_bytes() {
        for number in [0, 1, 89_999, 90_000, u64::MAX] {
            let event = Book::numbered(number).event();
            let event = factum::encode(&event, factum::Metadata::new(), factum::RoundTrip::Checked).unwrap();
            assert_eq!(event.payload.len(), 98, "{number}");
        }
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
