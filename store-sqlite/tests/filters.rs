//! A filter by tags walks an index; it must find exactly what looking at every event finds.

mod common;

use common::{place, stream};
use factum::{
    Append, Condition, Direction, EventStore, EventType, LogId, NewEvent, PageLimit, Position, Query, QueryItem,
    ReadLog, Tag,
};
use factum_sqlite::SqliteStore;
use proptest::prelude::*;

fn tag(n: u8) -> Tag {
    Tag::new(format!("tag:{n}")).unwrap()
}

/// Everything that a filter finds, read in pages, in the order in which it came; and how far the last page had looked.
async fn found(store: &SqliteStore, filter: &Query, direction: Direction, events: usize) -> (Vec<u64>, Option<u64>) {
    let (mut all, mut reached) = (Vec::new(), None);
    let mut read = match direction {
        Direction::Forward => ReadLog::after(LogId::FIRST, Position::START),
        Direction::Backward => ReadLog::before(LogId::FIRST, Position::END),
    }
    .filter(filter.clone())
    .limit(PageLimit::events(events));
    loop {
        let page = store.read_log(read.clone()).await.unwrap();
        all.extend(page.events.iter().map(|event| event.position.get()));
        reached = page.reached.map(|mark| mark.position.get()).or(reached);
        match page.reached {
            Some(mark) if !page.end => read.after = mark.position,
            _ => return (all, reached),
        }
    }
}

async fn filled(tags: &[Vec<u8>]) -> (tempfile::TempDir, SqliteStore) {
    let (directory, file) = place();
    let store = SqliteStore::open(file).unwrap();
    let events = tags.iter().enumerate().map(|(n, tags)| {
        let name = if n % 3 == 0 { "Opened" } else { "Closed" };
        let mut event = NewEvent::new(EventType::new(name).unwrap(), "{}");
        event.tags = tags.iter().copied().map(tag).collect();
        event
    });
    store.append(Append::to(stream(1), Condition::Any, events.collect())).await.unwrap();
    (directory, store)
}

fn queries() -> impl Strategy<Value = Query> {
    let item = (proptest::collection::btree_set(0u8..4, 0..3), any::<bool>()).prop_map(|(tags, narrow)| {
        let item =
            if narrow { QueryItem::new().event_type(EventType::new("Opened").unwrap()) } else { QueryItem::new() };
        tags.into_iter().fold(item, |item, n| item.tag(tag(n)))
    });
    proptest::collection::vec(item, 0..3).prop_map(|items| items.into_iter().fold(Query::all(), Query::or))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_walk_finds_what_the_scan_finds(
        tags in proptest::collection::vec(proptest::collection::btree_set(0u8..4, 0..3), 1..40),
        query in queries(),
        events in 1usize..6,
    ) {
        let tags: Vec<Vec<u8>> = tags.into_iter().map(|tags| tags.into_iter().collect()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_directory, store) = filled(&tags).await;
            let all = store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap().events;
            let mut expected: Vec<u64> = all.iter().filter(|event| query.matches(event)).map(|event| event.position.get()).collect();
            let (forward, reached) = found(&store, &query, Direction::Forward, events).await;
            assert_eq!(forward, expected);
            assert_eq!(reached, Some(tags.len() as u64));
            let (backward, reached) = found(&store, &query, Direction::Backward, events).await;
            expected.reverse();
            assert_eq!(backward, expected);
            assert_eq!(reached, Some(1));
        });
    }
}

/// Two tags that never meet: a walk must not go through the whole log for one page, and must still end.
#[tokio::test]
async fn tags_that_never_meet_are_left_behind_page_by_page() {
    let tags: Vec<Vec<u8>> = [vec![0], vec![1]].into_iter().cycle().take(5_000).collect();
    let (_directory, store) = filled(&tags).await;
    let both = Query::all().or(QueryItem::new().tag(tag(0)).tag(tag(1)));
    for direction in [Direction::Forward, Direction::Backward] {
        assert_eq!(found(&store, &both, direction, 10).await.0, Vec::<u64>::new());
    }
}
