//! What a run leaves on a server that is not ours, and who removes it.
//!
//! Every database of a run carries the run's name, and so does a connection that is open for as long as the run lasts.
//! A process beside the run drops its databases when the run is over, if there is a `psql` for it; and each run begins
//! with dropping those of runs that are no longer connected.

use std::path::PathBuf;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::runtime::{Builder, Runtime};

use crate::watchdog::{Sentinel, beside};
use crate::{Binaries, Server, ServerError, binaries};

/// Databases of ours whose run is over. Whoever may not drop a database is not its owner. A run's name has 28 letters.
const LEFT_BEHIND: &str = "\
    SELECT datname FROM pg_database \
    WHERE datname ~ '^factum_test_[0-9a-f]{16}_[0-9]+$' AND pg_get_userbyid(datdba) = current_user \
    AND left(datname, 28) NOT IN (SELECT application_name FROM pg_stat_activity WHERE application_name IS NOT NULL)";

/// A run that is connected to a server of somebody else.
#[derive(Debug)]
pub(crate) struct Guest {
    /// Shows others that the run lasts. It needs its runtime only to be dropped.
    _present: (PgConnection, Runtime),
    _janitor: Option<Sentinel>,
}

impl Guest {
    /// Announces the run, and removes what others left behind.
    pub(crate) fn arrive(server: &Server) -> Result<Self, ServerError> {
        let run = server.inner.databases.run();
        let options: PgConnectOptions = server.admin_url().parse().map_err(ServerError::sql("reading the URL"))?;
        let options = options.application_name(&run);
        // A thread, since a test that asks for the server has a runtime already, which cannot be waited for from within.
        let arrived = std::thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(ServerError::io("starting", "a runtime"))?;
            let connection = runtime.block_on(connect_and_tidy(&options))?;
            Ok((connection, runtime))
        });
        let present = match arrived.join() {
            Ok(present) => present?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok(Self { _present: present, _janitor: janitor(&run)? })
    }
}

async fn connect_and_tidy(options: &PgConnectOptions) -> Result<PgConnection, ServerError> {
    let mut connection = options.connect().await.map_err(ServerError::sql("connecting"))?;
    let asked = sqlx::query_scalar(LEFT_BEHIND).fetch_all(&mut connection).await;
    let left: Vec<String> = asked.map_err(ServerError::sql("looking for databases that were left behind"))?;
    for database in left {
        // The pattern lets only names through that need no quotes. Another run may be tidying up as well.
        let statement = format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)");
        if let Err(error) = connection.execute(AssertSqlSafe(statement)).await {
            eprintln!("the database {database}, left behind by an earlier run, cannot be dropped: {error}");
        }
    }
    connection.ping().await.map_err(ServerError::sql("connecting"))?;
    Ok(connection)
}

/// The process that tidies up after us, where there is a `psql` for it.
fn janitor(run: &str) -> Result<Option<Sentinel>, ServerError> {
    let installed = Binaries::find().map(|binaries| binaries.folder().to_path_buf()).into_iter();
    let folders = installed.chain(binaries::path_folders());
    let Some(psql) = folders.map(|folder| folder.join("psql")).find(|psql| psql.is_file()) else {
        return Ok(None);
    };
    let arguments = [psql, PathBuf::from(format!("{run}_"))];
    beside(include_str!("janitor.sh"), &arguments, None).map(Some)
}
