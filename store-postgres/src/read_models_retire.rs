//! What becomes of generations beside being made and switched: retired, reopened, dropped when their time has passed.

use std::time::Duration;

use factum::{Generation, GenerationState, ProjectionName, ReadModelError};
use sqlx::postgres::PgConnection;

use crate::db::Db;
use crate::error::fault;
use crate::projection_make::{NotExchanged, set_aside};
use crate::read_models_row as row;
use crate::read_models_write::{Held, Patience, hold, raise_every_epoch, set_state};

type Answer<T> = Result<T, ReadModelError>;

/// A generation, its row locked.
async fn held(db: &Db, conn: &mut PgConnection, projection: &ProjectionName, number: Generation) -> Answer<Held> {
    let all = hold(db, conn, projection, &[number]).await.map_err(|failed| failed.of(projection))?;
    let expired = || ReadModelError::Expired { projection: projection.clone(), generation: number };
    all.into_iter().next().ok_or_else(expired)
}

/// Takes a generation out of service. Tables that somebody reads are not waited for: it is given up and begun again.
pub(crate) async fn retire(
    db: &Db,
    projection: &ProjectionName,
    generation: Generation,
    keep: Option<Duration>,
) -> Answer<()> {
    let mut patience = Patience::new();
    while let Some(busy) = try_retire(db, projection, generation, keep).await? {
        if !patience.wait().await {
            return Err(fault(busy).into());
        }
    }
    Ok(())
}

/// Answers what it would have had to wait for.
async fn try_retire(
    db: &Db,
    projection: &ProjectionName,
    generation: Generation,
    keep: Option<Duration>,
) -> Answer<Option<sqlx::Error>> {
    let mut transaction = db.begin().await.map_err(fault)?;
    let conn = &mut *transaction;
    let held = held(db, conn, projection, generation).await?;
    if held.state == GenerationState::Live {
        match set_aside(db, conn, held.id).await {
            Ok(()) => {}
            Err(NotExchanged::InUse(error)) => return Ok(Some(error)),
            Err(NotExchanged::Why(why)) => {
                return Err(ReadModelError::NotMade { projection: projection.clone(), why });
            }
            Err(NotExchanged::Fault(error)) => return Err(fault(error).into()),
        }
    }
    set_state(db, conn, held.id, row::state_column(GenerationState::Retired), keep).await.map_err(fault)?;
    raise_every_epoch(db, conn, &[held.id]).await.map_err(fault)?;
    transaction.commit().await.map_err(fault)?;
    Ok(None)
}

/// Lets a retired generation take writes again.
pub(crate) async fn reopen(db: &Db, projection: &ProjectionName, generation: Generation) -> Answer<()> {
    let mut transaction = db.begin().await.map_err(fault)?;
    let conn = &mut *transaction;
    let held = held(db, conn, projection, generation).await?;
    if !matches!(held.state, GenerationState::Retired | GenerationState::Reopened) {
        return Err(ReadModelError::NotRetired { projection: projection.clone(), generation });
    }
    let reopen = sqlx::query(db.sql.reopen_generation.clone()).bind(held.id);
    db.prepared(reopen).execute(&mut *conn).await.map_err(fault)?;
    raise_every_epoch(db, conn, &[held.id]).await.map_err(fault)?;
    Ok(transaction.commit().await.map_err(fault)?)
}

/// Marks the retired generations as gone that are kept no longer.
pub(crate) async fn drop_expired(db: &Db, projection: &ProjectionName) -> Answer<Vec<Generation>> {
    let query = sqlx::query(db.sql.drop_expired.clone()).bind(projection.as_str());
    let rows = db.once(query).await.map_err(fault)?;
    rows.iter()
        .map(|found| row::count(found, 0).map(Generation))
        .collect::<Result<_, _>>()
        .map_err(|failed| failed.of(projection))
}
