//! A store for these tests: one log in memory, which counts what it is asked, answers in several polls, and does what a
//! script says.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::Semaphore;

use super::account::{Account, AccountEvent};
use crate::*;

/// What befalls an append.
#[derive(Clone, Debug)]
pub(super) enum Befalls {
    Nothing,
    NotDone(FaultKind),
    /// It is recorded, and the answer is lost.
    AnswerLost,
    /// It is not recorded, and nobody knows.
    Lost,
    /// Another process deposits before it.
    Rival(i64),
    /// The code of the store panics.
    Panic,
}

pub(super) struct Shelf {
    state: Mutex<State>,
    pub(super) script: Mutex<VecDeque<Befalls>>,
    /// Appends wait here.
    pub(super) gate: Semaphore,
    /// How often an append gives way before it is done, and before it is answered.
    pub(super) polls: AtomicU32,
    /// How far positions lie apart.
    pub(super) step: AtomicUsize,
    pub(super) reads: AtomicUsize,
    pub(super) lookups: AtomicUsize,
    /// How many events each append had.
    pub(super) appends: Mutex<Vec<usize>>,
    pub(super) limits: Limits,
}

#[derive(Default)]
struct State {
    events: Vec<RecordedEvent>,
    keys: HashMap<Key, Remembered>,
}

