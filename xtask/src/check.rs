//! `cargo xtask check`: everything is run, and all that failed is named at the end.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::workspace::Workspace;
use crate::{arrows, cargo, source, tidy};

/// A broken rule: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    place: String,
    what: String,
}

impl Violation {
    pub(crate) fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into() }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Runs all checks.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut failed = Vec::new();
    let broken = rules(root)?;
    for violation in &broken {
        eprintln!("{violation}");
    }
    if !broken.is_empty() {
        failed.push(format!("{} house rules are broken, see above", broken.len()));
    }
    for step in cargo::Step::checks() {
        if let Err(error) = cargo::run(root, step) {
            failed.push(error);
        }
    }
    if failed.is_empty() {
        eprintln!("xtask: all checks passed");
        return Ok(());
    }
    Err(failed.join("\nxtask: "))
}

/// The arrows and the rules on files.
fn rules(root: &Path) -> Result<Vec<Violation>, String> {
    let workspace = Workspace::from_metadata(&cargo::metadata(root)?)?;
    let sources = source::below(root).map_err(|error| format!("the sources cannot be read: {error}"))?;
    let mut broken = arrows::check(&workspace);
    broken.extend(tidy::check(&workspace, &sources));
    broken.extend(lock_file(root));
    Ok(broken)
}

/// Whoever builds a clone builds what was tested. Outside of a clone there is nothing to ask.
fn lock_file(root: &Path) -> Option<Violation> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "--error-unmatch", "Cargo.lock"]);
    let known = git.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let missing = root.join(".git").exists() && known.is_ok_and(|status| !status.success());
    missing.then(|| Violation::new("Cargo.lock", "is not under version control; commit it"))
}
