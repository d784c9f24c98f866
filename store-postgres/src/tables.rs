//! The tables of a projection: their names in each generation.

use factum::Generation;

use crate::projection::{SqlError, SqlSetupError};
use crate::sql::quote;

/// The longest name of a table, in bytes: with the number of any generation it still fits what PostgreSQL takes.
const MAX_TABLE: usize = 40;

/// What the tables of one generation are called.
///
/// In the SQL of a [`SqlProjection`](crate::SqlProjection) a table is written in braces, `{balances}`. In the live
/// generation that is the table `balances`, which everybody reads; in one that is being built, or was replaced, it is
/// a table of its own, such as `balances__g2`. The schema stands before it in either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tables {
    names: Vec<String>,
    place: String,
    generation: Generation,
    live: bool,
}

impl Tables {
    /// The tables of a generation, by the names that they are written with.
    pub(crate) fn new(names: Vec<String>, place: &str, generation: Generation, live: bool) -> Self {
        Self { names, place: place.to_owned(), generation, live }
    }

    /// The name of a table with that of its schema, both quoted; `None` where the generation has no such table.
    pub fn name(&self, table: &str) -> Option<String> {
        let found = self.names.iter().any(|name| name == table);
        found.then(|| format!("{}.{}", quote(&self.place), quote(&self.physical(table))))
    }

    /// The names that they are written with.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    fn physical(&self, table: &str) -> String {
        if self.live { table.to_owned() } else { aside(table, self.generation) }
    }

    /// SQL with the names of this generation in the place of those in braces.
    pub(crate) fn expand(&self, sql: &str) -> Result<String, SqlError> {
        let unknown = |name: &str| {
            let known = self.names.join(", ");
            SqlError::UnknownTable { name: name.to_owned(), generation: self.generation, known }
        };
        expand(sql, |name| self.name(name).ok_or_else(|| unknown(name)))
    }

    /// The same for what makes them: a name in braces that is no table's is an index's.
    pub(crate) fn expand_schema(&self, sql: &str) -> Result<String, SqlError> {
        expand(sql, |name| Ok(self.name(name).unwrap_or_else(|| quote(&aside(name, self.generation)))))
    }
}

/// What the names of a generation end with.
pub(crate) fn suffix(generation: Generation) -> String {
    format!("__g{generation}")
}

/// What a table, or an index, of a generation is called where it does not have the plain name.
pub(crate) fn aside(name: &str, generation: Generation) -> String {
    format!("{name}{}", suffix(generation))
}

/// Replaces every name in braces. Braces around anything else stay as they are.
fn expand(sql: &str, replace: impl Fn(&str) -> Result<String, SqlError>) -> Result<String, SqlError> {
    let mut expanded = String::with_capacity(sql.len() + 16);
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('{') {
        expanded.push_str(before);
        match after.split_once('}').filter(|(name, _)| is_name(name)) {
            Some((name, after)) => {
                expanded.push_str(&replace(name)?);
                rest = after;
            }
            None => {
                expanded.push('{');
                rest = after;
            }
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    starts && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// That these can be the names of tables in every generation.
pub(crate) fn check(projection: &'static str, tables: &[&'static str]) -> Result<(), SqlSetupError> {
    if tables.is_empty() {
        return Err(SqlSetupError::NoTables { projection });
    }
    for (n, table) in tables.iter().enumerate() {
        let why = if !is_name(table) {
            "a name is made of lowercase letters, digits and '_', and begins with no digit"
        } else if table.len() > MAX_TABLE {
            "a name has at most 40 bytes"
        } else if table.contains("__") || table.starts_with("pg_") {
            "names with '__' or beginning with 'pg_' mean something else already"
        } else if tables[..n].contains(table) {
            "it is named twice"
        } else {
            continue;
        };
        return Err(SqlSetupError::BadTable { projection, table, why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(live: bool) -> Tables {
        Tables::new(vec!["balances".to_owned(), "owners".to_owned()], "my \"shop\"", Generation(2), live)
    }

    #[test]
    fn only_names_in_braces_are_replaced() {
        let sql = "INSERT INTO {balances} SELECT '{1,2}', {} FROM {owners} {";
        let live = tables(true).expand(sql).unwrap();
        let place = "\"my \"\"shop\"\"\"";
        assert_eq!(live, format!("INSERT INTO {place}.\"balances\" SELECT '{{1,2}}', {{}} FROM {place}.\"owners\" {{"));
        let built = tables(false).expand("SELECT * FROM {balances}").unwrap();
        assert_eq!(built, format!("SELECT * FROM {place}.\"balances__g2\""));
    }

    #[test]
    fn a_name_that_no_table_has_is_an_error_in_a_statement_and_an_index_in_a_schema() {
        let unknown = tables(true).expand("SELECT * FROM {balance}").unwrap_err().to_string();
        assert!(unknown.contains("{balance}") && unknown.contains("balances, owners"), "{unknown}");
        let index = tables(false).expand_schema("CREATE INDEX {by_cents} ON {owners} (cents)").unwrap();
        assert_eq!(index, "CREATE INDEX \"by_cents__g2\" ON \"my \"\"shop\"\"\".\"owners__g2\" (cents)");
    }

    #[test]
    fn names_that_could_not_stand_beside_others_are_refused() {
        assert!(check("p", &["balances", "_b2"]).is_ok());
        let long = "a123456789012345678901234567890123456789b";
        for bad in ["", "Balances", "2b", "a-b", "a\"b", "a__g2", "pg_class", "ä", long] {
            let refused = check("p", &["ok", bad]).unwrap_err();
            assert!(matches!(refused, SqlSetupError::BadTable { table, .. } if table == bad), "{refused}");
        }
        assert!(check("p", &["a", "a"]).unwrap_err().to_string().contains("twice"));
        assert!(matches!(check("p", &[]), Err(SqlSetupError::NoTables { .. })));
    }
}
