//! What a page costs.
//!
//! In a store whose tables had been analyzed, each page of a category read all that followed it in the log, and sorted it:
//! to the planner a range of positions that it does not know is half a percent of the table, and worth sorting.

mod common;

use common::{OTHERS, Place, one, place, stream, until};
use factum::{
    Category, Condition, Direction, EventStore, EventType, LogId, PageLimit, Position, Query, QueryItem, ReadLog,
    ReadStream, RecordedEvent, Tag,
};
use sqlx::Row;

const EVENTS: u64 = 20_000;
const PAGE: u64 = 100;

/// Events of one account in ten; every hundredth of another category, with a tag.
async fn filled() -> Option<Place> {
    let place = place().await?;
    place
        .execute(
            "INSERT INTO factum.events
             SELECT n, (n - 1) / 10 + 1, now(), NULL, gen_random_uuid(), 1, '', CASE n % 100 WHEN 0 THEN 'rare' ELSE 'account' END,
               CASE n % 100 WHEN 0 THEN 'rare-' ELSE 'account-' END || n % 10, 'Deposited',
               CASE n % 100 WHEN 0 THEN ARRAY['a:b'] END, NULL, '{}'
             FROM generate_series(1, 20000) n;
             INSERT INTO factum.tags SELECT position, 'a:b', tenant, category, event_type FROM factum.events WHERE category = 'rare';
             ANALYZE",
        )
        .await;
    Some(place)
}

fn category(name: &str) -> QueryItem {
    QueryItem::new().category(Category::new(name).unwrap())
}

/// How many rows and entries of indexes were looked at so far, by sessions that have ended.
async fn looked_at(place: &Place) -> u64 {
    let sum = "SELECT (SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables)::bigint
                 + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes)::bigint";
    let sum: i64 = sqlx::query(sum).fetch_one(&mut place.connection().await).await.unwrap().get(0);
    sum.unsigned_abs()
}

/// Ends when no session but this one is left: each tells what it has looked at as it ends.
async fn until_all_have_left(place: &Place) {
    until(&mut place.connection().await, OTHERS, |others| others == 0).await;
}

/// Reads all pages of a query, and says how many events and pages they were.
async fn read(store: &dyn EventStore, query: &Query, direction: Direction) -> (u64, u64) {
    let (mut events, mut pages) = (0, 0);
    let limit = PageLimit { events: 100, ..PageLimit::default() };
    let mut read = match direction {
        Direction::Forward => ReadLog::after(LogId::FIRST, Position::START),
        Direction::Backward => ReadLog::before(LogId::FIRST, Position::END),
    };
    read = read.filter(query.clone()).limit(limit);
    loop {
        let page = store.read_log(read.clone()).await.unwrap();
        events += page.events.len() as u64;
        pages += 1;
        match page.reached.filter(|_| !page.end) {
            Some(reached) => read.after = reached.position,
            None => return (events, pages),
        }
    }
}

/// All pages look at a few times what they give, and a little beside it.
async fn costs_what_it_gives(query: Query, expected: u64) {
    let Some(place) = filled().await else { return };
    for direction in [Direction::Forward, Direction::Backward] {
        until_all_have_left(&place).await;
        let before = looked_at(&place).await;
        let store = place.store().await;
        let (events, pages) = read(&*store, &query, direction).await;
        assert_eq!(events, expected);
        store.close().await.unwrap();
        until_all_have_left(&place).await;
        let looked = looked_at(&place).await - before;
        assert!(looked >= events, "nothing was counted");
        assert!(
            looked < events * 6 + pages * 20 + 4_000,
            "{looked} rows and entries for {events} events in {pages} pages"
        );
    }
}

#[tokio::test]
async fn pages_of_the_log_look_at_what_they_give() {
    costs_what_it_gives(Query::all(), EVENTS).await;
}

#[tokio::test]
async fn pages_of_a_category_look_at_what_they_give() {
    costs_what_it_gives(Query::all().or(category("account")), EVENTS - EVENTS / 100).await;
}

#[tokio::test]
async fn pages_of_a_rare_category_look_at_what_they_give() {
    costs_what_it_gives(Query::all().or(category("rare")), EVENTS / 100).await;
}

#[tokio::test]
async fn pages_of_several_categories_look_at_what_they_give() {
    costs_what_it_gives(Query::all().or(category("account")).or(category("rare")), EVENTS).await;
}

