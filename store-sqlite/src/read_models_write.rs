//! What changes read models, within the writer's transaction.

use std::time::Duration;

use chrono::DateTime;
use factum::{
    Checkpoint, Commit, CommitError, Document, DocumentKey, Epoch, Failure, FieldChange, Generation, GenerationInfo,
    GenerationState, LogId, Mark, NewGeneration, ProjectionName, ReadModelError, Shard, StoreId, Switch, SwitchError,
    kept_until,
};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::append::{Text, column, not_json, tenant_column};
use crate::fading;
use crate::inside::Inside;
use crate::job::Failed;
use crate::kept::{Packed, pack};
use crate::projection_switch::{drop_tables, exchange};
use crate::projection_write::{names, within};
use crate::read_models_read::{self as read, Row};

/// How many rows of a dropped generation one transaction deletes.
const SWEEP_ROWS: usize = 1_000;

pub(crate) fn find_or_make(
    inside: &mut Inside<'_>,
    new: &NewGeneration,
    state: GenerationState,
) -> Result<GenerationInfo, Failed<ReadModelError>> {
    if let Some(found) = read::in_state(inside.conn, new, state)? {
        return Ok(found);
    }
    let fields = serde_json::to_string(&new.fields).map_err(not_json)?;
    inside.conn.prepare_cached(include_str!("sql/insert_generation.sql"))?.execute(params![
        new.projection.as_str(),
        new.version.0,
        read::state_column(state),
        inside.now,
        fields
    ])?;
    let missing = || read::damaged(&new.projection, "a generation that was just made is not there".to_owned());
    read::in_state(inside.conn, new, state)?.ok_or_else(missing)
}

/// A commit in the order in which it is written fastest: by key.
pub(crate) struct Prepared {
    commit: Commit,
    kept: Vec<Packed>,
}

impl Prepared {
    pub(crate) fn new(mut commit: Commit) -> Self {
        commit.documents.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        commit.fields.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let kept = pack(&std::mem::take(&mut commit.kept));
        Self { commit, kept }
    }

    /// About how many bytes it writes.
    pub(crate) fn size(&self) -> usize {
        let document =
            |(_, document): &(DocumentKey, Document)| document.body.as_ref().map_or(0, bytes::Bytes::len) + 100;
        self.commit.documents.iter().map(document).sum::<usize>()
            + self.kept.iter().map(|row| row.versions.len() + 100).sum::<usize>()
            + self.commit.fields.len() * 100
    }
}

/// Writes documents and kept versions and moves the checkpoint, if that is where it is expected
/// (`exactly-once-read-model`).
pub(crate) fn commit(inside: &mut Inside<'_>, prepared: &Prepared) -> Result<(), Failed<CommitError>> {
    let Prepared { commit, kept } = prepared;
    let shard = &commit.shard;
    let generation = writable(inside.conn, shard)?;
    let found = read::checkpoint_of(inside.conn, generation.id, shard)?;
    if (found.position, found.epoch) != (commit.from, commit.epoch) {
        return Err(stale(shard, commit.from, commit.epoch, found));
    }
    put_documents(inside.conn, generation.id, shard.log, &commit.documents)?;
    keep(inside.conn, generation.id, shard.log, kept)?;
    put_fields(inside.conn, generation.id, shard.log, &commit.fields)?;
    move_checkpoint(inside.conn, generation.id, shard, commit.to, commit.store, commit.epoch)?;
    if let Some(from) = commit.keep_from {
        fading::forget(inside.conn, generation.id, shard, from, kept)?;
    }
    Ok(())
}

pub(crate) fn move_checkpoint(
    conn: &Connection,
    generation: i64,
    shard: &Shard,
    to: Mark,
    store: StoreId,
    epoch: Epoch,
) -> rusqlite::Result<()> {
    conn.prepare_cached(include_str!("sql/move_checkpoint.sql"))?.execute(params![
        generation,
        shard.log.get(),
        shard.partition,
        to.position.as_i64(),
        &store.as_uuid().as_bytes()[..],
        &to.event.as_uuid().as_bytes()[..],
        column(epoch.0),
    ])?;
    Ok(())
}

fn put_documents(
    conn: &Connection,
    generation: i64,
    log: LogId,
    documents: &[(DocumentKey, Document)],
) -> rusqlite::Result<()> {
    let mut put = conn.prepare_cached(include_str!("sql/put_document.sql"))?;
    for (key, Document { body, bounds, positions }) in documents {
        put.execute(params![
            generation,
            tenant_column(key.tenant()),
            key.key(),
            log.get(),
            bounds.position.as_i64(),
            column(bounds.version.get()),
            bounds.recorded_at.timestamp_micros(),
            bounds.occurred_at.timestamp_micros(),
            positions.as_bytes(),
            body.as_ref().map(|body| Text(body)),
        ])?;
    }
    Ok(())
}

