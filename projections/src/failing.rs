//! A projection that fails again and again, told to other processes: in the note of the lease under which it is driven.
//!
//! Nothing is written while all is well, nor for what is over after a try or two: the note is written when it has lasted, when it
//! has changed and some time has passed, and when it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use factum::to_micros;
use serde::{Deserialize, Serialize};

use crate::drive::Driven;
use crate::projector::Inner;

/// After how many tries others are told.
const LASTS: u32 = 3;

/// How much time lies at least between two notes about one trouble.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How a note says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failing {
    /// What goes wrong.
    failing: String,
    /// How often it was tried.
    tries: u32,
    /// Since when, by the clock of the process that drives it.
    since: DateTime<Utc>,
}

/// What a process knows of the trouble of one projection.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    now: Option<Failing>,
    /// What others were told, and when.
    told: Option<(String, Instant)>,
}

impl Failing {
    /// What a note says, if it is of this kind.
    pub(crate) fn of(note: &str) -> Option<Self> {
        serde_json::from_str(note).ok()
    }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.format("%Y-%m-%d %H:%M:%S UTC");
        write!(f, "{}; it is tried again since {since}, {} times so far", self.failing, self.tries)
    }
}

impl Lasting {
    /// A step failed, again or for the first time.
    pub(crate) fn failed(&mut self, why: &str) {
        let (tries, since) = self.now.take().map_or_else(|| (0, to_micros(Utc::now())), |now| (now.tries, now.since));
        self.now = Some(Failing { failing: why.to_owned(), tries: tries.saturating_add(1), since });
    }

    /// It goes on.
    pub(crate) fn went_on(&mut self) {
        self.now = None;
    }

    /// The lease was lost, and with it what its note said.
    pub(crate) fn lost(&mut self) {
        self.told = None;
    }

    /// The note that is to be written now, empty where all is well again.
    fn to_tell(&self) -> Option<String> {
        match (&self.now, &self.told) {
            (None, None) => None,
            (None, Some(_)) => Some(String::new()),
            (Some(now), None) => (now.tries >= LASTS).then(|| note(now)),
            (Some(now), Some((said, when))) => {
                let note = note(now);
                (note != *said && when.elapsed() >= TELL_EVERY).then_some(note)
            }
        }
    }

    fn told(&mut self, note: String) {
        self.told = (!note.is_empty()).then(|| (note, Instant::now()));
    }
}

fn note(failing: &Failing) -> String {
    serde_json::to_string(failing).unwrap_or_default()
}

impl Inner {
    /// Tells others of what fails here and lasts, and that it is over.
    pub(crate) async fn tell_failing(&self) {
        for driven in &self.driven {
            self.tell_failing_of(driven).await;
        }
    }

    async fn tell_failing_of(&self, driven: &Arc<Driven>) {
        if !self.leases.held(&driven.lease) {
            driven.lasting().lost();
            return;
        }
        let Some(note) = driven.lasting().to_tell() else { return };
        match self.leases.note(&*self.read_models, &driven.lease, note.clone()).await {
            Ok(()) => driven.lasting().told(note),
            Err(error) => tracing::debug!(projection = %driven.name(), %error, "others cannot be told that it fails"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_soon_is_never_told_and_what_lasts_is_told_once() {
        let mut lasting = Lasting::default();
        assert_eq!(lasting.to_tell(), None);
        lasting.failed("no route");
        lasting.went_on();
        for _ in 1..LASTS {
            lasting.failed("no route");
            assert_eq!(lasting.to_tell(), None, "it was told too early");
        }
        lasting.failed("no route");
        let note = lasting.to_tell().unwrap();
        let failing = Failing::of(&note).unwrap();
        assert_eq!((failing.failing.as_str(), failing.tries), ("no route", LASTS));
        lasting.told(note);
        lasting.failed("no route");
        assert_eq!(lasting.to_tell(), None, "each try is written");
        lasting.went_on();
        assert_eq!(lasting.to_tell().as_deref(), Some(""));
        lasting.told(String::new());
        assert_eq!(lasting.to_tell(), None);
    }

    #[test]
    fn other_notes_say_nothing_of_it() {
        for note in ["", "[]", "replaying", "[\"projection/a/1\"]"] {
            assert_eq!(Failing::of(note), None, "{note}");
        }
    }
}
