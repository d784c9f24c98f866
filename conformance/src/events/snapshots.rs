//! Snapshots of aggregates, where a store keeps them.

use bytes::Bytes;
use factum::{At, Bounds, Cursor, LogId, Position, Snapshot, SnapshotKey, SnapshotStore};

use crate::Fixture;
use crate::kit::*;

fn key(name: &str) -> SnapshotKey {
    SnapshotKey { stream: stream(name), schema: 1 }
}

/// A snapshot at a version; its position is ten times that, it was recorded that many minutes past ten, and the
/// latest of its events happened that many minutes past nine.
fn snapshot(key: &SnapshotKey, at: u64) -> Snapshot {
    let bounds = Bounds {
        log: LogId::FIRST,
        position: Position::new(at * 10),
        version: version(at),
        recorded_at: time(&format!("2026-11-21T10:{at:02}:00.000001Z")),
        occurred_at: time(&format!("2026-11-21T09:{at:02}:00.000001Z")),
    };
    Snapshot { key: key.clone(), bounds, state: Bytes::from(format!("{{\"at\": {at}}}")) }
}

async fn newest(store: &dyn SnapshotStore, key: &SnapshotKey, at: Option<At>) -> Option<u64> {
    let found = store.newest(key, at.as_ref()).await.must("looking for a snapshot")?;
    let version = found.bounds.version.get();
    assert_eq!(found, snapshot(key, version), "a snapshot is not what was saved");
    Some(version)
}

pub(crate) async fn the_newest_is_found(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let key = key("account-1");
    assert_eq!(newest(store, &key, None).await, None, "there is a snapshot of nothing");
    for at in [3, 9, 6] {
        store.save(snapshot(&key, at), 10).await.must("saving");
    }
    assert_eq!(newest(store, &key, None).await, Some(9), "not the newest snapshot");
}

/// For every kind of `At` the newest whose bounds lie within it, and every bound is inclusive.
pub(crate) async fn the_newest_within_any_bound_is_found(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let key = key("account-1");
    for at in [3, 6, 9] {
        store.save(snapshot(&key, at), 10).await.must("saving");
    }
    for (asked, wanted) in
        [(2, None), (3, Some(3)), (5, Some(3)), (6, Some(6)), (8, Some(6)), (9, Some(9)), (59, Some(9))]
    {
        let ats = [
            At::Version(version(asked)),
            At::Position(Cursor::of(LogId::FIRST, Position::new(asked * 10))),
            At::Recorded(time(&format!("2026-11-21T10:{asked:02}:00.000001Z"))),
            At::Occurred(time(&format!("2026-11-21T09:{asked:02}:00.000001Z"))),
        ];
        for at in ats {
            assert_eq!(newest(store, &key, Some(at.clone())).await, wanted, "not the newest snapshot within {at:?}");
        }
    }
    let earlier = At::Recorded(time("2026-11-21T10:06:00Z"));
    assert_eq!(newest(store, &key, Some(earlier)).await, Some(3), "a snapshot a microsecond too late was found");
    let other = At::Position(Cursor::of(LogId::new(1), Position::new(90)));
    assert_eq!(newest(store, &key, Some(other)).await, None, "a snapshot was found by a position in another log");
}

/// By the times of happening the newest version is not the latest: a later event may carry an earlier date.
pub(crate) async fn the_newest_is_by_version_among_those_within(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let key = key("account-1");
    for at in [3, 6] {
        store.save(snapshot(&key, at), 10).await.must("saving");
    }
    let later = "2026-11-21T09:30:00Z";
    let mut outlier = snapshot(&key, 8);
    outlier.bounds.occurred_at = time(later);
    store.save(outlier.clone(), 10).await.must("saving");
    let before = At::Occurred(time("2026-11-21T09:29:59Z"));
    assert_eq!(newest(store, &key, Some(before)).await, Some(6), "a snapshot with a later event was found");
    let found = store.newest(&key, Some(&At::Occurred(time(later)))).await.must("looking");
    assert_eq!(found, Some(outlier), "not the newest snapshot");
}

pub(crate) async fn one_of_the_same_version_is_replaced(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let key = key("account-1");
    store.save(snapshot(&key, 3), 10).await.must("saving");
    let other = Snapshot { state: Bytes::from_static(b"{\"other\":true}"), ..snapshot(&key, 3) };
    store.save(other.clone(), 10).await.must("saving again");
    assert_eq!(store.newest(&key, None).await.must("looking"), Some(other), "a snapshot was not replaced");
    store.prune(&key, 1).await.must("pruning");
    assert!(newest(store, &key, Some(At::Version(version(2)))).await.is_none());
}

pub(crate) async fn all_but_the_newest_are_forgotten(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let (key, other) = (key("account-1"), key("account-2"));
    store.save(snapshot(&other, 1), 1).await.must("saving");
    for at in 1..=5 {
        store.save(snapshot(&key, at), 3).await.must("saving");
    }
    let at = |asked| Some(At::Version(version(asked)));
    assert_eq!(newest(store, &key, at(2)).await, None, "more snapshots were kept than asked");
    assert_eq!(newest(store, &key, at(3)).await, Some(3), "fewer snapshots were kept than asked");
    store.prune(&key, 1).await.must("pruning");
    assert_eq!((newest(store, &key, at(4)).await, newest(store, &key, None).await), (None, Some(5)), "pruning to one");
    store.prune(&key, 0).await.must("pruning");
    assert_eq!(newest(store, &key, None).await, None, "pruning to none kept one");
    assert_eq!(newest(store, &other, None).await, Some(1), "pruning one stream's snapshots forgot another's");
}

pub(crate) async fn keys_are_apart(fixture: &Fixture) {
    let Some(store) = fixture.store().snapshots() else { return };
    let ours = key("account-1");
    let theirs = SnapshotKey { stream: acme("account-1"), schema: 1 };
    let newer = SnapshotKey { stream: stream("account-1"), schema: 2 };
    for (key, at) in [(&ours, 1), (&theirs, 2), (&newer, 3)] {
        store.save(snapshot(key, at), 1).await.must("saving");
    }
    for (key, at) in [(&ours, 1), (&theirs, 2), (&newer, 3)] {
        assert_eq!(newest(store, key, None).await, Some(at), "the snapshots of {key:?} are taken for another's");
    }
}
