//! What changes read models. A commit is one statement; a switch and a drop are a transaction each.

use std::time::Duration;

use factum::{
    Commit, CommitError, Cursor, Epoch, Failure, Fault, FaultKind, FieldValue, Generation, GenerationState, LogId,
    NewGeneration, Position, ProjectionName, ProjectionVersion, ReadModelError, Shard, Switch, SwitchError,
};
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{Arguments as _, Row as _};

use crate::columns::{Json, column, tenant_column};
use crate::db::Db;
use crate::error::fault;
use crate::kept::pack;
use crate::projection_make::{NotExchanged, exchange as exchange_tables};
use crate::read_models_read as read;
use crate::read_models_row::{self as row, Failed};

/// How many rows of kept versions a commit forgets at most, beside twice as many as it writes.
const FORGET: u64 = 256;

/// Begins a generation, unless somebody else has meanwhile.
pub(crate) async fn make(db: &Db, new: &NewGeneration, state: GenerationState) -> Result<(), ReadModelError> {
    let fields = row::fields_column(&new.fields);
    let query = || {
        sqlx::query(db.sql.insert_generation.clone())
            .bind(new.projection.as_str())
            .bind(i64::from(new.version.0))
            .bind(row::state_column(state))
            .bind(fields.as_deref().map(Json))
    };
    // It may be sent twice: the second time there is one.
    db.fetch(query).await.map_err(fault)?;
    Ok(())
}

fn not_sent(source: sqlx::error::BoxDynError) -> Fault {
    Fault::new(FaultKind::Other, format!("a value cannot be sent to the database: {source}"))
}

fn shard_columns(shard: &Shard) -> Result<PgArguments, sqlx::error::BoxDynError> {
    let mut columns = PgArguments::default();
    columns.add(shard.projection.as_str())?;
    columns.add(column(shard.generation.0))?;
    columns.add(i64::from(shard.log.get()))?;
    columns.add(i64::from(shard.partition))?;
    Ok(columns)
}

/// A commit as the server takes it, documents and kept versions by key, so that no two commits wait for each other.
fn columns(mut commit: Commit) -> Result<PgArguments, sqlx::error::BoxDynError> {
    commit.documents.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    commit.fields.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    let mut columns = shard_columns(&commit.shard)?;
    columns.add(commit.from.as_i64())?;
    columns.add(column(commit.epoch.0))?;
    columns.add(commit.to.position.as_i64())?;
    columns.add(commit.store.as_uuid())?;
    columns.add(commit.to.event.as_uuid())?;
    let documents = &commit.documents;
    columns.add(documents.iter().map(|(key, _)| tenant_column(key.tenant())).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(key, _)| key.key()).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| document.bounds.position.as_i64()).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| column(document.bounds.version.get())).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| document.bounds.recorded_at).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| document.bounds.occurred_at).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| document.positions.as_bytes()).collect::<Vec<_>>())?;
    columns.add(documents.iter().map(|(_, document)| document.body.as_deref().map(Json)).collect::<Vec<_>>())?;
    let kept = pack(&commit.kept);
    columns.add(kept.iter().map(|row| tenant_column(row.key.tenant())).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| row.key.key()).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| row.first.as_i64()).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| column(row.version.get())).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| row.recorded_at).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| row.occurred_at).collect::<Vec<_>>())?;
    columns.add(kept.iter().map(|row| &row.versions[..]).collect::<Vec<_>>())?;
    let fields = &commit.fields;
    columns.add(fields.iter().map(|change| tenant_column(change.key.tenant())).collect::<Vec<_>>())?;
    columns.add(fields.iter().map(|change| change.key.key()).collect::<Vec<_>>())?;
    columns.add(fields.iter().map(|change| &*change.field).collect::<Vec<_>>())?;
    columns.add(fields.iter().map(|change| change.value.as_ref().map(FieldValue::to_bytes)).collect::<Vec<_>>())?;
    columns.add(commit.keep_from.map(Position::as_i64))?;
    columns.add(column(FORGET + 2 * kept.len() as u64))?;
    Ok(columns)
}

