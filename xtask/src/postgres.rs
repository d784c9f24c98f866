//! Postgres and pgbouncer for the tests: found, or installed where that needs nobody's password.

use std::process::{Command, Stdio};

use factum_postgres_server::{Binaries, Bouncer, ServerError};

/// Names a server that the tests use instead of one of their own.
const URL_VARIABLE: &str = "FACTUM_TEST_POSTGRES_URL";

/// What the tests are told: without Postgres they fail instead of being skipped.
pub(crate) const REQUIRED: (&str, &str) = ("FACTUM_TEST_POSTGRES", "required");

/// Returns when all that the tests need is there; the error says what is not, and what to do.
pub(crate) fn ensure() -> Result<(), String> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(before) = words_before_apt() else {
        return without(&missing);
    };
    for arguments in steps(&missing) {
        let line = [before, &arguments].concat();
        eprintln!("xtask: {}", line.join(" "));
        let status = Command::new(line[0]).args(&line[1..]).env("DEBIAN_FRONTEND", "noninteractive").status();
        if !status.is_ok_and(|status| status.success()) {
            return without(&missing);
        }
    }
    match self::missing() {
        still if still.is_empty() => Ok(()),
        still => without(&still),
    }
}

/// Which package is not there, and how that shows.
type Missing = (&'static str, ServerError);

fn missing() -> Vec<Missing> {
    let looked_for = [("postgresql", Binaries::find().err()), ("pgbouncer", Bouncer::find().err())];
    looked_for.into_iter().filter_map(|(package, error)| Some((package, error?))).collect()
}

/// A named server is enough: tests that stop or start servers are then skipped, and say so.
fn without(missing: &[Missing]) -> Result<(), String> {
    let told = missing.iter().map(|(_, error)| error.to_string()).collect::<Vec<_>>().join("\nxtask: ");
    if std::env::var_os(URL_VARIABLE).is_some() {
        eprintln!("xtask: {told}");
        return Ok(());
    }
    Err(told)
}

fn steps(missing: &[Missing]) -> [Vec<&'static str>; 2] {
    let mut install = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
    install.extend(missing.iter().map(|(package, _)| package));
    [vec!["apt-get", "update", "--quiet"], install]
}

/// How `apt-get` is called here so that nobody is asked for a password; `None` where it cannot.
fn words_before_apt() -> Option<&'static [&'static str]> {
    if !succeeds("apt-get", "--version") {
        return None;
    }
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout.trim_ascii() == b"0" {
        return Some(&[]);
    }
    let sudo = Command::new("sudo").args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success()).then_some(&["sudo", "-n"])
}

fn succeeds(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed_and_nothing_asks() {
        let missing = |package| (package, ServerError::NotInstalled { program: "postgres", searched: Vec::new() });
        let [update, install] = steps(&[missing("pgbouncer")]);
        assert_eq!(update[..2], ["apt-get", "update"]);
        assert_eq!(install.last(), Some(&"pgbouncer"));
        assert!(install.contains(&"--yes") && !install.contains(&"postgresql"));
    }
}
