//! How a store is connected to.

use std::time::Duration;

use factum::Limits;
use tokio::sync::Semaphore;

use crate::db::LONGEST;
use crate::error::ConnectError;
use crate::store::PostgresStore;

/// More than any server takes: room for them is made at once.
const MAX_CONNECTIONS: u32 = 10_000;

/// How long the outcome of a command is found under its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRetention {
    /// As long as the store lives.
    #[default]
    Forever,
    /// For this long after it was recorded; then the key is as good as new, and deleted about a minute later.
    For(Duration),
}

/// How a store is connected to.
///
/// ```no_run
/// use factum_postgres::PostgresOptions;
///
/// # async fn connect() -> Result<(), factum_postgres::ConnectError> {
/// let options = PostgresOptions::new().schema("shop").connections(16);
/// options.migrate("postgres://owner@localhost/shop").await?;
/// let store = options.connect("postgres://service@localhost/shop").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    pub(crate) schema: String,
    pub(crate) connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) key_retention: KeyRetention,
    pub(crate) queue: usize,
    pub(crate) group_appends: usize,
    pub(crate) group_bytes: usize,
    pub(crate) poll: Duration,
    pub(crate) append_in_timeout: Duration,
    pub(crate) transaction_pooler: bool,
    pub(crate) read_only: bool,
    pub(crate) application_name: String,
    pub(crate) role_prefix: Option<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            schema: "factum".to_owned(),
            connections: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            limits: Limits::default(),
            key_retention: KeyRetention::default(),
            queue: 4_096,
            group_appends: 512,
            group_bytes: 4 << 20,
            poll: Duration::from_millis(500),
            append_in_timeout: Duration::from_secs(5),
            transaction_pooler: false,
            read_only: false,
            application_name: "factum".to_owned(),
            role_prefix: None,
        }
    }
}

impl PostgresOptions {
    /// The schema `factum`, up to 8 connections for reading, keys kept forever.
    pub fn new() -> Self {
        Self::default()
    }

    /// The schema that holds the store (`factum` by default). One database may hold several.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// How many connections at most read, and keep read models (1 to 10,000; 8 by default). Beside these a store holds one or
    /// two for appending and one for wake-ups.
    #[must_use]
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections.clamp(1, MAX_CONNECTIONS);
        self
    }

    /// How long to wait for a connection that is free, or for the server (10 seconds by default, 24 days at most).
    #[must_use]
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = timeout.min(LONGEST);
        self
    }

    /// After what time the server ends a statement, one that waits for the order lock included (30 seconds by default; zero:
    /// never).
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// What is refused as input.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long outcomes are kept.
    #[must_use]
    pub fn key_retention(mut self, retention: KeyRetention) -> Self {
        self.key_retention = retention;
        self
    }

    /// How many appends may wait before callers are held up (at least 1; 4,096 by default).
    #[must_use]
    pub fn queue(mut self, appends: usize) -> Self {
        self.queue = appends.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How many appends, and how many bytes, go into one transaction at most (512 and 4 MiB by default). One append alone may
    /// be larger.
    #[must_use]
    pub fn group(mut self, appends: usize, bytes: usize) -> Self {
        (self.group_appends, self.group_bytes) = (appends.max(1), bytes);
        self
    }

    /// How often readers are woken without having been told of an append (500 milliseconds by default): what is left where
    /// notifications do not come through.
    #[must_use]
    pub fn poll(mut self, every: Duration) -> Self {
        self.poll = every.max(Duration::from_millis(1));
        self
    }

    /// For how long a transaction that has appended with [`append_in`](PostgresStore::append_in) may be silent before the
    /// server ends it (5 seconds by default): it holds the order lock, and everybody waits for it.
    #[must_use]
    pub fn append_in_timeout(mut self, timeout: Duration) -> Self {
        self.append_in_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// For a server behind a pooler that hands out connections by transaction, such as PgBouncer: no prepared statements, no
    /// settings of a session, no notifications. Everything works, by polling, with more round trips.
    #[must_use]
    pub fn transaction_pooler(mut self) -> Self {
        self.transaction_pooler = true;
        self
    }

    /// Writes nothing, and takes a server that is a read replica, which is otherwise refused.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// What the server's views show as the name of these connections (`factum` by default).
    #[must_use]
    pub fn application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// What the names of the [roles](Self::create_roles) begin with (the name of the schema by default). Roles belong to the
    /// whole server: two databases whose stores are in schemas of one name share them unless this tells them apart.
    #[must_use]
    pub fn role_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.role_prefix = Some(prefix.into());
        self
    }

    /// Connects to a store that [`migrate`](Self::migrate) has set up. Changes nothing.
    ///
    /// The URL is `postgres://user:password@host:port/database?sslmode=verify-full`; a unix socket is
    /// `postgres://user@localhost/database?host=/var/run/postgresql`.
    ///
    /// # Errors
    /// [`ConnectError`] says what is wrong and what to do.
    pub async fn connect(&self, url: &str) -> Result<PostgresStore, ConnectError> {
        PostgresStore::with_options(url, self).await
    }

    /// Sets up the schema, or brings it to what this release needs: each migration once, whoever else does the same at the
    /// same time. Needs a role that may create tables; a service need not be one.
    ///
    /// # Errors
    /// [`ConnectError`]; then nothing has changed.
    pub async fn migrate(&self, url: &str) -> Result<(), ConnectError> {
        crate::migrate::migrate(url, self).await
    }

    /// Makes four roles that nobody can log in as, to be granted to those who can, with the least that each needs: for the schema
    /// `factum` these are
    ///
    /// - `factum_owner`, to whom schema, tables and functions belong from now on: may migrate;
    /// - `factum_writer`: may append, and save snapshots;
    /// - `factum_projector`: may read the log, and write read models;
    /// - `factum_reader`: may read everything and change nothing.
    ///
    /// A service that needs more than one is granted more than one. Nobody else may do anything with the store any more, but
    /// superusers. May be run again at any time, and gives the roles what they have here and nothing else.
    /// [`migrate`](Self::migrate) does so by itself for what a new migration adds.
    ///
    /// Needs a store that was migrated, and whoever owns it with the right to create roles, or a superuser.
    ///
    /// # Errors
    /// [`ConnectError`]; then nothing has changed.
    pub async fn create_roles(&self, url: &str) -> Result<(), ConnectError> {
        crate::roles::create(url, self).await
    }

    /// Whether the store is there and fits this release, without changing anything: what a deployment asks before it starts.
    ///
    /// # Errors
    /// [`ConnectError`] says what does not fit.
    pub async fn check(&self, url: &str) -> Result<(), ConnectError> {
        crate::migrate::check_url(url, self).await
    }
}
