//! How writing goes of late: whether somebody appends alone, and whether the commits are short.

use std::time::Duration;

/// After how many transactions of one job each, with nobody waiting behind them, a caller counts as alone.
const ALONE: u32 = 8;
/// Of this many transactions in a row the last one goes to the thread. To the thread, because the callers of one task
/// look like one that is alone as long as each of them ends before the next is polled: behind one that waits for the
/// thread, the others are seen to queue.
const ROW: u32 = 32;
/// Commits that are shorter than this on average may hold a caller's thread.
const SHORT: Duration = Duration::from_millis(1);
/// A commit counts in the average as this at most, so that a single one, such as one that moves the log into the file,
/// does not change the picture.
const COUNTED: Duration = Duration::from_millis(2);
/// A commit in place that took longer than this was one too many.
const TOO_LONG: Duration = Duration::from_millis(5);
/// For how many transactions nothing is committed in place after that.
const PAUSE: u32 = 200;

/// Where a transaction is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the writing thread.
    Thread,
    /// On the thread of its caller.
    Caller,
}

/// A transaction that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) place: Place,
    pub(crate) jobs: usize,
    /// How many jobs waited for the thread as it ended.
    pub(crate) behind: usize,
    /// How many events it recorded.
    pub(crate) events: u64,
    pub(crate) took: Duration,
}

/// From what on a caller counts as alone, and a commit as short or as too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) alone: u32,
    pub(crate) short: Duration,
    pub(crate) too_long: Duration,
}

/// What the latest transactions were like.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) last_size: usize,
    pub(crate) last_commit: Duration,
    /// How many of the latest had one job and left nobody waiting.
    alone: u32,
    /// How many in a row were committed in place.
    row: u32,
    /// How many are still to be committed on the thread, whatever they are like.
    pause: u32,
    average: Option<Duration>,
    pub(crate) bounds: Bounds,
    /// How many were committed in place, and how many at all.
    #[cfg(test)]
    pub(crate) counts: (u64, u64),
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            last_size: 1,
            last_commit: Duration::ZERO,
            alone: 0,
            row: 0,
            pause: 0,
            average: None,
            bounds: Bounds { alone: ALONE, short: SHORT, too_long: TOO_LONG },
            #[cfg(test)]
            counts: (0, 0),
        }
    }

    /// Whether the next append may be committed by its caller.
    pub(crate) fn in_place(&self) -> bool {
        let short = self.average.is_some_and(|average| average < self.bounds.short);
        short && self.alone >= self.bounds.alone && self.pause == 0 && self.row < ROW - 1
    }

    /// Another process holds the lock: whoever waits for it does so on the thread, for a while.
    pub(crate) fn locked(&mut self) {
        self.alone = 0;
    }

    pub(crate) fn ended(&mut self, ended: Ended) {
        self.last_size = ended.jobs;
        self.last_commit = ended.took;
        let took = ended.took.min(COUNTED);
        self.average = Some(self.average.map_or(took, |average| (average * 7 + took) / 8));
        self.alone = if ended.jobs == 1 && ended.behind == 0 { self.alone.saturating_add(1) } else { 0 };
        match ended.place {
            Place::Caller => {
                self.row += 1;
                if ended.took > self.bounds.too_long {
                    self.pause = PAUSE;
                }
            }
            Place::Thread => {
                self.pause = self.pause.saturating_sub(1);
                // Only what writes lets SQLite look whether the log is to be moved into the file.
                if ended.events > 0 {
                    self.row = 0;
                }
            }
        }
        #[cfg(test)]
        {
            self.counts.0 += u64::from(ended.place == Place::Caller);
            self.counts.1 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(took: Duration) -> Ended {
        Ended { place: Place::Thread, jobs: 1, behind: 0, events: 1, took }
    }

    fn caller(took: Duration) -> Ended {
        Ended { place: Place::Caller, ..thread(took) }
    }

    const QUICK: Duration = Duration::from_micros(150);

    /// A pace at which the next append may be committed in place.
    fn alone() -> Pace {
        let mut pace = Pace::new();
        for _ in 0..ALONE {
            assert!(!pace.in_place());
            pace.ended(thread(QUICK));
        }
        assert!(pace.in_place());
        pace
    }

    #[test]
    fn who_was_alone_eight_times_commits_in_place_and_a_neighbour_ends_that() {
        for neighbours in [Ended { jobs: 2, ..thread(QUICK) }, Ended { behind: 1, ..thread(QUICK) }] {
            let mut pace = alone();
            pace.ended(neighbours);
            for _ in 0..ALONE {
                assert!(!pace.in_place(), "{neighbours:?}");
                pace.ended(thread(QUICK));
            }
            assert!(pace.in_place());
        }
        let mut pace = alone();
        pace.ended(Ended { behind: 1, ..caller(QUICK) });
        assert!(!pace.in_place(), "somebody came meanwhile");
        let mut pace = alone();
        pace.locked();
        assert!(!pace.in_place(), "another process writes");
    }

    #[test]
    fn of_thirty_two_in_a_row_one_goes_to_the_thread_and_records_something_there() {
        let mut pace = alone();
        for _ in 0..3 {
            for _ in 0..ROW - 1 {
                assert!(pace.in_place());
                pace.ended(caller(QUICK));
            }
            assert!(!pace.in_place());
            pace.ended(Ended { events: 0, ..thread(QUICK) });
            assert!(!pace.in_place(), "a transaction that records nothing does not shorten the log");
            pace.ended(thread(QUICK));
        }
        assert!(pace.in_place());
    }

    #[test]
    fn commits_that_are_not_short_go_to_the_thread_and_a_single_long_one_there_changes_nothing() {
        let mut pace = alone();
        pace.ended(thread(Duration::from_secs(1)));
        assert!(pace.in_place());
        for _ in 0..ALONE {
            pace.ended(thread(SHORT * 2));
        }
        assert!(!pace.in_place());
        for _ in 0..2 * ALONE {
            pace.ended(thread(QUICK));
        }
        assert!(pace.in_place());
    }

    #[test]
    fn after_a_commit_in_place_that_took_too_long_the_next_ones_go_to_the_thread() {
        let mut pace = alone();
        pace.ended(caller(TOO_LONG + QUICK));
        for _ in 0..PAUSE {
            assert!(!pace.in_place());
            pace.ended(thread(QUICK));
        }
        assert!(pace.in_place());
    }
}
