//! What is done with the tables of a projection, within the writer's transaction: made, written, exchanged, dropped.
//!
//! SQL of users may fail after it has written something, so it runs in a savepoint, and what it did is undone without
//! its neighbours in the group (`neighbours-unharmed`). Where SQLite itself has rolled everything back, each is tried
//! again alone.

use std::sync::{Arc, Mutex, PoisonError};

use factum::{
    CommitError, DecodedPage, Epoch, Generation, GenerationInfo, GenerationState, Mark, NewGeneration, Position,
    ReadModelError, Recorded, Shard, StoreId, catch_panic,
};
use rusqlite::{Connection, params};

use crate::gate::Gate;
use crate::inside::Inside;
use crate::job::Failed;
use crate::projection::{SqlError, SqlProjection};
use crate::read_models_read as read;
use crate::read_models_write::{find_or_make, move_checkpoint, stale, writable};
use crate::tables::Tables;
use crate::transaction::{SqlTransaction, is_of_the_store, sql_error};

/// How work in a savepoint ended.
pub(crate) enum Ended<T> {
    Done(T),
    /// It failed, and nothing of it is left.
    Undone(String),
    /// It failed, and took the whole transaction with it.
    Gone(String),
}

impl<T> Ended<T> {
    /// What the work gave, or why nothing of it is left.
    ///
    /// # Errors
    /// That the transaction is gone.
    pub(crate) fn or_gone(self) -> rusqlite::Result<Result<T, String>> {
        match self {
            Self::Done(done) => Ok(Ok(done)),
            Self::Undone(why) => Ok(Err(why)),
            Self::Gone(why) => Err(gone(why)),
        }
    }
}

/// Runs work that may fail in a savepoint.
///
/// # Errors
/// What is no fault of the work: the transaction is of no use any more.
pub(crate) fn within<T>(
    conn: &Connection,
    work: impl FnOnce() -> Result<T, Failed<String>>,
) -> rusqlite::Result<Ended<T>> {
    conn.prepare_cached("SAVEPOINT user")?.execute([])?;
    let cause = match work() {
        Ok(done) if !conn.is_autocommit() => {
            conn.prepare_cached("RELEASE user")?.execute([])?;
            return Ok(Ended::Done(done));
        }
        Ok(_) => "it ended the transaction".to_owned(),
        Err(Failed::Answer(cause)) => cause,
        Err(Failed::Sqlite(error)) => return Err(error),
    };
    if conn.is_autocommit() {
        return Ok(Ended::Gone(cause));
    }
    conn.prepare_cached("ROLLBACK TO user")?.execute([])?;
    conn.prepare_cached("RELEASE user")?.execute([])?;
    Ok(Ended::Undone(cause))
}

/// The tables of a generation, by their plain names.
pub(crate) fn names(conn: &Connection, generation: i64) -> rusqlite::Result<Vec<String>> {
    let mut select = conn.prepare_cached(include_str!("sql/tables_of.sql"))?;
    select.query_map([generation], |row| row.get(0))?.collect()
}

/// The live generation of a projection's version, or the one that is built; made, with its tables, where there is none.
pub(crate) fn find_or_make_tables<P: SqlProjection>(
    inside: &mut Inside<'_>,
    new: &NewGeneration,
    state: GenerationState,
) -> Result<GenerationInfo, Failed<ReadModelError>> {
    if let Some(found) = read::in_state(inside.conn, new, state)? {
        return with_tables(inside.conn, found);
    }
    let not_made = |why| Failed::Answer(ReadModelError::NotMade { projection: new.projection.clone(), why });
    let gate = inside.known.gate.clone();
    let conn = inside.conn;
    let made = within(conn, || {
        let info = find_or_make(inside, new, state).map_err(|failed| match failed {
            Failed::Answer(refused) => Failed::Answer(refused.to_string()),
            Failed::Sqlite(error) => Failed::Sqlite(error),
        })?;
        let id = read::find(conn, &new.projection, info.generation)?.map_or(0, |row| row.id);
        make_tables::<P>(conn, &gate, id, info.generation, state)?;
        Ok(info)
    });
    made?.or_gone()?.map_err(not_made)
}

