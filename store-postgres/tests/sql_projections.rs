//! Projections into tables of the database: exactly once, whatever fails; generations that are exchanged whole; and what
//! others have built on the tables goes on to work.

mod common;
mod sql;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::place;
use factum::{
    CommitError, Epoch, Generation, GenerationState, Generations, Position, Projected, ProjectedError, ReadModelError,
    ReadModelStore, Recorded, SwitchError,
};
use factum_postgres::{PostgresStore, SqlError, SqlProjection, SqlSetupError, SqlTransaction};
use sql::*;
use sqlx::Row;

#[tokio::test]
async fn exactly_once_read_model_with_two_workers_one_is_stale_and_nothing_is_doubled() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let log = Log::new().deposits(&[1, 2, 3]);
    let (one, two) = (sums(&store), sums(&other));
    let batch = log.next(&one).await;
    let same = log.next(&two).await;
    let (first, second) = tokio::join!(one.apply(batch.clone()), two.apply(same));
    let stale = [first, second].iter().filter(|done| is_stale(*done)).count();
    assert_eq!(stale, 1, "of two workers with one batch one commits");
    assert!(is_stale(&one.apply(batch).await), "a batch was applied twice");
    assert_eq!(shown(&place).await, ["1 6"]);
    let log = log.deposits(&[10]);
    log.drive(&two).await.unwrap();
    assert_eq!(shown(&place).await, ["1 16"]);
}

#[tokio::test]
async fn racing_to_make_tables_makes_them_once() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let projected: Vec<_> = [&store, &other, &store, &other].map(sums).into();
    let opened = futures_util::future::join_all(projected.iter().map(Generations::open)).await;
    let built = futures_util::future::join_all(projected.iter().map(Generations::build)).await;
    assert!(opened.into_iter().all(|info| info.unwrap().generation == Generation(1)));
    assert!(built.into_iter().all(|info| info.unwrap().generation == Generation(2)));
    assert_eq!(tables(&place).await, ["days", "days__g2", "sums", "sums__g2"]);
}

#[tokio::test]
async fn what_fails_is_undone_and_named_and_what_precedes_it_is_taken() {
    let ways = [
        (Way::Refuse, "thirteen"),
        (Way::Panic, "it panicked: thirteen"),
        (Way::Constraint, "duplicate key"),
        (Way::Deferred, "foreign key"),
        (Way::Unknown, "there is no table {some}"),
        (Way::Commit, "not allowed here: COMMIT"),
        (Way::PlainName, "relation \"sums\" does not exist"),
    ];
    for (way, says) in ways {
        let Some(place) = place().await else { return };
        let store = place.store().await;
        let log = Log::new().deposits(&[1, 2, 13, 4]);
        let sums = failing(&store, way);
        let error = log.drive(&sums).await.unwrap_err();
        let ProjectedError::Halted(failure) = &error else { panic!("{way:?}: {error:?}") };
        assert_eq!((failure.position.get(), failure.version.get(), failure.event_type.as_str()), (3, 3, "Deposited"));
        assert_eq!(failure.stream.name(), "account-1");
        assert!(failure.cause.contains(says), "{way:?}: {}", failure.cause);
        assert_eq!(shown(&place).await, ["1 3"], "{way:?}");
        assert_eq!(sums.checkpoint(LOG).await.unwrap().position, Position::new(2));

        // Mended, it goes on where it stood.
        log.drive(&self::sums(&store)).await.unwrap();
        assert_eq!(shown(&place).await, ["1 20"], "{way:?}");
    }
}

#[tokio::test]
async fn a_worker_of_an_old_epoch_writes_nothing() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    let batch = log.next(&sums).await;
    store.raise_epoch(&shard(Generation(1)), Epoch(0)).await.unwrap();
    assert!(is_stale(&sums.apply(batch).await), "a worker that was stopped wrote when it came back");
    assert!(shown(&place).await.is_empty());
    log.drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 1"]);
}

