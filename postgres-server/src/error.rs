//! What can go wrong, with what to do about it.

use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no server, or no database on it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A program is not on this machine.
    #[error(
        "{program} was not found in {}; install it (`apt-get install {package}`, `dnf install {package}-server`, \
         `brew install {package}`), put it into PATH, or name a running server in FACTUM_TEST_POSTGRES_URL",
        list(searched), package = package(program)
    )]
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// The folders that do not hold it.
        searched: Vec<PathBuf>,
    },
    /// Postgres does not run as root, and there is nobody else to run it as.
    #[error("Postgres does not run as root, and /etc/passwd has neither `postgres` nor `nobody`; add one of them")]
    NoAccount,
    /// No temporary folder can be used.
    #[error(
        "none of {} can hold a server: it must exist, be reachable by the account that the server runs as, and have \
         a path short enough for a socket in it; set TMPDIR to such a folder",
        list(tried)
    )]
    NoFolder {
        /// Where it was tried.
        tried: Vec<PathBuf>,
    },
    /// The operating system refused something.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// One of Postgres' programs failed.
    #[error("{} failed ({status}): {output}", program.display())]
    Failed {
        /// Which one.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it printed, and the end of the server's log.
        output: String,
    },
    /// The environment names a server in a way that is not understood. The URL is not shown, it may hold a password.
    #[error("FACTUM_TEST_POSTGRES_URL is no URL of a Postgres server such as postgres://me@host/postgres: {what}")]
    Url {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server refused a statement, or cannot be reached.
    #[cfg(feature = "databases")]
    #[error("{doing} on the Postgres server failed")]
    Sql {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        source: sqlx::Error,
    },
    /// A template could not be prepared.
    #[cfg(feature = "databases")]
    #[error("the template database `{name}` could not be prepared")]
    Template {
        /// Which one.
        name: String,
        /// What the caller's own function said.
        source: Cause,
    },
    /// Only a server that was started here can be stopped here.
    #[error("the server is the one of FACTUM_TEST_POSTGRES_URL, and is not ours to {what}; unset the variable")]
    NotOurs {
        /// What was asked for.
        what: &'static str,
    },
}

impl ServerError {
    /// Whether all that is missing is an installation.
    #[must_use]
    pub fn is_not_installed(&self) -> bool {
        matches!(self, Self::NotInstalled { .. })
    }

    /// Whether a test that can do nothing without it may be skipped.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::NotInstalled { .. } | Self::NotOurs { .. })
    }

    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }

    #[cfg(feature = "databases")]
    pub(crate) fn sql(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Sql { doing, source }
    }
}

/// An error of the caller's, of whatever type, handed back.
#[cfg(feature = "databases")]
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Cause(Box<dyn std::error::Error + Send + Sync>);

#[cfg(feature = "databases")]
impl Cause {
    pub(crate) fn of(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

fn package(program: &str) -> &str {
    if program == "pgbouncer" { program } else { "postgresql" }
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}
