//! Read models in the file: the compare-and-set, generations, versions, and that dropping holds nobody up.

mod common;

use std::time::Duration;

use common::{document, key, place};
use factum::{
    At, Checkpoint, Commit, CommitError, Epoch, EventId, EventStore, GenerationInfo, GenerationState, HistoryFrom,
    ListDocuments, LogId, Mark, NewGeneration, Position, ProjectionName, ProjectionVersion, ReadHistory,
    ReadModelError, ReadModelStore, ReadTarget, Shard, StoreId, Switch, SwitchError, Tenant,
};
use factum_sqlite::SqliteStore;

fn balances() -> NewGeneration {
    NewGeneration {
        projection: ProjectionName::new("balances").unwrap(),
        version: ProjectionVersion(1),
        fields: Vec::new(),
    }
}

fn shard(of: &GenerationInfo) -> Shard {
    Shard { projection: of.projection.clone(), generation: of.generation, partition: 0, log: LogId::FIRST }
}

fn commit(of: &GenerationInfo, from: u64, to: u64) -> Commit {
    Commit {
        shard: shard(of),
        from: Position::new(from),
        epoch: Epoch(0),
        store: StoreId::generate(),
        to: Mark { position: Position::new(to), event: EventId::generate() },
        documents: Vec::new(),
        kept: Vec::new(),
        keep_from: None,
        fields: Vec::new(),
    }
}

fn live() -> ReadTarget {
    ReadTarget::Live(balances().projection, ProjectionVersion(1))
}

fn everything(target: ReadTarget) -> ListDocuments {
    ListDocuments { target, tenant: Tenant::default(), after: None, limit: 100, deleted: false }
}

#[tokio::test]
async fn a_commit_moves_documents_and_checkpoint_together_and_only_from_where_they_are() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let generation = store.open(&balances()).await.unwrap();
    assert_eq!(store.checkpoint(&shard(&generation)).await.unwrap(), Checkpoint::default());
    let mut first = commit(&generation, 0, 7);
    first.documents = vec![(key("b"), document(7, Some("{\"b\":1}"))), (key("a"), document(3, None))];
    store.commit(first.clone()).await.unwrap();
    assert!(matches!(store.commit(first.clone()).await, Err(CommitError::Stale { found, .. }) if found.get() == 7));

    let checkpoint = store.checkpoint(&shard(&generation)).await.unwrap();
    assert_eq!(checkpoint.stands_on, Some((first.store, first.to.event)));
    let loaded = store.load(&shard(&generation), &[key("b"), key("none"), key("a")]).await.unwrap();
    assert_eq!(loaded, [Some(document(7, Some("{\"b\":1}"))), None, Some(document(3, None))]);
    let found = store.get(&live(), &[key("a"), key("b")]).await.unwrap();
    assert_eq!(found.documents, [vec![], vec![document(7, Some("{\"b\":1}"))]]);
    assert_eq!(found.read.checkpoint.get(LogId::FIRST), Position::new(7));
}

#[tokio::test]
async fn a_worker_of_an_old_epoch_writes_nothing() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let generation = store.open(&balances()).await.unwrap();
    assert_eq!(store.raise_epoch(&shard(&generation), Epoch(0)).await.unwrap(), Epoch(1));
    let refused = store.commit(commit(&generation, 0, 7)).await;
    assert!(matches!(refused, Err(CommitError::Stale { found_epoch: Epoch(1), .. })), "{refused:?}");
    assert!(store.raise_epoch(&shard(&generation), Epoch(0)).await.is_err());
    let now = Commit { epoch: Epoch(1), ..commit(&generation, 0, 7) };
    store.commit(now).await.unwrap();
}

#[tokio::test]
async fn documents_are_listed_by_the_bytes_of_their_keys_and_tenants_apart() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let generation = store.open(&balances()).await.unwrap();
    let mut written = commit(&generation, 0, 9);
    for name in ["b", "a", "Z", "ä", "a0"] {
        written.documents.push((key(name), document(1, Some("{}"))));
    }
    let other = factum::DocumentKey::new(Tenant::new("acme").unwrap(), "a").unwrap();
    written.documents.push((other, document(2, Some("{}"))));
    store.commit(written).await.unwrap();
    let mut names = Vec::new();
    let mut list = ListDocuments { limit: 2, ..everything(live()) };
    loop {
        let page = store.list(&list).await.unwrap();
        names.extend(page.documents.iter().map(|(key, _)| key.key().to_owned()));
        list.after = names.last().cloned();
        if page.end {
            break;
        }
    }
    assert_eq!(names, ["Z", "a", "a0", "b", "ä"]);
}

