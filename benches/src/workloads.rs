//! The workloads that there are.

mod import;
mod replay;

use crate::Result;
use crate::workload::Workload;

/// All of them, in the order in which they are shown.
pub(crate) fn all() -> Vec<Box<dyn Workload>> {
    vec![Box::new(import::Import), Box::new(replay::SMALL), Box::new(replay::LARGE)]
}

/// The one with this name.
pub(crate) fn find(name: &str) -> Result<Box<dyn Workload>> {
    let all = all();
    let names: Vec<_> = all.iter().map(|workload| workload.name()).collect();
    let unknown = format!("there is no workload `{name}`; there are: {}", names.join(", "));
    all.into_iter().find(|workload| workload.name() == name).ok_or_else(|| unknown.into())
}
