//! What SQL of users may do on the store's connections: SQLite asks here about every statement that it prepares.
//!
//! A projection reads and writes its own tables and nothing else: so it cannot end the transaction that its checkpoint
//! moves in, touch events, read the generation that it is to replace, or depend on what a replay would not find again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

use crate::tables::Tables;

/// What may be done at this moment.
#[derive(Clone, Debug, Default)]
enum Rule {
    /// Everything: the store's own SQL.
    #[default]
    Own,
    /// Rows of these tables.
    Rows(Arc<Tables>),
    /// Making these tables and their indexes.
    Schema(Arc<Tables>),
    /// Reading.
    Query,
}

#[derive(Debug, Default)]
struct State {
    rule: Rule,
    denied: Option<String>,
}

/// The gate of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<Mutex<State>>);

/// While it lives, the gate is closed to everything but what belongs to a user.
pub(crate) struct Closed<'g>(&'g Gate);

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.state().rule = Rule::Own;
    }
}

impl Gate {
    /// A gate that this connection asks from now on.
    pub(crate) fn install(conn: &Connection) -> rusqlite::Result<Self> {
        let gate = Self::default();
        let asked = gate.clone();
        conn.authorizer(Some(move |context: AuthContext<'_>| asked.ask(&context)))?;
        Ok(gate)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, rule: Rule) -> Closed<'_> {
        *self.state() = State { rule, denied: None };
        Closed(self)
    }

    /// Only rows of these tables.
    pub(crate) fn to_rows(&self, tables: &Arc<Tables>) -> Closed<'_> {
        self.close(Rule::Rows(Arc::clone(tables)))
    }

    /// Only what makes these tables.
    pub(crate) fn to_schema(&self, tables: &Arc<Tables>) -> Closed<'_> {
        self.close(Rule::Schema(Arc::clone(tables)))
    }

    /// Only reading.
    pub(crate) fn to_queries(&self) -> Closed<'_> {
        self.close(Rule::Query)
    }

    /// What was refused since it was closed.
    pub(crate) fn denied(&self) -> Option<String> {
        self.state().denied.take()
    }

    fn ask(&self, context: &AuthContext<'_>) -> Authorization {
        let mut state = self.state();
        let refused = match &state.rule {
            Rule::Own => None,
            Rule::Rows(tables) => rows(tables, &context.action),
            Rule::Schema(tables) => schema(tables, &context.action),
            Rule::Query => query(&context.action),
        };
        match refused {
            None => Authorization::Allow,
            Some(what) => {
                state.denied.get_or_insert(what);
                Authorization::Deny
            }
        }
    }
}

/// Why something may not be done; `None` if it may.
fn rows(tables: &Tables, action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Recursive => None,
        AuthAction::Function { function_name } => function(function_name),
        AuthAction::Read { table_name, .. } if tables.own(table_name) || is_function_table(table_name) => None,
        AuthAction::Read { table_name, .. } => Some(format!(
            "reading the table {table_name}: a projection reads its own tables alone, each written in braces, so that \
             a replay finds what was there"
        )),
        // SQLite's own tables say what the file consists of.
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
            if !table_name.starts_with("sqlite_") =>
        {
            (!tables.own(table_name)).then(|| {
            format!(
                "writing to the table {table_name}: a projection writes to its own tables alone, each written in braces"
            )
        })},
        other => always(other),
    }
}

fn schema(tables: &Tables, action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::CreateTable { table_name } if tables.own(table_name) || table_name.starts_with("sqlite_") => None,
        AuthAction::CreateTable { table_name } => {
            Some(format!("making the table {table_name}: name it in TABLES and write it in braces"))
        }
        AuthAction::CreateIndex { index_name, .. }
            if index_name.starts_with("sqlite_") || tables.own_index(index_name) =>
        {
            None
        }
        AuthAction::CreateIndex { index_name, .. } => Some(format!(
            "making the index {index_name}: write its name in braces, since those of several generations stand side by \
             side"
        )),
        AuthAction::Reindex { .. } => None,
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
            if table_name.starts_with("sqlite_") =>
        {
            None
        }
        AuthAction::CreateView { view_name: name } | AuthAction::CreateTrigger { trigger_name: name, .. } => {
            Some(format!("making {name}: views and triggers are made outside, once, and go on to mean what is live"))
        }
        other => rows(tables, other),
    }
}

fn query(action: &AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Select | AuthAction::Recursive | AuthAction::Read { .. } | AuthAction::Function { .. } => None,
        AuthAction::Insert { .. } | AuthAction::Update { .. } | AuthAction::Delete { .. } => {
            Some("writing: a query reads".to_owned())
        }
        other => always(other),
    }
}

/// Tables that are functions of their arguments.
fn is_function_table(name: &str) -> bool {
    name.eq_ignore_ascii_case("json_each") || name.eq_ignore_ascii_case("json_tree")
}

/// What would be another value in a replay.
fn function(name: &str) -> Option<String> {
    const CHANGING: [&str; 5] = ["random", "randomblob", "current_time", "current_date", "current_timestamp"];
    let changing = CHANGING.iter().any(|changing| changing.eq_ignore_ascii_case(name));
    changing.then(|| format!("the function {name}: a replay would get another value; take it from the event"))
}

fn always(action: &AuthAction<'_>) -> Option<String> {
    Some(match action {
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => {
            "beginning or ending a transaction: it is the store's, and ends with the checkpoint".to_owned()
        }
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => "another database".to_owned(),
        AuthAction::Pragma { pragma_name, .. } => format!("PRAGMA {pragma_name}: the connection is the store's"),
        _ => "changing what the file consists of: tables and indexes are made in SCHEMA".to_owned(),
    })
}
