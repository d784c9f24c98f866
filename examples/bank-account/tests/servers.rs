//! What becomes of read models when their server restarts under everything, and when it is restored from a backup.

#![cfg(unix)]

mod common;

use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use factum_postgres_server::{Server, ServerError, ServerOptions};
use serde_json::{Value, json};

use common::worker::{Worker, verified, wait_until};
use common::{Bank, answer};

/// The one server of these tests, which stop it: one test at a time. `None` where there is none.
fn server() -> Option<MutexGuard<'static, Option<Server>>> {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    if server.is_none() {
        *server = Some(Server::own_for_test(&ServerOptions::careless())?);
    }
    Some(server)
}

type Stop = fn(&Server) -> Result<(), ServerError>;

fn projections(bank: &Bank) -> Vec<Value> {
    bank.json(&["status", "--json", "--over", "0"])["projections"].as_array().unwrap().clone()
}

fn are_current(bank: &Bank) -> bool {
    projections(bank).iter().all(|projection| projection["lag"] == 0)
}

/// Workers, a load and replays stand a server that crashes and one that an administrator restarts: nothing is lost, nothing read was
/// wrong, and nobody has to be started again but a replay that was under way.
#[test]
fn a_server_that_restarts_under_everything_loses_nothing() {
    let Some(server) = server() else { return };
    let server = server.as_ref().unwrap();
    let bank = Bank::on(server);
    bank.run(&["generate", "5000", "--accounts", "50"]).success();
    let workers = [Worker::start(&bank, &[]), Worker::start(&bank, &[])];
    wait_until("they do not come to the head", || are_current(&bank));
    let load = ["load", "--rate", "40", "--seconds", "6", "--accounts", "6", "--json"];
    let load = bank.command(&load).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its accounts are open, and it has sent commands: before that it ends with what goes wrong.
    let begun = || bank.json(&["balances", "--json"])["position"].as_u64().unwrap() >= 5_050 + 6 + 3;
    wait_until("the load does not begin", begun);
    for stop in [Server::stop_immediate as Stop, Server::stop] {
        let replay = ["replay", "--all", "--json"];
        let replay = bank.command(&replay).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(fastrand::u64(0..800)));
        stop(server).unwrap();
        for asked in [&["doctor"][..], &["status"]] {
            bank.run(asked).fails_with(&["could not be connected to"]);
        }
        for worker in &workers {
            assert_eq!(worker.ask("/live").0, 200, "a worker whose server is away is none to be ended");
        }
        server.start_again().unwrap();
        let replayed = answer(replay.wait_with_output().unwrap());
        assert!(
            replayed.code == Some(0) || replayed.err.lines().all(|line| line.starts_with("error: ")),
            "{replayed:?}"
        );
        bank.run(&["replay", "--all"]).success();
    }
    let loaded = answer(load.wait_with_output().unwrap());
    let report = loaded.json();
    // While there is no server, a read may say so.
    assert_eq!((&report["failed"], &report["reads_wrong"]), (&json!(0), &json!(0)), "{loaded:?}");
    wait_until("they do not come to the head again", || are_current(&bank));
    bank.run(&["doctor"]).success();
    verified(&bank);
    for worker in workers {
        worker.end();
    }
}

fn says_diverged(worker: &Worker) -> bool {
    let (status, ready) = worker.ask("/ready");
    let projections = ready["projections"].as_array().unwrap();
    let diverged = |of: &Value| of["trouble"].as_str().is_some_and(|trouble| trouble.contains("has diverged"));
    status == 503 && projections.iter().all(|of| of["here"] == true && diverged(of))
}

/// The events of a restored server are fewer than what a read model elsewhere was made of, and then others: whoever lived through it sees
/// that, whoever is started and whoever takes over, and nobody folds on.
#[test]
fn a_read_model_elsewhere_is_never_folded_onto_a_restored_backup() {
    let Some(server) = server() else { return };
    let server = server.as_ref().unwrap();
    let bank = Bank::on(server).with_read_models_beside();
    bank.run(&["generate", "300", "--accounts", "10"]).success();
    bank.run(&["balances"]).success();
    let backup = server.back_up().unwrap();
    let survivor = Worker::start(&bank, &[]);
    bank.run(&["generate", "300", "--accounts", "10", "--seed", "2"]).success();
    let before = survivor.until(|ready| ready["projections"].as_array().unwrap().iter().all(|of| of["lag"] == 0));
    let checkpoints = |bank: &Bank| projections(bank).iter().map(|of| of["checkpoint"].clone()).collect::<Vec<_>>();
    let stood = checkpoints(&bank);
    server.stop_immediate().unwrap();
    server.restore(backup).unwrap();
    bank.run(&["generate", "500", "--accounts", "10", "--seed", "3"]).success();

    wait_until(&format!("the worker folds on: {before}"), || says_diverged(&survivor));
    bank.run(&["balances"]).fails_with(&["balances has diverged from its store", "replay balances"]);
    let doctor = bank.run(&["doctor", "--json", "--watch", "0"]);
    let codes: Vec<_> = doctor.json()["findings"].as_array().unwrap().iter().map(|of| of["code"].clone()).collect();
    assert_eq!((doctor.code, codes), (Some(3), vec![json!("diverged"), json!("diverged")]), "{doctor:?}");
    assert!(projections(&bank).iter().all(|projection| projection["state"] == "diverged"));
    survivor.kill();
    let successor = Worker::start(&bank, &[]);
    wait_until("whoever takes over folds on", || says_diverged(&successor));
    assert_eq!(checkpoints(&bank), stood);

    bank.run(&["replay", "--all"]).success();
    bank.run(&["open", "new", "Ann"]).success();
    successor.until(|ready| ready["projections"].as_array().unwrap().iter().all(|of| of["lag"] == 0));
    verified(&bank);
    assert_eq!(bank.json(&["balances", "--json"])["accounts"], 11);
    bank.run(&["doctor"]).success();
    successor.end();
}
