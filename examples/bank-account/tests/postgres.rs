//! What only a database on a server can do: be empty, go away in the middle, and have a password.

mod common;

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use factum_postgres_server::{Server, ServerOptions};
use serde_json::json;

use common::{Answer, Bank, HEADER, row};

const PASSWORD: &str = "hunter2";

#[test]
fn a_database_without_a_bank_is_told_by_what_reads_and_changed_only_by_what_writes() {
    let Some(bank) = Bank::on_postgres() else { return };
    for args in
        [&["balances"][..], &["account", "7"], &["history", "7"], &["turnover"], &["status"], &["replay", "--all"]]
    {
        bank.run(args).fails_with(&["there is no bank in this database", "import a ledger or open an account"]);
    }
    let missing = bank.path("missing.csv");
    bank.import(&missing).fails_with(&["missing.csv"]);
    bank.run(&["balances"]).fails_with(&["there is no bank in this database"]);
    bank.run(&["open", "7", "Jana"]).success();
    assert_eq!(bank.json(&["balances", "--json"])["accounts"], 1);
}

/// That a program which was given a URL with a password says what is wrong and not the password.
#[track_caller]
fn keeps_the_secret(args: &[&str], code: i32, says: &str) {
    let answer: Answer = common::answer(common::program().args(args).output().unwrap());
    assert_eq!(answer.code, Some(code), "{args:?}: {answer:?}");
    assert!(answer.err.contains(says), "{says:?} is not what was said of {args:?}: {answer:?}");
    assert!(!answer.err.contains(PASSWORD) && !answer.out.contains(PASSWORD), "{args:?} told it: {answer:?}");
}

/// A URL that is misspelled, or stands in a wrong place, was quoted by the parser of the command line.
#[test]
fn a_password_in_a_url_is_never_printed() {
    let url = format!("postgres://teller:{PASSWORD}@localhost:1/bank");
    let with_store = |store: &str, code, says| keeps_the_secret(&["--store", store, "balances"], code, says);
    with_store(&url, 1, "could not be connected to");
    with_store(&format!("postgres://localhost:1/bank?user=teller&password={PASSWORD}"), 1, "could not be connected to");
    with_store(&format!("postgres://teller:{PASSWORD}@localhost:port/bank"), 1, "cannot be understood");
    with_store(&format!("postgres://teller:{PASSWORD}/@localhost/bank"), 1, "cannot be understood");
    with_store(
        &format!("postgres:/teller:{PASSWORD}@localhost/bank"),
        2,
        "a store is memory:, sqlite:FILE or postgres",
    );
    let read_models = format!("postgres:/teller:{PASSWORD}@localhost/bank");
    keeps_the_secret(&["--read-models", &read_models, "balances"], 2, "a store is memory:, sqlite:FILE or postgres");
    with_store(&format!("Postgres://teller:{PASSWORD}@localhost/bank"), 2, "a store is memory:");
    with_store(&format!("teller:{PASSWORD}@localhost/bank"), 2, "a store is memory:");
    keeps_the_secret(&[&url, "balances"], 2, "unrecognized subcommand");
    keeps_the_secret(&["balances", &url], 2, "unexpected argument");
    keeps_the_secret(&["--store", &url], 2, "name a command to use --store");
    keeps_the_secret(&["--store", &url, "balances", "--top", &url], 2, "invalid value");
    keeps_the_secret(&["balances", &format!("--story={url}")], 2, "unexpected argument");
    keeps_the_secret(&["--store", &url, "--help"], 0, "");
}

#[test]
fn a_database_that_is_not_there_is_told_with_the_remedy() {
    let Some(server) = Server::for_test() else { return };
    let url = server.url("factum_no_such_database");
    let mut command = common::program();
    let answer = common::answer(command.args(["--store", &url, "open", "7", "Jana"]).output().unwrap());
    answer.fails_with(&["\"factum_no_such_database\" does not exist", "create the database"]);
}

const ROWS: u64 = 3_000;

/// An import of a ledger whose first half comes through a pipe which stays open: it is surely under way.
fn half_an_import(bank: &Bank, lines: &[String]) -> Child {
    let mut command = bank.command(&["import", "/dev/stdin", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.as_mut().unwrap();
    pipe.write_all((HEADER.to_owned() + &lines[..lines.len() / 2].concat()).as_bytes()).unwrap();
    let begun = Instant::now();
    while bank.run(&["history", "0"]).code != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was booked");
    }
    child
}

/// Gives an import the rest of its ledger, and waits for its end.
fn the_other_half(mut child: Child, lines: &[String]) -> Answer {
    // An import that has ended reads no more.
    let _ = child.stdin.take().unwrap().write_all(lines[lines.len() / 2..].concat().as_bytes());
    common::answer(child.wait_with_output().unwrap())
}

/// `no-lost-append`: an append that was under way is there whole or not at all, and its key tells which.
#[test]
fn an_import_whose_server_crashes_ends_with_one_line_and_the_next_one_completes_it() {
    let Some(server) = Server::own_for_test(&ServerOptions::default()) else { return };
    let bank = Bank::on(&server);
    let lines: Vec<_> = (1..=ROWS).map(|n| row(n, n % 40, "930102", "PRIJEM", "1.00")).collect();
    let balances: Vec<i64> = (0..40).map(|_| i64::try_from(ROWS / 40).unwrap() * 100).collect();
    let child = half_an_import(&bank, &lines);
    server.stop_immediate().unwrap();
    let answer = the_other_half(child, &lines);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert_eq!(answer.err.lines().count(), 1, "{answer:?}");
    assert!(answer.err.starts_with("error: line "), "{answer:?}");
    bank.run(&["balances"]).fails_with(&["could not be connected to"]);
    server.start_again().unwrap();

    let report = bank.import(&bank.write("ledger.csv", HEADER.to_owned() + &lines.concat())).success().json();
    let counted = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((counted("transactions"), counted("added") + counted("already")), (ROWS, ROWS), "{report} {answer:?}");
    assert!(counted("already") >= answer.json()["added"].as_u64().unwrap(), "what was answered is there: {report}");
    bank.holds_exactly(ROWS, &balances, &format!("{report}"));
}

/// An administrator's restart in the middle: an import that stands it books the rest, and one that does not is completed.
#[test]
fn an_import_whose_server_restarts_loses_and_doubles_nothing() {
    let Some(server) = Server::own_for_test(&ServerOptions::default()) else { return };
    let bank = Bank::on(&server);
    let lines: Vec<_> = (1..=ROWS).map(|n| row(n, n % 40, "930102", "PRIJEM", "1.00")).collect();
    let balances: Vec<i64> = (0..40).map(|_| i64::try_from(ROWS / 40).unwrap() * 100).collect();
    let child = half_an_import(&bank, &lines);
    server.stop().unwrap();
    server.start_again().unwrap();
    let answer = the_other_half(child, &lines);
    assert!(answer.code == Some(0) || answer.err.lines().count() == 1, "{answer:?}");
    let report = bank.import(&bank.write("ledger.csv", HEADER.to_owned() + &lines.concat())).success().json();
    assert_eq!((&report["transactions"], &report["refused"]), (&json!(ROWS), &json!(0)), "{report} {answer:?}");
    bank.holds_exactly(ROWS, &balances, &format!("{report} {answer:?}"));
}
