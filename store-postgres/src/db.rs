//! The connections of a store.

use std::fmt;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool, Postgres, SqlSafeStr as _, SqlStr, Transaction};

use crate::error::{ConnectError, is_lost, is_silence, silent, unreachable};
use crate::options::PostgresOptions;
use crate::sql::{Schema, Statements};

/// Whether the next row is taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    /// First whoever polls is given the word: it goes on when it is polled again, and asks nobody for that.
    Pause,
}

impl Future for Flow {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut *self, Self::On) {
            Self::On => Poll::Ready(()),
            Self::Pause => Poll::Pending,
        }
    }
}

/// A query with its binds.
pub(crate) type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// How the connections of a store are made, and those that it shares for reading and for read models.
#[derive(Clone)]
pub(crate) struct Db {
    pub(crate) pool: PgPool,
    pub(crate) sql: Arc<Statements>,
    pub(crate) schema: Schema,
    connect: PgConnectOptions,
    /// How a transaction of the log begins: see [`Self::begin_append`].
    begin: SqlStr,
    pooler: bool,
    statement_timeout: Duration,
}

impl fmt::Debug for Db {
    /// Without the password, which the options for connecting hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("schema", &self.schema.name()).field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Db {
    pub(crate) fn new(url: &str, options: &PostgresOptions) -> Result<Self, ConnectError> {
        let schema = Schema::new(&options.schema);
        let schema = schema.ok_or_else(|| ConnectError::Schema { schema: options.schema.clone() })?;
        let connect = connect_options(url, options)?;
        // A connection that has died is found out by its use, and what was read on it is read again: a question before each
        // use would cost a round trip.
        let pool = PgPoolOptions::new()
            .max_connections(options.connections)
            .min_connections(0)
            .acquire_timeout(options.acquire_timeout)
            .test_before_acquire(false)
            .connect_lazy_with(connect.clone());
        let sql = Arc::new(Statements::new(&schema));
        let (pooler, statement_timeout) = (options.transaction_pooler, options.statement_timeout);
        let begin = if pooler { bounded(statement_timeout) } else { BEGIN.to_owned() };
        // Numbers alone are put into it.
        let begin = AssertSqlSafe(Arc::<str>::from(begin)).into_sql_str();
        Ok(Self { pool, sql, schema, connect, begin, pooler, statement_timeout })
    }

    /// How a transaction begins in which the order lock may be held from one message to the next. What bounds it is a setting of
    /// the session, or behind a pooler, where a session keeps none, of the transaction.
    pub(crate) fn begin_append(&self) -> SqlStr {
        self.begin.clone()
    }

    /// What comes within the time in which the server answers or ends so many statements, or else [`silent`].
    pub(crate) async fn in_time<T, E>(
        &self,
        statements: u32,
        what: impl Future<Output = Result<T, E>>,
        told: fn(sqlx::Error) -> E,
    ) -> Result<T, E> {
        match self.silence(statements) {
            Some(silence) => tokio::time::timeout(silence, what).await.unwrap_or_else(|_| Err(told(silent()))),
            None => what.await,
        }
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.connect.connect().await
    }

    /// Where the one connection comes from that listens.
    pub(crate) fn listening_pool(&self) -> PgPool {
        let timeout = self.pool.options().get_acquire_timeout();
        let pool = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        pool.acquire_timeout(timeout).connect_lazy_with(self.connect.clone())
    }

    /// After what time a server is given up that does not answer so many statements: it would have ended each by then. `None`
    /// where it may take forever.
    pub(crate) fn silence(&self, statements: u32) -> Option<Duration> {
        self.ends_after().map(|ends| ends.saturating_mul(statements).saturating_add(GRACE))
    }

    /// After what time the server ends a statement, if it does.
    pub(crate) fn ends_after(&self) -> Option<Duration> {
        Some(self.statement_timeout).filter(|ends| *ends != Duration::ZERO)
    }

    /// Whether a pooler hands out connections by transaction: then nothing that belongs to a session may be used.
    pub(crate) fn behind_pooler(&self) -> bool {
        self.pooler
    }

