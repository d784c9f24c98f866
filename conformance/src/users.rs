//! What stands on the ports of a store: subscriptions and repositories.

mod account;
pub(crate) mod decide_across;
mod forgetful;
pub(crate) mod lanes;
pub(crate) mod repository;
pub(crate) mod subscriptions;
