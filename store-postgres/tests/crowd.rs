//! Many who append at once in one process: two transactions of theirs are under way, and each is told what is so.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Crowd, WAITING, hold, in_time, one, place, stream, until, until_two_wait};
use factum::{
    Append, AppendError, Appended, Condition, EventStore, LogId, PageLimit, Position, ReadLog, RecordedEvent, Version,
};
use factum_postgres::PostgresStore;
use sqlx::{PgConnection, Row};
use tokio::task::JoinSet;

type Told = Result<Appended, AppendError>;

/// Enough for two transactions at once.
const CROWD: usize = 200;

/// Each in a task of its own; told by its number.
fn all(store: &Arc<PostgresStore>, appends: Vec<Append>) -> JoinSet<(usize, Told)> {
    let mut tasks = JoinSet::new();
    for (number, append) in appends.into_iter().enumerate() {
        let store = Arc::clone(store);
        tasks.spawn(async move { (number, store.append(append).await) });
    }
    tasks
}

async fn answers(tasks: JoinSet<(usize, Told)>) -> BTreeMap<usize, Told> {
    in_time(tasks.join_all()).await.into_iter().collect()
}

async fn log(store: &PostgresStore) -> Vec<RecordedEvent> {
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 100_000, ..read.limit };
    store.read_log(read).await.unwrap().events
}

