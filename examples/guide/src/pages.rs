//! One module for each page.

#[doc = include_str!("../../../docs/events-and-upcasting.md")]
mod events_and_upcasting {}

#[doc = include_str!("../../../docs/idempotency-keys.md")]
mod idempotency_keys {}
