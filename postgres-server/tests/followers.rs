//! What stands beside a server: a standby behind it, a pooler before it, a backup of it.

use factum_postgres_server::{Bouncer, Server, ServerOptions};
use sqlx::{Connection, Executor, PgConnection};

#[tokio::test]
async fn a_synchronous_standby_has_what_a_commit_on_its_primary_answered() {
    let Some(primary) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let standby = Server::start_standby_of(&primary, &ServerOptions::careless()).unwrap();
    primary.make_standbys_synchronous().await.unwrap();
    let mut connection = PgConnection::connect(&primary.admin_url()).await.unwrap();
    connection.execute("SET synchronous_commit = remote_apply").await.unwrap();
    connection.execute("CREATE TABLE things AS SELECT 7 AS id").await.unwrap();
    let mut reader = PgConnection::connect(&standby.admin_url()).await.unwrap();
    let asked = "SELECT id, pg_is_in_recovery() FROM things";
    let seen: (i32, bool) = sqlx::query_as(asked).fetch_one(&mut reader).await.unwrap();
    assert_eq!(seen, (7, true));
}

#[tokio::test]
async fn a_server_that_goes_back_to_a_backup_has_nothing_that_came_since() {
    let options = ServerOptions::careless().setting("max_connections", "77");
    let Some(server) = Server::own_for_test(&options) else { return };
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    connection.execute("CREATE TABLE things AS SELECT 7 AS id").await.unwrap();
    let backup = server.back_up().unwrap();
    connection.execute("INSERT INTO things VALUES (8)").await.unwrap();
    server.stop_immediate().unwrap();
    server.restore(backup).unwrap();
    let mut connection = PgConnection::connect(&server.admin_url()).await.unwrap();
    let asked = "SELECT count(*), min(id), current_setting('max_connections') FROM things";
    let seen: (i64, i32, String) = sqlx::query_as(asked).fetch_one(&mut connection).await.unwrap();
    assert_eq!(seen, (1, 7, "77".to_owned()));
}

#[tokio::test]
async fn behind_a_bouncer_two_clients_share_a_connection_of_the_server() {
    let Some(server) = Server::own_for_test(&ServerOptions::careless()) else { return };
    let Some(bouncer) = Bouncer::for_test(&server) else { return };
    let mut backends = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = PgConnection::connect(&bouncer.url("postgres")).await.unwrap();
        let row = client.fetch_one("SELECT pg_backend_pid()").await.unwrap();
        backends.push(sqlx::Row::get::<i32, _>(&row, 0));
        clients.push(client);
    }
    assert_eq!(backends[0], backends[1]);
    drop(bouncer);
    assert!(clients[0].ping().await.is_err());
}
