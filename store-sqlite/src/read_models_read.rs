//! What is read of read models: generations and checkpoints, documents, versions. Each answer is of one moment.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use factum::{
    At, Bounds, Checkpoint, Cursor, Document, DocumentKey, DocumentPage, DocumentRead, Epoch, EventId, Field, Found,
    Generation, GenerationInfo, GenerationState, History, HistoryFrom, ListDocuments, LogId, NewGeneration, Position,
    Positions, ProjectionName, ProjectionVersion, ReadHistory, ReadModelError, ReadTarget, Shard, StoreId, Tenant,
    Version,
};
use rusqlite::types::Type;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use uuid::Uuid;

use crate::append::{at, tenant_column};
use crate::fading;
use crate::job::Failed;
use crate::readers::Moment;

pub(crate) type Answer<T> = Result<T, Failed<ReadModelError>>;

/// A generation, by the number under which its rows are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) version: ProjectionVersion,
    pub(crate) state: GenerationState,
}

pub(crate) fn damaged(projection: &ProjectionName, what: String) -> Failed<ReadModelError> {
    Failed::Answer(ReadModelError::Damaged { projection: projection.clone(), what })
}

pub(crate) fn bad(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, what.into())
}

/// A state as its column holds it.
pub(crate) fn state_column(state: GenerationState) -> &'static str {
    match state {
        GenerationState::Building => "building",
        GenerationState::Live => "live",
        GenerationState::Retired => "retired",
        GenerationState::Reopened => "reopened",
    }
}

fn state(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<GenerationState> {
    match row.get_ref(column)?.as_str()? {
        "building" => Ok(GenerationState::Building),
        "live" => Ok(GenerationState::Live),
        "retired" => Ok(GenerationState::Retired),
        "reopened" => Ok(GenerationState::Reopened),
        _ => Err(bad(column, "a state that is none")),
    }
}

pub(crate) fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| bad(column, "a number below 0"))
}

pub(crate) fn time(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(row.get(column)?).ok_or_else(|| bad(column, "a time that is none"))
}

/// A generation that is not dropped.
pub(crate) fn find(conn: &Connection, of: &ProjectionName, generation: Generation) -> rusqlite::Result<Option<Row>> {
    let mut find = conn.prepare_cached(include_str!("sql/find_generation.sql"))?;
    let number = crate::append::column(generation.0);
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row { id: row.get(0)?, version: ProjectionVersion(row.get(1)?), state: state(row, 2)? })
    };
    find.query_row(params![of.as_str(), number], row).optional()
}

pub(crate) fn numbered(
    conn: &Connection,
    of: &ProjectionName,
    version: ProjectionVersion,
    state: GenerationState,
) -> rusqlite::Result<Option<(i64, Generation)>> {
    let mut find = conn.prepare_cached(include_str!("sql/generation_in_state.sql"))?;
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, Generation(number(row, 1)?)));
    find.query_row(params![of.as_str(), version.0, state_column(state)], row).optional()
}

/// The live generation of a version.
pub(crate) fn live(
    conn: &Connection,
    of: &ProjectionName,
    version: ProjectionVersion,
) -> rusqlite::Result<Option<(i64, Generation)>> {
    numbered(conn, of, version, GenerationState::Live)
}

/// The generation of a version that is in this state.
pub(crate) fn in_state(
    conn: &Connection,
    of: &NewGeneration,
    state: GenerationState,
) -> Answer<Option<GenerationInfo>> {
    let Some((_, number)) = numbered(conn, &of.projection, of.version, state)? else {
        return Ok(None);
    };
    Ok(generations(conn, &of.projection)?.into_iter().find(|info| info.generation == number))
}

