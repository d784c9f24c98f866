//! The order lock: what is seen after it, what refuses to go without it, what it costs an old snapshot.

mod common;

use std::time::Duration;

use common::{event, keyed, one, place, query_of_tag, stream, tagged};
use factum::{Append, AppendError, Condition, Cursor, EventStore, LogId, Position, QueryCondition, Version};
use sqlx::{Connection, PgConnection, Row};

/// A statement that waited for the lock with a snapshot from before it would not see what was committed meanwhile, and
/// both appends would pass. Five shapes of it were tried once, and each lost a conflict.
#[tokio::test]
async fn a_query_condition_that_waited_for_the_order_lock_sees_what_was_appended_meanwhile() {
    let Some(place) = place().await else { return };
    let (first, second) = (place.store().await, place.store().await);
    let mut holder = place.connection().await;
    let mut transaction = holder.begin().await.unwrap();
    // Takes the lock by appending in a transaction that is not yet committed.
    let winner = tagged("1", "course:c1", Condition::Any);
    first.append_in(&mut transaction, winner).await.unwrap();
    let condition = QueryCondition { query: query_of_tag("course:c1"), after: Cursor::start() };
    let rival = tagged("2", "course:c1", Condition::Any).when(condition);
    let racing = tokio::spawn(async move { second.append(rival).await });
    place.until_somebody_waits_for_a_lock().await;
    transaction.commit().await.unwrap();
    match racing.await.unwrap() {
        Err(AppendError::QueryConflict { found, .. }) => assert_eq!(found.get(), 1),
        other => panic!("both passed: {other:?}"),
    }
}

#[tokio::test]
async fn a_version_that_was_taken_while_an_append_waited_for_the_lock_is_a_conflict() {
    let Some(place) = place().await else { return };
    let (first, second) = (place.store().await, place.store().await);
    let mut holder = place.connection().await;
    let mut transaction = holder.begin().await.unwrap();
    first.append_in(&mut transaction, one("1", Condition::NoStream)).await.unwrap();
    let racing = tokio::spawn(async move { second.append(one("1", Condition::NoStream)).await });
    place.until_somebody_waits_for_a_lock().await;
    transaction.commit().await.unwrap();
    match racing.await.unwrap() {
        Err(AppendError::Conflict { actual, .. }) => assert_eq!(actual, Some(Version::FIRST)),
        other => panic!("both passed: {other:?}"),
    }
}

/// A `lock_timeout` of the database, or of a role, held for the store too: whoever had to wait for the order lock longer than
/// that was told that the server had failed, where every other setting of theirs is without effect.
#[tokio::test]
async fn a_lock_timeout_of_the_database_ends_no_append_that_waits_for_the_order_lock() {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET lock_timeout = '1ms'").await;
    let (first, second) = (place.store().await, place.store().await);
    let mut holder = place.connection().await;
    let mut transaction = holder.begin().await.unwrap();
    first.append_in(&mut transaction, one("1", Condition::NoStream)).await.unwrap();
    let waiting = tokio::spawn(async move { second.append(one("2", Condition::NoStream)).await });
    place.until_somebody_waits_for_a_lock().await;
    transaction.commit().await.unwrap();
    waiting.await.unwrap().expect("it had only to wait");
}

#[tokio::test]
async fn an_append_under_another_isolation_is_refused() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let mut conn = place.connection().await;
    for isolation in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE"] {
        let mut transaction = conn.begin_with(isolation).await.unwrap();
        match store.append_in(&mut transaction, one("1", Condition::Any)).await {
            Err(AppendError::NotDone(fault)) => assert!(fault.to_string().contains("READ COMMITTED"), "{fault}"),
            other => panic!("{isolation}: {other:?}"),
        }
    }
    assert_eq!(store.head().await.unwrap(), Cursor::start());
}

#[tokio::test]
async fn the_settings_of_a_database_do_not_change_how_an_append_is_committed() {
    let Some(place) = place().await else { return };
    place.execute("ALTER DATABASE :database SET default_transaction_isolation = 'serializable'").await;
    // That of the role in the database is the stronger one.
    place.execute("ALTER ROLE CURRENT_USER IN DATABASE :database SET synchronous_commit = 'off'").await;
    let store = place.store().await;
    store.append(one("1", Condition::Any)).await.unwrap();
    // In a session with these settings, an append switches them off for its transaction, or says no.
    let mut conn = place.connection().await;
    let mut transaction = conn.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.unwrap();
    store.append_in(&mut transaction, one("2", Condition::Any)).await.unwrap();
    let row = sqlx::query("SELECT current_setting('synchronous_commit')").fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "on");
    transaction.rollback().await.unwrap();
    let mut transaction = conn.begin().await.unwrap();
    let refused = store.append_in(&mut transaction, one("2", Condition::Any)).await;
    assert!(matches!(refused, Err(AppendError::NotDone(_))), "{refused:?}");
}

