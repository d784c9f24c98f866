//! What limits the library: the same work without it.

mod decode;
mod disk;
mod memory;
mod postgres;
mod sqlite;

pub(crate) use disk::disk;

use crate::Result;
use crate::place::{Place, ours};
use crate::work::{Size, Work, Workload};

/// Measures the limit of a workload; on a table without anything that is not needed for it, if `bare`.
pub(crate) fn measure(workload: &Workload, bare: bool, place: &Place, size: Size) -> Result<f64> {
    match place {
        Place::Memory => memory::measure(workload.work, bare, size),
        Place::Sqlite(folder) => sqlite::measure(workload.work, bare, folder, size),
        Place::Postgres { url, .. } => postgres::measure(workload.work, bare, url, size),
    }
}

/// Makes, beside what ours prepared, the bare tables that limits read.
pub(crate) fn prepare(work: Work, place: &Place) -> Result<()> {
    match place {
        Place::Memory => Ok(()),
        Place::Sqlite(folder) => sqlite::read::prepare(work, &ours(folder), folder),
        Place::Postgres { url, .. } => postgres::prepare(work, url),
    }
}

/// A limit that there is none of: a workload that is measured otherwise.
fn none(work: Work) -> Box<dyn std::error::Error + Send + Sync> {
    format!("{work:?} has no limit of this store's own").into()
}
