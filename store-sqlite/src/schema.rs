//! What makes a file a store: its application id, its schema version, its identity. Making, recognising, refusing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Utc;
use factum::StoreId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use uuid::Uuid;

use crate::error::OpenError;
use crate::options::{SqliteOptions, Synchronous};

/// "Fact" in ASCII, at byte 68 of the file.
pub(crate) const APPLICATION_ID: i32 = 0x4661_6374;
/// The newest schema that this program knows, and the one that it makes.
pub(crate) const SCHEMA_VERSION: i64 = 1;
/// Older ones have a bug in the write-ahead log that can damage a file.
const OLDEST_SQLITE: i32 = 3_051_003;

/// The smallest page that SQLite knows, and so the smallest database, in bytes.
const SMALLEST_DATABASE: u64 = 512;

/// At how many pages of 4 KiB the log is moved into the file. Four times as many as SQLite has by itself: events of many
/// streams change the same pages of an index again and again, and only the last of each has to be moved
/// (docs/decisions/015).
const LOG_PAGES: i64 = 4_000;

/// A file that was recognised as a store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) id: StoreId,
    pub(crate) file: PathBuf,
    pub(crate) mode: Mode,
}

/// What can be done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything.
    Write,
    /// Reading, beside others that write.
    Read,
    /// Reading where not even SQLite's auxiliary files can be made, and nobody writes.
    Immutable,
}

/// Makes a file a store, or recognises it as one.
pub(crate) fn open(file: &Path, options: &SqliteOptions) -> Result<Opened, OpenError> {
    check_version(rusqlite::version_number())?;
    // Absolute, so that no name has a meaning of its own to SQLite, as ":memory:" has.
    let file = std::path::absolute(file).map_err(|source| OpenError::Io { file: file.to_owned(), source })?;
    let read_only = check_place(&file, options.read_only)?;
    if !read_only && is_new(&file)? {
        create(&file, options)?;
    }
    let mode = if read_only { readable_mode(&file, options)? } else { Mode::Write };
    let found = match inspect(&file, mode, options) {
        // The permissions of the file do not tell that its log cannot be made beside it: it can still be read.
        Err(OpenError::NoPermission { .. }) if mode == Mode::Write && size(&file) > 0 => {
            inspect(&file, readable_mode(&file, options)?, options)
        }
        other => other,
    };
    if let Some(opened) = found? {
        return Ok(opened);
    }
    if size(&file) < SMALLEST_DATABASE {
        // SQLite takes a single byte for nothing at all; whoever left it there may not.
        let found = format!("{} bytes", size(&file));
        return Err(OpenError::Malformed { file, expected: "a database", found, source: None });
    }
    // A database without any table, such as another tool makes of an empty file: as good as new.
    create(&file, options)?;
    let expected = "a store that was just made";
    let nothing = || OpenError::Malformed { file: file.clone(), expected, found: "nothing".to_owned(), source: None };
    inspect(&file, mode, options)?.ok_or_else(nothing)
}

fn check_version(linked: i32) -> Result<(), OpenError> {
    if linked >= OLDEST_SQLITE {
        return Ok(());
    }
    let show = |number: i32| format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000);
    Err(OpenError::OldSqlite { found: show(linked), needed: show(OLDEST_SQLITE) })
}

/// Looks at the place before SQLite does, and says whether the file is only to be read.
///
/// Only by name: opening the file and closing it again would drop the locks that other connections of this process
/// hold on it, as POSIX has it.
fn check_place(file: &Path, read_only: bool) -> Result<bool, OpenError> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            OpenError::NoPermission { file: file.to_owned(), source: Box::new(source) }
        }
        _ => OpenError::Io { file: file.to_owned(), source },
    };
    match std::fs::metadata(file) {
        Ok(found) if found.is_dir() => Err(OpenError::IsDirectory { file: file.to_owned() }),
        Ok(found) => Ok(read_only || found.permissions().readonly()),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            if let Some(directory) = file.parent().filter(|directory| !directory.exists()) {
                return Err(OpenError::NoDirectory { file: file.to_owned(), directory: directory.to_owned() });
            }
            if read_only {
                return Err(OpenError::NoFile { file: file.to_owned() });
            }
            Ok(false)
        }
        Err(other) => Err(io(other)),
    }
}

pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

/// Whether there is nothing yet. An empty file beside a log with content is one that lost its content: SQLite would
/// take it as new and throw the log away.
fn is_new(file: &Path) -> Result<bool, OpenError> {
    if size(file) > 0 {
        return Ok(false);
    }
    let log = size(&beside(file, "-wal"));
    if log > 0 {
        let found = format!("an empty file beside a log of {log} bytes");
        let expected = "the database that its log belongs to";
        return Err(OpenError::Malformed { file: file.to_owned(), expected, found, source: None });
    }
    Ok(true)
}