#[tokio::test]
async fn a_history_begins_at_its_base_however_the_versions_were_committed() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let generation = store.open(&balances()).await.unwrap();
    let version = |position| document(position, Some("{}"));
    let mut from = 0;
    for kept in [vec![10, 20, 30], vec![40], vec![50, 60]] {
        let to = kept[kept.len() - 1];
        let mut step = commit(&generation, from, to);
        step.kept = kept.into_iter().map(|position| (key("a"), version(position))).collect();
        step.documents = vec![(key("a"), version(to))];
        store.commit(step).await.unwrap();
        from = to;
    }
    let mut last = commit(&generation, 60, 65);
    last.documents = vec![(key("a"), version(65))];
    store.commit(last).await.unwrap();
    let history = async |from: HistoryFrom, limit: usize| {
        let read = ReadHistory { target: live(), log: LogId::FIRST, keys: vec![key("a")], from, limit };
        let found = store.history(&read).await.unwrap().versions.remove(0);
        found.iter().map(|version| version.bounds.position.get()).collect::<Vec<_>>()
    };
    let at = |position| HistoryFrom::Base(At::from(Position::new(position)));
    assert_eq!(history(at(5), 2).await, [10, 20]);
    assert_eq!(history(at(20), 100).await, [20, 30, 40, 50, 60, 65]);
    assert_eq!(history(at(39), 2).await, [30, 40]);
    assert_eq!(history(at(59), 100).await, [50, 60, 65]);
    assert_eq!(history(at(65), 100).await, [65]);
    let occurred = |seconds| HistoryFrom::Base(At::Occurred(chrono::DateTime::from_timestamp_secs(seconds).unwrap()));
    assert_eq!(history(occurred(45), 2).await, [40, 50]);
    assert_eq!(history(occurred(3), 1).await, [10]);
    assert_eq!(history(HistoryFrom::After(Position::new(30)), 2).await, [40, 50]);
    assert_eq!(history(HistoryFrom::After(Position::new(65)), 2).await, Vec::<u64>::new());
}

#[tokio::test]
async fn a_switch_needs_the_new_one_whole_and_expels_the_old() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let old = store.open(&balances()).await.unwrap();
    store.commit(commit(&old, 0, 7)).await.unwrap();
    let new = store.build(&balances()).await.unwrap();
    assert_eq!(store.build(&balances()).await.unwrap(), new);
    let switch =
        Switch { projection: old.projection.clone(), from: old.generation, to: new.generation, keep_old: None };
    store.commit(commit(&new, 0, 6)).await.unwrap();
    assert!(matches!(store.switch(&switch).await, Err(SwitchError::Behind { .. })));
    store.commit(commit(&new, 6, 7)).await.unwrap();
    store.switch(&switch).await.unwrap();
    assert!(
        matches!(store.switch(&switch).await, Err(SwitchError::NotLive { live: Some(live), .. }) if live == new.generation)
    );
    assert!(matches!(store.commit(commit(&old, 7, 8)).await, Err(CommitError::Superseded { .. })));
    let held = store.commit(commit(&new, 7, 8)).await;
    assert!(matches!(held, Err(CommitError::Stale { found_epoch: Epoch(1), .. })), "{held:?}");
    let states: Vec<_> = store.generations(&old.projection).await.unwrap().iter().map(|info| info.state).collect();
    assert_eq!(states, [GenerationState::Retired, GenerationState::Live]);
}

#[tokio::test]
async fn a_dropped_generation_is_expired_at_once_and_its_rows_go_while_others_write() {
    let (_directory, file) = place();
    let store = SqliteStore::open(&file).unwrap();
    let live_one = store.open(&balances()).await.unwrap();
    let built = store.build(&balances()).await.unwrap();
    let mut large = commit(&built, 0, 7);
    large.documents = (0..5_000).map(|n| (key(&n.to_string()), document(7, Some("{}")))).collect();
    store.commit(large).await.unwrap();
    assert!(matches!(
        store.drop_generation(&live_one.projection, live_one.generation).await,
        Err(ReadModelError::Live { .. })
    ));
    store.drop_generation(&built.projection, built.generation).await.unwrap();
    let pinned = ReadTarget::Generation(built.projection.clone(), built.generation);
    assert!(matches!(store.list(&everything(pinned.clone())).await, Err(ReadModelError::Expired { .. })));
    assert!(matches!(store.checkpoint(&shard(&built)).await, Err(ReadModelError::Expired { .. })));
    common::append(&store, "1").await.unwrap();
    let next = store.build(&balances()).await.unwrap();
    assert!(next.generation > built.generation, "a number was given twice");

    // The rows are gone before the file is closed, or when it is opened the next time.
    store.close().await.unwrap();
    let store = SqliteStore::open(&file).unwrap();
    let gone = async {
        loop {
            let conn = rusqlite::Connection::open(&file).unwrap();
            let left: i64 = conn.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
            if left == 0 {
                break;
            }
            common::append(&store, "1").await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("rows of a dropped generation are still there");
    assert!(matches!(store.list(&everything(pinned)).await, Err(ReadModelError::Expired { .. })));
}
