//! What is read of read models: generations and checkpoints, documents, versions. Each answer is one statement, so that all of
//! it is of one moment.

use std::collections::BTreeMap;

use factum::{
    At, Checkpoint, Document, DocumentKey, DocumentPage, Epoch, EventId, Failure, Found, Generation, GenerationInfo,
    GenerationState, History, HistoryFrom, ListDocuments, NewGeneration, Position, ProjectionName, ProjectionVersion,
    ReadHistory, ReadModelError, ReadTarget, Shard, StoreId, Tenant,
};
use sqlx::postgres::PgRow;
use sqlx::{Row as _, SqlStr};
use uuid::Uuid;

use crate::columns::{column, tenant_column};
use crate::db::{Bound, Db};
use crate::read_models_row::{self as row, Failed};

pub(crate) type Answer<T> = Result<T, ReadModelError>;

/// More keys than any page holds, and few enough to count with.
pub(crate) const MOST: usize = 1 << 30;

/// The numbers by which a target is found: that of a generation, or that of a version.
pub(crate) fn target_columns(target: &ReadTarget) -> (&str, Option<i64>, Option<i64>) {
    match target {
        ReadTarget::Generation(projection, generation) => (projection.as_str(), Some(column(generation.0)), None),
        ReadTarget::Live(projection, version) => (projection.as_str(), None, Some(i64::from(version.0))),
    }
}

pub(crate) fn missing(target: &ReadTarget) -> ReadModelError {
    match target.clone() {
        ReadTarget::Generation(projection, generation) => ReadModelError::Expired { projection, generation },
        ReadTarget::Live(projection, version) => ReadModelError::NoGeneration { projection, version },
    }
}

fn expired(shard: &Shard) -> ReadModelError {
    ReadModelError::Expired { projection: shard.projection.clone(), generation: shard.generation }
}

/// Tenants and keys, as columns.
fn key_columns(keys: &[DocumentKey]) -> (Vec<&str>, Vec<&str>) {
    keys.iter().map(|key| (tenant_column(key.tenant()), key.key())).unzip()
}

pub(crate) async fn rows<'q>(
    db: &Db,
    projection: &ProjectionName,
    query: impl Fn() -> Bound<'q> + Send,
) -> Answer<Vec<PgRow>> {
    db.fetch(query).await.map_err(|error| Failed::Sql(error).of(projection))
}

/// Every generation of a projection that is not dropped.
pub(crate) async fn generations(db: &Db, of: &ProjectionName) -> Answer<Vec<GenerationInfo>> {
    let rows = rows(db, of, || sqlx::query(db.sql.generations.clone()).bind(of.as_str())).await?;
    rows.iter().map(|row| info(of, row)).collect::<Result<_, _>>().map_err(|failed| failed.of(of))
}

fn info(of: &ProjectionName, row: &PgRow) -> Result<GenerationInfo, Failed> {
    Ok(GenerationInfo {
        projection: of.clone(),
        generation: Generation(row::count(row, 0)?),
        version: ProjectionVersion(row::small(row::count(row, 1)?)?),
        state: row::state(row.try_get(2)?)?,
        created_at: row::time(row, 3)?,
        checkpoint: row::reached(row, 4, 5)?,
        failure: failure(row, 6)?,
        kept_until: row::raw(row, 7)?.map(|_| row::time(row, 7)).transpose()?,
        fields: row::fields(row, 8)?,
    })
}

/// A column with why a shard stands still.
pub(crate) fn failure(row: &PgRow, column: usize) -> Result<Option<Failure>, Failed> {
    let failure = row::raw(row, column)?.map(serde_json::from_slice).transpose();
    failure.map_err(|error| Failed::Damaged(format!("its failure: {error}")))
}

/// The generation of a version that is in this state.
pub(crate) async fn in_state(db: &Db, of: &NewGeneration, state: GenerationState) -> Answer<Option<GenerationInfo>> {
    let all = generations(db, &of.projection).await?;
    Ok(all.into_iter().find(|info| info.version == of.version && info.state == state))
}

/// The names of the projections that have a generation.
pub(crate) async fn projections(db: &Db) -> Answer<Vec<ProjectionName>> {
    let rows = db.fetch(|| sqlx::query(db.sql.projections.clone())).await.map_err(crate::error::fault)?;
    let name = |row: &PgRow| {
        let text: &str = row.try_get(0).map_err(crate::error::fault)?;
        Ok(ProjectionName::new(text)?)
    };
    rows.iter().map(name).collect()
}

/// How far a shard is.
pub(crate) async fn checkpoint(db: &Db, shard: &Shard) -> Answer<Checkpoint> {
    told(db, &db.sql.checkpoint, shard).await
}

/// Raises the epoch, and answers as `checkpoint` does. If it is sent twice, the epoch rises twice.
pub(crate) async fn take_over(db: &Db, shard: &Shard) -> Answer<Checkpoint> {
    told(db, &db.sql.take_over_shard, shard).await
}