/// Every generation of a projection that is not dropped.
pub(crate) fn generations(conn: &Connection, of: &ProjectionName) -> Answer<Vec<GenerationInfo>> {
    let mut select = conn.prepare_cached(include_str!("sql/generations.sql"))?;
    let mut rows = select.query(params![of.as_str()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let failure = failure_json(conn, id)?.map(|json| serde_json::from_str(&json)).transpose();
        found.push(GenerationInfo {
            projection: of.clone(),
            generation: Generation(number(row, 1)?),
            version: ProjectionVersion(row.get(2)?),
            state: state(row, 3)?,
            created_at: time(row, 4)?,
            kept_until: row.get::<_, Option<i64>>(5)?.map(|_| time(row, 5)).transpose()?,
            checkpoint: reached(conn, id)?,
            failure: failure.map_err(|error| damaged(of, format!("its failure: {error}")))?,
            fields: fields(of, row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?)?,
        });
    }
    Ok(found)
}

fn fields(of: &ProjectionName, json: &str) -> Answer<Vec<Field>> {
    serde_json::from_str(json).map_err(|error| damaged(of, format!("the fields of a generation: {error}")))
}

/// By which fields the documents of a generation are found.
pub(crate) fn fields_of(conn: &Connection, of: &ProjectionName, generation: i64) -> Answer<Vec<Field>> {
    let mut select = conn.prepare_cached(include_str!("sql/fields.sql"))?;
    let json: String = select.query_row(params![generation], |row| row.get(0))?;
    fields(of, &json)
}

/// The names of the projections that have a generation.
pub(crate) fn projections(conn: &Connection) -> Answer<Vec<ProjectionName>> {
    let mut select = conn.prepare_cached(include_str!("sql/projections.sql"))?;
    let mut rows = select.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let name = ProjectionName::new(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?);
        found.push(name.map_err(|error| Failed::Answer(error.into()))?);
    }
    Ok(found)
}

/// For each log the least checkpoint of its partitions.
pub(crate) fn reached(conn: &Connection, generation: i64) -> rusqlite::Result<Cursor> {
    let mut select = conn.prepare_cached(include_str!("sql/reached.sql"))?;
    let mut rows = select.query(params![generation])?;
    let mut reached = Cursor::start();
    while let Some(row) = rows.next()? {
        reached.set(LogId::new(row.get(0)?), at(row.get(1)?));
    }
    Ok(reached)
}

fn failure_json(conn: &Connection, generation: i64) -> rusqlite::Result<Option<String>> {
    let mut select = conn.prepare_cached(include_str!("sql/failure.sql"))?;
    select.query_row(params![generation], |row| row.get(0)).optional()
}

/// Why a shard of a generation stands still, in words.
pub(crate) fn failure(conn: &Connection, generation: i64) -> rusqlite::Result<Option<String>> {
    let show = |json: String| match serde_json::from_str::<factum::Failure>(&json) {
        Ok(failure) => failure.to_string(),
        Err(_) => "it has failed".to_owned(),
    };
    Ok(failure_json(conn, generation)?.map(show))
}

/// How far a shard is.
pub(crate) fn checkpoint_of(conn: &Connection, generation: i64, shard: &Shard) -> rusqlite::Result<Checkpoint> {
    let mut select = conn.prepare_cached(include_str!("sql/checkpoint.sql"))?;
    let row = |row: &rusqlite::Row<'_>| {
        let id = |column: usize| -> rusqlite::Result<Option<Uuid>> {
            let bytes = row.get_ref(column)?.as_blob_or_null()?;
            bytes.map(|bytes| Uuid::from_slice(bytes).map_err(|_| bad(column, "an id that is no UUID"))).transpose()
        };
        let stands_on = id(1)?.zip(id(2)?).map(|(store, event)| (StoreId::from(store), EventId::from(event)));
        Ok(Checkpoint { position: at(row.get(0)?), stands_on, epoch: Epoch(number(row, 3)?) })
    };
    let found = select.query_row(params![generation, shard.log.get(), shard.partition], row).optional()?;
    Ok(found.unwrap_or_default())
}

pub(crate) fn existing(conn: &Connection, projection: &ProjectionName, generation: Generation) -> Answer<Row> {
    let expired = || Failed::Answer(ReadModelError::Expired { projection: projection.clone(), generation });
    find(conn, projection, generation)?.ok_or_else(expired)
}

pub(crate) fn checkpoint(conn: &Connection, shard: &Shard) -> Answer<Checkpoint> {
    let moment = Moment::of(conn)?;
    let generation = existing(&moment, &shard.projection, shard.generation)?;
    Ok(checkpoint_of(&moment, generation.id, shard)?)
}

