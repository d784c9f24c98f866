//! The URL of a server that somebody else runs.

use crate::ServerError;

/// Names a server to use instead of starting one: `postgres://role@host/database`, a role that may create databases,
/// and no pooler in between.
const VARIABLE: &str = "FACTUM_TEST_POSTGRES_URL";

/// Whether the environment names a server. Where services are set up by templates, one that is not there is an empty
/// word.
pub(crate) fn is_named() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| !value.is_empty())
}

/// A URL that names a server and a database on it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    text: String,
    /// Where the name of the database lies in it, with the slash before it.
    database: std::ops::Range<usize>,
}

impl ServerUrl {
    /// The server that the environment names.
    pub(crate) fn from_environment() -> Result<Option<Self>, ServerError> {
        if !is_named() {
            return Ok(None);
        }
        let text = std::env::var(VARIABLE).map_err(|_| ServerError::Url { what: "it is not UTF-8" })?;
        Self::parse(&text).map(Some)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ServerError> {
        let wrong = |what| ServerError::Url { what };
        let scheme = ["postgres://", "postgresql://"].into_iter().find(|scheme| text.starts_with(scheme));
        let start = scheme.ok_or(wrong("it does not begin with postgres://"))?.len();
        let end = text[start..].find('?').map_or(text.len(), |at| start + at);
        if text[end..].contains("dbname=") {
            return Err(wrong("it names its database in a parameter; name it after the host, as in /postgres"));
        }
        let slash = text[start..end].find('/').map_or(end, |at| start + at);
        Ok(Self { text: text.to_owned(), database: slash..end })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The same server, another database.
    pub(crate) fn with_database(&self, name: &str) -> String {
        let mut text = self.text.clone();
        text.replace_range(self.database.clone(), &format!("/{name}"));
        text
    }
}

/// Without what may hold a password.
impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_keeps_everything_else() {
        for (given, expected) in [
            ("postgres://me:pw@host:5433/postgres?sslmode=require", "postgres://me:pw@host:5433/d?sslmode=require"),
            ("postgresql://me@%2Ftmp%2Fpg/x", "postgresql://me@%2Ftmp%2Fpg/d"),
            ("postgres://host", "postgres://host/d"),
            ("postgres:///?host=/tmp/pg", "postgres:///d?host=/tmp/pg"),
        ] {
            assert_eq!(ServerUrl::parse(given).unwrap().with_database("d"), expected);
        }
    }

    #[test]
    fn what_is_no_url_of_postgres_is_refused_without_showing_it() {
        for wrong in ["host=/tmp password=secret", "mysql://me:secret@host", "postgres://secret@h/?dbname=secret"] {
            let error = ServerUrl::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("FACTUM_TEST_POSTGRES_URL") && !error.contains("secret"), "{error}");
        }
    }
}
