//! Killed at random moments and gone on with: nothing lost, nothing doubled, the old read model served.

#![cfg(unix)]

mod common;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use common::{Bank, HEADER, on_each_store, row};

/// Lets a program run for a random while, kills it, and says for how long it ran; `None` if it had ended by itself.
fn kill_after(mut child: Child, longest: u64) -> Option<Duration> {
    let moment = Duration::from_millis(fastrand::u64(0..longest));
    std::thread::sleep(moment);
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running.then_some(moment)
}

on_each_store! {
    an_import_that_is_killed_again_and_again_books_every_row_once
    two_imports_at_once_book_every_row_once
    a_replay_that_is_killed_leaves_the_old_read_model_and_the_next_one_ends
    an_interrupted_import_says_how_far_it_came_and_is_gone_on_with
    who_replays_is_told_and_once_it_is_killed_taken_over_within_seconds
    going_back_that_is_killed_leaves_one_generation_live
}

/// `no-lost-append`, `one-outcome-per-key`, `exactly-once-read-model`.
fn an_import_that_is_killed_again_and_again_books_every_row_once(bank: &Bank) {
    let (text, balances) = common::synthetic(6_000, 300);
    let ledger = bank.write("ledger.csv", text);
    let mut moments = Vec::new();
    for _ in 0..12 {
        moments.push(kill_after(bank.start(&["import", ledger.to_str().unwrap()]), 400));
        if fastrand::bool() && bank.is_there() {
            // Whoever reads in between sees whole transactions, and moves the checkpoints on.
            let listed = bank.run(&["balances", "--json"]);
            assert!(listed.code == Some(0), "{listed:?} after {moments:?}");
        }
    }
    let report = bank.import(&ledger).success().json();
    assert_eq!(report["transactions"], 6_000, "{moments:?}");
    assert_eq!((&report["refused"], &report["malformed"]), (&json!(0), &json!(0)), "{moments:?}");
    bank.holds_exactly(6_000, &balances, &format!("after {moments:?}"));
}

