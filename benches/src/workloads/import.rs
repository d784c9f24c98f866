//! A ledger through commands: load, decide, append with a key, many accounts in flight, until two read models show all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Days, Utc};
use factum::{Context, EventStore, Key, Metadata, Repository};
use factum_projections::Projector;
use factum_sqlite::SqliteStore;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Result;
use crate::bank::{Account, Transaction, ledger};
use crate::projections::{Balances, MonthlyTurnover};
use crate::raw::{Events, rate};
use crate::workload::{Side, Workload};

const ACCOUNTS: u32 = 1_139;
/// How many commands are under way at the same time, each for another account.
const IN_FLIGHT: u32 = 256;

/// See the module.
#[derive(Debug)]
pub(crate) struct Import;

impl Workload for Import {
    fn name(&self) -> &'static str {
        "import"
    }

    fn store(&self) -> &'static str {
        "sqlite"
    }

    fn unit(&self) -> &'static str {
        "transactions/s"
    }

    fn limit_name(&self) -> &'static str {
        "single-row commits of the same rows, synchronous=FULL"
    }

    fn goal(&self) -> Option<f64> {
        Some(1.5)
    }

    fn size(&self) -> usize {
        28_000
    }

    fn prepare(&self, _: &Path, _: usize) -> Result<()> {
        Ok(())
    }

    fn measure(&self, side: Side, folder: &Path, size: usize) -> Result<f64> {
        let ours = folder.join("ours.db");
        match side {
            Side::Ours => {
                remove(&ours)?;
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on(import(&ours, size))
            }
            Side::Limit | Side::Bare => {
                let file = folder.join(format!("{}.db", side.name()));
                remove(&file)?;
                Events::read(&ours)?.commit_singly(&file, side == Side::Limit)
            }
        }
    }
}

async fn import(file: &Path, transactions: usize) -> Result<f64> {
    let mut accounts = vec![Vec::new(); IN_FLIGHT as usize];
    for transaction in ledger(transactions, ACCOUNTS) {
        accounts[(transaction.account % IN_FLIGHT) as usize].push(transaction);
    }
    let store = Arc::new(SqliteStore::open(file)?);
    let projector = Projector::new(store.clone(), store.clone()).with(Balances).with(MonthlyTurnover);
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
    let repository = Repository::<Account>::new(store.clone());
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
    let value = rate(transactions, begun);
    drop(stop);
    live.await??;
    store.close().await?;
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

/// Makes way for a new database, whatever is left of an old one.
fn remove(file: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
