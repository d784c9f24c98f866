//! Waking readers of this process when another one has appended to the file.
//!
//! SQLite tells nobody of a commit, but a connection can ask cheaply whether another has made one:
//! <https://www.sqlite.org/pragma.html#pragma_data_version>. A thread asks as long as somebody reads, and rings where the log has
//! grown.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use factum::{Bell, Position};
use rusqlite::Connection;

use crate::read;
use crate::schema::{Mode, connect};

/// How often it asks: how late a reader may be woken by another process.
const EVERY: Duration = Duration::from_millis(20);

/// A file that may be written by other processes, and the thread that looks at it once there is a reader.
#[derive(Debug)]
pub(crate) struct Watch {
    file: Arc<Path>,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Nobody has asked for it yet.
    Idle,
    Running(Sender<()>, JoinHandle<()>),
    /// Nothing can come, or nobody is to hear it any more.
    Over,
}

impl Watch {
    /// `changes`: whether anybody can write the file.
    pub(crate) fn new(file: Arc<Path>, changes: bool) -> Self {
        Self { file, state: Mutex::new(if changes { State::Idle } else { State::Over }) }
    }

    /// Rings this bell from now on. Where no thread can be had, readers poll.
    pub(crate) fn ring(&self, bell: &Arc<Bell>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::Idle) {
            return;
        }
        let (stop, stopped) = channel();
        let (file, bell) = (Arc::clone(&self.file), Arc::downgrade(bell));
        let thread = std::thread::Builder::new().name("factum-sqlite-watch".to_owned());
        match thread.spawn(move || look(&file, &bell, &stopped)) {
            Ok(running) => *state = State::Running(stop, running),
            Err(error) => tracing::debug!(%error, "no thread to look for appends of others; readers poll"),
        }
    }

    /// Ends the thread; its connection is closed then.
    pub(crate) fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Over);
        if let State::Running(stop, running) = state {
            drop(stop);
            // One that panicked has ended too.
            let _ = running.join();
        }
    }
}

/// Before the other connections are closed: the last one puts the log of writes into the file, and this one cannot.
impl Drop for Watch {
    fn drop(&mut self) {
        self.close();
    }
}

fn look(file: &Path, bell: &Weak<Bell>, stopped: &Receiver<()>) {
    let opened = connect(file, Mode::Read, 64, Duration::ZERO);
    let Ok(conn) =
        opened.inspect_err(|error| tracing::debug!(%error, "appends of others are not looked for; readers poll"))
    else {
        return;
    };
    let (mut version, mut head) = (None, Position::START);
    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        // What cannot be read now is asked for again.
        let Ok(now) = data_version(&conn) else { continue };
        if version == Some(now) {
            continue;
        }
        let Ok(found) = read::head(&conn) else { continue };
        version = Some(now);
        if found > head {
            head = found;
            let Some(bell) = bell.upgrade() else { return };
            bell.ring();
        }
    }
}

fn data_version(conn: &Connection) -> rusqlite::Result<i64> {
    conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}
