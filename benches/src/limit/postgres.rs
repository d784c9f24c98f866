//! What Postgres does without us, through the same driver.

pub(super) mod read;
mod tables;
mod write;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};

use crate::Result;
use crate::child::runtime;
use crate::work::{Size, Work};

pub(crate) use tables::prepare;

pub(super) fn measure(work: Work, bare: bool, url: &str, size: Size) -> Result<f64> {
    runtime()?.block_on(async {
        match work {
            Work::Execute { tasks: 1, .. } | Work::Append | Work::Import | Work::Commits => {
                write::commits(url, 1, bare, size).await
            }
            Work::Execute { .. } | Work::Processes { .. } => write::commits(url, 32, bare, size).await,
            Work::Hot { tasks } => write::commits(url, tasks, bare, size).await,
            Work::Batches { events } => write::batches(url, events, bare, size).await,
            Work::Load { .. } => read::load(url, bare, size).await,
            Work::ReadAll | Work::Subscribe => read::scan(url, bare, size.log(), size).await,
            Work::Replay { events, .. } => read::scan(url, bare, size.events(events), size).await,
            Work::GetAt => read::lookups(url, bare, size).await,
        }
    })
}

/// A connection, with the settings of ours.
async fn connect(url: &str) -> Result<PgConnection> {
    let options: PgConnectOptions = url.parse()?;
    Ok(options.options([("synchronous_commit", "on")]).disable_statement_logging().connect().await?)
}
