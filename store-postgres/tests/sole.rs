//! A writer that nobody else comes between: it offers position and version of its next event, and is never believed.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use chrono::DateTime;
use common::{Place, event, in_time, one, place, query_of_tag, stream, tagged};
use factum::{
    Append, AppendError, Appended, Condition, EventStore, LogId, Metadata, NewEvent, PageLimit, Position, ReadLog,
    ReadStream, Tag, Version,
};
use factum_postgres::PostgresStore;
use sqlx::{Connection, Row};

/// More than a writer takes to see that it is alone, and to be sure of it.
const ALONE: [usize; 2] = [20, 200];

async fn alone(store: &PostgresStore, id: &str, many: usize) {
    for _ in 0..many {
        store.append(one(id, Condition::Any)).await.unwrap();
    }
}

/// What a lone writer is told of an append that waits for the order lock until another writer, who has it, commits or does not.
async fn overtaken(
    place: &Place,
    lone: &Arc<PostgresStore>,
    append: Append,
    by: Append,
    commits: bool,
) -> Result<Appended, AppendError> {
    let mut holder = place.connection().await;
    let mut transaction = holder.begin().await.unwrap();
    place.store().await.append_in(&mut transaction, by).await.unwrap();
    let waits = Arc::clone(lone);
    let waiting = tokio::spawn(async move { waits.append(append).await });
    place.until_somebody_waits_for_a_lock().await;
    match commits {
        true => transaction.commit().await.unwrap(),
        false => transaction.rollback().await.unwrap(),
    }
    waiting.await.unwrap()
}

fn position(appended: &Appended) -> u64 {
    appended.cursor.get(LogId::FIRST).get()
}

/// How many appends had their place looked up by this function, and how many events were recorded, by connections that have ended.
async fn looked_up_and_recorded(place: &Place, by: &str) -> (i64, i64) {
    let counted = "SELECT
        coalesce((SELECT sum(calls) FROM pg_stat_user_functions WHERE funcname = $1), 0)::bigint,
        coalesce((SELECT sum(n_tup_ins) FROM pg_stat_user_tables WHERE relname = 'events'), 0)::bigint";
    let row = sqlx::query(counted).bind(by).fetch_one(&mut place.connection().await).await.unwrap();
    (row.get(0), row.get(1))
}