/// A row that each append changes would leave a dead version behind each time, all of which stay, and are walked over, as
/// long as anybody in the database holds an old snapshot: a third of the speed was left after 20 seconds.
#[tokio::test]
async fn appends_leave_no_dead_rows_behind_for_an_idle_snapshot_to_keep() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let mut idle = place.connection().await;
    let mut snapshot = idle.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    sqlx::query("SELECT count(*) FROM factum.events").fetch_one(&mut *snapshot).await.unwrap();
    let mut conn = place.connection().await;
    let looked_at_first = buffers_of_the_head(&mut conn).await;
    for n in 0..100 {
        store.append(tagged(&n.to_string(), "course:c1", Condition::Any)).await.unwrap();
        let group = Append::to(stream("all"), Condition::Any, vec![event(), event()]);
        store.append(keyed(&n.to_string(), group)).await.unwrap();
    }
    // A session tells the statistics at its end at the latest.
    store.close().await.unwrap();
    let counted = "SELECT sum(n_tup_ins)::bigint, sum(n_tup_upd + n_tup_del + n_dead_tup)::bigint FROM pg_stat_all_tables \
                   WHERE schemaname = 'factum' AND relname IN ('events', 'tags', 'keys')";
    let told = async {
        loop {
            let row = sqlx::query(counted).fetch_one(&mut conn).await.unwrap();
            if row.get::<i64, _>(0) >= 500 {
                return row.get::<i64, _>(1);
            }
            tokio::task::yield_now().await;
        }
    };
    let dead = tokio::time::timeout(Duration::from_secs(30), told).await.expect("the statistics were never told");
    assert_eq!(dead, 0, "appends changed rows or left dead ones behind");
    // 300 events under the old snapshot, and what an append looks at first has not grown, but by a level of the index.
    let looked_at = buffers_of_the_head(&mut conn).await;
    assert!(looked_at <= looked_at_first + 3, "{looked_at} pages instead of {looked_at_first}");
    snapshot.rollback().await.unwrap();
}

/// How many pages it takes to find the last event.
async fn buffers_of_the_head(conn: &mut PgConnection) -> i64 {
    let explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT position, recorded_at FROM factum.events \
                   ORDER BY position DESC LIMIT 1";
    let row = sqlx::query(explain).fetch_one(conn).await.unwrap();
    let plan: serde_json::Value = serde_json::from_str(row.get_unchecked(0)).unwrap();
    let pages = |name: &str| plan[0]["Plan"][name].as_i64().unwrap();
    pages("Shared Hit Blocks") + pages("Shared Read Blocks")
}

#[tokio::test]
async fn writers_on_distinct_streams_never_fail_for_each_other_s_sake() {
    let Some(place) = place().await else { return };
    // What would make two that wrote at the same time fail, were it left to it.
    place.execute("ALTER DATABASE :database SET default_transaction_isolation = 'serializable'").await;
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..4 {
        let store = place.store().await;
        for task in 0..8 {
            let store = store.clone();
            tasks.spawn(async move {
                let id = format!("{process}-{task}");
                for version in 0..10 {
                    let expected = Version::new(version).map_or(Condition::NoStream, Condition::Version);
                    let appended = store.append(one(&id, expected)).await;
                    appended.unwrap_or_else(|error| panic!("{id} at {version}: {error}"));
                }
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let store = place.store().await;
    assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(320)));
}

#[tokio::test]
async fn what_is_appended_in_a_transaction_is_there_if_it_is_committed_and_not_if_it_is_rolled_back() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    place.execute("CREATE TABLE invoices (id integer PRIMARY KEY)").await;
    let mut conn = place.connection().await;
    for (id, commit) in [(1, false), (2, true)] {
        let mut transaction = conn.begin().await.unwrap();
        sqlx::query("INSERT INTO invoices VALUES ($1)").bind(id).execute(&mut *transaction).await.unwrap();
        let done = store.append_in(&mut transaction, one(&id.to_string(), Condition::NoStream)).await.unwrap();
        assert_eq!(done.cursor.get(LogId::FIRST), Position::new(1));
        if commit {
            transaction.commit().await.unwrap();
        } else {
            transaction.rollback().await.unwrap();
        }
    }
    let page = store.read_log(factum::ReadLog::after(LogId::FIRST, Position::START)).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.stream.id().to_owned()).collect::<Vec<_>>(), ["2"]);
}

#[tokio::test]
async fn a_conflict_leaves_the_callers_transaction_usable() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    store.append(one("1", Condition::NoStream)).await.unwrap();
    let mut conn = place.connection().await;
    let mut transaction = conn.begin().await.unwrap();
    let refused = store.append_in(&mut transaction, one("1", Condition::NoStream)).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
    store.append_in(&mut transaction, one("1", Condition::Version(Version::FIRST))).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(2)));
}

#[tokio::test]
async fn a_transaction_that_appended_and_fell_silent_is_ended_by_the_server() {
    let Some(place) = place().await else { return };
    let options = place.options().append_in_timeout(Duration::from_millis(50));
    let store = options.connect(&place.url()).await.unwrap();
    let mut conn = place.connection().await;
    let mut silent = conn.begin().await.unwrap();
    store.append_in(&mut silent, one("1", Condition::Any)).await.unwrap();
    // Waits for the lock that the silent one holds, and gets it.
    let other = place.store().await;
    let done = tokio::time::timeout(Duration::from_secs(20), other.append(one("2", Condition::Any))).await;
    assert_eq!(done.expect("the lock was never given up").unwrap().cursor, Cursor::from(Position::new(1)));
    assert!(silent.commit().await.is_err(), "a transaction that was ended cannot be committed");
}