fn keep(conn: &Connection, generation: i64, log: LogId, kept: &[Packed]) -> rusqlite::Result<()> {
    let mut keep = conn.prepare_cached(include_str!("sql/keep_versions.sql"))?;
    for Packed { key, first, last, versions } in kept {
        let (tenant, key) = (tenant_column(key.tenant()), key.key());
        keep.execute(params![generation, tenant, key, log.get(), first.as_i64(), last.as_i64(), versions])?;
    }
    Ok(())
}

fn put_fields(conn: &Connection, generation: i64, log: LogId, changes: &[FieldChange]) -> rusqlite::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut put = conn.prepare_cached(include_str!("sql/put_field.sql"))?;
    let mut forget = conn.prepare_cached(include_str!("sql/forget_field.sql"))?;
    for FieldChange { key, field, value } in changes {
        let (tenant, key) = (tenant_column(key.tenant()), key.key());
        match value {
            Some(value) => put.execute(params![generation, tenant, key, log.get(), field, value.to_bytes()])?,
            None => forget.execute(params![generation, tenant, key, log.get(), field])?,
        };
    }
    Ok(())
}

/// The generation of a shard, if it takes writes.
pub(crate) fn writable(conn: &Connection, shard: &Shard) -> Result<Row, Failed<CommitError>> {
    let (projection, generation) = (shard.projection.clone(), shard.generation);
    match read::find(conn, &projection, generation)? {
        Some(row) if row.state != GenerationState::Retired => Ok(row),
        _ => Err(Failed::Answer(CommitError::Superseded { projection, generation })),
    }
}

pub(crate) fn stale(shard: &Shard, expected: factum::Position, epoch: Epoch, found: Checkpoint) -> Failed<CommitError> {
    Failed::Answer(CommitError::Stale {
        projection: shard.projection.clone(),
        expected,
        expected_epoch: epoch,
        found: found.position,
        found_epoch: found.epoch,
    })
}

/// The generation of a shard, if it takes writes and the shard is in this epoch.
fn owned(conn: &Connection, shard: &Shard, expected: Epoch) -> Result<Row, Failed<CommitError>> {
    let generation = writable(conn, shard)?;
    let found = read::checkpoint_of(conn, generation.id, shard)?;
    if found.epoch != expected {
        return Err(stale(shard, found.position, expected, found));
    }
    Ok(generation)
}

pub(crate) fn raise_epoch(
    inside: &mut Inside<'_>,
    shard: &Shard,
    expected: Epoch,
) -> Result<Epoch, Failed<CommitError>> {
    let generation = owned(inside.conn, shard, expected)?;
    let epoch = Epoch(expected.0.saturating_add(1));
    let mut set = inside.conn.prepare_cached(include_str!("sql/set_epoch.sql"))?;
    set.execute(params![generation.id, shard.log.get(), shard.partition, column(epoch.0)])?;
    Ok(epoch)
}

/// Raises the epoch of a shard, whatever it was, and says how far it is.
pub(crate) fn take_over(inside: &mut Inside<'_>, shard: &Shard) -> Result<Checkpoint, Failed<ReadModelError>> {
    let generation = read::existing(inside.conn, &shard.projection, shard.generation)?;
    let mut raise = inside.conn.prepare_cached(include_str!("sql/raise_shard.sql"))?;
    raise.execute(params![generation.id, shard.log.get(), shard.partition])?;
    Ok(read::checkpoint_of(inside.conn, generation.id, shard)?)
}

pub(crate) fn report(
    inside: &mut Inside<'_>,
    shard: &Shard,
    expected: Epoch,
    failure: Option<&Failure>,
) -> Result<(), Failed<CommitError>> {
    let generation = owned(inside.conn, shard, expected)?;
    let failure = failure.map(serde_json::to_string).transpose().map_err(not_json)?;
    let mut set = inside.conn.prepare_cached(include_str!("sql/set_failure.sql"))?;
    set.execute(params![generation.id, shard.log.get(), shard.partition, failure])?;
    Ok(())
}

/// Makes one generation live in the place of another. Where the live one has `diverged`, how far it is says nothing.
pub(crate) fn switch(inside: &mut Inside<'_>, switch: &Switch, diverged: bool) -> Result<(), Failed<SwitchError>> {
    let conn = inside.conn;
    let (old, new) =
        (read::find(conn, &switch.projection, switch.from)?, read::find(conn, &switch.projection, switch.to)?);
    let old = match old {
        Some(row) if row.state == GenerationState::Live => row,
        other => return Err(not_live(conn, switch, other.or(new))?),
    };
    let unfit = |why: String| {
        let (projection, to) = (switch.projection.clone(), switch.to);
        Failed::Answer(SwitchError::Unfit { projection, to, why })
    };
    let new = new.ok_or_else(|| unfit("there is no such generation".to_owned()))?;
    if new.version != old.version {
        return Err(unfit(format!("it is of version {}, the live one of {}", new.version, old.version)));
    }
    if new.state == GenerationState::Live {
        return Err(unfit("it is live already".to_owned()));
    }
    if let Some(failure) = read::failure(conn, new.id)? {
        return Err(unfit(failure));
    }
    if !diverged {
        not_behind(conn, switch, &old, &new)?;
    }
    // Before anything else is changed: it alone may fail after it has written.
    let exchanged = within(conn, || exchange(conn, (old.id, switch.from), (new.id, switch.to)))?;
    exchanged.or_gone()?.map_err(unfit)?;
    become_what(conn, old.id, GenerationState::Retired, until(inside.now, switch.keep_old))?;
    become_what(conn, new.id, GenerationState::Live, None)?;
    Ok(())
}