/// A generation that was found, if it was made with tables.
pub(crate) fn with_tables(conn: &Connection, info: GenerationInfo) -> Result<GenerationInfo, Failed<ReadModelError>> {
    let id = read::find(conn, &info.projection, info.generation)?.map_or(0, |row| row.id);
    if names(conn, id)?.is_empty() {
        let why = format!("generation {} of version {} holds documents; raise VERSION", info.generation, info.version);
        return Err(Failed::Answer(ReadModelError::NotMade { projection: info.projection, why }));
    }
    Ok(info)
}

fn make_tables<P: SqlProjection>(
    conn: &Connection,
    gate: &Gate,
    id: i64,
    generation: Generation,
    state: GenerationState,
) -> Result<(), Failed<String>> {
    let names: Vec<String> = P::TABLES.iter().map(|name| (*name).to_owned()).collect();
    let tables = Arc::new(Tables::new(names, generation, state));
    for name in tables.all_physical() {
        if conn.prepare_cached(include_str!("sql/is_table.sql"))?.exists([&name])? {
            return Err(Failed::Answer(taken::<P>(conn, &name)?));
        }
    }
    if P::SCHEMA.split_whitespace().collect::<Vec<_>>().join(" ").to_uppercase().contains("INITIALLY DEFERRED") {
        let why = "deferred foreign keys fail only when neighbours are committed too; use immediate ones".to_owned();
        return Err(Failed::Answer(why));
    }
    let answer = |error: SqlError| Failed::Answer(error.to_string());
    let schema = tables.expand_schema(P::SCHEMA).map_err(answer)?;
    let made = {
        let _closed = gate.to_schema(&tables);
        conn.execute_batch(&schema)
    };
    match made {
        Err(error) if is_of_the_store(&error) => return Err(Failed::Sqlite(error)),
        made => made.map_err(|error| answer(sql_error(gate, "SCHEMA", error)))?,
    }
    for (name, physical) in P::TABLES.iter().zip(tables.all_physical()) {
        if !conn.prepare_cached(include_str!("sql/is_table.sql"))?.exists([&physical])? {
            return Err(Failed::Answer(format!("SCHEMA makes no table {{{name}}}, which TABLES names")));
        }
        conn.prepare_cached(include_str!("sql/insert_table.sql"))?.execute(params![id, name])?;
    }
    Ok(())
}

/// Who has a table that is to be made.
fn taken<P: SqlProjection>(conn: &Connection, name: &str) -> rusqlite::Result<String> {
    let mut who = conn.prepare_cached(include_str!("sql/who_has_table.sql"))?;
    let mut rows = who.query([name])?;
    Ok(match rows.next()? {
        Some(row) => format!(
            "its table {name} is that of {} version {}; give the tables of version {} other names",
            row.get::<_, String>(0)?,
            row.get::<_, u32>(1)?,
            P::VERSION
        ),
        None => format!("there is a table {name} already, which is not of a projection; rename one of them"),
    })
}

/// A batch on its way into tables.
pub(crate) struct Step<E> {
    pub(crate) shard: Shard,
    pub(crate) from: Position,
    pub(crate) epoch: Epoch,
    pub(crate) store: StoreId,
    pub(crate) page: Arc<DecodedPage<E>>,
    /// So many events of the page are to be taken, and then the checkpoint is to stand here.
    pub(crate) count: usize,
    pub(crate) to: Mark,
    /// One event at a time, to find out which one takes the transaction with it.
    pub(crate) singly: bool,
    /// Set where a transaction was taken by user code: at which event, if that is known, and why.
    pub(crate) gone: Mutex<Option<(Option<usize>, String)>>,
}

/// How far a batch was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) events: usize,
    /// Why not further.
    pub(crate) failed: Option<String>,
}

