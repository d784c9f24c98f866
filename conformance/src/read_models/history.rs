//! Kept versions: `time-travel-is-exact` stands on these.

use factum::{At, Commit, Cursor, Document, HistoryFrom, LogId, Position, ReadHistory, Shard, Version};

use super::kit::*;
use crate::Fixture;
use crate::kit::{Must, version};

/// A document that was kept at 10, 20 and 30 (deleted at 20), and is at 35.
async fn kept(store: &Store, shard: &Shard) {
    let versions = [(10, Some("\"10\"")), (20, None), (30, Some("\"30\""))];
    let mut from = 0;
    for (at, body) in versions {
        let document = document_in(shard.log, at, body);
        let commit = Commit { kept: vec![(key("1"), document.clone())], ..step(shard, from, at) };
        store.commit(Commit { documents: vec![(key("1"), document)], ..commit }).await.must("keeping a version");
        let after = Commit {
            documents: vec![(key("1"), document_in(shard.log, at + 5, Some("\"now\"")))],
            ..step(shard, at, at + 5)
        };
        store.commit(after).await.must("going on");
        from = at + 5;
    }
}

async fn history(store: &Store, read: &ReadHistory) -> Vec<u64> {
    let mut answer = store.history(read).await.must("a history").versions;
    assert_eq!(answer.len(), read.keys.len(), "a history answers for other keys than were asked");
    answer.remove(0).iter().map(|document| document.bounds.position.get()).collect()
}

pub(crate) async fn kept_versions_come_before_the_current_one(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    kept(&store, &shard(live)).await;
    let all = past(v1(), "1", HistoryFrom::After(Position::START));
    let found = store.history(&all).await.must("a history").versions.remove(0);
    let wanted: Vec<Document> = [(10, Some("\"10\"")), (20, None), (30, Some("\"30\"")), (35, Some("\"now\""))]
        .map(|(at, body)| document(at, body))
        .to_vec();
    assert_eq!(found, wanted, "a history is not every kept version, and the current one after them");
    assert_eq!(
        history(&store, &past(numbered(live), "1", HistoryFrom::After(Position::START))).await,
        [10, 20, 30, 35]
    );
}

/// It begins with the newest version within what is asked, for every kind of `At`; with the oldest if there is none.
pub(crate) async fn a_history_begins_with_its_base(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    kept(&store, &shard(live)).await;
    let cases: [(u64, &[u64]); 7] = [
        (9, &[10, 20, 30, 35]),
        (10, &[10, 20, 30, 35]),
        (19, &[10, 20, 30, 35]),
        (20, &[20, 30, 35]),
        (29, &[20, 30, 35]),
        (34, &[30, 35]),
        (40, &[35]),
    ];
    for (asked, wanted) in cases {
        let ats = [
            At::Version(version(asked)),
            At::Position(Cursor::from(Position::new(asked))),
            At::Recorded(moment(asked)),
            At::Occurred(moment(asked) - chrono::TimeDelta::days(1)),
        ];
        for at in ats {
            let read = past(v1(), "1", HistoryFrom::Base(at.clone()));
            assert_eq!(
                history(&store, &read).await,
                wanted,
                "a history that begins with the newest version within {at:?}"
            );
        }
    }
}

/// By the time of happening the newest that lies within may stand before others that do not.
pub(crate) async fn the_base_is_the_newest_that_lies_within(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let mut from = 0;
    for (at, day) in [(10, 1), (20, 9), (30, 9)] {
        let mut document = document(at, Some("{}"));
        document.bounds.occurred_at = crate::kit::time(&format!("1993-06-0{day}T00:00:00Z"));
        let commit = Commit { kept: vec![(key("1"), document.clone())], ..step(&shard, from, at) };
        store.commit(Commit { documents: vec![(key("1"), document)], ..commit }).await.must("keeping a version");
        from = at;
    }
    let on_the_fifth = At::Occurred(crate::kit::time("1993-06-05T00:00:00Z"));
    let found = history(&store, &past(v1(), "1", HistoryFrom::Base(on_the_fifth))).await;
    assert_eq!(found.first(), Some(&10), "the newest version whose events all happened by then");
    assert!(found.contains(&20) && found.contains(&30), "a history leaves out versions after its base: {found:?}");
}

pub(crate) async fn a_history_goes_on_after_a_position(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    kept(&store, &shard(live)).await;
    for (after, wanted) in [(0, &[10, 20, 30, 35][..]), (10, &[20, 30, 35]), (34, &[35]), (35, &[])] {
        let read = past(v1(), "1", HistoryFrom::After(Position::new(after)));
        assert_eq!(history(&store, &read).await, wanted, "a history after position {after}");
    }
    let two = ReadHistory { limit: 2, ..past(v1(), "1", HistoryFrom::After(Position::START)) };
    assert_eq!(history(&store, &two).await, [10, 20], "a history of at most two");
    let base = ReadHistory { limit: 2, ..past(v1(), "1", HistoryFrom::Base(At::Version(version(29)))) };
    assert_eq!(history(&store, &base).await, [20, 30], "a history of at most two, from its base");
}

pub(crate) async fn histories_are_in_the_order_of_the_keys(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    kept(&store, &shard(live)).await;
    let mut other = writing(&shard(live), 35, 40, "2", Some("{}"));
    other.kept = vec![(key_of(crate::kit::tenant("acme"), "1"), document(38, Some("{}")))];
    store.commit(other).await.must("committing");
    let acme = key_of(crate::kit::tenant("acme"), "1");
    let keys = vec![key("2"), key("missing"), acme, key("1")];
    let read = ReadHistory { keys, ..past(v1(), "1", HistoryFrom::After(Position::START)) };
    let found = store.history(&read).await.must("a history").versions;
    let counts: Vec<_> = found.iter().map(Vec::len).collect();
    assert_eq!(counts, [1, 0, 1, 4], "a history answers for each key, in the order in which they were asked");
    assert_eq!(found[0][0].bounds.version, Version::new(40).must("a version"));
}

pub(crate) async fn logs_have_histories_of_their_own(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    kept(&store, &shard(live)).await;
    let elsewhere = Shard { log: LogId::new(1), ..shard(live) };
    store.commit(writing(&elsewhere, 0, 7, "1", Some("{}"))).await.must("committing");
    let read = past(v1(), "1", HistoryFrom::After(Position::START));
    assert_eq!(
        history(&store, &ReadHistory { log: LogId::new(1), ..read.clone() }).await,
        [7],
        "another log's history"
    );
    assert_eq!(history(&store, &read).await, [10, 20, 30, 35], "a history holds versions of another log");
}

pub(crate) async fn a_version_kept_again_is_replaced(fixture: &Fixture) {
    let Some((store, live)) = live(fixture).await else { return };
    let shard = shard(live);
    let keep = |from, to, body| Commit {
        documents: vec![(key("1"), document(50, Some("\"now\"")))],
        kept: vec![(key("1"), document(10, Some(body)))],
        ..step(&shard, from, to)
    };
    store.commit(keep(0, 60, "\"first\"")).await.must("keeping a version");
    store.commit(keep(60, 61, "\"second\"")).await.must("keeping it again");
    let found =
        store.history(&past(v1(), "1", HistoryFrom::After(Position::START))).await.must("a history").versions.remove(0);
    let wanted = [document(10, Some("\"second\"")), document(50, Some("\"now\""))];
    assert_eq!(found, wanted, "a version that was kept twice");
}
