//! Read models on PostgreSQL: commits, switches and drops that meet, and what is left when a server process dies in the middle.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use common::{Place, place};
use factum::{
    Bounds, Checkpoint, Commit, CommitError, Document, DocumentKey, Epoch, EventId, FaultKind, GenerationInfo,
    GenerationState, ListDocuments, LogId, Mark, NewGeneration, Position, Positions, ProjectionName, ProjectionVersion,
    ReadModelError, ReadModelStore, ReadTarget, Shard, StoreId, Switch, SwitchError, Tenant, Version,
};
use factum_postgres::PostgresStore;
use sqlx::{PgConnection, Row};

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

fn key(text: &str) -> DocumentKey {
    DocumentKey::new(Tenant::default(), text).unwrap()
}

fn document(position: u64, body: &str) -> Document {
    let time = DateTime::from_timestamp_micros(1_750_000_000_000_000).unwrap();
    let bounds = Bounds {
        log: LogId::FIRST,
        position: Position::new(position),
        version: Version::new(position).unwrap(),
        recorded_at: time,
        occurred_at: time,
    };
    Document { body: Some(Bytes::from(body.to_owned())), bounds, positions: Positions::default() }
}

/// A step of a shard that writes these documents.
fn step(shard: &Shard, from: u64, to: u64, keys: &[&str]) -> Commit {
    let written = |name: &&str| (key(name), document(to, &format!("\"{to}\"")));
    Commit {
        shard: shard.clone(),
        from: Position::new(from),
        epoch: Epoch(0),
        store: StoreId::generate(),
        to: Mark { position: Position::new(to), event: EventId::generate() },
        documents: keys.iter().map(written).collect(),
        kept: Vec::new(),
        keep_from: None,
        fields: Vec::new(),
    }
}

/// What a server process does that commits a step without documents, up to the end of its transaction.
async fn begin_step(conn: &mut PgConnection, part: i64, generation: u64, from: i64, to: i64) {
    sqlx::raw_sql("BEGIN").execute(&mut *conn).await.unwrap();
    let commit = "SELECT done FROM factum.commit_page('balances', $1, 0, $2, $3, 0, $4, gen_random_uuid(), \
                  gen_random_uuid(), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', \
                  '{}', '{}', '{}', '{}', '{}', '{}', NULL, 0)";
    let commit = sqlx::query(commit).bind(i64::try_from(generation).unwrap()).bind(part).bind(from).bind(to);
    assert!(commit.fetch_one(conn).await.unwrap().get::<bool, _>(0), "a step was not taken");
}

async fn end(mut conn: PgConnection) {
    sqlx::raw_sql("COMMIT").execute(&mut conn).await.unwrap();
}

