//! Sleeping, without a runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A future that ends when a time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the library waits. Core spawns nothing and needs no runtime; tests put a fake here.
pub trait Timer: Send + Sync + fmt::Debug + 'static {
    /// A future that ends after `time`.
    fn sleep(&self, time: Duration) -> Sleep;
}

/// The default: works under any executor, and still does when a runtime is shutting down.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTimer;

impl Timer for SystemTimer {
    fn sleep(&self, time: Duration) -> Sleep {
        Box::pin(futures_timer::Delay::new(time))
    }
}

/// The default timer, shared.
pub fn system_timer() -> Arc<dyn Timer> {
    Arc::new(SystemTimer)
}