/// Connects for one kind of use, with the settings that belong to it.
pub(crate) fn connect(file: &Path, mode: Mode, cache_kib: u32, busy: Duration) -> rusqlite::Result<Connection> {
    let conn = match mode {
        Mode::Write => {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
        }
        Mode::Read => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(file, flags)?
        }
        Mode::Immutable => {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(immutable_uri(file), flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?
        }
    };
    conn.busy_timeout(busy)?;
    // A small cache of fixed size and no mapping of the file: memory does not grow with the data.
    conn.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    conn.pragma_update(None, "mmap_size", 0)?;
    conn.set_prepared_statement_cache_capacity(256);
    // Without it SQLite prepares a statement anew whenever other values are bound: half the time of a small read.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

fn immutable_uri(file: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file:");
    for byte in file.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Puts a writing connection into its working state.
pub(crate) fn prepare_writer(conn: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    to_wal(conn, options.busy_timeout)?;
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    // A log that a large commit has blown up is cut back after its next checkpoint.
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.execute_batch(include_str!("sql/projected_tables.sql"))?;
    if let Some(pages) = options.max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    Ok(())
}

/// The change of journal does not wait for locks by itself.
fn to_wal(conn: &Connection, busy: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + busy;
    loop {
        match conn.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Makes an empty file a store. Of several processes one does, and the others find it done.
fn create(file: &Path, options: &SqliteOptions) -> Result<(), OpenError> {
    let failed = |source| OpenError::sqlite(file, source);
    let conn = connect(file, Mode::Write, 2_048, options.busy_timeout).map_err(failed)?;
    // Still with a rollback journal, so that the file itself says what it is from the first moment, and a process
    // that dies here leaves an empty file.
    let transaction = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(failed)?;
    let tables: i64 =
        transaction.query_row(include_str!("sql/count_tables.sql"), [], |row| row.get(0)).map_err(failed)?;
    if tables > 0 {
        return Ok(());
    }
    fill(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    to_wal(&conn, options.busy_timeout).map_err(failed)
}

fn fill(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(include_str!("sql/schema.sql"))?;
    transaction.execute_batch(include_str!("sql/projected_tables.sql"))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    let id = StoreId::generate();
    let now = Utc::now().timestamp_micros();
    transaction.execute(include_str!("sql/insert_meta.sql"), params![&id.as_uuid().as_bytes()[..], now])?;
    Ok(())
}

/// How a file that is not to be written can be read: SQLite wants its auxiliary files even for that, unless nobody can
/// write.
fn readable_mode(file: &Path, options: &SqliteOptions) -> Result<Mode, OpenError> {
    let look = |mode| -> rusqlite::Result<i64> {
        let conn = connect(file, mode, 512, options.busy_timeout)?;
        conn.query_row(include_str!("sql/count_tables.sql"), [], |row| row.get(0))
    };
    let Err(refused) = look(Mode::Read) else {
        return Ok(Mode::Read);
    };
    let auxiliary = matches!(refused.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly));
    if auxiliary && size(&beside(file, "-wal")) == 0 && look(Mode::Immutable).is_ok() {
        return Ok(Mode::Immutable);
    }
    Err(OpenError::sqlite(file, refused))
}

/// Recognises a store by a connection that cannot write: the file may be anybody's. `None` where there is nothing yet.
fn inspect(path: &Path, mode: Mode, options: &SqliteOptions) -> Result<Option<Opened>, OpenError> {
    let file = path.to_owned();
    let failed = |source| OpenError::sqlite(path, source);
    let by = match mode {
        // What a process that died left to be rolled back needs a connection that may write.
        Mode::Write if size(&beside(path, "-journal")) > 0 => Mode::Write,
        Mode::Write => Mode::Read,
        other => other,
    };
    let conn = connect(path, by, 512, options.busy_timeout).map_err(failed)?;
    let pragma = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application = pragma("application_id").map_err(failed)?;
    let tables: i64 = conn.query_row(include_str!("sql/count_tables.sql"), [], |row| row.get(0)).map_err(failed)?;
    if application != i64::from(APPLICATION_ID) {
        if application == 0 && tables == 0 && mode == Mode::Write {
            return Ok(None);
        }
        let (found, tables) = (i32::try_from(application).unwrap_or(-1), u64::try_from(tables).unwrap_or(0));
        return Err(OpenError::Foreign { file, expected: APPLICATION_ID, found, tables });
    }
    let found = pragma("user_version").map_err(failed)?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::Newer { file, known: SCHEMA_VERSION, found });
    }
    let id = read_id(&conn).map_err(|source| malformed(path, source))?;
    let Some(id) = id.filter(|_| found >= 1) else {
        let found = format!("schema version {found} and a store id that is none");
        return Err(OpenError::Malformed { file, expected: "the description of a store", found, source: None });
    };
    conn.prepare(include_str!("sql/head.sql"))
        .and_then(|mut head| head.query([])?.next().map(|_| ()))
        .map_err(|source| malformed(path, source))?;
    drop(conn);
    Ok(Some(Opened { id, file, mode }))
}

fn read_id(conn: &Connection) -> rusqlite::Result<Option<StoreId>> {
    conn.query_row(include_str!("sql/read_meta.sql"), [], |row| {
        let id = row.get_ref(0)?.as_blob().ok().and_then(|bytes| Uuid::from_slice(bytes).ok());
        Ok(id.map(StoreId::from))
    })
}

/// Tables or rows that are missing are damage too, not a failure of SQLite's.
fn malformed(file: &Path, source: rusqlite::Error) -> OpenError {
    match source {
        rusqlite::Error::SqliteFailure(cause, _) if cause.code != ErrorCode::Unknown => OpenError::sqlite(file, source),
        other => OpenError::Malformed {
            file: file.to_owned(),
            expected: "the tables of a store",
            found: other.to_string(),
            source: Some(Box::new(other)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_with_the_wal_bug_is_refused_by_name() {
        assert!(check_version(3_051_003).is_ok());
        assert!(check_version(3_052_000).is_ok());
        let refused = check_version(3_051_002).unwrap_err();
        assert!(matches!(refused, OpenError::OldSqlite { .. }));
        assert!(refused.to_string().contains("3.51.2") && refused.to_string().contains("3.51.3"), "{refused}");
    }

    #[test]
    fn a_uri_says_the_same_name_whatever_is_in_it() {
        assert_eq!(immutable_uri(Path::new("/a b/c?d.db")), "file:/a%20b/c%3Fd.db?immutable=1");
    }
}
