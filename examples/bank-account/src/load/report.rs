//! What a load came to.

use std::io::Write;

use serde::Serialize;

use crate::error::BankError;

/// How long calls took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Times {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Times {
    /// Of calls that took so many microseconds.
    pub(super) fn of(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        let at = |part: f64| {
            let index = (part * micros.len() as f64).ceil() as usize;
            micros.get(index.saturating_sub(1)).map_or(0.0, |micros| *micros as f64 / 1e3)
        };
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "half within {:.1} ms, 90 % {:.1}, 99 % {:.1}, all {:.1}", self.p50, self.p90, self.p99, self.max)
    }
}

#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) seconds: f64,
    pub(super) commands: u64,
    pub(super) done: u64,
    pub(super) refused: u64,
    /// What became of them is not known, or they could not be sent for a minute.
    pub(super) failed: u64,
    /// Sent again under their key, after a failure.
    pub(super) repeated: u64,
    pub(super) reads_right: u64,
    pub(super) reads_wrong: u64,
    pub(super) reads_failed: u64,
    pub(super) command_ms: Times,
    /// From the wish to see one's own write to having seen it.
    pub(super) read_own_write_ms: Times,
    pub(super) read_ms: Times,
    #[serde(skip)]
    pub(super) told: Vec<String>,
}

impl Report {
    pub(super) fn is_right(&self) -> bool {
        self.reads_wrong == 0 && self.reads_failed == 0
    }

    pub(super) fn print(&self, json: bool, out: &mut dyn Write) -> Result<(), BankError> {
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        let rate = self.commands as f64 / self.seconds.max(1e-9);
        writeln!(
            out,
            "{} commands in {:.1} s, {rate:.0} a second: {} done, {} refused, {} failed, {} sent again",
            self.commands, self.seconds, self.done, self.refused, self.failed, self.repeated
        )?;
        writeln!(
            out,
            "{} reads: {} right, {} wrong, {} failed",
            self.reads_right + self.reads_wrong + self.reads_failed,
            self.reads_right,
            self.reads_wrong,
            self.reads_failed
        )?;
        writeln!(out, "commands         {}", self.command_ms)?;
        writeln!(out, "own write shown  {}", self.read_own_write_ms)?;
        writeln!(out, "reads            {}", self.read_ms)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_hundred_calls_took_no_longer() {
        let times = Times::of((1..=100).rev().map(|n| n * 1_000).collect());
        assert_eq!(times, Times { p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 });
        assert_eq!(Times::of(vec![7_000]), Times { p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Times::of(Vec::new()), Times::default());
    }
}
