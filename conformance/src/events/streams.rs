//! Reading streams: both directions, pages, bounds.

use factum::{PageLimit, ReadStream, RecordedEvent, StreamPage, Version};

use crate::Fixture;
use crate::kit::*;

async fn page(fixture: &Fixture, read: ReadStream) -> StreamPage {
    fixture.store().read_stream(read).await.must("reading a stream")
}

async fn ten(fixture: &Fixture) -> ReadStream {
    let account = stream("account-1");
    for n in 1..=10 {
        add(fixture, &account, vec![event("Counted", n)]).await;
        add(fixture, &stream("account-other"), events(1)).await;
    }
    ReadStream::new(account)
}

pub(crate) async fn a_stream_that_does_not_exist_is_empty(fixture: &Fixture) {
    add(fixture, &stream("account-1"), events(1)).await;
    let read = ReadStream::new(stream("account-2"));
    for read in [read.clone(), read.clone().backward(), read.after(Some(version(7)))] {
        let found = page(fixture, read.clone()).await;
        assert!(found.events.is_empty() && found.end, "a stream that does not exist is not empty: {read:?}: {found:?}");
    }
}

pub(crate) async fn forward_and_backward_are_each_other_reversed(fixture: &Fixture) {
    let read = ten(fixture).await;
    let forward = page(fixture, read.clone()).await;
    let mut backward = page(fixture, read.backward()).await;
    assert_eq!(numbers(&forward.events), (1..=10).collect::<Vec<_>>(), "forward is not from old to new");
    assert!(forward.end && backward.end, "a page that holds the whole stream does not say that it is the end");
    backward.events.reverse();
    assert_eq!(forward.events, backward.events, "backward is not forward reversed");
}

pub(crate) async fn a_page_begins_after_what_was_asked(fixture: &Fixture) {
    let read = ten(fixture).await;
    for after in [1, 4, 9, 10, 11, u64::MAX] {
        let read = read.clone().after(Some(version(after)));
        let forward = page(fixture, read.clone()).await;
        let wanted: Vec<_> = (1..=10).filter(|n| *n > after).collect();
        assert_eq!(versions(&forward.events), wanted, "forward after version {after}");
        let backward = page(fixture, read.backward()).await;
        let wanted: Vec<_> = (1..=10).rev().filter(|n| *n < after).collect();
        assert_eq!(versions(&backward.events), wanted, "backward after version {after}");
        assert!(forward.end && backward.end, "everything was read after version {after}, and it is not the end");
    }
}

pub(crate) async fn a_page_ends_with_the_version_that_was_asked(fixture: &Fixture) {
    let read = ten(fixture).await;
    for up_to in [1, 4, 10, 11] {
        let found = page(fixture, read.clone().up_to(version(up_to))).await;
        let wanted: Vec<_> = (1..=up_to.min(10)).collect();
        assert_eq!(versions(&found.events), wanted, "up to version {up_to}");
        assert!(found.end, "everything up to version {up_to} was read, and it is not the end");
    }
    let between = read.after(Some(version(3))).up_to(version(6));
    assert_eq!(versions(&page(fixture, between.clone()).await.events), [4, 5, 6], "after 3, up to 6");
    assert_eq!(versions(&page(fixture, between.limit(2)).await.events), [4, 5], "after 3, up to 6, two of them");
}

pub(crate) async fn pages_hold_each_event_once(fixture: &Fixture) {
    let read = ten(fixture).await;
    for size in [1, 3, 5, 9, 10, 11] {
        assert_eq!(
            numbers(&read_all(fixture, &read.stream, size).await),
            (1..=10).collect::<Vec<_>>(),
            "pages of {size}"
        );
        let first = page(fixture, read.clone().limit(size)).await;
        assert_eq!(first.events.len(), size.min(10), "a page of {size}");
        assert!(size >= 10 || !first.end, "a page of {size} says that a stream of 10 ends there");
        let mut backward: Vec<RecordedEvent> = Vec::new();
        for _ in 0..20 {
            let next = read.clone().after(backward.last().map(|event| event.version)).backward().limit(size);
            let found = page(fixture, next).await;
            backward.extend(found.events);
            if found.end {
                break;
            }
        }
        assert_eq!(numbers(&backward), (1..=10).rev().collect::<Vec<_>>(), "backward in pages of {size}");
    }
}

/// However small the bound, a page holds one event; however large the events, a page does not grow far beyond it.
pub(crate) async fn pages_are_bounded_by_bytes(fixture: &Fixture) {
    let account = stream("account-1");
    let large = || factum::NewEvent { payload: format!("\"{}\"", "x".repeat(10_000)).into(), ..event("Noted", 1) };
    add(fixture, &account, (0..20).map(|_| large()).collect()).await;
    for (bytes, most) in [(0, 1), (1, 1), (15_000, 2), (100_000, 10)] {
        let limit = PageLimit::events(1_000).with_bytes(bytes);
        for read in [ReadStream::new(account.clone()), ReadStream::new(account.clone()).backward()] {
            let found = page(fixture, ReadStream { limit, ..read }).await;
            let count = found.events.len();
            assert!((1..=most).contains(&count), "a page of {bytes} bytes holds {count} events of 10,000 bytes");
            assert!(!found.end, "a page of {bytes} bytes says that it holds all of 200,000 bytes");
        }
    }
    let mut after: Option<Version> = None;
    let mut seen = 0;
    for _ in 0..40 {
        let limit = PageLimit::events(1_000).with_bytes(35_000);
        let found = page(fixture, ReadStream { limit, ..ReadStream::new(account.clone()).after(after) }).await;
        seen += found.events.len();
        after = found.events.last().map(|event| event.version);
        if found.end {
            break;
        }
    }
    assert_eq!(seen, 20, "pages that are bounded by bytes lose events");
}

pub(crate) async fn a_page_limit_of_nothing_still_moves_on(fixture: &Fixture) {
    let read = ten(fixture).await;
    let limit = PageLimit { events: 0, bytes: 0 };
    let found = page(fixture, ReadStream { limit, ..read }).await;
    assert_eq!(versions(&found.events), [1], "a page holds at least one event if there is any");
}
