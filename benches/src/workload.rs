//! What a workload is.

use std::path::Path;

use crate::Result;

/// Something that users do often enough to ask how fast it is.
///
/// A new one implements this and is named in [`crate::workloads::all`].
pub(crate) trait Workload {
    /// What it is called, on the command line and in results.
    fn name(&self) -> &'static str;

    /// On which store it runs.
    fn store(&self) -> &'static str;

    /// What it measures, a rate.
    fn unit(&self) -> &'static str;

    /// What limits it: what the other side does.
    fn limit_name(&self) -> &'static str;

    /// The fraction of the limit that it shall reach, where one is set.
    fn goal(&self) -> Option<f64>;

    /// How many of what it counts, for figures that are quoted.
    fn size(&self) -> usize;

    /// Makes what all its measurements share, once, in a process of its own.
    fn prepare(&self, folder: &Path, size: usize) -> Result<()>;

    /// Measures one side: how many a second.
    fn measure(&self, side: Side, folder: &Path, size: usize) -> Result<f64>;
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The library.
    Ours,
    /// The same work with the same driver, columns and indexes, without the library.
    Limit,
    /// The limit on a table without anything that is not needed for it.
    Bare,
}

impl Side {
    /// In the order in which they take turns: the limit may use what ours wrote.
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Limit, Self::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Limit => "limit",
            Self::Bare => "bare",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }
}