/// Until when something is kept that is to be kept for some time from now on.
pub(crate) fn until(now: i64, keep: Option<Duration>) -> Option<i64> {
    let now = DateTime::from_timestamp_micros(now)?;
    Some(kept_until(now, keep?)?.timestamp_micros())
}

/// Changes what a generation is for. Whoever holds a page of it can no longer commit that.
pub(crate) fn become_what(
    conn: &Connection,
    id: i64,
    state: GenerationState,
    until: Option<i64>,
) -> rusqlite::Result<()> {
    let mut set = conn.prepare_cached(include_str!("sql/set_generation_state.sql"))?;
    set.execute(params![id, read::state_column(state), until])?;
    conn.prepare_cached(include_str!("sql/raise_every_epoch.sql"))?.execute(params![id])?;
    Ok(())
}

/// Marks a generation as gone; its rows are deleted later, a few at a time, so that nothing waits for that.
pub(crate) fn set_dropping(inside: &mut Inside<'_>, id: i64) -> rusqlite::Result<()> {
    let until: Option<i64> = None;
    inside
        .conn
        .prepare_cached(include_str!("sql/set_generation_state.sql"))?
        .execute(params![id, "dropping", until])?;
    inside.conn.prepare_cached(include_str!("sql/forget_checkpoints.sql"))?.execute(params![id])?;
    inside.known.to_sweep = true;
    Ok(())
}

fn not_live(conn: &Connection, switch: &Switch, known: Option<Row>) -> rusqlite::Result<Failed<SwitchError>> {
    let live = match known {
        Some(row) => read::live(conn, &switch.projection, row.version)?.map(|(_, number)| number),
        None => None,
    };
    let (projection, from) = (switch.projection.clone(), switch.from);
    Ok(Failed::Answer(SwitchError::NotLive { projection, from, live }))
}

fn not_behind(conn: &Connection, switch: &Switch, old: &Row, new: &Row) -> Result<(), Failed<SwitchError>> {
    let reached = read::reached(conn, new.id)?;
    for (log, live) in read::reached(conn, old.id)?.positions() {
        let at = reached.get(log);
        if at < live {
            let (projection, to) = (switch.projection.clone(), switch.to);
            return Err(Failed::Answer(SwitchError::Behind { projection, to, log, at, live }));
        }
    }
    Ok(())
}

/// Forgets a generation that is not live.
pub(crate) fn drop_generation(
    inside: &mut Inside<'_>,
    projection: &ProjectionName,
    generation: Generation,
) -> Result<(), Failed<ReadModelError>> {
    let Some(row) = read::find(inside.conn, projection, generation)? else {
        return Ok(());
    };
    if row.state == GenerationState::Live {
        return Err(Failed::Answer(ReadModelError::Live { projection: projection.clone(), generation }));
    }
    Ok(set_dropping(inside, row.id)?)
}

/// Deletes some rows of a dropped generation in a transaction of its own; whether there may be more.
pub(crate) fn sweep(conn: &Connection) -> rusqlite::Result<bool> {
    let dropping = || conn.query_row(include_str!("sql/dropping.sql"), [], |row| row.get::<_, i64>(0)).optional();
    let Some(generation) = dropping()? else {
        return Ok(false);
    };
    if !names(conn, generation)?.is_empty() {
        drop_tables(conn, generation)?;
    }
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let Some(generation) = dropping()? else {
        return Ok(false);
    };
    let mut deleted = 0;
    let tables = [
        include_str!("sql/sweep_kept.sql"),
        include_str!("sql/sweep_fading.sql"),
        include_str!("sql/sweep_fields.sql"),
        include_str!("sql/sweep_documents.sql"),
    ];
    for sql in tables {
        if deleted < SWEEP_ROWS {
            let left = i64::try_from(SWEEP_ROWS - deleted).unwrap_or(0);
            deleted += transaction.prepare_cached(sql)?.execute(params![generation, left])?;
        }
    }
    if deleted == 0 {
        transaction.execute(include_str!("sql/swept.sql"), params![generation])?;
    }
    transaction.commit()?;
    Ok(true)
}
