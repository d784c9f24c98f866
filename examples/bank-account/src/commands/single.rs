//! `open`, `deposit`, `withdraw`, `close`: one command each.

use std::io::Write;

use chrono::{DateTime, Utc};
use factum::{Context, Key, Metadata};

use super::account::Shown;
use crate::account::AccountCommand;
use crate::bank::Bank;
use crate::cli::{AmountArgs, CloseArgs, OpenArgs, With};
use crate::day;
use crate::error::BankError;
use crate::money::Money;

pub(super) async fn open(bank: &Bank, args: &OpenArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let overdraft_limit = match &args.overdraft {
        _ if args.no_limit => None,
        Some(limit) => Some(limit.parse()?),
        None => Some(Money::ZERO),
    };
    let command = AccountCommand::Open { owner: args.owner.clone(), overdraft_limit };
    let what = format!("account {} opened for {}", args.id, args.owner);
    execute(bank, &args.id, command, &args.with, &what, out).await
}

pub(super) async fn deposit(bank: &Bank, args: &AmountArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let amount = args.amount.parse()?;
    let what = format!("{amount} deposited to {}", args.id);
    execute(bank, &args.id, AccountCommand::Deposit { amount }, &args.with, &what, out).await
}

pub(super) async fn withdraw(bank: &Bank, args: &AmountArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let amount = args.amount.parse()?;
    let what = format!("{amount} withdrawn from {}", args.id);
    execute(bank, &args.id, AccountCommand::Withdraw { amount }, &args.with, &what, out).await
}

pub(super) async fn close(bank: &Bank, args: &CloseArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let what = format!("account {} closed", args.id);
    execute(bank, &args.id, AccountCommand::Close, &args.with, &what, out).await
}

async fn execute(
    bank: &Bank,
    id: &str,
    command: AccountCommand,
    with: &With,
    what: &str,
    out: &mut dyn Write,
) -> Result<(), BankError> {
    let context = context(&command, with)?;
    let done = bank.accounts().execute_with(id, command, context).await?;
    let account = Shown::new(id, bank.accounts().load(id).await?)?;
    if with.json {
        writeln!(out, "{}", serde_json::to_string(&account.json(Some(done.already)))?)?;
        return Ok(());
    }
    let when = match (&with.key, done.version) {
        (Some(key), Some(version)) if done.already => format!("already, under key {key}, at version {version}"),
        (_, version) => version.map_or_else(String::new, |version| format!("version {version}")),
    };
    writeln!(out, "{what} ({when}); the balance is {}", account.state.balance)?;
    Ok(())
}

fn context(command: &AccountCommand, with: &With) -> Result<Context, BankError> {
    let on: Option<DateTime<Utc>> = with.on.as_deref().map(day::start).transpose()?;
    let metadata = on.map_or_else(Metadata::new, |time| Metadata::new().occurred_at(time));
    let context = Context::new().metadata(metadata);
    match &with.key {
        Some(key) => Ok(context.key(Key::new(key)?, &(command, on))?),
        None => Ok(context),
    }
}
