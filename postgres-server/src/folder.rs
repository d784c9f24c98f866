//! Where a server lives: a folder that its account reaches, and whose path leaves room for a socket.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::ServerError;
use crate::account::Account;

/// A socket's path has at most 103 bytes on macOS and 107 on Linux; this is what Postgres adds to its folder.
const SOCKET: &str = "/.s.PGSQL.5432";
const LONGEST_SOCKET: usize = 103;

/// A folder of our own, and whom a server in it runs as. It is removed with this unless it is [kept](Self::keep).
pub(crate) struct Home {
    folder: TempDir,
    pub(crate) account: Option<Account>,
}

impl Home {
    /// For the socket, the log, and the data unless they are wanted elsewhere.
    pub(crate) fn make() -> Result<Self, ServerError> {
        Self::below([std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()].as_slice())
    }

    fn below(bases: &[PathBuf]) -> Result<Self, ServerError> {
        for base in bases {
            let Ok(folder) = private("factum-pg-", base) else { continue };
            let account = Account::unless_unprivileged(folder.path())?;
            if !has_room(folder.path()) || !is_reachable(base, account) {
                continue;
            }
            give(folder.path(), account)?;
            return Ok(Self { folder, account });
        }
        Err(ServerError::NoFolder { tried: bases.to_vec() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From now on somebody else removes it.
    pub(crate) fn keep(self) -> PathBuf {
        self.folder.keep()
    }

    /// A second folder, for data that must lie on a certain disk.
    pub(crate) fn data_below(&self, base: &Path) -> Result<PathBuf, ServerError> {
        std::fs::create_dir_all(base).map_err(ServerError::io("making", base))?;
        if !is_reachable(base, self.account) {
            return Err(ServerError::NoFolder { tried: vec![base.to_path_buf()] });
        }
        let folder = private("factum-pg-data-", base);
        let folder = folder.map_err(ServerError::io("making a folder in", base))?;
        give(folder.path(), self.account)?;
        Ok(folder.keep())
    }
}

/// Whoever gets to a socket in it is let in without a password, so nobody else does.
fn private(prefix: &str, base: &Path) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix(prefix).permissions(std::fs::Permissions::from_mode(0o700)).tempdir_in(base)
}

fn has_room(folder: &Path) -> bool {
    folder.as_os_str().as_bytes().len() + SOCKET.len() <= LONGEST_SOCKET
}

/// Whether somebody who owns a folder in `base` gets there: each folder on the way must let everybody through.
fn is_reachable(base: &Path, account: Option<Account>) -> bool {
    let lets_through = |folder: &Path| folder.metadata().is_ok_and(|it| it.permissions().mode() & 0o001 != 0);
    account.is_none() || base.canonicalize().is_ok_and(|base| base.ancestors().all(lets_through))
}

fn give(folder: &Path, account: Option<Account>) -> Result<(), ServerError> {
    let Some(account) = account else { return Ok(()) };
    chown(folder, Some(account.uid), Some(account.gid)).map_err(ServerError::io("giving away", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_room_for_a_socket_is_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let long = base.path().join("x".repeat(90));
        std::fs::create_dir(&long).unwrap();
        assert!(matches!(Home::below(std::slice::from_ref(&long)), Err(ServerError::NoFolder { .. })));
        let home = Home::below(&[long.clone(), "/tmp".into()]).unwrap();
        assert!(!home.path().starts_with(&long));
        assert_eq!(home.path().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_behind_a_closed_one_is_out_of_reach_for_somebody_else() {
        let base = private("factum-pg-", Path::new("/tmp")).unwrap();
        let inner = base.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let somebody = Some(Account { uid: 65534, gid: 65534 });
        assert!(!is_reachable(&inner, somebody));
        assert!(is_reachable(&inner, None));
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert!(is_reachable(&inner, somebody));
    }
}
