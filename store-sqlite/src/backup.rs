//! Copies of a store that is in use.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::error::BackupError;
use crate::job::Failed;
use crate::store::SqliteStore;

impl SqliteStore {
    /// Makes a copy of the file, as it was at one moment, while it is in use. Writers are not held up; one of the
    /// reading threads is busy for as long as it takes.
    ///
    /// The copy is a store of its own with the same identity. It appears under its name only when it is whole and on
    /// disk. What a restore does to read models is said in `docs/backup.md`.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// use factum::EventStore;
    /// use factum_sqlite::SqliteStore;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let directory = directory.path();
    /// let store = SqliteStore::open(directory.join("bank.db"))?;
    /// store.backup_to(directory.join("bank-2026-11-21.db")).await?;
    /// let copy = SqliteStore::open(directory.join("bank-2026-11-21.db"))?;
    /// assert_eq!(copy.id(), store.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BackupError`]; then there is no copy, and what was there is as it was.
    pub async fn backup_to(&self, file: impl AsRef<Path>) -> Result<(), BackupError> {
        let file = file.as_ref();
        let io = |source| BackupError::Io { file: file.to_owned(), source };
        let file = std::path::absolute(file).map_err(io)?;
        self.readers.read(move |conn| copy(conn, &file).map_err(Failed::Answer)).await
    }
}

fn copy(conn: &Connection, file: &Path) -> Result<(), BackupError> {
    let io = |source| BackupError::Io { file: file.to_owned(), source };
    if file.try_exists().map_err(io)? {
        return Err(BackupError::Exists { file: file.to_owned() });
    }
    let part = part(file);
    let made =
        write(conn, &part).map_err(|source| BackupError::Sqlite { file: file.to_owned(), source: Box::new(source) });
    let made = made.and_then(|()| publish(&part, file).map_err(io));
    if made.is_err() {
        // Best effort: what matters is that nothing half-written has the name of a copy.
        let _ = std::fs::remove_file(&part);
    }
    made
}

/// A name beside it that no other copy uses.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}.part", uuid::Uuid::now_v7()));
    PathBuf::from(name)
}

/// Rows, not pages: one statement reads as of one moment however long it takes, and pages that are free are left out.
fn write(conn: &Connection, part: &Path) -> rusqlite::Result<()> {
    let name = part.to_str().ok_or(rusqlite::Error::InvalidPath(part.to_owned()))?;
    conn.execute(include_str!("sql/backup.sql"), [name])?;
    Ok(())
}

fn publish(part: &Path, file: &Path) -> std::io::Result<()> {
    std::fs::File::open(part)?.sync_all()?;
    // A link, unlike a rename, replaces nothing that came to be there in the meantime.
    match std::fs::hard_link(part, file) {
        Ok(()) => std::fs::remove_file(part)?,
        Err(exists) if exists.kind() == std::io::ErrorKind::AlreadyExists => return Err(exists),
        Err(_) => std::fs::rename(part, file)?,
    }
    match file.parent() {
        Some(directory) => std::fs::File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/backup.md")]
struct BackupPage;
