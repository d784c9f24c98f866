//! What others have put on the tables of a projection, where a switch or a drop could harm it unseen.

mod common;
mod sql;

use std::sync::Arc;

use common::place;
use factum::{Generation, GenerationState, Generations, Projected, Recorded, SwitchError};
use factum_postgres::{PostgresStore, SqlError, SqlProjected, SqlProjection, SqlTransaction};
use sql::*;

async fn switched(sums: &SqlProjected<Sums>) -> Result<(), SwitchError> {
    Generations::switch(sums, Generation(1), Generation(2), None).await
}

/// A switch asked for foreign keys and materialized views and for nothing else that PostgreSQL binds to a table itself. A
/// function that returned its rows was carried to the old table by the renaming, and deleted with it, without a word; a
/// publication went on to send the old rows; a rule to write them; a child table went away with its parent.
#[tokio::test]
async fn whatever_is_bound_to_a_table_itself_is_named_before_a_switch_and_never_lost() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    let bound = [
        (
            "CREATE FUNCTION rich() RETURNS SETOF sums LANGUAGE sql AS 'SELECT * FROM sums'",
            "rich()",
            "DROP FUNCTION rich",
        ),
        (
            "CREATE FUNCTION poor(days[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "poor(public.days[])",
            "DROP FUNCTION poor",
        ),
        (
            "CREATE FUNCTION many() RETURNS bigint LANGUAGE sql BEGIN ATOMIC; SELECT count(*) FROM days; END",
            "many()",
            "DROP FUNCTION many",
        ),
        ("CREATE TABLE more () INHERITS (sums)", "more", "DROP TABLE more"),
        ("CREATE TABLE rows (one sums)", "rows", "DROP TABLE rows"),
        ("CREATE PUBLICATION changes FOR TABLE sums", "publication changes", "DROP PUBLICATION changes"),
        (
            "CREATE VIEW ways AS SELECT 1 AS a; CREATE RULE way AS ON INSERT TO ways DO INSTEAD DELETE FROM days",
            "rule way on view",
            "DROP VIEW ways",
        ),
        (
            "CREATE TABLE shops (a text); CREATE POLICY own ON shops USING (a IN (SELECT account FROM sums))",
            "policy own on table",
            "DROP TABLE shops",
        ),
    ];
    for (make, says, undo) in bound {
        place.execute(make).await;
        let refused = switched(&sums).await;
        assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains(says)), "{make}: {refused:?}");
        let states: Vec<_> = sums.list().await.unwrap().iter().map(|info| info.state).collect();
        assert_eq!(states, [GenerationState::Live, GenerationState::Building], "{make}");
        place.execute(undo).await;
    }
    assert_eq!(tables(&place).await, ["days", "days__g2", "sums", "sums__g2"]);
    switched(&sums).await.unwrap();
}

/// What is granted goes along, what hides rows did not: whoever saw his own rows before a replay saw everybody's after it.
#[tokio::test]
async fn rows_that_are_hidden_from_readers_are_not_shown_by_a_switch() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (sums(&store), Log::new().deposits(&[1]));
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    place.execute("GRANT SELECT ON sums TO PUBLIC; ALTER TABLE sums ENABLE ROW LEVEL SECURITY").await;
    let refused = switched(&sums).await;
    assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains("row security")), "{refused:?}");
    place.execute("ALTER TABLE sums__g2 ENABLE ROW LEVEL SECURITY").await;
    switched(&sums).await.unwrap();
}

/// The switch looked for foreign keys before it had the tables: one that was committed while it waited for them was carried
/// to the old table, and dropped with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_key_that_comes_while_a_switch_waits_is_found() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (Arc::new(sums(&store)), Log::new().deposits(&[1]));
    log.drive(&*sums).await.unwrap();
    log.build(&*sums).await;
    let mut other = place.connection().await;
    sqlx::raw_sql("BEGIN; CREATE TABLE notes (account text REFERENCES sums)").execute(&mut other).await.unwrap();
    let switching = Arc::clone(&sums);
    let switch = tokio::spawn(async move { switched(&switching).await });
    place.until_somebody_waits_for("relation").await;
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let refused = tokio::time::timeout(std::time::Duration::from_secs(60), switch).await.unwrap().unwrap();
    assert!(matches!(&refused, Err(SwitchError::Unfit { why, .. }) if why.contains("notes")), "{refused:?}");
}

/// What vacuums or analyses a table shuts out a switch, which tried for 50 ms at a time: autovacuum, which is sure to come to a
/// large table that was just built, ends itself only for whoever waits longer than `deadlock_timeout`, so the switch failed
/// after a minute. Now it waits with a lock behind which no reader and no projector queues.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_outwaits_a_vacuum_and_lets_readers_read_meanwhile() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let (sums, log) = (Arc::new(sums(&store)), Log::new().deposits(&[1]));
    log.drive(&*sums).await.unwrap();
    log.build(&*sums).await;
    for (vacuumed, from, to) in [("sums", 1, 2), ("days__g1", 2, 1)] {
        let mut vacuum = place.connection().await;
        let lock = format!("BEGIN; LOCK TABLE {vacuumed} IN SHARE UPDATE EXCLUSIVE MODE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut vacuum).await.unwrap();
        let switching = Arc::clone(&sums);
        let switch =
            tokio::spawn(async move { Generations::switch(&*switching, Generation(from), Generation(to), None).await });
        place.until_somebody_waits_for("relation").await;
        let waits = "SELECT mode FROM pg_locks WHERE NOT granted AND locktype = 'relation'
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert_eq!(texts(&place, waits).await, ["ShareUpdateExclusiveLock"]);
        assert_eq!(shown(&place).await, ["1 1"]);
        sqlx::raw_sql("COMMIT").execute(&mut vacuum).await.unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(60), switch).await.unwrap().unwrap().unwrap();
    }
}

/// The same projection before and after a column was added.
struct Before;
struct After;

macro_rules! reads {
    ($type:ident, $columns:literal) => {
        impl SqlProjection for $type {
            const NAME: &'static str = "read";
            const TABLES: &'static [&'static str] = &["read"];
            const SCHEMA: &'static str = concat!("CREATE TABLE {read} (", $columns, ")");
            type Event = AccountEvent;
            async fn apply(&self, sql: &mut SqlTransaction<'_>, _: &[Recorded<AccountEvent>]) -> Result<(), SqlError> {
                let all = sql.query("SELECT * FROM {read}");
                sql.fetch_all(all).await.map(drop)
            }
        }
    };
}
reads!(Before, "a int");
reads!(After, "a int, b int");

/// A connection keeps statements prepared by their text, which was the same in every live generation: after a switch to tables
/// with another column PostgreSQL refused it, and the projection halted at an event that was not to blame.
#[tokio::test]
async fn a_statement_that_was_prepared_for_one_generation_is_not_used_for_another() {
    let Some(place) = place().await else { return };
    let options = place.options().connections(1);
    let store: Arc<PostgresStore> = Arc::new(options.connect(&place.url()).await.unwrap());
    let before = store.sql_projection(Before).unwrap();
    let after = store.sql_projection(After).unwrap();
    let log = Log::new().deposits(&[1]);
    log.drive(&before).await.unwrap();
    let built = log.build(&after).await;
    Generations::switch(&after, Generation(1), built, None).await.unwrap();
    let log = log.deposits(&[2]);
    log.drive(&before).await.expect("an older deployment halts over a new column");
    log.deposits(&[3]).drive(&after as &dyn Projected).await.unwrap();
}
