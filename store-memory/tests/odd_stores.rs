//! What users' code makes of a store that keeps to the letter of its port and not to its spirit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Aggregate, Append, AppendError, Appended, Capabilities, CloseError, Cursor, Event, EventStore, Fault, FaultKind,
    Key, Limits, LogId, LogPage, Outcome, Position, Query, ReadError, ReadLog, ReadStream, RecordedEvent, Remembered,
    Repository, SnapshotStore, StoreId, StreamPage, Subscription, Wakeups,
};
use factum_memory::MemoryStore;
use serde::{Deserialize, Serialize};

/// How many pages of a log anybody may want here.
const READS: u32 = 1_000;

#[derive(Default)]
struct Odd {
    store: MemoryStore,
    /// No page of a log says that it is the last.
    endless: bool,
    reads: AtomicU32,
    /// What befalls the appends, in turn; then nothing does.
    befalls: &'static [Befalls],
    appends: AtomicU32,
}

#[derive(Clone, Copy)]
enum Befalls {
    /// It is recorded, and the answer is lost.
    Lost,
    /// It is not recorded, and the answer says so.
    NotDone,
}

#[async_trait]
impl EventStore for Odd {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let n = self.appends.fetch_add(1, Ordering::SeqCst) as usize;
        let fault = || Fault::new(FaultKind::Unavailable, "the connection broke");
        match self.befalls.get(n) {
            Some(Befalls::Lost) => {
                self.store.append(append).await?;
                Err(AppendError::Unknown(fault()))
            }
            Some(Befalls::NotDone) => Err(AppendError::NotDone(fault())),
            None => self.store.append(append).await,
        }
    }

    async fn outcome(&self, key: &Key) -> Result<Option<Remembered>, ReadError> {
        self.store.outcome(key).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, ReadError> {
        self.store.read_stream(read).await
    }

    async fn read_log(&self, read: ReadLog) -> Result<LogPage, ReadError> {
        let reads = self.reads.fetch_add(1, Ordering::SeqCst);
        assert!(reads < READS, "a reader turns round and round");
        let page = self.store.read_log(read).await?;
        Ok(LogPage { end: page.end && !self.endless, ..page })
    }

    async fn read_positions(&self, log: LogId, positions: &[Position]) -> Result<Vec<RecordedEvent>, ReadError> {
        self.store.read_positions(log, positions).await
    }

    async fn head(&self) -> Result<Cursor, ReadError> {
        self.store.head().await
    }

    fn wakeups(&self) -> Wakeups {
        self.store.wakeups()
    }

    fn id(&self) -> StoreId {
        self.store.id()
    }

    fn logs(&self) -> Vec<LogId> {
        self.store.logs()
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn snapshots(&self) -> Option<&dyn SnapshotStore> {
        self.store.snapshots()
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, Fault> {
        EventStore::diagnose(&self.store).await
    }

    async fn close(&self) -> Result<(), CloseError> {
        self.store.close().await
    }
}

#[derive(Serialize, Deserialize)]
enum PageEvent {
    Written(String),
}

impl Event for PageEvent {
    const CATEGORY: &'static str = "page";
}

#[derive(Clone, Default)]
struct Page;

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

impl Aggregate for Page {
    type Event = PageEvent;
    /// How many events, and of how many bytes each.
    type Command = (usize, usize);
    type Error = Never;

    fn decide(&self, (count, bytes): &(usize, usize)) -> Result<Vec<PageEvent>, Never> {
        Ok((0..*count).map(|_| PageEvent::Written("a".repeat(*bytes))).collect())
    }

    fn apply(&mut self, _: &PageEvent) {}
}

/// A subscription waited only where a page said that it was the end: on a store whose pages never say so it read the
/// same empty page without a pause, and its task never gave way to another.
#[tokio::test]
async fn a_subscription_waits_where_no_page_brings_anything() {
    use futures_util::{FutureExt, StreamExt};
    let odd = Arc::new(Odd { endless: true, ..Odd::default() });
    let pages = Repository::<Page>::new(odd.clone());
    pages.execute("1", (2, 1)).await.unwrap();
    let following = Subscription::new(odd.clone(), Cursor::start(), Query::all());
    let mut events = following.poll_every(Duration::from_secs(3_600)).events();
    for _ in 0..2 {
        events.next().await.unwrap().unwrap();
    }
    assert!(events.next().now_or_never().is_none(), "there is no third event");
    pages.execute("1", (1, 1)).await.unwrap();
    let woken = tokio::time::timeout(Duration::from_secs(30), events.next()).await;
    assert_eq!(woken.expect("it sleeps through a wake-up").unwrap().unwrap().version.get(), 3);
}

/// The events of an append whose answer was lost were looked for in one page, which is bounded by bytes: the command
/// was told a version and a cursor in the midst of its own events, so that a read model waited for was stale.
#[tokio::test]
async fn a_lost_answer_to_a_large_append_is_found_whole() {
    let odd = Arc::new(Odd { befalls: &[Befalls::Lost], ..Odd::default() });
    let pages = Repository::<Page>::new(odd.clone());
    let done = pages.execute("1", (7, 1_000_000)).await.unwrap();
    assert_eq!(done.version.unwrap().get(), 7);
    assert_eq!(done.cursor, odd.head().await.unwrap());
    assert!(matches!(done.outcome, Outcome::Accepted { .. }));
}

/// An append whose answer was lost was sent again, that was answered "not done", and so the command was told that
/// nothing was recorded, while its first try was.
#[tokio::test]
async fn not_done_on_a_second_try_says_nothing_of_the_first() {
    let odd = Arc::new(Odd { befalls: &[Befalls::Lost, Befalls::NotDone], ..Odd::default() });
    let pages = Repository::<Page>::new(odd.clone());
    let error = pages.execute("1", (1, 1)).await.unwrap_err();
    assert_eq!(odd.head().await.unwrap(), Cursor::from(Position::new(1)), "the first try was recorded");
    assert!(matches!(error, factum::ExecuteError::Append(AppendError::Unknown(_))), "{error:?}");
}
