//! What stands on the ports of a store: subscriptions and repositories.
