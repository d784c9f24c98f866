//! Many processes write, some of them are killed, and readers follow: nothing is skipped, nothing comes twice or out of
//! order (`complete-order`, `dense-positions`), what was answered is there, what was rolled back is not
//! (`no-lost-append`, `conflict-or-append`).

#[path = "../common/mod.rs"]
mod common;
mod reader;
mod table;
mod writer;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::{Place, event, place, query_of_tag, stream};
use factum::{Append, Category, Condition, EventStore, LogId, Position, Query};
use factum_postgres::sqlx::{self, Row};
use tokio::sync::watch;

use reader::Seen;
use table::Table;

const TEST: &str = "readers_see_what_many_processes_write_in_order_whole_and_once_though_some_are_killed";
/// Where these are set, the test is one of the processes that write.
const URL: &str = "FACTUM_POSTGRES_WRITER_URL";
const NAME: &str = "FACTUM_POSTGRES_WRITER_NAME";

/// How long the whole may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a process said of its appends.
#[derive(Default)]
struct Told {
    /// The names of those that it was answered, and the position of the last event of each.
    answered: Vec<(String, i64)>,
    /// The names of those that it rolled back, or that were refused.
    undone: Vec<String>,
}

/// Runs a process that writes, to its end, or until it has sent so many appends; then it is killed.
fn write(url: &str, name: &str, kill_after: Option<usize>, answers: &watch::Sender<usize>) -> Told {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(URL, url)
        .env(NAME, name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut told, mut sent) = (Told::default(), 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // What was half said when it died does not count.
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["sends", .., "."] => sent += 1,
            ["answered", name, last, "."] => {
                told.answered.push((name.to_owned(), last.parse().unwrap()));
                answers.send_modify(|answers| *answers += 1);
            }
            ["undone", name, "."] => told.undone.push(name.to_owned()),
            _ => {}
        }
        if kill_after == Some(sent) {
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().success(), kill_after.is_none(), "{name}, after {sent} appends");
    told
}

/// Ends when none of the processes that wrote has anything under way on the server: a killed one may.
async fn until_nobody_writes(place: &Place) {
    let mut conn = place.connection().await;
    let writers = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1";
    while sqlx::query(writers).bind(writer::APPLICATION).fetch_one(&mut conn).await.unwrap().get::<i64, _>(0) > 0 {
        tokio::task::yield_now().await;
    }
}

/// Readers that begin at once, and late ones: from the start, from the middle, of a category, of a tag.
struct Readers(Vec<(&'static str, Query, tokio::task::JoinHandle<Seen>)>);

impl Readers {
    async fn start(place: &Place, answers: &watch::Sender<usize>, until: &watch::Sender<Option<Position>>) -> Self {
        let orders = || Query::categories([Category::new("order").unwrap()]);
        let plans = [
            ("everything", Query::all(), 0, reader::From::Start),
            ("a category", orders(), 0, reader::From::Start),
            ("a tag", query_of_tag("seat:1"), 0, reader::From::Start),
            ("everything, begun late", Query::all(), 60, reader::From::Start),
            ("everything from then on", Query::all(), 60, reader::From::Head),
            ("a category, begun late", orders(), 120, reader::From::Start),
            ("a tag from then on", query_of_tag("seat:2"), 30, reader::From::Head),
        ];
        let mut readers = Vec::new();
        for (name, filter, after_answers, from) in plans {
            let (store, until, mut answers) = (place.store().await, until.subscribe(), answers.subscribe());
            let wanted = filter.clone();
            let reads = tokio::spawn(async move {
                answers.wait_for(|answers| *answers >= after_answers).await.unwrap();
                reader::follow(store, wanted, from, until).await
            });
            readers.push((name, filter, reads));
        }
        Self(readers)
    }

    /// Compares what each saw with the table.
    async fn end(self, table: &Table) {
        for (name, filter, reads) in self.0 {
            let seen = reads.await.unwrap();
            let expected = table.matching(&filter, seen.from);
            assert!(!expected.is_empty(), "{name}: nothing was written for it");
            let wrong = seen.events.iter().zip(&expected).find(|(one, other)| one != other);
            assert_eq!((seen.events.len(), wrong), (expected.len(), None), "{name}, after position {}", seen.from);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_many_processes_write_in_order_whole_and_once_though_some_are_killed() {
    if let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) {
        return writer::write(&url, &name).await;
    }
    let Some(place) = place().await else { return };
    tokio::time::timeout(PATIENCE, run(&place)).await.expect("it does not end");
}

async fn run(place: &Place) {
    let (answers, until) = (watch::Sender::new(0), watch::Sender::new(None));
    let readers = Readers::start(place, &answers, &until).await;
    let subscriber = tokio::spawn(reader::subscribe(place.store().await));
    let (url, answers) = (Arc::new(place.url()), Arc::new(answers));
    // Each that is killed has another after it, so that there are always some that write.
    let chains = [vec![None], vec![None], vec![None], vec![Some(9), Some(40), None], vec![Some(25), Some(60), Some(3)]];
    let chains = (0..).zip(chains).map(|(number, kills)| {
        let (url, answers) = (Arc::clone(&url), Arc::clone(&answers));
        tokio::task::spawn_blocking(move || {
            let runs = ('a'..).zip(kills).map(|(run, kill)| write(&url, &format!("w{number}{run}"), kill, &answers));
            runs.collect::<Vec<_>>()
        })
    });
    let mut told = Vec::new();
    for chain in chains.collect::<Vec<_>>() {
        told.extend(chain.await.unwrap());
    }
    until_nobody_writes(place).await;
    let last = Append::to(stream("last"), Condition::NoStream, vec![event()]);
    let head = place.store().await.append(last).await.unwrap().cursor.get(LogId::FIRST);
    until.send_replace(Some(head));

    let table = Table::read(place).await;
    table.is_dense_and_every_append_in_it_is_whole();
    table.holds_no_append_whose_query_condition_did_not_hold();
    for told in &told {
        table.holds_what_was_answered(&told.answered, &told.undone);
    }
    let undone: usize = told.iter().map(|told| told.undone.len()).sum();
    assert!(undone > 0, "nothing was rolled back");
    readers.end(&table).await;
    let all = table.matching(&Query::all(), 0);
    assert_eq!(subscriber.await.unwrap(), all, "what a subscription saw");
}
