//! What is read ahead: nothing is lost or doubled whatever happens between two pages, and nobody has to wait for it.

mod common;

use std::time::Duration;

use common::{OTHERS, Place, in_time, one, place, stream, until};
use factum::{
    Category, Condition, EventStore, EventType, LogId, PageLimit, Position, Query, QueryItem, ReadLog, ReadStream,
    SnapshotKey, SnapshotStore,
};
use factum_postgres::PostgresStore;
use sqlx::{Connection as _, Row};

const EVENTS: u64 = 20_000;

/// The first half are deposits but for every twentieth event, then every tenth is one, and at last nine of ten again.
async fn filled() -> Option<Place> {
    let place = place().await?;
    place
        .execute(
            "INSERT INTO factum.events
             SELECT n, (n - 1) / 10 + 1, now(), NULL, gen_random_uuid(), 1, '', 'account', 'account-' || n % 10,
               CASE WHEN CASE WHEN n < 10000 THEN n % 20 <> 0 WHEN n < 15000 THEN n % 10 = 0 ELSE n % 10 <> 0 END
                 THEN 'Deposited' ELSE 'Withdrawn' END,
               NULL, NULL, '{\"cents\":500}'
             FROM generate_series(1, 20000) n;
             ANALYZE",
        )
        .await;
    Some(place)
}

const STATEMENTS_UNDER_WAY: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
     AND pid <> pg_backend_pid() AND state <> 'idle' AND query LIKE '%LIMIT%'";

/// Someone who reads the log, a page after the other.
struct Reader<'s> {
    store: &'s PostgresStore,
    filter: Query,
    page: usize,
    after: Position,
    seen: Vec<u64>,
}

impl<'s> Reader<'s> {
    fn new(store: &'s PostgresStore, filter: Query, page: usize) -> Self {
        Self { store, filter, page, after: Position::START, seen: Vec::new() }
    }

    /// Whether there is more after it.
    async fn page(&mut self) -> bool {
        let read = ReadLog::after(LogId::FIRST, self.after).filter(self.filter.clone());
        let page = in_time(self.store.read_log(read.limit(PageLimit::events(self.page)))).await.unwrap();
        assert!(page.events.iter().all(|event| self.filter.matches(event)), "an event is not meant");
        self.seen.extend(page.events.iter().map(|event| event.position.get()));
        self.after = page.reached.map_or(self.after, |reached| reached.position);
        !page.end
    }

    async fn pages(&mut self, pages: usize) {
        for _ in 0..pages {
            assert!(self.page().await);
        }
    }

    async fn rest(mut self) -> Vec<u64> {
        while self.page().await {}
        self.seen
    }
}

fn all() -> Vec<u64> {
    (1..=EVENTS).collect()
}

#[tokio::test]
async fn many_pages_come_of_few_statements() {
    let Some(place) = filled().await else { return };
    let mut conn = place.connection().await;
    let scans = "SELECT sum(idx_scan)::bigint FROM pg_stat_user_indexes WHERE relname = 'events'";
    until(&mut conn, OTHERS, |others| others == 0).await;
    let before: i64 = sqlx::query(scans).fetch_one(&mut conn).await.unwrap().get(0);
    let store = place.store().await;
    assert_eq!(Reader::new(&store, Query::all(), 100).rest().await, all());
    store.close().await.unwrap();
    until(&mut conn, OTHERS, |others| others == 0).await;
    let after: i64 = sqlx::query(scans).fetch_one(&mut conn).await.unwrap().get(0);
    // Without a reader that is held up, 13 for 200 pages.
    assert!((1..100).contains(&(after - before)), "{} looks into indexes", after - before);
}

/// Where most events are meant, those that are not are left out by whoever reads; where few are, by the server.
#[tokio::test]
async fn a_filter_finds_the_same_however_many_events_it_means() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let account = || QueryItem::new().category(Category::new("account").unwrap());
    for name in ["Deposited", "Withdrawn", "Closed"] {
        let meant = |n: &u64| {
            let deposited = match n {
                ..10_000 => !n.is_multiple_of(20),
                ..15_000 => n.is_multiple_of(10),
                _ => !n.is_multiple_of(10),
            };
            name == if deposited { "Deposited" } else { "Withdrawn" }
        };
        let expected: Vec<u64> = (1..=EVENTS).filter(meant).collect();
        let event_type = EventType::new(name).unwrap();
        for item in [QueryItem::new().event_type(event_type.clone()), account().event_type(event_type)] {
            for page in [70, 333] {
                let filter = Query::all().or(item.clone());
                assert_eq!(Reader::new(&store, filter, page).rest().await, expected, "{name} {page}");
            }
        }
    }
}

/// The server has made more than was taken: it must not wait for long until that is.
#[tokio::test]
async fn a_reader_that_takes_its_time_holds_no_statement_open_and_misses_nothing() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let mut conn = place.connection().await;
    let mut reader = Reader::new(&store, Query::all(), 70);
    for _ in 0..3 {
        reader.pages(40).await;
        until(&mut conn, STATEMENTS_UNDER_WAY, |under_way| under_way == 0).await;
    }
    assert_eq!(reader.rest().await, all());
}

