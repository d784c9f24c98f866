//! Roles: each may do what it is for, and nothing else; what was recorded nobody changes; names are only ever names.

mod common;
mod sql;

use std::sync::Arc;
use std::time::Duration;

use common::{Place, keyed, one, query_of_tag, stream, tagged};
use factum::{
    AppendError, Condition, Cursor, EventStore, FaultKind, Generation, GenerationState, Generations, LogId,
    NewGeneration, Position, ProjectedError, ProjectionName, ProjectionVersion, ReadLog, ReadModelError,
    ReadModelStore, ReadStream,
};
use factum_conformance::{Fixture, checks};
use factum_postgres::{ConnectError, PostgresOptions, PostgresStore};
use factum_postgres_server::{Server, ServerOptions};
use sql::*;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Roles belong to a whole server, so these tests have one of their own; each test of it a database.
struct Realm(Server);

/// Who logs in, and what each is granted.
const LOGINS: &str = "CREATE ROLE appends LOGIN IN ROLE factum_writer; CREATE ROLE folds LOGIN IN ROLE factum_projector; \
                      CREATE ROLE looks LOGIN IN ROLE factum_reader; CREATE ROLE owns LOGIN IN ROLE factum_owner; \
                      CREATE ROLE stranger LOGIN";

impl Realm {
    fn new() -> Option<Self> {
        Server::own_for_test(&ServerOptions::careless()).map(Self)
    }

    async fn place(&self) -> Place {
        let prepare = |url: String| async move {
            PostgresOptions::new().migrate(&url).await?;
            PostgresOptions::new().create_roles(&url).await?;
            // Whatever is done twice is done.
            PostgresOptions::new().create_roles(&url).await?;
            let mut conn = PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(LOGINS).execute(&mut conn).await.unwrap();
            Ok::<_, ConnectError>(())
        };
        Place { database: self.0.database("roles", prepare).await.unwrap_or_else(|error| panic!("{error}")) }
    }
}

/// The same database for somebody else.
fn url_as(place: &Place, login: &str) -> String {
    url_for(&place.url(), login)
}

fn url_for(url: &str, login: &str) -> String {
    url.replacen("postgres://postgres@", &format!("postgres://{login}@"), 1)
}

async fn store_as(place: &Place, login: &str) -> Arc<PostgresStore> {
    let store = PostgresStore::connect(&url_as(place, login)).await;
    Arc::new(store.unwrap_or_else(|error| panic!("{login}: {error}")))
}

/// Says no to a statement, and why.
async fn refusal(place: &Place, login: &str, statement: &str) -> Option<String> {
    let mut conn = PgConnection::connect(&url_as(place, login)).await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await;
    done.err().map(|error| error.as_database_error().and_then(|said| said.code()).unwrap().into_owned())
}

/// Runs these suites, each check on a database of its own; how many checks those were.
fn run(suites: &[&str], fixture: impl AsyncFn() -> Fixture) -> usize {
    let chosen: Vec<_> = checks().into_iter().filter(|check| suites.contains(&check.suite())).collect();
    let done = chosen.len();
    for check in chosen {
        factum_conformance::run(check, || fixture());
    }
    done
}

#[test]
fn a_writer_may_all_that_an_event_store_promises() {
    let Some(realm) = Realm::new() else { return };
    let fixture = async || {
        let place = realm.place().await;
        let store = store_as(&place, "appends").await;
        let url = url_as(&place, "appends");
        let reopen = move || {
            let url = url.clone();
            async move { Fixture::events_only(Arc::new(PostgresStore::connect(&url).await.unwrap())) }
        };
        Fixture::events_only(store).with_reopen(reopen).keep(place.database)
    };
    let done = run(&["append", "keys", "query_conditions", "snapshots"], fixture);
    assert!(done > 30, "only {done} checks were run");
}

#[test]
fn a_projector_may_all_that_read_models_promise() {
    let Some(realm) = Realm::new() else { return };
    let fixture = async || {
        let place = realm.place().await;
        let store = store_as(&place, "folds").await;
        Fixture::events_only(store.clone()).with_read_models(store).keep(place.database)
    };
    let done = run(&["commits", "generations", "history"], fixture);
    assert!(done > 25, "only {done} checks were run");
}

