//! What the store finds when it looks at its database: who blocks, what is not granted, what is left open.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Place, one, place};
use factum::{
    Condition, EventStore, Finding, NewGeneration, ProjectionName, ProjectionVersion, ReadModelStore, Severity,
};
use factum_postgres::{ConnectError, PostgresOptions, PostgresStore};
use factum_postgres_server::{Server, ServerOptions};
use sqlx::{Connection, PgConnection};

/// Looks until something with this code is found: what is held for a moment only is nobody's fault.
async fn found(look: impl AsyncFn() -> Vec<Finding>, code: &str) -> Finding {
    let looks = async {
        loop {
            if let Some(finding) = look().await.into_iter().find(|finding| finding.code() == code) {
                return finding;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), looks).await.unwrap_or_else(|_| panic!("{code} was not found"))
}

async fn of_events(store: &PostgresStore) -> Vec<Finding> {
    EventStore::diagnose(store).await.unwrap()
}

async fn of_read_models(store: &PostgresStore) -> Vec<Finding> {
    ReadModelStore::diagnose(store).await.unwrap()
}

async fn pid(conn: &mut PgConnection) -> String {
    let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(conn).await.unwrap();
    format!("pid {pid}")
}

/// A service that appends inside its own transaction and then does something else: every process of the store stands still.
#[tokio::test]
async fn who_holds_the_order_lock_is_named_with_its_statement() {
    let Some(place) = place().await else { return };
    let (store, other) = (place.store().await, place.store().await);
    let mut conn = place.connection().await;
    sqlx::raw_sql("SET application_name = 'billing'").execute(&mut conn).await.unwrap();
    let holder = pid(&mut conn).await;
    let mut open = conn.begin().await.unwrap();
    other.append_in(&mut open, one("held", Condition::Any)).await.unwrap();
    sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *open).await.unwrap();
    let alone = found(async || of_events(&store).await, "order-lock-held").await;
    assert!(alone.what().contains("the next append will wait"), "{alone}");
    let waits = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("waits", Condition::Any)).await }
    });
    place.until_somebody_waits_for_a_lock().await;
    let finding = found(async || of_events(&store).await, "order-lock-held").await;
    assert_eq!(finding.severity(), Severity::Problem);
    assert!(finding.what().contains("1 sessions wait to append"), "{finding}");
    assert!(
        finding.what_to_do().contains(&format!("pg_terminate_backend({})", holder.replace("pid ", ""))),
        "{finding}"
    );
    let [named] = finding.holders() else { panic!("{finding:?}") };
    assert_eq!((&named.id, named.application.as_deref()), (&holder, Some("billing")));
    assert_eq!((named.user.as_deref(), named.state.as_deref()), (Some("postgres"), Some("idle in transaction")));
    assert!(named.query.as_ref().unwrap().contains("idle_in_transaction_session_timeout"), "{named}");
    assert!(named.since.is_some() && named.to_string().contains("(billing) of postgres since 2"), "{named}");
    open.rollback().await.unwrap();
    waits.await.unwrap().unwrap();
    assert!(of_events(&store).await.iter().all(|finding| finding.code() != "order-lock-held"));
}

#[tokio::test]
async fn who_locks_a_table_of_the_store_is_named() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let mut conn = place.connection().await;
    let holder = pid(&mut conn).await;
    let mut open = conn.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE factum.generations IN ACCESS EXCLUSIVE MODE").execute(&mut *open).await.unwrap();
    let waits = tokio::spawn({
        let store = store.clone();
        async move { store.projections().await }
    });
    let finding = found(async || of_read_models(&store).await, "session-blocks").await;
    assert_eq!((finding.severity(), finding.holders()[0].id.as_str()), (Severity::Problem, holder.as_str()));
    assert!(finding.holders()[0].query.as_ref().unwrap().contains("LOCK TABLE factum.generations"), "{finding:?}");
    open.rollback().await.unwrap();
    waits.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_transaction_that_was_left_open_is_named() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    let mut conn = place.connection().await;
    let holder = pid(&mut conn).await;
    let mut open = conn.begin().await.unwrap();
    sqlx::raw_sql("SELECT count(*) FROM factum.documents").execute(&mut *open).await.unwrap();
    let finding = found(async || of_read_models(&store).await, "idle-in-transaction").await;
    assert_eq!((finding.severity(), finding.holders()[0].id.as_str()), (Severity::Warning, holder.as_str()));
    assert!(finding.holders()[0].query.as_ref().unwrap().contains("factum.documents"), "{finding:?}");
    open.rollback().await.unwrap();
    assert!(of_read_models(&store).await.iter().all(|finding| finding.code() != "idle-in-transaction"));
}

/// A deployment that went on under a process of an old release.
#[tokio::test]
async fn a_store_that_was_migrated_under_it_is_told() {
    let Some(place) = place().await else { return };
    let store = place.store().await;
    place.execute("INSERT INTO factum.migrations (number, name) VALUES (900, 'later')").await;
    let older = found(async || of_events(&store).await, "release-older").await;
    assert_eq!(older.severity(), Severity::Note);
    place.execute("UPDATE factum.meta SET min_writer = 900").await;
    let old = found(async || of_events(&store).await, "release-too-old").await;
    assert_eq!(old.severity(), Severity::Problem);
}