    /// The rows of one statement that reads. It is sent again where the connection turned out to be dead: after a restart of
    /// the server all of them are.
    pub(crate) async fn fetch<'q>(&self, query: impl Fn() -> Bound<'q> + Send) -> Result<Vec<PgRow>, sqlx::Error> {
        for _ in 0..self.pool.options().get_max_connections() {
            match self.once(query()).await {
                Err(error) if is_lost(&error) && !is_silence(&error) => {
                    tracing::debug!(%error, "a connection was lost; asking on another")
                }
                other => return other,
            }
        }
        self.once(query()).await
    }

    /// The rows of one statement, which is sent once: one that writes. If the connection is lost, nobody knows what became of it.
    ///
    /// The room for a large message, such as a commit, is given back: each connection of the pool that ever had one would keep
    /// it, and the longer something runs, the more have.
    pub(crate) async fn once(&self, query: Bound<'_>) -> Result<Vec<PgRow>, sqlx::Error> {
        if !self.pooler {
            let mut conn = self.pool.acquire().await?;
            let rows = self.in_time(1, query.fetch_all(&mut *conn), |silence| silence).await;
            conn.shrink_buffers();
            drop(unless_silent(conn, &rows));
            return rows;
        }
        let mut transaction = self.begin_with(BEGIN_WALK).await?;
        let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.shrink_buffers();
        transaction.commit().await?;
        Ok(rows)
    }

    /// A statement of a transaction: prepared, unless the next transaction may be on another connection.
    pub(crate) fn prepared<'q>(&self, query: Bound<'q>) -> Bound<'q> {
        query.persistent(!self.pooler)
    }

    /// Folds the rows of one statement that reads, as they come: none of them is kept. Sent again as [`fetch`](Self::fetch)
    /// does; then the fold begins anew.
    pub(crate) async fn fold<'q, T>(
        &self,
        query: impl Fn() -> Bound<'q> + Send,
        new: impl Fn() -> T + Send,
        take: fn(&mut T, &PgRow) -> Flow,
    ) -> Result<T, sqlx::Error>
    where
        T: Send,
    {
        for _ in 0..self.pool.options().get_max_connections() {
            match self.fold_once(query(), new(), take).await {
                Err(error) if is_lost(&error) && !is_silence(&error) => {
                    tracing::debug!(%error, "a connection was lost; asking on another")
                }
                other => return other,
            }
        }
        self.fold_once(query(), new(), take).await
    }

    /// The same, sent once.
    async fn fold_once<T: Send>(
        &self,
        query: Bound<'_>,
        folded: T,
        take: fn(&mut T, &PgRow) -> Flow,
    ) -> Result<T, sqlx::Error> {
        self.fold_on(&mut None, query, folded, take).await
    }

    /// The same, on this connection if there is one. What it was folded from stays, where a pooler does not have it.
    pub(crate) async fn fold_on<T: Send>(
        &self,
        connection: &mut Option<PoolConnection<Postgres>>,
        query: Bound<'_>,
        mut folded: T,
        take: fn(&mut T, &PgRow) -> Flow,
    ) -> Result<T, sqlx::Error> {
        if !self.pooler {
            // Who closes the store waits for all connections.
            let kept = connection.take().filter(|_| !self.pool.is_closed());
            let mut conn = match kept {
                Some(kept) => kept,
                None => self.pool.acquire().await?,
            };
            let fold = async {
                let mut rows = query.fetch(&mut *conn);
                while let Some(row) = rows.try_next().await? {
                    take(&mut folded, &row).await;
                }
                Ok(())
            };
            let done = self.in_time(1, fold, |silence| silence).await;
            *connection = unless_silent(conn, &done);
            return done.map(|()| folded);
        }
        let mut transaction = self.begin_with(BEGIN_WALK).await?;
        {
            let mut rows = query.persistent(false).fetch(&mut *transaction);
            while let Some(row) = rows.try_next().await? {
                take(&mut folded, &row).await;
            }
        }
        transaction.commit().await?;
        Ok(folded)
    }

    /// A transaction, READ COMMITTED.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.begin_with(if self.pooler { BEGIN } else { BEGIN_FREE }).await
    }

    async fn begin_with(&self, begin: &'static str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        for _ in 0..self.pool.options().get_max_connections() {
            match self.begin_once(begin).await {
                Err(error) if is_lost(&error) => tracing::debug!(%error, "a connection was lost; beginning on another"),
                other => return other,
            }
        }
        self.begin_once(begin).await
    }

    /// Begins to its end, whoever asks for it goes away meanwhile: sqlx 0.9 gives a connection back to the pool whose beginning was
    /// dropped before it was answered, and does not roll it back. Whoever got it next would write into a transaction that nobody
    /// ends.
    async fn begin_once(&self, begin: &'static str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let conn = self.pool.acquire().await?;
        let begun = tokio::spawn(Transaction::begin(conn, Some(SqlStr::from_static(begin))));
        begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Closes what is shared, after what is under way.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// A connection of whose other end nothing is heard is not given back: who gets it next would wait as long.
fn unless_silent<T>(
    conn: PoolConnection<Postgres>,
    answer: &Result<T, sqlx::Error>,
) -> Option<PoolConnection<Postgres>> {
    if answer.as_ref().is_err_and(is_silence) {
        drop(conn.detach());
        return None;
    }
    Some(conn)
}

/// How much longer than the server takes its answer may take.
const GRACE: Duration = Duration::from_secs(5);

/// Whatever the defaults of the role and of the database are.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Statements that read walk an index in its order and stop when a page is full. A planner that knows nothing of a table that
/// was just filled would rather collect and sort all that may match, and one that knows it well may take the positions up to the
/// end of the log for few, and walk them all. Since no value of a parameter changes what is best, each is planned once.
const WALK: [(&str, &str); 5] = [
    ("enable_bitmapscan", "off"),
    ("enable_seqscan", "off"),
    ("enable_sort", "off"),
    ("jit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// In a transaction, which may be a user's, the planner is free.
const BEGIN_FREE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_bitmapscan = on; \
                          SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on; \
                          SET LOCAL plan_cache_mode = auto";

/// Behind a pooler a session keeps no settings.
const BEGIN_WALK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_bitmapscan = off; \
                          SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off";

/// The longest time that the server takes as a setting, in milliseconds: 24 days.
pub(crate) const LONGEST: Duration = Duration::from_millis(i32::MAX.unsigned_abs() as u64);

/// As a setting of the server, which takes 0 for never.
pub(crate) fn milliseconds(time: Duration) -> String {
    let least = if time == Duration::ZERO { 0 } else { 1 };
    time.min(LONGEST).as_millis().max(least).to_string()
}

/// A transaction behind a pooler that the server ends when a statement takes too long or its client falls silent.
fn bounded(timeout: Duration) -> String {
    let time = milliseconds(timeout);
    format!("{BEGIN}; SET LOCAL statement_timeout = {time}; SET LOCAL idle_in_transaction_session_timeout = {time}")
}

fn connect_options(url: &str, options: &PostgresOptions) -> Result<PgConnectOptions, ConnectError> {
    let parsed = PgConnectOptions::from_str(url).map_err(|source| ConnectError::Url { source: Box::new(source) })?;
    let parsed = parsed.application_name(&options.application_name).disable_statement_logging();
    if options.transaction_pooler {
        return Ok(parsed.statement_cache_capacity(0));
    }
    // What the service relies on is not left to the settings of a role or of a database.
    let read_only = if options.read_only { "on" } else { "off" };
    let settings = [
        ("default_transaction_read_only", read_only.to_owned()),
        ("synchronous_commit", "on".to_owned()),
        ("default_transaction_isolation", "read committed".to_owned()),
        // What waits for the order lock waits for as long as a statement may take, and no shorter.
        ("lock_timeout", "0".to_owned()),
        ("statement_timeout", milliseconds(options.statement_timeout)),
        ("idle_in_transaction_session_timeout", milliseconds(options.statement_timeout)),
    ];
    Ok(parsed.options(settings).options(WALK))
}

/// A connection that is dropped in the middle of a statement is not used again.
pub(crate) async fn connect_once(url: &str, options: &PostgresOptions) -> Result<PgConnection, ConnectError> {
    let connecting = connect_options(url, options)?;
    let connected = tokio::time::timeout(options.acquire_timeout, PgConnection::connect_with(&connecting)).await;
    connected.unwrap_or_else(|_| Err(silent())).map_err(|error| unreachable(&connecting, error))
}
