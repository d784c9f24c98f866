//! The tables of a generation: made with it in one transaction, and their names given from one to another.

use std::time::Duration;

use factum::{Generation, GenerationInfo, GenerationState, NewGeneration, ReadModelError};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use crate::columns::{Json, column};
use crate::db::Db;
use crate::error::{explain, fault};
use crate::projection::SqlProjection;
use crate::sql::quote;
use crate::store::PostgresStore;
use crate::tables::{Tables, aside, suffix};
use crate::transaction::sort;
use crate::{read_models_read as read, read_models_row as row};

/// How often two who make the same are set apart before one gives up, and for how long it waits in between.
const RACES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// The live generation of a projection's version, or the one that is built; made, with its tables, where there is none.
pub(crate) async fn find_or_make<P: SqlProjection>(
    store: &PostgresStore,
    new: &NewGeneration,
    state: GenerationState,
) -> Result<GenerationInfo, ReadModelError> {
    let db = &store.db;
    store.sweeper.look(db);
    for _ in 0..RACES {
        if let Some(found) = read::in_state(db, new, state).await? {
            return with_tables(db, found).await;
        }
        if !make::<P>(db, new, state).await? {
            // Somebody else is making it.
            tokio::time::sleep(PAUSE).await;
        }
    }
    let why = "others make and drop it at the same time; try again".to_owned();
    Err(ReadModelError::NotMade { projection: new.projection.clone(), why })
}

/// A generation that was found, if it was made with tables.
async fn with_tables(db: &Db, info: GenerationInfo) -> Result<GenerationInfo, ReadModelError> {
    let query = || {
        let query = sqlx::query(db.sql.tables_of.clone()).bind(info.projection.as_str());
        query.bind(column(info.generation.0))
    };
    let rows = db.fetch(query).await.map_err(fault)?;
    let tables: i64 = rows.first().map_or(Ok(0), |row| row.try_get(1)).map_err(fault)?;
    if tables > 0 {
        return Ok(info);
    }
    let why = format!("generation {} of version {} holds documents; raise VERSION", info.generation, info.version);
    Err(ReadModelError::NotMade { projection: info.projection, why })
}

/// Why a generation was not made.
enum Failed {
    Fault(factum::Fault),
    Why(String),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        match sort(error) {
            Ok(why) => Self::Why(why),
            Err(fault) => Self::Fault(fault),
        }
    }
}

/// `false` where somebody else makes one.
async fn make<P: SqlProjection>(db: &Db, new: &NewGeneration, state: GenerationState) -> Result<bool, ReadModelError> {
    make_all::<P>(db, new, state).await.map_err(|failed| match failed {
        Failed::Fault(fault) => ReadModelError::Fault(fault),
        Failed::Why(why) => ReadModelError::NotMade { projection: new.projection.clone(), why },
    })
}