/// How many had, once so many events are recorded.
async fn looked_up(place: &Place, by: &str, events: i64) -> i64 {
    in_time(async {
        loop {
            match looked_up_and_recorded(place, by).await {
                (looked_up, recorded) if recorded == events => break looked_up,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_writer_that_is_alone_has_nothing_looked_up_and_is_right() {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET track_functions = 'pl'").await;
    let store = place.store().await;
    for n in 0..200_u64 {
        let condition = Version::new(n / 4).map_or(Condition::NoStream, Condition::Version);
        let id = (n % 4).to_string();
        let append = if n.is_multiple_of(2) { tagged(&id, "bank:1", condition) } else { one(&id, condition) };
        let appended = store.append(append).await.unwrap();
        assert_eq!(position(&appended), n + 1);
    }
    let page = store.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap();
    for event in &page.events {
        assert_eq!(event.tags.len(), usize::from(!event.position.get().is_multiple_of(2)), "{event:?}");
        assert_eq!(event.version.get(), event.position.get().div_ceil(4), "{event:?}");
    }
    assert!(page.events.is_sorted_by_key(|event| event.recorded_at));
    store.close().await.unwrap();
    let looked_up = looked_up(&place, "append_one", 200).await;
    assert!((1..20).contains(&looked_up), "{looked_up} of 200 were looked up");
    let tags = "SELECT count(*) FROM factum.tags";
    assert_eq!(sqlx::query(tags).fetch_one(&mut place.connection().await).await.unwrap().get::<i64, _>(0), 100);
}

#[tokio::test]
async fn what_another_commits_while_a_lone_writer_waits_for_the_lock_comes_first() {
    let seen = |many: usize| Condition::Version(Version::new(many as u64).unwrap());
    for (many, condition) in ALONE.into_iter().flat_map(|many| [(many, Condition::Any), (many, seen(many))]) {
        let Some(place) = place().await else { return };
        let lone = place.store().await;
        alone(&lone, "1", many).await;
        let told = overtaken(&place, &lone, one("1", condition), one("1", Condition::Any), true).await;
        match (condition, told) {
            (Condition::Any, Ok(appended)) => assert_eq!(position(&appended), many as u64 + 2),
            (Condition::Version(_), Err(AppendError::Conflict { expected, actual, .. })) => {
                assert_eq!((expected, actual.map(Version::get)), (condition, Some(many as u64 + 1)));
            }
            (_, other) => panic!("{condition:?}: {other:?}"),
        }
    }
}

/// How many transactions of the database have failed, once all connections but one have ended, and with them have said so.
async fn failed(place: &Place) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let failed = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    let mut connection = place.connection().await;
    let mut number = async |query: &'static str| sqlx::query(query).fetch_one(&mut connection).await.unwrap().get(0);
    in_time(async {
        while number(others).await > 0_i64 {}
        number(failed).await
    })
    .await
}

/// A place that it was sure of is taken with an error, which stands in the server's log: then it is sure of none for long.
#[tokio::test]
async fn who_was_alone_for_long_is_told_what_is_so_and_leaves_one_error_at_the_server() {
    let Some(place) = place().await else { return };
    let lone = place.store().await;
    let mut head = 0;
    for round in 1..=3 {
        for _ in 0..200 {
            head += 1;
            assert_eq!(position(&lone.append(one("1", Condition::Any)).await.unwrap()), head);
        }
        let (mine, theirs) = (one("1", Condition::Any), one("2", Condition::Any));
        let appended = overtaken(&place, &lone, mine, theirs, true).await.unwrap();
        head += 2;
        let version = appended.version(&stream("1")).map(Version::get);
        assert_eq!((position(&appended), version), (head, Some(201 * round)));
    }
    lone.close().await.unwrap();
    assert_eq!(failed(&place).await, 1, "errors in the server's log");
}

/// Several events to one stream.
fn several(id: &str, condition: Condition) -> Append {
    let described = |n| {
        let metadata = Metadata::new().actor(format!("teller-{n}")).occurred_at(DateTime::UNIX_EPOCH);
        NewEvent { schema_version: n, metadata, ..event() }
    };
    Append::to(stream(id), condition, (1..=5).map(described).collect())
}

/// Where an append is, as it was told and as it is read.
async fn told_and_read(store: &PostgresStore, append: Append) -> (u64, u64) {
    let events = &append.writes[0].events;
    let sent: Vec<_> = events.iter().map(|event| (event.id, event.schema_version, event.metadata.clone())).collect();
    let to = append.writes[0].stream.clone();
    let appended = store.append(append).await.unwrap();
    let (last, version) = (position(&appended), appended.version(&to).unwrap().get());
    let read = ReadStream::new(to).backward().limit(sent.len());
    let mut events = store.read_stream(read).await.unwrap().events;
    events.reverse();
    let read = events.iter().map(|event| (event.id, event.schema_version, event.metadata.clone()));
    assert!(read.eq(sent), "{events:?}");
    let places = (0..events.len() as u64).rev().map(|n| (last - n, version - n));
    assert!(events.iter().map(|event| (event.position.get(), event.version.get())).eq(places), "{events:?}");
    assert!(events.iter().all(|event| event.recorded_at == events[0].recorded_at), "{events:?}");
    (last, version)
}

#[tokio::test]
async fn several_events_of_who_was_alone_for_long_have_nothing_looked_up_but_whether_a_new_stream_is_there() {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET track_functions = 'pl'").await;
    // By a clock that was set back since.
    let old = "INSERT INTO factum.events SELECT 1, 1, '2100-01-01Z', NULL, gen_random_uuid(), 1, '', 'account', 'account-old', \
               'Deposited', NULL, NULL, '{}'";
    place.execute(old).await;
    let lone = place.store().await;
    alone(&lone, "1", 200).await;
    let (mut head, mut version) = (201, 200);
    for n in 0..20 {
        let seen = [Condition::Any, Condition::Version(Version::new(version).unwrap())][n % 2];
        (head, version) = (head + 10, version + 5);
        assert_eq!(told_and_read(&lone, several("1", seen)).await, (head - 5, version));
        assert_eq!(told_and_read(&lone, several(&format!("new-{n}"), Condition::NoStream)).await, (head, 5));
    }
    let mut tagged = several("1", Condition::Any);
    tagged.writes[0].events[4].tags = vec![Tag::new("bank:1").unwrap()];
    assert_eq!(told_and_read(&lone, tagged).await, (head + 5, version + 5));
    let refused = lone.append(several("old", Condition::NoStream)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { actual: Some(Version::FIRST), .. }), "{refused:?}");
    let log = ReadLog::after(LogId::FIRST, Position::START);
    assert_eq!(lone.read_log(log.clone().filter(query_of_tag("bank:1"))).await.unwrap().events.len(), 1);
    let all = lone.read_log(log).await.unwrap().events;
    assert!(all.len() as u64 == head + 5 && all.is_sorted_by_key(|event| event.recorded_at), "{all:?}");
    lone.close().await.unwrap();
    let looked_up = looked_up(&place, "append_run", all.len() as i64).await;
    assert!((2..20).contains(&looked_up), "{looked_up} of 42 were looked up");
    assert_eq!(failed(&place).await, 0, "errors in the server's log");
}

/// What several events are told that another comes before while they wait for the lock, and how many errors that leaves.
async fn raced(many: usize, append: Append, by: Append, commits: bool) -> Option<(Result<u64, Option<u64>>, i64)> {
    let place = place().await?;
    let lone = place.store().await;
    alone(&lone, "1", many).await;
    let told = match overtaken(&place, &lone, append, by, commits).await {
        Ok(appended) => Ok(position(&appended)),
        Err(AppendError::Conflict { actual, .. }) => Err(actual.map(Version::get)),
        Err(error) => panic!("{error}"),
    };
    let log = lone.read_log(ReadLog::after(LogId::FIRST, Position::START)).await.unwrap().events;
    assert!(log.iter().map(|event| event.position.get()).eq(1..=log.len() as u64), "the log has a gap");
    assert_eq!(log.len(), many + usize::from(commits) + if told.is_ok() { 5 } else { 0 });
    lone.close().await.unwrap();
    // What the other one takes back counts as well.
    Some((told, failed(&place).await - i64::from(!commits)))
}

#[tokio::test]
async fn several_events_of_who_was_alone_are_recorded_whole_or_not_at_all_whatever_another_does_meanwhile() {
    let seen = Condition::Version(Version::new(200).unwrap());
    let cases = [
        (20, several("1", Condition::Any), one("2", Condition::Any), true, Ok(26), 0),
        (200, several("1", Condition::Any), one("2", Condition::Any), true, Ok(206), 1),
        (200, several("1", seen), one("1", Condition::Any), true, Err(Some(201)), 1),
        (200, several("new", Condition::NoStream), one("new", Condition::Any), true, Err(Some(1)), 1),
        (200, several("new", Condition::NoStream), one("2", Condition::Any), true, Ok(206), 1),
        (200, several("1", seen), one("1", Condition::Any), false, Ok(205), 0),
        (200, several("new", Condition::NoStream), one("new", Condition::Any), false, Ok(205), 0),
    ];
    for (many, append, by, commits, expected, errors) in cases {
        // On a machine that is slower than a second nothing is offered, and no error is left.
        for last in [false, false, true] {
            let Some((told, left)) = raced(many, append.clone(), by.clone(), commits).await else { return };
            assert_eq!(told, expected, "{append:?}");
            if left == errors {
                break;
            }
            assert!(!last && left == 0, "{left} errors in the server's log, of {append:?}");
        }
    }
}

/// A rolled back append leaves nothing behind, and no gap.
#[tokio::test]
async fn what_another_rolls_back_while_a_lone_writer_waits_leaves_no_gap() {
    for many in ALONE {
        let Some(place) = place().await else { return };
        let lone = place.store().await;
        alone(&lone, "1", many).await;
        let told = overtaken(&place, &lone, one("1", Condition::Any), one("1", Condition::Any), false).await;
        assert_eq!(position(&told.unwrap()), many as u64 + 1);
    }
}

#[tokio::test]
async fn a_writer_whose_connection_was_ended_goes_on_where_the_log_ends() {
    for many in ALONE {
        let Some(place) = place().await else { return };
        let (lone, other) = (place.store().await, place.store().await);
        alone(&lone, "1", many).await;
        place.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()").await;
        other.append(one("1", Condition::Any)).await.unwrap();
        assert_eq!(position(&lone.append(one("1", Condition::Any)).await.unwrap()), many as u64 + 2);
    }
}

/// Somebody with the rights of the owner wrote into the log by hand.
#[tokio::test]
async fn what_was_put_into_the_log_by_hand_is_not_overwritten() {
    for many in ALONE {
        let Some(place) = place().await else { return };
        let lone = place.store().await;
        alone(&lone, "1", many).await;
        let by_hand = "INSERT INTO factum.events
            SELECT 1000, version + 1, recorded_at, occurred_at, gen_random_uuid(), schema_version, tenant, category, stream,
              event_type, tags, metadata, payload
            FROM factum.events ORDER BY position DESC LIMIT 1";
        place.execute(by_hand).await;
        let appended = lone.append(one("1", Condition::Any)).await.unwrap();
        assert_eq!(
            (position(&appended), appended.version(&stream("1")).map(Version::get)),
            (1001, Some(many as u64 + 2))
        );
    }
}

/// As a restore in one transaction does it, under a writer that lives on.
#[tokio::test]
async fn a_log_that_is_shorter_after_a_long_wait_gets_no_gap() {
    let one = one("1", Condition::Any);
    for (many, append) in [(20, one.clone()), (200, one), (200, several("1", Condition::Any))] {
        let Some(place) = place().await else { return };
        let lone = place.store().await;
        alone(&lone, "1", many).await;
        let mut holder = place.connection().await;
        let mut transaction = holder.begin().await.unwrap();
        let shorter = "LOCK TABLE factum.events; ALTER TABLE factum.events DISABLE TRIGGER ALL;
            DELETE FROM factum.events WHERE position > 10; ALTER TABLE factum.events ENABLE ALWAYS TRIGGER events_are_never_changed";
        sqlx::raw_sql(shorter).execute(&mut *transaction).await.unwrap();
        let waits = Arc::clone(&lone);
        let last = 10 + append.events() as u64;
        let waiting = tokio::spawn(async move { waits.append(append).await });
        place.until_somebody_waits_for("relation").await;
        sqlx::raw_sql("SELECT pg_sleep(1.1)").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(position(&waiting.await.unwrap().unwrap()), last);
    }
}

#[tokio::test]
async fn a_writer_that_may_not_offer_a_place_has_it_looked_up() {
    let Some(place) = place().await else { return };
    // Which no insertion may have that passes over what is there already.
    place.execute("CREATE RULE heard AS ON INSERT TO factum.events DO ALSO NOTIFY heard").await;
    let lone = place.store().await;
    alone(&lone, "1", ALONE[0]).await;
    assert_eq!(position(&lone.append(one("1", Condition::Any)).await.unwrap()), ALONE[0] as u64 + 1);
}

/// What each stream holds, as the test reckons it.
type Model = HashMap<String, u64>;

fn chosen(random: &mut fastrand::Rng, model: &Model, id: &str) -> Condition {
    let last = model.get(id).copied().unwrap_or(0);
    let about = [last, last, last, last.saturating_sub(1), last + 1][random.usize(..5)];
    match random.u8(..8) {
        0 => Condition::Any,
        1 => Condition::Exists,
        2 => Condition::NoStream,
        _ => Version::new(about).map_or(Condition::NoStream, Condition::Version),
    }
}

/// Two writers in turns, each alone for a while, with right conditions and wrong ones, against a map.
#[tokio::test]
async fn writers_that_take_turns_are_told_what_is_so() {
    let Some(place) = place().await else { return };
    let stores = [place.store().await, place.store().await];
    let mut random = fastrand::Rng::with_seed(1993);
    let (mut model, mut head) = (Model::new(), 0);
    for _ in 0..60 {
        let store = &stores[random.usize(..2)];
        for _ in 0..random.usize(1..40) {
            let id = random.u8(..6).to_string();
            let condition = chosen(&mut random, &model, &id);
            let before = model.get(&id).and_then(|last| Version::new(*last).ok());
            let added = if random.u8(..10) == 0 { 3 } else { 1 };
            let events = (0..added).map(|_| event()).collect();
            match store.append(Append::to(stream(&id), condition, events)).await {
                Ok(appended) => {
                    assert!(condition.holds(before), "{condition:?} held of {before:?}");
                    head += added;
                    let last = model.entry(id.clone()).or_default();
                    *last += added;
                    let told = appended.version(&stream(&id)).map(Version::get);
                    assert_eq!((position(&appended), told), (head, Some(*last)));
                }
                Err(AppendError::Conflict { actual, .. }) => {
                    assert!(!condition.holds(before), "{condition:?} did not hold of {before:?}");
                    assert_eq!(actual, before);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    let mut read = ReadLog::after(LogId::FIRST, Position::START);
    read.limit = PageLimit { events: 100_000, ..read.limit };
    let events = stores[0].read_log(read).await.unwrap().events;
    assert!(events.iter().map(|event| event.position.get()).eq(1..=head), "the log has a gap");
}