/// What the roles get that `create_roles` makes, as `doctor` names it.
const GRANTED: &str = "
    SELECT r.rolname::text, format('%s ON %I.%I', a.privilege_type, 'factum', c.relname)
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = 'factum'::regnamespace AND r.rolname IN ('factum_writer', 'factum_projector')
    UNION ALL
    SELECT r.rolname::text, format('EXECUTE ON FUNCTION %I.%I', 'factum', p.proname)
    FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE p.pronamespace = 'factum'::regnamespace AND r.rolname IN ('factum_writer', 'factum_projector')";

/// Roles belong to a whole server, so these have one of their own.
#[tokio::test]
async fn what_is_not_granted_is_named_and_so_is_that_others_are_not_for_all_to_see() {
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let prepare = |url: String| async move {
        PostgresOptions::new().migrate(&url).await?;
        PostgresOptions::new().create_roles(&url).await?;
        let mut conn = PgConnection::connect(&url).await.unwrap();
        let logins = "CREATE ROLE shop LOGIN IN ROLE factum_writer, factum_projector; \
                      CREATE ROLE appends LOGIN IN ROLE factum_writer; CREATE ROLE folds LOGIN IN ROLE factum_projector; \
                      CREATE ROLE looks LOGIN IN ROLE factum_reader";
        sqlx::raw_sql(logins).execute(&mut conn).await.unwrap();
        Ok::<_, ConnectError>(())
    };
    let database = server.database("diagnose", prepare).await.unwrap_or_else(|error| panic!("{error}"));
    let place = Place { database };
    let url = |login: &str| place.url().replacen("postgres://postgres@", &format!("postgres://{login}@"), 1);
    let store = async |login: &str| Arc::new(PostgresStore::connect(&url(login)).await.unwrap());
    let codes = |found: Vec<Finding>| found.iter().map(Finding::code).collect::<Vec<_>>();
    let shop = store("shop").await;
    assert_eq!((codes(of_events(&shop).await), codes(of_read_models(&shop).await)), (vec![], vec![]), "all is granted");
    let new = NewGeneration {
        projection: ProjectionName::new("sums").unwrap(),
        version: ProjectionVersion(1),
        fields: Vec::new(),
    };
    shop.open(&new).await.unwrap();

    let (appends, folds) = (store("appends").await, store("folds").await);
    assert_eq!(codes(of_events(&folds).await), ["appends-not-granted"], "a projector is not meant to append");
    assert_eq!(codes(of_events(&appends).await), [""; 0]);
    assert_eq!(codes(of_read_models(&appends).await), ["grants-missing-to-project"]);
    let reads = PostgresOptions::new().read_only().connect(&url("looks")).await.unwrap();
    assert_eq!((codes(of_events(&reads).await), codes(of_read_models(&reads).await)), (vec![], vec![]));

    place.execute("REVOKE INSERT ON factum.documents FROM factum_projector").await;
    let found_at = of_read_models(&shop).await;
    assert_eq!((found_at[0].code(), found_at[0].severity()), ("grants-missing-to-project", Severity::Problem));
    assert!(found_at[0].why().ends_with("it lacks INSERT ON factum.documents"), "{}", found_at[0]);
    place.execute("REVOKE SELECT ON factum.events FROM factum_writer, factum_projector").await;
    assert_eq!(codes(of_events(&shop).await), ["grants-missing-to-read"]);
    place.execute("GRANT SELECT ON factum.events TO factum_writer, factum_projector").await;

    // Whose transaction it is that holds the lock is not for this role to see; which session it is, is.
    let mut conn = place.connection().await;
    let holder = pid(&mut conn).await;
    let mut open = conn.begin().await.unwrap();
    shop.append_in(&mut open, one("held", Condition::Any)).await.unwrap();
    sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *open).await.unwrap();
    let waits = tokio::spawn({
        let shop = shop.clone();
        async move { shop.append(one("waits", Condition::Any)).await }
    });
    let finding = found(async || of_events(&shop).await, "order-lock-held").await;
    assert_eq!((&finding.holders()[0].id, &finding.holders()[0].query), (&holder, &None));
    assert!(finding.why().contains("pg_read_all_stats"), "{finding}");
    open.rollback().await.unwrap();
    waits.await.unwrap().unwrap();

    // Tables and functions that later migrations had brought were not looked at: a worker that lacked them stood still, and
    // nobody named what was missing.
    place.execute("GRANT INSERT ON factum.documents TO factum_projector").await;
    let granted: Vec<(String, String)> =
        sqlx::query_as(GRANTED).fetch_all(&mut place.connection().await).await.unwrap();
    assert!(granted.len() > 40, "{granted:?}");
    let take = "REVOKE ALL ON ALL TABLES IN SCHEMA factum FROM factum_writer, factum_projector; \
                REVOKE ALL ON ALL ROUTINES IN SCHEMA factum FROM factum_writer, factum_projector";
    place.execute(take).await;
    let all = [of_events(&shop).await, of_read_models(&shop).await].concat();
    let lacks = all.iter().map(|finding| format!("{},", finding.why())).collect::<String>();
    for (role, grant) in granted {
        assert!(lacks.contains(&format!(" {grant},")), "nobody is told that {role} lacks {grant}: {lacks}");
    }
}
