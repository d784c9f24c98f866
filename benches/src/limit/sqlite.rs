//! What SQLite does without us.

pub(super) mod read;
mod write;

use std::path::Path;

use crate::Result;
use crate::place::ours;
use crate::work::{Size, Work};

pub(super) fn measure(work: Work, bare: bool, folder: &Path, size: Size) -> Result<f64> {
    let file = ours(folder);
    match work {
        Work::Execute { .. } | Work::Hot { .. } | Work::Processes { .. } => write::commits(folder, 1, bare, size),
        Work::Append | Work::Import | Work::Commits => write::commits(folder, 1, bare, size),
        Work::Batches { events } => write::commits(folder, events, bare, size),
        Work::Load { .. } => read::load(&file, bare, size),
        Work::ReadAll | Work::Subscribe => read::scan(&file, bare, size.log(), size),
        Work::Replay { events, .. } => read::scan(&file, bare, size.events(events), size),
        Work::GetAt => read::lookups(&file, bare, size),
    }
}