#[tokio::test]
async fn a_reader_whose_connections_are_ended_between_two_pages_misses_nothing() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let mut conn = place.connection().await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
                 AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    let mut reader = Reader::new(&store, Query::all(), 70);
    for pages in [3, 10, 40, 41, 100] {
        reader.pages(pages).await;
        sqlx::query(end).execute(&mut conn).await.unwrap();
    }
    assert_eq!(reader.rest().await, all());
}

/// Each of its pages goes on from the same place, so that one is taken by whoever comes first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_come_to_the_same_page_all_read_everything() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let readers = (0..12).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { Reader::new(&store, Query::all(), 500).rest().await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap(), all());
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_in_the_middle_of_a_page_harms_nobody() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let mut reader = Reader::new(&store, Query::all(), 300);
    reader.pages(10).await;
    for polls in 0..6 {
        let read = ReadLog::after(LogId::FIRST, reader.after).limit(PageLimit::events(300));
        let mut page = store.read_log(read);
        for _ in 0..polls {
            if futures_util::poll!(&mut page).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(page);
        reader.pages(2).await;
    }
    assert_eq!(reader.rest().await, all());
}

#[tokio::test]
async fn a_store_is_closed_while_a_reader_is_between_two_pages() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    Reader::new(&store, Query::all(), 70).pages(60).await;
    in_time(store.close()).await.unwrap();
    until(&mut place.connection().await, OTHERS, |others| others == 0).await;
}

/// Whoever wants a connection gets one soon, though readers are between two pages.
#[tokio::test]
async fn readers_between_two_pages_leave_connections_to_others() {
    let Some(place) = filled().await else { return };
    for connections in 1..=4 {
        let options = place.options().connections(connections).acquire_timeout(Duration::from_secs(300));
        let store = options.connect(&place.url()).await.unwrap();
        let mut readers: Vec<_> = (60..66).map(|page| Reader::new(&store, Query::all(), page)).collect();
        for reader in &mut readers {
            reader.pages(20).await;
        }
        in_time(async {
            let mut of_one = ReadStream::new(stream("1")).limit(10);
            for _ in 0..20 {
                let page = store.read_stream(of_one.clone()).await.unwrap();
                of_one = of_one.after(page.events.last().map(|event| event.version));
            }
            store.append(one("7", Condition::Any)).await.unwrap();
        })
        .await;
        in_time(store.close()).await.unwrap();
    }
}

/// Of the second page comes one statement that brings nothing else: it has ended when its reader takes its time again.
#[tokio::test]
async fn a_reader_that_takes_its_time_twice_keeps_no_connection_either() {
    let Some(place) = filled().await else { return };
    // Shorter than a reader is remembered.
    let options = place.options().connections(2).acquire_timeout(Duration::from_secs(3));
    let store = options.connect(&place.url()).await.unwrap();
    let (mut conn, mut holder) = (place.connection().await, place.connection().await);
    let mut reader = Reader::new(&store, Query::all(), 70);
    reader.pages(40).await;
    until(&mut conn, STATEMENTS_UNDER_WAY, |under_way| under_way == 0).await;
    reader.pages(1).await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE factum.events IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let release = async {
        // Not what is read ahead for the other reader.
        let waiting = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted
                         AND relation = 'factum.events'::regclass AND datname = current_database() AND a.query LIKE '%stream = $1%'";
        until(&mut conn, waiting, |waiting| waiting == 2).await;
        lock.commit().await.unwrap();
    };
    let (one, other) = (ReadStream::new(stream("1")).limit(10), ReadStream::new(stream("2")).limit(10));
    let (one, other, ()) =
        in_time(async { tokio::join!(store.read_stream(one), store.read_stream(other), release) }).await;
    assert_eq!((one.unwrap().events.len(), other.unwrap().events.len()), (10, 10));
    assert_eq!(reader.rest().await, all());
}

/// Of what was left out of its row for its size the rest is fetched on a connection of its own, which may be the last.
#[tokio::test]
async fn a_reader_of_large_events_waits_for_one_connection_and_holds_no_other() {
    let Some(place) = place().await else { return };
    let large = "INSERT INTO factum.events
        SELECT n, n, now(), NULL, gen_random_uuid(), 1, '', 'account', 'account-1', 'Deposited', NULL, NULL,
          to_json((SELECT string_agg(md5((100 * n + m)::text), '') FROM generate_series(1, 100) m))
        FROM generate_series(1, 400) n; ANALYZE";
    place.execute(large).await;
    let options = place.options().connections(2).acquire_timeout(Duration::from_secs(300));
    let store = options.connect(&place.url()).await.unwrap();
    let mut holder = place.connection().await;
    let mut lock = holder.begin().await.unwrap();
    sqlx::query("LOCK TABLE factum.snapshots IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
    let key = SnapshotKey { stream: stream("1"), schema: 1 };
    let held = store.newest(&key, None);
    let read = async {
        place.until_somebody_waits_for("relation").await;
        let mut after = Position::START;
        while after < Position::new(400) {
            let read = ReadLog::after(LogId::FIRST, after).limit(PageLimit::events(10));
            let page = in_time(store.read_log(read)).await.unwrap();
            assert!(page.events.iter().all(|event| event.payload.len() > 3_000));
            after = page.reached.unwrap().position;
        }
        lock.commit().await.unwrap();
    };
    let (held, ()) = tokio::join!(held, read);
    assert_eq!(held.unwrap(), None);
}
