//! Finding documents by their fields: along the index of one of them, or by key.

use factum::{
    Counted, DocumentFields, DocumentKey, DocumentRead, Field, FieldPlace, FieldRange, FieldValue, FindDocuments,
    FindPlan, FoundDocument, FoundPage, LogId, ReadTarget, StrayFields, Tenant,
};
use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use crate::append::{at, tenant_column};
use crate::job::Failed;
use crate::read_models_read::{Answer, damaged, document, fields_of, resolve};
use crate::readers::Moment;

/// The statement for the direction that is asked for.
macro_rules! directed {
    ($find:expr, $name:literal) => {
        match $find.descending {
            false => include_str!(concat!("sql/find_by_", $name, "_forward.sql")),
            true => include_str!(concat!("sql/find_by_", $name, "_backward.sql")),
        }
    };
}

/// The generation, and the fields that it keeps.
fn target(conn: &Connection, find: &FindDocuments) -> Answer<(i64, DocumentRead, Vec<Field>)> {
    let (generation, read) = resolve(conn, &find.target)?;
    let fields = fields_of(conn, find.target.projection(), generation)?;
    find.check(read.generation, &fields).map_err(Failed::Answer)?;
    Ok((generation, read, fields))
}

/// What is looked up, as a JSON array.
fn conditions(check: &[FieldRange]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows: Vec<_> = check.iter().map(|range| (&range.field, hex(&range.low), hex(&range.high))).collect();
    serde_json::json!(rows).to_string()
}

pub(crate) fn find(conn: &Connection, find: &FindDocuments) -> Answer<FoundPage> {
    let moment = Moment::of(conn)?;
    let (generation, read, fields) = target(&moment, find)?;
    let plan = find.plan().map_err(|error| Failed::Answer(error.into()))?;
    let limit = find.limit.clamp(1, 1 << 30);
    let kind = find.order_by.as_ref().and_then(|name| fields.iter().find(|field| field.name() == name));
    let mut documents = Vec::new();
    walk(&moment, generation, find, &plan, limit, |row| {
        let key = row.get_ref(7)?.as_str().map_err(rusqlite::Error::from)?;
        let key = DocumentKey::new(find.tenant.clone(), key).map_err(|error| Failed::Answer(error.into()))?;
        let value = match kind {
            None => None,
            Some(field) => {
                let bytes = row.get_ref(8)?.as_blob().map_err(rusqlite::Error::from)?;
                let value = FieldValue::from_bytes(field.kind(), bytes);
                let what = || damaged(find.target.projection(), format!("a value of its field {field}"));
                Some(value.ok_or_else(what)?)
            }
        };
        documents.push(FoundDocument { key, document: document(row)?, value });
        Ok(())
    })?;
    let end = documents.len() <= limit;
    documents.truncate(limit);
    Ok(FoundPage { read, documents, end })
}

/// Hands on each row that is found, one more than the limit.
fn walk(
    conn: &Connection,
    generation: i64,
    find: &FindDocuments,
    plan: &FindPlan,
    limit: usize,
    mut row: impl FnMut(&rusqlite::Row<'_>) -> Answer<()>,
) -> Answer<()> {
    let (tenant, check) = (tenant_column(&find.tenant), conditions(&plan.check));
    let more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let (value, key, log) = &plan.start;
    let bound = |range: &FieldRange| if find.descending { range.low.clone() } else { range.high.clone() };
    let (sql, bounds) = match (&plan.walk, &plan.sort) {
        (None, _) => (directed!(find, "key"), None),
        (Some(walk), None) => (directed!(find, "field"), Some((&walk.field, bound(walk), None))),
        (Some(one), Some(sort)) => (directed!(find, "value"), Some((&sort.field, bound(sort), Some(one)))),
    };
    let mut binds: Vec<&dyn ToSql> = vec![&generation, &tenant, &check, &more, value, key, log];
    if let Some((field, bound, one)) = &bounds {
        binds.extend([field as &dyn ToSql, bound]);
        if let Some(FieldRange { field, low, .. }) = one {
            binds.extend([field as &dyn ToSql, low]);
        }
    }
    let mut select = conn.prepare_cached(sql)?;
    let mut rows = select.query(&binds[..])?;
    while let Some(found) = rows.next()? {
        row(found)?;
    }
    Ok(())
}

pub(crate) fn count(conn: &Connection, find: &FindDocuments) -> Answer<Counted> {
    let moment = Moment::of(conn)?;
    let (generation, read, _) = target(&moment, find)?;
    let tenant = tenant_column(&find.tenant);
    let (walk, check) = find.counting();
    let count: i64 = match walk {
        None => moment
            .prepare_cached(include_str!("sql/count_documents.sql"))?
            .query_row(params![generation, tenant], |row| row.get(0))?,
        Some(FieldRange { field, low, high }) => moment
            .prepare_cached(include_str!("sql/count_by_field.sql"))?
            .query_row(params![generation, tenant, conditions(&check), field, low, high], |row| row.get(0))?,
    };
    Ok(Counted { read, count: count.unsigned_abs() })
}

/// What the documents with these keys are found by, for each key by log.
pub(crate) fn values(conn: &Connection, target: &ReadTarget, keys: &[DocumentKey]) -> Answer<Vec<Vec<DocumentFields>>> {
    let moment = Moment::of(conn)?;
    let (generation, _) = resolve(&moment, target)?;
    let mut select = moment.prepare_cached(include_str!("sql/field_values.sql"))?;
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        let mut rows = select.query(params![generation, tenant_column(key.tenant()), key.key()])?;
        let mut of_key = Vec::new();
        while let Some(row) = rows.next()? {
            let field: Option<String> = row.get(2)?;
            let value = field.map(|field| Ok::<_, rusqlite::Error>((field, row.get(3)?))).transpose()?;
            DocumentFields::add(&mut of_key, LogId::new(row.get(0)?), at(row.get(1)?), value);
        }
        all.push(of_key);
    }
    Ok(all)
}

