//! `doctor`, `status` and `resume`: what stands still is told with its reason and remedy, in every process.

mod common;

use common::{Answer, Bank, on_each_store};
use serde_json::{Value, json};

on_each_store! {
    a_bank_that_is_well_is_told_so
    an_event_that_cannot_be_taken_is_named_until_it_is_mended_and_resumed
    what_nobody_brings_further_is_named
    a_worker_goes_on_after_a_fix_when_an_operator_says_so
}

fn doctor(bank: &Bank) -> (Answer, Vec<String>) {
    let answer = bank.run(&["doctor", "--json", "--watch", "0.3"]);
    let report = answer.json();
    let codes = report["findings"].as_array().unwrap().iter();
    let codes = codes.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect();
    (answer, codes)
}

#[track_caller]
fn finding(answer: &Answer, code: &str) -> Value {
    let all = answer.json()["findings"].as_array().unwrap().clone();
    all.into_iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code} in {answer:?}"))
}

fn status(bank: &Bank, projection: &str) -> Value {
    let all = bank.json(&["status", "--json", "--over", "0"])["projections"].as_array().unwrap().clone();
    all.into_iter().find(|status| status["name"] == projection).unwrap()
}

fn a_bank_that_is_well_is_told_so(bank: &Bank) {
    bank.run(&["generate", "100", "--accounts", "5"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["turnover"]).success();
    let well = bank.run(&["doctor"]).success();
    assert_eq!((well.out.as_str(), well.err.as_str()), ("all is well with 2 projections and their stores\n", ""));
    let (answer, codes) = doctor(bank);
    assert_eq!((answer.code, &answer.json()["well"], codes.len()), (Some(0), &json!(true), 0));
    let balances = status(bank, "balances");
    assert_eq!((&balances["lag"], &balances["lag_seconds"]), (&json!(0), &json!(0.0)));
}

fn what_nobody_brings_further_is_named(bank: &Bank) {
    bank.run(&["open", "7", "Jana"]).success();
    let (answer, codes) = doctor(bank);
    assert_eq!((answer.code, answer.err.as_str()), (Some(3), ""), "{answer:?}");
    assert_eq!(codes, ["never-run", "never-run"]);
    bank.run(&["balances"]).success();
    bank.run(&["turnover"]).success();
    bank.run(&["close", "7"]).success();
    let (answer, codes) = doctor(bank);
    // It takes no closing: nothing is left for the other one.
    assert_eq!((answer.code, codes), (Some(3), vec!["nobody-runs-it".to_owned()]), "{answer:?}");
    let found = finding(&answer, "nobody-runs-it");
    assert!(found["what"].as_str().unwrap().contains("balances is 1 events behind"), "{found}");
    let status = bank.run(&["status"]).success().out;
    let row: Vec<_> = status.lines().find(|line| line.starts_with("balances")).unwrap().split_whitespace().collect();
    assert_eq!((row[1], row[4], row[6]), ("1", "1", "0"), "version, lag and rate: {status}");
    assert!(row[5].parse::<f64>().unwrap() > 0.0, "{status}");
}

/// An event that no code of this bank has recorded.
fn record_by_hand(bank: &Bank) {
    let (columns, values) = match bank.store().starts_with("postgres") {
        true => ("category, id", "category, gen_random_uuid()"),
        false => ("id", "randomblob(16)"),
    };
    let added = bank.by_hand(&format!(
        "INSERT INTO events (position, version, recorded_at, schema_version, tenant, stream, event_type, payload, {columns}) \
         SELECT position + 1, 1, recorded_at, 1, tenant, 'account-8', 'Opened', '{{\"owner\":7}}', {values} \
         FROM events ORDER BY position DESC LIMIT 1"
    ));
    assert_eq!(added, 1);
}

/// What an operator would do who can mend nothing else.
fn mend_by_hand(bank: &Bank) {
    bank.by_hand(match bank.store().starts_with("postgres") {
        true => "ALTER TABLE events DISABLE TRIGGER ALL",
        false => "DROP TRIGGER events_are_never_changed",
    });
    let payload = r#"{"owner":"Petr","overdraft_limit":null}"#;
    assert_eq!(bank.by_hand(&format!("UPDATE events SET payload = '{payload}' WHERE stream = 'account-8'")), 1);
}

fn an_event_that_cannot_be_taken_is_named_until_it_is_mended_and_resumed(bank: &Bank) {
    bank.run(&["open", "7", "Jana"]).success();
    bank.run(&["balances"]).success();
    record_by_hand(bank);
    bank.run(&["balances"]).fails_with(&["balances halted at position 2", "stream account-8"]);
    bank.run(&["deposit", "7", "5.00"]).success();
    // The other one goes on.
    assert_eq!(bank.json(&["turnover", "--json"])[0]["count"], 1);

    let (answer, codes) = doctor(bank);
    assert_eq!((answer.code, codes), (Some(3), vec!["halted".to_owned()]), "{answer:?}");
    let halted = finding(&answer, "halted");
    assert_eq!((&halted["projection"], &halted["severity"]), (&json!("balances"), &json!("problem")));
    for says in ["event Opened (version 1 of stream account-8)", "since 2", "payload"] {
        assert!(halted["why"].as_str().unwrap().contains(says), "{halted}");
    }
    let balances = status(bank, "balances");
    assert_eq!((&balances["state"], &balances["lag"]), (&json!("halted"), &json!(2)));
    let since = balances["failure"]["since"].clone();
    bank.run(&["balances"]).fails_with(&["balances halted at position 2"]);
    assert_eq!(status(bank, "balances")["failure"]["since"], since, "it stands still since its first time");

    mend_by_hand(bank);
    let resumed = bank.json(&["resume", "balances", "--json"]);
    assert_eq!((&resumed["projection"], &resumed["failures"][0]["position"]), (&json!("balances"), &json!(2)));
    assert_eq!(status(bank, "balances")["state"], "live");
    assert_eq!(bank.json(&["balances", "--json"])["accounts"], 2);
    bank.run(&["doctor"]).success();
    assert!(bank.run(&["resume", "balances"]).success().out.contains("was not halted"));
    bank.run(&["resume", "balance"]).fails_with(&["balances, monthly-turnover"]);
}

/// Ends with the test that started it, whatever becomes of that.
struct Worker(std::process::Child);

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until a projection is in this state, with so much left to take.
fn until(bank: &Bank, projection: &str, state: &str, lag: u64) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let now = status(bank, projection);
        if (&now["state"], &now["lag"]) == (&json!(state), &json!(lag)) {
            return now;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{projection} is not {state}: {now}");
    }
}

