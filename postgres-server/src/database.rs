//! One database for each test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

use crate::{Cause, Server, ServerError};

/// What databases of this process are called, and which templates there are.
#[derive(Debug)]
pub(crate) struct Names {
    run: u64,
    next: AtomicU64,
    templates: Mutex<HashMap<String, Arc<OnceCell<String>>>>,
}

impl Default for Names {
    fn default() -> Self {
        Self { run: fastrand::u64(..), next: AtomicU64::new(1), templates: Mutex::default() }
    }
}

impl Names {
    /// What no other process is called.
    pub(crate) fn run(&self) -> String {
        format!("factum_test_{:016x}", self.run)
    }

    /// A name that no other process has on the same server. It needs no quotes.
    fn unique(&self) -> String {
        format!("{}_{}", self.run(), self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn template(&self, name: &str) -> Arc<OnceCell<String>> {
        let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        templates.entry(name.to_owned()).or_default().clone()
    }
}

/// A database of one's own, gone when this is dropped, with whoever is still connected to it.
#[derive(Debug)]
pub struct Database {
    server: Server,
    name: String,
    stays: bool,
}

impl Database {
    /// How to reach it.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// What it is called on its server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends every connection to it, as a server does that fails over; how many those were.
    ///
    /// # Errors
    /// [`ServerError::Sql`] if the server does not answer.
    pub async fn kill_connections(&self) -> Result<u64, ServerError> {
        self.server.kill_connections_to(&self.name).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        let (server, name) = (self.server.clone(), self.name.clone());
        // A thread, since a test's own runtime cannot be waited for from within, and may be ending by a panic.
        let dropped = std::thread::spawn(move || drop_database(&server, &name)).join();
        let is_gone = matches!(dropped, Ok(Ok(())));
        // One of our own servers takes its databases with it, and may be stopped by now.
        if !is_gone && !self.server.is_ours() {
            eprintln!("the database {} could not be dropped; it is left on the server", self.name);
        }
    }
}

fn drop_database(server: &Server, name: &str) -> Result<(), ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(ServerError::io("starting a runtime to drop", name))?;
    let statement = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
    runtime.block_on(server.admin("dropping a database", statement))
}

impl Server {
    /// A new database, a copy of the template of this name. A template is made when it is first asked for: an empty
    /// database, on whose URL `prepare` is called, once in this process; whoever else asks meanwhile waits for it.
    ///
    /// ```no_run
    /// # async fn migrate(_url: &str) -> std::io::Result<()> { Ok(()) }
    /// # async fn example() -> Result<(), factum_postgres_server::ServerError> {
    /// use factum_postgres_server::Server;
    ///
    /// let Some(server) = Server::for_test() else { return Ok(()) };
    /// let database = server.database("migrated", |url| async move { migrate(&url).await }).await?;
    /// println!("{}", database.url());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ServerError::Template`] with what `prepare` said, [`ServerError::Sql`] with what the server said.
    pub async fn database<P, F, E>(&self, template: &str, prepare: P) -> Result<Database, ServerError>
    where
        P: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let cell = self.inner.databases.template(template);
        let original = cell.get_or_try_init(|| self.make_template(template, prepare)).await?;
        self.create(Some(original)).await
    }

    /// A new database with nothing in it.
    ///
    /// # Errors
    /// [`ServerError::Sql`] with what the server said.
    pub async fn empty_database(&self) -> Result<Database, ServerError> {
        self.create(None).await
    }

    async fn make_template<P, F, E>(&self, template: &str, prepare: P) -> Result<String, ServerError>
    where
        P: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut database = self.create(None).await?;
        let prepared = prepare(database.url()).await;
        prepared.map_err(|error| ServerError::Template { name: template.to_owned(), source: Cause::of(error) })?;
        // A database that somebody is connected to cannot be copied.
        let close = format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", database.name);
        self.admin("closing a template", close).await?;
        self.kill_connections_to(&database.name).await?;
        database.stays = true;
        Ok(database.name.clone())
    }

    async fn create(&self, template: Option<&str>) -> Result<Database, ServerError> {
        let name = self.inner.databases.unique();
        // template0: whoever is connected to template1, on a server that is not ours, is in nobody's way.
        let create = format!("CREATE DATABASE {name} TEMPLATE {}", template.unwrap_or("template0"));
        self.admin("creating a database", create).await?;
        Ok(Database { server: self.clone(), name, stays: false })
    }

    async fn kill_connections_to(&self, database: &str) -> Result<u64, ServerError> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE datname = $1 AND pid <> pg_backend_pid()";
        let mut connection = self.connect_as_admin().await?;
        let killed = sqlx::query(sql).bind(database).fetch_all(&mut connection).await;
        Ok(killed.map_err(ServerError::sql("ending connections"))?.len() as u64)
    }

    /// Runs a statement of ours on the server.
    pub(crate) async fn admin(&self, doing: &'static str, statement: String) -> Result<(), ServerError> {
        let mut connection = self.connect_as_admin().await?;
        let done = connection.execute(AssertSqlSafe(statement)).await;
        done.map_err(ServerError::sql(doing))?;
        // Politely, so that the server's log stays short; what was done is done in any case.
        let _ = connection.close().await;
        Ok(())
    }

    /// Asks the server a question of ours.
    pub(crate) async fn ask(&self, question: &'static str) -> Result<bool, ServerError> {
        let mut connection = self.connect_as_admin().await?;
        sqlx::query_scalar(question).fetch_one(&mut connection).await.map_err(ServerError::sql("asking"))
    }

    async fn connect_as_admin(&self) -> Result<PgConnection, ServerError> {
        PgConnection::connect(&self.admin_url()).await.map_err(ServerError::sql("connecting"))
    }
}
