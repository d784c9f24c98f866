//! A year of a real bank's ledger, on every store, against what an independent script found in it.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use common::{Answer, Bank, on_each_store, program, with_stdin};

on_each_store! {
    a_year_of_the_bank_is_exact_and_after_a_replay
}

/// What `run` printed, a JSON text on each line.
fn lines(answer: &Answer) -> Vec<Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn commands(ledger: &Path) -> String {
    format!(
        "import '{}' --json\nbalances --json\nbalances --as-of 1993-06-30 --json\naccount 2378 --json\n\
         account 2378 --as-of 1993-06-30 --json\nturnover --json\nimport '{}' --json\nstatus --json\n",
        ledger.display(),
        ledger.display()
    )
}

/// By account: the exact sum of its transactions, the bank's own closing balance, how often interest was booked.
fn closing(file: &Path) -> BTreeMap<String, (String, i64, i64)> {
    let minor = |text: &str| text.replace('.', "").parse::<i64>().unwrap();
    let text = fs::read_to_string(file).unwrap();
    let rows = text.lines().skip(1).map(|line| line.trim_end().split(';').collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), (row[2].to_owned(), minor(row[3]), row[4].parse().unwrap()))).collect()
}

#[track_caller]
fn check(answers: &[Value], closing_file: &Path) {
    let [import, balances, june, account, account_june, turnover, again, ..] = answers else {
        panic!("{answers:?}");
    };
    for (import, added, already) in [(import, 28_205, 0), (again, 0, 28_205)] {
        assert_eq!(import["transactions"], 28_205);
        assert_eq!(import["accounts"], 1_139);
        assert_eq!((&import["added"], &import["already"]), (&json!(added), &json!(already)));
        assert_eq!((&import["refused"], &import["malformed"]), (&json!(0), &json!(0)));
        assert_eq!((&import["credits"], &import["debits"]), (&json!("120442237.40"), &json!("83866291.30")));
    }
    assert_eq!(balances["position"], 29_344, "a transaction each, and an opening for each account");
    assert_eq!((&balances["accounts"], &balances["total"]), (&json!(1_139), &json!("36575946.10")));
    assert_eq!((&june["accounts"], &june["total"]), (&json!(554), &json!("15946199.00")));
    assert_eq!(account["balance"], "62042.00");
    assert_eq!(account_june["balance"], "54298.70");

    let expected = closing(closing_file);
    let listed = balances["balances"].as_array().unwrap();
    assert_eq!(listed.len(), expected.len());
    for entry in listed {
        let (sum, bank, interest) = &expected[entry["account"].as_str().unwrap()];
        assert_eq!(entry["balance"], json!(sum), "{entry}");
        let off = (sum.replace('.', "").parse::<i64>().unwrap() - bank).abs();
        assert!(off <= 10 * interest, "{entry}: the bank says {bank}");
    }
    let count: u64 = turnover.as_array().unwrap().iter().map(|month| month["count"].as_u64().unwrap()).sum();
    assert_eq!((turnover.as_array().unwrap().len(), count), (12, 28_205));
}

#[test]
fn a_year_of_the_bank_is_exact_in_memory() {
    let Some((ledger, closing)) = common::real_ledger() else { return };
    let mut command = program();
    command.args(["--store", "memory:", "run", "-"]);
    let answer = with_stdin(command, &commands(&ledger)).success();
    check(&lines(&answer), &closing);
}

fn a_year_of_the_bank_is_exact_and_after_a_replay(bank: &Bank) {
    let Some((ledger, closing)) = common::real_ledger() else { return };
    let mut answers = lines(&with_stdin(bank.command(&["run", "-"]), &commands(&ledger)).success());
    check(&answers, &closing);

    let replayed = bank.replay(&["--all"]);
    assert_eq!((&replayed[0]["projection"], &replayed[0]["generation"]), (&json!("balances"), &json!(2)));
    assert_eq!(replayed[0]["events"], 29_344);
    answers[1] = bank.json(&["balances", "--json"]);
    answers[2] = bank.json(&["balances", "--as-of", "1993-06-30", "--json"]);
    answers[5] = bank.json(&["turnover", "--json"]);
    check(&answers, &closing);
}
