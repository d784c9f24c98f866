//! Servers of one's own: stopped, started again, and ended whatever happens.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use factum_postgres_server::{Server, ServerOptions};
use sqlx::{Connection, Executor, PgConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_factum-postgres-server");

/// A process that holds a server, and where that one is.
fn holder() -> (Child, String) {
    let mut process =
        Command::new(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (process, url.trim().to_owned())
}

/// Of `postgres://role@%2Ftmp%2Ffolder:5432/database`.
fn folder_of(url: &str) -> PathBuf {
    let host = url.split(['@', ':']).nth(2).unwrap();
    host.replace("%2F", "/").into()
}

/// The postmaster of the data in this folder, as the system counts it.
fn postmaster(folder: &Path) -> u32 {
    let file = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

/// Waits until the watchdog has done its work: it alone removes the folder, and only after the server has ended.
async fn removed(folder: &Path) {
    let gone = async {
        while folder.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("the folder is still there");
}

/// Whether a process runs, and is no leftover that nobody has asked about.
fn runs(process: u32) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    let state = String::from_utf8(ps.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

#[tokio::test]
async fn the_server_of_a_process_that_is_killed_ends_and_leaves_nothing() {
    if Server::for_test().is_none() {
        return;
    }
    let (mut process, url) = holder();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    connection.ping().await.unwrap();
    let folder = folder_of(&url);
    let server = postmaster(&folder);
    assert!(runs(server));
    process.kill().unwrap();
    process.wait().unwrap();
    removed(&folder).await;
    assert!(!runs(server));
    assert!(connection.ping().await.is_err());
}

#[tokio::test]
async fn the_server_of_a_process_that_ends_by_itself_is_gone_before_that() {
    if Server::for_test().is_none() {
        return;
    }
    let (mut process, url) = holder();
    let folder = folder_of(&url);
    assert!(folder.exists());
    process.stdin.take().unwrap().flush().unwrap();
    assert!(process.wait().unwrap().success());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_server_that_crashed_has_what_was_committed_when_it_is_started_again() {
    if Server::for_test().is_none() {
        return;
    }
    let server = Server::start(&ServerOptions::default().setting("work_mem", "5MB")).unwrap();
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    connection.execute("CREATE TABLE things AS SELECT 7 AS id").await.unwrap();
    server.stop_immediate().unwrap();
    assert!(connection.ping().await.is_err());
    assert!(PgConnection::connect(&server.admin_url()).await.is_err());
    server.start_again().unwrap();
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    let asked = "SELECT id, current_setting('fsync'), current_setting('work_mem'), current_setting('listen_addresses') \
                 FROM things";
    let row: (i32, String, String, String) = sqlx::query_as(asked).fetch_one(&mut connection).await.unwrap();
    assert_eq!(row, (7, "on".to_owned(), "5MB".to_owned(), String::new()));
    server.stop().unwrap();
    assert!(server.stop().is_err());
    let folder = server.socket_folder().unwrap().to_path_buf();
    drop(server);
    assert!(!folder.exists());
}