#[tokio::test]
async fn a_projector_keeps_tables_of_its_own_where_it_may_make_them() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    let store = store_as(&place, "folds").await;
    let log = Log::new().deposits(&[1, 2]);
    let not_made = sums(&store).open().await;
    let Err(ProjectedError::ReadModel(ReadModelError::Fault(_) | ReadModelError::NotMade { .. })) = not_made else {
        panic!("{not_made:?}")
    };

    place.execute("GRANT CREATE ON SCHEMA public TO folds").await;
    let sums = sums(&store);
    log.drive(&sums).await.unwrap();
    assert_eq!(shown(&place).await, ["1 3"]);
    place.execute("GRANT SELECT ON sums TO looks").await;
    let built = log.build(&sums).await;
    Generations::switch(&sums, Generation(1), built, None).await.unwrap();
    assert_eq!(refusal(&place, "looks", "SELECT * FROM sums").await, None, "a switch took a grant away");
    assert_eq!(shown(&place).await, ["1 3"]);
    sums.drop_generation(Generation(1)).await.unwrap();
    let gone = async {
        while tables(&place).await != ["days", "sums"] {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("tables of a dropped generation stay");
}

/// Dropping tables that belonged to another role ended the sweep with an error, each time again, so that nobody's documents
/// were ever deleted as long as those tables were there.
#[tokio::test]
async fn whoever_cannot_drop_the_tables_of_another_still_sweeps() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    place.execute("CREATE ROLE others LOGIN IN ROLE factum_projector; GRANT CREATE ON SCHEMA public TO folds").await;
    let log = Log::new().deposits(&[1]);
    let tabled = store_as(&place, "folds").await;
    let sums = self::sums(&tabled);
    log.drive(&sums).await.unwrap();
    log.build(&sums).await;
    tabled.close().await.unwrap();
    // A process that ended before it had dropped them.
    place.execute("UPDATE factum.generations SET state = 'dropping' WHERE generation = 2").await;

    let store = store_as(&place, "others").await;
    let name = ProjectionName::new("documents").unwrap();
    let new = NewGeneration { projection: name.clone(), version: ProjectionVersion(1), fields: Vec::new() };
    ReadModelStore::open(&*store, &new).await.unwrap();
    let built = ReadModelStore::build(&*store, &new).await.unwrap().generation;
    ReadModelStore::drop_generation(&*store, &name, built).await.unwrap();
    let left = "SELECT projection FROM factum.generations WHERE state = 'dropping'";
    let swept = async { while !texts(&place, left).await.is_empty() {} };
    tokio::time::timeout(Duration::from_secs(30), swept).await.expect("a dropped generation is not swept");
    assert_eq!(tables(&place).await, ["days", "days__g2", "sums", "sums__g2"], "others dropped what is not theirs");

    self::sums(&store_as(&place, "folds").await).open().await.unwrap();
    let gone = async { while tables(&place).await != ["days", "sums"] {} };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("tables that another left stay for ever");
}

#[tokio::test]
async fn nobody_may_more_than_the_role_is_for() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    let everybody = ["appends", "folds", "looks", "stranger"];
    let nobody_s = [
        "UPDATE factum.events SET version = 1",
        "DELETE FROM factum.events",
        "TRUNCATE factum.events",
        "DELETE FROM factum.tags",
        "UPDATE factum.meta SET min_reader = 99",
        "INSERT INTO factum.migrations (number, name) VALUES (99, 'x')",
        "ALTER TABLE factum.events DISABLE TRIGGER ALL",
        "ALTER TABLE factum.events ADD COLUMN more text",
        "DROP TABLE factum.snapshots",
        "CREATE TABLE factum.mine (id integer)",
        "CREATE OR REPLACE FUNCTION factum.require_settings() RETURNS void LANGUAGE sql AS ''",
    ];
    let documents = [
        "INSERT INTO factum.documents SELECT",
        "UPDATE factum.checkpoints SET epoch = 1",
        "DELETE FROM factum.kept",
        "INSERT INTO factum.generations SELECT",
        "DELETE FROM factum.generations",
        "SELECT factum.drop_tables()",
        "UPDATE factum.leases SET counter = 1",
        "SELECT factum.take_lease('a', 'b', '', NULL, NULL, NULL, NULL, NULL, '{}')",
        "SELECT factum.take_over_shard('a', 1, 0, 0)",
    ];
    let log = [
        "INSERT INTO factum.events SELECT",
        "INSERT INTO factum.tags SELECT",
        "DELETE FROM factum.keys",
        "UPDATE factum.snapshots SET version = 1",
        "SELECT factum.require_settings()",
    ];
    for statement in nobody_s {
        for login in everybody {
            assert_eq!(refusal(&place, login, statement).await.as_deref(), Some("42501"), "{login}: {statement}");
        }
    }
    for (logins, statements) in
        [(["appends", "looks", "stranger"], &documents[..]), (["folds", "looks", "stranger"], &log)]
    {
        for login in logins {
            for statement in statements {
                assert_eq!(refusal(&place, login, statement).await.as_deref(), Some("42501"), "{login}: {statement}");
            }
        }
    }
    assert_eq!(refusal(&place, "folds", "DELETE FROM factum.generations").await.as_deref(), Some("42501"));
    let take = "SELECT factum.take_lease('a', 'b', '', 'c', 1, 'd', 1, 'live', '{0}')";
    assert_eq!(refusal(&place, "folds", take).await, None);
    for read in ["events", "tags", "keys", "documents", "generations", "leases", "meta"] {
        let statement = format!("SELECT * FROM factum.{read}");
        assert_eq!(refusal(&place, "stranger", &statement).await.as_deref(), Some("42501"), "{read}");
        assert_eq!(refusal(&place, "looks", &statement).await, None, "{read}");
    }
}

