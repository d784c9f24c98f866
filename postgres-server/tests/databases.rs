//! Databases: each test has its own, copied from a template that is prepared once.

use std::sync::atomic::{AtomicU32, Ordering};

use factum_postgres_server::{Server, ServerError};
use sqlx::{Connection, Executor, PgConnection};

async fn count(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM things").fetch_one(&mut connection).await.unwrap()
}

async fn insert(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    connection.execute("INSERT INTO things VALUES (1)").await.unwrap();
}

async fn with_things(url: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(&url).await?;
    connection.execute("CREATE TABLE things (id int)").await?;
    Ok(())
}

async fn exists(server: &Server, name: &str) -> bool {
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    let found = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1").bind(name);
    found.fetch_optional(&mut connection).await.unwrap().is_some()
}

#[tokio::test]
async fn databases_of_one_template_have_its_tables_and_share_no_rows() {
    let Some(server) = Server::for_test() else { return };
    let one = server.database("separate", with_things).await.unwrap();
    let other = server.database("separate", with_things).await.unwrap();
    insert(&one.url()).await;
    assert_eq!((count(&one.url()).await, count(&other.url()).await), (1, 0));
    let later = server.database("separate", with_things).await.unwrap();
    assert_eq!(count(&later.url()).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_prepared_once_however_many_ask_at_the_same_time() {
    static PREPARED: AtomicU32 = AtomicU32::new(0);
    let Some(server) = Server::for_test() else { return };
    let asking = (0..8).map(|_| {
        let server = server.clone();
        tokio::spawn(async move {
            let prepare = |url| async {
                PREPARED.fetch_add(1, Ordering::SeqCst);
                with_things(url).await
            };
            server.database("once", prepare).await.unwrap()
        })
    });
    let mut names = Vec::new();
    for task in asking.collect::<Vec<_>>() {
        names.push(task.await.unwrap().name().to_owned());
    }
    names.sort();
    names.dedup();
    assert_eq!((PREPARED.load(Ordering::SeqCst), names.len()), (1, 8));
}

#[tokio::test]
async fn a_template_that_fails_says_why_and_is_tried_again() {
    let Some(server) = Server::for_test() else { return };
    let fails = |_| async { Err(std::io::Error::other("the tables are crooked")) };
    let error = server.database("crooked", fails).await.unwrap_err();
    assert!(matches!(&error, ServerError::Template { name, source }
        if name == "crooked" && source.to_string() == "the tables are crooked"));
    let database = server.database("crooked", with_things).await.unwrap();
    assert_eq!(count(&database.url()).await, 0);
}

#[tokio::test]
async fn a_database_is_gone_when_it_is_dropped_though_somebody_is_connected() {
    let Some(server) = Server::for_test() else { return };
    let database = server.empty_database().await.unwrap();
    let name = database.name().to_owned();
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    assert!(exists(&server, &name).await);
    drop(database);
    assert!(!exists(&server, &name).await);
    assert!(connection.ping().await.is_err());
}

#[tokio::test]
async fn a_database_is_gone_after_a_test_that_panics() {
    let Some(server) = Server::for_test() else { return };
    let for_test = server.clone();
    let (tell, told) = std::sync::mpsc::channel();
    let panicked = tokio::spawn(async move {
        let database = for_test.empty_database().await.unwrap();
        tell.send(database.name().to_owned()).unwrap();
        assert!(database.name().is_empty(), "the test that fails, as it is meant to");
    });
    assert!(panicked.await.unwrap_err().is_panic());
    assert!(!exists(&server, &told.recv().unwrap()).await);
}

#[tokio::test]
async fn killed_connections_are_counted_and_ended() {
    let Some(server) = Server::for_test() else { return };
    let database = server.empty_database().await.unwrap();
    let mut one = PgConnection::connect(&database.url()).await.unwrap();
    let mut other = PgConnection::connect(&database.url()).await.unwrap();
    assert_eq!(database.kill_connections().await.unwrap(), 2);
    assert!(one.ping().await.is_err() && other.ping().await.is_err());
    assert!(PgConnection::connect(&database.url()).await.is_ok());
}