#[tokio::test]
async fn a_replayed_generation_takes_the_plain_names_with_all_that_others_built_on_them() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let log = Log::new().deposits(&[1, 2]);
    let sums = sums(&store);
    log.drive(&sums).await.unwrap();
    let log = log.deposits(&[5]);
    let held = log.next(&sums).await;
    place.execute("CREATE VIEW rich WITH (security_barrier) AS SELECT account FROM sums WHERE cents > 2").await;
    place.execute("CREATE VIEW richer AS SELECT account FROM rich").await;
    place.execute("GRANT SELECT ON sums TO PUBLIC; GRANT SELECT, UPDATE ON days TO pg_monitor WITH GRANT OPTION").await;
    let granted =
        "SELECT relacl::text FROM pg_class WHERE oid IN ('sums'::regclass, 'days'::regclass) ORDER BY relname";
    let before = texts(&place, granted).await;
    place.execute("UPDATE sums SET cents = 77").await;

    let built = log.build(&sums).await;
    assert_eq!(built, Generation(2));
    assert_eq!(shown(&place).await, ["1 77"], "readers see what is being built");
    Generations::switch(&sums, Generation(1), built, None).await.unwrap();
    assert_eq!(shown(&place).await, ["1 8"]);
    place.execute("UPDATE sums__g1 SET cents = 0").await;
    assert_eq!(texts(&place, "SELECT account FROM richer").await, ["1"], "a view means the old tables");
    let options = "SELECT reloptions::text FROM pg_class WHERE relname = 'rich'";
    assert_eq!(texts(&place, options).await, ["{security_barrier=true}"]);
    assert_eq!(texts(&place, granted).await, before, "what was granted is not any more");
    let indexes = "SELECT indexname::text FROM pg_indexes WHERE tablename = 'sums' AND indexname LIKE '%by_cents%'";
    assert_eq!(texts(&place, indexes).await, ["sums_by_cents__g2"]);
    let referred =
        "SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = 'days'::regclass AND contype = 'f'";
    assert_eq!(texts(&place, referred).await, ["sums"]);

    // What was live takes no more, and a worker that held a page over the switch loads anew.
    assert!(is_overtaken(&sums.apply(held).await), "a page that was held over a switch was written");
    let old = sums.checkpoint_of(Generation(1), LOG).await.unwrap();
    let superseded = sums.apply_to(Generation(1), log.after(old, 9).unwrap()).await;
    assert!(matches!(superseded, Err(ProjectedError::Commit(CommitError::Superseded { .. }))), "{superseded:?}");
    log.deposits(&[100]).drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 108"]);
}

#[tokio::test]
async fn a_switch_back_is_a_switch_and_a_dropped_generation_leaves_no_table() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    Generations::switch(&sums, Generation(1), Generation(2), None).await.unwrap();
    Generations::switch(&sums, Generation(2), Generation(1), None).await.unwrap();
    assert_eq!(tables(&place).await, ["days", "days__g2", "sums", "sums__g2"]);
    let live = sums.drop_generation(Generation(1)).await;
    assert!(matches!(live, Err(ProjectedError::ReadModel(ReadModelError::Live { .. }))), "{live:?}");
    sums.drop_generation(Generation(2)).await.unwrap();
    let gone = async {
        while tables(&place).await != ["days", "sums"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("the tables of a dropped generation are there");
    let log = log.deposits(&[4]);
    log.drive(&sums).await.unwrap();
    assert_eq!(log.build(&sums).await, Generation(3));
}

/// Readers that ask all the time see the old tables or the new ones, never neither, and never wait behind a switch that
/// waits for another of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_never_sees_half_a_switch() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1, 2, 3]));
    log.drive(&sums).await.unwrap();
    let reading = Arc::new(AtomicBool::new(true));
    let readers: Vec<_> = futures_util::future::join_all((0..3).map(|_| place.connection())).await;
    let readers: Vec<_> = readers
        .into_iter()
        .map(|mut conn| {
            let reading = Arc::clone(&reading);
            tokio::spawn(async move {
                let query = "SELECT max(sums.cents), count(*) FROM sums JOIN days USING (account)";
                let mut asked = 0;
                while reading.load(Ordering::SeqCst) || asked == 0 {
                    let row = sqlx::query(query).fetch_one(&mut conn).await.expect("a read failed over a switch");
                    assert_eq!((row.get::<i64, _>(0), row.get::<i64, _>(1)), (6, 3));
                    asked += 1;
                }
            })
        })
        .collect();
    for generation in 2..8 {
        assert_eq!(log.build(&sums).await, Generation(generation));
        Generations::switch(&sums, Generation(generation - 1), Generation(generation), None).await.unwrap();
        sums.drop_generation(Generation(generation - 1)).await.unwrap();
    }
    reading.store(false, Ordering::SeqCst);
    for reader in readers {
        tokio::time::timeout(Duration::from_secs(30), reader).await.expect("a reader hangs").unwrap();
    }
    assert_eq!(shown(&place).await, ["1 6"]);
}