#[tokio::test]
async fn whoever_cannot_change_tables_finds_that_the_store_fits() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    for login in ["appends", "folds", "looks", "owns"] {
        PostgresOptions::new().check(&url_as(&place, login)).await.unwrap_or_else(|error| panic!("{login}: {error}"));
    }
    let stranger = PostgresOptions::new().check(&url_as(&place, "stranger")).await;
    assert!(
        matches!(&stranger, Err(ConnectError::Fault(fault)) if fault.kind() == FaultKind::ReadOnly),
        "{stranger:?}"
    );

    // What a release adds, its owner adds, whoever that is this time, and the roles get what they need of it.
    let undo = "DROP FUNCTION factum.walk_tags_forward, factum.walk_tags_backward, factum.take_lease, factum.take_over_shard,
          factum.set_tables_aside,
          factum.commit_page, factum.meets, factum.value_of, factum.walk_fields, factum.count_fields,
          factum.forget_versions, factum.stray_fields, factum.append_known,
          factum.append_plain;
        DROP TABLE factum.leases, factum.document_fields, factum.fading;
        ALTER TABLE factum.checkpoints DROP COLUMN kept_from, DROP COLUMN faded;
        ALTER TABLE factum.generations DROP COLUMN kept_until, DROP COLUMN reopened, DROP COLUMN fields;
        CREATE UNIQUE INDEX generations_one_building ON factum.generations (projection, version) WHERE state = 'building';
        DELETE FROM factum.migrations WHERE number >= 5";
    place.execute(undo).await;
    let writer = PostgresOptions::new().migrate(&url_as(&place, "appends")).await;
    assert!(matches!(writer, Err(ConnectError::Migration { number: 5, .. })), "{writer:?}");
    let missing = PostgresOptions::new().check(&url_as(&place, "appends")).await;
    assert!(matches!(missing, Err(ConnectError::NotMigrated { found: 4, .. })), "{missing:?}");
    PostgresOptions::new().migrate(&url_as(&place, "owns")).await.unwrap();
    let store = store_as(&place, "looks").await;
    store.read_log(ReadLog::after(LogId::FIRST, Position::START).filter(query_of_tag("course:c1"))).await.unwrap();
}

