//! How values of core are bound.

use factum::{Condition, Fault, FaultKind, NewEvent, Tag, Tenant};
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo};
use sqlx::{Postgres, Type};

/// JSON that is bound as it is, byte for byte, to a `json` column. The driver's own wrapper would write it anew.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(pub(crate) &'a [u8]);

// Fixed in the server's catalog: https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat
const JSON: Oid = Oid(114);
const JSON_ARRAY: Oid = Oid(199);

impl Type<Postgres> for Json<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl PgHasArrayType for Json<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON_ARRAY)
    }
}

impl Encode<'_, Postgres> for Json<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn size_hint(&self) -> usize {
        self.0.len()
    }
}

/// A tenant as its column holds it: the default one is the empty text.
pub(crate) fn tenant_column(tenant: &Tenant) -> &str {
    if tenant.is_default() { "" } else { tenant.as_str() }
}

/// A version or the like as its column holds it.
pub(crate) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A condition as the functions that append take it.
pub(crate) fn condition_column(condition: Condition) -> i64 {
    match condition {
        Condition::Any => -1,
        Condition::Exists => -2,
        Condition::NoStream => 0,
        Condition::Version(version) => column(version.get()),
    }
}

/// The metadata of an event that has no column of its own.
pub(crate) fn metadata_column(event: &NewEvent) -> Result<Option<String>, Fault> {
    let json = event.metadata.to_json();
    json.map_err(|error| Fault::caused(FaultKind::Other, format!("metadata that is not JSON: {error}"), error))
}

/// Texts as a literal of an array, for an array of arrays of different lengths, which PostgreSQL does not have.
///
/// <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>
pub(crate) fn array_literal<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut literal = String::from("{");
    for (n, text) in texts.into_iter().enumerate() {
        literal.push_str(if n == 0 { "\"" } else { ",\"" });
        for char in text.chars() {
            if matches!(char, '"' | '\\') {
                literal.push('\\');
            }
            literal.push(char);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}

/// The tags of an event as texts.
pub(crate) fn tag_texts(tags: &[Tag]) -> impl Iterator<Item = &str> {
    tags.iter().map(Tag::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_literal_quotes_all_that_would_end_it() {
        assert_eq!(array_literal([]), "{}");
        assert_eq!(array_literal(["a", r#"b"c\d"#, "NULL", " {,} "]), r#"{"a","b\"c\\d","NULL"," {,} "}"#);
    }
}