impl Shelf {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            script: Mutex::default(),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            polls: AtomicU32::new(0),
            step: AtomicUsize::new(1),
            reads: AtomicUsize::new(0),
            lookups: AtomicUsize::new(0),
            appends: Mutex::default(),
            limits: Limits::default().with_max_payload(600_000),
        })
    }

    pub(super) fn accounts(self: &Arc<Self>) -> Repository<Account> {
        let retry = Retry::default().waits(std::time::Duration::ZERO, std::time::Duration::ZERO);
        Repository::new(self.clone()).retry(retry)
    }

    pub(super) fn befall(&self, script: impl IntoIterator<Item = Befalls>) {
        self.script.lock().unwrap().extend(script);
    }

    /// Nothing is appended until [`open`](Self::open).
    pub(super) fn close_gate(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub(super) fn open(&self) {
        self.gate.add_permits(1_000);
    }

    /// How many appends, reads of streams and look-ups of keys there were since this was asked last.
    pub(super) fn asked(&self) -> (usize, usize, usize) {
        let appends = std::mem::take(&mut *self.appends.lock().unwrap()).len();
        (appends, self.reads.swap(0, Ordering::SeqCst), self.lookups.swap(0, Ordering::SeqCst))
    }

    /// The store as a backup had it after so many events.
    pub(super) fn restore(&self, events: usize) {
        self.state.lock().unwrap().events.truncate(events);
    }

    pub(super) fn events(&self) -> Vec<RecordedEvent> {
        self.state.lock().unwrap().events.clone()
    }

    /// What all events of an account add up to.
    pub(super) fn balance(&self, id: &str) -> i64 {
        let of_it = |event: &RecordedEvent| event.stream.id() == id;
        let cents = |event: &RecordedEvent| match decode::<AccountEvent>(event).unwrap() {
            AccountEvent::Deposited { cents } => cents,
            AccountEvent::Withdrawn { cents } => -cents,
            _ => 0,
        };
        self.events().iter().filter(|event| of_it(event)).map(cents).sum()
    }

    /// What another process does.
    pub(super) fn rival(&self, id: &str, cents: i64) {
        let event = encode(&AccountEvent::Deposited { cents }, Metadata::new(), RoundTrip::Checked).unwrap();
        self.record(Append::to(StreamId::of("account", id).unwrap(), Condition::Any, vec![event])).unwrap();
    }

    fn record(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.limits)?;
        let mut state = self.state.lock().unwrap();
        if let Some(keyed) = &append.keyed
            && let Some(first) = state.keys.get(&keyed.key)
        {
            if first.fingerprint != keyed.fingerprint {
                return Err(AppendError::KeyReused { key: keyed.key.clone() });
            }
            return Ok(Appended::new(first.outcome.clone(), true));
        }
        let without = append.outcome_without_events();
        let [StreamWrite { stream, condition, events }] = <[_; 1]>::try_from(append.writes).unwrap();
        let last = state.events.iter().filter(|event| event.stream == stream).map(|event| event.version).max();
        if !condition.holds(last) {
            return Err(AppendError::Conflict { stream, expected: condition, actual: last });
        }
        let (log, recorded_at, count) = (LogId::FIRST, to_micros(chrono::Utc::now()), events.len() as u64);
        let step = self.step.load(Ordering::SeqCst) as u64;
        let start = state.events.last().map_or(0, |event| event.position.get());
        for (n, event) in (1..).zip(events) {
            let NewEvent { id, event_type, schema_version, payload, metadata, tags } = event;
            let (stream, version) = (stream.clone(), Version::advance(last, n).unwrap());
            let position = Position::new(start + n * step);
            state.events.push(RecordedEvent {
                id,
                log,
                position,
                stream,
                version,
                event_type,
                schema_version,
                payload,
                metadata,
                tags,
                recorded_at,
            });
        }
        let versions = vec![Versions {
            first: Version::after(last),
            last: Version::advance(last, count).unwrap_or(Version::FIRST),
            stream,
        }];
        let (first, last) = (Position::new(start + step), Position::new(start + count * step));
        let accepted = Outcome::Accepted { log, first, last, recorded_at, versions };
        let outcome = if count == 0 { without } else { accepted };
        if let Some(keyed) = append.keyed {
            state.keys.insert(keyed.key, Remembered { fingerprint: keyed.fingerprint, outcome: outcome.clone() });
        }
        Ok(Appended::new(outcome, false))
    }

    async fn give_way(&self) {
        for _ in 0..self.polls.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl EventStore for Shelf {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.appends.lock().unwrap().push(append.events());
        self.gate.acquire().await.unwrap().forget();
        self.give_way().await;
        let fault = |kind| Fault::new(kind, "the disk says so");
        let befalls = self.script.lock().unwrap().pop_front().unwrap_or(Befalls::Nothing);
        match befalls {
            Befalls::NotDone(kind) => return Err(AppendError::NotDone(fault(kind))),
            Befalls::Lost => return Err(AppendError::Unknown(fault(FaultKind::Unavailable))),
            Befalls::Rival(cents) => self.rival(append.writes[0].stream.id(), cents),
            Befalls::Panic => panic!("the store fell over"),
            Befalls::Nothing | Befalls::AnswerLost => {}
        }
        let answer = self.record(append);
        self.give_way().await;
        match befalls {
            Befalls::AnswerLost => Err(AppendError::Unknown(fault(FaultKind::Unavailable))),
            _ => answer,
        }
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.give_way().await;
        Ok(self.state.lock().unwrap().keys.get(key).cloned())
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.give_way().await;
        let all =
            self.events().into_iter().filter(|event| event.stream == read.stream && Some(event.version) > read.after);
        let mut events: Vec<_> = all.collect();
        let end = events.len() <= read.limit.events;
        events.truncate(read.limit.events);
        Ok(StreamPage { events, end })
    }

    async fn read_log(&self, _: ReadLog) -> Result<LogPage, ReadError> {
        Ok(LogPage { end: true, ..LogPage::default() })
    }

    async fn read_positions(&self, _: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        Ok(self.events().into_iter().filter(|event| positions.contains(&event.position)).collect())
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        Ok(Cursor::from(self.events().last().map_or(Position::START, |event| event.position)))
    }

    fn wakeups(&self) -> Wakeups {
        Bell::new().wakeups()
    }

    fn id(&self) -> StoreId {
        StoreId::from(uuid::Uuid::nil())
    }

    fn logs(&self) -> Vec<LogId> {
        vec![LogId::FIRST]
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        None
    }

    async fn close(&self) -> Result<(), CloseError> {
        Ok(())
    }
}
