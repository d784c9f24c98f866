//! What SQL of a projection may not do, refused by SQLite itself before it runs; and schemas that could not be replayed.

mod common;
mod sql;

use std::sync::Arc;

use common::place;
use factum::{EventStore, Generations, Position, Projected, ProjectedError, ReadModelError, Recorded};
use factum_sqlite::{SqlError, SqlProjection, SqlSetupError, SqlTransaction, SqliteStore};
use sql::*;

/// Runs one statement for each event, in a table of its own.
struct Does(&'static str);

impl SqlProjection for Does {
    const NAME: &'static str = "does";
    const TABLES: &'static [&'static str] = &["done"];
    const SCHEMA: &'static str = "CREATE TABLE {done} (what TEXT)";
    type Event = AccountEvent;

    fn apply(&self, sql: &SqlTransaction<'_>, events: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
        for _ in events {
            sql.execute("INSERT INTO {done} VALUES ('first')", [])?;
            sql.query(self.0, [], |_| Ok(()))?;
        }
        Ok(())
    }
}

async fn halts_with(store: &Arc<SqliteStore>, sql: &'static str) -> String {
    let does = store.sql_projection(Does(sql)).unwrap();
    match drive(store, &does).await {
        Err(ProjectedError::Halted(failure)) => {
            assert_eq!(failure.position, Position::new(1));
            failure.cause
        }
        other => panic!("{sql} led to {other:?}"),
    }
}

#[tokio::test]
async fn what_is_not_a_projections_is_refused_and_the_transaction_goes_on() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    drive(&store, &sums(&store)).await.unwrap();
    tamper(&file, "CREATE TABLE mine (a)");
    let refused = [
        ("COMMIT", "ending a transaction"),
        ("ROLLBACK", "ending a transaction"),
        ("SAVEPOINT mine", "ending a transaction"),
        ("RELEASE user", "ending a transaction"),
        ("ROLLBACK TO user", "ending a transaction"),
        ("ATTACH ':memory:' AS other", "another database"),
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys"),
        ("DELETE FROM events", "writing to the table events"),
        ("UPDATE checkpoints SET position = 0", "writing to the table checkpoints"),
        ("INSERT INTO mine VALUES (1)", "writing to the table mine"),
        ("SELECT payload FROM events", "reading the table events"),
        ("SELECT count(*) FROM events", "reading the table events"),
        ("SELECT cents FROM sums", "reading the table sums"),
        ("INSERT INTO {done} SELECT account FROM sums", "reading the table sums"),
        ("INSERT INTO {done} VALUES (random())", "the function random"),
        ("INSERT INTO {done} VALUES (CURRENT_TIMESTAMP)", "the function current_timestamp"),
        ("CREATE TABLE other (a)", "changing what the file consists of"),
        ("CREATE TEMP TABLE other (a)", "changing what the file consists of"),
        ("DROP TABLE {done}", "changing what the file consists of"),
        ("ALTER TABLE {done} ADD COLUMN other", "changing what the file consists of"),
        ("VACUUM", "VACUUM"),
        ("SELECT 1; SELECT 2", "Multiple statements"),
        ("SELECT * FROM {don}", "there is no table {don}"),
    ];
    for (sql, says) in refused {
        let cause = halts_with(&store, sql).await;
        assert!(cause.contains(says), "{sql}: {cause}");
        assert!(strings(&store, "SELECT what FROM done").await.is_empty(), "{sql}: half of a batch is there");
    }
    // Nothing of it has harmed the store, and what belongs to the projection is allowed.
    deposits(&store, &[2]).await;
    drive(&store, &sums(&store)).await.unwrap();
    let fine = "WITH RECURSIVE n(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 3)
                INSERT INTO {done} SELECT x || d.what || j.value FROM n, {done} d, json_each('[7]') j";
    let does = store.sql_projection(Does(fine)).unwrap();
    drive(&store, &does).await.unwrap();
    assert_eq!(store.head().await.unwrap(), Position::new(2).into());
    assert!(strings(&store, "SELECT what FROM done").await.len() > 3);
}

/// A statement is kept when it is prepared: one of the live generation must not serve another.
#[tokio::test]
async fn a_replay_that_names_a_live_table_by_hand_is_refused_though_the_live_one_did_the_same() {
    let (_directory, file) = place();
    let store = open(&file);
    deposits(&store, &[1]).await;
    let does = store.sql_projection(Does("INSERT INTO done VALUES ('by hand')")).unwrap();
    drive(&store, &does).await.unwrap();
    let next = does.build().await.unwrap().generation;
    let batch = factum::Batch { from: factum::Checkpoint::default(), ..everything(&store).await };
    let refused = does.apply_to(next, batch).await;
    let says = |what: &str| what.contains("writing to the table done");
    assert!(matches!(&refused, Err(ProjectedError::Halted(failure)) if says(&failure.cause)), "{refused:?}");
    assert_eq!(strings(&store, "SELECT what FROM done").await.len(), 2);
}

async fn everything(store: &SqliteStore) -> factum::Batch {
    let page = store.read_log(factum::ReadLog::after(LOG, Position::START)).await.unwrap();
    let (from, to) = (factum::Checkpoint::default(), page.reached.unwrap());
    factum::Batch { store: store.id(), log: LOG, from, to, events: page.events }
}