/// What documents are found by that are not there: of so many values after one.
pub(crate) fn strays(
    conn: &Connection,
    target: &ReadTarget,
    after: Option<&FieldPlace>,
    limit: usize,
) -> Answer<StrayFields> {
    let moment = Moment::of(conn)?;
    let (generation, _) = resolve(&moment, target)?;
    let limit = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
    let (tenant, key, log, field) = match after {
        Some(FieldPlace { key, log, field }) => {
            (tenant_column(key.tenant()), key.key(), i64::from(log.get()), &**field)
        }
        None => ("", "", -1, ""),
    };
    let mut select = moment.prepare_cached(include_str!("sql/stray_fields.sql"))?;
    let mut rows = select.query(params![generation, tenant, key, log, field, limit])?;
    let mut page = StrayFields::default();
    while let Some(row) = rows.next()? {
        let (tenant, key): (String, String) = (row.get(0)?, row.get(1)?);
        let tenant = if tenant.is_empty() { Ok(Tenant::default()) } else { Tenant::new(tenant) };
        let key = tenant.and_then(|tenant| DocumentKey::new(tenant, key));
        let key = key.map_err(|error| Failed::Answer(error.into()))?;
        let place = FieldPlace { key, log: LogId::new(row.get(2)?), field: row.get(3)? };
        if row.get::<_, i64>(6)? == limit {
            page.next = Some(place.clone());
        }
        if row.get(5)? {
            page.strays.push((place, row.get(4)?));
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan_of(conn: &Connection, sql: &str) -> Vec<String> {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let binds = explain.parameter_count();
        let nulls = vec![rusqlite::types::Null; binds];
        let rows = explain.query_map(rusqlite::params_from_iter(nulls), |row| row.get(3)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// Each kind of query walks the index that it should, in its order: nothing is scanned whole, and nothing is sorted
    /// but what has one value of another field.
    #[test]
    fn queries_walk_the_indexes() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("sql/schema.sql")).unwrap();
        let by_value = "USING COVERING INDEX document_fields_by_value (generation=? AND tenant=? AND field=? AND";
        let by_key = "USING INDEX documents_by_key (generation=? AND tenant=? AND";
        for (sql, wanted, sorted) in [
            (include_str!("sql/find_by_field_forward.sql"), by_value, false),
            (include_str!("sql/find_by_field_backward.sql"), by_value, false),
            (include_str!("sql/find_by_value_forward.sql"), by_value, true),
            (include_str!("sql/find_by_value_backward.sql"), by_value, true),
            (include_str!("sql/find_by_key_forward.sql"), by_key, false),
            (include_str!("sql/find_by_key_backward.sql"), by_key, false),
            (include_str!("sql/count_by_field.sql"), by_value, false),
        ] {
            let plan = plan_of(&conn, sql);
            assert!(plan.iter().any(|step| step.contains(wanted)), "{sql}: {plan:#?}");
            assert_eq!(plan.iter().any(|step| step.contains("TEMP B-TREE")), sorted, "{sql}: {plan:#?}");
            let scans = plan.iter().filter(|step| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE"));
            let scans: Vec<_> = scans.filter(|step| *step != "SCAN f" || !sorted).collect();
            assert!(scans.is_empty(), "{sql}: {plan:#?}");
            // What is looked up is looked up by key.
            let looked_up = "SEARCH v USING PRIMARY KEY (generation=? AND tenant=? AND key=? AND log=? AND field=?)";
            assert!(plan.iter().any(|step| step == looked_up), "{sql}: {plan:#?}");
        }
    }
}
