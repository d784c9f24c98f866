//! Why a file could not be opened or copied, and what SQLite's errors mean to callers of the ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use factum::{Fault, FaultKind};
use rusqlite::ErrorCode;
use thiserror::Error;

use crate::job::Trouble;

/// Why a file could not be opened as a store. Nothing was changed in it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is a directory where the file should be.
    #[error("{} is a directory; name a file in it", file.display())]
    IsDirectory {
        /// The file that was asked for.
        file: PathBuf,
    },
    /// The directory in which the file should be does not exist.
    #[error("{} cannot be made: its directory {} does not exist; create it first", file.display(), directory.display())]
    NoDirectory {
        /// The file that was asked for.
        file: PathBuf,
        /// The directory that is missing.
        directory: PathBuf,
    },
    /// The file does not exist, and was to be opened for reading only.
    #[error("{} does not exist; open it for writing once, so that it is made", file.display())]
    NoFile {
        /// The file that was asked for.
        file: PathBuf,
    },
    /// The operating system does not let this process use the file.
    #[error("{} may not be opened by this process: {source}; change its permissions or its owner", file.display())]
    NoPermission {
        /// The file that was asked for.
        file: PathBuf,
        /// What the operating system or SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is a database, of another program.
    #[error(
        "{} belongs to another program: it has {tables} tables and the application id {found:#010x}, a store has \
         {expected:#010x}; name another file",
        file.display()
    )]
    Foreign {
        /// The file that was asked for.
        file: PathBuf,
        /// The application id of a store.
        expected: i32,
        /// The application id that the file has.
        found: i32,
        /// How many tables, indexes and so on it holds.
        tables: u64,
    },
    /// The file was written by a newer release.
    #[error(
        "{} has schema version {found} and this program knows up to {known}; use a newer release",
        file.display()
    )]
    Newer {
        /// The file that was asked for.
        file: PathBuf,
        /// The newest schema version that this program knows.
        known: i64,
        /// The schema version that the file has.
        found: i64,
    },
    /// The file is not a database, was cut short, or lacks what a store holds.
    #[error("{} is not a whole store: expected {expected}, found {found}; restore it from a backup", file.display())]
    Malformed {
        /// The file that was asked for.
        file: PathBuf,
        /// What should have been there.
        expected: &'static str,
        /// What is.
        found: String,
        /// What SQLite said, where it was SQLite that noticed.
        #[source]
        source: Option<Box<rusqlite::Error>>,
    },
    /// The program is linked with a version of SQLite that can damage files.
    #[error("SQLite {found} can damage a write-ahead log; link {needed} or newer (the bundled one is)")]
    OldSqlite {
        /// The version that is linked.
        found: String,
        /// The oldest version that is taken.
        needed: String,
    },
    /// Other processes kept the file locked for longer than the busy timeout.
    #[error("{} was locked by another process for longer than the busy timeout; try again", file.display())]
    Busy {
        /// The file that was asked for.
        file: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<rusqlite::Error>,
    },
    /// SQLite failed in another way.
    #[error("{} could not be opened: {source}", file.display())]
    Sqlite {
        /// The file that was asked for.
        file: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<rusqlite::Error>,
    },
    /// The operating system failed in another way.
    #[error("{} could not be opened: {source}", file.display())]
    Io {
        /// The file that was asked for.
        file: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

impl OpenError {
    /// What an error of SQLite's means while a file is being opened.
    pub(crate) fn sqlite(file: &Path, source: rusqlite::Error) -> Self {
        let file = file.to_owned();
        let source = Box::new(source);
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                let found = "something that is not a database".to_owned();
                Self::Malformed { file, expected: "an SQLite database", found, source: Some(source) }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                let found = "a damaged or truncated one".to_owned();
                Self::Malformed { file, expected: "a whole SQLite database", found, source: Some(source) }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { file, source },
            Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen | ErrorCode::ReadOnly) => {
                Self::NoPermission { file, source }
            }
            _ => Self::Sqlite { file, source },
        }
    }
}

/// Why a copy was not made. There is no half of one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something where the copy should be.
    #[error("{} exists already; name a file that does not", file.display())]
    Exists {
        /// The file that was to be made.
        file: PathBuf,
    },
    /// The copy could not be written.
    #[error("the copy {} could not be written: {source}", file.display())]
    Io {
        /// The file that was to be made.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed while it copied.
    #[error("the copy {} could not be made: {source}", file.display())]
    Sqlite {
        /// The file that was to be made.
        file: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<rusqlite::Error>,
    },
    /// The store is closed.
    #[error("the copy was not made: {0}")]
    Fault(#[from] Fault),
}

/// What kind of trouble an error of SQLite's is.
fn kind(error: &rusqlite::Error) -> FaultKind {
    if let rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..) = error {
        return FaultKind::Corrupt;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => FaultKind::Unavailable,
        Some(ErrorCode::DiskFull) => FaultKind::Full,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => FaultKind::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => FaultKind::Corrupt,
        _ => FaultKind::Other,
    }
}

fn describe(file: &Path, doing: &str, error: &rusqlite::Error) -> (FaultKind, String) {
    let kind = kind(error);
    let remedy = match kind {
        FaultKind::Unavailable => "another process holds its lock; try again",
        FaultKind::Full => "there is no room left; make some and try again",
        FaultKind::ReadOnly => "it can be read, not written; change its permissions",
        FaultKind::Corrupt => "it is damaged; restore it from a backup",
        _ => "see the cause",
    };
    (kind, format!("{doing} {}: {error}: {remedy}", file.display()))
}

/// An error of SQLite's as a caller of a port sees it.
pub(crate) fn fault(file: &Path, doing: &str, error: rusqlite::Error) -> Fault {
    let (kind, what) = describe(file, doing, &error);
    Fault::caused(kind, what, error)
}

/// An error of SQLite's as each of those sees it whose writes were in one transaction.
pub(crate) fn trouble(file: &Path, error: rusqlite::Error, unknown: bool) -> Trouble {
    let (kind, what) = describe(file, "writing to", &error);
    Trouble { kind, what, source: Arc::new(error), unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)
    }

    #[test]
    fn a_caller_can_tell_busy_full_read_only_and_corrupt_apart() {
        use rusqlite::ffi;
        let kinds = [
            (ffi::SQLITE_BUSY, FaultKind::Unavailable),
            (ffi::SQLITE_FULL, FaultKind::Full),
            (ffi::SQLITE_READONLY, FaultKind::ReadOnly),
            (ffi::SQLITE_CORRUPT, FaultKind::Corrupt),
            (ffi::SQLITE_IOERR, FaultKind::Other),
        ];
        for (code, expected) in kinds {
            let fault = fault(Path::new("bank.db"), "writing to", sqlite(code));
            assert_eq!(fault.kind(), expected);
            assert!(fault.to_string().contains("bank.db"), "{fault}");
        }
    }
}
