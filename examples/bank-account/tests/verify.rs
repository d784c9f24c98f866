//! A read model that somebody has been at by hand is found out, on each store; one that is written on is not.

mod common;

use common::{Answer, Bank, on_each_store};
use serde_json::{Value, json};

on_each_store! {
    what_was_changed_by_hand_is_found_by_document_and_field
    a_read_model_that_is_written_on_meanwhile_is_right
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn what_was_changed_by_hand_is_found_by_document_and_field(bank: &Bank) {
    bank.run(&["generate", "2000", "--accounts", "50"]).success();
    bank.run(&["verify", "balances"]).fails_with(&["balances has no live generation of version 1"]);
    let listed = bank.json(&["balances", "--json"]);
    bank.run(&["turnover"]).success();
    let balance = |account: &str| {
        let all = listed["balances"].as_array().unwrap();
        all.iter().find(|entry| entry["account"] == account).unwrap()["balance"].as_str().unwrap().replace('.', "")
    };
    for projection in ["balances", "monthly-turnover"] {
        let right = bank.run(&["verify", projection, "--json"]).success();
        assert_eq!(lines(&right).last().unwrap()["differences"], 0, "{right:?}");
    }
    let right = bank.run(&["verify", "balances"]).success();
    assert!(right.out.contains("50 documents compared, all are what history makes of them"), "{right:?}");

    let accounts: Vec<_> =
        listed["balances"].as_array().unwrap().iter().map(|entry| entry["account"].as_str().unwrap()).collect();
    let (changed, gone, copied, moved) = (accounts[0], accounts[1], accounts[2], accounts[3]);
    let columns = "generation, tenant, log, position, version, recorded_at, occurred_at, positions, body";
    let of_key = |key: &str| format!("FROM documents WHERE key = '{key}'");
    let hand = |sql: String| assert_eq!(bank.by_hand(&sql), 1, "{sql}");
    hand(format!("UPDATE documents SET body = '{{\"balance\":17}}' WHERE key = '{changed}'"));
    hand(format!("DELETE {}", of_key(gone)));
    hand(format!("INSERT INTO documents ({columns}, key) SELECT {columns}, 'ghost' {}", of_key(copied)));
    hand(format!("UPDATE documents SET tenant = 'nobody' WHERE key = '{moved}'"));

    let wrong = bank.run(&["verify", "balances", "--json"]);
    assert_eq!((wrong.code, wrong.err.as_str()), (Some(3), ""), "{wrong:?}");
    let mut found = lines(&wrong);
    let report = found.pop().unwrap();
    assert_eq!((&report["documents"], &report["differences"]), (&json!(52), &json!(5)));
    let of = |key: &str| found.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("{key} in {wrong:?}"));
    let is: i64 = balance(changed).parse().unwrap();
    assert_eq!(of(changed)["fields"], json!([{"path": "$.balance", "expected": is, "found": 17}]));
    assert_eq!(of(gone)["kind"], "missing");
    assert_eq!(of("ghost")["kind"], "unexpected");
    let moves = found.iter().filter(|line| line["key"] == moved).map(|line| (&line["tenant"], &line["kind"]));
    let expected = [(&json!("default"), &json!("missing")), (&json!("nobody"), &json!("unexpected"))];
    assert_eq!(moves.collect::<Vec<_>>(), expected);

    let text = bank.run(&["verify", "balances", "--key", changed, copied]);
    assert_eq!(text.code, Some(3), "{text:?}");
    assert!(text.out.contains(&format!("$.balance: history {is}, stored 17")), "{text:?}");
    assert!(text.out.contains("2 documents compared, 1 is not"), "{text:?}");
    bank.run(&["verify", "balances", "--key", copied]).success();
    bank.run(&["verify", "monthly-turnover"]).success();
    bank.run(&["verify", "balance"]).fails_with(&["balances, monthly-turnover"]);

    // It was only looked at: it is as wrong as it was, until it is replayed.
    assert_eq!(bank.run(&["verify", "balances"]).code, Some(3));
    bank.run(&["replay", "balances"]).success();
    bank.run(&["verify", "balances"]).success();
    bank.run(&["verify", "balances", "--sample", "10"]).success();

    // What it is found by is not what it says.
    let live = "generation = (SELECT max(generation) FROM document_fields)";
    hand(format!("UPDATE document_fields SET value = substr(value, 1, 7) WHERE key = '{copied}' AND {live}"));
    let text = bank.run(&["verify", "balances"]);
    assert_eq!(text.code, Some(3), "{text:?}");
    let line = format!("fields.cents: history {}, stored \"not read as a value: 0x", balance(copied));
    assert!(text.out.contains(&line) && text.out.contains("50 documents compared, 1 is not"), "{text:?}");
    bank.run(&["replay", "balances", "--keep-old", "0"]).success();

    // What would be found and is not there.
    for (tenant, key) in [("''", "'left-over'"), ("'nobody'", "'also'")] {
        let live = "generation = (SELECT max(generation) FROM document_fields)";
        let row = format!("SELECT generation, {tenant}, {key}, log, field, value FROM document_fields");
        let into = "INSERT INTO document_fields (generation, tenant, key, log, field, value)";
        hand(format!("{into} {row} WHERE key = '{copied}' AND {live}"));
    }
    let text = bank.run(&["verify", "balances"]);
    assert_eq!(text.code, Some(3), "{text:?}");
    let position = &listed["position"];
    let cents = format!("  fields.cents: history absent, stored {}\n", balance(copied));
    for who in ["\"left-over\"", "\"also\" of tenant nobody"] {
        let line = format!("{who} should not be there, at position {position}\n{cents}");
        assert!(text.out.contains(&line), "{line} in {text:?}");
    }
    assert!(text.out.contains("50 documents compared, 2 are not"), "{text:?}");
    bank.run(&["verify", "balances", "--key", copied]).success();
    bank.run(&["replay", "balances"]).success();
    bank.run(&["verify", "balances"]).success();
}

fn a_read_model_that_is_written_on_meanwhile_is_right(bank: &Bank) {
    bank.run(&["generate", "500", "--accounts", "20"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["turnover"]).success();
    let mut script = String::new();
    for n in 0..60 {
        script.push_str(&format!("generate 50 --accounts 20 --seed {n}\nbalances --top 1\nturnover\n"));
    }
    let file = bank.write("script", script);
    let mut writer = bank.start(&["run", file.to_str().unwrap()]);
    let mut rounds = 0;
    while writer.try_wait().unwrap().is_none() {
        for projection in ["balances", "monthly-turnover"] {
            bank.run(&["verify", projection]).success();
        }
        rounds += 1;
    }
    assert!(writer.wait().unwrap().success() && rounds > 0, "{rounds} rounds");
    assert_eq!(bank.json(&["balances", "--json"])["position"], 3_520);
}
