//! Finding documents by their fields: along the index of one of them, or by key. Each answer is one statement.

use factum::{
    Counted, DocumentFields, DocumentKey, FieldPlace, FieldRange, FieldValue, FindDocuments, FoundDocument, FoundPage,
    LogId, Position, ReadModelError, ReadTarget, StrayFields,
};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::columns::{column, tenant_column};
use crate::db::Db;
use crate::group::tenant_of;
use crate::read_models_read::{Answer, MOST, missing, rows, rows_of, target_columns};
use crate::read_models_row::{self as row, Failed};

/// What is looked up, as columns.
fn check_columns(check: &[FieldRange]) -> (Vec<&str>, Vec<&[u8]>, Vec<&[u8]>) {
    let fields = check.iter().map(|range| range.field.as_str()).collect();
    let lows = check.iter().map(|range| &range.low[..]).collect();
    (fields, lows, check.iter().map(|range| &range.high[..]).collect())
}

pub(crate) async fn find(db: &Db, find: &FindDocuments) -> Answer<FoundPage> {
    let plan = find.plan()?;
    let limit = find.limit.clamp(1, MOST);
    let (projection, generation, version) = target_columns(&find.target);
    let (fields, lows, highs) = check_columns(&plan.check);
    let (value, key, log) = &plan.start;
    let walked = plan.sort.as_ref().or(plan.walk.as_ref());
    let one = plan.sort.as_ref().and(plan.walk.as_ref());
    let bound = |range: &FieldRange| if find.descending { range.low.clone() } else { range.high.clone() };
    let query = || {
        sqlx::query(db.sql.find_documents.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(tenant_column(&find.tenant))
            .bind(find.descending)
            .bind(column(limit as u64 + 1))
            .bind(&value[..])
            .bind(key.as_str())
            .bind(*log)
            .bind(walked.map(|range| range.field.as_str()))
            .bind(walked.map(bound))
            .bind(one.map(|range| range.field.as_str()))
            .bind(one.map(|range| &range.low[..]))
            .bind(&fields[..])
            .bind(&lows[..])
            .bind(&highs[..])
    };
    let rows = rows(db, find.target.projection(), query).await?;
    let failed = |failed: Failed| failed.of(find.target.projection());
    let first = rows.first().ok_or_else(|| missing(&find.target))?;
    let read = row::document_read(first, 8).map_err(failed)?;
    let declared = row::fields(first, 12).map_err(failed)?;
    find.check(read.generation, &declared)?;
    let kind = find.order_by.as_ref().and_then(|name| declared.iter().find(|field| field.name() == name));
    let mut documents = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(key) = row.try_get::<Option<&str>, _>(7).map_err(|error| failed(error.into()))? else { break };
        let key = DocumentKey::new(find.tenant.clone(), key)?;
        let value = match kind {
            None => None,
            Some(field) => Some(found_value(row, field).map_err(failed)?),
        };
        documents.push(FoundDocument { key, document: row::document(row).map_err(failed)?, value });
    }
    let end = documents.len() <= limit;
    documents.truncate(limit);
    Ok(FoundPage { read, documents, end })
}

fn found_value(row: &PgRow, field: &factum::Field) -> Result<FieldValue, Failed> {
    let value = row::raw(row, 11)?.and_then(|bytes| FieldValue::from_bytes(field.kind(), bytes));
    value.ok_or_else(|| Failed::Damaged(format!("a value of its field {field}")))
}

pub(crate) async fn count(db: &Db, find: &FindDocuments) -> Result<Counted, ReadModelError> {
    let (walk, check) = find.counting();
    let (projection, generation, version) = target_columns(&find.target);
    let (fields, lows, highs) = check_columns(&check);
    let query = || {
        sqlx::query(db.sql.count_documents.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(tenant_column(&find.tenant))
            .bind(walk.as_ref().map(|range| range.field.as_str()))
            .bind(walk.as_ref().map(|range| &range.low[..]))
            .bind(walk.as_ref().map(|range| &range.high[..]))
            .bind(&fields[..])
            .bind(&lows[..])
            .bind(&highs[..])
    };
    let rows = rows(db, find.target.projection(), query).await?;
    let first = rows.first().ok_or_else(|| missing(&find.target))?;
    let failed = |failed: Failed| failed.of(find.target.projection());
    let read = row::document_read(first, 1).map_err(failed)?;
    find.check(read.generation, &row::fields(first, 4).map_err(failed)?)?;
    Ok(Counted { read, count: row::count(first, 0).map_err(failed)? })
}

/// What the documents with these keys are found by, for each key by log.
pub(crate) async fn values(db: &Db, target: &ReadTarget, keys: &[DocumentKey]) -> Answer<Vec<Vec<DocumentFields>>> {
    let rows = rows_of(db, &db.sql.field_values, target, keys).await?;
    if rows.is_empty() {
        return Err(missing(target));
    }
    let mut all = vec![Vec::new(); keys.len()];
    let mut add = |row: &PgRow| -> Result<(), Failed> {
        let Some(place) = row::place(row, 2, keys.len())? else { return Ok(()) };
        let log = row::small(row::count(row, 0)?)?;
        let value = row.try_get::<Option<String>, _>(3)?.zip(row::raw(row, 4)?.map(<[u8]>::to_vec));
        DocumentFields::add(&mut all[place], LogId::new(log), Position::new(row::count(row, 1)?), value);
        Ok(())
    };
    rows.iter().try_for_each(&mut add).map_err(|failed| failed.of(target.projection()))?;
    Ok(all)
}

/// What documents are found by that are not there: of so many values after one.
pub(crate) async fn strays(
    db: &Db,
    target: &ReadTarget,
    after: Option<&FieldPlace>,
    limit: usize,
) -> Answer<StrayFields> {
    let (projection, generation, version) = target_columns(target);
    let limit = limit.clamp(1, MOST) as u64;
    let (tenant, key, log, field) = match after {
        Some(FieldPlace { key, log, field }) => {
            (tenant_column(key.tenant()), key.key(), i64::from(log.get()), &**field)
        }
        None => ("", "", -1, ""),
    };
    let query = || {
        sqlx::query(db.sql.stray_fields.clone())
            .bind(projection)
            .bind(generation)
            .bind(version)
            .bind(tenant)
            .bind(key)
            .bind(log)
            .bind(field)
            .bind(column(limit))
    };
    let rows = rows(db, target.projection(), query).await?;
    if rows.is_empty() {
        return Err(missing(target));
    }
    let mut page = StrayFields::default();
    for row in &rows {
        let failed = |failed: Failed| failed.of(target.projection());
        // One row without a value says that there are none.
        let Some(n) = row::number(row, 6).map_err(failed)? else { break };
        let text = |column| row.try_get::<String, _>(column).map_err(|error| failed(error.into()));
        let tenant = tenant_of(&text(0)?)?.unwrap_or_default();
        let key = DocumentKey::new(tenant, text(1)?)?;
        let log = row::count(row, 2).and_then(row::small).map_err(failed)?;
        let place = FieldPlace { key, log: LogId::new(log), field: text(3)? };
        if n == limit {
            page.next = Some(place.clone());
        }
        if row.try_get(5).map_err(|error| failed(error.into()))? {
            let value = row::raw(row, 4).map_err(failed)?.unwrap_or_default().to_vec();
            page.strays.push((place, value));
        }
    }
    Ok(page)
}
