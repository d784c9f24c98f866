//! What a test does that has no server: it is skipped, loudly, or it fails.

use std::io::Write;

use crate::{ServerError, url};

/// `required`: a test without a server fails, where it is otherwise skipped.
const DEMAND_VARIABLE: &str = "FACTUM_TEST_POSTGRES";

/// Whether tests must not be skipped.
pub(crate) fn is_demanded() -> bool {
    std::env::var_os(DEMAND_VARIABLE).is_some_and(|value| value == "required")
}

/// The same for tests that a server which somebody else runs is of no use to: whoever names one may have no other.
pub(crate) fn is_demanded_of_our_own() -> bool {
    is_demanded() && !url::is_named()
}

/// What was found or made; `None`, said on standard error, for what is missing and not demanded.
///
/// # Panics
/// For all other errors.
#[track_caller]
pub(crate) fn unless_missing<T>(found: Result<T, ServerError>, is_demanded: bool) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(error) if error.is_missing() && !is_demanded => {
            let thread = std::thread::current();
            let line = format!("\n*** SKIPPED, NOT TESTED: {}: {error}\n", thread.name().unwrap_or("a test"));
            // Not `eprintln`, whose output a test harness swallows; where standard error is closed nobody listens.
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
        Err(error) => panic!("this test needs Postgres: {}", with_causes(&error)),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set where a test of this module was started by another one.
    const INSIDE: &str = "FACTUM_TEST_INSIDE";

    fn missing() -> Result<(), ServerError> {
        Err(ServerError::NotInstalled { program: "postgres", searched: vec!["/nowhere".into()] })
    }

    #[test]
    fn a_skip_is_heard_though_the_harness_captures_what_a_passing_test_prints() {
        let name = "skip::tests::a_skip_is_heard_though_the_harness_captures_what_a_passing_test_prints";
        if std::env::var_os(INSIDE).is_some() {
            assert!(unless_missing(missing(), false).is_none());
            return;
        }
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args(["--exact", name]).env(INSIDE, "yes").output().unwrap();
        let heard = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success());
        for part in ["SKIPPED, NOT TESTED", name, "apt-get install postgresql"] {
            assert!(heard.contains(part), "{heard}");
        }
    }

    #[test]
    #[should_panic(expected = "apt-get install postgresql")]
    fn what_is_demanded_and_missing_fails_and_names_the_remedy() {
        unless_missing(missing(), true);
    }

    #[test]
    #[should_panic(expected = "it does not begin with postgres://")]
    fn a_server_that_is_named_wrongly_fails_though_nothing_is_demanded() {
        unless_missing(crate::url::ServerUrl::parse("localhost"), false);
    }
}
