//! A shop's orders, projected into two tables that SQL can join, sum and sort.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod orders;
mod revenue;

pub use orders::{OrderEvent, record};
pub use revenue::{Revenue, Top, top};
