//! A thermometer: what is measured comes in as commands, and its mean is a read model.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

mod room;

pub use room::{Impossible, Mean, Room, RoomEvent, Warmth};
