//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use factum_ops::OpsCommand;

use crate::store_url::StoreUrl;

/// A bank on Factum. Without a command: a demo on a temporary file.
#[derive(Debug, Parser)]
#[command(name = "bank-account", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Where the bank's events and read models are: memory:, sqlite:FILE or postgres://USER@HOST/DATABASE
    /// [default: sqlite:bank.db]
    #[arg(long, global = true, value_name = "STORE", display_order = 100)]
    pub(crate) store: Option<StoreUrl>,
    /// Where the read models are, if they are elsewhere, such as sqlite:FILE beside events on a server
    #[arg(long, global = true, value_name = "STORE", display_order = 100)]
    pub(crate) read_models: Option<StoreUrl>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// One line of `run`: a command without the program's name and without a store of its own.
#[derive(Debug, Parser)]
#[command(name = "", multicall = false, no_binary_name = true, disable_help_subcommand = true)]
pub(crate) struct Line {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Book every row of a PKDD'99 ledger, plain or gzip; run twice, it adds nothing
    Import(ImportArgs),
    /// Open an account
    Open(OpenArgs),
    /// Pay into an account
    Deposit(AmountArgs),
    /// Take from an account
    Withdraw(AmountArgs),
    /// Close an account whose balance is 0.00
    Close(CloseArgs),
    /// Show an account as it is, or was
    Account(AccountArgs),
    /// Show the events of an account
    History(HistoryArgs),
    /// Show the balances of all accounts, highest first, as they are or were
    Balances(BalancesArgs),
    /// Show what went in and out in each month
    Turnover(TurnoverArgs),
    #[command(flatten)]
    Ops(OpsCommand),
    /// Record synthetic transactions, for measuring
    Generate(GenerateArgs),
    /// Send commands at a rate and check what is read meanwhile; exit code 1 if a read is wrong or fails
    Load(LoadArgs),
    /// Run one command per line, in one process
    Run(RunArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The ledger: columns trans_id, account_id, date, type and amount, in a header line, separated by ;
    pub(crate) file: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OpenArgs {
    /// The account
    pub(crate) id: String,
    /// Whose it is
    pub(crate) owner: String,
    /// How far below zero it may go, such as 500.00 [default: 0.00]
    #[arg(long, value_name = "AMOUNT", conflicts_with = "no_limit")]
    pub(crate) overdraft: Option<String>,
    /// It may go below zero without a limit
    #[arg(long)]
    pub(crate) no_limit: bool,
    #[command(flatten)]
    pub(crate) with: With,
}

#[derive(Debug, Args)]
pub(crate) struct AmountArgs {
    /// The account
    pub(crate) id: String,
    /// How much, such as 54298.70
    #[arg(allow_negative_numbers = true)]
    pub(crate) amount: String,
    #[command(flatten)]
    pub(crate) with: With,
}

#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    /// The account
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) with: With,
}

/// What accompanies a single command.
#[derive(Debug, Args)]
pub(crate) struct With {
    /// A name for this command: sent again under the same key, it happens once
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// The day on which it took effect [default: when it is recorded]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) on: Option<String>,
    /// Print the account that it leaves as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The account
    pub(crate) id: String,
    /// As it was after its event with this number
    #[arg(long, value_name = "N", conflicts_with = "as_of")]
    pub(crate) at_version: Option<u64>,
    /// As it was at the end of this day, by the time that things happened
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) as_of: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The account
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct BalancesArgs {
    /// As they were at the end of this day, by the time that things happened
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "at_position")]
    pub(crate) as_of: Option<String>,
    /// As they were after the event at this position of the log
    #[arg(long, value_name = "P")]
    pub(crate) at_position: Option<u64>,
    /// Show the N highest only; the total covers all
    #[arg(long, value_name = "N")]
    pub(crate) top: Option<usize>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct TurnoverArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// How many transactions; the events that open the accounts come on top
    pub(crate) transactions: u64,
    /// Spread over how many accounts
    #[arg(long, value_name = "M", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) accounts: u64,
    /// The same seed leads to the same transactions
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// How many commands a second
    #[arg(long, value_name = "R", default_value_t = 50.0, value_parser = positive)]
    pub(crate) rate: f64,
    /// For how long, in seconds
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = positive)]
    pub(crate) seconds: f64,
    /// On how many accounts, which it opens
    #[arg(long, value_name = "M", default_value = "20", value_parser = accounts)]
    pub(crate) accounts: usize,
    /// The same seed leads to the same commands
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.001..=1_000_000.0).contains(number));
    number.ok_or_else(|| "write a number from 0.001 to 1000000".to_owned())
}

fn accounts(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=100_000).contains(number))
        .ok_or_else(|| "write a number from 1 to 100000".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The file with the commands; - for standard input
    pub(crate) file: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        Line::command().debug_assert();
    }
}
