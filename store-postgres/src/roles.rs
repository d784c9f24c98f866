//! Roles: who may do what with a store.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use crate::db::connect_once;
use crate::error::{ConnectError, fault};
use crate::migrate::{begin, check};
use crate::options::PostgresOptions;
use crate::sql::{MAX_IDENTIFIER, Schema, fill, quote};

/// The names of the four roles.
#[derive(Clone, Debug)]
pub(crate) struct Roles {
    owner: String,
    others: [(&'static str, String); 3],
}

impl Roles {
    fn new(schema: &Schema, options: &PostgresOptions) -> Result<Self, ConnectError> {
        let prefix = options.role_prefix.as_deref().unwrap_or(schema.name());
        let name = |ending: &str| {
            let role = format!("{prefix}_{ending}");
            let fits = role.len() <= MAX_IDENTIFIER && !role.contains('\0') && !role.starts_with("pg_");
            if fits { Ok(role) } else { Err(ConnectError::Role { role }) }
        };
        let others = [(":writer", name("writer")?), (":projector", name("projector")?), (":reader", name("reader")?)];
        Ok(Self { owner: name("owner")?, others })
    }

    /// Gives each what it needs and nothing else, of all that is there now.
    pub(crate) async fn grant(&self, conn: &mut PgConnection, schema: &Schema) -> Result<(), ConnectError> {
        let mut names = schema.places();
        names.push((":owner", quote(&self.owner)));
        names.extend(self.others.iter().map(|(place, name)| (*place, quote(name))));
        let grants = fill(include_str!("sql/roles.sql"), &names);
        sqlx::raw_sql(AssertSqlSafe(grants)).execute(conn).await.map_err(fault)?;
        Ok(())
    }
}

pub(crate) async fn create(url: &str, options: &PostgresOptions) -> Result<(), ConnectError> {
    let schema = Schema::new(&options.schema);
    let schema = schema.ok_or_else(|| ConnectError::Schema { schema: options.schema.clone() })?;
    let roles = Roles::new(&schema, options)?;
    let mut conn = connect_once(url, options).await?;
    check(&mut conn, &schema, false).await?;
    let mut transaction = begin(&mut conn, &schema).await?;
    let others = roles.others.iter().map(|(_, name)| name);
    for role in std::iter::once(&roles.owner).chain(others) {
        if !is_there(&mut transaction, role).await? {
            execute(&mut transaction, format!("CREATE ROLE {} NOLOGIN", quote(role))).await?;
        }
    }
    if !is_member(&mut transaction, &roles.owner).await? {
        // Whoever gives something away must belong to those who get it.
        execute(&mut transaction, format!("GRANT {} TO CURRENT_USER", quote(&roles.owner))).await?;
    }
    give_away(&mut transaction, &schema, &roles.owner).await?;
    roles.grant(&mut transaction, &schema).await?;
    transaction.commit().await.map_err(fault)?;
    Ok(conn.close().await.map_err(fault)?)
}

/// What a migration makes shall belong to whom the rest belongs, whoever runs it. The roles, where that is one of them.
pub(crate) async fn act_as_owner(
    conn: &mut PgConnection,
    schema: &Schema,
    options: &PostgresOptions,
) -> Result<Option<Roles>, ConnectError> {
    let owner = sqlx::query("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass($1)");
    let owner = owner.bind(format!("{}.migrations", schema.quoted())).persistent(false);
    let owner: String = owner.fetch_one(&mut *conn).await.and_then(|row| row.try_get(0)).map_err(fault)?;
    if is_member(conn, &owner).await? {
        execute(conn, format!("SET LOCAL ROLE {}", quote(&owner))).await?;
    }
    Ok(Roles::new(schema, options).ok().filter(|roles| roles.owner == owner))
}

/// Makes everything in the schema, and the schema itself, belong to a role.
async fn give_away(conn: &mut PgConnection, schema: &Schema, owner: &str) -> Result<(), ConnectError> {
    let statements = sqlx::query(include_str!("sql/give_away.sql")).bind(schema.name()).bind(owner).persistent(false);
    for row in statements.fetch_all(&mut *conn).await.map_err(fault)? {
        execute(conn, row.try_get(0).map_err(fault)?).await?;
    }
    Ok(())
}

async fn is_there(conn: &mut PgConnection, role: &str) -> Result<bool, ConnectError> {
    let there = sqlx::query("SELECT FROM pg_roles WHERE rolname = $1").bind(role).persistent(false);
    Ok(there.fetch_optional(conn).await.map_err(fault)?.is_some())
}

/// Whether the current user is this role, belongs to it, or may do anything.
async fn is_member(conn: &mut PgConnection, role: &str) -> Result<bool, ConnectError> {
    let member = sqlx::query("SELECT pg_has_role($1::name, 'MEMBER')").bind(role).persistent(false);
    member.fetch_one(conn).await.and_then(|row| row.try_get(0)).map_err(|error| fault(error).into())
}

async fn execute(conn: &mut PgConnection, statement: String) -> Result<(), ConnectError> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.map_err(fault)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_be_cut_are_refused() {
        let roles =
            |prefix: &str| Roles::new(&Schema::new("factum").unwrap(), &PostgresOptions::new().role_prefix(prefix));
        assert!(roles(&"x".repeat(63 - "_projector".len())).is_ok());
        for prefix in ["x".repeat(64 - "_projector".len()), "pg_x".to_owned(), "a\0b".to_owned()] {
            assert!(matches!(roles(&prefix), Err(ConnectError::Role { .. })), "{prefix:?}");
        }
    }
}
