//! What a store finds when it looks at its file: who keeps it from writing, how large its log is, whether it is whole.

use std::path::Path;
use std::time::Duration;

use factum::{Fault, Finding, Holder, Severity};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use crate::error::fault;
use crate::schema::{self, Mode, beside, size};
use crate::store::SqliteStore;

/// How long the lock for writing is waited for: a commit takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// From what size on the log is one that no checkpoint empties, in bytes: it is cut back to half of that.
const LARGE_LOG: u64 = 128 << 20;

/// Up to what size the file is read whole, in bytes.
const CHECKED: u64 = 32 << 20;

/// How little room on the disk is too little, in bytes.
const LITTLE_ROOM: u64 = 256 << 20;

impl SqliteStore {
    pub(crate) async fn look(&self) -> Result<Vec<Finding>, Fault> {
        // Also finds out whether the store is closed.
        let checked = size(&self.file) <= CHECKED;
        let damage = self.readers.read(move |conn| Ok::<_, _>(if checked { damage(conn)? } else { None })).await?;
        let mut found: Vec<Finding> = damage.map(|what| damaged(&self.file, &what)).into_iter().collect();
        found.extend(log(&self.file, size(&beside(&self.file, "-wal"))));
        found.extend(room(&self.file));
        if self.is_read_only() {
            let what = format!("{} is open for reading only", self.file.display());
            let finding = Finding::new(Severity::Warning, "read-only", what);
            let finding = finding.because("it was opened with read_only(), or its permissions leave no other way");
            found.push(finding.remedy("appends and read models need a file, and a directory, that may be written"));
        } else {
            found.extend(self.locked().await?);
        }
        Ok(found)
    }

    /// Takes the lock for writing for a moment, on a thread of its own: to be told that it is held takes a while.
    async fn locked(&self) -> Result<Option<Finding>, Fault> {
        let file = self.file.clone();
        let (reply, answer) = oneshot::channel();
        let thread = std::thread::Builder::new().name("factum-sqlite-doctor".to_owned());
        let look = move || {
            let _ = reply.send(try_lock(&file));
        };
        let started = thread.spawn(look);
        started.map_err(|error| Fault::caused(factum::FaultKind::Other, "a thread could not be started", error))?;
        match answer.await {
            Ok(Ok(free)) => Ok((!free).then(|| held(&self.file))),
            Ok(Err(error)) => Err(fault(&self.file, "looking at", error)),
            Err(_) => Err(Fault::closed("the thread that looked has ended")),
        }
    }
}

/// Whether the lock for writing could be had.
fn try_lock(file: &Path) -> rusqlite::Result<bool> {
    let conn = schema::connect(file, Mode::Write, 512, PATIENCE)?;
    match conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(false),
        other => other.map(|()| true),
    }
}

fn held(file: &Path) -> Finding {
    let what = format!("nobody else can write to {}: its lock was held for {PATIENCE:?}", file.display());
    let finding = Finding::new(Severity::Problem, "write-lock-held", what);
    let holders = holders(file, |locks| locks.contains(WRITE_LOCK));
    let finding = finding
        .because(match holders.is_empty() {
            true => "another connection has a transaction open in which it has written, or means to".to_owned(),
            false => {
                let ids: Vec<_> = holders.iter().map(|holder| holder.id.as_str()).collect();
                format!("{} has a transaction open in which it has written, or means to", ids.join(", "))
            }
        })
        .remedy("end that transaction, or its process; a tool that has the file open must not leave one open");
    holders.into_iter().fold(finding, Finding::holder)
}

fn log(file: &Path, bytes: u64) -> Option<Finding> {
    if bytes <= LARGE_LOG {
        return None;
    }
    let what = format!("the log beside {} has grown to {} MiB", file.display(), bytes >> 20);
    let finding = Finding::new(Severity::Warning, "log-large", what)
        .because("a reader that looks at an old moment keeps what came after it from going into the file, or writers never pause")
        .remedy("end long reads, of other tools too; the log is emptied by the next write after that");
    let readers = holders(file, |locks| READ_LOCKS.iter().any(|lock| locks.contains(*lock)));
    Some(readers.into_iter().fold(finding, Finding::holder))
}