/// `one-outcome-per-key`: whichever comes first books a row, and the other finds it booked.
fn two_imports_at_once_book_every_row_once(bank: &Bank) {
    let (text, balances) = common::synthetic(4_000, 200);
    let ledger = bank.write("ledger.csv", text);
    let import = || {
        let mut command = bank.command(&["import", ledger.to_str().unwrap(), "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let reports = [import(), import()].map(|child| {
        let answer = common::answer(child.wait_with_output().unwrap()).success();
        assert_eq!(answer.err, "");
        answer.json()
    });
    let sum = |field: &str| reports.iter().map(|report| report[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("added"), sum("already")), (4_000, 4_000), "{reports:?}");
    bank.holds_exactly(4_000, &balances, &format!("{reports:?}"));
}

fn a_replay_that_is_killed_leaves_the_old_read_model_and_the_next_one_ends(bank: &Bank) {
    bank.run(&["generate", "30000", "--accounts", "300"]).success();
    let before = bank.json(&["balances", "--json"]);
    let generation = |bank: &Bank| bank.json(&["status", "--json"])["projections"][0]["generation"].clone();
    let mut moments = Vec::new();
    for _ in 0..10 {
        let served = generation(bank);
        let killed = kill_after(bank.start(&["replay", "balances"]), 500);
        moments.push(killed);
        assert_eq!(bank.json(&["balances", "--json"]), before, "{moments:?}");
        assert!(generation(bank).as_u64() >= served.as_u64(), "{moments:?}");
    }
    let served = generation(bank).as_u64().unwrap();
    let replayed = bank.replay(&["balances"]);
    assert!(replayed[0]["generation"].as_u64().unwrap() > served, "{replayed:?} {moments:?}");
    assert_eq!(bank.json(&["balances", "--json"]), before, "{moments:?}");
    assert_eq!(bank.json(&["status", "--json"])["projections"][0]["building"], Value::Null, "{moments:?}");
}

/// The ledger comes through a pipe that stays open, so the import is surely under way when it is interrupted.
fn an_interrupted_import_says_how_far_it_came_and_is_gone_on_with(bank: &Bank) {
    let rows: Vec<_> = (1..=50).map(|n| row(n, n % 5, "930102", "PRIJEM", "1.00")).collect();
    let text = HEADER.to_owned() + &rows[..30].concat();
    let mut command = bank.command(&["import", "/dev/stdin"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    // More than the lines that are handed over at once, so that some are booked while the pipe is open.
    pipe.write_all(text.as_bytes()).unwrap();
    for n in 0..300 {
        pipe.write_all(row(1_000 + n, 6, "930102", "PRIJEM", "1.00").as_bytes()).unwrap();
    }
    let begun = Instant::now();
    while bank.run(&["history", "6"]).code != Some(0) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was booked");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let answer = common::answer(child.wait_with_output().unwrap());
    drop(pipe);
    assert_eq!(answer.code, Some(130), "{answer:?}");
    assert!(answer.out.contains("; stopped after ") && answer.err.starts_with("error: interrupted"), "{answer:?}");
    let report = bank.import(&bank.write("ledger.csv", HEADER.to_owned() + &rows.concat())).success().json();
    assert_eq!((&report["transactions"], &report["credits"]), (&json!(50), &json!("50.00")));
    let known = [&report["already"], &report["added"]].map(|count| count.as_u64().unwrap());
    assert_eq!(known[0] + known[1], 50, "{report}");
}

/// The lease of a dead replay was waited for until an operator dropped what it had built.
fn who_replays_is_told_and_once_it_is_killed_taken_over_within_seconds(bank: &Bank) {
    let building = || bank.json(&["status", "--json", "--over", "0"])["projections"][0]["building"] != Value::Null;
    let (mut told, mut others) = (None, Vec::new());
    // Until there is so much to replay that the second comes while the first is at work.
    for round in 1..=10 {
        let more = (round * 20_000).to_string();
        bank.run(&["generate", &more, "--accounts", "300", "--seed", &round.to_string()]).success();
        let before = bank.json(&["balances", "--json"]);
        let first = Running(bank.start(&["replay", "balances", "--verify"]));
        let by = format!(":{}:", first.0.id());
        let begun = Instant::now();
        while !building() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is built");
        }
        let second = bank.run(&["replay", "balances"]);
        // Killed while it holds the lease, if it was not too fast.
        drop(first);
        let killed = Instant::now();
        let next = bank.run(&["replay", "balances"]).success();
        assert_eq!(bank.json(&["balances", "--json"]), before);
        assert!(killed.elapsed() < Duration::from_secs(60), "{next:?}");
        if second.code == Some(1) && second.err.contains("balances is being replayed by ") {
            told = Some((second, by));
            break;
        }
        others.push(second);
    }
    let Some((second, by)) = told else { panic!("no second replay found the first at work: {others:?}") };
    assert!(second.err.contains(&by), "{by:?} is not in {second:?}");
    bank.run(&["verify", "balances"]).success();
}

/// Ends with the test that started it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A generation that was replaced takes what came since before it is live again; whenever that is broken off, one is live.
fn going_back_that_is_killed_leaves_one_generation_live(bank: &Bank) {
    bank.run(&["generate", "5000", "--accounts", "100"]).success();
    bank.run(&["balances"]).success();
    bank.run(&["replay", "balances"]).success();
    bank.run(&["generate", "20000", "--accounts", "100", "--seed", "2"]).success();
    let before = bank.json(&["balances", "--json"]);
    let generations =
        || bank.json(&["generations", "balances", "list", "--json"])["generations"].as_array().unwrap().clone();
    let numbers = |state: &str| {
        let all = generations().into_iter().filter(|info| info["state"] == state);
        all.map(|info| info["generation"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let mut moments = Vec::new();
    for _ in 0..8 {
        let back = 3 - numbers("live")[0];
        let killed = kill_after(bank.start(&["generations", "balances", "switch", &back.to_string()]), 400);
        moments.push(killed);
        assert_eq!(numbers("live").len(), 1, "{moments:?}: {:?}", generations());
        assert_eq!(bank.json(&["balances", "--json"]), before, "{moments:?}");
    }
    let back = 3 - numbers("live")[0];
    bank.run(&["generations", "balances", "switch", &back.to_string()]).success();
    assert_eq!(numbers("live"), [back], "{moments:?}");
    bank.run(&["verify", "balances"]).success();
}
