//! `balances`: every account's balance, now or then, from the read model.

use std::io::Write;

use factum::{At, Cursor, Position};
use factum_projections::{Entry, PageRequest, Projection, ReadModel};
use serde::Serialize;

use crate::bank::Bank;
use crate::cli::BalancesArgs;
use crate::day;
use crate::error::BankError;
use crate::money::Sum;
use crate::read_models::{Balance, Balances};

/// How many balances are read at once.
const PAGE: usize = 5_000;

/// How many balances are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Top {
    All,
    Highest(usize),
}

/// The balances at one moment.
pub(crate) struct Listed {
    position: Cursor,
    accounts: usize,
    total: Sum,
    /// Highest first, those of the same height by account id.
    balances: Vec<(String, Sum)>,
}

#[derive(Serialize)]
struct BalancesJson {
    position: Cursor,
    accounts: usize,
    total: String,
    balances: Vec<BalanceJson>,
}

#[derive(Serialize)]
struct BalanceJson {
    account: String,
    balance: String,
}

/// `bank-account balances`.
pub(super) async fn command(bank: &Bank, args: &BalancesArgs, out: &mut dyn Write) -> Result<(), BankError> {
    let at = match (&args.as_of, args.at_position) {
        (Some(day), _) => Some(At::Occurred(day::end(day)?)),
        (None, Some(position)) => Some(At::from(Position::new(position))),
        (None, None) => None,
    };
    let listed = balances(bank, at, args.top.map_or(Top::All, Top::Highest)).await?;
    if !args.json {
        return print(&listed, out);
    }
    let balances = listed.balances.into_iter();
    let json = BalancesJson {
        position: listed.position,
        accounts: listed.accounts,
        total: listed.total.to_string(),
        balances: balances.map(|(account, sum)| BalanceJson { account, balance: sum.to_string() }).collect(),
    };
    writeln!(out, "{}", serde_json::to_string(&json)?)?;
    Ok(())
}

/// Lists the balances as they are, or were, after everything recorded by now.
pub(crate) async fn balances(bank: &Bank, at: Option<At>, top: Top) -> Result<Listed, BankError> {
    bank.projector().catch_up_one(Balances::NAME).await?;
    let model = bank.projector().read_model::<Balances>();
    let listed = match (at, top) {
        (Some(at), _) => list_at(&model, at).await?,
        (None, Top::Highest(count)) => match highest(&model, count).await? {
            Pages::OfOneMoment(listed) => return Ok(listed),
            Pages::Moved { first } => list_at(&model, first.into()).await?,
        },
        (None, Top::All) => match list(&model).await? {
            Pages::OfOneMoment(listed) => listed,
            // Somebody writes while we read: how things stood at the first page is the same on all of them.
            Pages::Moved { first } => list_at(&model, first.into()).await?,
        },
    };
    Ok(listed.sorted(top))
}

/// The highest by the index of the read model; the others are only added up, none is held.
async fn highest(model: &ReadModel<Balances>, count: usize) -> Result<Pages, BankError> {
    let by_cents = || model.find().order_by("cents").descending();
    let page = by_cents().page(count).await?;
    let mut listed = Listed::at(page.checkpoint.clone());
    listed.extend(page.documents);
    // From its end an order names the last account of one height first: we want the first.
    if let Some((_, lowest)) = listed.balances.last().filter(|_| page.next.is_some()).cloned() {
        let same = model.find().equal("cents", lowest.nearest()).page(count).await?;
        if same.checkpoint != listed.position {
            return Ok(Pages::Moved { first: listed.position });
        }
        listed.balances.retain(|(_, balance)| balance.nearest() > lowest.nearest());
        listed.extend(same.documents);
    }
    let mut listed = listed.sorted(Top::Highest(count));
    let mut all = Listed::at(listed.position.clone());
    let mut page = model.list(PageRequest::first(PAGE)).await?;
    loop {
        if page.checkpoint != listed.position {
            return Ok(Pages::Moved { first: listed.position });
        }
        all.accounts += page.documents.len();
        all.total =
            Sum::total([all.total].into_iter().chain(page.documents.iter().map(|entry| entry.document.balance)));
        let Some(next) = page.next else { break };
        page = model.list(PageRequest::after(next).limit(PAGE)).await?;
    }
    (listed.accounts, listed.total) = (all.accounts, all.total);
    Ok(Pages::OfOneMoment(listed))
}

enum Pages {
    OfOneMoment(Listed),
    Moved { first: Cursor },
}

async fn list(model: &ReadModel<Balances>) -> Result<Pages, BankError> {
    let mut page = model.list(PageRequest::first(PAGE)).await?;
    let mut listed = Listed::at(page.checkpoint.clone());
    loop {
        listed.extend(page.documents);
        let Some(next) = page.next else { return Ok(Pages::OfOneMoment(listed)) };
        page = model.list(PageRequest::after(next).limit(PAGE)).await?;
        if page.checkpoint != listed.position {
            return Ok(Pages::Moved { first: listed.position });
        }
    }
}

async fn list_at(model: &ReadModel<Balances>, at: At) -> Result<Listed, BankError> {
    let mut page = model.list_at(PageRequest::first(PAGE), at.clone()).await?;
    let mut listed = Listed::at(match &at {
        At::Position(cursor) => cursor.clone(),
        _ => page.checkpoint.clone(),
    });
    loop {
        listed.extend(page.documents);
        let Some(next) = page.next else { return Ok(listed) };
        page = model.list_at(PageRequest::after(next).limit(PAGE), at.clone()).await?;
    }
}

impl Listed {
    fn at(position: Cursor) -> Self {
        Self { position, accounts: 0, total: Sum::ZERO, balances: Vec::new() }
    }

    fn extend(&mut self, entries: Vec<Entry<Balance>>) {
        self.balances.extend(entries.into_iter().map(|entry| (entry.key, entry.document.balance)));
    }

    /// Counts and adds up all, and keeps the highest.
    fn sorted(mut self, top: Top) -> Self {
        self.accounts = self.balances.len();
        self.total = Sum::total(self.balances.iter().map(|(_, balance)| *balance));
        self.balances.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
        if let Top::Highest(count) = top {
            self.balances.truncate(count);
        }
        self
    }
}

/// A table with a total.
pub(crate) fn print(listed: &Listed, out: &mut dyn Write) -> Result<(), BankError> {
    for (account, balance) in &listed.balances {
        writeln!(out, "{account:<12} {balance:>20}")?;
    }
    writeln!(out, "{:<12} {:>20}   {} accounts, position {}", "total", listed.total, listed.accounts, listed.position)?;
    Ok(())
}
