//! What becomes of generations beside being made and switched: retired, reopened, dropped when their time has passed.

use std::time::Duration;

use factum::{Generation, GenerationInfo, GenerationState, ProjectionName, ReadModelError};
use rusqlite::params;

use crate::inside::Inside;
use crate::job::Failed;
use crate::projection_switch::set_aside;
use crate::projection_write::within;
use crate::read_models_read as read;
use crate::read_models_write::{become_what, set_dropping, until};

/// Takes a generation out of service.
pub(crate) fn retire(
    inside: &mut Inside<'_>,
    projection: &ProjectionName,
    generation: Generation,
    keep: Option<Duration>,
) -> Result<(), Failed<ReadModelError>> {
    let conn = inside.conn;
    let row = read::existing(conn, projection, generation)?;
    if row.state == GenerationState::Live {
        let set_aside = within(conn, || set_aside(conn, (row.id, generation)))?;
        let not_made = |why| Failed::Answer(ReadModelError::NotMade { projection: projection.clone(), why });
        set_aside.or_gone()?.map_err(not_made)?;
    }
    Ok(become_what(conn, row.id, GenerationState::Retired, until(inside.now, keep))?)
}

/// Lets a retired generation take writes again.
pub(crate) fn reopen(
    inside: &mut Inside<'_>,
    projection: &ProjectionName,
    generation: Generation,
) -> Result<GenerationInfo, Failed<ReadModelError>> {
    let row = read::existing(inside.conn, projection, generation)?;
    if !matches!(row.state, GenerationState::Retired | GenerationState::Reopened) {
        return Err(Failed::Answer(ReadModelError::NotRetired { projection: projection.clone(), generation }));
    }
    become_what(inside.conn, row.id, GenerationState::Reopened, None)?;
    let all = read::generations(inside.conn, projection)?;
    let missing = || read::damaged(projection, "a generation that was just reopened is not there".to_owned());
    all.into_iter().find(|info| info.generation == generation).ok_or_else(missing)
}

/// Drops the retired generations that are kept no longer.
pub(crate) fn drop_expired(
    inside: &mut Inside<'_>,
    projection: &ProjectionName,
) -> Result<Vec<Generation>, Failed<ReadModelError>> {
    let mut select = inside.conn.prepare_cached(include_str!("sql/expired_generations.sql"))?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Generation(read::number(row, 1)?)));
    let expired = select.query_map(params![projection.as_str(), inside.now], row)?;
    let expired: Vec<(i64, Generation)> = expired.collect::<rusqlite::Result<_>>()?;
    drop(select);
    for (id, _) in &expired {
        set_dropping(inside, *id)?;
    }
    Ok(expired.into_iter().map(|(_, generation)| generation).collect())
}
