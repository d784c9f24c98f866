//! The exchange of the tables of two generations, and what becomes of those of a dropped one.

use factum::Generation;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::job::Failed;
use crate::projection_write::names;
use crate::tables::{aside, quoted};
use crate::transaction::is_of_the_store;

/// A generation, by its row and its number.
pub(crate) type Numbered = (i64, Generation);

/// Gives the plain names from the tables of one generation to those of another.
///
/// Views and triggers go on to mean the plain names, and so the new tables; foreign keys between tables of one
/// generation stay between them.
///
/// # Errors
/// Why it cannot be; then some may be renamed, and all is to be undone.
pub(crate) fn exchange(conn: &Connection, old: Numbered, new: Numbered) -> Result<(), Failed<String>> {
    let (old_names, new_names) = (names(conn, old.0)?, names(conn, new.0)?);
    if old_names.is_empty() && new_names.is_empty() {
        return Ok(());
    }
    not_referred(conn, &old_names)?;
    // Otherwise SQLite would rewrite views to go on to mean the old tables, and refuse where a view means none.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, true)?;
    let renamed = rename_all(conn, old, &old_names, new, &new_names);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false)?;
    renamed
}

/// Takes the plain names from the tables of a generation that is taken out of service.
///
/// # Errors
/// Why it cannot be; then some may be renamed, and all is to be undone.
pub(crate) fn set_aside(conn: &Connection, old: Numbered) -> Result<(), Failed<String>> {
    let names = names(conn, old.0)?;
    if names.is_empty() {
        return Ok(());
    }
    not_referred(conn, &names)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, true)?;
    let renamed = rename_all(conn, old, &names, old, &[]);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_LEGACY_ALTER_TABLE, false)?;
    renamed
}

fn rename_all(
    conn: &Connection,
    old: Numbered,
    old_names: &[String],
    new: Numbered,
    new_names: &[String],
) -> Result<(), Failed<String>> {
    for name in old_names {
        rename(conn, name, &aside(name, old.1))?;
    }
    for name in new_names {
        rename(conn, &aside(name, new.1), name)?;
    }
    Ok(())
}

fn rename(conn: &Connection, from: &str, to: &str) -> Result<(), Failed<String>> {
    let renamed = conn.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quoted(from), quoted(to)));
    renamed.map_err(|error| match is_of_the_store(&error) {
        true => Failed::Sqlite(error),
        false => Failed::Answer(format!("its table {from} cannot be renamed to {to}: {error}")),
    })
}

/// A foreign key from elsewhere would go on to mean the old table, and end with it.
fn not_referred(conn: &Connection, tables: &[String]) -> Result<(), Failed<String>> {
    let mut referring = conn.prepare_cached(include_str!("sql/referring_tables.sql"))?;
    for name in tables {
        let found: Vec<String> = referring.query_map([name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if let Some(other) = found.iter().find(|other| !tables.contains(other)) {
            let why = format!(
                "the table {other} has a foreign key to {name}, which would go on to mean the old one; remove that key"
            );
            return Err(Failed::Answer(why));
        }
    }
    Ok(())
}

/// Drops the tables of a dropped generation, in a transaction of its own.
pub(crate) fn drop_tables(conn: &Connection, generation: i64) -> rusqlite::Result<()> {
    // Their foreign keys go with them, in whatever order.
    conn.pragma_update(None, "foreign_keys", false)?;
    let dropped = drop_all(conn, generation);
    conn.pragma_update(None, "foreign_keys", true)?;
    dropped
}

fn drop_all(conn: &Connection, generation: i64) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    let number: i64 = transaction.query_row(include_str!("sql/number_of.sql"), [generation], |row| row.get(0))?;
    let number = Generation(u64::try_from(number).unwrap_or(0));
    for name in names(&transaction, generation)? {
        transaction.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&aside(&name, number))))?;
    }
    transaction.execute(include_str!("sql/forget_tables.sql"), params![generation])?;
    transaction.commit()
}
