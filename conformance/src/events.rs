//! What the port to events and snapshots promises.

pub(crate) mod append;
pub(crate) mod atomicity;
pub(crate) mod closing;
pub(crate) mod concurrency;
pub(crate) mod conditions;
pub(crate) mod content;
pub(crate) mod diagnosis;
pub(crate) mod keys;
pub(crate) mod limits;
pub(crate) mod logs;
pub(crate) mod logs_apart;
pub(crate) mod query_conditions;
pub(crate) mod reopening;
pub(crate) mod snapshots;
pub(crate) mod streams;
pub(crate) mod times;
pub(crate) mod wakeups;
