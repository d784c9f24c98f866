//! What user code gets of a connection: statements, and nothing that could end a transaction.

use std::cell::RefCell;

use factum::{Cursor, ProjectionName, ProjectionVersion};
use rusqlite::{CachedStatement, Connection, ErrorCode, Params, Row};

use crate::gate::Gate;
use crate::projection::SqlError;
use crate::read_models_read as read;
use crate::tables::Tables;

/// The open transaction in which a batch of events is applied and the checkpoint moves.
///
/// Statements are prepared once and kept. Tables are written in braces.
pub struct SqlTransaction<'c> {
    conn: &'c Connection,
    gate: &'c Gate,
    tables: &'c Tables,
    /// Sets the statements of one generation apart from those of others, so that none is used where it is not allowed.
    mark: String,
    fault: RefCell<Option<rusqlite::Error>>,
}

impl<'c> SqlTransaction<'c> {
    pub(crate) fn new(conn: &'c Connection, gate: &'c Gate, tables: &'c Tables, generation: i64) -> Self {
        Self { conn, gate, tables, mark: format!("/*{generation}*/"), fault: RefCell::new(None) }
    }

    /// Runs a statement that gives no rows, and says how many it changed.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn execute(&self, sql: &str, params: impl Params) -> Result<usize, SqlError> {
        self.prepared(sql, |statement| statement.execute(params))
    }

    /// The first row of a query; `None` where there is none.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn query_one<T>(
        &self,
        sql: &str,
        params: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, SqlError> {
        self.prepared(sql, |statement| statement.query(params)?.next()?.map(row).transpose())
    }

    /// Every row of a query.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, SqlError> {
        self.prepared(sql, |statement| statement.query_map(params, row)?.collect())
    }

    /// What the tables are called in this generation.
    pub fn tables(&self) -> &Tables {
        self.tables
    }

    fn prepared<T>(
        &self,
        sql: &str,
        run: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        let expanded = self.tables.expand(sql)?;
        let statement = self.conn.prepare_cached(&format!("{}{expanded}", self.mark));
        statement.and_then(|mut statement| run(&mut statement)).map_err(|error| self.failed(sql, error))
    }

    fn failed(&self, sql: &str, error: rusqlite::Error) -> SqlError {
        let (told, kept) = if is_of_the_store(&error) { (copy(&error), Some(error)) } else { (error, None) };
        if let Some(kept) = kept {
            self.fault.borrow_mut().get_or_insert(kept);
        }
        sql_error(self.gate, sql, told)
    }

    /// What went wrong that is no fault of the projection's.
    pub(crate) fn fault(&self) -> Option<rusqlite::Error> {
        self.fault.borrow_mut().take()
    }
}

/// One moment of the file, for queries.
pub struct SqlReader<'c> {
    conn: &'c Connection,
    gate: &'c Gate,
}

impl<'c> SqlReader<'c> {
    pub(crate) fn new(conn: &'c Connection, gate: &'c Gate) -> Self {
        Self { conn, gate }
    }

    /// The first row of a query; `None` where there is none.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn query_one<T>(
        &self,
        sql: &str,
        params: impl Params,
        row: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, SqlError> {
        self.prepared(sql, |statement| statement.query(params)?.next()?.map(row).transpose())
    }

    /// Every row of a query.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn query<T>(
        &self,
        sql: &str,
        params: impl Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, SqlError> {
        self.prepared(sql, |statement| statement.query_map(params, row)?.collect())
    }

    /// How far the live tables of a projection's version are at this moment; `None` where it has none.
    ///
    /// # Errors
    /// [`SqlError`].
    pub fn checkpoint(&self, projection: &str, version: u32) -> Result<Option<Cursor>, SqlError> {
        let name = ProjectionName::new(projection).map_err(|refused| SqlError::refused(refused.to_string()))?;
        let reached = read::live(self.conn, &name, ProjectionVersion(version))
            .and_then(|live| live.map(|(id, _)| read::reached(self.conn, id)).transpose());
        reached.map_err(|source| SqlError::Sqlite { sql: "the checkpoint".to_owned(), source })
    }

    fn prepared<T>(
        &self,
        sql: &str,
        run: impl FnOnce(&mut CachedStatement<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        let statement = {
            let _closed = self.gate.to_queries();
            self.conn.prepare_cached(sql)
        };
        statement.and_then(|mut statement| run(&mut statement)).map_err(|error| sql_error(self.gate, sql, error))
    }
}

/// What a user is told of an error of SQLite's: without values, which SQLite does not name.
pub(crate) fn sql_error(gate: &Gate, sql: &str, source: rusqlite::Error) -> SqlError {
    // A function that is refused has another code than a table.
    if let Some(what) = gate.denied() {
        return SqlError::NotAllowed { what };
    }
    SqlError::Sqlite { sql: sql.split_whitespace().collect::<Vec<_>>().join(" "), source }
}

/// Whether an error says something about the file, the disk or the machine, and nothing about the SQL.
pub(crate) fn is_of_the_store(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::ReadOnly
                | ErrorCode::OperationInterrupted
                | ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::DiskFull
                | ErrorCode::CannotOpen
                | ErrorCode::NotADatabase
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

fn copy(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, what) => rusqlite::Error::SqliteFailure(*code, what.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}
