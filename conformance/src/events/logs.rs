//! Reading logs: order, pages, filters, and how far a page has looked.

use factum::{LogId, LogPage, Mark, PageLimit, Position, Query, QueryItem, ReadError, ReadLog, RecordedEvent};

use crate::Fixture;
use crate::kit::*;

async fn page(fixture: &Fixture, read: ReadLog) -> LogPage {
    fixture.store().read_log(read).await.must("reading a log")
}

fn mark(event: &RecordedEvent) -> Mark {
    Mark { position: event.position, event: event.id }
}

/// Twelve events of one tenant in one log: three categories, three types, two tags.
async fn twelve(fixture: &Fixture) -> (LogId, Vec<RecordedEvent>) {
    let mut log = LogId::FIRST;
    for n in 0..12 {
        let category = ["account", "course", "student"][n % 3];
        let tags: &[&str] = [&[][..], &["red"], &["blue"], &["red", "blue"]][n % 4];
        let name = ["Opened", "Moved"][n / 6];
        log = add(fixture, &acme(&format!("{category}-{n}")), vec![tagged(name, tags)]).await.log;
    }
    (log, log_of(fixture, log).await)
}

/// `complete-order`: one order, from old to new, whatever the size of a page.
pub(crate) async fn a_log_is_read_in_order_in_pages_of_any_size(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    assert_eq!(all.len(), 12, "a log does not hold what was appended");
    let ids: Vec<_> = all.iter().map(|event| event.stream.id().parse::<usize>().must("a number")).collect();
    assert_eq!(ids, (0..12).collect::<Vec<_>>(), "a log is not in the order of the appends");
    for size in [1, 2, 5, 11, 12, 13] {
        let found = read_pages(fixture, ReadLog::after(log, Position::START), size).await;
        assert_eq!(found, all, "pages of {size} together are not the log");
        let first = page(fixture, ReadLog::after(log, Position::START).limit(PageLimit::events(size))).await;
        assert_eq!(first.events.len(), size.min(12), "a page of {size}");
        assert!(size >= 12 || !first.end, "a page of {size} says that a log of 12 events ends there");
    }
}

pub(crate) async fn backward_is_forward_reversed(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    for size in [1, 5, 12, 13] {
        let found = read_pages(fixture, ReadLog::before(log, Position::END), size).await;
        assert_eq!(found, reversed, "backward in pages of {size} is not forward reversed");
    }
    let below = page(fixture, ReadLog::before(log, all[4].position)).await;
    assert_eq!(below.events, reversed[8..], "backward from a position is not what stands before it");
    assert_eq!(below.reached, Some(mark(&all[0])), "a page that read back to the first event has not reached it");
    assert!(below.end, "a page that read back to the first event is not the end");
    let none = page(fixture, ReadLog::before(log, Position::START)).await;
    assert!(none.events.is_empty() && none.end, "there is something before the start");
}

pub(crate) async fn a_page_begins_after_and_ends_with_what_was_asked(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    for (after, up_to) in [(0, 11), (3, 3), (3, 4), (3, 9), (11, 11)] {
        let read = ReadLog::after(log, all[after].position).up_to(all[up_to].position);
        let found = page(fixture, read).await;
        assert_eq!(found.events, all[after + 1..=up_to.max(after)], "after event {after} up to event {up_to}");
        assert!(found.end, "all that was asked was read, and it is not the end");
        let reached = if up_to > after { Some(mark(&all[up_to])) } else { None };
        assert_eq!(found.reached, reached, "after event {after} up to event {up_to}: how far the page has looked");
    }
    let beyond = page(fixture, ReadLog::after(log, Position::END)).await;
    assert!(beyond.events.is_empty() && beyond.end && beyond.reached.is_none(), "there is something after the end");
}

pub(crate) async fn a_filter_means_what_it_says(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    add(fixture, &stream("account-1").in_tenant(tenant("globex")), vec![tagged("Opened", &["red"])]).await;
    add(fixture, &stream("account-1"), vec![tagged("Opened", &["red"])]).await;
    let query = || Query::all().in_tenant(tenant("acme"));
    let item = QueryItem::new;
    let filters = [
        query(),
        query().or(item().category(category("course"))),
        query().or(item().category(category("course")).category(category("student"))),
        query().or(item().event_type(event_type("Moved"))),
        query().or(item().tag(tag("red"))),
        query().or(item().tag(tag("red")).tag(tag("blue"))),
        query().or(item().category(category("course")).event_type(event_type("Opened")).tag(tag("red"))),
        query().or(item().tag(tag("red"))).or(item().category(category("student"))),
        query().or(item().category(category("cours"))).or(item().tag(tag("Red"))),
    ];
    for filter in filters {
        let wanted: Vec<_> = all.iter().filter(|event| filter.matches(event)).cloned().collect();
        for size in [1, 3, 100] {
            let read = ReadLog::after(log, Position::START).filter(filter.clone());
            assert_eq!(read_pages(fixture, read, size).await, wanted, "pages of {size} of {filter:?}");
        }
        let backward = ReadLog::before(log, Position::END).filter(filter.clone());
        let wanted: Vec<_> = wanted.into_iter().rev().collect();
        assert_eq!(read_pages(fixture, backward, 2).await, wanted, "backward, {filter:?}");
    }
}

