//! Appending: where writes belong, the order of the checks, and the writes.

use std::collections::{BTreeSet, HashMap};

use bytes::BytesMut;
use chrono::{DateTime, Utc};
use factum::{
    Append, AppendError, Appended, Key, Keyed, LogId, NewEvent, Outcome, Position, QueryCondition, RecordedEvent,
    Remembered, StreamId, StreamWrite, Tenant, Version, Versions,
};

/// Everything that was recorded. Whoever holds its lock decides the order.
#[derive(Debug)]
pub(crate) struct Events {
    /// By log; the event at position p has index p - 1.
    pub(crate) logs: Vec<Vec<RecordedEvent>>,
    /// The positions of each stream's events; the event with version v has index v - 1.
    pub(crate) streams: HashMap<StreamId, Vec<Position>>,
    /// What is kept under each key, and in which log that lies.
    keys: HashMap<Key, (LogId, Remembered)>,
}

impl Events {
    pub(crate) fn new(logs: u32) -> Self {
        Self { logs: (0..logs).map(|_| Vec::new()).collect(), streams: HashMap::new(), keys: HashMap::new() }
    }

    /// Records a checked append, or says why not. Nothing changes before everything was looked at.
    pub(crate) fn append(&mut self, append: Append, now: DateTime<Utc>) -> Result<Appended, AppendError> {
        let log = self.place(&append)?;
        if let Some(keyed) = &append.keyed
            && let Some(outcome) = self.first_outcome(keyed, log)?
        {
            return Ok(Appended::new(outcome, true));
        }
        for write in &append.writes {
            self.check(write)?;
        }
        if let Some(condition) = &append.query_condition {
            self.check_query(condition, log)?;
        }
        let keyed = append.keyed.as_ref().map(|keyed| (keyed.key.clone(), keyed.fingerprint));
        let outcome =
            if append.events() == 0 { append.outcome_without_events() } else { self.record(log, append.writes, now) };
        if let Some((key, fingerprint)) = keyed {
            self.keys.insert(key, (log, Remembered { fingerprint, outcome: outcome.clone() }));
        }
        Ok(Appended::new(outcome, false))
    }

    pub(crate) fn outcome(&self, key: &Key) -> Option<Remembered> {
        self.keys.get(key).map(|(_, remembered)| remembered.clone())
    }

    /// The last version of a stream.
    pub(crate) fn version(&self, stream: &StreamId) -> Option<Version> {
        Version::advance(None, self.streams.get(stream).map_or(0, Vec::len) as u64)
    }

    /// The log that a stream lives in.
    pub(crate) fn log_of_stream(&self, stream: &StreamId) -> LogId {
        self.log_of(stream.tenant(), stream.name())
    }

    /// The one log that an append lies in.
    ///
    /// A key of the default tenant goes where its streams are; where there is nothing else to go by, to the log that its
    /// text chooses.
    fn place(&self, append: &Append) -> Result<LogId, AppendError> {
        if self.logs.len() == 1 {
            return Ok(LogId::FIRST);
        }
        let mut places: BTreeSet<_> = append
            .writes
            .iter()
            .map(|write| (self.log_of_stream(&write.stream), format!("stream {}", write.stream)))
            .collect();
        if let Some(condition) = &append.query_condition {
            match condition.query.tenant().filter(|tenant| !tenant.is_default()) {
                Some(tenant) => places.insert((self.log_of(tenant, ""), format!("the query of tenant {tenant}"))),
                None => return Err(AppendError::SpansLogs { what: QUERY_OF_NO_TENANT.to_owned() }),
            };
        }
        if let Some(Keyed { key, .. }) = &append.keyed
            && (!key.tenant().is_default() || places.is_empty())
        {
            places.insert((self.log_of(key.tenant(), key.as_str()), format!("the key {key}")));
        }
        let mut all = places.iter();
        let Some((first, what)) = all.next() else { return Ok(LogId::FIRST) };
        match all.find(|(log, _)| log != first) {
            None => Ok(*first),
            Some((other, beside)) => {
                let what = format!("{what} lies in log {first}, {beside} in log {other}");
                Err(AppendError::SpansLogs { what })
            }
        }
    }

    /// The log in which the streams of a tenant live; for the default tenant it is chosen by what is placed.
    fn log_of(&self, tenant: &Tenant, name: &str) -> LogId {
        let placement = if tenant.is_default() { name } else { tenant.as_str() };
        let log = stable_hash(placement.as_bytes()) % self.logs.len() as u64;
        LogId::new(u32::try_from(log).unwrap_or_default())
    }

    /// What was recorded under a key before any condition is looked at: whoever comes second gets the first outcome,
    /// whatever it decided itself.
    fn first_outcome(&self, keyed: &Keyed, log: LogId) -> Result<Option<Outcome>, AppendError> {
        match self.keys.get(&keyed.key) {
            None => Ok(None),
            Some((place, first)) if first.fingerprint == keyed.fingerprint && *place == log => {
                Ok(Some(first.outcome.clone()))
            }
            Some(_) => Err(AppendError::KeyReused { key: keyed.key.clone() }),
        }
    }

