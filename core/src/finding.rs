//! What somebody finds who looks why something does not move.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Good to know; nothing is wrong.
    Note,
    /// It works now, and may stop working, or somebody should decide something.
    Warning,
    /// Something does not work.
    Problem,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

/// Somebody who holds what others wait for: a session of a database, a process, the holder of a lease.
///
/// What cannot be found out, or is not for the one who asks to see, is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// What it is called where it can be ended or asked, such as `pid 4711`.
    pub id: String,
    /// The program that it says it is.
    pub application: Option<String>,
    /// As whom it works.
    pub user: Option<String>,
    /// Since when it holds what it holds.
    pub since: Option<DateTime<Utc>>,
    /// What it is doing, such as `idle in transaction`.
    pub state: Option<String>,
    /// The last statement of it.
    pub query: Option<String>,
}

impl Holder {
    /// Somebody of whom no more is known than where to find it.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), ..Self::default() }
    }

    /// With the program that it says it is.
    #[must_use]
    pub fn application(mut self, application: Option<String>) -> Self {
        self.application = application.filter(|name| !name.is_empty());
        self
    }

    /// With the user as whom it works.
    #[must_use]
    pub fn user(mut self, user: Option<String>) -> Self {
        self.user = user;
        self
    }

    /// With the time since when it holds what it holds.
    #[must_use]
    pub fn since(mut self, since: Option<DateTime<Utc>>) -> Self {
        self.since = since;
        self
    }

    /// With what it is doing.
    #[must_use]
    pub fn state(mut self, state: Option<String>) -> Self {
        self.state = state;
        self
    }

    /// With its last statement.
    #[must_use]
    pub fn query(mut self, query: Option<String>) -> Self {
        self.query = query.filter(|query| !query.is_empty());
        self
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if let Some(application) = &self.application {
            write!(f, " ({application})")?;
        }
        if let Some(user) = &self.user {
            write!(f, " of {user}")?;
        }
        if let Some(since) = self.since {
            write!(f, " since {}", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(query) = &self.query {
            write!(f, ": {}", query.split_whitespace().collect::<Vec<_>>().join(" "))?;
        }
        Ok(())
    }
}

/// One thing that was found: what it is, why, and what to do.
///
/// Stores tell theirs with [`EventStore::diagnose`](crate::EventStore::diagnose) and
/// [`ReadModelStore::diagnose`](crate::ReadModelStore::diagnose).
///
/// ```
/// use factum::{Finding, Holder, Severity};
///
/// let found = Finding::new(Severity::Problem, "order-lock-held", "appends of every process wait")
///     .because("a session has appended in a transaction that it has left open")
///     .remedy("end that transaction, or its session with pg_terminate_backend(4711)")
///     .holder(Holder::new("pid 4711"));
/// assert_eq!(found.code(), "order-lock-held");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    severity: Severity,
    code: &'static str,
    projection: Option<String>,
    what: String,
    why: String,
    remedy: String,
    holders: Vec<Holder>,
}

impl Finding {
    /// Something that was found, by a name for machines that stays the same from release to release.
    pub fn new(severity: Severity, code: &'static str, what: impl Into<String>) -> Self {
        let (what, why, remedy) = (what.into(), String::new(), String::new());
        Self { severity, code, projection: None, what, why, remedy, holders: Vec::new() }
    }

    /// With the projection that it is about.
    #[must_use]
    pub fn about(mut self, projection: impl Into<String>) -> Self {
        self.projection = Some(projection.into());
        self
    }

    /// With why it is so.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = why.into();
        self
    }

    /// With what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With one more of those who hold what others wait for.
    #[must_use]
    pub fn holder(mut self, holder: Holder) -> Self {
        self.holders.push(holder);
        self
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Its name for machines.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The projection that it is about, if it is about one.
    pub fn projection(&self) -> Option<&str> {
        self.projection.as_deref()
    }

    /// What it is.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Why it is so; empty where that says itself.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What to do; empty where nothing is to be done.
    pub fn what_to_do(&self) -> &str {
        &self.remedy
    }

    /// Those who hold what others wait for.
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity, self.what)?;
        if !self.why.is_empty() {
            write!(f, ": {}", self.why)?;
        }
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}
