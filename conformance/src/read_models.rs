//! What the port to read models promises.

pub(crate) mod commits;
pub(crate) mod documents;
pub(crate) mod finding;
pub(crate) mod finding_model;
pub(crate) mod generations;
pub(crate) mod history;
pub(crate) mod kit;
pub(crate) mod leases;
pub(crate) mod retention;
pub(crate) mod retired;
pub(crate) mod values;
