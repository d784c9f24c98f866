//! What each command of the command line does.

mod account;
mod balances;
mod generate;
mod run;
mod single;
mod turnover;

use std::io::Write;
use std::process::ExitCode;

use crate::bank::{Access, Bank};
use crate::cli::Command;
use crate::error::BankError;
use crate::import::import;
use crate::load::load;

pub(crate) use account::print_event;
pub(crate) use balances::{Top, balances, print as print_balances};
pub(crate) use run::run;

impl Command {
    /// What it needs the store for.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Import(_) | Self::Open(_) | Self::Deposit(_) | Self::Withdraw(_) | Self::Close(_) => Access::Create,
            Self::Generate(_) | Self::Load(_) | Self::Run(_) => Access::Create,
            Self::Account(_) | Self::History(_) | Self::Balances(_) | Self::Turnover(_) | Self::Ops(_) => {
                Access::Existing
            }
        }
    }

    /// Does it; what it shows goes to `out`.
    pub(crate) async fn execute(&self, bank: &Bank, out: &mut dyn Write) -> Result<ExitCode, BankError> {
        match self {
            Self::Import(args) => return import(bank, args, out).await,
            Self::Open(args) => single::open(bank, args, out).await?,
            Self::Deposit(args) => single::deposit(bank, args, out).await?,
            Self::Withdraw(args) => single::withdraw(bank, args, out).await?,
            Self::Close(args) => single::close(bank, args, out).await?,
            Self::Account(args) => account::account(bank, args, out).await?,
            Self::History(args) => account::history(bank, args, out).await?,
            Self::Balances(args) => balances::command(bank, args, out).await?,
            Self::Turnover(args) => turnover::turnover(bank, args, out).await?,
            Self::Ops(command) => return Ok(command.run(bank.projector()).await),
            Self::Generate(args) => generate::generate(bank, args, out).await?,
            Self::Load(args) => return load(bank, args, out).await,
            Self::Run(args) => return Err(BankError::RunInRun { file: args.file.clone() }),
        }
        Ok(ExitCode::SUCCESS)
    }
}