/// Positions have no gap, nor have the versions of any stream.
fn assert_whole(log: &[RecordedEvent]) {
    assert!(log.iter().map(|event| event.position.get()).eq(1..=log.len() as u64), "the log has a gap");
    let mut versions = BTreeMap::new();
    for event in log {
        let last: &mut u64 = versions.entry(event.stream.name()).or_default();
        *last += 1;
        assert_eq!(event.version.get(), *last, "{event:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_transaction_waits_at_the_server_while_the_first_is_under_way() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let crowd = Crowd::of(&store, "", CROWD);
    until_two_wait(&place).await;
    let recorded = crowd.end().await;
    let log = log(&store).await;
    assert_eq!(log.len() as u64, recorded);
    assert_whole(&log);
    // Both connections end with the store.
    in_time(store.close()).await.unwrap();
    drop(store);
    until(&mut place.connection().await, common::OTHERS, |others| others == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_wait_for_the_transaction_that_is_under_way() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    let mut tasks = all(&store, (0..32).map(|n| one(&n.to_string(), Condition::NoStream)).collect());
    until(&mut observer, WAITING, |waiting| waiting == 1).await;
    // Whatever else the process does meanwhile, the second one would have been sent by now.
    for _ in 0..10 {
        assert!(tasks.try_join_next().is_none());
        until(&mut observer, WAITING, |waiting| waiting == 1).await;
    }
    transaction.commit().await.unwrap();
    assert!(answers(tasks).await.values().all(Result::is_ok));
}

/// What a condition asks for is looked for no further back than it reaches; who is refused is told where the stream is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_in_a_crowd_harm_nobody_and_say_where_the_stream_is() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    for n in 0..CROWD {
        let events = (0..=n % 3).map(|_| common::event()).collect();
        other.append(Append::to(stream(&n.to_string()), Condition::NoStream, events)).await.unwrap();
    }
    let version = |n: usize| Version::new(n as u64).map_or(Condition::NoStream, Condition::Version);
    let expected = |n: usize| match n % 5 {
        0 => version((n % 3).saturating_sub(1)),
        1 => version(n % 3 + 5),
        2 => Condition::Exists,
        _ => version(n % 3 + 1),
    };
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    let tasks = all(&store, (0..CROWD).map(|n| one(&n.to_string(), expected(n))).collect());
    until(&mut observer, WAITING, |waiting| waiting == 1).await;
    transaction.commit().await.unwrap();
    for (n, told) in answers(tasks).await {
        let actual = Version::new(n as u64 % 3 + 1).ok();
        match told {
            Ok(appended) => {
                assert!(n % 5 > 1, "{:?} held of {actual:?}", expected(n));
                assert_eq!(appended.version(&stream(&n.to_string())), Version::new(n as u64 % 3 + 2).ok());
            }
            Err(AppendError::Conflict { actual: told, .. }) => {
                assert!(n % 5 < 2, "{:?} did not hold of {actual:?}", expected(n));
                assert_eq!(told, actual);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_whole(&log(&store).await);
}

/// The second connection is a favour: a server that has none to give took no append, and each of its group waited in vain.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_second_connection_is_to_be_had_the_first_one_serves_everybody() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (mut holder, mut observer) = (place.connection().await, place.connection().await);
    let transaction = hold(&place, &mut holder).await;
    place.execute("UPDATE pg_database SET datallowconn = false WHERE datname = current_database()").await;
    let tasks = all(&store, (0..CROWD).map(|n| one(&n.to_string(), Condition::NoStream)).collect());
    until(&mut observer, WAITING, |waiting| waiting == 1).await;
    transaction.commit().await.unwrap();
    assert!(answers(tasks).await.values().all(Result::is_ok));
    let head = sqlx::query("SELECT max(position), count(*) FROM factum.events").fetch_one(&mut observer).await.unwrap();
    assert_eq!((head.get::<i64, _>(0), head.get::<i64, _>(1)), (CROWD as i64 + 1, CROWD as i64 + 1));
}

/// A connection that is lost with what was sent on it: the other one goes on, and everybody is told what became of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_one_of_two_connections_is_lost_everything_is_recorded_once() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let mut observer = place.connection().await;
    let crowd = Crowd::of(&store, "", CROWD);
    until(&mut observer, "SELECT count(*) FROM factum.events", |events| events > 8 * CROWD as i64).await;
    for round in 0..4 {
        let mut holder = place.connection().await;
        let transaction = hold(&place, &mut holder).await;
        until(&mut observer, WAITING, |waiting| waiting > 0).await;
        let waiting = "pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)";
        let which = if round % 2 == 0 { "min" } else { "max" };
        place
            .execute(&format!(
                "SELECT pg_terminate_backend({which}(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND {waiting}"
            ))
            .await;
        transaction.commit().await.unwrap();
    }
    let recorded = crowd.end().await;
    let log = log(&store).await;
    assert_eq!(log.len() as u64, recorded + 4);
    assert_whole(&log);
}

/// Two processes with a crowd each on the same streams, deciding again on conflicts as commands do, beside a reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_of_two_processes_on_the_same_streams_lose_and_double_nothing() {
    let Some(place) = place().await else { return };
    let stores = [place.store().await, place.store().await];
    let mut tasks = JoinSet::new();
    for n in 0..2 * CROWD {
        let store = Arc::clone(&stores[n % 2]);
        tasks.spawn(async move {
            let id = (n / 4).to_string();
            let (mut version, mut recorded) = (None, 0);
            while recorded < 5 {
                match store.append(one(&id, Condition::from(version))).await {
                    Ok(appended) => (version, recorded) = (appended.version(&stream(&id)), recorded + 1),
                    Err(AppendError::Conflict { actual, .. }) => version = actual,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let (mut seen, reader) = (0, place.store().await);
    while seen < 2 * CROWD * 5 {
        let read = ReadLog::after(LogId::FIRST, Position::new(seen as u64));
        let page = in_time(reader.read_log(read)).await.unwrap().events;
        let first = seen as u64 + 1;
        assert!(page.iter().map(|event| event.position.get()).eq(first..first + page.len() as u64), "skipped");
        seen += page.len();
        tokio::task::yield_now().await;
    }
    in_time(tasks.join_all()).await;
    let log = log(&stores[0]).await;
    assert_eq!(log.len(), 2 * CROWD * 5);
    assert_whole(&log);
}

/// How often functions of the store were called by connections that have ended.
async fn calls(observer: &mut PgConnection) -> BTreeMap<String, i64> {
    let calls = "SELECT funcname::text, calls FROM pg_stat_user_functions WHERE schemaname = 'factum'";
    let rows = sqlx::query(calls).fetch_all(observer).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Nobody else appends: the ends of streams are known, and nothing is looked up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_that_is_alone_nothing_is_looked_up_and_everybody_is_told_what_is_so() {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET track_functions = 'pl'").await;
    let store = place.store().await;
    let mut tasks = JoinSet::new();
    for n in 0..CROWD {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut told = Vec::new();
            let mut version = None;
            for round in 0..40 {
                // Of several events, and with tags, too.
                let mut append = one(&n.to_string(), Condition::from(version));
                if n % 10 == 0 {
                    append =
                        append.and(stream(&format!("{n}x")), Condition::Any, vec![common::event(), common::event()]);
                }
                if round % 3 == 0 {
                    append = common::with_tag(append, "bank:1");
                }
                let ids: Vec<_> = append.writes.iter().flat_map(|write| &write.events).map(|event| event.id).collect();
                let appended = store.append(append).await.unwrap();
                version = appended.version(&stream(&n.to_string()));
                told.push((ids, version, appended.cursor.get(LogId::FIRST)));
            }
            told
        });
    }
    let told: Vec<_> = in_time(tasks.join_all()).await.into_iter().flatten().collect();
    let log = log(&store).await;
    assert_whole(&log);
    assert_eq!(log.len(), told.iter().map(|(ids, ..)| ids.len()).sum::<usize>());
    for (ids, version, last) in told {
        let last = usize::try_from(last.get()).unwrap();
        let recorded = &log[last - ids.len()..last];
        assert!(recorded.iter().map(|event| event.id).eq(ids));
        assert_eq!(Some(recorded[0].version), version);
    }
    let tagged = log.iter().filter(|event| !event.tags.is_empty()).count() as i64;
    let mut observer = place.connection().await;
    let tags = sqlx::query("SELECT count(*) FROM factum.tags").fetch_one(&mut observer).await.unwrap();
    assert_eq!(tags.get::<i64, _>(0), tagged);
    in_time(store.close()).await.unwrap();
    let calls = in_time(async {
        loop {
            let calls = calls(&mut observer).await;
            if calls.values().sum::<i64>() > 40 {
                break calls;
            }
            tokio::task::yield_now().await;
        }
    });
    let calls = calls.await;
    let of = |name: &str| calls.get(name).copied().unwrap_or(0);
    assert!(of("append_known") > of("append_plain") + of("append_group"), "{calls:?}");
}

fn chosen(random: &mut fastrand::Rng, version: Option<Version>) -> Condition {
    match random.u8(..8) {
        0 => Condition::Any,
        1 => Condition::Exists,
        2 => Condition::from(Version::new(random.u64(..9)).ok()),
        _ => Condition::from(version),
    }
}

/// Crowds that others come between now and then, in another process and alone in this one: with right conditions and wrong ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowds_that_others_come_between_are_told_what_is_so() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let mut expected = BTreeMap::new();
    for round in 0..12_u64 {
        let mut tasks = JoinSet::new();
        for n in 0..120_u64 {
            // Sometimes another process appends to the same streams.
            let foreign = round % 3 == 2 && n % 30 == 0;
            let store = Arc::clone(if foreign { &other } else { &store });
            tasks.spawn(async move {
                let mut random = fastrand::Rng::with_seed(round * 1_000 + n);
                let (mut told, mut version) = (Vec::new(), None);
                for _ in 0..8 {
                    let id = if random.u8(..20) == 0 { random.u64(..120) } else { n }.to_string();
                    let condition = chosen(&mut random, version);
                    let append = one(&id, condition);
                    let event = append.writes[0].events[0].id;
                    match store.append(append).await {
                        Ok(appended) => {
                            version = appended.version(&stream(&id));
                            let before = version.and_then(|version| Version::new(version.get() - 1).ok());
                            assert!(condition.holds(before), "{condition:?} held of {before:?}");
                            told.push((event, (version, appended.cursor.get(LogId::FIRST))));
                        }
                        Err(AppendError::Conflict { actual, .. }) => {
                            assert!(!condition.holds(actual), "{condition:?} did not hold of {actual:?}");
                            version = actual;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                told
            });
        }
        expected.extend(in_time(tasks.join_all()).await.into_iter().flatten());
        if round % 4 == 1 {
            let lone = one("lone", Condition::Any);
            let event = lone.writes[0].events[0].id;
            let appended = store.append(lone).await.unwrap();
            expected.insert(event, (appended.version(&stream("lone")), appended.cursor.get(LogId::FIRST)));
        }
    }
    let log = log(&store).await;
    assert_whole(&log);
    let recorded = log.iter().map(|event| (event.id, (Some(event.version), event.position)));
    assert_eq!(recorded.collect::<BTreeMap<_, _>>(), expected);
}
