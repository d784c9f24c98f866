//! What an import shows on stderr: a bar where that is a terminal, and messages, never hidden behind it.

use std::io::{IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::ledger::Progress;

/// A bar over the bytes of the ledger file.
pub(super) struct Console {
    bar: ProgressBar,
    progress: Progress,
}

impl Console {
    pub(super) fn new(file: &Path, progress: Progress) -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(progress.size), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        let style = "{prefix} {wide_bar} {percent} % {msg}, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        Self { bar, progress }
    }

    /// Moves the bar to where the file was read.
    pub(super) fn tick(&self, transactions: u64) {
        let seconds = self.bar.elapsed().as_secs_f64();
        if seconds > 0.0 {
            self.bar.set_message(format!("{transactions} rows, {:.0}/s", transactions as f64 / seconds));
        }
        self.bar.set_position(self.progress.bytes());
    }

    /// A line above the bar.
    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| {
            // Nobody is left to tell that stderr is gone.
            let _ = writeln!(std::io::stderr(), "{line}");
        });
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