async fn told(db: &Db, sql: &SqlStr, shard: &Shard) -> Answer<Checkpoint> {
    let query = || {
        sqlx::query(sql.clone())
            .bind(shard.projection.as_str())
            .bind(column(shard.generation.0))
            .bind(i64::from(shard.log.get()))
            .bind(i64::from(shard.partition))
    };
    let rows = rows(db, &shard.projection, query).await?;
    let found = rows.first().ok_or_else(|| expired(shard))?;
    checkpoint_of(found).map_err(|failed| failed.of(&shard.projection))
}

fn checkpoint_of(row: &PgRow) -> Result<Checkpoint, Failed> {
    let Some(position) = row::number(row, 0)? else { return Ok(Checkpoint::default()) };
    let (store, event): (Option<Uuid>, Option<Uuid>) = (row.try_get(2)?, row.try_get(3)?);
    let stands_on = store.zip(event).map(|(store, event)| (StoreId::from(store), EventId::from(event)));
    Ok(Checkpoint { position: Position::new(position), stands_on, epoch: Epoch(row::count(row, 1)?) })
}

/// The current documents with these keys, deleted ones too.
pub(crate) async fn load(db: &Db, shard: &Shard, keys: &[DocumentKey]) -> Answer<Vec<Option<Document>>> {
    let (tenants, names) = key_columns(keys);
    let query = || {
        sqlx::query(db.sql.load_documents.clone())
            .bind(shard.projection.as_str())
            .bind(column(shard.generation.0))
            .bind(i64::from(shard.log.get()))
            .bind(&tenants[..])
            .bind(&names[..])
    };
    let rows = rows(db, &shard.projection, query).await?;
    if rows.is_empty() {
        return Err(expired(shard));
    }
    let mut documents = vec![None; keys.len()];
    let mut fill = |row: &PgRow| -> Result<(), Failed> {
        if let Some(place) = row::place(row, 7, keys.len())? {
            documents[place] = Some(row::document(row)?);
        }
        Ok(())
    };
    rows.iter().try_for_each(&mut fill).map_err(|failed| failed.of(&shard.projection))?;
    Ok(documents)
}

/// What a statement answers that is asked for a target and for keys.
pub(crate) async fn rows_of(db: &Db, sql: &SqlStr, target: &ReadTarget, keys: &[DocumentKey]) -> Answer<Vec<PgRow>> {
    let (tenants, names) = key_columns(keys);
    let (projection, generation, version) = target_columns(target);
    let query =
        || sqlx::query(sql.clone()).bind(projection).bind(generation).bind(version).bind(&tenants[..]).bind(&names[..]);
    rows(db, target.projection(), query).await
}

pub(crate) async fn get(db: &Db, target: &ReadTarget, keys: &[DocumentKey]) -> Answer<Found> {
    let rows = rows_of(db, &db.sql.get_documents, target, keys).await?;
    let first = rows.first().ok_or_else(|| missing(target))?;
    let failed = |failed: Failed| failed.of(target.projection());
    let mut documents = vec![Vec::new(); keys.len()];
    for row in &rows {
        if let Some(place) = row::place(row, 7, keys.len()).map_err(failed)? {
            let named = |failed: Failed| failed.of_document(target.projection(), &keys[place]);
            documents[place].push(row::document(row).map_err(named)?);
        }
    }
    Ok(Found { read: row::document_read(first, 8).map_err(failed)?, documents })
}

