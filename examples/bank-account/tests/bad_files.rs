//! Files that are not what they should be: one line that says what to do, exit code 1, never a panic.

mod common;

use std::fs;

use common::{Bank, HEADER, program, row};
use serde_json::json;

#[test]
fn a_ledger_that_is_none_is_refused() {
    let bank = Bank::new();
    bank.import(&bank.path("none.csv")).fails_with(&["none.csv cannot be opened", "No such file"]);
    bank.import(bank.folder.path()).fails_with(&["is a directory"]);
    assert!(!bank.path("bank.db").exists(), "a bank was made for a ledger that is not there");
    bank.import(&bank.write("empty.csv", "")).fails_with(&["empty.csv is empty"]);
    bank.import(&bank.write("text.csv", "hello\nworld\n")).fails_with(&["text.csv is no ledger", "trans_id"]);
}

#[test]
fn a_ledger_that_is_cut_off_says_how_far_it_got_and_can_be_gone_on_with() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    let bank = Bank::new();
    let (text, balances) = common::synthetic(3_000, 50);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let cut = bank.write("cut.csv.gz", &whole[..whole.len() / 2]);
    let answer = bank.import(&cut);
    let answer = answer.fails_with(&["cut.csv.gz is cut off or damaged after line"]);
    let until_then = answer.json();
    assert_eq!((&until_then["refused"], &until_then["malformed"]), (&json!(0), &json!(0)), "{until_then}");
    assert!(until_then["added"].as_u64().unwrap() > 100, "{until_then}");

    let report = bank.import(&bank.write("whole.csv.gz", &whole)).success().json();
    assert_eq!(report["transactions"], 3_000);
    assert_eq!(report["already"], until_then["added"]);
    let total: i64 = balances.iter().sum();
    let listed = bank.json(&["balances", "--json"]);
    assert_eq!(listed["total"].as_str().unwrap().replace('.', ""), total.to_string());
}

#[test]
fn a_bank_that_does_not_exist_is_not_made_by_looking() {
    let bank = Bank::new();
    let looks: [&[&str]; 6] =
        [&["balances"], &["account", "7"], &["status"], &["turnover"], &["replay", "--all"], &["history", "7"]];
    for args in looks {
        bank.run(args).fails_with(&["there is no bank at", "bank.db"]);
        assert!(!bank.path("bank.db").exists(), "{args:?} made it");
    }
}

#[test]
fn a_file_that_is_no_bank_is_refused_and_left_alone() {
    let bank = Bank::new();
    for command in ["status", "balances"] {
        let run = |store: &str| {
            let store = format!("sqlite:{store}");
            common::answer(
                program().current_dir(bank.folder.path()).args(["--store", &store, command]).output().unwrap(),
            )
        };
        run(".").fails_with(&["is a directory"]);
        bank.write("text", "this is a text and no database, however long it may be. ".repeat(100));
        run("text").fails_with(&["text", "database"]);
        assert!(fs::read_to_string(bank.path("text")).unwrap().starts_with("this is a text"));
    }
}

#[test]
fn a_truncated_bank_is_refused() {
    let bank = Bank::new();
    bank.run(&["generate", "5000"]).success();
    let whole = fs::read(bank.path("bank.db")).unwrap();
    for part in [2, 3, 10] {
        let cut = bank.write("cut.db", &whole[..whole.len() / part]);
        let store = format!("sqlite:{}", cut.display());
        for command in ["balances", "turnover", "status"] {
            let answer = program().args(["--store", &store, command]).output().unwrap();
            common::answer(answer).fails_with(&["cut.db"]);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_read_only_bank_is_read_while_nothing_needs_writing() {
    use std::os::unix::fs::PermissionsExt;

    let bank = Bank::new();
    let set = |mode: u32| {
        for file in fs::read_dir(bank.folder.path()).unwrap() {
            fs::set_permissions(file.unwrap().path(), fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let ledger = bank.write("ledger.csv", HEADER.to_owned() + &row(1, 7, "930102", "PRIJEM", "10.00"));
    bank.import(&ledger).success();
    set(0o444);
    assert_eq!(bank.json(&["balances", "--json"])["total"], "10.00");
    assert_eq!(bank.json(&["balances", "--as-of", "1993-01-01", "--json"])["accounts"], 0);
    assert_eq!(bank.json(&["account", "7", "--json"])["balance"], "10.00");
    assert_eq!(bank.json(&["status", "--json"])["projections"][0]["lag"], 0);
    assert_eq!(bank.json(&["turnover", "--json"])[0]["count"], 1);
    bank.run(&["deposit", "7", "1.00"]).fails_with(&["bank.db", "reading only"]);
    assert_eq!(bank.import(&ledger).success().json()["already"], json!(1), "what is known already needs no writing");

    set(0o644);
    bank.run(&["deposit", "7", "1.00"]).success();
    set(0o444);
    assert_eq!(bank.json(&["account", "7", "--json"])["balance"], "11.00");
    bank.run(&["balances"]).fails_with(&["bank.db", "reading only"]);
    set(0o644);
    assert_eq!(bank.json(&["balances", "--json"])["total"], "11.00");
}

/// A bank that is copied into a directory that only others may write was not readable at all: the file's own
/// permissions let it be written, so it was opened for that, and its log could not be made beside it.
#[cfg(unix)]
#[test]
fn a_bank_in_a_directory_that_cannot_be_written_is_read_while_nothing_needs_writing() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    let bank = Bank::new();
    let ledger = bank.write("ledger.csv", HEADER.to_owned() + &row(1, 7, "930102", "PRIJEM", "10.00"));
    bank.import(&ledger).success();
    let set = |mode: u32| fs::set_permissions(bank.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    // Permissions stop everybody except root, who can be somebody else instead.
    let root = fs::write(bank.path("probe"), "").is_ok();
    let run = |args: &[&str]| {
        let mut program = program();
        program.current_dir(bank.folder.path()).args(args);
        if root {
            program.uid(NOBODY).gid(NOBODY);
        }
        program.output().map(common::answer)
    };
    match run(&["account", "7"]) {
        Ok(answer) => drop(answer.success()),
        Err(error) => eprintln!("skipped: the program cannot be run without root's rights: {error}"),
    }
    for (args, shows) in [(["balances", "--json"], "10.00"), (["turnover", "--json"], "10.00")] {
        if let Ok(answer) = run(&args) {
            assert!(answer.success().json().to_string().contains(shows), "{args:?}");
        }
    }
    if let Ok(answer) = run(&["deposit", "7", "1.00"]) {
        answer.fails_with(&["bank.db", "reading only"]);
    }
    set(0o755);
}
