//! What `bank-account` tells without a command: the life of an account, in thirty lines, on a temporary file.

mod rival;

use std::io::Write;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use factum::{
    Append, At, Condition, Context, ExecuteError, Executed, Metadata, Repository, RoundTrip, Version, encode,
};
use factum_projections::ReplayOptions;
use futures_util::TryStreamExt;

use crate::account::{Account, AccountCommand, AccountEvent};
use crate::bank::{Access, Bank};
use crate::commands::{Top, balances, print_balances};
use crate::day;
use crate::error::BankError;
use crate::money::Money;
use crate::store_url::StoreUrl;
use rival::RivalStore;

/// `bank-account`.
pub(crate) async fn demo(out: &mut dyn Write) -> Result<(), BankError> {
    let folder = tempfile::tempdir().map_err(BankError::Temporary)?;
    let url = StoreUrl::Sqlite(folder.path().join("demo.db"));
    let bank = Bank::open(&url, None, Access::Create).await?;
    writeln!(out, "A bank in a temporary SQLite file. Every command is on disk before it is answered.\n")?;
    commands(&bank, out).await?;
    conflict(&bank, out).await?;
    reads(&bank, out).await?;
    bank.close().await
}

/// Open, deposit, withdraw, and a withdrawal that is refused.
async fn commands(bank: &Bank, out: &mut dyn Write) -> Result<(), BankError> {
    let steps = [
        ("jana", "2026-03-02", "open, overdraft limit 100.00", open("Jana", 10_000)),
        ("jana", "2026-03-02", "deposit 500.00", AccountCommand::Deposit { amount: Money::minor(50_000) }),
        ("petr", "2026-03-09", "open, no overdraft", open("Petr", 0)),
        ("petr", "2026-03-31", "deposit 80.00", AccountCommand::Deposit { amount: Money::minor(8_000) }),
        ("jana", "2026-04-01", "withdraw 120.50", AccountCommand::Withdraw { amount: Money::minor(12_050) }),
        ("jana", "2026-04-02", "withdraw 600.00", AccountCommand::Withdraw { amount: Money::minor(60_000) }),
    ];
    for (id, day, what, command) in steps {
        let answer = match bank.accounts().execute_with(id, command, on(day::start(day)?)).await {
            Ok(done) => recorded(&done),
            Err(ExecuteError::Refused(refusal)) => format!("refused: {refusal}"),
            Err(error) => return Err(error.into()),
        };
        writeln!(out, "{day}  {id}  {what:<30} {answer}")?;
    }
    Ok(())
}

/// A command whose stream somebody else writes to between load and append.
async fn conflict(bank: &Bank, out: &mut dyn Write) -> Result<(), BankError> {
    let day = "2026-04-03";
    let salary = AccountEvent::Deposited { amount: Money::minor(100_000) };
    let metadata = Metadata::new().occurred_at(day::start(day)?);
    let rival = Append::to(
        bank.accounts().stream("jana")?,
        Condition::Any,
        vec![encode(&salary, metadata, RoundTrip::Checked)?],
    );
    let raced = Repository::<Account>::new(Arc::new(RivalStore::new(bank.store().clone(), rival)));
    let rent = AccountCommand::Withdraw { amount: Money::minor(45_000) };
    let done = raced.execute_with("jana", rent, on(day::start(day)?)).await?;
    writeln!(out, "{day}  jana  {:<30} {}, decided {} times:", "withdraw 450.00", recorded(&done), done.attempts)?;
    writeln!(
        out,
        "                  a deposit of 1000.00 came in between, which was a conflict and is no longer one\n"
    )?;
    Ok(())
}

/// Read models, the past, and a replay.
async fn reads(bank: &Bank, out: &mut dyn Write) -> Result<(), BankError> {
    writeln!(out, "balances, from the read model:")?;
    print_balances(&balances(bank, None, Top::All).await?, out)?;
    let june = At::Occurred(day::end("2026-03-31")?);
    writeln!(out, "balances as of 2026-03-31:")?;
    print_balances(&balances(bank, Some(june), Top::All).await?, out)?;

    let then = bank.accounts().load_at("jana", At::Version(Version::FIRST.next())).await?;
    writeln!(out, "\njana at version 2: balance {}. Her history:", then.state.balance)?;
    let events: Vec<_> = bank.accounts().history("jana").try_collect().await?;
    for event in &events {
        crate::commands::print_event(event, out)?;
    }
    let replayed = bank.projector().replay("balances", ReplayOptions::default(), |_| ()).await?;
    writeln!(
        out,
        "\nbalances replayed from {} events into generation {}, while generation 1 served; then switched.",
        replayed.events, replayed.generation
    )?;
    writeln!(out, "Try: bank-account import LEDGER; bank-account balances --top 5; bank-account --help")?;
    Ok(())
}

fn open(owner: &str, overdraft: i64) -> AccountCommand {
    AccountCommand::Open { owner: owner.to_owned(), overdraft_limit: Some(Money::minor(overdraft)) }
}

fn on(day: DateTime<Utc>) -> Context {
    Context::new().metadata(Metadata::new().occurred_at(day))
}

fn recorded(done: &Executed) -> String {
    let version = done.version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    format!("version {version}, position {}", done.cursor)
}
