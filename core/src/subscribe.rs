//! Following a store: catch up, then live.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{self, Either};
use futures_util::stream::{self, BoxStream, StreamExt};
use thiserror::Error;

use crate::codec::{DecodeError, EventSet};
use crate::event::{Recorded, RecordedEvent};
use crate::fault::FaultKind;
use crate::place::{Cursor, LogId, Position};
use crate::query::Query;
use crate::read::{PageLimit, ReadLog};
use crate::store::{EventStore, ReadError};
use crate::stream::{Category, StreamId};
use crate::timer::{Timer, system_timer};
use crate::wake::Wakeups;

/// A description of which events to follow, and from where; [`events`](Subscription::events) follows them.
///
/// Within a log events come in order and each once. The subscriber keeps the place: a [`Cursor`] with the position of
/// the last event that it has dealt with in each log.
///
/// ```
/// use std::sync::Arc;
/// use factum::{Cursor, EventStore, Query, Subscription};
/// use futures_util::StreamExt;
///
/// async fn follow(store: Arc<dyn EventStore>) -> Result<(), factum::ReadError> {
///     let mut events = Subscription::new(store, Cursor::start(), Query::all()).events();
///     while let Some(event) = events.next().await {
///         println!("{}", event?.stream);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Subscription {
    store: Arc<dyn EventStore>,
    from: Cursor,
    filter: Query,
    poll: Duration,
    page: PageLimit,
    timer: Arc<dyn Timer>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("from", &self.from).field("filter", &self.filter).finish_non_exhaustive()
    }
}

impl Subscription {
    /// Follows what `filter` matches after `from`.
    pub fn new(store: Arc<dyn EventStore>, from: Cursor, filter: Query) -> Self {
        let poll = Duration::from_secs(1);
        Self { store, from, filter, poll, page: PageLimit::default(), timer: system_timer() }
    }

    /// Looks again after this time even if nobody rang: other processes may have appended.
    #[must_use]
    pub fn poll_every(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }

    /// Reads pages of this size.
    #[must_use]
    pub fn pages(mut self, page: PageLimit) -> Self {
        self.page = page;
        self
    }

    /// Waits by this timer.
    #[must_use]
    pub fn timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.timer = timer;
        self
    }

    /// The events, without end. An error is an item: the next poll tries again, except once the store has ended, which
    /// ends the stream too. What `filter` matches is never skipped.
    pub fn events(self) -> BoxStream<'static, Result<RecordedEvent, ReadError>> {
        let wakeups = self.store.wakeups();
        let logs = self.store.logs();
        let cursor = self.from.clone();
        let follower =
            Follower { wanted: self, wakeups, logs, cursor, buffer: VecDeque::new(), failed: false, ended: false };
        stream::unfold(follower, Follower::next).boxed()
    }

    /// The events, decoded, narrowed to the categories of `E`.
    ///
    /// An event that does not decode is an item that names it, and the stream ends there: it is never skipped.
    pub fn typed<E: EventSet>(mut self) -> BoxStream<'static, Result<Recorded<E>, SubscribeError>> {
        let categories: Result<Vec<_>, _> = E::categories().into_iter().map(Category::from_static).collect();
        match categories {
            Ok(categories) if self.filter.items().is_empty() => {
                let tenant = self.filter.tenant().cloned();
                self.filter = Query::categories(categories);
                if let Some(tenant) = tenant {
                    self.filter = self.filter.in_tenant(tenant);
                }
            }
            Ok(_) => {}
            Err(error) => return stream::iter([Err(ReadError::from(error).into())]).boxed(),
        }
        let decoded = self.events().map(|event| {
            let event = event?;
            let data = E::decode(&event).map_err(|source| SubscribeError::Decode {
                log: event.log,
                position: event.position,
                stream: event.stream.clone(),
                source,
            })?;
            Ok(Recorded::new(data, event))
        });
        // Ends by itself: asking for one more event in order to see that there is none would wait for that event.
        stream::unfold(Some(decoded.boxed()), |following| async move {
            let mut following = following?;
            let item = following.next().await?;
            let over = matches!(item, Err(SubscribeError::Decode { .. }));
            Some((item, (!over).then_some(following)))
        })
        .boxed()
    }
}

/// Why a typed subscription has no next event.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The store could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The next event cannot be decoded.
    #[error("the event at position {position} of log {log} (stream {stream}): {source}")]
    Decode {
        /// Its log.
        log: LogId,
        /// Its position.
        position: Position,
        /// Its stream.
        stream: StreamId,
        /// What is wrong with it.
        source: DecodeError,
    },
}

struct Follower {
    wanted: Subscription,
    wakeups: Wakeups,
    logs: Vec<LogId>,
    cursor: Cursor,
    buffer: VecDeque<RecordedEvent>,
    failed: bool,
    ended: bool,
}

impl Follower {
    async fn next(mut self) -> Option<(Result<RecordedEvent, ReadError>, Self)> {
        loop {
            if let Some(event) = self.buffer.pop_front() {
                return Some((Ok(event), self));
            }
            if self.ended {
                return None;
            }
            if self.failed {
                self.failed = false;
                self.wanted.timer.sleep(self.wanted.poll).await;
            }
            if let Err(error) = self.fill().await {
                self.failed = true;
                self.ended = matches!(&error, ReadError::Fault(fault) if fault.kind() == FaultKind::Closed);
                return Some((Err(error), self));
            }
        }
    }

    /// Reads one page of each log; waits if every log is at its end, or none has moved whatever its page says.
    async fn fill(&mut self) -> Result<(), ReadError> {
        let (mut at_end, mut moved) = (true, false);
        for log in &self.logs {
            let after = self.cursor.get(*log);
            let read = ReadLog::after(*log, after).filter(self.wanted.filter.clone());
            let page = self.wanted.store.read_log(read.limit(self.wanted.page)).await?;
            if let Some(reached) = page.reached.filter(|reached| reached.position > after) {
                self.cursor.set(*log, reached.position);
                moved = true;
            }
            at_end &= page.end;
            self.buffer.extend(page.events);
        }
        if self.buffer.is_empty() && (at_end || !moved) {
            // A ring between the reads above and this line is remembered by the receiver, so it is not missed.
            let rung = std::pin::pin!(self.wakeups.changed());
            if let Either::Left((Err(ended), _)) = future::select(rung, self.wanted.timer.sleep(self.wanted.poll)).await
            {
                return Err(ended.into());
            }
        }
        Ok(())
    }
}