/// A switch that finds a long query at work lets others read meanwhile, and happens when that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_queues_nobody_behind_a_long_reader() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (Arc::new(sums(&store)), Log::new().deposits(&[1]));
    log.drive(&*sums).await.unwrap();
    log.build(&*sums).await;
    let mut long = place.connection().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM sums").execute(&mut long).await.unwrap();
    let switching = Arc::clone(&sums);
    let switch =
        tokio::spawn(async move { Generations::switch(&*switching, Generation(1), Generation(2), None).await });
    for _ in 0..20 {
        let read = tokio::time::timeout(Duration::from_secs(10), shown(&place)).await;
        assert_eq!(read.expect("a reader waits behind a switch"), ["1 1"]);
    }
    assert!(!switch.is_finished(), "the switch did not wait for the reader");
    sqlx::raw_sql("COMMIT").execute(&mut long).await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), switch).await.expect("the switch hangs").unwrap().unwrap();
}

#[tokio::test]
async fn a_switch_that_would_lose_what_others_have_is_refused_whole() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    let bound = [
        ("CREATE TABLE notes (account text REFERENCES sums)", "notes", "DROP TABLE notes"),
        ("CREATE MATERIALIZED VIEW slow AS SELECT * FROM days", "slow", "DROP MATERIALIZED VIEW slow"),
        ("CREATE TABLE days__g1 (a int)", "days__g1", "DROP TABLE days__g1"),
    ];
    for (make, says, undo) in bound {
        place.execute(make).await;
        let refused = Generations::switch(&sums, Generation(1), Generation(2), None).await;
        assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains(says)), "{make}: {refused:?}");
        let states: Vec<_> = sums.list().await.unwrap().iter().map(|info| info.state).collect();
        assert_eq!(states, [GenerationState::Live, GenerationState::Building]);
        place.execute(undo).await;
    }
    assert_eq!(tables(&place).await, ["days", "days__g2", "sums", "sums__g2"]);
    Generations::switch(&sums, Generation(1), Generation(2), None).await.unwrap();
}

/// Makes a projection that differs in what it is made of.
macro_rules! schema {
    ($type:ident, $name:literal, $version:literal, $place:literal, $tables:expr, $schema:literal) => {
        struct $type;
        impl SqlProjection for $type {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            const PLACE: &'static str = $place;
            const TABLES: &'static [&'static str] = $tables;
            const SCHEMA: &'static str = $schema;
            type Event = AccountEvent;
            async fn apply(&self, _: &mut SqlTransaction<'_>, _: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
                Ok(())
            }
        }
    };
}

schema!(Missing, "missing", 1, "public", &["a", "b"], "CREATE TABLE {a} (x int)");
schema!(FixedIndex, "fixed", 1, "public", &["a"], "CREATE TABLE {a} (x int); CREATE INDEX a_by_x ON {a} (x)");
schema!(FixedKey, "key", 1, "public", &["a"], "CREATE TABLE {a} (x int, CONSTRAINT only_once UNIQUE (x))");
schema!(Broken, "broken", 1, "public", &["a"], "CREATE TABLE {a} (x int); CREATE TABBLE");
schema!(Ending, "ending", 1, "public", &["ended"], "CREATE TABLE {ended} (x int); COMMIT; BEGIN");
schema!(Foreign, "foreign", 1, "public", &["mine"], "CREATE TABLE {mine} (x int)");
schema!(Others, "others", 1, "public", &["sums"], "CREATE TABLE {sums} (x int)");
schema!(Newer, "sums", 2, "public", &["sums"], "CREATE TABLE {sums} (x int)");
schema!(Nowhere, "nowhere", 1, "no such place", &["a"], "CREATE TABLE {a} (x int)");
schema!(
    Beside,
    "sums",
    2,
    "my \"shop\"",
    &["sums"],
    "CREATE TABLE {sums} (x int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)"
);
schema!(Nameless, "", 1, "public", &["a"], "");
schema!(Capital, "capital", 1, "public", &["Balances"], "");
schema!(Catalog, "catalog", 1, "pg_catalog", &["a"], "");

async fn not_made<P: SqlProjection>(store: &Arc<PostgresStore>, projection: P) -> String {
    match Generations::open(&store.sql_projection(projection).unwrap()).await {
        Err(ProjectedError::ReadModel(ReadModelError::NotMade { projection, why })) => {
            assert_eq!(projection.as_str(), P::NAME);
            why
        }
        other => panic!("{} led to {other:?}", P::SCHEMA),
    }
}

