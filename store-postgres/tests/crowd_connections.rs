//! The connections of a crowd: one that hangs, one that is not made, and answers that are lost with theirs.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{Crowd, Place, WAITING, between, hold, in_time, one, pass_on, place, until, until_two_wait};
use factum::{Condition, EventStore};
use factum_postgres::PostgresStore;
use sqlx::Row;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

/// Between a store and its server: whoever connects while it `hangs` is never answered.
#[derive(Clone, Debug, Default)]
struct Door {
    hangs: Arc<AtomicBool>,
    hung: Arc<AtomicUsize>,
}

impl Door {
    fn hang(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::SeqCst);
    }

    /// With a store behind it that has one connection, and gets no second.
    async fn with_store(place: &Place) -> Option<(Self, Arc<PostgresStore>, TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let (listener, server, url) = between(&place.url(), folder.path())?;
        let door = Self::default();
        let Self { hangs, hung } = door.clone();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((client, _)) = listener.accept().await {
                if hangs.load(Ordering::SeqCst) {
                    held.push(client);
                    hung.fetch_add(1, Ordering::SeqCst);
                } else {
                    pass_on(client, &server).await;
                }
            }
        });
        let store = Arc::new(PostgresStore::connect(&url).await.unwrap());
        store.append(one("first", Condition::Any)).await.unwrap();
        door.hang(true);
        Some((door, store, folder))
    }
}

/// A second connection that was never answered counted as one, and those who came had to be many for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_that_is_never_answered_holds_nobody_up() {
    let Some(place) = place().await else { return };
    let Some((_door, store, _folder)) = Door::with_store(&place).await else { return };
    let mut holder = place.connection().await;
    let transaction = hold(&place, &mut holder).await;
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.append(one(&n.to_string(), Condition::Any)).await });
    }
    until(&mut place.connection().await, WAITING, |waiting| waiting == 1).await;
    transaction.commit().await.unwrap();
    assert!(in_time(tasks.join_all()).await.iter().all(Result::is_ok));
    in_time(store.append(one("one-more", Condition::Any))).await.unwrap();
    in_time(store.close()).await.unwrap();
}

/// The runtime of those who came first ended while the second connection was being made: from then on it was being made for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connection_is_made_again_where_the_runtime_ended_in_which_it_was_begun() {
    let Some(place) = place().await else { return };
    let Some((door, store, _folder)) = Door::with_store(&place).await else { return };
    let another = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (theirs, hung) = (Arc::clone(&store), Arc::clone(&door.hung));
    let ended = another.spawn(async move {
        let crowd = Crowd::of(&theirs, "", 200);
        in_time(async {
            while hung.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        crowd.end().await
    });
    let before = in_time(ended).await.unwrap();
    another.shutdown_background();
    door.hang(false);
    // What was under way in the runtime that ended may be told so.
    while in_time(store.append(one("between", Condition::Any))).await.is_err() {}
    let crowd = Crowd::of(&store, "later-", 200);
    until_two_wait(&place).await;
    let after = crowd.end().await;
    let recorded = store.head().await.unwrap().get(factum::LogId::FIRST).get();
    assert!(recorded >= before + after + 2, "{recorded} events, and {before} and {after} were answered");
}

/// Between a store and its server: `cut` answers are lost, each with its connection.
fn cutting(url: &str, folder: &std::path::Path, cut: &Arc<AtomicUsize>) -> Option<String> {
    let (listener, server, url) = between(url, folder)?;
    let cut = Arc::clone(cut);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = UnixStream::connect(&server).await else { continue };
            let cut = Arc::clone(&cut);
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
                    let lose = cut.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |cut| cut.checked_sub(1)).is_ok();
                    if lose || to_client.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    Some(url)
}

/// It is asked what became of it, and it is not sent again where it was recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_a_crowd_whose_answer_is_lost_is_recorded_once() {
    let Some(place) = place().await else { return };
    let (cut, folder) = (Arc::new(AtomicUsize::new(0)), tempfile::tempdir().unwrap());
    let Some(url) = cutting(&place.url(), folder.path(), &cut) else { return };
    let store = Arc::new(PostgresStore::connect(&url).await.unwrap());
    let mut observer = place.connection().await;
    let crowd = Crowd::of(&store, "", 200);
    for round in 1..=8 {
        until(&mut observer, "SELECT count(*) FROM factum.events", |events| events > round * 1_500).await;
        cut.store(1, Ordering::SeqCst);
    }
    until(&mut observer, "SELECT count(*) FROM factum.events", |events| events > 9 * 1_500).await;
    let recorded = crowd.end().await as i64;
    let count = "SELECT count(*), count(DISTINCT id) FROM factum.events";
    let row = sqlx::query(count).fetch_one(&mut observer).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (recorded, recorded));
}