fn damage(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

fn damaged(file: &Path, what: &str) -> Finding {
    let finding = Finding::new(Severity::Problem, "damaged", format!("{} is damaged", file.display()));
    finding.because(what).remedy("restore it from a backup, and look at the disk")
}

#[cfg(unix)]
fn room(file: &Path) -> Option<Finding> {
    let disk = rustix::fs::statvfs(file).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    (free < LITTLE_ROOM).then(|| {
        let what = format!("{} MiB are left on the disk of {}", free >> 20, file.display());
        let finding = Finding::new(Severity::Warning, "disk-nearly-full", what);
        finding.because("when it is full appends fail with the kind `Full`").remedy("make room, or move the file")
    })
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<Finding> {
    None
}

/// Which bytes of the shared memory beside the file SQLite locks, and for what: <https://sqlite.org/walformat.html>.
const WRITE_LOCK: u64 = 120;
const READ_LOCKS: [u64; 4] = [124, 125, 126, 127];

/// A range of bytes that a process has locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Locks {
    first: u64,
    last: u64,
}

impl Locks {
    fn contains(self, byte: u64) -> bool {
        (self.first..=self.last).contains(&byte)
    }
}

/// The processes that hold such a lock, where the system says who they are.
#[cfg(target_os = "linux")]
fn holders(file: &Path, wanted: impl Fn(Locks) -> bool) -> Vec<Holder> {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(shared) = std::fs::metadata(beside(file, "-shm")) else { return Vec::new() };
    let Ok(all) = std::fs::read_to_string("/proc/locks") else { return Vec::new() };
    let held = all.lines().filter_map(lock_line);
    let mut pids: Vec<_> =
        held.filter(|(_, inode, locks)| *inode == shared.ino() && wanted(*locks)).map(|(pid, ..)| pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let holder = |pid: i64| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        let own = pid == i64::from(std::process::id());
        Holder::new(format!("pid {pid}"))
            .application(name.map(|name| name.trim().to_owned()))
            .state(own.then(|| "this process".to_owned()))
    };
    pids.into_iter().map(holder).collect()
}

#[cfg(not(target_os = "linux"))]
fn holders(_: &Path, _: impl Fn(Locks) -> bool) -> Vec<Holder> {
    Vec::new()
}

/// Who holds what of which file, such as `3: POSIX  ADVISORY  WRITE 4711 08:01:131090 120 120`. A line with an arrow is of one
/// who waits.
#[cfg(target_os = "linux")]
fn lock_line(line: &str) -> Option<(i64, u64, Locks)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "POSIX", _, _, pid, place, first, last] = words[..] else { return None };
    let last = if last == "EOF" { u64::MAX } else { last.parse().ok()? };
    Some((pid.parse().ok()?, place.rsplit(':').next()?.parse().ok()?, Locks { first: first.parse().ok()?, last }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_line_of_the_system_says_who_holds_which_bytes_of_which_file() {
        let of = |first, last| Locks { first, last };
        let line = "3: POSIX  ADVISORY  WRITE 4711 08:01:131090 120 120";
        assert_eq!(lock_line(line), Some((4711, 131_090, of(120, 120))));
        assert_eq!(lock_line("4: POSIX  ADVISORY  READ 7 00:2f:9 0 EOF"), Some((7, 9, of(0, u64::MAX))));
        for line in
            ["3: -> POSIX  ADVISORY  WRITE 4711 08:01:131090 120 120", "1: FLOCK  ADVISORY  WRITE 1 00:1:2 0 EOF", ""]
        {
            assert_eq!(lock_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_log_that_no_checkpoint_empties_is_told_with_its_size() {
        assert_eq!(log(Path::new("bank.db"), LARGE_LOG), None);
        let told = log(Path::new("bank.db"), 300 << 20).unwrap();
        assert_eq!((told.code(), told.severity()), ("log-large", Severity::Warning));
        assert!(told.what().contains("300 MiB"), "{told}");
    }
}
