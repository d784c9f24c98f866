//! The command line on small ledgers: figures, refusals, exit codes, bad input.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use common::{Bank, HEADER, on_each_store, program, row, with_stdin};

on_each_store! {
    an_account_lives_and_says_how_it_was
    a_key_makes_a_command_happen_once_and_remembers_a_refusal
    a_malformed_or_refused_row_is_told_with_its_line_and_stops_nothing_else
    balances_are_shown_at_a_position_on_a_day_and_from_the_top
    status_and_replay_are_those_of_the_service
    generations_are_shown_and_the_live_one_is_not_dropped
    one_goes_back_to_what_a_replay_has_replaced
    documents_are_shown_as_they_are_and_were
    a_reader_that_goes_away_is_no_failure
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_demo_tells_its_story_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    let answer = common::answer(command.current_dir(folder.path()).env("TMPDIR", folder.path()).output().unwrap());
    let answer = answer.success();
    assert_eq!(answer.err, "");
    for text in ["refused: insufficient funds", "decided 2 times", "jana at version 2: balance 500.00", "generation 2"]
    {
        assert!(answer.out.contains(text), "{text:?} is not in {}", answer.out);
    }
    assert!((20..=35).contains(&answer.out.lines().count()), "{}", answer.out);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn an_account_lives_and_says_how_it_was(bank: &Bank) {
    bank.run(&["open", "7", "Jana", "--overdraft", "10.00", "--on", "2026-01-05"]).success();
    bank.run(&["deposit", "7", "100", "--on", "2026-01-05"]).success();
    bank.run(&["withdraw", "7", "110.00", "--on", "2026-02-01"]).success();
    bank.run(&["withdraw", "7", "0.01"]).fails_with(&["refused: insufficient funds", "-10.00", "limit of 10.00"]);
    let now = bank.json(&["account", "7", "--json"]);
    let expected = json!({"account": "7", "balance": "-10.00", "version": 3, "status": "open", "owner": "Jana"});
    assert_eq!(now, expected);
    let then = bank.json(&["account", "7", "--as-of", "2026-01-31", "--json"]);
    assert_eq!((&then["balance"], &then["version"]), (&json!("100.00"), &json!(2)));
    assert_eq!(bank.json(&["account", "7", "--at-version", "1", "--json"])["balance"], "0.00");

    bank.run(&["account", "7", "--as-of", "2026-01-04"]).fails_with(&["no event yet", "2026-01-05"]);
    bank.run(&["account", "7", "--at-version", "0"]).fails_with(&["no event yet"]);
    bank.run(&["account", "7", "--at-version", "4"]).fails_with(&["no version 4", "its last is 3"]);
    bank.run(&["account", "8"]).fails_with(&["no account \"8\""]);
    bank.run(&["account", "8", "--as-of", "2026-01-04"]).fails_with(&["no account \"8\""]);
    bank.run(&["account", "7", "--as-of", "2026-02-30"]).fails_with(&["2026-02-30", "YYYY-MM-DD"]);
    bank.run(&["account", ""]).fails_with(&["empty"]);

    bank.run(&["close", "7"]).fails_with(&["refused: the balance is -10.00"]);
    bank.run(&["deposit", "7", "10.00"]).success();
    assert_eq!(bank.json(&["close", "7", "--json"])["status"], "closed");
    bank.run(&["deposit", "7", "1"]).fails_with(&["refused: the account is closed"]);
    assert_eq!(bank.json(&["balances", "--json"])["accounts"], 0);
    assert_eq!(bank.run(&["history", "7"]).success().out.lines().count(), 5);
    bank.run(&["history", "8"]).fails_with(&["no account \"8\""]);
}

fn a_key_makes_a_command_happen_once_and_remembers_a_refusal(bank: &Bank) {
    bank.run(&["open", "7", "Jana"]).success();
    let deposit = ["deposit", "7", "5.00", "--key", "k1", "--json"];
    assert_eq!(bank.json(&deposit)["already"], false);
    assert_eq!(bank.json(&deposit)["already"], true);
    assert_eq!(bank.json(&["account", "7", "--json"])["balance"], "5.00");
    bank.run(&["deposit", "7", "6.00", "--key", "k1"]).fails_with(&["key k1 was used before"]);

    let withdraw = ["withdraw", "7", "50.00", "--key", "k2"];
    bank.run(&withdraw).fails_with(&["insufficient funds"]);
    bank.run(&["deposit", "7", "100.00"]).success();
    bank.run(&withdraw).fails_with(&["key k2", "refused when it was first sent", "insufficient funds"]);
    assert_eq!(bank.json(&["account", "7", "--json"])["balance"], "105.00");
}

fn a_malformed_or_refused_row_is_told_with_its_line_and_stops_nothing_else(bank: &Bank) {
    bank.run(&["open", "9", "Petr", "--on", "1993-01-01"]).success();
    let text = [
        HEADER.to_owned(),
        row(1, 7, "930102", "PRIJEM", "10.00"),
        "no row\r\n".to_owned(),
        "\r\n".to_owned(),
        row(2, 7, "930103", "PRIJEM", "1,50"),
        row(3, 9, "930103", "VYBER", "1.00"),
        row(1, 7, "930102", "PRIJEM", "11.00"),
        row(4, 8, "930104", "VYDAJ", "2.50"),
        row(5, 8, "930104", "PRIJEM", "0.00"),
    ];
    let ledger = bank.write("ledger.csv", gzip(&text.concat()));
    for (added, already) in [(3, 0), (0, 3)] {
        let answer = bank.import(&ledger);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let mut report = answer.json();
        assert!(report.as_object_mut().unwrap().remove("seconds").unwrap().is_f64());
        let expected = json!({
            "transactions": 7, "accounts": 2, "added": added, "already": already, "refused": 2, "malformed": 2,
            "credits": "10.00", "debits": "2.50",
        });
        assert_eq!(report, expected);
        let said = |what: &str| answer.err.lines().filter(|line| line.contains(what)).count();
        assert_eq!((said("line 3: it has 1 fields"), said("line 5: \"1,50\"")), (1, 1), "{}", answer.err);
        assert_eq!(
            (said("line 6: transaction 3 of account 9"), said("line 7: transaction 1")),
            (1, 1),
            "{}",
            answer.err
        );
        assert_eq!(answer.err.lines().count(), 4, "{}", answer.err);
    }
    let balances = bank.json(&["balances", "--json"]);
    let expected = json!([
        {"account": "7", "balance": "10.00"}, {"account": "9", "balance": "0.00"}, {"account": "8", "balance": "-2.50"},
    ]);
    assert_eq!(balances["balances"], expected);
}

fn balances_are_shown_at_a_position_on_a_day_and_from_the_top(bank: &Bank) {
    let rows = [("930102", 10, "5.00"), ("930131", 9, "5.00"), ("930201", 2, "7.00"), ("930101", 10, "1.00")];
    for ((day, account, amount), trans) in rows.iter().zip(1..) {
        // One by one: between accounts, an import promises no order.
        let text = HEADER.to_owned() + &row(trans, *account, day, "PRIJEM", amount);
        bank.import(&bank.write("ledger.csv", text)).success();
    }
    let listed = |args: &[&str]| {
        let answer = bank.json(&[&["balances", "--json"], args].concat());
        let accounts = answer["balances"].as_array().unwrap().iter();
        let accounts: Vec<_> = accounts.map(|entry| format!("{} {}", entry["account"], entry["balance"])).collect();
        let count = answer["accounts"].as_u64().unwrap();
        (answer["position"].as_u64().unwrap(), count, answer["total"].clone(), accounts.join(", ").replace('"', ""))
    };
    assert_eq!(listed(&[]), (7, 3, json!("18.00"), "2 7.00, 10 6.00, 9 5.00".to_owned()));
    assert_eq!(listed(&["--top", "1"]), (7, 3, json!("18.00"), "2 7.00".to_owned()));
    let january = (7, 2, json!("11.00"), "10 6.00, 9 5.00".to_owned());
    assert_eq!(listed(&["--as-of", "1993-01-31"]), january, "the whole of the last day, and rows recorded later");
    assert_eq!(listed(&["--at-position", "4"]), (4, 2, json!("10.00"), "10 5.00, 9 5.00".to_owned()), "ties by text");
    assert_eq!(listed(&["--at-position", "0"]), (0, 0, json!("0.00"), String::new()));
    bank.run(&["balances", "--at-position", "8"]).fails_with(&["8", "past", "7"]);
    let turnover = bank.json(&["turnover", "--json"]);
    let expected = json!([
        {"month": "1993-01", "credits": "11.00", "debits": "0.00", "count": 3},
        {"month": "1993-02", "credits": "7.00", "debits": "0.00", "count": 1},
    ]);
    assert_eq!(turnover, expected);
}

fn status_and_replay_are_those_of_the_service(bank: &Bank) {
    bank.run(&["generate", "500", "--accounts", "20"]).success();
    let status = bank.json(&["status", "--json"]);
    assert_eq!((&status["head"], &status["projections"][0]["lag"]), (&json!(520), &json!(520)));
    let before = bank.json(&["balances", "--json"]);
    assert_eq!((&before["accounts"], &before["position"]), (&json!(20), &json!(520)));
    let replayed = bank.replay(&["balances"]);
    assert_eq!((&replayed[0]["generation"], &replayed[0]["events"]), (&json!(2), &json!(520)));
    assert_eq!(bank.json(&["balances", "--json"]), before);
    let status = bank.json(&["status", "--json"]);
    let expected = ["name", "generation", "checkpoint", "lag", "state"].map(|field| &status["projections"][0][field]);
    assert_eq!(expected, [&json!("balances"), &json!(2), &json!(520), &json!(0), &json!("live")]);
    bank.run(&["replay", "balance"]).fails_with(&["balance", "balances, monthly-turnover"]);
    assert_eq!(bank.run(&["replay"]).code, Some(2));
}

fn generations_are_shown_and_the_live_one_is_not_dropped(bank: &Bank) {
    bank.run(&["generate", "50", "--accounts", "5"]).success();
    assert_eq!(bank.json(&["generations", "balances", "list", "--json"])["generations"], json!([]));
    bank.run(&["balances"]).success();
    bank.run(&["replay", "balances", "--keep-old", "0"]).success();
    let listed = bank.json(&["generations", "balances", "list", "--json"]);
    let live = &listed["generations"][0];
    let expected = [&json!(2), &json!("live"), &json!(55), &json!(null)];
    assert_eq!(["generation", "state", "checkpoint", "failure"].map(|field| &live[field]), expected, "{listed}");
    bank.run(&["generations", "balances", "switch", "2"]).fails_with(&["generation 2 of balances is live already"]);
    bank.run(&["generations", "balances", "switch", "1"]).fails_with(&["no generation 1", "it has: 2"]);
    bank.run(&["generations", "balances", "drop", "2"]).fails_with(&["generation 2 of balances is live"]);
    bank.run(&["generations", "balances", "drop", "1"]).fails_with(&["no generation 1", "it has: 2"]);
    bank.run(&["generations", "balance", "list"]).fails_with(&["balances, monthly-turnover"]);
    assert_eq!(bank.json(&["generations", "balances", "list", "--json"]), listed);
    assert_eq!(bank.run(&["generations", "balances"]).code, Some(2));
}

fn one_goes_back_to_what_a_replay_has_replaced(bank: &Bank) {
    bank.run(&["generate", "50", "--accounts", "5"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["replay", "balances"]).success();
    bank.run(&["generate", "50", "--accounts", "5", "--seed", "2"]).success();
    let before = bank.json(&["balances", "--json"]);
    let back = bank.run(&["generations", "balances", "switch", "1"]).success();
    assert!(back.out.starts_with("balances: generation 1 is live, after 50 events that came since"), "{back:?}");
    assert_eq!(bank.json(&["balances", "--json"]), before);
    bank.run(&["verify", "balances"]).success();
    let dry = bank.run(&["replay", "balances", "--dry-run"]).success();
    assert!(dry.out.starts_with("balances: would read 105 events after 0 up to 105\n"), "{dry:?}");
    bank.run(&["replay", "balances", "--to", "60"]).success();
    let at = bank.json(&["read-model", "list", "balances", "--generation", "3", "--json"]);
    assert_eq!((&at["checkpoint"], &at["generation"]), (&json!(60), &json!(3)));
    bank.run(&["generations", "balances", "switch", "3"]).fails_with(&["is at 60 of log 0 and the live one at 105"]);
    assert_eq!(bank.replay(&["balances", "--verify"])[0]["verified"]["differences"], 0);
}

fn documents_are_shown_as_they_are_and_were(bank: &Bank) {
    bank.run(&["open", "7", "Jana", "--on", "2026-01-05"]).success();
    bank.run(&["open", "8", "Petr", "--on", "2026-01-05"]).success();
    bank.run(&["read-model", "get", "balances", "7"]).fails_with(&["balances has no live generation"]);
    bank.run(&["deposit", "7", "5.00", "--on", "2026-02-01"]).success();
    // Recorded later, dated earlier.
    bank.run(&["deposit", "7", "1.00", "--on", "2026-01-31"]).success();
    bank.run(&["balances"]).success();
    let balance = |at: &[&str]| {
        let words = [&["read-model", "get", "balances", "7", "--json"], at].concat();
        bank.json(&words)["document"]["balance"].clone()
    };
    assert_eq!((balance(&[]), balance(&["--at", "3"])), (json!(600), json!(500)));
    assert_eq!((balance(&["--at", "occurred:2026-01-31"]), balance(&["--at", "version:1"])), (json!(100), json!(0)));
    assert_eq!(balance(&["--at", "recorded:2100-01-01"]), json!(600));
    bank.run(&["read-model", "get", "balances", "7", "--at", "recorded:2026-01-01"]).fails_with(&["no document \"7\""]);
    bank.run(&["read-model", "get", "balances", "7", "--at", "5"]).fails_with(&["5 lies past the last event"]);
    bank.run(&["read-model", "get", "balances", "9"]).fails_with(&["balances has no document \"9\" at 4"]);
    assert_eq!(bank.run(&["read-model", "get", "balances", "7", "--at", "yesterday"]).code, Some(2));

    let first = bank.json(&["read-model", "list", "balances", "--limit", "1", "--json"]);
    assert_eq!((&first["documents"][0]["key"], &first["next"]), (&json!("7"), &json!("7")));
    let second = bank.json(&["read-model", "list", "balances", "--after", "7", "--json"]);
    assert_eq!((&second["documents"][0]["key"], &second["next"]), (&json!("8"), &json!(null)));
    let months = bank.run(&["read-model", "list", "monthly-turnover"]);
    months.fails_with(&["monthly-turnover has no live generation"]);

    let diff = ["read-model", "diff", "balances", "7", "--from", "occurred:2026-01-31", "--to", "4"];
    let changed = bank.json(&[&diff[..], &["--json"]].concat());
    assert_eq!(changed["fields"], json!([{"path": "$.balance", "from": 100, "to": 600}]));
    assert!(bank.run(&diff).success().out.contains("$.balance: from 100, to 600"));
}

#[test]
fn the_same_seed_generates_the_same_transactions_and_goes_on() {
    let banks = [Bank::new(), Bank::new()];
    for bank in &banks {
        bank.run(&["generate", "300", "--accounts", "7", "--seed", "3"]).success();
    }
    let [first, second] = banks.each_ref().map(|bank| bank.json(&["balances", "--json"]));
    assert_eq!(first, second);
    banks[0].run(&["generate", "300", "--accounts", "7", "--seed", "4"]).success();
    let more = banks[0].json(&["balances", "--json"]);
    assert_eq!((&more["position"], &more["accounts"]), (&json!(607), &json!(7)));
}

#[test]
fn commands_run_in_one_process_line_by_line() {
    let mut command = program();
    command.args(["--store", "memory:", "run", "-"]);
    let script = "# a bank\nopen 7 'Jana Nová'\n\ndeposit 7 5.00\nwithdraw 7 6.00\ndeposit 7\nnonsense\n\
                  run x\naccount 7 --json\nopen 8 \"x\n";
    let answer = with_stdin(command, script);
    assert_eq!(answer.code, Some(1));
    assert!(answer.out.ends_with("\"owner\":\"Jana Nová\"}\n"), "{}", answer.out);
    assert!(answer.err.contains("arguments were not provided: <AMOUNT>;"), "{}", answer.err);
    let failed: Vec<_> = answer.err.lines().map(|line| line.split(": ").nth(1).unwrap().to_owned()).collect();
    assert_eq!(failed, ["-:5", "-:6", "-:7", "-:8", "-:10", "5 of 8 commands failed; see above"], "{}", answer.err);
}

#[test]
fn wrong_usage_is_2() {
    let bank = Bank::new();
    let wrong: [&[&str]; 7] = [
        &["nonsense"],
        &["import"],
        &["deposit", "7"],
        &["account", "7", "--at-version", "1", "--as-of", "1993-01-01"],
        &["balances", "--at-position", "x"],
        &["generate", "10", "--accounts", "0"],
        &["balances", "--store", "postgres:x"],
    ];
    for args in wrong {
        assert_eq!(bank.run(args).code, Some(2), "{args:?}");
    }
    assert_eq!(program().args(["--store", "memory:"]).output().unwrap().status.code(), Some(2));
}

/// Whoever reads may go away, and that is neither an error nor a panic.
fn a_reader_that_goes_away_is_no_failure(bank: &Bank) {
    bank.run(&["generate", "20000", "--accounts", "10000"]).success();
    let mut child = bank.command(&["balances"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let answer = common::answer(child.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""));
}
