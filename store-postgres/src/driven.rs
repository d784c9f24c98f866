//! An append that its caller drives, until somebody else has to.
//!
//! Whoever asks for an append may go away, or do something else before it asks again how it goes: what `select!` and buffered
//! streams do with the futures that they hold. Others who wait for the connection meanwhile see to it that a task drives it.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use factum::AppendError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::commit::Done;
use crate::writer::ended;

type Appending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// An append on its way, and who drives it.
pub(crate) struct Lone {
    drive: Mutex<Drive>,
    /// Where a task is spawned by whoever is in no runtime.
    runtime: Handle,
}

enum Drive {
    /// Whoever asked for it, and how to wake it.
    Caller(Appending, Option<Waker>),
    /// A task, which tells the caller.
    Task(oneshot::Receiver<Done>),
    Ended,
}

impl fmt::Debug for Lone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lone").finish_non_exhaustive()
    }
}

impl Lone {
    pub(crate) fn new(appending: impl Future<Output = Done> + Send + 'static, runtime: Handle) -> Arc<Self> {
        Arc::new(Self { drive: Mutex::new(Drive::Caller(Box::pin(appending), None)), runtime })
    }

    fn drive(&self) -> MutexGuard<'_, Drive> {
        self.drive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a task drives it, if its caller did.
    pub(crate) fn hand_over(&self) {
        let mut drive = self.drive();
        if !matches!(*drive, Drive::Caller(..)) {
            return;
        }
        let (tell, told) = oneshot::channel();
        let Drive::Caller(appending, caller) = std::mem::replace(&mut *drive, Drive::Task(told)) else { return };
        drop(drive);
        self.spawn(async move {
            // A caller that has gone away does not undo what it asked for.
            let _ = tell.send(appending.await);
        });
        // What woke it so far wakes the task now.
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone()).spawn(task);
    }
}

/// The caller's end. If the caller goes away the append goes on by itself: it is not undone, and its connection is not lost.
/// Callers who give up soon would else leave as many processes of the server waiting for the order lock.
pub(crate) struct Driven(pub(crate) Arc<Lone>);

impl Future for Driven {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        let mut drive = self.0.drive();
        let done = match &mut *drive {
            Drive::Caller(appending, caller) => {
                if !caller.as_ref().is_some_and(|caller| caller.will_wake(context.waker())) {
                    *caller = Some(context.waker().clone());
                }
                std::task::ready!(appending.as_mut().poll(context))
            }
            Drive::Task(told) => {
                let told = std::task::ready!(Pin::new(told).poll(context));
                told.unwrap_or_else(|_| Err(AppendError::Unknown(ended())))
            }
            Drive::Ended => Err(AppendError::Unknown(ended())),
        };
        *drive = Drive::Ended;
        Poll::Ready(done)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may be what panicked.
            *self.0.drive() = Drive::Ended;
        } else {
            self.0.hand_over();
        }
    }
}
