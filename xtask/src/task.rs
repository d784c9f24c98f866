//! What the command line asks for.

/// What is printed where the words are not understood, or help is asked for.
pub(crate) const USAGE: &str = "\
usage: cargo xtask <task>

  test [ARGS]    every test of the workspace, the examples in the documentation too;
                 ARGS go to `cargo test`, for instance `-p factum` or `-- a_name`;
                 Postgres is installed first where it is missing and apt-get can
  check          formatting, clippy, documentation, the arrows between crates, house rules
  bench [ARGS]   builds the workloads in release and runs them; ARGS go to them,
                 for instance `--help`, `--quick` or `replay --json results.json`
  help           this";

/// A task and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Test(Vec<String>),
    Check,
    Bench(Vec<String>),
}

impl Task {
    /// Reads a task from the words after `cargo xtask`.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let Some((name, rest)) = words.split_first() else {
            return Err("which task?".to_owned());
        };
        match name.as_str() {
            "test" => Ok(Self::Test(rest.to_vec())),
            "bench" => Ok(Self::Bench(rest.to_vec())),
            "check" if rest.is_empty() => Ok(Self::Check),
            "check" => Err(format!("`check` takes no arguments, and got `{}`", rest.join(" "))),
            "help" | "--help" | "-h" => Ok(Self::Help),
            other => Err(format!("there is no task `{other}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Task, String> {
        Task::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_after_test_and_bench_are_passed_on() {
        assert_eq!(parse("test -p factum"), Ok(Task::Test(vec!["-p".to_owned(), "factum".to_owned()])));
        assert_eq!(parse("bench --quick"), Ok(Task::Bench(vec!["--quick".to_owned()])));
    }

    #[test]
    fn check_takes_no_arguments() {
        assert_eq!(parse("check"), Ok(Task::Check));
        assert!(parse("check --fast").is_err_and(|error| error.contains("--fast")));
    }

    #[test]
    fn a_wrong_word_and_no_word_are_errors() {
        assert_eq!(parse("tset"), Err("there is no task `tset`".to_owned()));
        assert!(parse("").is_err());
    }

    #[test]
    fn the_usage_names_every_task() {
        for task in ["test", "check", "bench", "help"] {
            assert!(USAGE.contains(&format!("\n  {task} ")), "{task}");
            assert!(parse(task).is_ok(), "{task}");
        }
    }
}
