//! What is shown on stderr while a command runs: a bar where that is a terminal, plain lines otherwise, and messages,
//! never hidden behind the bar.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use factum::Cursor;
use factum_projections::{ReplayPhase, ReplayProgress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How much time lies between two plain lines at first; later more, so that a long replay fills no log.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// When the line after this one is due.
pub(crate) fn next_line(now: Duration) -> Duration {
    now + LINE_EVERY.max(now / 10)
}

/// Where lines and bars go.
pub(crate) struct Console {
    lines: Mutex<Box<dyn Write + Send>>,
    terminal: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Console {
    pub(crate) fn stderr() -> Self {
        Self::new(Box::new(io::stderr()), io::stderr().is_terminal())
    }

    pub(crate) fn new(lines: Box<dyn Write + Send>, terminal: bool) -> Self {
        Self { lines: Mutex::new(lines), terminal, bar: Mutex::new(None) }
    }

    /// A line of its own, above the bar if there is one.
    pub(crate) fn say(&self, line: &str) {
        let print = || {
            // Nobody is left to tell that stderr is gone.
            let _ = writeln!(self.lines.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
        };
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Shows how far one replay is, until what it gives is dropped.
    pub(crate) fn follow(self: &Arc<Self>, projection: &str) -> Following {
        let target = if self.terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let style = "{prefix} {wide_bar} {pos}/{len} events, {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(projection.to_owned());
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar.clone());
        Following { console: self.clone(), projection: projection.to_owned(), bar, begun: false, next: LINE_EVERY }
    }
}

/// One replay on the console.
pub(crate) struct Following {
    console: Arc<Console>,
    projection: String,
    bar: ProgressBar,
    begun: bool,
    /// When the next plain line is due, since the replay began.
    next: Duration,
}

impl Following {
    pub(crate) fn show(&mut self, progress: &ReplayProgress) {
        let (position, head) = (sum(&progress.position), sum(&progress.head));
        self.bar.set_length(head);
        self.bar.set_position(position);
        if !std::mem::replace(&mut self.begun, true) {
            // A resumed replay does not begin at the start, and was not that fast.
            self.bar.reset_eta();
        }
        let rate = progress.events_per_second();
        let doing = match progress.phase {
            ReplayPhase::Verifying => " verifying",
            _ => "",
        };
        if !doing.is_empty() {
            self.bar.set_prefix(format!("{}{doing}", self.projection));
        }
        self.bar.set_message(format!("{rate:.0}/s"));
        if !self.console.terminal && progress.elapsed >= self.next {
            self.next = next_line(progress.elapsed);
            let (projection, left) = (&self.projection, progress.time_left().unwrap_or_default().as_secs());
            self.console
                .say(&format!("{projection}:{doing} at {position} of {head}, {rate:.0} events/s, {left} s left"));
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        *self.console.bar.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Positions of all logs together: what a bar can show of a cursor.
fn sum(cursor: &Cursor) -> u64 {
    cursor.positions().map(|(_, position)| position.get()).sum()
}