#[tokio::test]
async fn a_reader_reads_everything_and_is_told_that_it_cannot_write() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    let writer = store_as(&place, "appends").await;
    writer.append(keyed("k", tagged("1", "course:c1", Condition::Any))).await.unwrap();
    let new = NewGeneration {
        projection: ProjectionName::new("balances").unwrap(),
        version: ProjectionVersion(1),
        fields: Vec::new(),
    };
    let projector = store_as(&place, "folds").await;
    projector.open(&new).await.unwrap();

    let unmeant = store_as(&place, "looks").await;
    let meant = PostgresOptions::new().read_only().connect(&url_as(&place, "looks")).await.unwrap();
    for store in [unmeant, Arc::new(meant)] {
        let by_tag = ReadLog::after(LogId::FIRST, Position::START).filter(query_of_tag("course:c1"));
        assert_eq!(store.read_log(by_tag).await.unwrap().events.len(), 1);
        assert_eq!(store.read_stream(ReadStream::new(stream("1"))).await.unwrap().events.len(), 1);
        assert_eq!(store.head().await.unwrap(), Cursor::from(Position::new(1)));
        assert!(store.outcome(&common::key("k")).await.unwrap().is_some());
        assert_eq!(store.generations(&new.projection).await.unwrap()[0].state, GenerationState::Live);
        for refused in [one("2", Condition::Any), keyed("k2", one("2", Condition::Any))] {
            match store.append(refused).await {
                Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly, "{fault}"),
                other => panic!("{other:?}"),
            }
        }
        match store.build(&new).await {
            Err(ReadModelError::Fault(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly, "{fault}"),
            other => panic!("{other:?}"),
        }
    }
    // A projector is not a writer, nor a writer a projector.
    match projector.append(one("2", Condition::Any)).await {
        Err(AppendError::NotDone(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly, "{fault}"),
        other => panic!("{other:?}"),
    }
    match writer.open(&NewGeneration { projection: ProjectionName::new("others").unwrap(), ..new }).await {
        Err(ReadModelError::Fault(fault)) => assert_eq!(fault.kind(), FaultKind::ReadOnly, "{fault}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(writer.head().await.unwrap(), Cursor::from(Position::new(1)));
}

#[tokio::test]
async fn the_database_refuses_to_change_events_for_their_owner_and_for_superusers_too() {
    let Some(realm) = Realm::new() else { return };
    let place = realm.place().await;
    store_as(&place, "appends").await.append(tagged("1", "course:c1", Condition::Any)).await.unwrap();
    for statement in [
        "UPDATE factum.events SET payload = '{}'",
        "UPDATE factum.events SET payload = '{}' WHERE false",
        "DELETE FROM factum.events",
        "TRUNCATE factum.events",
        "TRUNCATE factum.events, factum.tags CASCADE",
        "UPDATE factum.tags SET tag = 'x'",
        "DELETE FROM factum.tags",
        "TRUNCATE factum.tags",
        "INSERT INTO factum.events SELECT * FROM factum.events ON CONFLICT (position) DO UPDATE SET version = 2",
    ] {
        assert_eq!(refusal(&place, "owns", statement).await.as_deref(), Some("P0001"), "owner: {statement}");
        let as_a_replica_does = format!("SET session_replication_role = replica; {statement}");
        assert_eq!(refusal(&place, "postgres", &as_a_replica_does).await.as_deref(), Some("P0001"), "{statement}");
    }
}

/// The name of a schema was put into comments and into the bodies of functions: one that held the end of either was run.
#[tokio::test]
async fn names_that_look_like_sql_are_names() {
    let Some(realm) = Realm::new() else { return };
    let database = realm.0.empty_database().await.unwrap();
    let place = Place { database };
    for (n, name) in [
        "a\"; CREATE TABLE public.a (); --",
        "b\nCREATE TABLE public.b ();",
        "$function$; CREATE TABLE c ()",
        "d :lock :schema factum. {d}",
        "e' || E'\\' %I $1 é",
        "F.G",
    ]
    .into_iter()
    .enumerate()
    {
        let options = PostgresOptions::new().schema(name).role_prefix(format!("{n}'\";\n:owner factum."));
        options.migrate(&place.url()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        options.create_roles(&place.url()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let store = options.connect(&place.url()).await.unwrap();
        store.append(keyed("k", tagged("1", "course:c1", Condition::NoStream))).await.unwrap();
        store.append(one("1", Condition::Exists)).await.unwrap();
        let by_tag = ReadLog::after(LogId::FIRST, Position::START).filter(query_of_tag("course:c1"));
        assert_eq!(store.read_log(by_tag).await.unwrap().events.len(), 1);
        let log = Log::new().deposits(&[1]);
        let store = Arc::new(store);
        let sums = sums(&store);
        log.drive(&sums).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(shown(&place).await, ["1 1"]);
        place.execute("DROP TABLE sums, days").await;
    }
    assert!(tables(&place).await.is_empty(), "{:?}", tables(&place).await);
    let schemas = "SELECT count(*)::text FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')";
    assert_eq!(texts(&place, schemas).await, ["6"]);
}
