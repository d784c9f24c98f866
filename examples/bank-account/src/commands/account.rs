//! `account`, `history`: one account, from its events.

use std::io::Write;

use factum::{At, Loaded, Recorded, Version};
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;

use crate::account::{Account, AccountEvent};
use crate::bank::Bank;
use crate::cli::{AccountArgs, HistoryArgs};
use crate::day;
use crate::error::BankError;

/// An account that has events, ready to be shown.
pub(super) struct Shown {
    id: String,
    pub(super) state: Account,
    version: Version,
}

#[derive(Serialize)]
pub(super) struct AccountJson<'a> {
    account: &'a str,
    balance: String,
    version: Version,
    status: &'static str,
    owner: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    already: Option<bool>,
}

impl Shown {
    pub(super) fn new(id: &str, loaded: Loaded<Account>) -> Result<Self, BankError> {
        let version = loaded.version.ok_or_else(|| BankError::UnknownAccount { id: id.to_owned() })?;
        Ok(Self { id: id.to_owned(), state: loaded.state, version })
    }

    pub(super) fn json(&self, already: Option<bool>) -> AccountJson<'_> {
        AccountJson {
            account: &self.id,
            balance: self.state.balance.to_string(),
            version: self.version,
            status: self.state.status.name(),
            owner: &self.state.owner,
            already,
        }
    }

    fn print(&self, out: &mut dyn Write) -> Result<(), BankError> {
        let limit = self.state.overdraft_limit.map_or_else(|| "without limit".to_owned(), |limit| limit.to_string());
        writeln!(out, "account    {}", self.id)?;
        writeln!(out, "owner      {}", self.state.owner)?;
        writeln!(out, "status     {}", self.state.status.name())?;
        writeln!(out, "balance    {}", self.state.balance)?;
        writeln!(out, "overdraft  {limit}")?;
        writeln!(out, "version    {}", self.version)?;
        Ok(())
    }
}

/// `bank-account account`.
pub(super) async fn account(bank: &Bank, args: &AccountArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let shown = match (args.at_version, &args.as_of) {
        (None, None) => Shown::new(&args.id, bank.accounts().load(&args.id).await?)?,
        (Some(version), _) => at_version(bank, &args.id, version).await?,
        (None, Some(day)) => as_of(bank, &args.id, day).await?,
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&shown.json(None))?)?;
        return Ok(());
    }
    shown.print(out)
}

async fn at_version(bank: &Bank, id: &str, number: u64) -> Result<Shown, BankError> {
    let Ok(version) = Version::new(number) else {
        return Err(before_first(bank, id, "at version 0".to_owned()).await);
    };
    let shown = Shown::new(id, bank.accounts().load_at(id, At::Version(version)).await?)?;
    if shown.version < version {
        return Err(BankError::NoSuchVersion { id: id.to_owned(), version: number, last: shown.version.get() });
    }
    Ok(shown)
}

async fn as_of(bank: &Bank, id: &str, day: &str) -> Result<Shown, BankError> {
    let loaded = bank.accounts().load_at(id, At::Occurred(day::end(day)?)).await?;
    match Shown::new(id, loaded) {
        Ok(shown) => Ok(shown),
        Err(_) => Err(before_first(bank, id, format!("at the end of {day}")).await),
    }
}

/// Why an account cannot be shown at a time: it is unknown, or began later.
async fn before_first(bank: &Bank, id: &str, when: String) -> BankError {
    let id = id.to_owned();
    match bank.accounts().history(&id).next().await {
        Some(Ok(event)) => BankError::BeforeFirst { id, when, first: event.occurred_at().date_naive().to_string() },
        Some(Err(error)) => error.into(),
        None => BankError::UnknownAccount { id },
    }
}

/// `bank-account history`.
pub(super) async fn history(bank: &Bank, args: &HistoryArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let mut events = bank.accounts().history(&args.id);
    let mut any = false;
    while let Some(event) = events.try_next().await? {
        any = true;
        print_event(&event, out)?;
    }
    if any { Ok(()) } else { Err(BankError::UnknownAccount { id: args.id.clone() }) }
}

/// One line: version, day, position, what happened.
pub(crate) fn print_event(event: &Recorded<AccountEvent>, out: &mut dyn Write) -> Result<(), BankError> {
    let what = match &event.data {
        AccountEvent::Opened { owner, overdraft_limit: Some(limit) } => {
            format!("opened for {owner}, overdraft limit {limit}")
        }
        AccountEvent::Opened { owner, overdraft_limit: None } => format!("opened for {owner}, without overdraft limit"),
        AccountEvent::Deposited { amount } => format!("deposited {amount}"),
        AccountEvent::Withdrawn { amount } => format!("withdrawn {amount}"),
        AccountEvent::Closed => "closed".to_owned(),
    };
    let day = event.occurred_at().date_naive();
    writeln!(out, "{:>6}  {day}  position {:>8}  {what}", event.version, event.position)?;
    Ok(())
}
