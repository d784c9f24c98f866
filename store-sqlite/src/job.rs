//! What is to be written, and who is told how it went.

use std::sync::Arc;

use factum::{AppendError, CommitError, Fault, FaultKind, LeaseError, ReadModelError, SnapshotError, SwitchError};
use tokio::sync::oneshot;

use crate::inside::Inside;

/// Why work ended without its result.
pub(crate) enum Failed<E> {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The answer is no. Work that writes finds this out before it writes anything: nothing is undone for it.
    Answer(E),
}

impl<E> From<rusqlite::Error> for Failed<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// An error of a port by which a failed write is told.
pub(crate) trait WriteFailure: Sized + Send {
    /// Nothing was written.
    fn not_done(fault: Fault) -> Self;

    /// It may have been written.
    fn unknown(fault: Fault) -> Self {
        Self::not_done(fault)
    }
}

impl WriteFailure for AppendError {
    fn not_done(fault: Fault) -> Self {
        Self::NotDone(fault)
    }
    fn unknown(fault: Fault) -> Self {
        Self::Unknown(fault)
    }
}

impl WriteFailure for CommitError {
    fn not_done(fault: Fault) -> Self {
        fault.into()
    }
}

impl WriteFailure for ReadModelError {
    fn not_done(fault: Fault) -> Self {
        fault.into()
    }
}

impl WriteFailure for LeaseError {
    fn not_done(fault: Fault) -> Self {
        fault.into()
    }
}

impl WriteFailure for SwitchError {
    fn not_done(fault: Fault) -> Self {
        fault.into()
    }
}

impl WriteFailure for SnapshotError {
    fn not_done(fault: Fault) -> Self {
        fault.into()
    }
}

/// Why a transaction failed, for each of those who were in it.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: FaultKind,
    pub(crate) what: String,
    pub(crate) source: Arc<rusqlite::Error>,
    /// Whether the transaction may have been committed all the same.
    pub(crate) unknown: bool,
}

impl Trouble {
    fn fault(&self) -> Fault {
        Fault::caused(self.kind, self.what.clone(), Arc::clone(&self.source))
    }
}

/// Something that is done within the writer's transaction, perhaps together with others.
pub(crate) trait Job: Send {
    /// About how many bytes it writes.
    fn size(&self) -> usize;

    /// Does it within the open transaction and keeps the answer. Runs again if that transaction fails.
    fn run(&mut self, inside: &mut Inside<'_>) -> rusqlite::Result<()>;

    /// Gives the answer, once the transaction is committed.
    fn committed(self: Box<Self>);

    /// Says that it did not happen, or may not have.
    fn failed(self: Box<Self>, trouble: &Trouble);
}

/// A job made of a closure and the channel on which its caller waits.
pub(crate) struct Task<T, E: WriteFailure, F> {
    /// Gone before the caller is told: it holds what is written, and its caller makes what comes next.
    work: Option<F>,
    size: usize,
    started: bool,
    answer: Option<Result<T, E>>,
    reply: Option<oneshot::Sender<Result<T, E>>>,
}

impl<T, E, F> Task<T, E, F>
where
    E: WriteFailure,
    F: FnMut(&mut Inside<'_>) -> Result<T, Failed<E>>,
{
    pub(crate) fn new(size: usize, work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        (Self { work: Some(work), size, started: false, answer: None, reply: Some(reply) }, answer)
    }
}

impl<T, E: WriteFailure, F> Task<T, E, F> {
    fn reply(&mut self, answer: Result<T, E>) {
        if let Some(reply) = self.reply.take() {
            // A caller that has gone away does not undo what it asked for.
            let _ = reply.send(answer);
        }
    }
}

impl<T, E, F> Job for Task<T, E, F>
where
    T: Send,
    E: WriteFailure,
    F: FnMut(&mut Inside<'_>) -> Result<T, Failed<E>> + Send,
{
    fn size(&self) -> usize {
        self.size
    }

    fn run(&mut self, inside: &mut Inside<'_>) -> rusqlite::Result<()> {
        self.started = true;
        self.answer = None;
        let Some(work) = &mut self.work else { return Ok(()) };
        self.answer = match work(inside) {
            Ok(done) => Some(Ok(done)),
            Err(Failed::Answer(refused)) => Some(Err(refused)),
            Err(Failed::Sqlite(error)) => return Err(error),
        };
        Ok(())
    }

    fn committed(mut self: Box<Self>) {
        self.work = None;
        if let Some(answer) = self.answer.take() {
            self.reply(answer);
        }
    }

    fn failed(mut self: Box<Self>, trouble: &Trouble) {
        let answer = if trouble.unknown { E::unknown(trouble.fault()) } else { E::not_done(trouble.fault()) };
        self.reply(Err(answer));
    }
}

/// A job that is dropped unanswered was in the queue, or in the transaction, of a thread that ended; or it panicked.
impl<T, E: WriteFailure, F> Drop for Task<T, E, F> {
    fn drop(&mut self) {
        let closed = Fault::closed("the store was closed, or what wrote to it has panicked");
        let answer = if self.started { E::unknown(closed) } else { E::not_done(closed) };
        self.reply(Err(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use factum::AppendError;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::*;

    type Answer = oneshot::Receiver<Result<(), AppendError>>;

    /// Looks, as it is dropped, whether the answer has come.
    struct Content {
        answer: Arc<Mutex<Option<Answer>>>,
        came: Arc<Mutex<Option<bool>>>,
    }

    impl Drop for Content {
        fn drop(&mut self) {
            let answer = self.answer.lock().unwrap().as_mut().map(Answer::try_recv);
            *self.came.lock().unwrap() = answer.map(|answer| !matches!(answer, Err(TryRecvError::Empty)));
        }
    }

    /// Whoever was answered made its next commit while the last one was still held: a replay held three at times, not two,
    /// and the more often the longer it ran.
    #[test]
    fn what_was_written_is_given_back_before_the_caller_is_told() {
        let (answer, came) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(None)));
        let content = Content { answer: Arc::clone(&answer), came: Arc::clone(&came) };
        let (mut task, receiver) = Task::new(0, move |_: &mut Inside<'_>| {
            let _held = &content;
            Ok(())
        });
        *answer.lock().unwrap() = Some(receiver);
        task.answer = Some(Ok(()));
        Box::new(task).committed();
        assert_eq!(*came.lock().unwrap(), Some(false), "the answer came first");
        assert!(matches!(answer.lock().unwrap().take().unwrap().try_recv(), Ok(Ok(()))));
    }
}
