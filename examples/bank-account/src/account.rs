//! The account: what can happen to it, what it can be asked, why it refuses.

use factum::{Aggregate, Event};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::money::{Money, Sum};

/// What happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Opened {
        owner: String,
        /// How far below zero the balance may go; `None`: as far as it likes.
        overdraft_limit: Option<Money>,
    },
    Deposited {
        amount: Money,
    },
    Withdrawn {
        amount: Money,
    },
    Closed,
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

/// What an account is asked. Serialized, it is what a key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum AccountCommand {
    Open {
        owner: String,
        overdraft_limit: Option<Money>,
    },
    Deposit {
        amount: Money,
    },
    Withdraw {
        amount: Money,
    },
    Close,
    /// A row of a ledger that another bank kept: it happened, so only an account that is closed or has a limit refuses.
    /// The first one opens the account, without a limit, in the same append.
    Book {
        side: Side,
        amount: Money,
    },
}

/// Which way money went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Side {
    Credit,
    Debit,
}

/// Why an account refuses.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("the account is not open; open it first")]
    NotOpen,
    #[error("the account is already open, for {owner}")]
    AlreadyOpen { owner: String },
    #[error("the account is closed; a closed account takes no commands")]
    Closed,
    #[error("the owner has no name; give one")]
    NoOwner,
    #[error("the amount {amount} is not positive; give at least 0.01")]
    NotPositive { amount: Money },
    #[error("the overdraft limit {limit} is negative; give 0 for none")]
    NegativeLimit { limit: Money },
    #[error("insufficient funds: withdrawing {amount} from {balance} would exceed the overdraft limit of {limit}")]
    InsufficientFunds { amount: Money, balance: Sum, limit: Money },
    #[error("the balance is {balance}; an account is closed at 0.00")]
    BalanceLeft { balance: Sum },
}

/// Whether an account takes commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Nothing has happened yet.
    #[default]
    None,
    Open,
    Closed,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// An account as its events left it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) owner: String,
    pub(crate) overdraft_limit: Option<Money>,
    pub(crate) balance: Sum,
    pub(crate) status: Status,
}

/// Who owns an account that a ledger row opened: the data is anonymised.
const LEDGER_OWNER: &str = "anonymous";

impl Aggregate for Account {
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Error = Refusal;

    fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, Refusal> {
        match (self.status, command) {
            (Status::Closed, _) => Err(Refusal::Closed),
            (Status::None, AccountCommand::Open { owner, overdraft_limit }) => open(owner, *overdraft_limit),
            (Status::None, AccountCommand::Book { side, amount }) => {
                let opened = AccountEvent::Opened { owner: LEDGER_OWNER.to_owned(), overdraft_limit: None };
                Ok(vec![opened, side.event(*amount)])
            }
            (Status::None, _) => Err(Refusal::NotOpen),
            (Status::Open, AccountCommand::Open { .. }) => Err(Refusal::AlreadyOpen { owner: self.owner.clone() }),
            (Status::Open, AccountCommand::Deposit { amount }) => {
                positive(*amount)?;
                Ok(vec![AccountEvent::Deposited { amount: *amount }])
            }
            (Status::Open, AccountCommand::Withdraw { amount }) => {
                positive(*amount)?;
                self.cover(*amount)?;
                Ok(vec![AccountEvent::Withdrawn { amount: *amount }])
            }
            (Status::Open, AccountCommand::Book { side, amount }) => {
                if *side == Side::Debit {
                    self.cover(*amount)?;
                }
                Ok(vec![side.event(*amount)])
            }
            (Status::Open, AccountCommand::Close) if self.balance != Sum::ZERO => {
                Err(Refusal::BalanceLeft { balance: self.balance })
            }
            (Status::Open, AccountCommand::Close) => Ok(vec![AccountEvent::Closed]),
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        // As of a day, an event may come without the one that opened the account: a row recorded later, dated earlier.
        self.status = Status::Open;
        match event {
            AccountEvent::Opened { owner, overdraft_limit } => {
                self.owner.clone_from(owner);
                self.overdraft_limit = *overdraft_limit;
            }
            AccountEvent::Deposited { amount } => self.balance.add(*amount),
            AccountEvent::Withdrawn { amount } => self.balance.subtract(*amount),
            AccountEvent::Closed => self.status = Status::Closed,
        }
    }
}

impl Account {
    /// Whether a withdrawal stays within the overdraft limit.
    fn cover(&self, amount: Money) -> Result<(), Refusal> {
        match self.overdraft_limit {
            Some(limit) if self.balance.less(amount).is_below(limit) => {
                Err(Refusal::InsufficientFunds { amount, balance: self.balance, limit })
            }
            _ => Ok(()),
        }
    }
}

impl Side {
    fn event(self, amount: Money) -> AccountEvent {
        match self {
            Self::Credit => AccountEvent::Deposited { amount },
            Self::Debit => AccountEvent::Withdrawn { amount },
        }
    }
}

fn open(owner: &str, overdraft_limit: Option<Money>) -> Result<Vec<AccountEvent>, Refusal> {
    if owner.trim().is_empty() {
        return Err(Refusal::NoOwner);
    }
    if let Some(limit) = overdraft_limit.filter(|limit| limit.is_negative()) {
        return Err(Refusal::NegativeLimit { limit });
    }
    Ok(vec![AccountEvent::Opened { owner: owner.to_owned(), overdraft_limit }])
}

fn positive(amount: Money) -> Result<(), Refusal> {
    if amount.is_positive() { Ok(()) } else { Err(Refusal::NotPositive { amount }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(units: i64) -> Money {
        Money::minor(units)
    }

    fn account(events: &[AccountEvent]) -> Account {
        let mut account = Account::default();
        events.iter().for_each(|event| account.apply(event));
        account
    }

    fn opened(limit: Option<i64>) -> AccountEvent {
        AccountEvent::Opened { owner: "Jana".to_owned(), overdraft_limit: limit.map(money) }
    }

    fn refusal(events: &[AccountEvent], command: &AccountCommand) -> Refusal {
        account(events).decide(command).unwrap_err()
    }

    #[test]
    fn a_withdrawal_stops_exactly_at_the_overdraft_limit() {
        let events = [opened(Some(500)), AccountEvent::Deposited { amount: money(1_000) }];
        assert!(account(&events).decide(&AccountCommand::Withdraw { amount: money(1_500) }).is_ok());
        let refused = refusal(&events, &AccountCommand::Withdraw { amount: money(1_501) });
        assert_eq!(
            refused.to_string(),
            "insufficient funds: withdrawing 15.01 from 10.00 would exceed the overdraft limit of 5.00"
        );
    }

    #[test]
    fn without_a_limit_any_withdrawal_is_booked() {
        let command = AccountCommand::Withdraw { amount: money(i64::MAX) };
        assert_eq!(account(&[opened(None)]).decide(&command).unwrap().len(), 1);
    }

    #[test]
    fn a_first_ledger_row_opens_and_books_even_a_debit_and_even_nothing() {
        for (side, amount) in [(Side::Credit, 700), (Side::Debit, 700), (Side::Credit, 0)] {
            let command = AccountCommand::Book { side, amount: money(amount) };
            let events = Account::default().decide(&command).unwrap();
            assert!(matches!(events[0], AccountEvent::Opened { overdraft_limit: None, .. }));
            assert_eq!(events.len(), 2);
            assert_eq!(account(&events).decide(&command).unwrap().len(), 1);
        }
    }

    #[test]
    fn amounts_must_be_positive() {
        for amount in [money(0), money(-1)] {
            let expected = Refusal::NotPositive { amount };
            assert_eq!(refusal(&[opened(None)], &AccountCommand::Deposit { amount }), expected);
            assert_eq!(refusal(&[opened(None)], &AccountCommand::Withdraw { amount }), expected);
        }
    }

    #[test]
    fn an_account_opens_once_and_closes_empty() {
        let open = AccountCommand::Open { owner: "Petr".to_owned(), overdraft_limit: None };
        assert_eq!(refusal(&[opened(None)], &open), Refusal::AlreadyOpen { owner: "Jana".to_owned() });
        assert_eq!(refusal(&[], &AccountCommand::Close), Refusal::NotOpen);
        let nameless = AccountCommand::Open { owner: " ".to_owned(), overdraft_limit: None };
        assert_eq!(refusal(&[], &nameless), Refusal::NoOwner);
        let negative = AccountCommand::Open { owner: "Petr".to_owned(), overdraft_limit: Some(money(-1)) };
        assert_eq!(refusal(&[], &negative), Refusal::NegativeLimit { limit: money(-1) });
        let some = [opened(None), AccountEvent::Deposited { amount: money(1) }];
        assert!(matches!(refusal(&some, &AccountCommand::Close), Refusal::BalanceLeft { .. }));
        assert_eq!(account(&[opened(None)]).decide(&AccountCommand::Close).unwrap(), [AccountEvent::Closed]);
    }

    #[test]
    fn a_closed_account_takes_nothing() {
        let closed = [opened(None), AccountEvent::Closed];
        for command in [
            AccountCommand::Open { owner: "Petr".to_owned(), overdraft_limit: None },
            AccountCommand::Deposit { amount: money(1) },
            AccountCommand::Withdraw { amount: money(1) },
            AccountCommand::Book { side: Side::Credit, amount: money(1) },
            AccountCommand::Close,
        ] {
            assert_eq!(refusal(&closed, &command), Refusal::Closed);
        }
    }
}
