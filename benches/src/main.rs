//! Workloads of Factum, each beside its limit: what the same machine does in the same run with the same driver, columns,
//! indexes and stream pattern, and nothing of ours in between.
//!
//! Every measurement runs in a process of its own, ours and the limit take turns, and the round with the
//! middle fraction counts.

mod arguments;
mod bank;
mod child;
mod goals;
mod limit;
mod measure;
mod ours;
mod place;
mod prepare;
mod projections;
mod report;
mod window;
mod work;

use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

/// Whatever went wrong; a measurement that fails has no value.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.child {
        Some(order) => child::perform(order),
        None => measure::all(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("factum-benches: {error}");
            ExitCode::FAILURE
        }
    }
}
