//! Whom a server runs as: Postgres refuses to run as root.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::ServerError;

/// Best first.
const NAMES: [&str; 2] = ["postgres", "nobody"];

/// Somebody without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// Somebody else, if we are root; `None` if a server may run as ourselves. Who we are shows in what we made.
    pub(crate) fn unless_unprivileged(ours: &Path) -> Result<Option<Self>, ServerError> {
        let owner = std::fs::metadata(ours).map_err(ServerError::io("asking for the owner of", ours))?.uid();
        if owner != 0 {
            return Ok(None);
        }
        let passwd = "/etc/passwd";
        let accounts = std::fs::read_to_string(passwd).map_err(ServerError::io("reading", passwd))?;
        Self::among(&accounts).map(Some).ok_or(ServerError::NoAccount)
    }

    /// From the text of `/etc/passwd`.
    fn among(accounts: &str) -> Option<Self> {
        NAMES.iter().find_map(|name| accounts.lines().find_map(|line| Self::called(name, line)))
    }

    fn called(name: &str, line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (uid != 0).then_some(Self { uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: &str = "nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin";

    #[test]
    fn the_account_of_postgres_comes_before_nobody_whatever_the_order() {
        let both = format!("root:x:0:0::/root:/bin/sh\n{NOBODY}\npostgres:x:101:104::/:/bin/sh");
        assert_eq!(Account::among(&both), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(Account::among(NOBODY), Some(Account { uid: 65534, gid: 65533 }));
    }

    #[test]
    fn root_under_another_name_is_nobody_to_run_as() {
        assert_eq!(Account::among("postgres:x:0:0::/:/bin/sh\npostgresql:x:7:7::/:/bin/sh\nbroken"), None);
    }
}
