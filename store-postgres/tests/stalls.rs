//! What a caller does with the futures that it was given holds nobody up.

mod common;

use std::time::Duration;

use common::{event, one, place, stream};
use factum::{
    Append, AppendError, Appended, Condition, Cursor, EventStore, Generation, Position, ProjectionName, ReadModelStore,
};
use factum_postgres::PostgresStore;
use futures_util::FutureExt as _;
use sqlx::Connection;

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it does not end")
}

type Lying<'s> = std::pin::Pin<Box<dyn Future<Output = Result<Appended, AppendError>> + Send + 's>>;

/// An append that was begun and is left lying, and the how manieth it is: on a busy machine one may be answered at once.
fn left_lying(store: &PostgresStore) -> (u64, Lying<'_>) {
    let mut appends = (1..).map(|n: u64| (n, store.append(one(&n.to_string(), Condition::NoStream))));
    appends.find_map(|(n, mut lying)| (&mut lying).now_or_never().is_none().then_some((n, lying))).unwrap()
}

/// Whoever comes while nothing is under way drives its append itself. One that had begun and then did something else first, as
/// `select!` and buffered streams do, held up every other append of its process: for good, where it waited for one of them.
#[tokio::test]
async fn an_append_that_its_caller_began_and_left_lying_holds_nobody_up() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (n, lying) = left_lying(&store);
    in_time(store.append(one("another", Condition::NoStream))).await.unwrap();
    let answered = in_time(lying).await.unwrap();
    assert_eq!(answered.cursor, Cursor::from(Position::new(n)));
    assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(n + 1)));
}

/// Its caller waits already, in a task of its own: it has to be woken by another than the connection from then on.
#[tokio::test]
async fn a_caller_whose_append_is_driven_by_another_is_answered() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let mut holder = place.connection().await;
    let mut lock = holder.begin().await.unwrap();
    other.append_in(&mut lock, one("holds the lock", Condition::Any)).await.unwrap();
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(&n.to_string(), Condition::NoStream)).await })
        })
        .collect();
    place.until_somebody_waits_for_a_lock().await;
    lock.rollback().await.unwrap();
    for append in waiting {
        in_time(append).await.unwrap().unwrap();
    }
    assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(4)));
}

/// The same for closing the store.
#[tokio::test]
async fn a_store_is_closed_whatever_its_callers_left_lying() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (_, lying) = left_lying(&store);
    in_time(store.close()).await.unwrap();
    in_time(lying).await.unwrap();
}

/// An append by COPY holds the order lock from one message to the next: left lying, it held up every process.
#[tokio::test]
async fn a_large_append_that_its_caller_left_lying_does_not_keep_the_order_lock() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let events = (0..1_000).map(|_| event()).collect();
    let mut lying = store.append(Append::to(stream("1"), Condition::NoStream, events));
    let mut conn = place.connection().await;
    let held = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    // Until it holds the lock, or is done.
    let begun = async {
        while (&mut lying).now_or_never().is_none()
            && !sqlx::query_scalar::<_, bool>(held).fetch_one(&mut conn).await.unwrap()
            && store.head().await.unwrap() == Cursor::start()
        {}
    };
    in_time(begun).await;
    in_time(other.append(one("2", Condition::NoStream))).await.unwrap();
}

/// Its connection went back to the pool within the transaction: whoever got it next wrote what nobody ever committed, and held the
/// locks of all who came after, so that workers stood still for minutes and nothing said why.
#[tokio::test]
async fn whoever_goes_away_while_a_transaction_begins_leaves_none_open() {
    let Some(place) = place().await else { return };
    let (store, name) = (place.store().await, ProjectionName::new("balances").unwrap());
    for polls in 0..200 {
        // On a connection that is there.
        store.head().await.unwrap();
        let mut retire = store.retire(&name, Generation(9), None);
        for _ in 0..polls / 2 {
            if (&mut retire).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let mut conn = place.connection().await;
    let open = "SELECT count(*) > 0 FROM pg_stat_activity
                WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let ended = async { while sqlx::query_scalar::<_, bool>(open).fetch_one(&mut conn).await.unwrap() {} };
    in_time(ended).await;
}

/// Some of these ended in a panic, in the middle of an append too, and some in a connection that the server refused.
#[tokio::test]
async fn options_may_be_as_large_or_as_small_as_their_types() {
    let Some(place) = place().await else { return };
    let all = |time: Duration, number: usize| {
        let options = place.options().statement_timeout(time).poll(time);
        options.connections(u32::try_from(number).unwrap_or(u32::MAX)).queue(number).group(number, number)
    };
    let most = all(Duration::MAX, usize::MAX).acquire_timeout(Duration::MAX).append_in_timeout(Duration::MAX);
    for options in [most, all(Duration::ZERO, 0), all(Duration::from_secs(60), 1).statement_timeout(Duration::MAX)] {
        let store = std::sync::Arc::new(in_time(options.connect(&place.url())).await.unwrap());
        let both = tokio::join!(store.append(one("1", Condition::Any)), store.append(one("2", Condition::Any)));
        assert!(both.0.is_ok() && both.1.is_ok(), "{both:?}");
        let mut conn = place.connection().await;
        let mut transaction = conn.begin().await.unwrap();
        store.append_in(&mut transaction, one("3", Condition::Any)).await.unwrap();
        transaction.rollback().await.unwrap();
        place.database.kill_connections().await.unwrap();
        in_time(store.append(one("1", Condition::Any))).await.unwrap();
        assert_eq!(store.head().await.unwrap().get(factum::LogId::FIRST).get() % 3, 0);
        in_time(store.close()).await.unwrap();
    }
}

/// It said that the connection was lost, where there had been none, repeated why, and gave no remedy.
#[tokio::test]
async fn a_server_that_is_not_there_is_named_once_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().display().to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (url, place) in [
        (format!("postgres://u@localhost/d?host={socket}"), format!("{socket}/.s.PGSQL.5432")),
        (format!("postgres://u@127.0.0.1:{free}/d"), format!("127.0.0.1:{free}")),
    ] {
        let error = in_time(factum_postgres::PostgresStore::connect(&url)).await.unwrap_err();
        let mut causes = vec![error.to_string()];
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        let said = &causes[0];
        assert!(said.contains(&format!("no server answers at {place}: ")), "{said}");
        assert!(said.contains("or correct host and port in the URL"), "{said}");
        assert_eq!(said.matches("os error").count(), 1, "{said}");
        assert!(!said.contains('\n') && causes.iter().all(|cause| said.contains(cause)), "{causes:?}");
    }
}
