//! What the tests of this store share.
#![allow(dead_code)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use factum::{
    Append, Condition, EventStore, EventType, Fingerprint, Key, Keyed, NewEvent, Query, QueryItem, StreamId, Tag,
};
use factum_postgres::{PostgresOptions, PostgresStore};
use factum_postgres_server::{Database, Server};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::io::copy_bidirectional;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// A database with an empty store, gone with the test.
pub(crate) struct Place {
    pub(crate) database: Database,
}

/// `None` where there is no server; it says so itself.
pub(crate) async fn place() -> Option<Place> {
    let server = Server::for_test()?;
    let database = server.database("store", |url| async move { PostgresStore::migrate(&url).await }).await;
    Some(Place { database: database.unwrap_or_else(|error| panic!("{error}")) })
}

impl Place {
    pub(crate) fn url(&self) -> String {
        self.database.url()
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        PostgresOptions::new()
    }

    /// A store of its own on the same database, as another process would have it.
    pub(crate) async fn store(&self) -> Arc<PostgresStore> {
        Arc::new(PostgresStore::connect(&self.url()).await.unwrap_or_else(|error| panic!("{error}")))
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.unwrap()
    }

    pub(crate) async fn execute(&self, statement: &str) {
        let statement = statement.replace(":database", self.database.name());
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut self.connection().await).await.unwrap();
    }

    /// Ends when a session of this database waits for an advisory lock.
    pub(crate) async fn until_somebody_waits_for_a_lock(&self) {
        self.until_somebody_waits_for("advisory").await;
    }

    /// The same for a lock of another kind.
    pub(crate) async fn until_somebody_waits_for(&self, kind: &str) {
        let mut conn = self.connection().await;
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = $1 AND NOT granted \
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waits = async {
            while sqlx::query(waiting).bind(kind).fetch_one(&mut conn).await.unwrap().get::<i64, _>(0) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waits).await.expect("nobody waits for the lock");
    }
}

/// Bounded: what hangs fails.
pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.expect("it does not end")
}

/// Ends when a query gives a number that will do.
pub(crate) async fn until(conn: &mut PgConnection, query: &'static str, will_do: impl Fn(i64) -> bool) {
    in_time(async {
        while !will_do(sqlx::query(query).fetch_one(&mut *conn).await.unwrap().get(0)) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// How many other sessions there are.
pub(crate) const OTHERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
     AND pid <> pg_backend_pid() AND backend_type = 'client backend'";

/// Sessions that wait for the order lock.
pub(crate) const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Holds the order lock with an append that is not committed.
pub(crate) async fn hold<'c>(place: &Place, holder: &'c mut PgConnection) -> sqlx::Transaction<'c, sqlx::Postgres> {
    let mut transaction = holder.begin().await.unwrap();
    place.store().await.append_in(&mut transaction, one("holder", Condition::Any)).await.unwrap();
    transaction
}

/// Ends when two transactions of a crowd wait for the order lock at once, which is then released. While it is held the later one may
/// have come before the other, and waits in its process from then on: so it is tried again.
pub(crate) async fn until_two_wait(place: &Place) {
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    in_time(async {
        loop {
            let transaction = hold(place, &mut holder).await;
            until(&mut observer, WAITING, |waiting| waiting > 0).await;
            for _ in 0..50 {
                if sqlx::query(WAITING).fetch_one(&mut observer).await.unwrap().get::<i64, _>(0) == 2 {
                    return;
                }
                tokio::task::yield_now().await;
            }
            transaction.rollback().await.unwrap();
        }
    })
    .await;
}

/// Many in one process, each of which appends to a stream of its own, again and again, until they are told to end.
pub(crate) struct Crowd {
    tasks: JoinSet<u64>,
    ends: Arc<AtomicBool>,
}

impl Crowd {
    /// Their streams have names that begin with this.
    pub(crate) fn of(store: &Arc<PostgresStore>, name: &str, many: usize) -> Self {
        let (mut tasks, ends) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        for number in 0..many {
            let (store, ends, id) = (Arc::clone(store), Arc::clone(&ends), format!("{name}{number}"));
            tasks.spawn(async move {
                let mut version = None;
                while !ends.load(Ordering::Relaxed) {
                    let appended = store.append(one(&id, Condition::from(version))).await.unwrap();
                    version = appended.version(&stream(&id));
                }
                version.map_or(0, factum::Version::get)
            });
        }
        Self { tasks, ends }
    }

    /// How many events they have recorded.
    pub(crate) async fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        in_time(self.tasks.join_all()).await.into_iter().sum()
    }
}

/// A socket that stands between a store and its server: where it listens, where the server does, and the URL for the store. `None`
/// where the server has no socket in a folder, as one that was named may have none; it says so.
pub(crate) fn between(url: &str, folder: &Path) -> Option<(UnixListener, String, String)> {
    let socket =
        url.split_once('@').and_then(|(_, rest)| rest.split_once(":5432/")).filter(|(host, _)| host.starts_with("%2F"));
    let Some((host, _)) = socket else {
        eprintln!("SKIPPED: nothing can stand between a store and a server without a socket in a folder");
        return None;
    };
    let server = format!("{}/.s.PGSQL.5432", host.replace("%2F", "/"));
    let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).ok()?;
    Some((listener, server, url.replace(host, &folder.display().to_string().replace('/', "%2F"))))
}

/// Passes on between a client and the server until one of them ends.
pub(crate) async fn pass_on(mut client: UnixStream, server: &str) {
    if let Ok(mut server) = UnixStream::connect(server).await {
        tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
    }
}

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::of("account", id).unwrap()
}

pub(crate) fn event() -> NewEvent {
    NewEvent::new(EventType::new("Deposited").unwrap(), r#"{"cents":500}"#)
}

/// An append of one event.
pub(crate) fn one(id: &str, condition: Condition) -> Append {
    Append::to(stream(id), condition, vec![event()])
}

/// An append of one event with a tag.
pub(crate) fn tagged(id: &str, tag: &str, condition: Condition) -> Append {
    let mut event = event();
    event.tags = vec![Tag::new(tag).unwrap()];
    Append::to(stream(id), condition, vec![event])
}

/// With a tag on each of its events.
pub(crate) fn with_tag(mut append: Append, tag: &str) -> Append {
    let events = append.writes.iter_mut().flat_map(|write| &mut write.events);
    events.for_each(|event| event.tags = vec![Tag::new(tag).unwrap()]);
    append
}

pub(crate) fn query_of_tag(tag: &str) -> Query {
    Query::all().or(QueryItem::new().tag(Tag::new(tag).unwrap()))
}

pub(crate) fn key(text: impl Into<String>) -> Key {
    Key::new(text).unwrap()
}

/// An append with a key.
pub(crate) fn keyed(text: &str, append: Append) -> Append {
    append.keyed(Keyed { key: key(text), fingerprint: Fingerprint::of(text.as_bytes()), refusal: None })
}
