//! The README and the guide pages as code: every example in them is compiled and run as a documentation test, so that
//! what a new user copies works.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::await_holding_lock))]

#[cfg(doctest)]
mod pages;
