//! The aggregate that the checks of repositories use.

use std::fmt;

use factum::{Aggregate, Event};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum AccountCommand {
    Deposit {
        cents: i64,
    },
    Withdraw {
        cents: i64,
    },
    /// Leads to nothing.
    Look,
}

/// Why a withdrawal is refused.
#[derive(Debug, PartialEq)]
pub(crate) struct TooLittle {
    pub(crate) balance: i64,
}

impl fmt::Display for TooLittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only {} is left", self.balance)
    }
}

impl std::error::Error for TooLittle {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) balance: i64,
    pub(crate) events: u64,
}

impl Aggregate for Account {
    type Event = AccountEvent;
    type Command = AccountCommand;
    type Error = TooLittle;

    fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, TooLittle> {
        match *command {
            AccountCommand::Deposit { cents } => Ok(vec![AccountEvent::Deposited { cents }]),
            AccountCommand::Withdraw { cents } if cents > self.balance => Err(TooLittle { balance: self.balance }),
            AccountCommand::Withdraw { cents } => Ok(vec![AccountEvent::Withdrawn { cents }]),
            AccountCommand::Look => Ok(Vec::new()),
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        self.events += 1;
        match event {
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
        }
    }
}
