//! A bank on Factum: the example that is also the test of everything.
//!
//! ```text
//! cargo run -p bank-account                        a demo on a temporary SQLite file
//! bank-account import ledger.csv.gz                a ledger of 28,205 transactions, every one a command
//! bank-account account 2378 --as-of 1993-06-30     an account as it was
//! bank-account balances --top 5                    from the read model, brought up to the head first
//! bank-account replay balances                     the read model anew, while the old one serves
//! bank-account load --rate 100 --seconds 10        commands at a rate, and every read checked
//! bank-account doctor                              why something does not move, and what to do
//! bank-account --store postgres://teller@localhost/bank import ledger.csv.gz
//! bank-account --help                              all commands
//! ```
//!
//! # Where to read
//!
//! - `account.rs`: the aggregate. What may happen to an account, and why it refuses. Pure: no clock, no I/O.
//! - `read_models.rs`: the projections `balances` and `monthly-turnover`.
//! - `bank.rs`: a store, the accounts in it, the read models beside them; memory, SQLite or Postgres by one line.
//! - `import.rs`: a ledger of any length through `Repository::execute_with`, many accounts in flight, each row under the
//!   bank's own transaction id as key, so that an import that was killed is run again and books nothing twice.
//! - `commands/`: one file for each command of the command line. Those for operators (`replay`, `status`, `doctor`, `resume`,
//!   `generations`, `verify`, `read-model`) come from `factum-ops`.
//! - `load.rs`: commands at a rate, on accounts of its own, and reads that are judged: each must be exactly what was true.
//! - `demo.rs`: the story that is told without a command.
//!
//! # Exit codes
//!
//! 0: done. 1: refused, not found, or failed, with one line on stderr that says what to do. 2: wrong usage. 3: `verify` found a difference, or
//! `doctor` that not all is well. 130: an import was interrupted.

mod account;
mod bank;
mod cli;
mod commands;
mod day;
mod demo;
mod error;
mod import;
mod ledger;
mod load;
mod money;
mod read_models;
mod store_url;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use bank::Bank;
use cli::{Cli, Command};
use error::BankError;

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|usage| store_url::without_passwords(usage).exit());
    if cli.command.is_none() && (cli.store.is_some() || cli.read_models.is_some()) {
        let what = "the demo makes a file of its own; name a command to use --store or --read-models";
        Cli::command().error(clap::error::ErrorKind::MissingSubcommand, what).exit();
    }
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| BankError::Internal(error.to_string()))
        .and_then(|runtime| runtime.block_on(execute(&cli)));
    match result {
        Ok(code) => code,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell that stderr is gone.
            let _ = writeln!(io::stderr(), "error: {}", error.line());
            if matches!(error, BankError::Interrupted) { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

async fn execute(cli: &Cli) -> Result<ExitCode, BankError> {
    let mut out = io::BufWriter::new(io::stdout());
    let Some(command) = &cli.command else {
        demo::demo(&mut out).await?;
        out.flush()?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Command::Import(args) = command {
        // A ledger that is not there is told before a bank is made for it.
        ledger::look(&args.file)?;
    }
    let store = cli.store.clone().unwrap_or_default();
    let bank = Bank::open(&store, cli.read_models.as_ref(), command.access()).await?;
    let result = match command {
        Command::Run(args) => commands::run(&bank, args, &mut out).await.map(|()| ExitCode::SUCCESS),
        other => other.execute(&bank, &mut out).await,
    };
    let flushed = out.flush();
    let closed = bank.close().await;
    let code = result?;
    flushed?;
    closed?;
    Ok(code)
}
