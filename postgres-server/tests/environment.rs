//! The server that the environment names: it is used, it is not ours, and nothing is left on it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use factum_postgres_server::{Server, ServerError, ServerOptions};
use sqlx::{Connection, PgConnection};

const URL: &str = "FACTUM_TEST_POSTGRES_URL";
const INSIDE: &str = "FACTUM_TEST_INSIDE";

/// The test of this name once more, in a process that is told of another server.
fn inside(name: &str, server: &Server, what: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(URL, server.admin_url()).env(INSIDE, what);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// What this process is to do, if it is such a one.
fn told() -> Option<String> {
    std::env::var(INSIDE).ok()
}

async fn databases(server: &Server) -> Vec<String> {
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    let asked = "SELECT datname FROM pg_database WHERE datname LIKE 'factum%' ORDER BY 1";
    sqlx::query_scalar(asked).fetch_all(&mut connection).await.unwrap()
}

/// Waits until somebody else has removed them.
async fn none_left(server: &Server) {
    let gone = async { while !databases(server).await.is_empty() {} };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("databases are left");
}

async fn nothing(_: String) -> Result<(), sqlx::Error> {
    Ok(())
}

#[tokio::test]
async fn a_server_that_the_environment_names_is_used_not_stopped_and_left_as_it_was() {
    if told().is_some() {
        let server = Server::for_test().unwrap();
        let database = server.database("any", nothing).await.unwrap();
        assert!(database.url().contains(database.name()) && !server.is_ours());
        assert!(matches!(server.stop_immediate(), Err(ServerError::NotOurs { .. })));
        println!("made {}", database.name());
        return;
    }
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let name = "a_server_that_the_environment_names_is_used_not_stopped_and_left_as_it_was";
    let output = inside(name, &server, "use it").wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("made factum_test_"), "{said}");
    none_left(&server).await;
}

#[tokio::test]
async fn what_a_run_left_behind_is_removed_by_the_next_one_and_what_a_living_one_has_is_not() {
    if let Some(what) = told() {
        let server = Server::for_test().unwrap();
        let database = server.database("any", nothing).await.unwrap();
        println!("made {}", database.name());
        if what == "stay" {
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        return;
    }
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    for name in ["factum_test_0123456789abcdef_1", "factum_test_mine", "factum_accounts"] {
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.unwrap();
    }
    let name = "what_a_run_left_behind_is_removed_by_the_next_one_and_what_a_living_one_has_is_not";
    let mut living = inside(name, &server, "stay");
    let mut lines = BufReader::new(living.stdout.take().unwrap()).lines();
    let made = lines.find_map(|line| line.unwrap().strip_prefix("made ").map(str::to_owned)).unwrap();
    assert!(inside(name, &server, "go").wait_with_output().unwrap().status.success());
    let left = databases(&server).await;
    assert!(left.contains(&made), "{made} in {left:?}");
    assert!(!left.contains(&"factum_test_0123456789abcdef_1".to_owned()), "{left:?}");
    for others in ["factum_test_mine", "factum_accounts"] {
        assert!(left.contains(&others.to_owned()), "{others} in {left:?}");
    }
    drop(living.stdin.take());
    assert!(living.wait().unwrap().success());
}

#[tokio::test]
async fn a_run_that_is_killed_leaves_no_database() {
    if told().is_some() {
        let server = Server::for_test().unwrap();
        let database = server.database("any", nothing).await.unwrap();
        println!("made {}", database.name());
        std::io::stdin().read_line(&mut String::new()).unwrap();
        return;
    }
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let mut killed = inside("a_run_that_is_killed_leaves_no_database", &server, "be killed");
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("made ")));
    assert_eq!(databases(&server).await.len(), 2, "a template and its copy");
    killed.kill().unwrap();
    killed.wait().unwrap();
    none_left(&server).await;
}