#[tokio::test]
async fn pages_of_one_event_type_of_a_category_look_at_what_they_give() {
    let deposited = category("account").event_type(EventType::new("Deposited").unwrap());
    costs_what_it_gives(Query::all().or(deposited), EVENTS - EVENTS / 100).await;
}

#[tokio::test]
async fn pages_of_a_tag_look_at_what_they_give() {
    costs_what_it_gives(Query::all().or(QueryItem::new().tag(Tag::new("a:b").unwrap())), EVENTS / 100).await;
}

#[tokio::test]
async fn pages_of_a_stream_look_at_what_they_give() {
    let Some(place) = filled().await else { return };
    until_all_have_left(&place).await;
    let before = looked_at(&place).await;
    let store = place.store().await;
    let (mut events, mut after) = (0, None);
    loop {
        let page = store.read_stream(ReadStream::new(stream("1")).after(after).limit(100)).await.unwrap();
        events += page.events.len() as u64;
        after = page.events.last().map(|event| event.version);
        if page.end {
            break;
        }
    }
    assert_eq!(events, EVENTS / 10);
    store.close().await.unwrap();
    until_all_have_left(&place).await;
    let looked = looked_at(&place).await - before;
    assert!(looked < events * 6 + events / PAGE * 20 + 4_000, "{looked} rows and entries for {events} events");
}

/// The rule of pages, applied to all events: as many as asked for, or up to the one that exceeds the bytes.
fn cut(events: &[RecordedEvent], limit: PageLimit) -> Vec<Vec<Position>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for event in events {
        if pages.last().unwrap().len() == limit.events || bytes > limit.bytes {
            pages.push(Vec::new());
            bytes = 0;
        }
        pages.last_mut().unwrap().push(event.position);
        bytes += event.size();
    }
    pages
}

/// One statement brings several pages: each of them is what it would have been alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_were_read_ahead_are_cut_as_any_other() {
    let Some(place) = place().await else { return };
    place
        .execute(
            "INSERT INTO factum.events
             SELECT n, (n - 1) / 10 + 1, now(), NULL, gen_random_uuid(), 1, '', 'account', 'account-' || n % 10, 'Deposited', NULL,
               NULL, to_json(repeat('x', CASE n % 50 WHEN 0 THEN 9000 ELSE (n * 37 % 1900)::int END))
             FROM generate_series(1, 3000) n;
             ANALYZE",
        )
        .await;
    let store = place.store().await;
    let whole = PageLimit { events: usize::MAX, bytes: usize::MAX };
    let all = store.read_log(ReadLog::after(LogId::FIRST, Position::START).limit(whole)).await.unwrap().events;
    assert_eq!(all.len(), 3_000);
    let account = Query::all().or(category("account"));
    for (events, bytes) in
        [(7, 1 << 20), (100, 1 << 20), (1_000, 1 << 20), (1_000, 30_000), (3, 1), (2_999, usize::MAX)]
    {
        let limit = PageLimit { events, bytes };
        for filter in [Query::all(), account.clone()] {
            let (mut pages, mut after) = (Vec::new(), Position::START);
            loop {
                let read = ReadLog::after(LogId::FIRST, after).filter(filter.clone()).limit(limit);
                let page = store.read_log(read).await.unwrap();
                pages.push(page.events.iter().map(|event| event.position).collect::<Vec<_>>());
                assert!(page.events.iter().all(|event| !event.payload.is_empty()), "a payload is missing");
                match page.reached.filter(|_| !page.end) {
                    Some(reached) => after = reached.position,
                    None => break,
                }
            }
            pages.retain(|page| !page.is_empty());
            assert_eq!(pages, cut(&all, limit), "{limit:?} of {filter:?}");
        }
    }
}

/// A reader that follows the log sees what comes after the pages that were read ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_while_pages_are_read_ahead_comes_after_them() {
    let Some(place) = filled().await else { return };
    let store = place.store().await;
    let (mut after, mut seen, mut appended) = (Position::START, 0, 0);
    loop {
        let page = store.read_log(ReadLog::after(LogId::FIRST, after).limit(PageLimit::events(1_000))).await.unwrap();
        for event in &page.events {
            seen += 1;
            assert_eq!(event.position.as_i64().unsigned_abs(), seen);
        }
        if let Some(reached) = page.reached {
            after = reached.position;
        }
        if appended < 30 {
            appended += 1;
            store.append(one(&format!("later-{appended}"), Condition::Any)).await.unwrap();
        } else if page.end {
            break;
        }
    }
    assert_eq!(seen, EVENTS + 30);
}
