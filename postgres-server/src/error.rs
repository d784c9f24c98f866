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
}

fn package(program: &str) -> &str {
    if program == "pgbouncer" { program } else { "postgresql" }
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}
