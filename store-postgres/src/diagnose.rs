//! What a store finds when it looks at its database: who blocks, what is not granted, what the server is.

use factum::{Fault, FaultKind, Finding, Holder, Severity};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::db::Bound;
use crate::error::fault;
use crate::migrate::KNOWN;
use crate::store::PostgresStore;

/// How long somebody may hold what others wait for, in seconds: an append takes milliseconds.
const HELD: f64 = 1.0;

/// How long a transaction that has something of the store may say nothing.
const IDLE: f64 = 2.0;

/// How long a transaction may be open.
const LONG: f64 = 60.0;

/// The parts of a grant that a role has or lacks as a whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Append,
    Project,
}

impl PostgresStore {
    /// What concerns events.
    pub(crate) async fn diagnose_events(&self) -> Result<Vec<Finding>, Fault> {
        let mut found = self.sessions().await?;
        let grants = self.grants().await?;
        found.extend(self.missing(&grants, Purpose::Read));
        found.extend(self.missing(&grants, Purpose::Append));
        found.extend(self.server().await?);
        Ok(found)
    }

    /// What concerns read models.
    pub(crate) async fn diagnose_read_models(&self) -> Result<Vec<Finding>, Fault> {
        let mut found = self.sessions().await?;
        found.extend(self.missing(&self.grants().await?, Purpose::Project));
        Ok(found)
    }

    async fn look<'q>(&self, query: impl Fn() -> Bound<'q> + Send) -> Result<Vec<PgRow>, Fault> {
        match self.db.fetch(query).await.map_err(fault) {
            // What is not granted is told as that.
            Err(denied) if denied.kind() == FaultKind::ReadOnly => Ok(Vec::new()),
            other => other,
        }
    }

    async fn sessions(&self) -> Result<Vec<Finding>, Fault> {
        let query = || {
            let query = sqlx::query(self.db.sql.find_sessions.clone());
            query.bind(self.db.schema.order_lock()).bind(self.db.schema.name().to_owned())
        };
        let rows = self.look(query).await?;
        let found = rows.iter().map(|row| Session::of(row).map(|session| session.finding()));
        let found: Result<Vec<_>, _> = found.collect();
        Ok(found.map_err(fault)?.into_iter().flatten().collect())
    }

    async fn grants(&self) -> Result<Vec<(Purpose, String, bool)>, Fault> {
        let query = || sqlx::query(self.db.sql.find_grants.clone()).bind(self.db.schema.name().to_owned());
        let of = |row: &PgRow| {
            let purpose = match row.try_get::<&str, _>(0)? {
                "append" => Purpose::Append,
                "project" => Purpose::Project,
                _ => Purpose::Read,
            };
            Ok((purpose, row.try_get(1)?, row.try_get::<Option<bool>, _>(2)?.unwrap_or(false)))
        };
        self.look(query).await?.iter().map(of).collect::<Result<_, sqlx::Error>>().map_err(fault)
    }

    /// What of a purpose is not granted. Whoever has nothing of it is meant to do something else.
    fn missing(&self, grants: &[(Purpose, String, bool)], purpose: Purpose) -> Option<Finding> {
        let of = || grants.iter().filter(|(of, ..)| *of == purpose);
        let missing: Vec<&str> = of().filter(|(.., granted)| !granted).map(|(_, grant, _)| grant.as_str()).collect();
        if missing.is_empty() || (self.read_only && purpose != Purpose::Read) {
            return None;
        }
        let nothing = !of().any(|(_, grant, granted)| *granted && !grant.starts_with("SELECT"));
        let (severity, code, what) = match purpose {
            Purpose::Read => (Severity::Problem, "grants-missing-to-read", "the role may not read the log"),
            Purpose::Append if nothing => (Severity::Note, "appends-not-granted", "the role may not append"),
            Purpose::Append => (Severity::Problem, "grants-missing-to-append", "the role may not append"),
            Purpose::Project => (
                Severity::Problem,
                "grants-missing-to-project",
                "the role may not write read models, so none moves here",
            ),
        };
        let role = match purpose {
            Purpose::Read => "factum_reader",
            Purpose::Append => "factum_writer",
            Purpose::Project => "factum_projector",
        };
        let finding = Finding::new(severity, code, what).because(format!("it lacks {}", missing.join(", ")));
        Some(finding.remedy(format!(
            "let the owner grant it that, or the role {role} that create_roles makes; whoever only reads connects with \
             read_only()"
        )))
    }

    async fn server(&self) -> Result<Vec<Finding>, Fault> {
        let rows = self.look(|| sqlx::query(self.db.sql.find_server.clone())).await?;
        let Some(row) = rows.first() else { return Ok(Vec::new()) };
        self.server_of(row).map_err(fault)
    }

    fn server_of(&self, row: &PgRow) -> Result<Vec<Finding>, sqlx::Error> {
        let mut found = Vec::new();
        if row.try_get("replica")? {
            let behind: Option<f64> = row.try_get("behind")?;
            let behind =
                behind.map_or_else(String::new, |seconds| format!("; its last transaction is {seconds:.0} s old"));
            found.push(if self.read_only {
                Finding::new(Severity::Note, "replica", format!("the server is a replica{behind}"))
            } else {
                Finding::new(Severity::Problem, "replica", "the server takes no writes")
                    .because(format!("it is a replica: the primary is another one{behind}"))
                    .remedy("connect to the primary, or open the store with read_only()")
            });
        }
        let (used, most): (i64, i64) = (row.try_get("connections")?, row.try_get("max_connections")?);
        if used * 10 >= most * 9 {
            let what = format!("{used} of {most} connections of the server are in use");
            let finding = Finding::new(Severity::Warning, "connections-nearly-used-up", what);
            found.push(finding.remedy("end what needs none, give services smaller pools, or raise max_connections"));
        }
        let number = row.try_get::<Option<i32>, _>("number")?.unwrap_or(0);
        let (min_reader, min_writer): (i32, i32) = (row.try_get("min_reader")?, row.try_get("min_writer")?);
        let needed = if self.read_only { min_reader } else { min_reader.max(min_writer) };
        if needed > KNOWN {
            let what =
                format!("this release is too old for the store: it knows migration {KNOWN}, and {needed} is needed");
            let finding = Finding::new(Severity::Problem, "release-too-old", what);
            found.push(finding.remedy("deploy the newer release, and end the processes of this one"));
        } else if number > KNOWN {
            let what = format!("a newer release has migrated the store: it is at {number}, and this one knows {KNOWN}");
            found.push(Finding::new(Severity::Note, "release-older", what));
        } else if number < KNOWN {
            let what = format!("the store is at migration {number}, and this release needs {KNOWN}");
            found.push(Finding::new(Severity::Problem, "not-migrated", what).remedy("run migrate"));
        }
        Ok(found)
    }
}

