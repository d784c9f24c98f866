//! What a memory store is told when it is made.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use factum::{
    Append, AppendError, Condition, EventStore, EventType, InputError, Limits, LogId, NewEvent, Position, ReadLog,
    StreamId,
};
use factum_memory::{MemoryOptions, MemoryStore};

fn append(payload: &str) -> Append {
    let event = NewEvent::new(EventType::new("Noted").unwrap(), payload.to_owned());
    Append::to(StreamId::new("note-1").unwrap(), Condition::Any, vec![event])
}

/// `recorded_at` does not decrease within a log, whatever the clock of the machine does.
#[tokio::test]
async fn a_clock_that_goes_back_takes_no_event_with_it() {
    let nanos = Arc::new(AtomicI64::new(5_000_000_999));
    let clock = nanos.clone();
    let clock = Arc::new(move || DateTime::<Utc>::from_timestamp_nanos(clock.load(Ordering::SeqCst)));
    let store = MemoryStore::with(MemoryOptions::default().clock(clock));
    for now in [5_000_000_999, 3_000_000_000, 7_000_000_001] {
        nanos.store(now, Ordering::SeqCst);
        store.append(append("1")).await.unwrap();
    }
    let page = store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap();
    let times: Vec<_> = page.events.iter().map(|event| event.recorded_at.timestamp_nanos_opt().unwrap()).collect();
    assert_eq!(times, [5_000_000_000, 5_000_000_000, 7_000_000_000]);
}

#[tokio::test]
async fn another_limit_holds() {
    let store = MemoryStore::with(MemoryOptions::default().limits(Limits::default().with_max_payload(4)));
    store.append(append("1234")).await.unwrap();
    let error = store.append(append("12345")).await.unwrap_err();
    assert!(matches!(error, AppendError::Input(InputError::PayloadTooLarge { len: 5, max: 4, .. })), "{error:?}");
}

#[test]
fn a_store_has_at_least_one_log() {
    assert_eq!(MemoryStore::with_logs(0).logs(), [LogId::FIRST]);
    assert_eq!(MemoryStore::with_logs(3).logs().len(), 3);
}