pub(crate) fn resolve(conn: &Connection, target: &ReadTarget) -> Answer<(i64, DocumentRead)> {
    let (id, generation) = match target {
        ReadTarget::Generation(projection, generation) => (existing(conn, projection, *generation)?.id, *generation),
        ReadTarget::Live(projection, version) => live(conn, projection, *version)?.ok_or_else(|| {
            let projection = projection.clone();
            Failed::Answer(ReadModelError::NoGeneration { projection, version: *version })
        })?,
    };
    Ok((id, DocumentRead { generation, checkpoint: reached(conn, id)? }))
}

pub(crate) fn document(row: &rusqlite::Row<'_>) -> rusqlite::Result<Document> {
    let version = Version::new(number(row, 2)?).map_err(|_| bad(2, "a version that is none"))?;
    let bounds = Bounds {
        log: LogId::new(row.get(0)?),
        position: at(row.get(1)?),
        version,
        recorded_at: time(row, 3)?,
        occurred_at: time(row, 4)?,
    };
    let positions = Positions::from_bytes(row.get(5)?).ok_or_else(|| bad(5, "positions that are none"))?;
    let body = row.get_ref(6)?.as_bytes_or_null()?.map(Bytes::copy_from_slice);
    Ok(Document { body, bounds, positions })
}

/// A document that may be no document: it is named then.
fn document_of(row: &rusqlite::Row<'_>, projection: &ProjectionName, key: &DocumentKey) -> Answer<Document> {
    document(row).map_err(|error| match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => {
            let (projection, key, what) = (projection.clone(), key.clone(), error.to_string());
            Failed::Answer(ReadModelError::DamagedDocument { projection, key, what })
        }
        other => Failed::Sqlite(other),
    })
}

/// The current documents with these keys, deleted ones too.
pub(crate) fn load(conn: &Connection, shard: &Shard, keys: &[DocumentKey]) -> Answer<Vec<Option<Document>>> {
    let moment = Moment::of(conn)?;
    let generation = existing(&moment, &shard.projection, shard.generation)?;
    let mut select = moment.prepare_cached(include_str!("sql/load_document.sql"))?;
    let mut one = |key: &DocumentKey| current(&mut select, generation.id, key, shard.log);
    Ok(keys.iter().map(&mut one).collect::<rusqlite::Result<_>>()?)
}

fn current(
    select: &mut CachedStatement<'_>,
    generation: i64,
    key: &DocumentKey,
    log: LogId,
) -> rusqlite::Result<Option<Document>> {
    let mut rows = select.query(params![generation, tenant_column(key.tenant()), key.key(), log.get()])?;
    rows.next()?.map(document).transpose()
}

pub(crate) fn get(conn: &Connection, target: &ReadTarget, keys: &[DocumentKey]) -> Answer<Found> {
    let moment = Moment::of(conn)?;
    let (generation, read) = resolve(&moment, target)?;
    let mut select = moment.prepare_cached(include_str!("sql/get_documents.sql"))?;
    let mut documents = Vec::with_capacity(keys.len());
    for key in keys {
        let mut rows = select.query(params![generation, tenant_column(key.tenant()), key.key()])?;
        let mut of_key = Vec::new();
        while let Some(row) = rows.next()? {
            of_key.push(document_of(row, target.projection(), key)?);
        }
        documents.push(of_key);
    }
    Ok(Found { read, documents })
}

pub(crate) fn list(conn: &Connection, list: &ListDocuments) -> Answer<DocumentPage> {
    let moment = Moment::of(conn)?;
    let (generation, read) = resolve(&moment, &list.target)?;
    let mut select = moment.prepare_cached(include_str!("sql/list_documents.sql"))?;
    let after = list.after.as_deref().unwrap_or_default();
    let mut rows = select.query(params![generation, tenant_column(&list.tenant), after, list.deleted])?;
    let mut documents: Vec<(DocumentKey, Vec<Document>)> = Vec::new();
    let mut end = true;
    while let Some(row) = rows.next()? {
        let key = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
        if let Some((last, of_key)) = documents.last_mut()
            && last.key() == key
        {
            of_key.push(document_of(row, list.target.projection(), last)?);
            continue;
        }
        if documents.len() >= list.limit.max(1) {
            end = false;
            break;
        }
        let key = DocumentKey::new(list.tenant.clone(), key).map_err(|error| Failed::Answer(error.into()))?;
        let document = document_of(row, list.target.projection(), &key)?;
        documents.push((key, vec![document]));
    }
    Ok(DocumentPage { read, documents, end })
}