/// A session of the database.
struct Session {
    holder: Holder,
    pid: i32,
    idle: bool,
    /// In seconds; `None` where it is not for this role to see.
    open_for: Option<f64>,
    so_for: Option<f64>,
    orders: bool,
    touches: bool,
    waiters: i64,
    waited: Option<f64>,
}

impl Session {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let pid: i32 = row.try_get("pid")?;
        let state: Option<String> = row.try_get("state")?;
        let idle = state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"));
        let holder = Holder::new(format!("pid {pid}"))
            .application(row.try_get("application_name")?)
            .user(row.try_get("usename")?)
            .since(row.try_get("xact_start")?)
            .state(state)
            .query(row.try_get("query")?);
        Ok(Self {
            holder,
            pid,
            idle,
            open_for: row.try_get("open_for")?,
            so_for: row.try_get("so_for")?,
            orders: row.try_get("orders")?,
            touches: row.try_get("touches")?,
            waiters: row.try_get("waiters")?,
            waited: row.try_get("waited")?,
        })
    }

    fn finding(self) -> Option<Finding> {
        let longer = |time: Option<f64>, than: f64| time.is_some_and(|time| time > than);
        let held = longer(self.open_for, HELD) || longer(self.waited, HELD);
        let finding = if self.orders && held {
            let what = match self.waiters {
                0 => "the next append will wait: the order lock is held".to_owned(),
                n => format!("{n} sessions wait to append{}", since(self.waited)),
            };
            Finding::new(Severity::Problem, "order-lock-held", what)
                .because(format!(
                    "pid {} has appended in a transaction{} and has not ended it",
                    self.pid,
                    open(self.open_for)
                ))
                .remedy(self.end("append last, and commit at once after append_in"))
        } else if self.waiters > 0 && held {
            Finding::new(
                Severity::Problem,
                "session-blocks",
                format!("{} sessions that use the store wait for a lock{}", self.waiters, since(self.waited)),
            )
            .because(format!("pid {} holds it in a transaction{}", self.pid, open(self.open_for)))
            .remedy(self.end("keep what locks tables of the store short"))
        } else if self.idle && self.touches && longer(self.so_for, IDLE) {
            Finding::new(
                Severity::Warning,
                "idle-in-transaction",
                format!("pid {} has left a transaction on tables of the store open and does nothing", self.pid),
            )
            .because("a switch of generations waits for it, and dead rows of read models stay")
            .remedy(self.end("end transactions, and set idle_in_transaction_session_timeout for their role"))
        } else if longer(self.open_for, LONG) {
            Finding::new(
                Severity::Warning,
                "long-transaction",
                format!("pid {} has a transaction{}", self.pid, open(self.open_for)),
            )
            .because("while it is open dead rows of read models stay, and their tables grow")
            .remedy("let it end, or read large things in several transactions")
        } else {
            return None;
        };
        Some(finding.holder(self.holder))
    }

    fn end(&self, otherwise: &str) -> String {
        format!("end that transaction where it runs, or SELECT pg_terminate_backend({}); {otherwise}", self.pid)
    }
}

fn since(seconds: Option<f64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!(", the first for {seconds:.1} s"))
}

fn open(seconds: Option<f64>) -> String {
    match seconds {
        Some(seconds) => format!(" that is open for {seconds:.1} s"),
        None => " that only its own role, or a member of pg_read_all_stats, may look at".to_owned(),
    }
}
