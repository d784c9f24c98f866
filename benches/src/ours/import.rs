//! A ledger through commands: load, decide, append with a key, many accounts in flight, until two read models show all.

use std::time::Instant;

use chrono::{DateTime, Days, Utc};
use factum::{Context, Key, Metadata, Repository};
use factum_projections::Projector;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::commands::repository;
use crate::Result;
use crate::bank::{Account, Transaction, ledger};
use crate::place::Place;
use crate::projections::{Balances, MonthlyTurnover};
use crate::window::rate;
use crate::work::Size;

const TRANSACTIONS: usize = 28_000;
const ACCOUNTS: u32 = 1_139;
/// How many commands are under way at the same time, each for another account.
const IN_FLIGHT: u32 = 256;

pub(super) async fn import(place: &Place, size: Size) -> Result<f64> {
    let transactions = size.events(TRANSACTIONS);
    let mut accounts = vec![Vec::new(); IN_FLIGHT as usize];
    for transaction in ledger(transactions, ACCOUNTS) {
        accounts[(transaction.account % IN_FLIGHT) as usize].push(transaction);
    }
    let store = place.open().await?;
    let projector =
        Projector::new(store.events.clone(), store.read_models.clone()).with(Balances).with(MonthlyTurnover);
    let begun = Instant::now();
    let (stop, stopped) = oneshot::channel::<()>();
    let live = projector.clone();
    let live = tokio::spawn(async move {
        let shutdown = async {
            // Whether it was told to stop or its other end is gone: both are the end.
            let _ = stopped.await;
        };
        live.run(shutdown).await
    });
    let repository = repository(&store);
    let mut tasks = JoinSet::new();
    for transactions in accounts {
        tasks.spawn(book(repository.clone(), transactions));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    for done in projector.catch_up().await? {
        done.result?;
    }
    let value = rate(transactions as u64, begun.elapsed());
    drop(stop);
    live.await??;
    store.events.close().await?;
    Ok(value)
}

/// The transactions of some accounts, one after the other.
async fn book(accounts: Repository<Account>, transactions: Vec<Transaction>) -> Result<()> {
    let first: DateTime<Utc> = "1993-01-01T00:00:00Z".parse()?;
    for Transaction { id, account, day, book } in transactions {
        let happened = first.checked_add_days(Days::new(day.into())).ok_or("a date out of range")?;
        let context =
            Context::new().metadata(Metadata::new().occurred_at(happened)).key(Key::new(id.to_string())?, &book)?;
        accounts.execute_with(account.to_string(), book, context).await?;
    }
    Ok(())
}
