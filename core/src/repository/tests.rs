//! Tests of the command path on a store that can be slow, fail, and count.

mod account;
mod cache;
mod lanes;
mod leaving;
mod schedule;
mod shelf;
