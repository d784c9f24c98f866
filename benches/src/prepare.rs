//! What is there before a measurement begins.

use std::collections::BTreeMap;

use factum::{Append, Condition, Event, EventStore, Metadata, NewEvent, Repository, RoundTrip, StreamId, StreamWrite};
use factum_projections::Projector;

use crate::Result;
use crate::bank::{Account, AccountEvent, Book};
use crate::place::{Place, Store};
use crate::projections::Balances;
use crate::work::{Size, Work, Workload};

/// How many events one append records while a log is written: it is not what is measured.
const BATCH: usize = 1_000;
/// Every how many events an aggregate is saved, where it is.
pub(crate) const SNAPSHOT_EVERY: u64 = 100;

/// Makes what the measurements of a workload share, where it lasts.
pub(crate) async fn prepare(workload: &Workload, place: &Place, size: Size) -> Result<()> {
    if *place == Place::Memory {
        return Ok(());
    }
    let store = place.open().await?;
    fill(workload.work, &store, size).await?;
    Ok(store.events.close().await?)
}

/// The store that a reading workload reads: what was prepared, or, in memory, a new one with the same content.
pub(crate) async fn prepared(work: Work, place: &Place, size: Size) -> Result<Store> {
    let store = place.open().await?;
    if *place == Place::Memory {
        fill(work, &store, size).await?;
    }
    Ok(store)
}

async fn fill(work: Work, store: &Store, size: Size) -> Result<()> {
    match work {
        Work::Load { events, snapshot } => aggregates(store, events, size.aggregates(), snapshot).await,
        Work::ReadAll | Work::Subscribe => log(store, size.log(), size.streams()).await,
        Work::Replay { events, documents } => {
            log(store, size.events(events), size.events(documents)).await?;
            live(store).await
        }
        Work::GetAt => {
            log(store, size.log(), size.streams()).await?;
            live(store).await
        }
        _ => Ok(()),
    }
}

/// So many events of so many accounts, in no order but the log's.
pub(crate) async fn log(store: &Store, events: usize, accounts: usize) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(1993);
    let mut written = 0;
    while written < events {
        let mut writes: BTreeMap<usize, Vec<NewEvent>> = BTreeMap::new();
        for number in (written..events).take(BATCH) {
            writes.entry(random.usize(..accounts)).or_default().push(new_event(number as u64)?);
            written += 1;
        }
        let writes = writes.into_iter().map(|(account, events)| write(&account.to_string(), events));
        store.events.append(Append { writes: writes.collect::<Result<_>>()?, ..Append::default() }).await?;
    }
    Ok(())
}

fn write(account: &str, events: Vec<NewEvent>) -> Result<StreamWrite> {
    Ok(StreamWrite { stream: stream(account)?, condition: Condition::Any, events })
}

/// The stream of an account.
pub(crate) fn stream(account: &str) -> Result<StreamId> {
    Ok(StreamId::of(AccountEvent::CATEGORY, account)?)
}

/// A new event with a payload of 98 bytes.
pub(crate) fn new_event(number: u64) -> Result<NewEvent> {
    Ok(factum::encode(&Book::numbered(number).event(), Metadata::new(), RoundTrip::Unchecked)?)
}

/// A live read model of the log.
async fn live(store: &Store) -> Result<()> {
    let projector = Projector::new(store.events.clone(), store.read_models.clone()).with(Balances);
    projector.catch_up_one(projector.names()[0].as_str()).await?;
    Ok(())
}

/// Aggregates of so many events, which lie scattered in the log. With snapshots, each has one of half an interval ago.
async fn aggregates(store: &Store, events: usize, aggregates: usize, snapshot: bool) -> Result<()> {
    if !snapshot {
        return scattered(&*store.events, events, aggregates).await;
    }
    let tail = usize::try_from(SNAPSHOT_EVERY / 2)?;
    // The first command opens the account: two events.
    scattered(&*store.events, events - tail - 2, aggregates).await?;
    let accounts = Repository::<Account>::new(store.events.clone()).snapshots(SNAPSHOT_EVERY, 1);
    for account in 0..aggregates {
        accounts.execute(account.to_string(), Book::numbered(0)).await?;
    }
    scattered(&*store.events, tail, aggregates).await
}

/// So many more events for each aggregate, a few of each at a time.
async fn scattered(store: &dyn EventStore, events: usize, aggregates: usize) -> Result<()> {
    for begin in (0..events).step_by(100) {
        for account in 0..aggregates {
            let numbers = begin..events.min(begin + 100);
            let new: Result<Vec<_>> = numbers.map(|number| new_event(number as u64)).collect();
            let stream = stream(&account.to_string())?;
            store.append(Append::to(stream, Condition::Any, new?)).await?;
        }
    }
    Ok(())
}
