//! The aggregate of these tests.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, Event};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum AccountEvent {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
    Noted { text: String },
    Cursed,
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

#[derive(Clone, Debug, Serialize)]
pub(super) enum Command {
    Deposit(i64),
    Withdraw(i64),
    /// Leads to nothing.
    Look,
    /// A payload of so many bytes.
    Note(usize),
    /// Panics as it is decided.
    Panic,
    /// Deposits, and panics as its second event is applied.
    Curse(i64),
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("only {balance} is left")]
pub(super) struct TooLittle {
    pub(super) balance: i64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Account {
    pub(super) balance: i64,
    pub(super) events: u64,
}

impl Aggregate for Account {
    type Event = AccountEvent;
    type Command = Command;
    type Error = TooLittle;

    fn decide(&self, command: &Command) -> Result<Vec<AccountEvent>, TooLittle> {
        match *command {
            Command::Deposit(cents) => Ok(vec![AccountEvent::Deposited { cents }]),
            Command::Withdraw(cents) if cents > self.balance => Err(TooLittle { balance: self.balance }),
            Command::Withdraw(cents) => Ok(vec![AccountEvent::Withdrawn { cents }]),
            Command::Look => Ok(Vec::new()),
            Command::Note(bytes) => Ok(vec![AccountEvent::Noted { text: "a".repeat(bytes) }]),
            Command::Panic => panic!("decided at {}", self.balance),
            Command::Curse(cents) => Ok(vec![AccountEvent::Deposited { cents }, AccountEvent::Cursed]),
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        self.events += 1;
        match event {
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
            AccountEvent::Noted { .. } => {}
            AccountEvent::Cursed => panic!("cursed"),
        }
    }
}
