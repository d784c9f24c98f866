//! A server of our own: its folder, and Postgres' programs called on it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::account::Account;
use crate::folder::Home;
use crate::watchdog::{Sentinel, watch};
use crate::{Binaries, ServerError, ServerOptions};

/// Who owns everything in a server of ours; it is nobody's name outside of it.
pub(crate) const SUPERUSER: &str = "postgres";

/// How many bytes of a server's log are shown when it does not start.
const LOG_SHOWN: usize = 2_000;

#[derive(Debug)]
pub(crate) struct Cluster {
    binaries: Binaries,
    account: Option<Account>,
    home: PathBuf,
    data: PathBuf,
    _watchdog: Sentinel,
}

impl Cluster {
    /// Folders and a watchdog, and nothing in them yet.
    pub(crate) fn prepare(options: &ServerOptions) -> Result<Self, ServerError> {
        let binaries = Binaries::find()?;
        let home = Home::make()?;
        let data = match options.folder_for_data() {
            Some(base) => home.data_below(base)?,
            None => home.path().join("data"),
        };
        let watchdog = watch(home.path(), &data, home.account)?;
        Ok(Self { binaries, account: home.account, home: home.keep(), data, _watchdog: watchdog })
    }

    /// The files of a new server.
    pub(crate) fn initialise(&self, options: &ServerOptions) -> Result<(), ServerError> {
        let mut initdb = self.command("initdb");
        initdb.args(["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=trust"]);
        initdb.arg(format!("--username={SUPERUSER}")).arg("--pgdata").arg(&self.data);
        self.run(initdb)?;
        self.configure(options)
    }

    /// The files of a server that follows another one.
    pub(crate) fn copy(&self, primary: &Self, options: &ServerOptions) -> Result<(), ServerError> {
        let mut backup = self.command("pg_basebackup");
        backup.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--pgdata"]);
        backup.arg(&self.data).arg("--host").arg(&primary.home).args(["--port=5432", "--username", SUPERUSER]);
        self.run(backup)?;
        self.configure(options)
    }

    /// The files of this server as they are now.
    pub(crate) fn back_up(&self, folder: &Path) -> Result<(), ServerError> {
        let mut backup = self.command("pg_basebackup");
        backup.args(["--no-sync", "--checkpoint=fast", "--wal-method=stream", "--pgdata"]).arg(folder);
        backup.arg("--host").arg(&self.home).args(["--port=5432", "--username", SUPERUSER]);
        self.run(backup)
    }

    /// Puts these files in the place of those that it has.
    pub(crate) fn replace_data(&self, folder: &Path) -> Result<(), ServerError> {
        std::fs::remove_dir_all(&self.data).map_err(ServerError::io("removing", &self.data))?;
        std::fs::rename(folder, &self.data).map_err(ServerError::io("moving", folder))
    }

    fn configure(&self, options: &ServerOptions) -> Result<(), ServerError> {
        let path = self.data.join("postgresql.conf");
        let mut text = std::fs::read_to_string(&path).map_err(ServerError::io("reading", &path))?;
        text.push('\n');
        text.push_str(&options.lines(&self.home));
        std::fs::write(&path, text).map_err(ServerError::io("writing", &path))
    }

    /// Returns when the server takes connections.
    pub(crate) fn start(&self) -> Result<(), ServerError> {
        let mut start = self.pg_ctl("start");
        start.args(["-t", "120", "-l"]).arg(self.log());
        self.run(start)
    }

    /// Returns when the server is gone.
    pub(crate) fn stop(&self, mode: &str) -> Result<(), ServerError> {
        let mut stop = self.pg_ctl("stop");
        stop.args(["-t", "120", "-m", mode]);
        self.run(stop)
    }

    /// How to reach a database of it; everything but the plainest characters of the folder is escaped.
    pub(crate) fn url(&self, database: &str) -> String {
        use std::os::unix::ffi::OsStrExt;
        let mut host = String::new();
        for byte in self.home.as_os_str().as_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => host.push(char::from(*byte)),
                other => host.push_str(&format!("%{other:02X}")),
            }
        }
        format!("postgres://{SUPERUSER}@{host}:5432/{database}")
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    fn pg_ctl(&self, what: &str) -> Command {
        let mut command = self.command("pg_ctl");
        command.arg(what).arg("-D").arg(&self.data).args(["-s", "-w"]);
        command
    }

    /// A program of Postgres, run as the account of the server, knowing nothing of the caller's own Postgres.
    fn command(&self, program: &str) -> Command {
        self.as_account(self.binaries.program(program))
    }

    pub(crate) fn as_account(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C").env("HOME", &self.home).current_dir(&self.home).stdin(Stdio::null());
        if let Some(account) = self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    pub(crate) fn run(&self, mut command: Command) -> Result<(), ServerError> {
        let program = PathBuf::from(command.get_program());
        let output = command.output().map_err(ServerError::io("starting", &program))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).trim().to_owned());
        let output_and_log = format!("{}\n{}", said.join("\n"), self.end_of_log());
        Err(ServerError::Failed { program, status: output.status, output: output_and_log.trim().to_owned() })
    }

    fn end_of_log(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]).trim().to_owned()
    }
}
