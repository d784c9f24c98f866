//! A process that appends is killed at any moment: what it was answered is there, whole and in order (`no-lost-append`,
//! `dense-positions`), and another goes on.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::{event, everything, place, stream};
use factum::EventStore;
use factum::{Append, Condition};
use factum_sqlite::SqliteStore;

/// Where it is set, the test below is the process that is killed.
const FILE: &str = "FACTUM_SQLITE_CRASH_FILE";
const TEST: &str = "what_a_killed_process_was_answered_is_there";

/// What the killed process does. It says each append that it was answered, and never ends.
async fn append_until_killed(file: &str) {
    let store = Arc::new(SqliteStore::open(file).unwrap());
    let tasks = (0..8).map(|writer| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                // Two streams at once, so that half of an append would show.
                let append = Append::to(stream(writer), Condition::Any, vec![event(), event()]);
                let append = append.and(stream(format!("{writer}-too")), Condition::Any, vec![event()]);
                let done = store.append(append).await.unwrap();
                let version = done.version(&stream(writer)).unwrap();
                println!("answered {writer} {version}");
            }
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let ended: Result<(), _> = tasks.into_iter().next_back().unwrap().await;
    panic!("a writer ended: {ended:?}");
}

/// Runs it until it has been answered this many appends, kills it, and gives what it was answered.
fn run_and_kill(file: &Path, appends: usize) -> Vec<(String, u64)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answered = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // What was half said when it died does not count.
        if let Some((writer, version)) = line.strip_prefix("answered ").and_then(|rest| rest.split_once(' '))
            && let Ok(version) = version.parse()
        {
            answered.push((writer.to_owned(), version));
        }
        if answered.len() >= appends && !killed {
            child.kill().unwrap();
            killed = true;
        }
    }
    assert!(!child.wait().unwrap().success(), "it was not killed");
    answered
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_answered_is_there() {
    if let Ok(file) = std::env::var(FILE) {
        return append_until_killed(&file).await;
    }
    let (_directory, file) = place();
    let mut before = 0;
    for appends in [1, 40, 150] {
        let answered = run_and_kill(&file, appends);
        assert!(answered.len() >= appends, "it ended after {} appends", answered.len());
        let store = SqliteStore::open(&file).unwrap();
        let all = everything(&store).await;
        let last = |name: &str| all.iter().filter(|(_, stream, _)| stream == name).map(|(.., version)| *version).max();
        for (writer, version) in &answered {
            assert!(last(writer) >= Some(*version), "version {version} of {writer} is lost");
        }
        for writer in 0..8 {
            let (pairs, singles) = (last(&writer.to_string()), last(&format!("{writer}-too")));
            assert_eq!(pairs, singles.map(|single| single * 2), "half an append of {writer} is there");
        }
        let positions: Vec<_> = all.iter().map(|(position, ..)| *position).collect();
        assert_eq!(positions, (1..=all.len() as u64).collect::<Vec<_>>());
        assert!(all.len() > before);
        before = all.len();
        store.close().await.unwrap();
    }
}