#[tokio::test]
async fn a_schema_that_could_not_be_replayed_is_refused_and_leaves_nothing() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let sums = sums(&store);
    Generations::open(&sums).await.unwrap();
    place.execute("CREATE TABLE mine (a int)").await;
    let before = tables(&place).await;
    let refused = [
        (not_made(&store, Missing).await, "no table {b}"),
        (not_made(&store, FixedIndex).await, "the index a_by_x has a fixed name"),
        (not_made(&store, FixedKey).await, "the index only_once has a fixed name"),
        (not_made(&store, Broken).await, "TABBLE"),
        (not_made(&store, Foreign).await, "a table mine already"),
        (not_made(&store, Others).await, "its table sums is that of sums version 1"),
        (not_made(&store, Newer).await, "give the tables of version 2 other names"),
        (not_made(&store, Nowhere).await, "no such place"),
    ];
    for (why, says) in refused {
        assert!(why.contains(says), "{says}: {why}");
    }
    assert_eq!(tables(&place).await, before);
    let why = not_made(&store, Ending).await;
    assert!(why.contains("SCHEMA ends the transaction"), "{why}");

    // Two versions stand side by side, each with tables of its own, here in a schema of its own.
    place.execute("CREATE SCHEMA \"my \"\"shop\"\"\"").await;
    let beside = store.sql_projection(Beside).unwrap();
    let opened = Generations::open(&beside).await.unwrap().generation;
    let next = Generations::build(&beside).await.unwrap().generation;
    Generations::switch(&beside, opened, next, None).await.unwrap();
    let lies = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'my \"shop\"' ORDER BY 1";
    assert_eq!(texts(&place, lies).await, ["sums".to_owned(), format!("sums__g{opened}")]);
    assert_eq!(tables(&place).await.len(), before.len() + 1);
}

#[tokio::test]
async fn what_cannot_be_run_as_it_is_written_is_refused_at_once() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    assert!(matches!(store.sql_projection(Nameless), Err(SqlSetupError::Name { .. })));
    assert!(matches!(store.sql_projection(Capital), Err(SqlSetupError::BadTable { table: "Balances", .. })));
    assert!(matches!(store.sql_projection(Catalog), Err(SqlSetupError::BadPlace { place: "pg_catalog", .. })));
}

/// Adds up a batch in one statement.
struct Batched;

impl SqlProjection for Batched {
    const NAME: &'static str = "batched";
    const TABLES: &'static [&'static str] = &["batched"];
    const SCHEMA: &'static str = "CREATE TABLE {batched} (account text PRIMARY KEY, cents bigint NOT NULL)";
    type Event = AccountEvent;

    async fn apply(&self, sql: &mut SqlTransaction<'_>, events: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
        let accounts: Vec<_> = events.iter().map(|event| event.stream.id()).collect();
        let cents: Vec<_> =
            events.iter().map(|Recorded { data: AccountEvent::Deposited { cents }, .. }| *cents).collect();
        let add = sql.query(
            "INSERT INTO {batched} AS b
             SELECT account, sum(cents)::bigint FROM unnest($1::text[], $2::bigint[]) AS d(account, cents) GROUP BY account
             ON CONFLICT (account) DO UPDATE SET cents = b.cents + excluded.cents RETURNING cents",
        );
        let sums = sql.fetch_all(add.bind(accounts).bind(cents)).await?;
        assert_eq!(sums.len(), 1);
        Ok(())
    }
}

#[tokio::test]
async fn a_batch_can_be_one_statement() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (batched, log) = (store.sql_projection(Batched).unwrap(), Log::new().deposits(&[1, 2, 3]));
    log.drive(&batched).await.unwrap();
    log.deposits(&[10, 20]).drive(&batched).await.unwrap();
    assert_eq!(texts(&place, "SELECT cents::text FROM batched").await, ["36"]);
}

/// A server that is gone is no halt: nothing is wrong with the event.
#[tokio::test]
async fn a_backend_that_is_killed_is_a_fault_and_the_batch_is_taken_later() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    let batch = log.next(&sums).await;
    let mut blocking = place.connection().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE sums").execute(&mut blocking).await.unwrap();
    let kill = async {
        let waiting = "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while texts(&place, waiting).await != ["1"] {}
    };
    let (applied, ()) = tokio::join!(sums.apply(batch), kill);
    assert!(
        matches!(applied, Err(ProjectedError::Commit(CommitError::Fault(ref fault))) if fault.is_transient()),
        "{applied:?}"
    );
    drop(blocking);
    log.drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 1"]);
}
