//! A base backup of a server, and going back to it.

use std::path::PathBuf;

use crate::{Server, ServerError};

/// The files of a server of ours as they were at one moment; removed with that server.
#[derive(Debug)]
pub struct Backup {
    folder: PathBuf,
}

impl Server {
    /// Takes a base backup while it runs.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], or [`ServerError::Failed`] if it does not run.
    pub fn back_up(&self) -> Result<Backup, ServerError> {
        let cluster = self.cluster("back up")?;
        let folder = cluster.home().join(format!("backup-{:016x}", fastrand::u64(..)));
        cluster.back_up(&folder)?;
        Ok(Backup { folder })
    }

    /// Goes back to a backup of this server, under the same URL: what came since is gone, as after a disaster. The server
    /// must have been stopped, and is started.
    ///
    /// # Errors
    /// [`ServerError::NotOurs`], and others if the files cannot be exchanged or the server does not start.
    pub fn restore(&self, backup: Backup) -> Result<(), ServerError> {
        let cluster = self.cluster("restore")?;
        cluster.replace_data(&backup.folder)?;
        cluster.start()
    }
}
