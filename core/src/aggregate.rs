//! What a user writes: state that decides.

use crate::event::Event;

/// State rebuilt from one stream, deciding on commands.
///
/// Both functions are pure: no clock, no I/O, nothing async. Time that matters is part of a command.
///
/// ```
/// use factum::{Aggregate, Event};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Deposited { cents: i64 }, Withdrawn { cents: i64 } }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// enum AccountCommand { Deposit { cents: i64 }, Withdraw { cents: i64 } }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("only {balance} is left")]
/// struct TooLittle { balance: i64 }
///
/// #[derive(Default)]
/// struct Account { balance: i64 }
///
/// impl Aggregate for Account {
///     type Event = AccountEvent;
///     type Command = AccountCommand;
///     type Error = TooLittle;
///
///     fn decide(&self, command: &AccountCommand) -> Result<Vec<AccountEvent>, TooLittle> {
///         match *command {
///             AccountCommand::Deposit { cents } => Ok(vec![AccountEvent::Deposited { cents }]),
///             AccountCommand::Withdraw { cents } if cents > self.balance => Err(TooLittle { balance: self.balance }),
///             AccountCommand::Withdraw { cents } => Ok(vec![AccountEvent::Withdrawn { cents }]),
///         }
///     }
///
///     fn apply(&mut self, event: &AccountEvent) {
///         match event {
///             AccountEvent::Deposited { cents } => self.balance += cents,
///             AccountEvent::Withdrawn { cents } => self.balance -= cents,
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an aggregate",
    note = "implement `factum::Aggregate` for it; its state must have a `Default`"
)]
pub trait Aggregate: Default + Send + Sync + 'static {
    /// What it records.
    type Event: Event;
    /// What it is asked.
    type Command: Send + Sync;
    /// Why it refuses.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Raised when a saved state no longer means what it meant, even if it would still decode: older snapshots are
    /// then ignored.
    const SNAPSHOT_SCHEMA: u32 = 1;

    /// Decides on a command: the events that it leads to (none is fine), or why it is refused.
    ///
    /// # Errors
    /// The aggregate's own, which the caller of `Repository::execute` gets as it is.
    fn decide(&self, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Takes an event into the state. Events are facts: there is nothing to refuse.
    fn apply(&mut self, event: &Self::Event);
}