/// Writes documents and kept versions and moves the checkpoint, if that is where it is expected (`exactly-once-read-model`).
///
/// It is sent once: whoever is not answered asks the checkpoint.
pub(crate) async fn commit(db: &Db, commit: Commit) -> Result<(), CommitError> {
    let (shard, from, epoch) = (commit.shard.clone(), commit.from, commit.epoch);
    let columns = columns(commit).map_err(not_sent)?;
    let rows = db.once(sqlx::query_with(db.sql.commit_page.clone(), columns)).await.map_err(fault)?;
    told(&rows, &shard, Some(from), epoch).map(drop)
}

/// What a function said that changes a shard if it is where it is expected; the epoch that it then has.
fn told(rows: &[PgRow], shard: &Shard, from: Option<Position>, expected: Epoch) -> Result<Epoch, CommitError> {
    let projection = shard.projection.clone();
    let said = || -> Result<(bool, Option<u64>, Option<u64>), Failed> {
        let row = rows.first().ok_or_else(|| Failed::Damaged("no answer".to_owned()))?;
        Ok((row.try_get(0)?, row::number(row, 1)?, row::number(row, 2)?))
    };
    let said = said().map_err(|failed| match failed {
        Failed::Sql(error) => fault(error),
        Failed::Damaged(what) => Fault::new(FaultKind::Corrupt, format!("the checkpoint of {projection}: {what}")),
    });
    match said? {
        (true, _, epoch) => Ok(epoch.map_or(expected, Epoch)),
        (false, Some(found), Some(found_epoch)) => {
            let found = Position::new(found);
            let (expected_epoch, expected) = (expected, from.unwrap_or(found));
            Err(CommitError::Stale { projection, expected, expected_epoch, found, found_epoch: Epoch(found_epoch) })
        }
        _ => Err(CommitError::Superseded { projection, generation: shard.generation }),
    }
}

/// Raises the epoch of a shard, or sets why it stands still, if it is in this epoch.
pub(crate) async fn change_shard(
    db: &Db,
    shard: &Shard,
    expected: Epoch,
    change: Change<'_>,
) -> Result<Epoch, CommitError> {
    let failure = match change {
        Change::Report(Some(failure)) => Some(serde_json::to_vec(failure)),
        _ => None,
    };
    let not_json = |error| Fault::caused(FaultKind::Other, format!("a failure that is not JSON: {error}"), error);
    let failure = failure.transpose().map_err(not_json)?;
    let columns = || {
        let mut columns = shard_columns(shard)?;
        columns.add(column(expected.0))?;
        columns.add(matches!(change, Change::RaiseEpoch))?;
        columns.add(failure.as_deref().map(Json))?;
        Ok(columns)
    };
    let columns = columns().map_err(not_sent)?;
    let rows = db.once(sqlx::query_with(db.sql.change_shard.clone(), columns)).await.map_err(fault)?;
    told(&rows, shard, None, expected)
}

/// What is changed of a shard beside its documents.
#[derive(Clone, Copy)]
pub(crate) enum Change<'a> {
    RaiseEpoch,
    Report(Option<&'a Failure>),
}

/// A generation whose row is locked.
pub(crate) struct Held {
    pub(crate) id: i64,
    generation: Generation,
    version: ProjectionVersion,
    pub(crate) state: GenerationState,
}

fn held(row: &PgRow) -> Result<Held, Failed> {
    Ok(Held {
        id: row.try_get(0)?,
        generation: Generation(row::count(row, 1)?),
        version: ProjectionVersion(row::small(row::count(row, 2)?)?),
        state: row::state(row.try_get(3)?)?,
    })
}

/// Locks generations of a projection, if they are not dropped.
pub(crate) async fn hold(
    db: &Db,
    conn: &mut PgConnection,
    projection: &ProjectionName,
    numbers: &[Generation],
) -> Result<Vec<Held>, Failed> {
    let numbers: Vec<i64> = numbers.iter().map(|number| column(number.0)).collect();
    let query = sqlx::query(db.sql.hold_generations.clone()).bind(projection.as_str()).bind(numbers);
    let rows = db.prepared(query).fetch_all(conn).await?;
    rows.iter().map(held).collect()
}

