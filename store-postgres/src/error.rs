//! Why a store could not be connected to, and what PostgreSQL's errors mean to callers of the ports.

use factum::{Fault, FaultKind};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSeverity};
use thiserror::Error;

/// Why a store could not be connected to, set up or checked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be understood. It is not shown, since it may hold a password.
    #[error("the URL of the database cannot be understood: {source}; write postgres://user@host:5432/database")]
    Url {
        /// What is wrong with it.
        #[source]
        source: Box<sqlx::Error>,
    },
    /// The name of the schema cannot be one.
    #[error("{schema:?} cannot be the schema of a store: 1 to 63 bytes, no NUL, not one of the server's own")]
    Schema {
        /// The name that was asked for.
        schema: String,
    },
    /// The server could not be reached, or refused the connection.
    #[error("the database could not be connected to: {0}")]
    Unreachable(#[source] Fault),
    /// There is no store, or an older one than this release needs.
    #[error(
        "the store in schema {schema} is at migration {found} and this release needs {needed}; run its migrations \
         (PostgresOptions::migrate) with a role that may change tables"
    )]
    NotMigrated {
        /// The schema.
        schema: String,
        /// The migration that it is at; 0 where there is no store.
        found: i32,
        /// The one that is needed.
        needed: i32,
    },
    /// The store was migrated by a newer release, which this one cannot work with.
    #[error(
        "the store in schema {schema} needs a release that knows migration {needed}, and this one knows {known}; upgrade it"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// The newest migration that this release knows.
        known: i32,
        /// The migration that a release must know to use it.
        needed: i32,
    },
    /// The server is a read replica, and the store was not to be opened for reading only.
    #[error("the server is a read replica, where nothing can be appended; connect to the primary, or with read_only()")]
    Replica,
    /// The name of a role cannot be one.
    #[error(
        "{role:?} cannot be a role: at most 63 bytes, no NUL, not beginning with pg_; choose a shorter role_prefix"
    )]
    Role {
        /// The name that it would have.
        role: String,
    },
    /// The database does not store texts as UTF-8.
    #[error("the database has the encoding {encoding}; create it with ENCODING 'UTF8'")]
    Encoding {
        /// The encoding that it has.
        encoding: String,
    },
    /// A migration failed; nothing was changed.
    #[error("migration {number} ({name}) of schema {schema} failed: {source}")]
    Migration {
        /// The schema.
        schema: String,
        /// The number of the migration.
        number: i32,
        /// What it is called.
        name: &'static str,
        /// What the server said.
        #[source]
        source: Fault,
    },
    /// The server failed in another way.
    #[error("the store could not be connected to: {0}")]
    Fault(#[from] Fault),
}

/// What an error of the driver means.
pub(crate) fn fault(error: sqlx::Error) -> Fault {
    let (kind, what) = explain(&error);
    // What the driver puts around these says the same once more.
    match error {
        sqlx::Error::Io(source) => Fault::caused(kind, what, source),
        sqlx::Error::Database(said) => match said.try_downcast::<PgDatabaseError>() {
            Ok(said) => Fault::caused(kind, what, *said),
            Err(said) => Fault::caused(kind, what, sqlx::Error::Database(said)),
        },
        other => Fault::caused(kind, what, other),
    }
}

/// Why there is no connection to begin with.
pub(crate) fn unreachable(to: &PgConnectOptions, error: sqlx::Error) -> ConnectError {
    let sqlx::Error::Io(source) = error else { return ConnectError::Unreachable(fault(error)) };
    let port = to.get_port();
    let place = match to.get_socket() {
        Some(folder) => folder.join(format!(".s.PGSQL.{port}")).display().to_string(),
        None if to.get_host().starts_with('/') => format!("{}/.s.PGSQL.{port}", to.get_host()),
        None => format!("{}:{port}", to.get_host()),
    };
    let what = format!(
        "no server answers at {place}: {source}; see that it runs there and takes connections, or correct host and port \
         in the URL"
    );
    ConnectError::Unreachable(Fault::caused(FaultKind::Unavailable, what, source))
}

