//! `load`: whatever goes on beside it, what is read was true; and what was not true is found.

mod common;

use std::process::{Child, Stdio};

use common::{Answer, Bank, answer, on_each_store, program};
use serde_json::Value;

on_each_store! {
    every_read_is_right
    replays_beside_it_do_not_show
    a_balance_that_was_never_true_is_found
}

#[test]
fn every_read_is_right_in_memory() {
    let args =
        ["--store", "memory:", "load", "--rate", "100", "--seconds", "1", "--accounts", "4", "--seed", "7", "--json"];
    check(&answer(program().args(args).output().unwrap()).success().json(), 100);
}

#[track_caller]
fn check(report: &Value, commands: u64) {
    let count = |field: &str| report[field].as_u64().unwrap();
    assert_eq!((count("commands"), count("failed")), (commands, 0), "{report}");
    assert_eq!((count("reads_wrong"), count("reads_failed")), (0, 0), "{report}");
    assert_eq!(count("done") + count("refused"), commands, "{report}");
    // What was done was read by whoever did it, and something else after each command.
    assert_eq!(count("reads_right"), count("done") + commands, "{report}");
    assert!(count("refused") > 0 && count("done") > commands / 2, "{report}");
    assert!(report["command_ms"]["p50"].as_f64().unwrap() > 0.0, "{report}");
}

fn every_read_is_right(bank: &Bank) {
    let args = ["load", "--rate", "100", "--seconds", "1.5", "--accounts", "4", "--seed", "7"];
    check(&bank.json(&[&args[..], &["--json"]].concat()), 150);
    // Again, on the same bank: its accounts are its own.
    let text = bank.run(&args).success().out;
    assert!(text.starts_with("150 commands in ") && text.contains(" 0 wrong, 0 failed"), "{text}");
}

fn begin(bank: &Bank, rate: &str, seconds: &str) -> Child {
    let args = ["load", "--rate", rate, "--seconds", seconds, "--accounts", "6", "--json"];
    bank.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: Child) -> Answer {
    answer(child.wait_with_output().unwrap())
}

fn replays_beside_it_do_not_show(bank: &Bank) {
    bank.run(&["generate", "300", "--accounts", "10"]).success();
    let mut child = begin(bank, "50", "3");
    let mut replays = 0;
    while child.try_wait().unwrap().is_none() {
        bank.run(&["replay", "balances"]).success();
        replays += 1;
    }
    check(&end(child).success().json(), 150);
    assert!(replays > 1, "only {replays} replays ran beside it");
    bank.run(&["verify", "balances"]).success();
}

/// A read model that somebody is at by hand, while it is read.
fn a_balance_that_was_never_true_is_found(bank: &Bank) {
    bank.run(&["open", "7", "Jana"]).success();
    let mut child = begin(bank, "50", "3");
    let mut changed = 0;
    while child.try_wait().unwrap().is_none() {
        changed += bank.by_hand("UPDATE documents SET body = '{\"balance\":-1}' WHERE key LIKE 'load%'");
    }
    let answer = end(child);
    assert!(changed > 0);
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(answer.json()["reads_wrong"].as_u64().unwrap() > 0, "{answer:?}");
    assert!(answer.err.contains("was shown with -0.01 as of position"), "{answer:?}");
}
