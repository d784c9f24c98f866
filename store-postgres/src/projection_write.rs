//! A batch applied to tables, and the checkpoint with it, in one transaction.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use factum::{CommitError, Epoch, Fault, FaultKind, Mark, Position, ProjectedError, Recorded, Shard, StoreId};
use futures_util::FutureExt;
use sqlx::postgres::PgConnection;
use sqlx::{Postgres, Row, Transaction};

use crate::columns::column;
use crate::error::fault;
use crate::projected::SqlProjected;
use crate::projection::SqlProjection;
use crate::tables::Tables;
use crate::transaction::{SqlTransaction, sort};

/// One step of a shard, but for the events.
pub(crate) struct Step {
    pub(crate) shard: Shard,
    pub(crate) from: Position,
    pub(crate) epoch: Epoch,
    pub(crate) store: StoreId,
    pub(crate) to: Mark,
}

/// A transaction that has locked the shard.
struct Held {
    transaction: Transaction<'static, Postgres>,
    generation: i64,
    tables: Arc<Tables>,
    /// What the server calls the transaction: user code that has ended it has another.
    number: String,
}

impl Step {
    /// Applies events and moves the checkpoint, if that is where it is expected (`exactly-once-read-model`). Where one
    /// fails, those before it are applied, with the checkpoint moved as far; answers which one, and why.
    pub(crate) async fn apply<P: SqlProjection>(
        &self,
        projected: &SqlProjected<P>,
        events: &[Recorded<P::Event>],
    ) -> Result<Option<(usize, String)>, ProjectedError> {
        let mut held = self.hold(projected).await?;
        let tried = match events.is_empty() {
            true => Ok(()),
            false => held.run(projected, events).await?,
        };
        let cause = match tried {
            Ok(()) => match self.finish(projected, held, self.to).await? {
                Ok(()) => return Ok(None),
                Err(cause) => cause,
            },
            Err(cause) => {
                held.transaction.rollback().await.map_err(told)?;
                cause
            }
        };
        match events.len() {
            0 | 1 => Ok(Some((0, cause))),
            _ => self.singly(projected, events).await,
        }
    }

    /// One event at a time, to find out which one fails.
    async fn singly<P: SqlProjection>(
        &self,
        projected: &SqlProjected<P>,
        events: &[Recorded<P::Event>],
    ) -> Result<Option<(usize, String)>, ProjectedError> {
        let mut held = self.hold(projected).await?;
        let mut failed = None;
        for (n, event) in events.iter().enumerate() {
            held.simple(projected, "SAVEPOINT event").await?.map_err(unexpected)?;
            let tried = match held.run(projected, std::slice::from_ref(event)).await? {
                // What is put off to the end of the transaction is looked at now.
                Ok(()) => held.simple(projected, "SET CONSTRAINTS ALL IMMEDIATE").await?,
                failed => failed,
            };
            if let Err(cause) = tried {
                held.simple(projected, "ROLLBACK TO event").await?.map_err(unexpected)?;
                failed = Some((n, cause));
                break;
            }
            held.simple(projected, "SET CONSTRAINTS ALL DEFERRED").await?.map_err(unexpected)?;
            held.simple(projected, "RELEASE event").await?.map_err(unexpected)?;
        }
        let to = match &failed {
            None => Some(self.to),
            Some((n, _)) => n.checked_sub(1).and_then(|last| events.get(last)).map(mark),
        };
        match to {
            Some(to) => self.finish(projected, held, to).await?.map_err(unexpected)?,
            None => held.transaction.rollback().await.map_err(told)?,
        }
        Ok(failed)
    }