/// What the checkpoints of a generation say.
#[derive(Default)]
struct Reached {
    cursor: Cursor,
    failure: Option<Failure>,
}

/// Locks the checkpoints of two generations: commits that are under way end first.
async fn hold_checkpoints(db: &Db, conn: &mut PgConnection, of: [i64; 2]) -> Result<[Reached; 2], Failed> {
    let query = sqlx::query(db.sql.hold_checkpoints.clone()).bind(&of[..]);
    let mut reached = [Reached::default(), Reached::default()];
    let mut last = None;
    for row in &db.prepared(query).fetch_all(conn).await? {
        let (generation, log): (i64, _) = (row.try_get(0)?, LogId::new(row::small(row::count(row, 1)?)?));
        let position = Position::new(row::count(row, 2)?);
        let reached = &mut reached[usize::from(generation == of[1])];
        // They come by log; how far a generation is, is the least of its partitions.
        if last != Some((generation, log)) || position < reached.cursor.get(log) {
            reached.cursor.set(log, position);
        }
        last = Some((generation, log));
        reached.failure =
            reached.failure.take().or(read::failure(row, 3)?.filter(|failure| !failure.is_over_at(position)));
    }
    Ok(reached)
}

fn switch_failed(failed: Failed, projection: &ProjectionName) -> SwitchError {
    SwitchError::Fault(match failed {
        Failed::Sql(error) => fault(error),
        Failed::Damaged(what) => {
            Fault::new(FaultKind::Corrupt, format!("the read model {projection} is damaged: {what}"))
        }
    })
}

/// Makes one generation live in the place of another. Where the live one has `diverged`, how far it is says nothing.
///
/// Tables that somebody reads are not waited for: it is given up and begun again, so that nobody queues behind.
pub(crate) async fn switch(db: &Db, switch: &Switch, diverged: bool) -> Result<(), SwitchError> {
    let mut patience = Patience::new();
    while let Some(busy) = try_switch(db, switch, diverged).await? {
        if !patience.wait().await {
            return Err(SwitchError::Fault(busy));
        }
    }
    Ok(())
}

/// For how long the tables of a projection may be in use without a moment's pause before a switch gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits between tries, longer each time, until it is enough.
pub(crate) struct Patience {
    wait: Duration,
    end: tokio::time::Instant,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { wait: Duration::from_millis(5), end: tokio::time::Instant::now() + PATIENCE }
    }

    /// Whether it is worth another try.
    pub(crate) async fn wait(&mut self) -> bool {
        if tokio::time::Instant::now() + self.wait > self.end {
            return false;
        }
        tokio::time::sleep(self.wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.wait = (self.wait * 2).min(Duration::from_secs(1));
        true
    }
}