/// Makes a projection that differs in what it is made of.
macro_rules! schema {
    ($type:ident, $name:literal, $version:literal, $tables:expr, $schema:literal) => {
        struct $type;
        impl SqlProjection for $type {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            const TABLES: &'static [&'static str] = $tables;
            const SCHEMA: &'static str = $schema;
            type Event = AccountEvent;
            fn apply(&self, _: &SqlTransaction<'_>, _: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
                Ok(())
            }
        }
    };
}

schema!(Missing, "missing", 1, &["a", "b"], "CREATE TABLE {a} (x)");
schema!(Unnamed, "unnamed", 1, &["a"], "CREATE TABLE {a} (x); CREATE TABLE {b} (x)");
schema!(FixedIndex, "fixed", 1, &["a"], "CREATE TABLE {a} (x UNIQUE); CREATE INDEX a_by_x ON {a} (x)");
schema!(Viewed, "viewed", 1, &["a"], "CREATE TABLE {a} (x); CREATE VIEW b AS SELECT * FROM {a}");
schema!(Broken, "broken", 1, &["a"], "CREATE TABLE {a} (x); CREATE TABBLE");
schema!(Deferred, "deferred", 1, &["a"], "CREATE TABLE {a} (x REFERENCES {a} DEFERRABLE INITIALLY\n DEFERRED)");
schema!(Events, "events", 1, &["events"], "CREATE TABLE {events} (x)");
schema!(Foreign, "foreign", 1, &["mine"], "CREATE TABLE {mine} (x)");
schema!(Others, "others", 1, &["sums"], "CREATE TABLE {sums} (x)");
schema!(Newer, "sums", 2, &["sums"], "CREATE TABLE {sums} (x)");
schema!(Beside, "sums", 2, &["sums2"], "CREATE TABLE {sums2} (x INTEGER PRIMARY KEY AUTOINCREMENT)");
schema!(Nameless, "", 1, &["a"], "");
schema!(Capital, "capital", 1, &["Balances"], "");
schema!(Tableless, "tableless", 1, &[], "");

async fn not_made<P: SqlProjection>(store: &Arc<SqliteStore>, projection: P) -> String {
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
    let (_directory, file) = place();
    let store = open(&file);
    let sums = sums(&store);
    Generations::open(&sums).await.unwrap();
    tamper(&file, "CREATE TABLE mine (a)");
    let before = strings(&store, "SELECT name FROM sqlite_schema ORDER BY name").await;
    let refused = [
        (not_made(&store, Missing).await, "no table {b}"),
        (not_made(&store, Unnamed).await, "making the table b__g1"),
        (not_made(&store, FixedIndex).await, "making the index a_by_x"),
        (not_made(&store, Viewed).await, "views and triggers are made outside"),
        (not_made(&store, Broken).await, "TABBLE"),
        (not_made(&store, Deferred).await, "deferred foreign keys"),
        (not_made(&store, Events).await, "a table events already"),
        (not_made(&store, Foreign).await, "a table mine already"),
        (not_made(&store, Others).await, "its table sums is that of sums version 1"),
        (not_made(&store, Newer).await, "give the tables of version 2 other names"),
    ];
    for (why, says) in refused {
        assert!(why.contains(says), "{says}: {why}");
    }
    assert_eq!(strings(&store, "SELECT name FROM sqlite_schema ORDER BY name").await, before);
    assert_eq!(store.query(|sql| sql.checkpoint("broken", 1)).await.unwrap(), None, "a generation was left");

    // Two versions stand side by side, each with tables of its own.
    let beside = store.sql_projection(Beside).unwrap();
    Generations::open(&beside).await.unwrap();
    assert_eq!(Generations::build(&beside).await.unwrap().generation.0, 3);
    Generations::switch(&beside, factum::Generation(2), factum::Generation(3), None).await.unwrap();
    assert_eq!(sums.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_run_as_it_is_written_is_refused_at_once() {
    let (_directory, file) = place();
    let store = open(&file);
    assert!(matches!(store.sql_projection(Nameless), Err(SqlSetupError::Name { .. })));
    assert!(matches!(store.sql_projection(Capital), Err(SqlSetupError::BadTable { table: "Balances", .. })));
    assert!(matches!(store.sql_projection(Tableless), Err(SqlSetupError::NoTables { .. })));
    let sums = sums(&store);
    assert_eq!((sums.name().as_str(), sums.filter().items().len()), ("sums", 1));
}

/// A full disk is no halt: nothing is wrong with the event.
#[tokio::test]
async fn a_full_disk_is_told_as_such_and_the_batch_is_taken_when_there_is_room() {
    let (_directory, file) = place();
    let store = Arc::new(factum_sqlite::SqliteOptions::new().max_pages(60).open(&file).unwrap());
    deposits(&store, &[1]).await;
    let does = store.sql_projection(Does("INSERT INTO {done} VALUES (hex(zeroblob(200000)))")).unwrap();
    let full = drive(&store, &does).await;
    let Err(ProjectedError::Commit(factum::CommitError::Fault(fault))) = &full else { panic!("{full:?}") };
    assert_eq!(fault.kind(), factum::FaultKind::Full, "{fault}");
    store.close().await.unwrap();
    let store = open(&file);
    let does = store.sql_projection(Does("INSERT INTO {done} VALUES (hex(zeroblob(200000)))")).unwrap();
    drive(&store, &does).await.unwrap();
    assert_eq!(strings(&store, "SELECT what FROM done").await.len(), 2);
}
