//! What shall be reached, and why that much.

use Bound::{AtLeast, AtMost, Peak, PeakBeside};

use crate::report::Row;
use crate::work::{StoreKind, Work, Workload};

/// What shall hold of `value / limit`, or of memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    /// Of a rate: at least this fraction of the limit.
    AtLeast(f64),
    /// Of a time: at most this multiple of the limit.
    AtMost(f64),
    /// At most so many bytes.
    Peak(u64),
    /// At most this multiple of the peak of another workload of the same store.
    PeakBeside(f64, &'static str),
}

/// A bound on a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Goal {
    pub(crate) bound: Bound,
    /// Where the figure comes from.
    pub(crate) because: &'static str,
}

const fn goal(bound: Bound, because: &'static str) -> Goal {
    Goal { bound, because }
}

/// The goals of a workload; none where it is measured as information.
pub(crate) fn of(workload: &Workload) -> Vec<Goal> {
    match workload.store {
        StoreKind::Memory => in_memory(workload.work),
        StoreKind::Sqlite => on_sqlite(workload.work),
        // With a delayed commit: information.
        StoreKind::Postgres if workload.delayed => Vec::new(),
        StoreKind::Postgres => on_postgres(workload.work),
    }
}

fn in_memory(work: Work) -> Vec<Goal> {
    match work {
        Work::Append => vec![goal(AtLeast(0.15), "checks, an identity and an index beside a push")],
        Work::ReadAll => vec![goal(AtLeast(0.4), "an event is copied and then decoded")],
        _ => Vec::new(),
    }
}

fn on_sqlite(work: Work) -> Vec<Goal> {
    match work {
        Work::Execute { tasks: 1, keyed: false } => {
            vec![goal(AtLeast(0.7), "a command is one commit, and hardly more")]
        }
        Work::Execute { tasks: 256, keyed: false } => {
            vec![goal(AtLeast(8.0), "commands that wait together share a commit")]
        }
        Work::Batches { events: 100 } => vec![goal(AtLeast(0.7), "an append is one transaction, whatever it holds")],
        Work::Load { snapshot: true, .. } => vec![goal(AtMost(0.1), SNAPSHOT)],
        Work::ReadAll => vec![goal(AtLeast(0.6), "pages cost little beside their rows"), goal(Peak(64 << 20), PAGES)],
        Work::Import => vec![goal(AtLeast(1.5), "commands, keys and two read models included")],
        Work::Replay { events: 1_000_000, .. } => vec![goal(PeakBeside(1.25, "replay-100k"), LONG)],
        _ => Vec::new(),
    }
}

fn on_postgres(work: Work) -> Vec<Goal> {
    match work {
        Work::Execute { tasks: 1, keyed: false } => {
            vec![goal(AtLeast(0.8), "a cached aggregate decides, one round trip appends; the best peer has 0.45")]
        }
        Work::Append => {
            vec![goal(AtLeast(0.9), "a scalar function with the order lock reaches 1.06; the best peer has 0.67")]
        }
        Work::Execute { tasks: 32, keyed: false } => {
            vec![goal(AtLeast(1.3), "commands that wait together share a commit; the best peer has 0.22")]
        }
        Work::Execute { tasks: 256, keyed: false } => {
            vec![goal(AtLeast(3.0), "the more wait, the more share a commit; no peer gets there")]
        }
        Work::Hot { .. } => {
            vec![goal(AtLeast(0.5), "commands that queue are decided one on the other; the best peer has 0.06")]
        }
        Work::Processes { .. } => vec![goal(AtLeast(0.45), "the best peer with 32 connections")],
        Work::Batches { events: 100 } => vec![goal(AtLeast(0.9), "arrays, one statement; the best peer has 0.47")],
        Work::Batches { .. } => vec![goal(AtLeast(0.9), "a large batch goes the fastest way there is")],
        Work::Load { events: 10_000, snapshot: false } => {
            vec![goal(AtMost(1.3), "pages cost little beside their rows")]
        }
        Work::Load { snapshot: true, .. } => vec![goal(AtMost(0.1), SNAPSHOT)],
        Work::ReadAll => {
            let pages = "the next page is fetched while one is handled; the best peers have 0.31 to 1.2";
            vec![goal(AtLeast(0.85), pages), goal(Peak(64 << 20), PAGES)]
        }
        Work::Replay { events: 200_000, .. } => {
            vec![goal(AtLeast(0.5), "folding and storing beside reading; no peer offers it")]
        }
        Work::Replay { events: 1_000_000, .. } => vec![goal(PeakBeside(1.25, "replay-100k"), LONG)],
        _ => Vec::new(),
    }
}

