//! A pooler between clients and a server, as many installations have one.

use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::{Server, ServerError, binaries, skip};

/// Distributions put it where only an administrator's `PATH` leads.
const ELSEWHERE: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/// How long it may take until it takes connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bouncers share the folder of the server, each with a port of its own.
static NEXT_PORT: AtomicU16 = AtomicU16::new(6432);

/// A pgbouncer in transaction mode: each transaction may run on another connection to the server, and nothing that
/// belongs to a session, such as LISTEN, a session's advisory lock or a SET, lasts beyond it. It ends when it is
/// dropped, or with its server.
#[derive(Debug)]
pub struct Bouncer {
    server: Server,
    port: u16,
    process: Child,
}

impl Bouncer {
    /// Where the program is.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`], which names the remedy.
    pub fn find() -> Result<PathBuf, ServerError> {
        let mut searched = binaries::path_folders();
        searched.extend(ELSEWHERE.map(PathBuf::from));
        let found = searched.iter().map(|folder| folder.join("pgbouncer")).find(|program| program.is_file());
        found.ok_or(ServerError::NotInstalled { program: "pgbouncer", searched })
    }

    /// For a test: `None`, said on standard error, where pgbouncer is not installed or the server is not ours.
    ///
    /// # Panics
    /// If it is missing and `FACTUM_TEST_POSTGRES` is `required`, or does not start.
    #[must_use]
    #[track_caller]
    pub fn for_test(server: &Server) -> Option<Self> {
        skip::unless_missing(Self::in_front_of(server), skip::is_demanded_of_our_own())
    }

    /// Starts one that passes every database on, with at most 20 connections to each.
    ///
    /// # Errors
    /// [`ServerError::NotInstalled`], [`ServerError::NotOurs`] for a server that was not started here, and others if it
    /// does not start.
    pub fn in_front_of(server: &Server) -> Result<Self, ServerError> {
        let program = Self::find()?;
        let cluster = server.cluster("put a pgbouncer in front of")?;
        let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        let file = |ending: &str| cluster.home().join(format!("pgbouncer-{port}.{ending}"));
        let configuration = file("ini");
        let text = configured(cluster.home(), port, &file("log"), &file("pid"));
        std::fs::write(&configuration, text).map_err(ServerError::io("writing", &configuration))?;
        let mut command = cluster.as_account(&program);
        command.arg("-q").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().map_err(ServerError::io("starting", &program))?;
        let mut bouncer = Self { server: server.clone(), port, process };
        bouncer.wait_until_it_listens(&program, &cluster.home().join(format!(".s.PGSQL.{port}")), &file("log"))?;
        Ok(bouncer)
    }

    /// How to reach a database through it.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.server.url(database).replacen(":5432/", &format!(":{}/", self.port), 1)
    }

    /// It cannot say when it is ready, so it is asked again and again.
    fn wait_until_it_listens(&mut self, program: &Path, socket: &Path, log: &Path) -> Result<(), ServerError> {
        let began = Instant::now();
        loop {
            let error = match UnixStream::connect(socket) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(status) = self.process.try_wait().map_err(ServerError::io("waiting for", program))? {
                let output = std::fs::read_to_string(log).unwrap_or_default();
                return Err(ServerError::Failed { program: program.to_path_buf(), status, output });
            }
            if began.elapsed() > PATIENCE {
                return Err(ServerError::io("connecting to", socket)(error));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        // Neither fails for a child that was never waited for. Its files go with the folder of the server.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configured(home: &Path, port: u16, log: &Path, pid: &Path) -> String {
    let [home, log, pid] = [home, log, pid].map(|path| path.display().to_string());
    format!(
        "[databases]\n* = host={home} port=5432 user=postgres\n\n[pgbouncer]\nlisten_addr =\nlisten_port = {port}\n\
         unix_socket_dir = {home}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 20\n\
         max_client_conn = 1000\nignore_startup_parameters = extra_float_digits\nlogfile = {log}\npidfile = {pid}\n"
    )
}