    async fn hold<P: SqlProjection>(&self, projected: &SqlProjected<P>) -> Result<Held, ProjectedError> {
        let db = &projected.store.db;
        let mut transaction = db.begin().await.map_err(told)?;
        let hold = sqlx::query(db.sql.hold_tables.clone())
            .bind(self.shard.projection.as_str())
            .bind(column(self.shard.generation.0))
            .bind(i64::from(self.shard.log.get()))
            .bind(i64::from(self.shard.partition));
        let row = db.prepared(hold).fetch_one(&mut *transaction).await.map_err(told)?;
        let held: Option<i64> = row.try_get("held").map_err(told)?;
        let Some(generation) = held else {
            let (projection, generation) = (self.shard.projection.clone(), self.shard.generation);
            return Err(CommitError::Superseded { projection, generation }.into());
        };
        let found = position(row.try_get("at").map_err(told)?);
        let found_epoch = Epoch(position(row.try_get("epoch").map_err(told)?).get());
        if (found, found_epoch) != (self.from, self.epoch) {
            let (projection, expected, expected_epoch) = (self.shard.projection.clone(), self.from, self.epoch);
            return Err(CommitError::Stale { projection, expected, expected_epoch, found, found_epoch }.into());
        }
        let names: Option<Vec<String>> = row.try_get("names").map_err(told)?;
        let place: Option<String> = row.try_get("place").map_err(told)?;
        let live = row.try_get::<Option<bool>, _>("live").map_err(told)?.unwrap_or_default();
        let number = row.try_get("transaction").map_err(told)?;
        let place = place.unwrap_or_else(|| P::PLACE.to_owned());
        let tables = Arc::new(Tables::new(names.unwrap_or_default(), &place, self.shard.generation, live));
        Ok(Held { transaction, generation, tables, number })
    }

    /// Moves the checkpoint and commits; `Err` says what of the batch does not let it.
    async fn finish<P: SqlProjection>(
        &self,
        projected: &SqlProjected<P>,
        mut held: Held,
        to: Mark,
    ) -> Result<Result<(), String>, ProjectedError> {
        let db = &projected.store.db;
        let moving = sqlx::query(db.sql.move_held.clone())
            .bind(held.generation)
            .bind(i64::from(self.shard.log.get()))
            .bind(i64::from(self.shard.partition))
            .bind(to.position.as_i64())
            .bind(self.store.as_uuid())
            .bind(to.event.as_uuid())
            .bind(&held.number);
        match db.prepared(moving).execute(&mut *held.transaction).await {
            Ok(moved) if moved.rows_affected() == 1 => {}
            Ok(_) => {
                let what = "it ended the transaction: half of it may be in the tables; mend it and replay";
                return Ok(Err(what.to_owned()));
            }
            Err(error) => return sort(error).map(Err).map_err(|fault| CommitError::from(fault).into()),
        }
        match held.transaction.commit().await {
            Ok(()) => Ok(Ok(())),
            Err(error) => sort(error).map(Err).map_err(|fault| CommitError::from(fault).into()),
        }
    }
}

impl Held {
    /// Runs user code; `Err` says what went wrong in it, and the transaction is to be rolled back.
    async fn run<P: SqlProjection>(
        &mut self,
        projected: &SqlProjected<P>,
        events: &[Recorded<P::Event>],
    ) -> Result<Result<(), String>, ProjectedError> {
        let conn: &mut PgConnection = &mut self.transaction;
        let mut sql = SqlTransaction::new(conn, Arc::clone(&self.tables), !projected.store.db.behind_pooler());
        let applied = AssertUnwindSafe(projected.projection.apply(&mut sql, events)).catch_unwind().await;
        // Whatever the projection made of it: a server that is gone is no halt.
        if let Some(fault) = sql.into_fault() {
            return Err(CommitError::from(fault).into());
        }
        Ok(match applied {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(refused.to_string()),
            Err(panic) => Err(message(&*panic)),
        })
    }

    async fn simple<P: SqlProjection>(
        &mut self,
        projected: &SqlProjected<P>,
        sql: &'static str,
    ) -> Result<Result<(), String>, ProjectedError> {
        let query = projected.store.db.prepared(sqlx::query(sql));
        match query.execute(&mut *self.transaction).await {
            Ok(_) => Ok(Ok(())),
            Err(error) => sort(error).map(Err).map_err(|fault| CommitError::from(fault).into()),
        }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}

fn mark<E>(event: &Recorded<E>) -> Mark {
    Mark { position: event.position, event: event.id }
}

fn position(number: Option<i64>) -> Position {
    Position::new(u64::try_from(number.unwrap_or(0)).unwrap_or(0))
}

fn told(error: sqlx::Error) -> ProjectedError {
    CommitError::from(fault(error)).into()
}

fn unexpected(what: String) -> ProjectedError {
    CommitError::from(Fault::new(FaultKind::Other, what)).into()
}
