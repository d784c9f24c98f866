//! Tables of a PostgreSQL database that halted, and are let go on by another process: what `resume` does.

use std::sync::Arc;
use std::time::Duration;

use factum::Recorded;
use factum_postgres::{PostgresStore, SqlError, SqlProjection, SqlTransaction};
use factum_postgres_server::Server;
use factum_projections::{ProjectionState, Projector, ProjectorError, ReplayError, ReplayOptions};
use sql_projection::{OrderEvent, record};
use sqlx::{Connection, PgConnection, Row};

/// Orders that were not cancelled, and their lines, in this database.
struct Revenue;

impl SqlProjection for Revenue {
    const NAME: &'static str = "revenue";
    const TABLES: &'static [&'static str] = &["orders", "lines"];
    const SCHEMA: &'static str = "
        CREATE TABLE {orders} (id text PRIMARY KEY, customer text NOT NULL);
        CREATE TABLE {lines} (
          order_id text NOT NULL REFERENCES {orders} ON DELETE CASCADE, position bigint, cents bigint NOT NULL,
          PRIMARY KEY (order_id, position)
        );";
    type Event = OrderEvent;

    async fn apply(&self, sql: &mut SqlTransaction<'_>, events: &[Recorded<OrderEvent>]) -> Result<(), SqlError> {
        for event in events {
            let order = event.stream.id();
            let statement = match &event.data {
                OrderEvent::Placed { customer } => {
                    sql.query("INSERT INTO {orders} VALUES ($1, $2)").bind(order).bind(customer)
                }
                OrderEvent::Added { cents, .. } => {
                    let line = sql.query("INSERT INTO {lines} VALUES ($1, $2, $3)").bind(order);
                    line.bind(event.position.as_i64()).bind(cents)
                }
                OrderEvent::Cancelled => sql.query("DELETE FROM {orders} WHERE id = $1").bind(order),
            };
            sql.execute(statement).await?;
        }
        Ok(())
    }
}

/// A projector as a process of its own would have it.
async fn process(url: &str) -> (Arc<PostgresStore>, Projector) {
    let store = Arc::new(PostgresStore::connect(url).await.unwrap());
    let projector = Projector::new(store.clone(), store.clone()).with_projected(store.sql_projection(Revenue).unwrap());
    (store, projector)
}

fn added(cents: i64) -> OrderEvent {
    OrderEvent::Added { product: "book".to_owned(), cents }
}

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(120), future).await.expect("it hangs")
}

async fn lines(conn: &mut PgConnection) -> Vec<String> {
    let all = "SELECT customer || ' ' || cents FROM orders JOIN lines ON order_id = id ORDER BY position";
    sqlx::query(all).fetch_all(conn).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_halted_go_on_after_a_resume_by_another_process() {
    let Some(server) = Server::for_test() else { return };
    let database = server.database("shop", |url| async move { PostgresStore::migrate(&url).await }).await.unwrap();
    let url = database.url();
    let ((store, runner), (_, operator)) = (process(&url).await, process(&url).await);
    let placed = OrderEvent::Placed { customer: "Jana".to_owned() };
    record(&*store, "1", &[placed, added(500)]).await.unwrap();
    // A line of an order that was never placed: its foreign key refuses it.
    record(&*store, "2", &[added(7)]).await.unwrap();
    let written = record(&*store, "1", &[added(9)]).await.unwrap();
    let error = soon(runner.wait_for("revenue", &written)).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    let halted = operator.status_of("revenue").await.unwrap();
    assert_eq!((halted.state, halted.checkpoint.to_string()), (ProjectionState::Halted, "2".to_owned()));
    let failure = halted.failure.unwrap();
    assert_eq!((failure.position.get(), failure.stream.name()), (3, "order-2"));
    assert!(failure.cause.contains("foreign key"), "{}", failure.cause);

    // Nothing was mended: it halts at the same event.
    assert_eq!(soon(operator.resume("revenue")).await.unwrap().failures, [failure]);
    assert_eq!(operator.status_of("revenue").await.unwrap().failure, None, "a resume does not drive it");
    let error = soon(runner.wait_for("revenue", &written)).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    let replay = soon(operator.replay("revenue", ReplayOptions::new(), |_| {})).await.unwrap_err();
    assert!(matches!(replay, ReplayError::Halted { .. }), "{replay:?}");

    // The parent that its foreign key looks for. Nothing before the halt is taken twice, and nothing after it is left out.
    let mut conn = PgConnection::connect(&url).await.unwrap();
    assert_eq!(lines(&mut conn).await, ["Jana 500"]);
    sqlx::query("INSERT INTO orders VALUES ('2', 'Petr')").execute(&mut conn).await.unwrap();
    assert_eq!(soon(operator.resume("revenue")).await.unwrap().failures.len(), 1);
    soon(runner.wait_for("revenue", &written)).await.unwrap();
    assert_eq!(lines(&mut conn).await, ["Jana 500", "Petr 7", "Jana 9"]);
    let status = operator.status_of("revenue").await.unwrap();
    assert_eq!((status.state, status.failure, status.checkpoint), (ProjectionState::Live, None, written));
    assert!(soon(operator.resume("revenue")).await.unwrap().failures.is_empty());
}
