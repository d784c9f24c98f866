//! What goes wrong, as one line that says what to do.

use std::io;
use std::path::PathBuf;

use factum::{AppendError, CloseError, EncodeError, ExecuteError, InputError, LoadError, ReadError};
use factum_ops::one_line;
use factum_postgres::ConnectError;
use factum_projections::{DocumentError, ProjectorError, ReplayError};
use factum_sqlite::OpenError;
use thiserror::Error;

use crate::account::Refusal;
use crate::ledger::LedgerError;
use crate::money::MoneyError;

/// Why a command of the command line failed.
#[derive(Debug, Error)]
pub(crate) enum BankError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    OpenStore(#[from] Box<OpenError>),
    #[error(transparent)]
    Connect(#[from] Box<ConnectError>),
    #[error("there is no bank at {}; import a ledger or open an account first, or name another with --store", file.display())]
    NoBank { file: PathBuf },
    #[error(
        "there is no bank in this database; import a ledger or open an account first, or name another with --store"
    )]
    NoBankInDatabase,
    #[error(
        "the bank in this database is of an older release; a command that writes, such as `import`, brings it up to date"
    )]
    OldBank,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("refused: {reason}")]
    Refused { reason: String },
    #[error(transparent)]
    Execute(Box<ExecuteError<Refusal>>),
    #[error("line {line}: {source}")]
    Row { line: u64, source: Box<ExecuteError<Refusal>> },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Projector(#[from] Box<ProjectorError>),
    #[error(transparent)]
    Replay(#[from] Box<ReplayError>),
    #[error(transparent)]
    Documents(#[from] Box<DocumentError>),
    #[error("there is no account {id:?}; open it, or look for its id with `balances`")]
    UnknownAccount { id: String },
    #[error("account {id} had no event yet {when}; its first is of {first}")]
    BeforeFirst { id: String, when: String, first: String },
    #[error("account {id} has no version {version}; its last is {last}")]
    NoSuchVersion { id: String, version: u64, last: u64 },
    #[error("{text:?} is not a day; write YYYY-MM-DD, such as 1993-06-30")]
    NoDay { text: String },
    #[error("interrupted; import the ledger again to go on: what was booked is not booked again")]
    Interrupted,
    #[error("{} cannot be read: {source}; give a file with one command per line, or - for standard input", file.display())]
    Script { file: PathBuf, source: io::Error },
    #[error("account {id} was closed, and generated transactions would go to it; generate into another store")]
    GeneratedClosed { id: String },
    #[error("run cannot run {}; put its commands here", file.display())]
    RunInRun { file: PathBuf },
    #[error("a quote is not closed")]
    Quote,
    #[error("{what}; `--help` lists the commands and what they take")]
    Usage { what: String },
    #[error("{failed} of {commands} commands failed; see above")]
    CommandsFailed { failed: u64, commands: u64 },
    #[error("the output could not be written: {0}")]
    Output(#[from] io::Error),
    #[error("the output could not be encoded: {0}")]
    Json(#[from] serde_json::Error),
    #[error("no room for a temporary file: {0}; set TMPDIR to a directory that can be written")]
    Temporary(#[source] io::Error),
    #[error(transparent)]
    Close(#[from] CloseError),
    #[error("the program failed within: {0}; please report it")]
    Internal(String),
}

impl From<ExecuteError<Refusal>> for BankError {
    fn from(error: ExecuteError<Refusal>) -> Self {
        match error {
            ExecuteError::Refused(refusal) => Self::Refused { reason: refusal.to_string() },
            other => Self::Execute(Box::new(other)),
        }
    }
}

impl From<ProjectorError> for BankError {
    fn from(error: ProjectorError) -> Self {
        Self::Projector(Box::new(error))
    }
}

impl From<DocumentError> for BankError {
    fn from(error: DocumentError) -> Self {
        Self::Documents(Box::new(error))
    }
}

impl From<ReplayError> for BankError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(Box::new(error))
    }
}

impl BankError {
    /// Whether whoever reads the output has gone away, which is no failure (`bank-account balances | head`).
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// All that it says and that its causes add, in one line.
    pub(crate) fn line(&self) -> String {
        one_line(self)
    }
}
