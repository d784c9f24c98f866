//! The thread that writes: everything that waits goes into one transaction, and each is answered after its commit.
//!
//! Conditions are computed, not caught, so that a job that is refused writes nothing and harms no neighbour
//! (`neighbours-unharmed`). SQLite may roll a transaction back by itself (a full disk), savepoints with it, so
//! none are used: a group that fails is tried again one by one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use factum::{Bell, Fault, FaultKind};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, watch};

use crate::error::trouble;
use crate::inside::Inside;
use crate::job::{Failed, Job, Task, Trouble, WriteFailure};
use crate::read_models_write::sweep;

/// How many jobs one transaction takes at most.
const GROUP_JOBS: usize = 1_024;
/// After how many bytes a transaction takes no more jobs.
const GROUP_BYTES: usize = 4 << 20;
/// How long a group that was large the last time waits for its latecomers at most.
const GATHER: Duration = Duration::from_micros(100);

type Queue = mpsc::Sender<Box<dyn Job>>;

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<Queue>>,
    ended: watch::Receiver<()>,
    read_only: bool,
    file: Arc<Path>,
}

impl Writer {
    /// Starts the thread on a connection that is ready to write.
    pub(crate) fn start(conn: Connection, file: Arc<Path>, bell: Arc<Bell>, queue: usize) -> rusqlite::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue);
        let (end, ended) = watch::channel(());
        let (ready, opened) = std::sync::mpsc::channel();
        let thread_file = Arc::clone(&file);
        let thread = std::thread::Builder::new().name("factum-sqlite-writer".to_owned()).spawn(move || {
            // Dropped as the thread ends, however it ends, after the connection: whoever closes waits for it.
            let _end = end;
            let conn = conn;
            match Inside::new(&conn) {
                Ok(inside) => {
                    let _ = ready.send(Ok(()));
                    Group { inside, file: thread_file, bell, last_size: 1, last_commit: Duration::ZERO }.run(receiver);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            }
        });
        let no_thread = |what: String| {
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), Some(what))
        };
        thread.map_err(|error| no_thread(format!("no thread could be started: {error}")))?;
        opened.recv().unwrap_or_else(|_| Err(no_thread("the writing thread ended at once".to_owned())))?;
        Ok(Self { queue: Mutex::new(Some(sender)), ended, read_only: false, file })
    }

    /// A writer that refuses: the file is only read.
    pub(crate) fn read_only(file: Arc<Path>) -> Self {
        Self { queue: Mutex::new(None), ended: watch::channel(()).1, read_only: true, file }
    }

    fn queue(&self) -> Option<Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has something done within a transaction, and gives its answer once that is committed. Waits while the queue is
    /// full. Once it is in the queue, it happens whether or not anybody waits for the answer.
    pub(crate) async fn submit<T, E, F>(&self, size: usize, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: WriteFailure + 'static,
        F: FnMut(&mut Inside<'_>) -> Result<T, Failed<E>> + Send + 'static,
    {
        let Some(queue) = self.queue() else {
            let refusal = if self.read_only { read_only(&self.file) } else { closed(&self.file) };
            return Err(E::not_done(refusal));
        };
        let (task, answer) = Task::new(size, work);
        // A task that could not be sent is dropped, and says so to its caller.
        let _ = queue.send(Box::new(task)).await;
        drop(queue);
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

struct Group<'c> {
    inside: Inside<'c>,
    file: Arc<Path>,
    bell: Arc<Bell>,
    last_size: usize,
    last_commit: Duration,
}

impl Group<'_> {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = self.next(&mut queue) {
            let jobs = self.gather(first, &mut queue);
            self.last_size = jobs.len();
            self.commit(jobs);
        }
    }

    /// The next job; `None` once the store is closed and all is done. While there is none, rows of dropped
    /// generations are deleted, a few at a time.
    fn next(&mut self, queue: &mut mpsc::Receiver<Box<dyn Job>>) -> Option<Box<dyn Job>> {
        while self.inside.to_sweep {
            match queue.try_recv() {
                Ok(job) => return Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => self.sweep(),
            }
        }
        queue.blocking_recv()
    }

    fn sweep(&mut self) {
        let swept = sweep(self.inside.conn);
        if let Err(error) = &swept {
            tracing::warn!(%error, file = %self.file.display(), "rows of a dropped generation could not be deleted");
            self.inside.abandon();
        }
        self.inside.to_sweep = swept.unwrap_or(false);
    }

    /// All that waits, within bounds. Callers who were just answered need a moment to come back: a group that was
    /// large waits for them, for less time than it saves.
    fn gather(&self, first: Box<dyn Job>, queue: &mut mpsc::Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let mut bytes = first.size();
        let mut jobs = Vec::with_capacity(self.last_size);
        jobs.push(first);
        let patience = GATHER.min(self.last_commit / 2);
        let began = Instant::now();
        while jobs.len() < GROUP_JOBS && bytes < GROUP_BYTES {
            match queue.try_recv() {
                Ok(job) => {
                    bytes += job.size();
                    jobs.push(job);
                }
                Err(_) if jobs.len() < self.last_size && began.elapsed() < patience => std::thread::yield_now(),
                Err(_) => break,
            }
        }
        jobs
    }

    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let began = Instant::now();
        let size = jobs.len();
        let _span = tracing::debug_span!("commit", store = %self.file.display(), jobs = size).entered();
        match self.attempt(&mut jobs) {
            Ok(()) => self.answer(jobs),
            // Whoever cannot even begin holds up nobody a second time.
            Err((trouble, Stage::Begin)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            // What may have been committed is not done a second time: it would be refused by its own events, or doubled.
            Err((trouble, Stage::Unknown)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            Err((trouble, _)) if size == 1 => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            Err((trouble, _)) => {
                tracing::warn!(file = %self.file.display(), jobs = size, what = %trouble.what, "a group failed; trying each alone");
                jobs.into_iter().for_each(|job| self.alone(job));
            }
        }
        self.last_commit = began.elapsed();
        metrics::histogram!("factum_store_commit_seconds").record(self.last_commit.as_secs_f64());
        metrics::histogram!("factum_store_group_size").record(u32::try_from(size).unwrap_or(u32::MAX));
    }

    fn alone(&mut self, job: Box<dyn Job>) {
        let mut jobs = vec![job];
        match self.attempt(&mut jobs) {
            Ok(()) => self.answer(jobs),
            Err((trouble, _)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
        }
    }

    fn answer(&self, jobs: Vec<Box<dyn Job>>) {
        if self.inside.events > 0 {
            self.bell.ring();
        }
        jobs.into_iter().for_each(|job| job.committed());
    }

    /// Runs these jobs in one transaction; after an error none of them is done, unless it says `unknown`.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), (Trouble, Stage)> {
        if !self.inside.conn.is_autocommit() {
            self.inside.abandon();
        }
        if let Err(error) = self.inside.begin() {
            return Err((self.trouble(error, false), Stage::Begin));
        }
        for job in jobs {
            if let Err(error) = job.run(&mut self.inside) {
                return Err((self.trouble(error, false), Stage::Work));
            }
        }
        let Err(error) = self.inside.hot.commit.raw_execute() else {
            return Ok(());
        };
        let file_failed = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        let trouble = self.trouble(error, file_failed);
        match self.inside.happened() {
            Ok(true) => Ok(()),
            // What a failed write left in the log may yet be found there after a crash.
            Ok(false) => Err((trouble, Stage::Commit)),
            Err(_) => Err((Trouble { unknown: true, ..trouble }, Stage::Unknown)),
        }
    }

    fn trouble(&mut self, error: rusqlite::Error, unknown: bool) -> Trouble {
        self.inside.abandon();
        trouble(&self.file, error, unknown)
    }
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Work,
    Commit,
    /// The commit failed, and whether it happened could not be read.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum::AppendError;

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
