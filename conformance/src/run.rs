//! Running checks.

use std::fmt;
use std::future::Future;

use futures_util::future::BoxFuture;

use crate::Fixture;

/// One promise, and how to look whether a store keeps it.
#[derive(Clone, Copy)]
pub struct Check {
    suite: &'static str,
    name: &'static str,
    run: for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>,
}

impl Check {
    #[doc(hidden)]
    pub fn new(suite: &'static str, name: &'static str, run: for<'a> fn(&'a Fixture) -> BoxFuture<'a, ()>) -> Self {
        Self { suite, name, run }
    }

    /// Which part of the promises it belongs to.
    pub fn suite(&self) -> &'static str {
        self.suite
    }

    /// What holds if it passes.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Looks whether the empty store of `fixture` keeps the promise.
    ///
    /// # Panics
    /// If it does not, with a message that says what was expected and what was found.
    pub async fn run(&self, fixture: &Fixture) {
        (self.run)(fixture).await;
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.suite, self.name)
    }
}

/// Runs one check on a new store, on a runtime with several threads. What the tests of [`suite!`](crate::suite) do.
///
/// A factory that has nothing to run on here, such as a server that is not installed, says so and answers `None`; then
/// nothing is looked at.
///
/// # Panics
/// If the store does not keep the promise.
pub fn run<F, R>(check: Check, factory: F)
where
    F: FnOnce() -> R,
    R: Future<Output: Into<Option<Fixture>>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime to run {check:?} on: {error}"),
    };
    runtime.block_on(async {
        if let Some(fixture) = factory().await.into() {
            check.run(&fixture).await;
        }
    });
}
