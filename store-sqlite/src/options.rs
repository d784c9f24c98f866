//! How a store is opened.

use std::path::Path;
use std::time::Duration;

use factum::Limits;

use crate::error::OpenError;
use crate::store::SqliteStore;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// When it is on disk: what was answered survives a loss of power.
    #[default]
    Full,
    /// When the operating system has it: what was answered survives the end of the process, and a loss of power may
    /// take the last of it, up to about 16 MiB. The file stays whole.
    Normal,
}

/// How long the outcome of a command is found under its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRetention {
    /// As long as the file lives.
    #[default]
    Forever,
    /// For this long after it was recorded; then the key is as good as new.
    For(Duration),
}

/// How a file is opened as a store.
///
/// ```
/// use factum_sqlite::{SqliteOptions, Synchronous};
///
/// let directory = tempfile::tempdir()?;
/// let store = SqliteOptions::new().synchronous(Synchronous::Normal).open(directory.path().join("bank.db"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(crate) synchronous: Synchronous,
    pub(crate) limits: Limits,
    pub(crate) key_retention: KeyRetention,
    pub(crate) queue: usize,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: usize,
    pub(crate) read_only: bool,
    pub(crate) max_pages: Option<u32>,
    pub(crate) commit_in_place: bool,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            synchronous: Synchronous::default(),
            limits: Limits::default(),
            key_retention: KeyRetention::default(),
            queue: 1_024,
            busy_timeout: Duration::from_secs(5),
            readers: 2,
            read_only: false,
            max_pages: None,
            commit_in_place: true,
        }
    }
}

impl SqliteOptions {
    /// Everything on disk before it is answered, keys kept forever, two readers.
    pub fn new() -> Self {
        Self::default()
    }

    /// When a commit counts as done.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// What is refused as input.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long outcomes are kept.
    #[must_use]
    pub fn key_retention(mut self, retention: KeyRetention) -> Self {
        self.key_retention = retention;
        self
    }

    /// How many writes may wait before callers are held up (at least 1; 1,024 by default).
    #[must_use]
    pub fn queue(mut self, writes: usize) -> Self {
        self.queue = writes.max(1);
        self
    }

    /// How long to wait for a lock that another process holds (5 seconds by default).
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many threads read (at least 1; 2 by default). Each has a page cache of 2 MiB, as the writer has.
    #[must_use]
    pub fn readers(mut self, threads: usize) -> Self {
        self.readers = threads.max(1);
        self
    }

    /// Writes nothing, not even a file that is missing. A file whose permissions say read-only is opened so by itself.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Lets the file grow to this many pages of 4 KiB at most; beyond, writes fail as on a full disk.
    #[must_use]
    pub fn max_pages(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Whether an append may be committed on the thread that polls it (yes by default), which saves a caller who is alone
    /// the way to the store's own thread and back.
    ///
    /// That holds a thread of the runtime for as long as a commit takes, which has been less than a millisecond of
    /// late. It is done only in a runtime of tokio with two threads or more, for appends of up to 64 KiB, when nobody else
    /// writes, and never while another process has the file locked; all else is written by the store's own thread. Once
    /// such a commit took more than 5 ms, the next 200 are left to that thread. Switch it off where no thread of the
    /// runtime may ever wait for the disk.
    #[must_use]
    pub fn commit_in_place(mut self, allowed: bool) -> Self {
        self.commit_in_place = allowed;
        self
    }

    /// Opens a file, and makes it if it does not exist or is empty.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file and what to do; nothing was changed in it then.
    pub fn open(self, file: impl AsRef<Path>) -> Result<SqliteStore, OpenError> {
        SqliteStore::with_options(file.as_ref(), self)
    }
}