/// A filter that matches nothing still moves forward, and says on which event it stands.
pub(crate) async fn a_filter_that_matches_nothing_still_moves_on(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    let nothing = Query::categories([category("nothing")]);
    let mut read = ReadLog::after(log, Position::START).filter(nothing).limit(PageLimit::events(2));
    loop {
        let found = page(fixture, read.clone()).await;
        assert!(found.events.is_empty(), "a filter that matches nothing found {:?}", found.events);
        let reached = found.reached.must("how far a page of a filter that matches nothing has looked");
        assert!(reached.position > read.after, "a filter that matches nothing does not move on from {}", read.after);
        let stands_on = all.iter().find(|event| event.position == reached.position).map(|event| event.id);
        assert_eq!(
            stands_on,
            Some(reached.event),
            "a page has reached position {}, where another event stands",
            reached.position
        );
        read.after = reached.position;
        if found.end {
            break;
        }
    }
    assert_eq!(Some(read.after), all.last().map(|event| event.position), "a filter that matches nothing stopped early");
    let found = page(fixture, read).await;
    assert!(
        found.end && found.reached.is_none(),
        "there is nothing to look at, and the page reached something: {found:?}"
    );
}

/// Whatever was found, a page says where it stands, and nothing that matches lies between two pages.
pub(crate) async fn a_page_says_which_event_it_has_reached(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    let filter = Query::all().or(QueryItem::new().tag(tag("red")));
    for size in [1, 2, 100] {
        let mut read = ReadLog::after(log, Position::START).filter(filter.clone()).limit(PageLimit::events(size));
        for _ in 0..20 {
            let found = page(fixture, read.clone()).await;
            let Some(reached) = found.reached else { break };
            let looked_at: Vec<_> =
                all.iter().filter(|e| e.position > read.after && e.position <= reached.position).collect();
            assert_eq!(
                looked_at.last().map(|event| event.id),
                Some(reached.event),
                "reached.event is not the event there"
            );
            let wanted: Vec<_> = looked_at.into_iter().filter(|e| filter.matches(e)).cloned().collect();
            assert_eq!(found.events, wanted, "a page left out what lies before the place that it says it has reached");
            read.after = reached.position;
        }
        assert_eq!(Some(read.after), all.last().map(|event| event.position), "pages of {size} do not reach the end");
    }
}

pub(crate) async fn pages_are_bounded_by_bytes(fixture: &Fixture) {
    let account = stream("account-1");
    let large = || factum::NewEvent { payload: format!("\"{}\"", "x".repeat(10_000)).into(), ..event("Noted", 1) };
    let log = add(fixture, &account, (0..20).map(|_| large()).collect()).await.log;
    for (bytes, most) in [(0, 1), (15_000, 2), (100_000, 10)] {
        let limit = PageLimit::events(1_000).with_bytes(bytes);
        for read in [ReadLog::after(log, Position::START), ReadLog::before(log, Position::END)] {
            let found = page(fixture, read.limit(limit)).await;
            let count = found.events.len();
            assert!((1..=most).contains(&count), "a page of {bytes} bytes holds {count} events of 10,000 bytes");
            assert!(!found.end, "a page of {bytes} bytes says that it holds all of 200,000 bytes");
            assert_eq!(found.reached, found.events.last().map(mark), "a page that is full has not looked further");
        }
    }
}

pub(crate) async fn a_log_that_is_not_there_is_an_error(fixture: &Fixture) {
    let unknown = LogId::new(fixture.store().logs().iter().map(|log| log.get()).max().must("a log") + 1);
    let read = fixture.store().read_log(ReadLog::after(unknown, Position::START)).await;
    assert!(
        matches!(read, Err(ReadError::NoSuchLog { log }) if log == unknown),
        "reading log {unknown} led to {read:?}"
    );
    let read = fixture.store().read_positions(unknown, &[Position::new(1)]).await;
    assert!(
        matches!(read, Err(ReadError::NoSuchLog { log }) if log == unknown),
        "reading log {unknown} led to {read:?}"
    );
}

pub(crate) async fn events_are_found_by_position(fixture: &Fixture) {
    let (log, all) = twelve(fixture).await;
    let wanted: Vec<_> = [7, 1, 11, 4].iter().map(|n: &usize| all[*n].position).collect();
    let asked: Vec<_> =
        wanted.iter().copied().chain([Position::START, Position::END, Position::new(1 << 40)]).collect();
    let found = fixture.store().read_positions(log, &asked).await.must("reading positions");
    let expected = [1, 4, 7, 11].map(|n: usize| all[n].clone());
    assert_eq!(found, expected, "the events at these positions, ascending, and nothing for those that hold none");
    assert!(fixture.store().read_positions(log, &[]).await.must("reading none").is_empty());
}
