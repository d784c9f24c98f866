//! Running cargo, with its output let through.

use std::path::Path;
use std::process::Command;

use crate::postgres;

/// One call of cargo.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    arguments: Vec<String>,
    environment: Option<(&'static str, &'static str)>,
}

impl Step {
    fn new(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|word| (*word).to_owned()).collect(), environment: None }
    }

    fn and(mut self, more: &[String]) -> Self {
        self.arguments.extend_from_slice(more);
        self
    }

    /// Every test, or those that the arguments choose. No target is selected, so that doc tests run as well.
    pub(crate) fn test(arguments: &[String]) -> Self {
        let chooses_packages = arguments.iter().take_while(|word| *word != "--").any(|word| {
            word == "-p" || word == "--package" || word.starts_with("-p") || word.starts_with("--package=")
        });
        let all: &[&str] = if chooses_packages { &[] } else { &["--workspace"] };
        let step = Self::new(&["test", "--no-fail-fast"]).and(&Self::new(all).arguments).and(arguments);
        Self { environment: Some(postgres::REQUIRED), ..step }
    }

    /// The workloads, in release.
    pub(crate) fn bench(arguments: &[String]) -> Self {
        Self::new(&["run", "--release", "--package", "factum-benches", "--"]).and(arguments)
    }

    /// What cargo itself checks, in the order of how soon it answers.
    pub(crate) fn checks() -> [Self; 3] {
        let documentation = Self::new(&["doc", "--workspace", "--no-deps"]);
        [
            Self::new(&["fmt", "--all", "--check"]),
            Self::new(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
            Self { environment: Some(("RUSTDOCFLAGS", "-D warnings")), ..documentation },
        ]
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some((name, value)) = self.environment {
            write!(f, "{name}=\"{value}\" ")?;
        }
        write!(f, "cargo {}", self.arguments.join(" "))
    }
}

/// Runs it to its end; what it prints is seen as it comes.
pub(crate) fn run(root: &Path, step: Step) -> Result<(), String> {
    eprintln!("xtask: {step}");
    let mut command = Command::new(program());
    command.current_dir(root).args(&step.arguments).envs(step.environment);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{step}` failed ({status})")),
        Err(error) => Err(format!("`{step}` could not be started: {error}")),
    }
}

/// What cargo knows about the workspace, as JSON.
pub(crate) fn metadata(root: &Path) -> Result<serde_json::Value, String> {
    let mut command = Command::new(program());
    command.current_dir(root).args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let output = command.output().map_err(|error| format!("`cargo metadata` could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))
}

/// The cargo that runs us, so that a toolchain chosen with `+` holds for the steps too.
fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn test_runs_the_workspace_unless_packages_are_chosen() {
        let test = |line| Step::test(&words(line)).arguments.join(" ");
        assert_eq!(test(""), "test --no-fail-fast --workspace");
        assert_eq!(test("-- -p"), "test --no-fail-fast --workspace -- -p");
        assert_eq!(test("-p factum x"), "test --no-fail-fast -p factum x");
    }

    #[test]
    fn tests_that_need_postgres_are_not_skipped() {
        assert!(Step::test(&[]).to_string().starts_with("FACTUM_TEST_POSTGRES=\"required\" cargo test"));
    }

    #[test]
    fn warnings_of_clippy_and_rustdoc_are_errors() {
        let steps = Step::checks().map(|step| step.to_string());
        assert!(steps.iter().any(|step| step.contains("clippy") && step.contains("-D warnings")));
        assert!(
            steps.iter().any(|step| step.contains("cargo doc") && step.starts_with("RUSTDOCFLAGS=\"-D warnings\""))
        );
    }

    #[test]
    fn a_step_that_fails_is_named() {
        let error = run(Path::new("."), Step::new(&["no-such-subcommand"])).unwrap_err();
        assert!(error.contains("cargo no-such-subcommand"), "{error}");
    }
}