/// A fault for each of several callers of what failed once: the error itself goes to the first.
pub(crate) fn explain(error: &sqlx::Error) -> (FaultKind, String) {
    match error {
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            let (kind, remedy) = by_code(&code);
            let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            (kind, format!("{} (SQLSTATE {code}){remedy}", said.message()))
        }
        sqlx::Error::Io(source) => {
            (FaultKind::Unavailable, format!("the connection to the database was lost: {source}"))
        }
        sqlx::Error::Tls(source) => (FaultKind::Unavailable, format!("no TLS connection: {source}")),
        sqlx::Error::PoolTimedOut => (
            FaultKind::Unavailable,
            "no connection to the database could be had in time: the server is away, or all are in use; then allow more, \
             or fewer callers at once"
                .to_owned(),
        ),
        sqlx::Error::PoolClosed => (FaultKind::Closed, "the store is closed".to_owned()),
        sqlx::Error::Protocol(what) => {
            (FaultKind::Unavailable, format!("the conversation with the database broke: {what}"))
        }
        sqlx::Error::WorkerCrashed => (FaultKind::Unavailable, "the driver of the database broke".to_owned()),
        other => (FaultKind::Other, other.to_string()),
    }
}

/// By SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn by_code(code: &str) -> (FaultKind, Option<&'static str>) {
    match code {
        "3D000" => (FaultKind::Other, Some("create the database, or connect to another")),
        "28000" | "28P01" => (FaultKind::Other, Some("look at the user, its password and the server's pg_hba.conf")),
        "53100" => (FaultKind::Full, Some("make room on the server's disk")),
        "25006" => (FaultKind::ReadOnly, Some("this server takes no writes; connect to the primary")),
        "42501" => (FaultKind::ReadOnly, Some("grant it to the role, or connect with another")),
        "3F000" | "42P01" | "42883" | "42703" => (FaultKind::Other, Some("run the migrations of this release")),
        "XX001" | "XX002" | "23505" => {
            (FaultKind::Corrupt, Some("look at the server's log, and at what else writes here"))
        }
        "57014" => (FaultKind::Unavailable, Some("it took longer than the statement timeout, or was cancelled")),
        "25P03" | "25P04" | "57P05" => (FaultKind::Unavailable, Some("the transaction was left alone for too long")),
        "55P03" => (FaultKind::Unavailable, Some("somebody holds the lock for long; see pg_locks")),
        "FA001" => (FaultKind::Other, Some("append in READ COMMITTED")),
        _ if ["08", "53", "57", "40", "58"].iter().any(|class| code.starts_with(class)) => {
            (FaultKind::Unavailable, None)
        }
        _ => (FaultKind::Other, None),
    }
}

/// Whether the connection is gone, so that nobody knows what became of the last statement on it.
///
/// A FATAL or PANIC says so whatever its code: a server that cannot write its log to a full disk says `53100`, and what it had
/// written of a commit may yet count when it recovers.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            let ended = said
                .try_downcast_ref::<PgDatabaseError>()
                .is_some_and(|said| matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic));
            let goes = code.starts_with("08") || ["57P01", "57P02", "57P03", "57P05"].contains(&&*code);
            goes || (ended && !is_refusal(&code))
        }
        _ => false,
    }
}

/// What is only said to who connects: wrong password, no such database, too many connections.
fn is_refusal(code: &str) -> bool {
    code.starts_with("28") || code.starts_with("3D") || code == "53300"
}

/// Whether connecting may go well in a moment: the server is down, begins, ends, or has no connection left.
pub(crate) fn may_pass(error: &sqlx::Error) -> bool {
    let full = |said: &dyn DatabaseError| said.code().is_some_and(|code| code == "53300");
    is_lost(error) || matches!(error, sqlx::Error::Database(said) if full(&**said))
}

/// Whether another connection may do better: this server takes no writes, and the primary may be elsewhere by now.
pub(crate) fn is_elsewhere(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(said) if said.code().is_some_and(|code| code == "25006"))
}

/// Whether the server would not have an event at the place that it was offered for it, and recorded nothing: `Some(true)` where it
/// never would, for want of a right or for a rule of its owner's.
pub(crate) fn refuses_place(error: &sqlx::Error) -> Option<bool> {
    let sqlx::Error::Database(said) = error else { return None };
    match &*said.code()? {
        "23505" => Some(false),
        "42501" | "42P10" | "0A000" => Some(true),
        _ => None,
    }
}

/// The server did not answer in time.
pub(crate) fn silent() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "the server did not answer in time"))
}

/// Whether the server was waited for in vain: then it is not waited for again. Where the system says so of a connection, another
/// one may do.
pub(crate) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error)
        if error.kind() == std::io::ErrorKind::TimedOut && error.raw_os_error().is_none())
}
