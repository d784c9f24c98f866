//! Processes beside this one that do something when it ends, however it ends.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::ServerError;
use crate::account::Account;

/// A process whose standard input only we hold the other end of: when we are gone, be it by SIGKILL, it reads the end
/// of its input, and does what it is there for.
#[derive(Debug)]
pub(crate) struct Sentinel {
    process: Child,
}

impl Drop for Sentinel {
    /// Returns when it has done its work.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It cannot fail for a child that was never waited for; and if it did, nothing could be done here.
        let _ = self.process.wait();
    }
}

/// Watches over the server in `home` with its data in `data`, as the account that owns both: stops the server and
/// removes the folders. It is there before the server, so that no moment is unwatched.
pub(crate) fn watch(home: &Path, data: &Path, account: Option<Account>) -> Result<Sentinel, ServerError> {
    beside(include_str!("watchdog.sh"), &[home.to_path_buf(), data.to_path_buf()], account)
}

/// Starts a script that waits for our end.
pub(crate) fn beside(script: &str, arguments: &[PathBuf], account: Option<Account>) -> Result<Sentinel, ServerError> {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg("factum-watchdog").args(arguments).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // A group of its own: an interrupt from the terminal, or a kill of the whole group, does not reach it.
    command.process_group(0);
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    let process = command.spawn().map_err(ServerError::io("starting", "/bin/sh"))?;
    Ok(Sentinel { process })
}