/// Answers what it would have had to wait for.
async fn try_switch(db: &Db, switch: &Switch, diverged: bool) -> Result<Option<Fault>, SwitchError> {
    let Switch { projection, from, to, keep_old } = switch;
    let failed = |failed: Failed| switch_failed(failed, projection);
    let sql = |error: sqlx::Error| SwitchError::Fault(fault(error));
    let mut transaction = db.begin().await.map_err(sql)?;
    let conn = &mut *transaction;
    let all = hold(db, conn, projection, &[*from, *to]).await.map_err(failed)?;
    let find = |number: &Generation| all.iter().find(|held| held.generation == *number);
    let old = match find(from) {
        Some(held) if held.state == GenerationState::Live => held,
        other => {
            let live = match other.or(find(to)) {
                Some(known) => live(db, conn, projection, known.version).await.map_err(failed)?,
                None => None,
            };
            return Err(SwitchError::NotLive { projection: projection.clone(), from: *from, live });
        }
    };
    let unfit = |why: String| SwitchError::Unfit { projection: projection.clone(), to: *to, why };
    let new = find(to).ok_or_else(|| unfit("there is no such generation".to_owned()))?;
    if new.version != old.version {
        return Err(unfit(format!("it is of version {}, the live one of {}", new.version, old.version)));
    }
    if new.state == GenerationState::Live {
        return Err(unfit("it is live already".to_owned()));
    }
    let [live, next] = hold_checkpoints(db, conn, [old.id, new.id]).await.map_err(failed)?;
    if let Some(failure) = next.failure {
        return Err(unfit(failure.to_string()));
    }
    for (log, live) in live.cursor.positions() {
        let at = next.cursor.get(log);
        if at < live && !diverged {
            return Err(SwitchError::Behind { projection: projection.clone(), to: *to, log, at, live });
        }
    }
    match exchange_tables(db, conn, old.id, new.id).await {
        Ok(()) => {}
        Err(NotExchanged::InUse(error)) => return Ok(Some(fault(error))),
        Err(NotExchanged::Why(why)) => return Err(unfit(why)),
        Err(NotExchanged::Fault(error)) => return Err(sql(error)),
    }
    exchange(db, conn, old.id, new.id, *keep_old).await.map_err(sql)?;
    transaction.commit().await.map_err(sql)?;
    Ok(None)
}

/// The old one first: there is never more than one live one.
async fn exchange(
    db: &Db,
    conn: &mut PgConnection,
    old: i64,
    new: i64,
    keep: Option<Duration>,
) -> Result<(), sqlx::Error> {
    for (id, state, keep) in [(old, GenerationState::Retired, keep), (new, GenerationState::Live, None)] {
        set_state(db, conn, id, row::state_column(state), keep).await?;
    }
    raise_every_epoch(db, conn, &[old, new]).await
}

pub(crate) async fn raise_every_epoch(db: &Db, conn: &mut PgConnection, of: &[i64]) -> Result<(), sqlx::Error> {
    let raise = sqlx::query(db.sql.raise_every_epoch.clone()).bind(of);
    db.prepared(raise).execute(conn).await.map(drop)
}

/// The longest time that something is kept for by the clock; longer is until somebody drops it.
const LONGEST: Duration = Duration::from_secs(1_000 * 365 * 86_400);

pub(crate) async fn set_state(
    db: &Db,
    conn: &mut PgConnection,
    id: i64,
    state: &str,
    keep: Option<Duration>,
) -> Result<(), sqlx::Error> {
    let keep = keep.filter(|keep| *keep <= LONGEST).map(|keep| i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
    let set = sqlx::query(db.sql.set_generation_state.clone()).bind(id).bind(state).bind(keep);
    db.prepared(set).execute(conn).await.map(drop)
}

async fn live(
    db: &Db,
    conn: &mut PgConnection,
    projection: &ProjectionName,
    version: ProjectionVersion,
) -> Result<Option<Generation>, Failed> {
    let find = sqlx::query(db.sql.live_generation.clone()).bind(projection.as_str()).bind(i64::from(version.0));
    let row = db.prepared(find).fetch_optional(conn).await?;
    row.map(|row| row::count(&row, 0).map(Generation)).transpose()
}

/// Marks a generation as gone; its rows are deleted later, some at a time, so that nothing waits for that.
pub(crate) async fn drop_generation(
    db: &Db,
    projection: &ProjectionName,
    generation: Generation,
) -> Result<(), ReadModelError> {
    let mut transaction = db.begin().await.map_err(fault)?;
    let conn = &mut *transaction;
    let all = hold(db, conn, projection, &[generation]).await.map_err(|failed| failed.of(projection))?;
    let Some(held) = all.first() else { return Ok(()) };
    if held.state == GenerationState::Live {
        return Err(ReadModelError::Live { projection: projection.clone(), generation });
    }
    set_state(db, conn, held.id, "dropping", None).await.map_err(fault)?;
    let forget = sqlx::query(db.sql.forget_checkpoints.clone()).bind(held.id);
    db.prepared(forget).execute(conn).await.map_err(fault)?;
    Ok(transaction.commit().await.map_err(fault)?)
}
