//! The project's tasks: `cargo xtask test | check | bench`, with no tool beyond cargo to install.

mod arrows;
mod cargo;
mod check;
mod manifest;
mod postgres;
mod source;
mod task;
mod tidy;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use task::Task;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let task = match Task::parse(&words) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("xtask: {error}\n\n{}", task::USAGE);
            return ExitCode::from(2);
        }
    };
    match perform(task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> Result<(), String> {
    let root = root()?;
    match task {
        Task::Help => {
            println!("{}", task::USAGE);
            Ok(())
        }
        Task::Test(arguments) => {
            postgres::ensure()?;
            cargo::run(&root, cargo::Step::test(&arguments))
        }
        Task::Check => check::run(&root),
        Task::Bench(arguments) => cargo::run(&root, cargo::Step::bench(&arguments)),
    }
}

/// The workspace, wherever it was cloned to: cargo says at run time where this package lies.
fn root() -> Result<PathBuf, String> {
    let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let mut root = PathBuf::from(manifest_dir);
    if root.pop() && root.join("Cargo.toml").is_file() {
        Ok(root)
    } else {
        Err("the workspace was not found; run it as `cargo xtask`".to_owned())
    }
}