/// The first tenant after this one; the default one is the empty text, and so before all others.
pub(crate) fn next_tenant(conn: &Connection, target: &ReadTarget, after: &Tenant) -> Answer<Option<Tenant>> {
    let moment = Moment::of(conn)?;
    let (generation, _) = resolve(&moment, target)?;
    let mut select = moment.prepare_cached(include_str!("sql/next_tenant.sql"))?;
    let found: Option<String> =
        select.query_row(params![generation, tenant_column(after)], |row| row.get(0)).optional()?;
    found.map(|tenant| Tenant::new(tenant).map_err(|error| Failed::Answer(error.into()))).transpose()
}

pub(crate) fn history(conn: &Connection, read: &ReadHistory) -> Answer<History> {
    let moment = Moment::of(conn)?;
    let (generation, _) = resolve(&moment, &read.target)?;
    let kept_from = fading::kept_from(&moment, generation, read.log)?;
    let versions = read.keys.iter().map(|key| versions(&moment, generation, read, key)).collect::<Answer<_>>()?;
    Ok(History { kept_from, versions })
}

/// The versions of one document, kept and current, from where they are of interest.
fn versions(conn: &Connection, generation: i64, read: &ReadHistory, key: &DocumentKey) -> Answer<Vec<Document>> {
    let mut load = conn.prepare_cached(include_str!("sql/load_document.sql"))?;
    let current = current(&mut load, generation, key, read.log)?;
    let from = match &read.from {
        HistoryFrom::After(position) => at(position.as_i64().saturating_add(1)),
        HistoryFrom::Base(base) => match &current {
            Some(current) if current.bounds.within(base) => return Ok(vec![current.clone()]),
            _ => base_position(conn, generation, read, key, base)?,
        },
    };
    let mut found = kept_from(conn, generation, read, key, from)?;
    found.extend(current.filter(|current| current.bounds.position >= from));
    found.truncate(read.limit);
    Ok(found)
}

/// The position of the newest kept version that lies within `base`; the start where none does.
fn base_position(
    conn: &Connection,
    generation: i64,
    read: &ReadHistory,
    key: &DocumentKey,
    base: &At,
) -> Answer<Position> {
    let mut select = conn.prepare_cached(include_str!("sql/kept_backward.sql"))?;
    // Only a position is found by the index; for the rest the newest come first.
    let up_to = match base {
        At::Position(cursor) => cursor.get(read.log),
        _ => Position::END,
    };
    let (tenant, log) = (tenant_column(key.tenant()), read.log.get());
    let mut rows = select.query(params![generation, tenant, key.key(), log, up_to.as_i64()])?;
    while let Some(row) = rows.next()? {
        let versions = unpacked(read, row)?;
        if let Some(found) = versions.iter().rev().find(|version| version.bounds.within(base)) {
            return Ok(found.bounds.position);
        }
    }
    Ok(Position::START)
}

fn kept_from(
    conn: &Connection,
    generation: i64,
    read: &ReadHistory,
    key: &DocumentKey,
    from: Position,
) -> Answer<Vec<Document>> {
    let mut select = conn.prepare_cached(include_str!("sql/kept_forward.sql"))?;
    let (tenant, log) = (tenant_column(key.tenant()), read.log.get());
    let mut rows = select.query(params![generation, tenant, key.key(), log, from.as_i64()])?;
    let mut found: Vec<Document> = Vec::new();
    while found.len() <= read.limit
        && let Some(row) = rows.next()?
    {
        for version in unpacked(read, row)?.into_iter().filter(|version| version.bounds.position >= from) {
            // What is kept again at one position takes the place of what was.
            if found.last().is_some_and(|last| last.bounds.position == version.bounds.position) {
                found.pop();
            }
            found.push(version);
        }
    }
    Ok(found)
}

fn unpacked(read: &ReadHistory, row: &rusqlite::Row<'_>) -> Answer<Vec<Document>> {
    let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    Document::unpack(read.log, bytes)
        .ok_or_else(|| damaged(read.target.projection(), "a row of kept versions".to_owned()))
}
