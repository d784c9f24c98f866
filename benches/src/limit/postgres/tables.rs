//! Tables beside those of ours.

use factum_postgres::PostgresOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::connect;
use crate::Result;
use crate::child::runtime;
use crate::work::Work;

/// The events table of ours, whatever it becomes: columns, constraints and indexes, and neither triggers nor functions. Or,
/// `bare`, its columns and their primary key. What a function of ours gives each row comes from defaults.
pub(super) async fn events(url: &str, bare: bool) -> Result<()> {
    PostgresOptions::new().migrate(url).await?;
    let mut connection = connect(url).await?;
    let like = if bare { "" } else { "INCLUDING ALL" };
    execute(&mut connection, format!("CREATE SCHEMA raw; CREATE TABLE raw.events (LIKE factum.events {like})")).await?;
    if bare {
        execute(&mut connection, "ALTER TABLE raw.events ADD PRIMARY KEY (position)".to_owned()).await?;
    }
    let defaults = "CREATE SEQUENCE raw.positions;
                    ALTER TABLE raw.events ALTER position SET DEFAULT nextval('raw.positions'),
                      ALTER recorded_at SET DEFAULT clock_timestamp(), ALTER schema_version SET DEFAULT 1,
                      ALTER tenant SET DEFAULT '', ALTER category SET DEFAULT 'account'";
    execute(&mut connection, defaults.to_owned()).await?;
    Ok(connection.close().await?)
}

/// Copies what the bare side of a workload reads, and leaves all tables as a server does that has had time to tidy up.
pub(crate) fn prepare(work: Work, url: &str) -> Result<()> {
    runtime()?.block_on(async {
        let mut connection = connect(url).await?;
        let copy = match work {
            Work::GetAt => {
                "CREATE TABLE raw.bare (key text PRIMARY KEY, body json);
                 INSERT INTO raw.bare SELECT key, body FROM factum.documents ORDER BY key"
            }
            // A stream's events lie together, as they do in no log.
            Work::Load { .. } => {
                "CREATE TABLE raw.bare (stream text COLLATE \"C\", version bigint, event_type text, payload json,
                                        PRIMARY KEY (stream, version));
                 INSERT INTO raw.bare
                 SELECT stream, version, event_type, payload FROM factum.events ORDER BY stream, version"
            }
            _ => {
                "CREATE TABLE raw.bare (position bigint PRIMARY KEY, event_type text, payload json);
                 INSERT INTO raw.bare SELECT position, event_type, payload FROM factum.events ORDER BY position"
            }
        };
        execute(&mut connection, format!("CREATE SCHEMA raw; {copy}")).await?;
        execute(&mut connection, "VACUUM (ANALYZE)".to_owned()).await?;
        Ok(connection.close().await?)
    })
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<()> {
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}
