//! The way to the file for all that write: the thread that takes everything that waits into one transaction, and has
//! each answered after its commit (`answers.rs`); or, for a caller who is alone, its own thread (`in_place.rs`).

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use factum::{AppendError, Bell, Fault, FaultKind};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::inside::Inside;
use crate::job::{Failed, Job, Task, WriteFailure};
use crate::options::SqliteOptions;
use crate::pace::{Pace, Place};
use crate::pen::Pen;

/// How many jobs one transaction takes at most.
const GROUP_JOBS: usize = 1_024;
/// After how many bytes a transaction takes no more jobs.
const GROUP_BYTES: usize = 4 << 20;
/// How long a group that was large the last time waits for its latecomers at most.
const GATHER: Duration = Duration::from_micros(100);

type Queue = mpsc::Sender<Box<dyn Job>>;
type Answer<T, E> = oneshot::Receiver<Result<T, E>>;

/// The way to the writing thread, and past it.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<Queue>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) in_place: bool,
    ended: watch::Receiver<()>,
    read_only: bool,
    file: Arc<Path>,
}

/// What the thread and the callers share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Gone once the thread has ended.
    pen: Mutex<Option<Pen>>,
    /// How many jobs were sent to the thread and are not done yet.
    pub(crate) under_way: AtomicUsize,
}

impl Shared {
    fn new(pen: Option<Pen>) -> Arc<Self> {
        Arc::new(Self { pen: Mutex::new(pen), under_way: AtomicUsize::new(0) })
    }

    /// Waits for whoever has the pen: only for the thread, which may wait.
    pub(crate) fn pen(&self) -> MutexGuard<'_, Option<Pen>> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pen, if nobody has it.
    pub(crate) fn free_pen(&self) -> Option<MutexGuard<'_, Option<Pen>>> {
        // A thread that ended with the pen in its hand left who knows what; it takes the pen away.
        self.pen.try_lock().ok()
    }
}

/// Dropped as the thread ends, however it ends.
struct End {
    shared: Arc<Shared>,
    /// Dropped after the connection: whoever closes waits for it.
    _ended: watch::Sender<()>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.pen().take();
    }
}

