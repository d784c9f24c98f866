//! A read model built anew from history while the old one serves.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use factum::{Aggregate, Append, Condition, Event, EventStore, Metadata, RoundTrip, StreamId, StreamWrite};
use factum_projections::{Projection, Projector, ReplayOptions};
use factum_sqlite::SqliteStore;

use crate::Result;
use crate::bank::{Account, AccountEvent, Transaction, ledger};
use crate::projections::Balances;
use crate::raw;
use crate::workload::{Side, Workload};

const ACCOUNTS: u32 = 4_500;
/// How many transactions one append records while the ledger is written: it is not what is measured.
const BATCH: usize = 1_000;

/// A replay over so many events.
#[derive(Debug)]
pub(crate) struct Replay {
    name: &'static str,
    events: usize,
    goal: Option<f64>,
}

/// What the figure is quoted of.
pub(crate) const LARGE: Replay = Replay { name: "replay", events: 1_000_000, goal: Some(0.3) };

/// The same over a tenth, whose peak of memory the large one shall not exceed.
pub(crate) const SMALL: Replay = Replay { name: "replay-100k", events: 100_000, goal: None };

impl Workload for Replay {
    fn name(&self) -> &'static str {
        self.name
    }

    fn store(&self) -> &'static str {
        "sqlite"
    }

    fn unit(&self) -> &'static str {
        "events/s"
    }

    fn limit_name(&self) -> &'static str {
        "a scan in the order of the log, payloads decoded"
    }

    fn goal(&self) -> Option<f64> {
        self.goal
    }

    fn size(&self) -> usize {
        self.events
    }

    fn prepare(&self, folder: &Path, size: usize) -> Result<()> {
        let (ours, bare) = (folder.join("ours.db"), folder.join("bare.db"));
        runtime()?.block_on(write_ledger(&ours, size))?;
        raw::copy_bare(&ours, &bare)
    }

    fn measure(&self, side: Side, folder: &Path, size: usize) -> Result<f64> {
        let ours = folder.join("ours.db");
        match side {
            Side::Ours => runtime()?.block_on(replay(&ours, size)),
            Side::Limit => raw::scan_and_decode(&ours, "events"),
            Side::Bare => raw::scan_and_decode(&folder.join("bare.db"), "bare"),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// As many events of a generated ledger, and a live read model of them.
async fn write_ledger(file: &Path, size: usize) -> Result<()> {
    let store = Arc::new(SqliteStore::open(file)?);
    let mut accounts: Vec<Account> = (0..ACCOUNTS).map(|_| Account::default()).collect();
    let mut ledger = ledger(size, ACCOUNTS);
    let mut left = size;
    while left > 0 {
        let mut writes: BTreeMap<u32, Vec<AccountEvent>> = BTreeMap::new();
        for Transaction { account, book, .. } in ledger.by_ref().take(BATCH) {
            let state = &mut accounts[account as usize];
            let mut events = state.decide(&book)?;
            events.truncate(left);
            left -= events.len();
            events.iter().for_each(|event| state.apply(event));
            writes.entry(account).or_default().extend(events);
        }
        let writes = writes.into_iter().filter(|(_, events)| !events.is_empty()).map(write);
        store.append(Append { writes: writes.collect::<Result<_>>()?, ..Append::default() }).await?;
    }
    Projector::new(store.clone(), store.clone()).with(Balances).catch_up_one(Balances::NAME).await?;
    store.close().await?;
    Ok(())
}

fn write((account, events): (u32, Vec<AccountEvent>)) -> Result<StreamWrite> {
    let events = events.iter().map(|event| factum::encode(event, Metadata::new(), RoundTrip::Unchecked));
    Ok(StreamWrite {
        stream: StreamId::of(AccountEvent::CATEGORY, &account.to_string())?,
        condition: Condition::Any,
        events: events.collect::<std::result::Result<_, _>>()?,
    })
}

async fn replay(file: &Path, size: usize) -> Result<f64> {
    let store = Arc::new(SqliteStore::open(file)?);
    let projector = Projector::new(store.clone(), store.clone()).with(Balances);
    let begun = Instant::now();
    let report = projector.replay(Balances::NAME, ReplayOptions::new(), |_| {}).await?;
    let value = raw::rate(size, begun);
    if report.events != size as u64 {
        return Err(format!("{} events were replayed instead of {size}", report.events).into());
    }
    store.close().await?;
    Ok(value)
}