const SNAPSHOT: &str = "what a snapshot holds is not read again";
const PAGES: &str = "a page is held, never the log";
const LONG: &str = "a replay needs no more memory for a longer log";

impl Goal {
    /// Whether it holds, and in words how far; `None` where what it compares with was not measured.
    pub(crate) fn judge(&self, row: &Row, rows: &[Row]) -> Option<(bool, String)> {
        let fraction = row.fraction;
        Some(match self.bound {
            Bound::AtLeast(least) => (fraction >= least, format!("goal {least}: {fraction:.2}")),
            Bound::AtMost(most) => (fraction <= most, format!("goal at most {most}: {fraction:.2}")),
            Bound::Peak(most) => peak(row.peak_bytes?, most),
            Bound::PeakBeside(times, other) => {
                let other = rows.iter().find(|row_of| row_of.store == row.store && row_of.workload == other)?;
                #[expect(clippy::cast_precision_loss, reason = "bytes of memory, fewer than 2^52")]
                let ratio = row.peak_bytes? as f64 / other.peak_bytes? as f64;
                (ratio <= times, format!("peak at most {times} of {}: {ratio:.2}", other.workload))
            }
        })
    }
}

fn peak(bytes: u64, most: u64) -> (bool, String) {
    (bytes <= most, format!("peak at most {} MiB: {}", most >> 20, bytes.div_ceil(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work;

    fn row(fraction: f64, peak: u64) -> Row {
        let workload = Workload { store: StoreKind::Sqlite, work: Work::ReadAll, delayed: false };
        Row { fraction, peak_bytes: Some(peak), ..Row::of(&workload) }
    }

    #[test]
    fn a_rate_shall_be_high_and_a_time_and_a_peak_low() {
        let judge = |bound, row: &Row| goal(bound, "").judge(row, &[]).unwrap().0;
        let row = row(0.5, 64 << 20);
        assert!(judge(Bound::AtLeast(0.5), &row) && !judge(Bound::AtLeast(0.51), &row));
        assert!(judge(Bound::AtMost(0.5), &row) && !judge(Bound::AtMost(0.49), &row));
        assert!(judge(Bound::Peak(64 << 20), &row) && !judge(Bound::Peak((64 << 20) - 1), &row));
    }

    #[test]
    fn a_goal_beside_another_workload_is_judged_only_where_that_was_measured() {
        let goal = goal(Bound::PeakBeside(1.25, "other"), "");
        let other = Row { workload: "other".to_owned(), ..row(1.0, 100) };
        assert_eq!(goal.judge(&row(1.0, 125), &[]), None);
        assert!(goal.judge(&row(1.0, 125), std::slice::from_ref(&other)).unwrap().0);
        assert!(!goal.judge(&row(1.0, 126), &[other]).unwrap().0);
    }

    #[test]
    fn whatever_a_goal_is_compared_with_is_a_workload_of_the_same_store() {
        for store in StoreKind::ALL {
            let all = work::of(store);
            for goal in all.iter().flat_map(of) {
                if let Bound::PeakBeside(_, other) = goal.bound {
                    assert!(all.iter().any(|workload| workload.name() == other), "{other}");
                }
            }
        }
    }
}