impl Writer {
    /// Starts the thread, with a connection that is ready to write.
    pub(crate) fn start(
        conn: Connection,
        file: Arc<Path>,
        bell: Arc<Bell>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        let shared = Shared::new(Some(Pen::new(conn, Arc::clone(&file), bell, options.busy_timeout)?));
        let (sender, receiver) = mpsc::channel(options.queue);
        let (end, ended) = watch::channel(());
        let end = End { shared: Arc::clone(&shared), _ended: end };
        let thread = std::thread::Builder::new().name("factum-sqlite-writer".to_owned()).spawn(move || {
            let end = end;
            run(&end.shared, receiver);
        });
        thread.map_err(|error| {
            let what = format!("no thread could be started: {error}");
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), Some(what))
        })?;
        let in_place = options.commit_in_place;
        Ok(Self { queue: Mutex::new(Some(sender)), shared, in_place, ended, read_only: false, file })
    }

    /// A writer that refuses: the file is only read.
    pub(crate) fn read_only(file: Arc<Path>) -> Self {
        let (shared, ended) = (Shared::new(None), watch::channel(()).1);
        Self { queue: Mutex::new(None), shared, in_place: false, ended, read_only: true, file }
    }

    fn queue<E: WriteFailure>(&self) -> Result<Queue, E> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        queue.ok_or_else(|| E::not_done(if self.read_only { read_only(&self.file) } else { closed(&self.file) }))
    }

    /// Has something done within a transaction, and gives its answer once that is committed. Waits while the queue is
    /// full. Once it is in the queue, it happens whether or not anybody waits for the answer.
    pub(crate) async fn submit<T, E, F>(&self, size: usize, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: WriteFailure + 'static,
        F: FnMut(&mut Inside<'_>) -> Result<T, Failed<E>> + Send + 'static,
    {
        let queue = self.queue::<E>()?;
        let (task, answer) = Task::new(size, work);
        self.send(&queue, Box::new(task)).await;
        drop(queue);
        self.told(answer).await
    }

    /// As `submit`; or at once, on this thread, where that is sure to be short.
    pub(crate) async fn append<T, F>(&self, size: usize, work: F) -> Result<T, AppendError>
    where
        T: Send + 'static,
        F: FnMut(&mut Inside<'_>) -> Result<T, Failed<AppendError>> + Send + 'static,
    {
        // Held until the commit is done, here too: whoever closes waits for it.
        let queue = self.queue::<AppendError>()?;
        let (task, answer) = Task::new(size, work);
        if let Err(left) = self.try_in_place(Box::new(task)) {
            self.send(&queue, left).await;
        }
        drop(queue);
        self.told(answer).await
    }

    async fn send(&self, queue: &Queue, job: Box<dyn Job>) {
        // A job that cannot be sent is dropped, and says so to its caller.
        if let Ok(permit) = queue.reserve().await {
            self.shared.under_way.fetch_add(1, Ordering::SeqCst);
            permit.send(job);
        }
    }

    async fn told<T, E: WriteFailure>(&self, answer: Answer<T, E>) -> Result<T, E> {
        answer.await.unwrap_or_else(|_| Err(E::unknown(closed(&self.file))))
    }

    /// Takes no more, and returns when what was taken is done and the connection is closed.
    pub(crate) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        // Nothing is ever sent: this ends with the thread.
        while ended.changed().await.is_ok() {}
    }

    /// Whether it refuses because the file is only read.
    pub(crate) fn is_read_only(&self) -> bool {
        self.read_only
    }
}

fn closed(file: &Path) -> Fault {
    Fault::closed(format!("the store {} is closed", file.display()))
}

fn read_only(file: &Path) -> Fault {
    let what = format!("{} was opened for reading only; change its permissions or its options", file.display());
    Fault::new(FaultKind::ReadOnly, what)
}

type Jobs = mpsc::Receiver<Box<dyn Job>>;

/// What the thread does: it has the pen for as long as there is work, and waits for more without it. Ends once the store
/// is closed and all is done.
fn run(shared: &Shared, mut queue: Jobs) {
    let mut came = None;
    loop {
        let mut held = shared.pen();
        let Some(pen) = held.as_mut() else { return };
        if let Err(error) = pen.set_for(Place::Thread) {
            tracing::warn!(%error, "a connection could not be set to wait for locks");
        }
        write_all(pen, came, &mut queue, &shared.under_way);
        drop(held);
        came = queue.blocking_recv();
        if came.is_none() {
            return;
        }
    }
}

/// Commits all that waits. While there is none, rows of dropped generations are deleted, a few at a time.
fn write_all(pen: &mut Pen, mut came: Option<Box<dyn Job>>, queue: &mut Jobs, under_way: &AtomicUsize) {
    loop {
        match came.take().map_or_else(|| queue.try_recv(), Ok) {
            Ok(first) => {
                let jobs = gather(&pen.pace, first, queue);
                pen.commit(jobs, under_way);
            }
            Err(mpsc::error::TryRecvError::Empty) if pen.known.to_sweep => pen.sweep(),
            Err(_) => return,
        }
    }
}

/// All that waits, within bounds. Callers who were just answered need a moment to come back: a group that was
/// large waits for them, for less time than it saves.
fn gather(pace: &Pace, first: Box<dyn Job>, queue: &mut Jobs) -> Vec<Box<dyn Job>> {
    let mut bytes = first.size();
    let mut jobs = Vec::with_capacity(pace.last_size);
    jobs.push(first);
    let patience = GATHER.min(pace.last_commit / 2);
    let began = Instant::now();
    while jobs.len() < GROUP_JOBS && bytes < GROUP_BYTES {
        match queue.try_recv() {
            Ok(job) => {
                bytes += job.size();
                jobs.push(job);
            }
            Err(_) if jobs.len() < pace.last_size && began.elapsed() < patience => std::thread::yield_now(),
            Err(_) => break,
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn in_time<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(30), what).await.expect("a caller waits for a thread that has ended")
    }

    fn kind<T: std::fmt::Debug>(answer: Result<T, AppendError>) -> (bool, FaultKind) {
        match answer.unwrap_err() {
            AppendError::NotDone(fault) => (false, fault.kind()),
            AppendError::Unknown(fault) => (true, fault.kind()),
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn when_the_thread_ends_everybody_is_told_and_nobody_waits() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("bank.db")).unwrap();
        let writer = &store.writer;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let dies = writer.submit::<(), AppendError, _>(0, move |_| {
            // Holds the thread until the other job waits behind it.
            let _ = wait.recv();
            panic!("a test ends this thread");
        });
        let waits = writer.submit::<(), AppendError, _>(0, |_| Ok(()));
        let release = async move { drop(go) };
        let (dies, waits, ()) = in_time(async { tokio::join!(dies, waits, release) }).await;
        assert_eq!(kind(dies), (true, FaultKind::Closed), "it had begun");
        assert_eq!(kind(waits).1, FaultKind::Closed);
        let later = in_time(writer.submit::<(), AppendError, _>(0, |_| Ok(()))).await;
        assert_eq!(kind(later), (false, FaultKind::Closed));
        in_time(writer.close()).await;
    }

    /// A group whose commit failed was tried again one by one even where nobody could tell whether it had been
    /// committed: what was recorded was then refused as a conflict with itself, or recorded a second time.
    #[tokio::test]
    async fn a_group_of_unknown_outcome_is_not_done_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = crate::SqliteStore::open(directory.path().join("bank.db")).unwrap();
        let writer = &store.writer;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel::<()>();
        let mut begins = Some(begins);
        let holds = writer.submit::<(), AppendError, _>(0, move |_| {
            // Holds the thread until the other jobs wait behind it, and so make a group.
            drop(begins.take());
            let _ = wait.recv();
            Ok(())
        });
        let runs = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let counts = writer.submit::<(), AppendError, _>(0, move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(())
        });
        let breaks = writer.submit::<(), AppendError, _>(0, |inside| {
            // Commits behind the writer's back, and takes away what could tell.
            inside.proof = Some(crate::inside::Proof::Event { position: 1, id: [0; 16] });
            inside.conn.execute_batch("COMMIT; ALTER TABLE events RENAME TO elsewhere")?;
            Ok(())
        });
        let others = async {
            let _ = begun.await;
            let release = async move { drop(go) };
            tokio::join!(counts, breaks, release)
        };
        let (held, (counts, breaks, ())) = in_time(async { tokio::join!(holds, others) }).await;
        held.unwrap();
        assert!(kind(counts).0 && kind(breaks).0, "both may have been committed");
        assert_eq!(runs.load(std::sync::atomic::Ordering::SeqCst), 1, "a job that may be done was done again");
    }
}