/// A worker is another process than whoever resumes what it runs: it looked at its own memory alone.
fn a_worker_goes_on_after_a_fix_when_an_operator_says_so(bank: &Bank) {
    bank.run(&["open", "7", "Jana"]).success();
    let mut worker = Worker(bank.start(&["work"]));
    let owner = until(bank, "balances", "live", 0)["owner"]["holder"].clone();
    assert!(owner.is_string(), "nobody holds the lease, and yet it moves");
    record_by_hand(bank);
    bank.run(&["deposit", "7", "5.00"]).success();
    let halted = until(bank, "balances", "halted", 2);
    assert_eq!(
        (&halted["failure"]["stream"]["name"], &halted["failure"]["position"]),
        (&json!("account-8"), &json!(2))
    );
    until(bank, "monthly-turnover", "live", 0);
    let (answer, codes) = doctor(bank);
    assert_eq!((answer.code, codes), (Some(3), vec!["halted".to_owned()]), "{answer:?}");
    mend_by_hand(bank);
    bank.run(&["resume", "balances"]).success();
    until(bank, "balances", "live", 0);
    bank.run(&["doctor"]).success();
    assert!(worker.0.try_wait().unwrap().is_none(), "the worker has ended");
    bank.run(&["verify", "balances"]).success();
}

/// Whoever has a transaction open keeps everybody from writing, and is named.
#[test]
fn who_has_locked_the_file_is_named() {
    let bank = Bank::new();
    bank.run(&["open", "7", "Jana"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["turnover"]).success();
    let file = bank.store().strip_prefix("sqlite:").unwrap();
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (answer, codes) = doctor(&bank);
    assert_eq!((answer.code, codes), (Some(3), vec!["write-lock-held".to_owned()]), "{answer:?}");
    if cfg!(target_os = "linux") {
        let holder = &finding(&answer, "write-lock-held")["holders"][0];
        assert_eq!(holder["id"], format!("pid {}", std::process::id()), "{answer:?}");
    }
    other.execute_batch("ROLLBACK").unwrap();
    bank.run(&["doctor"]).success();
}

/// On a server it is a session that is named, with what it did last.
#[test]
fn who_has_left_a_transaction_open_on_the_server_is_named() {
    let Some(bank) = Bank::on_postgres() else { return };
    bank.run(&["open", "7", "Jana"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["turnover"]).success();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut conn = <sqlx::PgConnection as sqlx::Connection>::connect(bank.store()).await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut conn).await.unwrap();
        sqlx::raw_sql("BEGIN; DELETE FROM factum.documents WHERE key = '7'").execute(&mut conn).await.unwrap();
        let begun = std::time::Instant::now();
        let named = loop {
            let text = bank.run(&["doctor", "--watch", "0"]).out;
            if text.contains("[idle-in-transaction]") {
                break text;
            }
            assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{text}");
        };
        assert!(named.contains(&format!("  who  pid {pid} of ")), "{named}");
        assert!(named.contains("DELETE FROM factum.documents"), "{named}");
        sqlx::raw_sql("ROLLBACK").execute(&mut conn).await.unwrap();
    });
    bank.run(&["doctor"]).success();
}
