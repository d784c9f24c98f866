//! What a vector under a mutex and serde_json do.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex, PoisonError};

use factum::EventId;

use super::decode::cents;
use super::none;
use crate::Result;
use crate::bank::{AccountEvent, Book};
use crate::child::runtime;
use crate::projections::Balance;
use crate::window::{Caller, Window, alone, milliseconds, together};
use crate::work::{Size, StoreKind, Work};

/// How many pushes come between two looks at the clock.
const UNCLOCKED: u64 = 64;

pub(super) fn measure(work: Work, bare: bool, size: Size) -> Result<f64> {
    match work {
        Work::Execute { tasks, .. } | Work::Hot { tasks } => pushes(tasks, UNCLOCKED, 1, bare, size),
        Work::Append => pushes(1, UNCLOCKED, 1, bare, size),
        Work::Batches { events } => pushes(1, 1, events as u64, bare, size),
        Work::Load { events, .. } => Ok(milliseconds(decodes(events, bare, size)? / count(events))),
        Work::ReadAll | Work::Subscribe => decodes(size.log(), bare, size),
        Work::Replay { events, .. } => decodes(size.events(events), bare, size),
        Work::GetAt => lookups(bare, size),
        Work::Processes { .. } | Work::Import | Work::Commits => Err(none(work)),
    }
}

/// An event as a program of its own would keep it.
struct Row {
    _id: EventId,
    _stream: String,
    _version: u64,
    _event_type: &'static str,
    _payload: Vec<u8>,
}

/// A table: rows, or payloads alone.
#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    payloads: Vec<Vec<u8>>,
}

struct Pusher {
    table: Arc<Mutex<Table>>,
    streams: Vec<String>,
    payload: Vec<u8>,
    /// How many times the lock is taken in a call, and how many rows are pushed each time.
    locks: u64,
    rows: u64,
    bare: bool,
    pushed: u64,
}

impl Caller for Pusher {
    async fn call(&mut self) -> Result<()> {
        for _ in 0..self.locks {
            let rows = (0..self.rows).map(|_| self.payload.clone());
            if self.bare {
                self.table.lock().unwrap_or_else(PoisonError::into_inner).payloads.extend(rows);
                continue;
            }
            self.pushed += 1;
            let turn = usize::try_from(self.pushed)? % self.streams.len();
            let rows = rows.map(|payload| Row {
                _id: EventId::generate(),
                _stream: self.streams[turn].clone(),
                _version: self.pushed,
                _event_type: "Deposited",
                _payload: payload,
            });
            self.table.lock().unwrap_or_else(PoisonError::into_inner).rows.extend(rows);
        }
        Ok(())
    }
}

fn pushes(tasks: usize, locks: u64, rows: u64, bare: bool, size: Size) -> Result<f64> {
    let table = Arc::new(Mutex::new(Table::default()));
    let each = size.streams().div_ceil(tasks);
    let pusher = |task: usize| -> Result<Pusher> {
        let streams = (0..each).map(|number| format!("account-{task}x{number}")).collect();
        let payload = crate::prepare::new_event(0)?.payload.to_vec();
        Ok(Pusher { table: Arc::clone(&table), streams, payload, locks, rows, bare, pushed: 0 })
    };
    let pushers: Result<Vec<_>> = (0..tasks).map(pusher).collect();
    let window = size.window(StoreKind::Memory, 2);
    let window = Window { calls: window.calls.div_ceil(locks * rows).max(2), ..window };
    let rate = runtime()?.block_on(together(pushers?, window, async { Ok(()) }))?;
    Ok(rate * count(usize::try_from(locks * rows)?))
}

/// The log as JSON, each event under the name of its variant; or, bare, without that name.
fn decodes(events: usize, bare: bool, size: Size) -> Result<f64> {
    let log: Result<Vec<Vec<u8>>> = (0..events as u64).map(|number| json(number, bare)).collect();
    let log = log?;
    let mut sum = 0;
    let all = alone(size.passes(), || {
        for json in &log {
            sum += if bare {
                black_box(serde_json::from_slice::<Booked>(json)?).cents
            } else {
                cents(&black_box(serde_json::from_slice::<AccountEvent>(json)?))
            };
        }
        Ok(())
    })?;
    black_box(sum);
    Ok(all * count(log.len()))
}

#[derive(serde::Deserialize)]
struct Booked {
    cents: i64,
    #[serde(rename = "purpose")]
    _purpose: String,
}

fn json(number: u64, bare: bool) -> Result<Vec<u8>> {
    let event = Book::numbered(number).event();
    Ok(if bare { crate::prepare::new_event(number)?.payload.to_vec() } else { serde_json::to_vec(&event)? })
}

/// A document by its key, decoded; or, bare, as it lies there.
fn lookups(bare: bool, size: Size) -> Result<f64> {
    let documents = size.streams();
    let document = serde_json::to_vec(&Balance::default())?;
    let map: HashMap<String, Vec<u8>> = (0..documents).map(|key| (key.to_string(), document.clone())).collect();
    let mut random = fastrand::Rng::with_seed(2378);
    alone(size.window(StoreKind::Memory, 100), || {
        let document = map.get(&random.usize(..documents).to_string()).ok_or("a document that is not there")?;
        if bare {
            black_box(document);
        } else {
            black_box(serde_json::from_slice::<Balance>(document)?);
        }
        Ok(())
    })
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 things")]
fn count(number: usize) -> f64 {
    number as f64
}
