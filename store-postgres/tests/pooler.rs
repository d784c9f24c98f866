//! Behind a pooler that hands out connections by transaction everything works: every promise of the ports, appends within a
//! transaction of the caller's, wake-ups by polling, projections into tables, and setting the store up.

mod common;
mod sql;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Place, event, one, place, stream};
use factum::{Append, Condition, Cursor, EventStore, Generation, Generations, Position};
use factum_conformance::Fixture;
use factum_postgres::{PostgresOptions, PostgresStore};
use factum_postgres_server::Bouncer;
use sql::{Log, shown, sums};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// The pooler that all tests here share.
static BOUNCER: Mutex<Option<Bouncer>> = Mutex::new(None);

/// A database with an empty store, and how to reach it through the pooler.
async fn pooled() -> Option<(Place, String)> {
    let place = place().await?;
    let url = through_pooler(&place)?;
    Some((place, url))
}

fn through_pooler(place: &Place) -> Option<String> {
    let mut shared = BOUNCER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if shared.is_none() {
        *shared = Some(Bouncer::for_test(place.database.server())?);
    }
    shared.as_ref().map(|bouncer| bouncer.url(place.database.name()))
}

fn options() -> PostgresOptions {
    PostgresOptions::new().transaction_pooler().poll(Duration::from_millis(20))
}

async fn store(url: &str) -> Arc<PostgresStore> {
    Arc::new(options().connect(url).await.unwrap_or_else(|error| panic!("{error}")))
}

fn fixture(url: String) -> Pin<Box<dyn Future<Output = Fixture> + Send>> {
    Box::pin(async move {
        let store = store(&url).await;
        Fixture::new(store).with_reopen(move || fixture(url.clone()))
    })
}

async fn behind_a_pooler() -> Option<Fixture> {
    let (place, url) = pooled().await?;
    Some(fixture(url).await.keep(place.database))
}

factum_conformance::suite!(behind_a_pooler);

#[tokio::test]
async fn a_store_is_set_up_through_the_pooler() {
    let Some(server) = factum_postgres_server::Server::for_test() else { return };
    let place = Place { database: server.empty_database().await.unwrap() };
    let Some(url) = through_pooler(&place) else { return };
    options().migrate(&url).await.unwrap();
    options().migrate(&url).await.unwrap();
    options().check(&url).await.unwrap();
    store(&url).await.append(one("1", Condition::NoStream)).await.unwrap();
}

/// What connecting asks was not asked in a transaction: when others used the pooler at the same time, its statements went to
/// one connection of the server and their values to another, and a service did not start.
#[tokio::test(flavor = "multi_thread")]
async fn many_connect_at_the_same_time_through_the_pooler() {
    let Some((_place, url)) = pooled().await else { return };
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let url = url.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                options().check(&url).await.unwrap();
            }
            store(&url).await.append(one("1", Condition::Any)).await.unwrap();
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tasks_in_several_processes_append_through_the_pooler() {
    let Some((_place, url)) = pooled().await else { return };
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..3 {
        let store = store(&url).await;
        for task in 0..16 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for n in 0..5 {
                    let events = (0..=n % 2).map(|_| event()).collect();
                    let append = Append::to(stream(&format!("{process}-{task}-{n}")), Condition::NoStream, events);
                    store.append(append).await.unwrap();
                }
            });
        }
    }
    tasks.join_all().await;
    assert_eq!(store(&url).await.head().await.unwrap(), Cursor::from(Position::new(3 * 16 * 7)));
}

#[tokio::test]
async fn readers_of_another_process_are_woken_by_polling() {
    let Some((_place, url)) = pooled().await else { return };
    let (writer, reader) = (store(&url).await, store(&url).await);
    let mut wakeups = reader.wakeups();
    for n in 1..=3 {
        writer.append(one("1", Condition::Any)).await.unwrap();
        let woken = async {
            while reader.head().await.unwrap() != Cursor::from(Position::new(n)) {
                wakeups.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(30), woken).await.expect("nobody was woken");
        tokio::time::timeout(Duration::from_secs(30), wakeups.changed()).await.expect("the bell did not ring").unwrap();
    }
}

#[tokio::test]
async fn append_in_a_transaction_through_the_pooler() {
    let Some((place, url)) = pooled().await else { return };
    let store = store(&url).await;
    place.execute("CREATE TABLE invoices (id integer PRIMARY KEY)").await;
    let plain = url.parse::<PgConnectOptions>().unwrap().statement_cache_capacity(0);
    for (id, commit) in [(1, false), (2, true), (3, true)] {
        let mut conn = plain.connect().await.unwrap();
        let mut transaction = conn.begin().await.unwrap();
        let insert = sqlx::query("INSERT INTO invoices VALUES ($1)").bind(id).persistent(false);
        insert.execute(&mut *transaction).await.unwrap();
        store.append_in(&mut transaction, one(&id.to_string(), Condition::NoStream)).await.unwrap();
        if commit {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
        store.append(one(&id.to_string(), Condition::Any)).await.unwrap();
    }
    assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(5)));
    assert_eq!(sql::texts(&place, "SELECT id::text FROM invoices ORDER BY 1").await, ["2", "3"]);
}

#[tokio::test]
async fn tables_of_a_projection_are_built_and_switched_through_the_pooler() {
    let Some((place, url)) = pooled().await else { return };
    let store = store(&url).await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1, 2]));
    log.drive(&sums).await.unwrap();
    let built = log.build(&sums).await;
    Generations::switch(&sums, Generation(1), built, None).await.unwrap();
    log.deposits(&[4]).drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 7"]);
}

/// What bounds how long the order lock is held is a setting of the session, and behind a pooler there was none: a process that
/// fell silent between its append and its commit would have kept every other from appending for good.
#[tokio::test]
async fn an_append_behind_a_pooler_is_bounded_in_its_transaction() {
    let Some((place, url)) = pooled().await else { return };
    let store = options().statement_timeout(Duration::from_millis(7_531)).connect(&url).await.unwrap();
    // What an append finds set while it runs.
    place
        .execute(
            "CREATE TABLE seen (statement text, idle text);
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO seen VALUES (current_setting('statement_timeout'),
                 current_setting('idle_in_transaction_session_timeout'));
               RETURN NULL;
             END $$;
             CREATE TRIGGER see AFTER INSERT ON factum.events FOR EACH STATEMENT EXECUTE FUNCTION see()",
        )
        .await;
    store.append(one("1", Condition::Any)).await.unwrap();
    let many = (0..1_000).map(|_| event()).collect();
    store.append(Append::to(stream("2"), Condition::Any, many)).await.unwrap();
    let mut conn = place.connection().await;
    let seen: Vec<(String, String)> =
        sqlx::query_as("SELECT statement, idle FROM seen").fetch_all(&mut conn).await.unwrap();
    assert_eq!(seen, [("7531ms".to_owned(), "7531ms".to_owned()), ("7531ms".to_owned(), "7531ms".to_owned())]);
}
