//! Who does a piece of work, as status tells it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::lease::Standing;

/// Who holds the lease of a piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Owner {
    /// Who it is: a host, a process and something random.
    pub holder: String,
    /// Since when, by the clock of the store.
    pub since: DateTime<Utc>,
    /// How often it has taken and renewed the lease: where this stands still, it does nothing.
    pub counter: u64,
    /// What it says beside.
    pub note: String,
}

impl Owner {
    pub(crate) fn of(Standing { lease, .. }: &Standing) -> Self {
        let (holder, note) = (lease.holder.to_string(), lease.note.clone());
        Self { holder, since: lease.since, counter: lease.counter, note }
    }
}
