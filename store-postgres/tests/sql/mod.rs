//! A small projection into tables, ways in which it fails, and batches for it.
#![allow(dead_code)] // Each test file uses a part of it.

use std::sync::Arc;

use chrono::DateTime;
use factum::{
    Batch, Checkpoint, CommitError, Event, EventId, EventType, Generation, Generations, LogId, Mark, Metadata,
    Position, Projected, ProjectedError, ProjectionName, Recorded, RecordedEvent, Shard, StoreId, Version,
};
use factum_postgres::{PostgresStore, SqlError, SqlProjected, SqlProjection, SqlTransaction};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Row};

use crate::common::{Place, stream};

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
    Deferred,
    Unknown,
    Commit,
    PlainName,
}

pub(crate) struct Sums(Way);

impl SqlProjection for Sums {
    const NAME: &'static str = "sums";
    const TABLES: &'static [&'static str] = &["sums", "days"];
    const SCHEMA: &'static str = "
        CREATE TABLE {sums} (account text PRIMARY KEY, cents bigint NOT NULL, other text UNIQUE);
        CREATE INDEX {sums_by_cents} ON {sums} (cents);
        CREATE TABLE {days} (
          account text NOT NULL REFERENCES {sums} DEFERRABLE INITIALLY DEFERRED, version bigint, UNIQUE (account, version)
        );";
    type Event = AccountEvent;

    async fn apply(&self, sql: &mut SqlTransaction<'_>, events: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
        for event in events {
            let AccountEvent::Deposited { cents } = event.data;
            let account = event.stream.id();
            let add = sql.query(
                "INSERT INTO {sums} AS s VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET cents = s.cents + excluded.cents",
            );
            sql.execute(add.bind(account).bind(cents)).await?;
            let version = i64::try_from(event.version.get()).unwrap();
            let day = sql.query("INSERT INTO {days} VALUES ($1, $2)").bind(account).bind(version);
            sql.execute(day).await?;
            if cents == 13 {
                let way = match self.0 {
                    Way::None => continue,
                    Way::Refuse => return Err(SqlError::refused("thirteen")),
                    Way::Panic => panic!("thirteen"),
                    Way::Constraint => sql.query("INSERT INTO {sums} VALUES ($1, 1)").bind(account),
                    Way::Deferred => sql.query("INSERT INTO {days} VALUES ('nobody', 1)"),
                    Way::Unknown => sql.query("DELETE FROM {some}"),
                    Way::Commit => sql.query("/* done */ COMMIT"),
                    Way::PlainName => sql.query("INSERT INTO sums VALUES ('by hand', 1)"),
                };
                sql.execute(way).await?;
            }
        }
        Ok(())
    }
}

pub(crate) fn sums(store: &Arc<PostgresStore>) -> SqlProjected<Sums> {
    failing(store, Way::None)
}

pub(crate) fn failing(store: &Arc<PostgresStore>, way: Way) -> SqlProjected<Sums> {
    store.sql_projection(Sums(way)).unwrap()
}

pub(crate) fn shard(generation: Generation) -> Shard {
    Shard { projection: ProjectionName::new("sums").unwrap(), generation, partition: 0, log: LOG }
}

/// A log of deposits to one account, as a store would give it.
pub(crate) struct Log {
    store: StoreId,
    events: Vec<RecordedEvent>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self { store: StoreId::generate(), events: Vec::new() }
    }

    pub(crate) fn deposits(mut self, cents: &[i64]) -> Self {
        for cents in cents {
            let number = self.events.len() as u64 + 1;
            self.events.push(RecordedEvent {
                id: EventId::generate(),
                log: LOG,
                position: Position::new(number),
                stream: stream("1"),
                version: Version::new(number).unwrap(),
                event_type: EventType::new("Deposited").unwrap(),
                schema_version: 1,
                payload: format!(r#"{{"cents":{cents}}}"#).into(),
                metadata: Metadata::new(),
                tags: Vec::new(),
                recorded_at: DateTime::from_timestamp_secs(1_000).unwrap(),
            });
        }
        self
    }

    /// What follows a checkpoint, at most so much.
    pub(crate) fn after(&self, from: Checkpoint, limit: usize) -> Option<Batch> {
        let follows = |event: &&RecordedEvent| event.position > from.position;
        let events: Vec<_> = self.events.iter().filter(follows).take(limit).cloned().collect();
        let last = events.last()?;
        let to = Mark { position: last.position, event: last.id };
        Some(Batch { store: self.store, log: LOG, from, to, events })
    }

    /// What comes next for the live generation.
    pub(crate) async fn next(&self, projected: &dyn Projected) -> Batch {
        let from = projected.checkpoint(LOG).await.unwrap();
        self.after(from, 100).expect("there is nothing to apply")
    }

    /// Brings the live generation to the end.
    pub(crate) async fn drive(&self, projected: &dyn Projected) -> Result<(), ProjectedError> {
        while let Some(batch) = self.after(projected.checkpoint(LOG).await?, 100) {
            projected.apply(batch).await?;
        }
        Ok(())
    }

    /// Builds the next generation to the end, in small steps.
    pub(crate) async fn build(&self, generations: &dyn Generations) -> Generation {
        let generation = generations.build().await.unwrap().generation;
        loop {
            let from = generations.checkpoint_of(generation, LOG).await.unwrap();
            let Some(batch) = self.after(from, 2) else { return generation };
            generations.apply_to(generation, batch).await.unwrap();
        }
    }
}

/// Texts that a query gives, from a session of another program.
pub(crate) async fn texts(place: &Place, query: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned())).fetch_all(&mut place.connection().await).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

pub(crate) async fn shown(place: &Place) -> Vec<String> {
    texts(place, "SELECT account || ' ' || cents FROM sums ORDER BY 1").await
}

pub(crate) async fn tables(place: &Place) -> Vec<String> {
    texts(place, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").await
}

pub(crate) fn is_stale<T>(done: &Result<T, ProjectedError>) -> bool {
    matches!(done, Err(ProjectedError::Commit(CommitError::Stale { .. })))
}

pub(crate) fn is_overtaken<T>(done: &Result<T, ProjectedError>) -> bool {
    matches!(done, Err(ProjectedError::Commit(CommitError::Stale { .. } | CommitError::Superseded { .. })))
}
