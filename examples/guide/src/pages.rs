//! One module for each page.

#[doc = include_str!("../../../docs/events-and-upcasting.md")]
mod events_and_upcasting {}

#[doc = include_str!("../../../docs/commands.md")]
mod commands {}

#[doc = include_str!("../../../docs/idempotency-keys.md")]
mod idempotency_keys {}

#[doc = include_str!("../../../README.md")]
mod readme {}

#[doc = include_str!("../../../docs/getting-started.md")]
mod getting_started {}

#[doc = include_str!("../../../docs/read-models-and-replay.md")]
mod read_models_and_replay {}

#[doc = include_str!("../../../docs/sql-projections.md")]
mod sql_projections {}

#[doc = include_str!("../../../docs/time-travel.md")]
mod time_travel {}

#[doc = include_str!("../../../docs/writing-a-store.md")]
mod writing_a_store {}

#[doc = include_str!("../../../docs/backup.md")]
mod backup {}
