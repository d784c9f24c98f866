//! Readers that follow the log.

use std::sync::Arc;

use factum::{Cursor, EventStore, LogId, PageLimit, Position, Query, ReadLog, Subscription};
use factum_postgres::PostgresStore;
use factum_postgres::sqlx::types::Uuid;
use futures_util::StreamExt;
use tokio::sync::watch;

/// From where a reader begins.
pub(crate) enum From {
    Start,
    /// From where the log ends when it begins.
    Head,
}

/// What a reader saw: positions and ids.
pub(crate) struct Seen {
    pub(crate) from: i64,
    pub(crate) events: Vec<(i64, Uuid)>,
}

/// Reads page after page, and waits to be woken where the log ends, as a projection does; until it has looked as far as
/// it is told to.
pub(crate) async fn follow(
    store: Arc<PostgresStore>,
    filter: Query,
    from: From,
    mut until: watch::Receiver<Option<Position>>,
) -> Seen {
    let mut after = match from {
        From::Start => Position::START,
        From::Head => store.head().await.unwrap().get(LogId::FIRST),
    };
    let mut seen = Seen { from: after.as_i64(), events: Vec::new() };
    let mut wakeups = store.wakeups();
    loop {
        let end = *until.borrow_and_update();
        let read = ReadLog::after(LogId::FIRST, after).filter(filter.clone()).limit(PageLimit::events(300));
        let page = store.read_log(read).await.unwrap();
        if let Some(reached) = page.reached {
            assert!(reached.position > after, "it looked back, from {after} to {}", reached.position);
            let beyond = page.events.iter().find(|event| event.position > reached.position);
            assert!(beyond.is_none(), "{beyond:?} is beyond {}", reached.position);
            after = reached.position;
        }
        seen.events.extend(page.events.iter().map(|event| (event.position.as_i64(), event.id.as_uuid())));
        if end.is_some_and(|end| after >= end) {
            return seen;
        }
        if page.end {
            tokio::select! {
                woken = wakeups.changed() => woken.unwrap(),
                told = until.changed() => told.unwrap(),
            }
        }
    }
}

/// Follows everything as a user does, up to the event of the stream that is written last.
pub(crate) async fn subscribe(store: Arc<PostgresStore>) -> Vec<(i64, Uuid)> {
    let mut events = Subscription::new(store, Cursor::start(), Query::all()).events();
    let mut seen = Vec::new();
    loop {
        let event = events.next().await.unwrap().unwrap();
        seen.push((event.position.as_i64(), event.id.as_uuid()));
        if event.stream.id() == "last" {
            return seen;
        }
    }
}