/// The process that waits for a lock, as soon as one does.
async fn who_waits(place: &Place) -> i32 {
    let mut conn = place.connection().await;
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waits = async {
        loop {
            if let Some(row) = sqlx::query(waiting).fetch_optional(&mut conn).await.unwrap() {
                break row.get::<i32, _>(0);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.expect("nobody waits for a lock")
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it waits for what it should not wait for")
}

async fn body(store: &PostgresStore, of: &str) -> Option<String> {
    let live = ReadTarget::Live(balances().projection, ProjectionVersion(1));
    let found = store.get(&live, &[key(of)]).await.unwrap().documents.remove(0).pop()?;
    found.body.map(|body| String::from_utf8(body.to_vec()).unwrap())
}

async fn at(store: &PostgresStore, shard: &Shard) -> u64 {
    store.checkpoint(shard).await.unwrap().position.get()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_workers_in_two_processes_one_is_stale_at_every_step() {
    let Some(place) = place().await else { return };
    let (one, other) = (place.store().await, place.store().await);
    let shard = shard(&one.open(&balances()).await.unwrap());
    for from in 0..20 {
        let steps = [&one, &other].map(|store| {
            let (store, commit) = (Arc::clone(store), step(&shard, from, from + 1, &["a", "b"]));
            tokio::spawn(async move { store.commit(commit).await })
        });
        let mut taken = 0;
        for step in steps {
            match step.await.unwrap() {
                Ok(()) => taken += 1,
                Err(CommitError::Stale { found, .. }) => assert_eq!(found.get(), from + 1),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(taken, 1, "exactly-once-read-model: {taken} of two workers committed the same step");
    }
    assert_eq!(at(&one, &shard).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_do_not_wait_for_each_other() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let live = store.open(&balances()).await.unwrap();
    let elsewhere = Shard { partition: 1, ..shard(&live) };
    for from in [0, 5] {
        let mut conn = place.connection().await;
        // The first commit of a shard holds the generation's row, the second its checkpoint.
        begin_step(&mut conn, 0, live.generation.0, from, from + 5).await;
        let from = u64::try_from(from).unwrap();
        in_time(store.commit(step(&elsewhere, from, from + 5, &["b"]))).await.unwrap();
        end(conn).await;
    }
    assert_eq!((at(&store, &shard(&live)).await, at(&store, &elsewhere).await), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_waits_for_commits_that_are_under_way_and_counts_them() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let old = store.open(&balances()).await.unwrap();
    let new = store.build(&balances()).await.unwrap();
    store.commit(step(&shard(&old), 0, 7, &[])).await.unwrap();
    store.commit(step(&shard(&new), 0, 7, &[])).await.unwrap();
    let switch =
        Switch { projection: old.projection.clone(), from: old.generation, to: new.generation, keep_old: None };
    let spawn = || {
        let (store, switch) = (Arc::clone(&store), switch.clone());
        tokio::spawn(async move { store.switch(&switch).await })
    };

    // A commit to the live one, of a shard that has a checkpoint.
    let mut conn = place.connection().await;
    begin_step(&mut conn, 0, old.generation.0, 7, 8).await;
    let switching = spawn();
    who_waits(&place).await;
    end(conn).await;
    let behind = in_time(switching).await.unwrap();
    assert!(
        matches!(&behind, Err(SwitchError::Behind { at, live, .. }) if (at.get(), live.get()) == (7, 8)),
        "{behind:?}"
    );

    // The first commit of a shard of the new one: its epoch is raised with the others.
    store.commit(step(&shard(&new), 7, 8, &[])).await.unwrap();
    let mut conn = place.connection().await;
    begin_step(&mut conn, 1, new.generation.0, 0, 9).await;
    let switching = spawn();
    who_waits(&place).await;
    end(conn).await;
    in_time(switching).await.unwrap().unwrap();
    let first = Shard { partition: 1, ..shard(&new) };
    assert_eq!(store.checkpoint(&first).await.unwrap().epoch, Epoch(1), "a shard was missed by a switch");
    let held = store.commit(step(&first, 9, 10, &[])).await;
    assert!(matches!(held, Err(CommitError::Stale { found_epoch: Epoch(1), .. })), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_waits_for_a_switch_or_a_drop_writes_nothing() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let old = store.open(&balances()).await.unwrap();
    store.commit(step(&shard(&old), 0, 7, &["a"])).await.unwrap();
    let built = store.build(&balances()).await.unwrap();
    store.commit(step(&shard(&built), 0, 7, &["a"])).await.unwrap();
    let changes = [
        "BEGIN; UPDATE factum.generations SET state = 'retired' WHERE generation = 1; \
         UPDATE factum.checkpoints SET epoch = epoch + 1 WHERE generation = \
         (SELECT id FROM factum.generations WHERE generation = 1)",
        "BEGIN; UPDATE factum.generations SET state = 'dropping' WHERE generation = 2; \
         DELETE FROM factum.checkpoints WHERE generation = (SELECT id FROM factum.generations WHERE generation = 2)",
    ];
    for (change, generation) in changes.into_iter().zip([&old, &built]) {
        let mut conn = place.connection().await;
        sqlx::raw_sql(change).execute(&mut conn).await.unwrap();
        let commits = [0, 1].map(|partition| {
            // One that has a checkpoint, and one that has none yet.
            let shard = Shard { partition, ..shard(generation) };
            let (store, from) = (Arc::clone(&store), if partition == 0 { 7 } else { 0 });
            tokio::spawn(async move { store.commit(step(&shard, from, 8, &["late"])).await })
        });
        who_waits(&place).await;
        end(conn).await;
        for commit in commits {
            let refused = in_time(commit).await.unwrap();
            let is_refused = matches!(refused, Err(CommitError::Superseded { .. } | CommitError::Stale { .. }));
            assert!(is_refused, "{refused:?}");
        }
    }
    let late = "SELECT count(*) FROM factum.documents WHERE key = 'late'";
    let late = sqlx::query(late).fetch_one(&mut place.connection().await).await.unwrap();
    assert_eq!(late.get::<i64, _>(0), 0, "a generation that was replaced or dropped was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_open_and_build_at_once_get_the_same() {
    let Some(place) = place().await else { return };
    let stores = [place.store().await, place.store().await];
    let asking: Vec<_> = (0..16)
        .map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            let version = ProjectionVersion(u32::from(n % 4 > 1));
            let new = NewGeneration { version, ..balances() };
            tokio::spawn(async move {
                (version, store.open(&new).await.unwrap().generation, store.build(&new).await.unwrap().generation)
            })
        })
        .collect();
    let mut told = Vec::new();
    for asked in asking {
        told.push(asked.await.unwrap());
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), 2, "some were told of others: {told:?}");
    let mut numbers: Vec<_> = told.iter().flat_map(|(_, live, built)| [live.0, built.0]).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

/// A server process that dies in the middle of a commit leaves nothing of it, and the checkpoint tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_server_process_dies_is_not_there_and_can_be_done_again() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let shard = shard(&store.open(&balances()).await.unwrap());
    store.commit(step(&shard, 0, 7, &["a", "b"])).await.unwrap();
    let before = store.checkpoint(&shard).await.unwrap();
    // Another session holds a document, so that the commit stops when it has written some of what it writes.
    let mut conn = place.connection().await;
    sqlx::raw_sql("BEGIN; SELECT FROM factum.documents WHERE key = 'b' FOR UPDATE").execute(&mut conn).await.unwrap();
    let late = step(&shard, 7, 9, &["a", "b"]);
    let committing = {
        let (store, late) = (Arc::clone(&store), late.clone());
        tokio::spawn(async move { store.commit(late).await })
    };
    let pid = who_waits(&place).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut place.connection().await).await.unwrap();
    let answer = in_time(committing).await.unwrap();
    assert!(
        matches!(&answer, Err(CommitError::Fault(fault)) if fault.kind() == FaultKind::Unavailable),
        "a commit whose connection was lost was answered with {answer:?}"
    );
    end(conn).await;
    assert_eq!(store.checkpoint(&shard).await.unwrap(), before, "half of a commit is there");
    assert_eq!(body(&store, "a").await.as_deref(), Some("\"7\""), "half of a commit is there");
    store.commit(late).await.unwrap();
    assert_eq!((at(&store, &shard).await, body(&store, "a").await.as_deref()), (9, Some("\"9\"")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_caller_goes_away_is_finished() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let shard = shard(&store.open(&balances()).await.unwrap());
    store.commit(step(&shard, 0, 7, &["a"])).await.unwrap();
    let mut conn = place.connection().await;
    sqlx::raw_sql("BEGIN; SELECT FROM factum.documents FOR UPDATE").execute(&mut conn).await.unwrap();
    let caller = {
        let (store, next) = (Arc::clone(&store), step(&shard, 7, 9, &["a"]));
        tokio::spawn(async move { store.commit(next).await })
    };
    who_waits(&place).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    end(conn).await;
    in_time(async {
        while at(&store, &shard).await != 9 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(body(&store, "a").await.as_deref(), Some("\"9\""));
}

async fn count(place: &Place, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM factum.{table}");
    sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(&mut place.connection().await).await.unwrap().get(0)
}

async fn until_swept(place: &Place) {
    let state = "SELECT count(*) FROM factum.generations WHERE state = 'dropping'";
    let mut conn = place.connection().await;
    in_time(async {
        while sqlx::query(state).fetch_one(&mut conn).await.unwrap().get::<i64, _>(0) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_generation_is_gone_at_once_and_its_rows_soon() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let live = store.open(&balances()).await.unwrap();
    store.commit(step(&shard(&live), 0, 7, &["a"])).await.unwrap();
    let built = store.build(&balances()).await.unwrap();
    let mut large = step(&shard(&built), 0, 7, &[]);
    large.documents = (0..3_500).map(|n| (key(&n.to_string()), document(7, "{}"))).collect();
    large.kept = large.documents.clone();
    store.commit(large).await.unwrap();
    store.drop_generation(&built.projection, built.generation).await.unwrap();
    let pinned = ReadTarget::Generation(built.projection.clone(), built.generation);
    let list = ListDocuments { target: pinned, tenant: Tenant::default(), after: None, limit: 9, deleted: false };
    assert!(matches!(store.list(&list).await, Err(ReadModelError::Expired { .. })));
    until_swept(&place).await;
    assert_eq!((count(&place, "documents").await, count(&place, "kept").await), (1, 0));
    assert!(store.build(&balances()).await.unwrap().generation > built.generation, "a number was given twice");
    assert_eq!(body(&store, "a").await.as_deref(), Some("\"7\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_left_of_a_dropped_generation_is_swept_by_the_next() {
    let Some(place) = place().await else { return };
    let first = place.store().await;
    let built = first.build(&balances()).await.unwrap();
    first.commit(step(&shard(&built), 0, 7, &["a", "b"])).await.unwrap();
    place.execute("UPDATE factum.generations SET state = 'dropping'; DELETE FROM factum.checkpoints").await;
    let next = place.store().await;
    assert_eq!(next.open(&balances()).await.unwrap().state, GenerationState::Live);
    until_swept(&place).await;
    assert_eq!(count(&place, "documents").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_what_was_written_is_damaged_and_no_panic() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let live = store.open(&balances()).await.unwrap();
    store.commit(step(&shard(&live), 0, 7, &["a"])).await.unwrap();
    let damages = [
        "recorded_at = 'infinity'",
        "occurred_at = '-infinity', recorded_at = now()",
        "occurred_at = now(), position = -1",
        "position = 7, version = 0",
        "version = 7, log = 5000000000",
        "log = 0, positions = '\\xff'",
    ];
    for damage in damages {
        place.execute(&format!("UPDATE factum.documents SET {damage}")).await;
        let target = ReadTarget::Generation(live.projection.clone(), live.generation);
        let got = store.get(&target, &[key("a")]).await;
        let told = matches!(&got, Err(ReadModelError::Damaged { .. } | ReadModelError::DamagedDocument { .. }));
        assert!(told, "{damage} led to {got:?}");
    }
    place.execute("UPDATE factum.checkpoints SET failure = '{\"odd\": 1}'").await;
    assert!(matches!(store.generations(&live.projection).await, Err(ReadModelError::Damaged { .. })));
    place.execute("UPDATE factum.checkpoints SET failure = NULL, position = -7").await;
    assert!(matches!(store.checkpoint(&shard(&live)).await, Err(ReadModelError::Damaged { .. })));
    let refused = store.commit(step(&shard(&live), 7, 8, &[])).await;
    assert!(matches!(&refused, Err(CommitError::Fault(fault)) if fault.kind() == FaultKind::Corrupt), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_stands_on_what_the_last_commit_said() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let shard = shard(&store.open(&balances()).await.unwrap());
    let last = step(&shard, 0, 7, &["a"]);
    store.commit(last.clone()).await.unwrap();
    let wanted =
        Checkpoint { position: Position::new(7), stands_on: Some((last.store, last.to.event)), epoch: Epoch(0) };
    assert_eq!(place.store().await.checkpoint(&shard).await.unwrap(), wanted);
}