/// Applies a batch and moves the checkpoint, if that is where it is expected (`exactly-once-read-model`). Where an
/// event fails, those before it are applied, with the checkpoint moved as far.
pub(crate) fn apply<P: SqlProjection>(
    inside: &mut Inside<'_>,
    projection: &P,
    step: &Step<P::Event>,
) -> Result<Taken, Failed<CommitError>> {
    let (conn, shard) = (inside.conn, &step.shard);
    let generation = writable(conn, shard)?;
    let found = read::checkpoint_of(conn, generation.id, shard)?;
    if (found.position, found.epoch) != (step.from, step.epoch) {
        return Err(stale(shard, step.from, step.epoch, found));
    }
    let tables = Arc::new(Tables::new(names(conn, generation.id)?, shard.generation, generation.state));
    let into = Into { conn, gate: &inside.known.gate, projection, step, tables, generation: generation.id };
    let taken = into.all()?;
    let to = match taken.failed {
        None => Some(step.to),
        Some(_) => taken.events.checked_sub(1).and_then(|last| {
            step.page.events.get(last).map(|event| Mark { position: event.position, event: event.id })
        }),
    };
    if let Some(to) = to {
        move_checkpoint(conn, generation.id, shard, to, step.store, step.epoch)?;
    }
    Ok(taken)
}

struct Into<'a, P: SqlProjection> {
    conn: &'a Connection,
    gate: &'a Gate,
    projection: &'a P,
    step: &'a Step<P::Event>,
    tables: Arc<Tables>,
    generation: i64,
}

impl<P: SqlProjection> Into<'_, P> {
    fn all(&self) -> rusqlite::Result<Taken> {
        let all = &self.step.page.events;
        let events = all.get(..self.step.count).unwrap_or(all);
        if events.is_empty() {
            return Ok(Taken { events: 0, failed: None });
        }
        if !self.step.singly {
            match self.some(events)? {
                Ended::Done(()) => return Ok(Taken { events: events.len(), failed: None }),
                Ended::Gone(cause) => return Err(self.gone((events.len() == 1).then_some(0), cause)),
                Ended::Undone(cause) if events.len() == 1 => return Ok(Taken { events: 0, failed: Some(cause) }),
                Ended::Undone(_) => {}
            }
        }
        for (n, event) in events.iter().enumerate() {
            match self.some(std::slice::from_ref(event))? {
                Ended::Done(()) => {}
                Ended::Gone(cause) => return Err(self.gone(Some(n), cause)),
                Ended::Undone(cause) => return Ok(Taken { events: n, failed: Some(cause) }),
            }
        }
        Ok(Taken { events: events.len(), failed: None })
    }

    fn some(&self, events: &[Recorded<P::Event>]) -> rusqlite::Result<Ended<()>> {
        within(self.conn, || {
            let sql = SqlTransaction::new(self.conn, self.gate, &self.tables, self.generation);
            let applied = {
                let _closed = self.gate.to_rows(&self.tables);
                catch_panic(|| self.projection.apply(&sql, events))
            };
            // Whatever the projection made of it: a full disk is no halt.
            if let Some(fault) = sql.fault() {
                return Err(Failed::Sqlite(fault));
            }
            match applied {
                Ok(Ok(())) => Ok(()),
                Ok(Err(refused)) => Err(Failed::Answer(refused.to_string())),
                Err(panic) => Err(Failed::Answer(panic)),
            }
        })
    }

    /// Remembers what took the transaction. Whoever was in it is told by the error.
    fn gone(&self, at: Option<usize>, cause: String) -> rusqlite::Error {
        *self.step.gone.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, cause));
        gone("SQL of a projection ended it".to_owned())
    }
}

/// What everybody is told whose transaction was rolled back by one of them.
fn gone(why: String) -> rusqlite::Error {
    let aborted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    rusqlite::Error::SqliteFailure(aborted, Some(format!("the transaction was rolled back: {why}")))
}
