//! What the library does.

mod commands;
mod import;
mod load;
mod processes;
mod read;

pub(crate) use processes::{processes, share};
pub(crate) use read::read_all;

use crate::Result;
use crate::place::Place;
use crate::prepare::prepared;
use crate::work::{Size, Work};

/// Measures one workload in this process.
pub(crate) async fn measure(work: Work, place: &Place, size: Size) -> Result<f64> {
    match work {
        Work::Execute { tasks, keyed } => commands::execute(&place.open().await?, tasks, keyed, place, size).await,
        Work::Hot { tasks } => commands::hot(&place.open().await?, tasks, place, size).await,
        Work::Append => commands::append(&place.open().await?, place, size).await,
        Work::Batches { events } => commands::batches(&place.open().await?, events, place, size).await,
        Work::Load { snapshot, .. } => load::load(&prepared(work, place, size).await?, snapshot, place, size).await,
        Work::ReadAll => read_all(place, size.log(), size).await,
        Work::Subscribe => read::subscribe(prepared(work, place, size).await?, size.log(), size).await,
        Work::Replay { events, .. } => {
            read::replay(prepared(work, place, size).await?, size.events(events), size).await
        }
        Work::GetAt => read::get_at(&prepared(work, place, size).await?, place, size).await,
        Work::Import => import::import(place, size).await,
        Work::Processes { .. } | Work::Commits => Err("this workload is none of one process of ours".into()),
    }
}
