//! Migrations: numbered, each run once, all that are missing in one transaction.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Postgres, Row, Transaction};

use crate::db::{BEGIN, connect_once};
use crate::error::{ConnectError, fault};
use crate::options::PostgresOptions;
use crate::roles;
use crate::sql::Schema;

struct Migration {
    number: i32,
    name: &'static str,
    text: &'static str,
}

macro_rules! migrations {
    ($($number:literal $name:literal),* $(,)?) => {
        &[$(Migration {
            number: $number,
            name: $name,
            text: include_str!(concat!("sql/migrations/", $name, ".sql")),
        }),*]
    };
}

const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_events",
    2 "0002_append",
    3 "0003_read_models",
    4 "0004_projected_tables",
    5 "0005_read",
    6 "0006_leases",
    7 "0007_generations",
    8 "0008_fields",
    9 "0009_retention",
    10 "0010_take_over",
    11 "0011_strays",
    12 "0012_append_known",
    13 "0013_append_plain",
};

/// The newest migration that this release knows, and needs.
pub(crate) const KNOWN: i32 = 13;

/// What a store says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) store: uuid::Uuid,
    pub(crate) number: i32,
    pub(crate) min_reader: i32,
    pub(crate) min_writer: i32,
    /// Whether the server is a standby.
    pub(crate) replica: bool,
}

pub(crate) async fn migrate(url: &str, options: &PostgresOptions) -> Result<(), ConnectError> {
    let schema = Schema::new(&options.schema);
    let schema = schema.ok_or_else(|| ConnectError::Schema { schema: options.schema.clone() })?;
    let mut conn = connect_once(url, options).await?;
    let mut transaction = begin(&mut conn, &schema).await?;
    require_utf8(&mut transaction).await?;
    let done = done(&mut transaction, &schema).await?;
    let roles = roles::act_as_owner(&mut transaction, &schema, options).await?;
    let missing = || MIGRATIONS.iter().filter(|migration| !done.contains(&migration.number));
    for migration in missing() {
        run(&mut transaction, &schema, migration).await.map_err(|error| ConnectError::Migration {
            schema: schema.name().to_owned(),
            number: migration.number,
            name: migration.name,
            source: fault(error),
        })?;
        tracing::info!(schema = schema.name(), migration = migration.name, "migrated a store");
    }
    if let Some(roles) = roles.filter(|_| missing().next().is_some()) {
        roles.grant(&mut transaction, &schema).await?;
    }
    transaction.commit().await.map_err(fault)?;
    Ok(conn.close().await.map_err(fault)?)
}

/// A transaction that nobody else runs on this schema, and that may take longer than a statement of a service.
pub(crate) async fn begin<'c>(
    conn: &'c mut PgConnection,
    schema: &Schema,
) -> Result<Transaction<'c, Postgres>, ConnectError> {
    let mut transaction = conn.begin_with(BEGIN).await.map_err(fault)?;
    sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await.map_err(fault)?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(schema.order_lock() ^ 1);
    lock.persistent(false).execute(&mut *transaction).await.map_err(fault)?;
    Ok(transaction)
}

/// The numbers of the migrations that were run; makes the list of them where there is none.
async fn done(conn: &mut PgConnection, schema: &Schema) -> Result<BTreeSet<i32>, ConnectError> {
    if !exists(conn, schema, "migrations").await? {
        let create = schema.put_into(include_str!("sql/migrations/0000_migrations.sql"));
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *conn).await.map_err(fault)?;
    }
    let numbers = schema.put_into("SELECT number FROM factum.migrations");
    let rows = sqlx::query(AssertSqlSafe(numbers)).persistent(false).fetch_all(conn).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get(0).map_err(|error| fault(error).into())).collect()
}

async fn run(conn: &mut PgConnection, schema: &Schema, migration: &Migration) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(schema.put_into(migration.text))).execute(&mut *conn).await?;
    let note = schema.put_into("INSERT INTO factum.migrations (number, name) VALUES ($1, $2)");
    let note = sqlx::query(AssertSqlSafe(note)).bind(migration.number).bind(migration.name).persistent(false);
    note.execute(conn).await.map(drop)
}

async fn exists(conn: &mut PgConnection, schema: &Schema, table: &str) -> Result<bool, ConnectError> {
    let query = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(format!("{}.{table}", schema.quoted()));
    let row = query.persistent(false).fetch_one(conn).await.map_err(fault)?;
    Ok(row.try_get(0).map_err(fault)?)
}

async fn require_utf8(conn: &mut PgConnection) -> Result<(), ConnectError> {
    let row = sqlx::query("SELECT current_setting('server_encoding')").persistent(false).fetch_one(conn).await;
    let encoding: String = row.and_then(|row| row.try_get(0)).map_err(fault)?;
    if encoding == "UTF8" { Ok(()) } else { Err(ConnectError::Encoding { encoding }) }
}

pub(crate) async fn check_url(url: &str, options: &PostgresOptions) -> Result<(), ConnectError> {
    let schema = Schema::new(&options.schema);
    let schema = schema.ok_or_else(|| ConnectError::Schema { schema: options.schema.clone() })?;
    let mut conn = connect_once(url, options).await?;
    check(&mut conn, &schema, options.read_only).await?;
    Ok(conn.close().await.map_err(fault)?)
}

/// What store this is, if this release can work with it. In a transaction: a pooler would else hand out another connection to
/// the server between the two messages of a statement.
pub(crate) async fn check(conn: &mut PgConnection, schema: &Schema, read_only: bool) -> Result<Look, ConnectError> {
    let mut transaction = conn.begin_with(BEGIN).await.map_err(fault)?;
    let look = look(&mut transaction, schema, read_only).await?;
    transaction.commit().await.map_err(fault)?;
    Ok(look)
}

async fn look(conn: &mut PgConnection, schema: &Schema, read_only: bool) -> Result<Look, ConnectError> {
    require_utf8(conn).await?;
    let missing = |found| ConnectError::NotMigrated { schema: schema.name().to_owned(), found, needed: KNOWN };
    if !exists(conn, schema, "meta").await? {
        return Err(missing(0));
    }
    let look = AssertSqlSafe(schema.put_into(include_str!("sql/look.sql")));
    let row = sqlx::query(look).persistent(false).fetch_one(conn).await.map_err(fault)?;
    let look = Look {
        store: row.try_get(0).map_err(fault)?,
        min_reader: row.try_get(1).map_err(fault)?,
        min_writer: row.try_get(2).map_err(fault)?,
        number: row.try_get::<Option<i32>, _>(3).map_err(fault)?.unwrap_or(0),
        replica: row.try_get(4).map_err(fault)?,
    };
    if look.number < KNOWN {
        return Err(missing(look.number));
    }
    let needed = if read_only { look.min_reader } else { look.min_reader.max(look.min_writer) };
    if needed > KNOWN {
        return Err(ConnectError::Newer { schema: schema.name().to_owned(), known: KNOWN, needed });
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_a_gap_and_named_by_their_number() {
        for (n, migration) in (1..).zip(MIGRATIONS) {
            assert_eq!(migration.number, n);
            assert!(migration.name.starts_with(&format!("{n:04}_")), "{}", migration.name);
        }
        assert_eq!(MIGRATIONS.last().map(|last| last.number), Some(KNOWN));
    }
}
