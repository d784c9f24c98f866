//! The signal that something may have been appended.

use tokio::sync::watch;

use crate::fault::Fault;

/// What a store holds to wake its readers.
///
/// ```
/// # futures_util::future::FutureExt::now_or_never(async {
/// let bell = factum::Bell::new();
/// let mut wakeups = bell.wakeups();
/// bell.ring();
/// wakeups.changed().await.unwrap();
/// drop(bell);
/// assert!(wakeups.changed().await.is_err());
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct Bell(watch::Sender<u64>);

impl Bell {
    /// A bell that nobody listens to yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// Wakes everybody who waits. Rings that nobody has heard yet are heard once.
    pub fn ring(&self) {
        // Whoever begins to listen now hears what is rung from now on.
        if self.0.receiver_count() > 0 {
            self.0.send_modify(|rings| *rings = rings.wrapping_add(1));
        }
    }

    /// A listener that hears what is rung from now on.
    pub fn wakeups(&self) -> Wakeups {
        Wakeups(self.0.subscribe())
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

/// A reader's end of a store's signal.
#[derive(Clone, Debug)]
pub struct Wakeups(watch::Receiver<u64>);

impl Wakeups {
    /// Waits until something may have been appended since the last call. Cancelling it loses no signal.
    ///
    /// # Errors
    /// A [`Fault`] of kind `Closed` once the store has ended.
    pub async fn changed(&mut self) -> Result<(), Fault> {
        self.0.changed().await.map_err(|_| Fault::closed("the store has ended"))
    }
}