async fn make_all<P: SqlProjection>(db: &Db, new: &NewGeneration, state: GenerationState) -> Result<bool, Failed> {
    let mut transaction = db.begin().await?;
    let conn = &mut *transaction;
    let insert = sqlx::query(db.sql.insert_generation.clone())
        .bind(new.projection.as_str())
        .bind(i64::from(new.version.0))
        .bind(row::state_column(state))
        .bind(None::<Json<'_>>);
    if db.prepared(insert).execute(&mut *conn).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let made = sqlx::query(db.sql.made_generation.clone());
    let made = made.bind(new.projection.as_str()).bind(i64::from(new.version.0)).bind(row::state_column(state));
    let made = db.prepared(made).fetch_one(&mut *conn).await?;
    let (id, number): (i64, i64) = (made.try_get(0)?, made.try_get(1)?);
    let generation = Generation(u64::try_from(number).unwrap_or(0));
    let live = state == GenerationState::Live;
    for name in P::TABLES {
        look::<P>(db, conn, name, generation, live).await?;
    }
    run_schema::<P>(db, conn, generation).await?;
    for name in P::TABLES {
        adopt::<P>(db, conn, id, name, generation, live).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// That no table has the name of one that is to be made.
async fn look<P: SqlProjection>(
    db: &Db,
    conn: &mut PgConnection,
    name: &str,
    generation: Generation,
    live: bool,
) -> Result<(), Failed> {
    let query = sqlx::query(db.sql.look_at_table.clone()).bind(P::PLACE).bind(name).bind(aside(name, generation));
    let found = db.prepared(query).fetch_one(conn).await?;
    let (plain, beside): (bool, bool) = (found.try_get(0)?, found.try_get(1)?);
    let (owner, version): (Option<String>, Option<i64>) = (found.try_get(2)?, found.try_get(3)?);
    let taken_plainly = live && plain;
    if !beside && !taken_plainly {
        return Ok(());
    }
    let taken = if beside { aside(name, generation) } else { name.to_owned() };
    Err(Failed::Why(match owner.zip(version).filter(|_| !beside) {
        Some((owner, version)) => format!(
            "its table {taken} is that of {owner} version {version}; give the tables of version {} other names",
            P::VERSION
        ),
        None => format!("there is a table {taken} already, which is not of a projection; rename one of them"),
    }))
}

/// Makes the tables under the names of their generation, the live ones too: so what is named by hand shows at once.
async fn run_schema<P: SqlProjection>(db: &Db, conn: &mut PgConnection, generation: Generation) -> Result<(), Failed> {
    let names = P::TABLES.iter().map(|name| (*name).to_owned()).collect();
    let tables = Tables::new(names, P::PLACE, generation, false);
    let schema = tables.expand_schema(P::SCHEMA).map_err(|error| Failed::Why(error.to_string()))?;
    let before = number_of(db, conn).await?;
    let path = sqlx::query("SELECT set_config('search_path', 'pg_catalog', true)");
    db.prepared(path).execute(&mut *conn).await?;
    // What is put into the text of the program are quoted identifiers.
    sqlx::raw_sql(AssertSqlSafe(schema)).execute(&mut *conn).await?;
    if number_of(db, conn).await? != before {
        return Err(Failed::Why("SCHEMA ends the transaction; take that out, and drop what it made".to_owned()));
    }
    Ok(())
}

async fn number_of(db: &Db, conn: &mut PgConnection) -> Result<String, Failed> {
    let query = sqlx::query(db.sql.in_transaction.clone());
    Ok(db.prepared(query).fetch_one(conn).await?.try_get(0)?)
}

/// Takes a table for one of the generation, under its plain name if that is live.
async fn adopt<P: SqlProjection>(
    db: &Db,
    conn: &mut PgConnection,
    id: i64,
    name: &str,
    generation: Generation,
    live: bool,
) -> Result<(), Failed> {
    let physical = aside(name, generation);
    let look = sqlx::query(db.sql.look_at_table.clone()).bind(P::PLACE).bind(name).bind(&physical);
    if !db.prepared(look).fetch_one(&mut *conn).await?.try_get::<bool, _>(1)? {
        return Err(Failed::Why(format!("SCHEMA makes no table {{{name}}}, which TABLES names")));
    }
    let fixed = sqlx::query(db.sql.fixed_index.clone()).bind(P::PLACE).bind(&physical).bind(suffix(generation));
    if let Some(index) = db.prepared(fixed).fetch_optional(&mut *conn).await? {
        let index: String = index.try_get(0)?;
        return Err(Failed::Why(format!(
            "the index {index} has a fixed name: write it in braces, since those of several generations stand side by side"
        )));
    }
    let note = sqlx::query(db.sql.insert_table.clone()).bind(id).bind(name).bind(P::PLACE);
    db.prepared(note).execute(&mut *conn).await?;
    if live {
        let rename = format!("ALTER TABLE {}.{} RENAME TO {}", quote(P::PLACE), quote(&physical), quote(name));
        sqlx::query(AssertSqlSafe(rename)).persistent(false).execute(conn).await?;
    }
    Ok(())
}

/// Why the plain names did not go from one generation to another.
pub(crate) enum NotExchanged {
    /// Somebody uses the tables just now: begin again.
    InUse(sqlx::Error),
    /// They cannot be.
    Why(String),
    Fault(sqlx::Error),
}

/// Gives the plain names from the tables of one generation to those of another, within the transaction of the switch. Whoever
/// reads the old ones is not waited for longer than a moment: others would queue behind.
pub(crate) async fn exchange(db: &Db, conn: &mut PgConnection, old: i64, new: i64) -> Result<(), NotExchanged> {
    let query = sqlx::query(db.sql.exchange_tables.clone()).bind(old).bind(new);
    told(db.prepared(query).fetch_one(conn).await)
}

/// Takes the plain names from the tables of a generation that is taken out of service, within that transaction.
pub(crate) async fn set_aside(db: &Db, conn: &mut PgConnection, old: i64) -> Result<(), NotExchanged> {
    let query = sqlx::query(db.sql.set_tables_aside.clone()).bind(old);
    told(db.prepared(query).fetch_one(conn).await)
}

/// What a function said that renames tables.
fn told(row: Result<PgRow, sqlx::Error>) -> Result<(), NotExchanged> {
    match row.and_then(|row| row.try_get::<Option<String>, _>(0)) {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(NotExchanged::Why(why)),
        Err(error) => Err(match code(&error).as_str() {
            "55P03" | "40P01" => NotExchanged::InUse(error),
            // What is there already, is not there, or does not fit: not a matter of time.
            code if code.starts_with("42") && code != "42501" => NotExchanged::Why(explain(&error).1),
            _ => NotExchanged::Fault(error),
        }),
    }
}

fn code(error: &sqlx::Error) -> String {
    let said = error.as_database_error().and_then(|said| said.code().map(|code| code.into_owned()));
    said.unwrap_or_default()
}
