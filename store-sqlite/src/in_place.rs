//! A caller who is alone commits by itself.
//!
//! Between a caller and the writing thread there are two changes of thread, which a group shares and a lone append does
//! not. So that it holds nobody up, an append is committed on the thread that polls it only where that is sure to be
//! short, and nobody is waited for.

use std::sync::atomic::Ordering;

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::job::Job;
use crate::pace::Place;
use crate::writer::Writer;

/// How many bytes are written on a caller's thread at most.
const BYTES: usize = 64 << 10;

impl Writer {
    /// Commits an append on this thread and answers it, or gives it back for the writing thread.
    pub(crate) fn try_in_place(&self, job: Box<dyn Job>) -> Result<(), Box<dyn Job>> {
        let under_way = &self.shared.under_way;
        if !self.in_place || job.size() > BYTES || under_way.load(Ordering::SeqCst) > 0 || !can_spare_a_thread() {
            return Err(job);
        }
        let Some(mut held) = self.shared.free_pen() else { return Err(job) };
        let Some(pen) = held.as_mut() else { return Err(job) };
        if !pen.pace.in_place() || pen.known.to_sweep || pen.set_for(Place::Caller).is_err() {
            return Err(job);
        }
        pen.commit_in_place(job, under_way)
    }
}

/// Whether the runtime, if there is one, has other threads that go on while this one waits for the disk.
fn can_spare_a_thread() -> bool {
    Handle::try_current().is_ok_and(|runtime| {
        runtime.runtime_flavor() == RuntimeFlavor::MultiThread && runtime.metrics().num_workers() >= 2
    })
}

#[cfg(test)]
mod tests;