pub(crate) async fn list(db: &Db, list: &ListDocuments) -> Answer<DocumentPage> {
    let (projection, generation, version) = target_columns(&list.target);
    let keys = list.limit.clamp(1, MOST);
    let query = || {
        sqlx::query(db.sql.list_documents.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(tenant_column(&list.tenant))
            .bind(list.after.as_deref().unwrap_or_default())
            .bind(column(keys as u64 + 1))
            .bind(list.deleted)
    };
    let rows = rows(db, list.target.projection(), query).await?;
    let failed = |failed: Failed| failed.of(list.target.projection());
    let first = rows.first().ok_or_else(|| missing(&list.target))?;
    let mut page =
        DocumentPage { read: row::document_read(first, 8).map_err(failed)?, documents: Vec::new(), end: true };
    for row in &rows {
        let Some(key) = row.try_get::<Option<&str>, _>(7).map_err(|error| failed(error.into()))? else { break };
        let document =
            |key: &DocumentKey| row::document(row).map_err(|failed| failed.of_document(list.target.projection(), key));
        if let Some((last, of_key)) = page.documents.last_mut()
            && last.key() == key
        {
            of_key.push(document(last)?);
            continue;
        }
        if page.documents.len() == keys {
            page.end = false;
            break;
        }
        let key = DocumentKey::new(list.tenant.clone(), key)?;
        let document = document(&key)?;
        page.documents.push((key, vec![document]));
    }
    Ok(page)
}

/// The first tenant after this one; the default one is the empty text, and so before all others.
pub(crate) async fn next_tenant(db: &Db, target: &ReadTarget, after: &Tenant) -> Answer<Option<Tenant>> {
    let (projection, generation, version) = target_columns(target);
    let query = || {
        sqlx::query(db.sql.next_tenant.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(tenant_column(after))
    };
    let rows = rows(db, target.projection(), query).await?;
    let first = rows.first().ok_or_else(|| missing(target))?;
    let found: Option<&str> = first.try_get(0).map_err(|error| Failed::Sql(error).of(target.projection()))?;
    Ok(found.map(Tenant::new).transpose()?)
}

/// What a history begins with, as columns: whether the current document may be it, the position up to which it lies, and its
/// other bounds.
struct Base {
    current: bool,
    position: i64,
    version: Option<i64>,
    recorded_at: Option<chrono::DateTime<chrono::Utc>>,
    occurred_at: Option<chrono::DateTime<chrono::Utc>>,
}

impl Base {
    fn of(read: &ReadHistory) -> Self {
        let any = Self { current: true, position: i64::MAX, version: None, recorded_at: None, occurred_at: None };
        match &read.from {
            HistoryFrom::After(after) => Self { current: false, position: after.as_i64().saturating_add(1), ..any },
            HistoryFrom::Base(At::Position(cursor)) => Self { position: cursor.get(read.log).as_i64(), ..any },
            HistoryFrom::Base(At::Version(version)) => Self { version: Some(column(version.get())), ..any },
            HistoryFrom::Base(At::Recorded(time)) => Self { recorded_at: Some(in_range(*time)), ..any },
            HistoryFrom::Base(At::Occurred(time)) => Self { occurred_at: Some(in_range(*time)), ..any },
        }
    }
}

/// The server's times begin in 4713 BC, and nothing was recorded before.
fn in_range(time: chrono::DateTime<chrono::Utc>) -> chrono::DateTime<chrono::Utc> {
    const EARLIEST: i64 = -200_000_000_000;
    time.max(chrono::DateTime::from_timestamp(EARLIEST, 0).unwrap_or_default())
}

pub(crate) async fn history(db: &Db, read: &ReadHistory) -> Answer<History> {
    let (tenants, names) = key_columns(&read.keys);
    let (projection, generation, version) = target_columns(&read.target);
    let (base, limit) = (Base::of(read), read.limit.min(MOST));
    let query = || {
        sqlx::query(db.sql.history.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(&tenants[..])
            .bind(&names[..])
            .bind(i64::from(read.log.get()))
            .bind(base.current)
            .bind(base.position)
            .bind(base.version)
            .bind(base.recorded_at)
            .bind(base.occurred_at)
            .bind(column(limit as u64 + 1))
    };
    let rows = rows(db, read.target.projection(), query).await?;
    let first = rows.first().ok_or_else(|| missing(&read.target))?;
    let failed = |failed: Failed| failed.of(read.target.projection());
    let kept_from = Position::new(row::count(first, 10).map_err(failed)?);
    let mut all: Vec<Versions> = read.keys.iter().map(|_| Versions::default()).collect();
    let mut fill = |row: &PgRow| -> Result<(), Failed> {
        let Some(place) = row::place(row, 7, read.keys.len())? else { return Ok(()) };
        match row::raw(row, 9)? {
            None => all[place].current = Some(row::document(row)?),
            Some(bytes) => {
                let damaged = || Failed::Damaged("a row of kept versions".to_owned());
                let versions = Document::unpack(read.log, bytes).ok_or_else(damaged)?;
                all[place].keep(row::count(row, 8)?, versions);
            }
        }
        Ok(())
    };
    rows.iter().try_for_each(&mut fill).map_err(failed)?;
    Ok(History { kept_from, versions: all.into_iter().map(|versions| versions.from(&read.from, limit)).collect() })
}

/// What was found of one document.
#[derive(Default)]
struct Versions {
    current: Option<Document>,
    /// By position, with the place of the commit that kept it: of what was kept twice, the later counts.
    kept: BTreeMap<Position, (u64, Document)>,
}

impl Versions {
    fn keep(&mut self, committed: u64, versions: Vec<Document>) {
        for version in versions {
            let known = self.kept.get(&version.bounds.position);
            if known.is_none_or(|(before, _)| *before <= committed) {
                self.kept.insert(version.bounds.position, (committed, version));
            }
        }
    }

    fn from(self, from: &HistoryFrom, limit: usize) -> Vec<Document> {
        let Self { current, kept } = self;
        let kept = kept.into_values().map(|(_, version)| version);
        let mut versions: Vec<_> = match from {
            HistoryFrom::After(after) => {
                kept.chain(current).filter(|version| version.bounds.position > *after).collect()
            }
            HistoryFrom::Base(at) => {
                let mut all: Vec<_> = kept.chain(current).collect();
                let base = all.iter().rposition(|version| version.bounds.within(at)).unwrap_or(0);
                all.drain(..base);
                all
            }
        };
        versions.truncate(limit);
        versions
    }
}