    fn check(&self, write: &StreamWrite) -> Result<(), AppendError> {
        let actual = self.version(&write.stream);
        if write.condition.holds(actual) {
            return Ok(());
        }
        Err(AppendError::Conflict { stream: write.stream.clone(), expected: write.condition, actual })
    }

    fn check_query(&self, condition: &QueryCondition, log: LogId) -> Result<(), AppendError> {
        let after = condition.after.get(log);
        match self.after(log, after).iter().find(|event| condition.query.matches(event)) {
            None => Ok(()),
            Some(event) => Err(AppendError::QueryConflict {
                log,
                after,
                found: event.position,
                stream: event.stream.clone(),
                event_type: event.event_type.to_string(),
            }),
        }
    }

    fn record(&mut self, log: LogId, mut writes: Vec<StreamWrite>, now: DateTime<Utc>) -> Outcome {
        pack(&mut writes);
        let recorded_at = self.log(log).last().map_or(now, |last| last.recorded_at.max(now));
        let first = position_of(self.log(log).len());
        let mut versions = Vec::with_capacity(writes.len());
        for write in writes.into_iter().filter(|write| !write.events.is_empty()) {
            let first = Version::after(self.version(&write.stream));
            let mut last = first;
            for event in write.events {
                last = self.push(log, write.stream.clone(), event, recorded_at);
            }
            versions.push(Versions { stream: write.stream, first, last });
        }
        let last = self.log(log).last().map_or(first, |event| event.position);
        Outcome::Accepted { log, first, last, recorded_at, versions }
    }

    fn push(&mut self, log: LogId, stream: StreamId, event: NewEvent, recorded_at: DateTime<Utc>) -> Version {
        let events = &mut self.logs[index_of_log(log)];
        let position = position_of(events.len());
        let entry = self.streams.entry(stream);
        // All events of a stream share its name: that is less to hold, and nearer to whoever reads them.
        let stream = entry.key().clone();
        let positions = entry.or_default();
        let version = Version::after(Version::advance(None, positions.len() as u64));
        positions.push(position);
        let NewEvent { id, event_type, schema_version, payload, metadata, tags } = event;
        events.push(RecordedEvent {
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
        version
    }

    /// The events of a log that [`Events::place`] chose.
    fn log(&self, log: LogId) -> &[RecordedEvent] {
        &self.logs[index_of_log(log)]
    }

    fn after(&self, log: LogId, position: Position) -> &[RecordedEvent] {
        let events = self.log(log);
        &events[index_after(position).min(events.len())..]
    }
}

/// Puts the payloads of an append into one piece of memory: its events are read one after the other.
fn pack(writes: &mut [StreamWrite]) {
    let payloads = || writes.iter().flat_map(|write| &write.events).map(|event| event.payload.len());
    if payloads().nth(1).is_none() {
        return;
    }
    let mut packed = BytesMut::with_capacity(payloads().sum());
    for event in writes.iter_mut().flat_map(|write| &mut write.events) {
        packed.extend_from_slice(&event.payload);
        event.payload = packed.split().freeze();
    }
}

const QUERY_OF_NO_TENANT: &str = "the query condition names no tenant, so it concerns every log";

/// The position of the event with this index in its log.
fn position_of(index: usize) -> Position {
    Position::new(index as u64 + 1)
}

/// The index of the event after this position, whether or not there is one.
pub(crate) fn index_after(position: Position) -> usize {
    usize::try_from(position.get()).unwrap_or(usize::MAX)
}

pub(crate) fn index_of_log(log: LogId) -> usize {
    usize::try_from(log.get()).unwrap_or(usize::MAX)
}

/// FNV-1a: the same on every machine and in every release, so that a stream stays where it is.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use factum::{Condition, EventStore, EventType, ReadLog};

    use crate::MemoryStore;

    use super::*;

    fn write(stream: &str, payloads: &[&str]) -> StreamWrite {
        let event = |payload: &&str| NewEvent::new(EventType::new("Deposited").unwrap(), (*payload).to_owned());
        let events = payloads.iter().map(event).collect();
        StreamWrite { stream: StreamId::new(stream).unwrap(), condition: Condition::Any, events }
    }

    #[tokio::test]
    async fn what_is_read_together_lies_together_and_the_events_of_a_stream_share_its_name() {
        let store = MemoryStore::new();
        for payloads in [["1", "22", "333"], ["4", "55", "66"]] {
            let writes = vec![write("account-1", &payloads[..2]), write("account-2", &payloads[2..])];
            store.append(Append { writes, ..Append::default() }).await.unwrap();
        }
        let events = store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap().events;
        let payloads: Vec<_> = events.iter().map(|event| &event.payload[..]).collect();
        assert_eq!(payloads, [&b"1"[..], b"22", b"333", b"4", b"55", b"66"]);
        for append in payloads.chunks(3) {
            assert!(append.windows(2).all(|two| two[0].as_ptr_range().end == two[1].as_ptr()), "not in one piece");
        }
        for stream in ["account-1", "account-2"] {
            let names = events.iter().map(|event| event.stream.name()).filter(|name| *name == stream);
            let mut places: Vec<_> = names.map(str::as_ptr).collect();
            places.dedup();
            assert_eq!(places.len(), 1, "{stream}");
        }
    }
}
