//! The command line that a service mounts in its own binary, with its own projections.
//!
//! [`OpsCommand`] is a set of clap subcommands: `work` keeps read models current in a process of its own, `replay` builds read models anew while the old ones serve, `status`
//! says how far each projection is and why it is not further, `doctor` says in words what is wrong and what to do, `resume` lets one that halted try again, `generations` shows the builds of a read model and goes
//! over to another, `verify` compares documents with a fresh fold of history, and `read-model` shows documents as they
//! are and were. A service flattens it into its own commands, and gives it the
//! [`Projector`](factum_projections::Projector) that it runs anyway:
//!
//! ```
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use clap::{Parser, Subcommand};
//! use factum_ops::OpsCommand;
//! use factum_projections::Projector;
//!
//! #[derive(Parser)]
//! struct Cli {
//!     #[command(subcommand)]
//!     command: Command,
//! }
//!
//! #[derive(Subcommand)]
//! enum Command {
//!     /// What the service is for
//!     Serve,
//!     #[command(flatten)]
//!     Ops(OpsCommand),
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let store = Arc::new(factum_memory::MemoryStore::new());
//! let projector = Projector::new(store.clone(), store);
//! let code = match Cli::parse_from(["service", "status"]).command {
//!     Command::Serve => ExitCode::SUCCESS,
//!     Command::Ops(command) => command.run(&projector).await,
//! };
//! # assert_eq!(code, ExitCode::SUCCESS);
//! # }
//! ```
//!
//! Results go to stdout, as text or with `--json` as JSON; progress and errors go to stderr. The exit code is 0 where
//! everything that was asked was done, 1 where something was not, clap's 2 for wrong usage, and 3 where `verify` has
//! compared everything and something differs, `replay --verify` has not made something live for that, or `doctor` has
//! looked and not all is well.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod args;
mod args_read_model;
mod at;
mod command;
mod console;
mod doctor;
mod duration;
mod find;
mod generations;
mod read_model;
mod replay;
mod report;
mod resume;
mod status;
#[cfg(test)]
mod tests;
mod verify;
mod work;
mod work_health;

pub use args::{
    DoctorArgs, GenerationsAction, GenerationsArgs, OpsCommand, ReplayArgs, ResumeArgs, StatusArgs, VerifyArgs,
    WorkArgs,
};
pub use args_read_model::{DiffArgs, GetArgs, ListArgs, ReadModelAction, ReadModelArgs, ReadModelOf};
pub use at::parse_at;
pub use duration::parse_duration;
pub use find::Where;
pub use report::one_line;
