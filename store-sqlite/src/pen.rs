//! The one connection that writes, with what is known between its transactions. Whoever has the pen writes: the writing
//! thread, or a caller who is alone.
//!
//! Conditions are computed, not caught, so that a job that is refused writes nothing and harms no neighbour
//! (`neighbours-unharmed`). SQLite may roll a transaction back by itself (a full disk), savepoints with it, so
//! none are used: a group that fails is tried again one by one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use factum::Bell;
use rusqlite::{Connection, ErrorCode};

use crate::answers::Answers;
use crate::error::trouble;
use crate::gate::Gate;
use crate::inside::{Hot, Inside, Known};
use crate::job::{Job, Trouble};
use crate::pace::{Ended, Pace, Place};
use crate::read_models_write::sweep;

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Pen {
    conn: Connection,
    pub(crate) known: Known,
    pub(crate) pace: Pace,
    answers: Answers,
    file: Arc<Path>,
    pub(crate) bell: Arc<Bell>,
    /// Where the connection's settings are for.
    set_for: Option<Place>,
    busy_timeout: Duration,
    /// After how many pages SQLite moves the log into the file.
    checkpoint_pages: i64,
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

/// How many events a transaction recorded, or why it failed.
type Attempt = Result<u64, (Trouble, Stage)>;

impl Pen {
    /// Takes a connection that is ready to write.
    pub(crate) fn new(
        conn: Connection,
        file: Arc<Path>,
        bell: Arc<Bell>,
        busy_timeout: Duration,
    ) -> rusqlite::Result<Self> {
        let known = Known::new(Gate::install(&conn)?);
        drop(Hot::prepare(&conn)?);
        let checkpoint_pages = conn.pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0))?;
        Ok(Self {
            conn,
            known,
            pace: Pace::new(),
            answers: Answers::default(),
            file,
            bell,
            set_for: None,
            busy_timeout,
            checkpoint_pages,
        })
    }

    /// Sets the connection for a place. The thread waits for locks and moves the log into the file; a caller's thread
    /// does neither, since both take long.
    pub(crate) fn set_for(&mut self, place: Place) -> rusqlite::Result<()> {
        if self.set_for == Some(place) {
            return Ok(());
        }
        self.set_for = None;
        let (busy_timeout, checkpoint_pages) = match place {
            Place::Thread => (self.busy_timeout, self.checkpoint_pages),
            Place::Caller => (Duration::ZERO, 0),
        };
        self.conn.busy_timeout(busy_timeout)?;
        self.conn.pragma_update(None, "wal_autocheckpoint", checkpoint_pages)?;
        self.set_for = Some(place);
        Ok(())
    }

    /// Deletes some rows of dropped generations.
    pub(crate) fn sweep(&mut self) {
        let swept = sweep(&self.conn);
        if let Err(error) = &swept {
            tracing::warn!(%error, file = %self.file.display(), "rows of a dropped generation could not be deleted");
            self.known.abandon(&self.conn);
        }
        self.known.to_sweep = swept.unwrap_or(false);
    }

    /// Commits these as one transaction, on the thread, and has each answered. They are no longer `under_way` then.
    pub(crate) fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>, under_way: &AtomicUsize) {
        let (began, size) = (Instant::now(), jobs.len());
        let _span = tracing::debug_span!("commit", store = %self.file.display(), jobs = size).entered();
        let attempt = self.attempt(&mut jobs);
        // Before anybody is answered: whoever comes back at once waits for nobody.
        let behind = under_way.fetch_sub(size, Ordering::SeqCst).saturating_sub(size);
        let events = attempt.as_ref().map_or(0, |events| *events);
        self.settle(jobs, attempt);
        self.ended(Ended { place: Place::Thread, jobs: size, behind, events, took: began.elapsed() });
    }

    /// Commits this as a transaction of its own, on the thread of its caller, and answers it. Gives it back where
    /// another process holds the lock.
    pub(crate) fn commit_in_place(
        &mut self,
        mut job: Box<dyn Job>,
        under_way: &AtomicUsize,
    ) -> Result<(), Box<dyn Job>> {
        let began = Instant::now();
        let _span = tracing::debug_span!("commit", store = %self.file.display(), jobs = 1).entered();
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(std::slice::from_mut(&mut job))));
        let Ok(attempt) = attempt else {
            tracing::error!(file = %self.file.display(), "an append has panicked");
            self.known.abandon(&self.conn);
            // It tells its caller as it is dropped, as on a thread that ends.
            return Ok(());
        };
        if let Err((trouble, Stage::Begin)) = &attempt
            && trouble.source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
        {
            self.pace.locked();
            return Err(job);
        }
        let events = attempt.as_ref().map_or(0, |events| *events);
        self.settle(vec![job], attempt);
        let behind = under_way.load(Ordering::SeqCst);
        self.ended(Ended { place: Place::Caller, jobs: 1, behind, events, took: began.elapsed() });
        Ok(())
    }

    fn ended(&mut self, ended: Ended) {
        metrics::histogram!("factum_store_commit_seconds").record(ended.took.as_secs_f64());
        metrics::histogram!("factum_store_group_size").record(u32::try_from(ended.jobs).unwrap_or(u32::MAX));
        self.pace.ended(ended);
    }

    /// Answers each, and tries again what may be tried.
    fn settle(&mut self, jobs: Vec<Box<dyn Job>>, attempt: Attempt) {
        match attempt {
            Ok(events) => self.answer(jobs, events),
            // Whoever cannot even begin holds up nobody a second time.
            Err((trouble, Stage::Begin)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            // What may have been committed is not done a second time: it would be refused by its own events, or doubled.
            Err((trouble, Stage::Unknown)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            Err((trouble, _)) if jobs.len() == 1 => jobs.into_iter().for_each(|job| job.failed(&trouble)),
            Err((trouble, _)) => {
                tracing::warn!(file = %self.file.display(), jobs = jobs.len(), what = %trouble.what, "a group failed; trying each alone");
                jobs.into_iter().for_each(|job| self.alone(job));
            }
        }
    }

    fn alone(&mut self, job: Box<dyn Job>) {
        let mut jobs = vec![job];
        match self.attempt(&mut jobs) {
            Ok(events) => self.answer(jobs, events),
            Err((trouble, _)) => jobs.into_iter().for_each(|job| job.failed(&trouble)),
        }
    }

    fn answer(&mut self, jobs: Vec<Box<dyn Job>>, events: u64) {
        if events > 0 {
            self.bell.ring();
        }
        self.answers.tell(jobs);
    }

    /// Runs these jobs in one transaction; after an error none of them is done, unless it says `unknown`.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Attempt {
        if !self.conn.is_autocommit() {
            self.known.abandon(&self.conn);
        }
        let failed = |known: &mut Known, error, unknown| {
            known.abandon(&self.conn);
            trouble(&self.file, error, unknown)
        };
        let mut inside = Inside::new(&self.conn, &mut self.known)
            .map_err(|error| (trouble(&self.file, error, false), Stage::Begin))?;
        if let Err(error) = inside.begin() {
            return Err((failed(inside.known, error, false), Stage::Begin));
        }
        for job in jobs {
            if let Err(error) = job.run(&mut inside) {
                return Err((failed(inside.known, error, false), Stage::Work));
            }
        }
        let Err(error) = inside.hot.commit.raw_execute() else {
            return Ok(inside.events);
        };
        let file_failed = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
        let trouble = failed(inside.known, error, file_failed);
        match inside.happened() {
            Ok(true) => Ok(inside.events),
            // What a failed write left in the log may yet be found there after a crash.
            Ok(false) => Err((trouble, Stage::Commit)),
            Err(_) => Err((Trouble { unknown: true, ..trouble }, Stage::Unknown)),
        }
    }
}
