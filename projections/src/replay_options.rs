//! How a replay works.

use std::time::Duration;

use factum::{Cursor, Generation};

/// For how long a generation that was replaced is kept, where nothing else is said: page tokens of it stay good meanwhile.
pub const KEEP_OLD: Duration = Duration::from_secs(3_600);

/// How a replay works. The defaults fit. Its memory depends on these and on how many documents there are, and not on how long
/// the log is; the guide on read models and replay counts it up.
///
/// ```
/// use factum::Position;
/// use factum_projections::ReplayOptions;
///
/// let at_once = ReplayOptions::new().keep_old(std::time::Duration::ZERO);
/// let to_look_at = ReplayOptions::new().to(Position::new(29_344));
/// ```
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    pub(crate) page_events: usize,
    pub(crate) commit_events: u64,
    pub(crate) keep_old: Duration,
    pub(crate) to: Option<Cursor>,
    pub(crate) verify: bool,
}

impl ReplayOptions {
    /// The defaults: pages of 1,000 events, a commit after 50,000 events, or 16 for each document that changed if that is more, and 250,000
    /// at most; to the head, without verifying; the old generation is kept for an hour.
    pub fn new() -> Self {
        Self { page_events: 1_000, commit_events: 250_000, keep_old: KEEP_OLD, to: None, verify: false }
    }

    /// For how long the generation that is replaced is kept, by the clock of its store, so that page tokens of it stay good
    /// and one can go back to it. Then whoever runs the projection or replays it drops it. `Duration::ZERO` drops it at
    /// once, `Duration::MAX` keeps it until somebody drops it.
    #[must_use]
    pub fn keep_old(mut self, time: Duration) -> Self {
        self.keep_old = time;
        self
    }

    /// Only up to this position. What is built is to be looked at and not made live, since it would show less than the live
    /// one; a later replay without this goes on with it.
    #[must_use]
    pub fn to(mut self, cursor: impl Into<Cursor>) -> Self {
        self.to = Some(cursor.into());
        self
    }

    /// Compares the documents of the new generation with another fold of history before it becomes live, as
    /// [`verify`](crate::Projector::verify) does. If any differs it does not become live. What it takes while that runs
    /// is not compared.
    #[must_use]
    pub fn verify(mut self) -> Self {
        self.verify = true;
        self
    }

    /// How many events are read at once.
    #[must_use]
    pub fn page_events(mut self, events: usize) -> Self {
        self.page_events = events.max(1);
        self
    }

    /// How many events are folded at most before what they changed is written: what a kill costs.
    #[must_use]
    pub fn commit_events(mut self, events: u64) -> Self {
        self.commit_events = events.max(1);
        self
    }
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a replay makes live.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A generation that it builds from the start of history, or that an earlier one has left.
    Built,
    /// This one, which was retired: it is reopened, and takes what came since.
    Reopened(Generation),
}
