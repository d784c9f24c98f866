//! What ends a server when this process ends, however it ends.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::ServerError;
use crate::account::Account;

/// A process whose standard input only we hold the other end of: when we are gone, be it by SIGKILL, it reads the end
/// of its input, stops the server and removes the folders. It is there before the server, so that no moment is unwatched.
#[derive(Debug)]
pub(crate) struct Watchdog {
    process: Child,
}

impl Watchdog {
    /// Watches over the server in `home` with its data in `data`, as the account that owns both.
    pub(crate) fn start(home: &Path, data: &Path, account: Option<Account>) -> Result<Self, ServerError> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(include_str!("watchdog.sh")).arg("factum-watchdog").args([home, data]).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: an interrupt from the terminal, or a kill of the whole group, does not reach it.
        command.process_group(0);
        if let Some(account) = account {
            command.uid(account.uid).gid(account.gid);
        }
        let process = command.spawn().map_err(ServerError::io("starting", "/bin/sh"))?;
        Ok(Self { process })
    }
}

impl Drop for Watchdog {
    /// Returns when everything is gone.
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It cannot fail for a child that was never waited for; and if it did, nothing could be done here.
        let _ = self.process.wait();
    }
}
