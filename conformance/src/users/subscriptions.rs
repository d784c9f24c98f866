//! Following a store: caught up, then live.

use std::collections::BTreeMap;
use std::time::Duration;

use factum::{Append, Condition, Cursor, LogId, PageLimit, Position, Query, QueryItem, RecordedEvent, Subscription};
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};

use super::account::AccountEvent;
use crate::Fixture;
use crate::kit::*;

/// A poll that never comes in time: what arrives was announced.
const NEVER: Duration = Duration::from_secs(3_600);

fn follow(fixture: &Fixture, from: Cursor, filter: Query) -> Subscription {
    Subscription::new(fixture.store().clone(), from, filter).poll_every(NEVER).pages(PageLimit::events(3))
}

type Events = BoxStream<'static, Result<RecordedEvent, factum::ReadError>>;

async fn take(events: &mut Events, count: usize) -> Vec<RecordedEvent> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = soon(&format!("event {} of a subscription", taken.len() + 1), events.next()).await;
        taken.push(next.must("a subscription without end").must("the next event of a subscription"));
    }
    taken
}

/// By log, as they are in the store.
fn by_log(events: Vec<RecordedEvent>) -> BTreeMap<LogId, Vec<RecordedEvent>> {
    let mut logs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events {
        logs.entry(event.log).or_default().push(event);
    }
    logs
}

pub(crate) async fn it_catches_up_and_then_lives(fixture: &Fixture) {
    for n in 0..20 {
        add(fixture, &stream(&format!("account-{n}")), events(1)).await;
    }
    let mut following = follow(fixture, Cursor::start(), Query::all()).events();
    let mut seen = take(&mut following, 20).await;
    for n in 20..30 {
        add(fixture, &stream(&format!("account-{n}")), events(2)).await;
        seen.extend(take(&mut following, 2).await);
    }
    assert_eq!(by_log(seen), by_log(everything(fixture).await), "a subscription is not every event once, in order");
    assert!(following.next().now_or_never().is_none(), "a subscription goes on without anything new");
}

pub(crate) async fn it_goes_on_from_a_cursor(fixture: &Fixture) {
    for n in 0..20 {
        add(fixture, &stream(&format!("account-{n}")), events(1)).await;
    }
    let cursor = fixture.store().head().await.must("the head");
    add(fixture, &stream("account-late"), events(2)).await;
    let mut following = follow(fixture, cursor, Query::all()).events();
    let ids: Vec<_> = take(&mut following, 2).await.iter().map(|event| event.stream.id().to_owned()).collect();
    assert_eq!(ids, ["late", "late"], "a subscription began elsewhere than after its cursor");
}

/// However much lies between two events that match, and in whichever log.
pub(crate) async fn it_finds_all_that_its_filter_means(fixture: &Fixture) {
    for n in 0..60 {
        let category = if n % 20 == 7 { "wanted" } else { "other" };
        add(
            fixture,
            &stream(&format!("{category}-{n}")),
            vec![tagged("Opened", if n % 20 == 11 { &["red"] } else { &[] })],
        )
        .await;
    }
    let item = QueryItem::new;
    let filter = Query::all().or(item().category(category("wanted"))).or(item().tag(tag("red")));
    let mut following = follow(fixture, Cursor::start(), filter).events();
    let mut ids: Vec<usize> =
        take(&mut following, 6).await.iter().map(|e| e.stream.id().parse().must("a number")).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [7, 11, 27, 31, 47, 51],
        "a subscription left out what its filter means, or brought something else"
    );
    add(fixture, &stream("other-60"), events(3)).await;
    add(fixture, &stream("wanted-61"), events(1)).await;
    assert_eq!(take(&mut following, 1).await[0].stream, stream("wanted-61"), "what came live");
}

/// `complete-order`, as a subscriber sees it.
pub(crate) async fn it_misses_nothing_while_writers_race(fixture: &Fixture) {
    let mut following = follow(fixture, Cursor::start(), Query::all()).events();
    let writers: Vec<_> = (0..6)
        .map(|n| {
            let store = fixture.store().clone();
            tokio::spawn(async move {
                for m in 0..30 {
                    let to = stream(&format!("account-{}", (n * 7 + m) % 13));
                    store.append(Append::to(to, Condition::Any, events(1 + m % 2))).await.must("appending");
                }
            })
        })
        .collect();
    let seen = take(&mut following, 6 * 45).await;
    for writer in join_all(writers).await {
        writer.must("a writer");
    }
    for (log, seen) in by_log(seen) {
        assert!(positions(&seen).is_sorted_by(|a, b| a < b), "complete-order: log {log} was seen out of order");
        assert_eq!(positions(&seen), positions(&log_of(fixture, log).await), "complete-order: positions were skipped");
    }
}

/// A typed subscription once asked for one more event before it saw that it had ended, and so hung on an idle store
/// after the item that names what did not decode; it ends by itself now.
pub(crate) async fn typed_events_are_decoded(fixture: &Fixture) {
    add(fixture, &stream("other-1"), events(1)).await;
    let account = stream("account-1");
    let event = factum::NewEvent::new(event_type("Deposited"), r#"{"cents":5}"#);
    add(fixture, &account, vec![event]).await;
    let mut typed = follow(fixture, Cursor::start(), Query::all()).typed::<AccountEvent>();
    let first = soon("a typed event", typed.next()).await.must("an event").must("an event that decodes");
    assert_eq!((first.data, first.stream), (AccountEvent::Deposited { cents: 5 }, account.clone()));
    // What does not decode is named, and never skipped.
    add(fixture, &account, vec![factum::NewEvent::new(event_type("Unheard"), "{}")]).await;
    let second = soon("an event that does not decode", typed.next()).await.must("an item");
    let Err(factum::SubscribeError::Decode { position, .. }) = second else {
        panic!("an unknown type led to {second:?}")
    };
    assert!(position > Position::START);
    assert!(soon("the end", typed.next()).await.is_none(), "a subscription went on after what it could not decode");
}

/// Nobody follows a store that is gone for ever.
pub(crate) async fn it_ends_with_the_store(fixture: &Fixture) {
    add(fixture, &stream("account-1"), events(1)).await;
    let mut following = follow(fixture, Cursor::start(), Query::all()).events();
    take(&mut following, 1).await;
    let rest = tokio::spawn(async move { following.take(10).collect::<Vec<_>>().await });
    // Lets it wait for the next event first, where there is one thread only.
    tokio::task::yield_now().await;
    fixture.store().close().await.must("closing");
    let rest = soon("the end of a subscription to a store that was closed", rest).await.must("a task");
    assert!(
        rest.last().is_some_and(Result::is_err),
        "a subscription ended without saying that the store did: {rest:?}"
    );
}
