//! Where a bank's data is, and what may be shown of that: never a password.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::{ContextKind, ContextValue};

/// Where a bank's data is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreUrl {
    Memory,
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

/// As it was written. It may hold a password, so it shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PostgresUrl(String);

impl PostgresUrl {
    /// For whoever connects.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresUrl(not shown)")
    }
}

impl Default for StoreUrl {
    fn default() -> Self {
        Self::Sqlite(PathBuf::from("bank.db"))
    }
}

impl FromStr for StoreUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("sqlite", file)) if !file.is_empty() => Ok(Self::Sqlite(PathBuf::from(file))),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(PostgresUrl(text.to_owned())))
            }
            _ => Err("a store is memory:, sqlite:FILE or postgres://USER@HOST/DATABASE".to_owned()),
        }
    }
}

/// What clap says of wrong usage, without what it quotes of a store: that may be a URL with a password in it which was
/// misspelled, or stands in a wrong place.
pub(crate) fn without_passwords(mut usage: clap::Error) -> clap::Error {
    let of_store = matches!(usage.get(ContextKind::InvalidArg), Some(ContextValue::String(arg)) if is_store(arg));
    let quoted = usage.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => {
            let is_store = of_store && kind == ContextKind::InvalidValue;
            conceal(text, is_store).map(|shown| (kind, ContextValue::String(shown)))
        }
        _ => None,
    });
    for (kind, shown) in quoted.collect::<Vec<_>>() {
        usage.insert(kind, shown);
    }
    usage
}

fn is_store(arg: &str) -> bool {
    ["--store", "--read-models"].iter().any(|option| arg.contains(option))
}

/// What may be shown of a text instead of it; `None` where all of it may.
fn conceal(text: &str, is_store: bool) -> Option<String> {
    let end = match text.find("://") {
        Some(scheme) => scheme + "://".len(),
        None if is_store => text.find([':', '@', '?']).map_or(text.len(), |end| end + 1),
        None => return None,
    };
    (end < text.len()).then(|| format!("{}...", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_scheme_and_place() {
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        assert_eq!("sqlite:/a/b:c.db".parse(), Ok(StoreUrl::Sqlite(PathBuf::from("/a/b:c.db"))));
        for url in ["postgres://teller@localhost/bank?host=/tmp", "postgresql://localhost/bank"] {
            assert_eq!(url.parse(), Ok(StoreUrl::Postgres(PostgresUrl(url.to_owned()))));
        }
        for text in ["", "memory", "memory:x", "sqlite:", "sqlite", "postgres:localhost", "bank.db"] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_url_shows_itself_nowhere() {
        let url: StoreUrl = "postgres://teller:secret@localhost/bank".parse().unwrap();
        assert_eq!(format!("{url:?}"), "Postgres(PostgresUrl(not shown))");
    }

    #[test]
    fn what_may_be_a_password_is_concealed_and_what_cannot_be_is_shown() {
        let shown = |text, is_store| conceal(text, is_store).unwrap_or_else(|| text.to_owned());
        assert_eq!(shown("postgers://teller:secret@localhost/bank", false), "postgers://...");
        assert_eq!(shown("postgres:/teller:secret@localhost", true), "postgres:...");
        assert_eq!(shown("secret@localhost", true), "secret@...", "that would be the user");
        assert_eq!(shown("bank.db", true), "bank.db");
        assert_eq!(shown("teller@example.org", false), "teller@example.org");
    }
}
