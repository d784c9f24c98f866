//! A small projection into tables, ways in which it fails, and a driver for it.
#![allow(dead_code)] // Each test file uses a part of it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use factum::{
    Append, Batch, CommitError, Condition, Event, EventStore, Generation, Generations, LogId, Metadata, PageLimit,
    Projected, ProjectedError, ProjectionName, ReadLog, Recorded, RoundTrip, Shard,
};
use factum_sqlite::{SqlError, SqlProjected, SqlProjection, SqlTransaction, SqliteStore};
use serde::{Deserialize, Serialize};

pub(crate) const LOG: LogId = LogId::FIRST;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum AccountEvent {
    Deposited { cents: i64 },
}

impl Event for AccountEvent {
    const CATEGORY: &'static str = "account";
}

/// How a deposit of 13 fails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    None,
    Refuse,
    Panic,
    Constraint,
    Rollback,
    Unknown,
}

pub(crate) struct Sums(Way);

impl SqlProjection for Sums {
    const NAME: &'static str = "sums";
    const TABLES: &'static [&'static str] = &["sums", "days"];
    const SCHEMA: &'static str = "
        CREATE TABLE {sums} (account TEXT PRIMARY KEY, cents INTEGER NOT NULL) STRICT;
        CREATE INDEX {sums_by_cents} ON {sums} (cents);
        CREATE TABLE {days} (account TEXT NOT NULL REFERENCES {sums}, version INTEGER, UNIQUE (account, version)) STRICT;";
    type Event = AccountEvent;

    fn apply(&self, sql: &SqlTransaction<'_>, events: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
        for event in events {
            let AccountEvent::Deposited { cents } = event.data;
            let account = event.stream.id();
            sql.execute(
                "INSERT INTO {sums} VALUES (?1, ?2) ON CONFLICT DO UPDATE SET cents = cents + excluded.cents",
                (account, cents),
            )?;
            sql.execute("INSERT INTO {days} VALUES (?1, ?2)", (account, event.version.get() as i64))?;
            if cents == 13 {
                let rows = match self.0 {
                    Way::None => 0,
                    Way::Refuse => return Err(SqlError::refused("thirteen")),
                    Way::Panic => panic!("thirteen"),
                    Way::Constraint => sql.execute("INSERT INTO {sums} VALUES (?1, ?2)", (account, cents))?,
                    Way::Rollback => sql.execute("INSERT OR ROLLBACK INTO {sums} VALUES (?1, ?2)", (account, cents))?,
                    Way::Unknown => sql.execute("DELETE FROM {some}", [])?,
                };
                assert_eq!(rows, 0);
            }
        }
        Ok(())
    }
}

pub(crate) fn open(file: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(file).unwrap())
}

pub(crate) fn sums(store: &Arc<SqliteStore>) -> SqlProjected<Sums> {
    failing(store, Way::None)
}

pub(crate) fn failing(store: &Arc<SqliteStore>, way: Way) -> SqlProjected<Sums> {
    store.sql_projection(Sums(way)).unwrap()
}

pub(crate) async fn deposits(store: &SqliteStore, cents: &[i64]) {
    for cents in cents {
        let event = AccountEvent::Deposited { cents: *cents };
        let event = factum::encode(&event, Metadata::new(), RoundTrip::Checked).unwrap();
        store.append(Append::to(crate::common::stream(1), Condition::Any, vec![event])).await.unwrap();
    }
}

pub(crate) fn shard(generation: Generation) -> Shard {
    Shard { projection: ProjectionName::new("sums").unwrap(), generation, partition: 0, log: LOG }
}

/// What comes next for the live generation.
pub(crate) async fn next(store: &SqliteStore, projected: &dyn Projected) -> Batch {
    let from = projected.checkpoint(LOG).await.unwrap();
    batch(store, projected, from, 100).await
}

pub(crate) async fn next_of(store: &SqliteStore, sums: &SqlProjected<Sums>, generation: Generation) -> Batch {
    let from = sums.checkpoint_of(generation, LOG).await.unwrap();
    batch(store, sums, from, 100).await
}

async fn batch(store: &SqliteStore, projected: &dyn Projected, from: factum::Checkpoint, limit: usize) -> Batch {
    let read = ReadLog::after(LOG, from.position).filter(projected.filter().clone()).limit(PageLimit::events(limit));
    let page = store.read_log(read).await.unwrap();
    let to = page.reached.expect("there is nothing to apply");
    Batch { store: store.id(), log: LOG, from, to, events: page.events }
}

/// Brings the live generation to the head.
pub(crate) async fn drive(store: &SqliteStore, projected: &dyn Projected) -> Result<(), ProjectedError> {
    while projected.checkpoint(LOG).await?.position < store.head().await.unwrap().get(LOG) {
        projected.apply(next(store, projected).await).await?;
    }
    Ok(())
}

/// Builds the next generation up to the head, in small steps.
pub(crate) async fn build(store: &SqliteStore, sums: &SqlProjected<Sums>) -> Generation {
    let generation = sums.build().await.unwrap().generation;
    loop {
        let from = sums.checkpoint_of(generation, LOG).await.unwrap();
        if from.position >= store.head().await.unwrap().get(LOG) {
            return generation;
        }
        sums.apply_to(generation, batch(store, sums, from, 2).await).await.unwrap();
    }
}

pub(crate) async fn shown(store: &SqliteStore) -> Vec<(String, i64)> {
    let rows = store.query(|sql| {
        sql.query("SELECT account, cents FROM sums ORDER BY account", [], |row| Ok((row.get(0)?, row.get(1)?)))
    });
    rows.await.unwrap()
}

pub(crate) async fn strings(store: &SqliteStore, sql: &'static str) -> Vec<String> {
    store.query(move |reader| reader.query(sql, [], |row| row.get(0))).await.unwrap()
}

/// The user's tables.
pub(crate) async fn tables(store: &SqliteStore) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND (name GLOB 'sums*' OR name GLOB 'days*') ORDER BY name";
    strings(store, sql).await
}

/// Changes the file behind the store's back.
pub(crate) fn tamper(file: &Path, sql: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

pub(crate) fn is_stale<T>(done: &Result<T, ProjectedError>) -> bool {
    matches!(done, Err(ProjectedError::Commit(CommitError::Stale { .. })))
}

pub(crate) fn is_overtaken<T>(done: &Result<T, ProjectedError>) -> bool {
    matches!(done, Err(ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })))
}

/// Fails instead of hanging.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

/// Runs so many futures at the same time.
pub(crate) async fn futures<T, F>(count: usize, make: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..count).map(|n| tokio::spawn(make(n))).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.unwrap());
    }
    done
}
