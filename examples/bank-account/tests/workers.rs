//! Several workers over one bank, killed, stopped and continued at random while others write: every read model is what
//! history makes of it, and nothing waits for the dead.

#![cfg(unix)]

mod common;

use std::time::{Duration, Instant};

use serde_json::Value;

use common::worker::{LONG, Worker, verified, wait_until};
use common::{Bank, on_each_store};

on_each_store! {
    workers_killed_stopped_and_continued_at_random_lose_nothing
    a_worker_says_what_it_does_and_ends_when_it_is_told_to
    what_a_dead_worker_drove_is_taken_over_and_what_a_stopped_one_holds_is_not_written
    a_name_that_is_none_is_told_before_anything_begins
}

/// Who drives each projection, by the answer to `/ready`.
fn holders(ready: &Value) -> Vec<String> {
    let projections = ready["projections"].as_array().unwrap();
    projections.iter().map(|of| of["holder"].as_str().unwrap_or_default().to_owned()).collect()
}

fn are_current(bank: &Bank) -> bool {
    let status = bank.json(&["status", "--json"]);
    status["projections"].as_array().unwrap().iter().all(|projection| projection["lag"] == 0)
}

/// `exactly-once-read-model`, whatever becomes of who drives it.
fn workers_killed_stopped_and_continued_at_random_lose_nothing(bank: &Bank) {
    let (text, balances) = common::synthetic(8_000, 300);
    let ledger = bank.write("ledger.csv", text);
    let mut import = bank.start(&["import", ledger.to_str().unwrap()]);
    wait_until("no bank was made", || bank.is_there());
    let mut workers: Vec<_> = (0..3).map(|_| Worker::start(bank, &[])).collect();
    let begun = Instant::now();
    let mut done = Vec::new();
    // A few seconds at least, so that leases are taken over, and to the end of the import.
    while begun.elapsed() < Duration::from_secs(12) || import.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < 2 * LONG, "the import does not end: {done:?}");
        let n = fastrand::usize(0..workers.len());
        if fastrand::bool() {
            workers.swap_remove(n).kill();
            workers.push(Worker::start(bank, &[]));
            done.push("killed".to_owned());
        } else {
            // Now and then for longer than a lease lasts.
            let stopped = Duration::from_millis(fastrand::u64(50..4_000));
            workers[n].signal("-STOP");
            std::thread::sleep(stopped);
            workers[n].signal("-CONT");
            done.push(format!("stopped for {stopped:?}"));
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..500)));
    }
    let imported = import.wait().unwrap();
    // An import that found the store locked for too long by who was stopped is run again.
    if !imported.success() {
        bank.import(&ledger).success();
    }
    wait_until(&format!("nobody drives what is left: {done:?}"), || are_current(bank));
    bank.holds_exactly(8_000, &balances, &format!("{done:?}"));
    verified(bank);
    workers.into_iter().for_each(|worker| drop(worker.end()));
}

fn a_worker_says_what_it_does_and_ends_when_it_is_told_to(bank: &Bank) {
    bank.run(&["generate", "500", "--accounts", "10"]).success();
    let worker = Worker::start(bank, &["balances"]);
    let ready = worker.until(|_| true);
    assert_eq!(ready["projections"].as_array().unwrap().len(), 1, "{ready}");
    assert_eq!(
        (&ready["projections"][0]["here"], &ready["projections"][0]["lag"]),
        (&true.into(), &0.into()),
        "{ready}"
    );
    assert_eq!(worker.ask("/live").0, 200);
    assert_eq!(worker.ask("/").0, 404);
    // What others write is there for them to read, though they do not drive it.
    bank.run(&["open", "new", "Ann"]).success();
    bank.run(&["deposit", "new", "7.00"]).success();
    let listed = bank.json(&["balances", "--json"]);
    assert!(listed["balances"].as_array().unwrap().iter().any(|of| of["account"] == "new" && of["balance"] == "7.00"));
    worker.until_it_says("balances is driven here");
    let said = worker.end();
    for words in
        ["works on balances as ", "balances is driven here", "SIGTERM: finishes what is in hand", "balances ended at "]
    {
        assert!(said.contains(words), "{words:?} was not said: {said}");
    }
    // It gave back what it had: nobody waits.
    bank.json(&["balances", "--json"]);
}

fn what_a_dead_worker_drove_is_taken_over_and_what_a_stopped_one_holds_is_not_written(bank: &Bank) {
    bank.run(&["generate", "500", "--accounts", "10"]).success();
    let first = Worker::start(bank, &[]);
    let all_first = holders(&first.until(|ready| holders(ready).iter().all(|holder| !holder.is_empty())));
    let second = Worker::start(bank, &[]);
    // Two projections, two workers, one each.
    let shared = second.until(|ready| holders(ready)[0] != holders(ready)[1]);
    let mine = |ready: &Value| ready["holder"].as_str().unwrap().to_owned();
    assert!(holders(&shared).contains(&all_first[0]), "{shared}");
    first.signal("-STOP");
    bank.run(&["generate", "300", "--accounts", "10", "--seed", "2"]).success();
    second.until(|ready| holders(ready).iter().all(|holder| *holder == mine(ready)));
    first.signal("-CONT");
    second.until(|ready| holders(ready)[0] != holders(ready)[1]);
    bank.run(&["generate", "300", "--accounts", "10", "--seed", "3"]).success();
    let killed = mine(&first.ask("/ready").1);
    first.kill();
    let ready = second.until(|ready| holders(ready).iter().all(|holder| *holder == mine(ready)));
    assert!(!holders(&ready).contains(&killed), "{ready}");
    verified(bank);
    second.end();
}

fn a_name_that_is_none_is_told_before_anything_begins(bank: &Bank) {
    bank.run(&["work"]).fails_with(&["there is no bank"]);
    bank.run(&["open", "1", "Ann"]).success();
    let known = "there is no projection \"lamps\"; there are: balances, monthly-turnover";
    bank.run(&["work", "balances", "lamps"]).fails_with(&[known]);
    bank.run(&["work", "--health", "192.0.2.1:80"]).fails_with(&["192.0.2.1:80"]);
}
