//! Running a command and saying what came of it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use factum_projections::{DocumentError, GenerationsError, Projector, ProjectorError, VerifyError};
use thiserror::Error;

use crate::args::OpsCommand;
use crate::console::Console;
use crate::doctor::doctor;
use crate::generations::generations;
use crate::read_model::read_model;
use crate::replay::replay;
use crate::report::one_line;
use crate::resume::resume;
use crate::status::status;
use crate::verify::verify;
use crate::work::work;

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
pub(crate) enum OpsError {
    #[error(transparent)]
    Projector(#[from] Box<ProjectorError>),
    #[error(transparent)]
    Generations(#[from] Box<GenerationsError>),
    #[error(transparent)]
    Verify(#[from] Box<VerifyError>),
    #[error(transparent)]
    Documents(#[from] Box<DocumentError>),
    #[error("{projection} has no document {key:?} {when}")]
    NoDocument { projection: String, key: String, when: String },
    #[error(transparent)]
    Input(#[from] factum::InputError),
    #[error("documents are not what history makes of them")]
    Differs,
    #[error("not all is well")]
    NotWell,
    #[error(transparent)]
    Read(#[from] factum::ReadError),
    #[error(transparent)]
    Replay(#[from] Box<factum_projections::ReplayError>),
    #[error("{failed} of {asked} projections were not replayed")]
    NotReplayed { failed: usize, asked: usize },
    #[error("the health of the worker cannot be asked for at {address}: {source}")]
    Health { address: std::net::SocketAddr, source: io::Error },
    #[error("signals cannot be heard: {0}")]
    Signals(io::Error),
    #[error("{failed} of {asked} projections did not end well")]
    NotEnded { failed: usize, asked: usize },
    #[error("the output could not be written: {0}")]
    Output(#[from] io::Error),
    #[error("the output could not be encoded: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<ProjectorError> for OpsError {
    fn from(error: ProjectorError) -> Self {
        Self::Projector(Box::new(error))
    }
}

impl From<GenerationsError> for OpsError {
    fn from(error: GenerationsError) -> Self {
        Self::Generations(Box::new(error))
    }
}

impl From<DocumentError> for OpsError {
    fn from(error: DocumentError) -> Self {
        Self::Documents(Box::new(error))
    }
}

impl From<VerifyError> for OpsError {
    fn from(error: VerifyError) -> Self {
        Self::Verify(Box::new(error))
    }
}

/// What `verify` exits with where it has compared everything and something differs, `replay --verify` where that is why
/// something was not made live, and `doctor` where not all is well.
const FOUND: u8 = 3;

impl OpsCommand {
    /// Does what was asked with the projections of this projector. Results go to stdout, progress and errors to
    /// stderr.
    ///
    /// The exit code is 0 if everything was done, 1 if something was not, and 3 if `verify` found a difference, `replay
    /// --verify` made something not live for one and all else was done, or `doctor` found that not all is well.
    pub async fn run(&self, projector: &Projector) -> ExitCode {
        let mut out = io::BufWriter::new(io::stdout());
        let console = Arc::new(Console::stderr());
        let result = self.execute(projector, &console, &mut out).await;
        let result = result.and_then(|()| Ok(out.flush()?));
        match result {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever read the output has gone away (`status | head`): what was asked was done.
            Err(OpsError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            // Each was told when it failed.
            Err(OpsError::NotReplayed { .. }) => ExitCode::FAILURE,
            Err(OpsError::Differs | OpsError::NotWell) => ExitCode::from(FOUND),
            Err(error) => {
                console.say(&format!("error: {}", one_line(&error)));
                ExitCode::FAILURE
            }
        }
    }

    pub(crate) async fn execute(
        &self,
        projector: &Projector,
        console: &Arc<Console>,
        out: &mut (dyn Write + Send),
    ) -> Result<(), OpsError> {
        match self {
            Self::Work(args) => work(args, projector, console).await,
            Self::Replay(args) => replay(args, projector, console, out).await,
            Self::Status(args) => status(args, projector, out).await,
            Self::Doctor(args) => doctor(args, projector, out).await,
            Self::Resume(args) => resume(args, projector, out).await,
            Self::Generations(args) => generations(args, projector, console, out).await,
            Self::Verify(args) => verify(args, projector, console, out).await,
            Self::ReadModel(args) => read_model(args, projector, out).await,
        }
    }
}
