//! What stands on the ports of a store: subscriptions and repositories.

mod account;
mod forgetful;
pub(crate) mod repository;
pub(crate) mod subscriptions;
