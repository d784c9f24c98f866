//! What user code gets of a transaction: statements, and nothing that could end it.

use std::sync::Arc;

use factum::Fault;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Encode, Postgres, Type};

use crate::error::{explain, fault, is_lost};
use crate::projection::SqlError;
use crate::tables::Tables;

/// The open transaction in which a batch of events is applied and the checkpoint moves.
///
/// Statements are prepared once for each connection. Tables are written in braces.
pub struct SqlTransaction<'c> {
    conn: &'c mut PgConnection,
    tables: Arc<Tables>,
    persistent: bool,
    fault: Option<Fault>,
}

/// A statement with its binds, for [`SqlTransaction::execute`] and its siblings.
#[must_use = "a statement does nothing until it is given to the transaction"]
pub struct SqlQuery {
    sql: &'static str,
    query: Result<Query<'static, Postgres, PgArguments>, SqlError>,
}

impl SqlQuery {
    /// With a value for the next of `$1`, `$2` ...
    pub fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.query = self.query.map(|query| query.bind(value));
        self
    }
}

impl<'c> SqlTransaction<'c> {
    pub(crate) fn new(conn: &'c mut PgConnection, tables: Arc<Tables>, persistent: bool) -> Self {
        Self { conn, tables, persistent, fault: None }
    }

    /// A statement, with every table in braces. What is wrong with it is told when it is run.
    pub fn query(&self, sql: &'static str) -> SqlQuery {
        let allowed = match ends_transaction(sql) {
            Some(word) => Err(SqlError::NotAllowed {
                what: format!("{word}: the transaction is the store's, and ends with the checkpoint"),
            }),
            None => self.tables.expand(sql),
        };
        // A connection keeps what it has prepared by its text, and the tables of another generation may have other columns.
        let allowed = allowed.map(|text| format!("/*{}*/ {text}", self.tables.generation()));
        // What is put into the text of the program are quoted identifiers.
        SqlQuery { sql, query: allowed.map(|text| sqlx::query(AssertSqlSafe(text)).persistent(self.persistent)) }
    }

    /// Runs a statement, and says how many rows it changed.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn execute(&mut self, query: SqlQuery) -> Result<u64, SqlError> {
        let done = query.query?.execute(&mut *self.conn).await;
        done.map(|done| done.rows_affected()).map_err(|error| self.failed(query.sql, error))
    }

    /// Every row of a query.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn fetch_all(&mut self, query: SqlQuery) -> Result<Vec<PgRow>, SqlError> {
        query.query?.fetch_all(&mut *self.conn).await.map_err(|error| self.failed(query.sql, error))
    }

    /// The first row of a query; `None` where there is none.
    ///
    /// # Errors
    /// [`SqlError`].
    pub async fn fetch_optional(&mut self, query: SqlQuery) -> Result<Option<PgRow>, SqlError> {
        query.query?.fetch_optional(&mut *self.conn).await.map_err(|error| self.failed(query.sql, error))
    }

    /// What the tables are called in this generation.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    fn failed(&mut self, sql: &'static str, source: sqlx::Error) -> SqlError {
        if is_of_the_store(&source) {
            let (kind, what) = explain(&source);
            self.fault.get_or_insert_with(|| Fault::new(kind, what));
        }
        SqlError::Postgres { sql: one_line(sql), what: explain(&source).1, source }
    }

    /// What went wrong that is no fault of the projection's.
    pub(crate) fn into_fault(self) -> Option<Fault> {
        self.fault
    }
}

pub(crate) fn one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether an error says something about the server, the connection or the rights, and nothing about the events.
pub(crate) fn is_of_the_store(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(said) = error else {
        return is_lost(error) || matches!(error, sqlx::Error::PoolTimedOut);
    };
    let code = said.code().unwrap_or_default();
    // Connections, resources, operators, the system; rollbacks by the server; a server that only reads; missing rights; locks.
    ["08", "53", "57", "58", "40", "XX"].iter().any(|class| code.starts_with(class))
        || ["25006", "42501", "55P03"].contains(&&*code)
}

/// The fault of an error that is of the store, and what anything else says of the SQL.
pub(crate) fn sort(error: sqlx::Error) -> Result<String, Fault> {
    if is_of_the_store(&error) { Err(fault(error)) } else { Ok(explain(&error).1) }
}

/// The word by which a statement would begin, end or change the transaction.
fn ends_transaction(sql: &str) -> Option<&'static str> {
    const WORDS: [&str; 11] =
        ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE", "SET", "RESET"];
    let mut rest = sql.trim_start();
    // A comment before it hides no word: in this protocol one text is one statement.
    while let Some(after) = comment(rest) {
        rest = after.trim_start();
    }
    let first: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
    WORDS.into_iter().find(|word| word.eq_ignore_ascii_case(&first))
}

/// What follows the comment at the beginning of a text.
fn comment(text: &str) -> Option<&str> {
    if let Some(line) = text.strip_prefix("--") {
        return Some(line.split_once('\n').map_or("", |(_, after)| after));
    }
    let mut depth = 0u32;
    let mut rest = text;
    loop {
        if let Some(after) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, after);
        } else if depth == 0 {
            return None;
        } else if let Some(after) = rest.strip_prefix("*/") {
            depth -= 1;
            rest = after;
            if depth == 0 {
                return Some(rest);
            }
        } else {
            let mut chars = rest.chars();
            chars.next()?;
            rest = chars.as_str();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_transaction_is_found_whatever_stands_before_it() {
        for sql in ["COMMIT", " commit ;", "-- a\n-- b\nRollback TO x", "/* a /* b */ c */ end", "/**/savepoint x"] {
            assert!(ends_transaction(sql).is_some(), "{sql}");
        }
        for sql in ["INSERT INTO {a} VALUES ('COMMIT')", "SELECT 1 -- COMMIT", "/* COMMIT", "committed()", "", "--"] {
            assert_eq!(ends_transaction(sql), None, "{sql}");
        }
    }
}
