//! Building a read model anew from history, while the old one serves.

use std::time::Duration;

use factum::{Cursor, Generation, ProjectionName};
use serde::Serialize;

use crate::error::ReplayError;
use crate::projector::Projector;
use crate::replay_generations::GenerationsReplay;

/// How a replay works. The defaults fit.
///
/// ```
/// let keeping = factum_projections::ReplayOptions::new().keep_old();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReplayOptions {
    pub(crate) page_events: usize,
    pub(crate) commit_events: u64,
    pub(crate) keep_old: bool,
}

impl ReplayOptions {
    /// The defaults: pages of 1,000 events, a commit after 50,000 events, or 16 for each document that changed if that is more, and 250,000
    /// at most; the old generation is dropped.
    pub fn new() -> Self {
        Self { page_events: 1_000, commit_events: 250_000, keep_old: false }
    }

    /// Keeps the generation that was replaced, so that page tokens of it stay good until it is dropped.
    #[must_use]
    pub fn keep_old(mut self) -> Self {
        self.keep_old = true;
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

/// How far a replay is.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayProgress {
    /// The generation that it builds.
    pub generation: Generation,
    /// How far it has folded.
    pub position: Cursor,
    /// How far it has to fold, as of now.
    pub head: Cursor,
    /// How many events it has folded since it began or was resumed.
    pub events: u64,
    /// For how long it has run since.
    pub elapsed: Duration,
}

impl ReplayProgress {
    /// How many events it folds in a second.
    pub fn events_per_second(&self) -> f64 {
        per_second(self.events, self.elapsed)
    }

    /// What part of the way is done, from 0 to 1, where positions count events.
    pub fn fraction(&self) -> f64 {
        let sum = |cursor: &Cursor| cursor.positions().map(|(_, position)| position.get() as f64).sum::<f64>();
        let head = sum(&self.head);
        if head > 0.0 { (sum(&self.position) / head).min(1.0) } else { 1.0 }
    }
}

/// What a replay has done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayReport {
    /// The projection.
    pub projection: ProjectionName,
    /// The generation that is live now.
    pub generation: Generation,
    /// How many events were folded; after a resumption, since then.
    pub events: u64,
    /// How long that took, in seconds.
    pub seconds: f64,
    /// Where it went on after an earlier replay that had not ended; `None` if it began at the start.
    pub resumed_at: Option<Cursor>,
}

impl ReplayReport {
    /// How many events were folded in a second.
    pub fn events_per_second(&self) -> f64 {
        per_second(self.events, Duration::from_secs_f64(self.seconds))
    }
}

fn per_second(events: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { events as f64 / time.as_secs_f64() }
}

/// Told how far a replay is, after every page.
pub(crate) type Progress<'a> = &'a mut (dyn FnMut(ReplayProgress) + Send);

impl Projector {
    /// Builds the read model of a projection anew from history in a generation of its own, while the live one serves;
    /// when it has caught up, it takes the other's place in one step.
    ///
    /// A replay that was stopped, even killed, leaves the live one as it was; the next one goes on where its last commit
    /// was. `progress` is called after each page, and nothing is printed.
    ///
    /// # Errors
    /// [`ReplayError`]; the live read model is then as it was.
    pub async fn replay(
        &self,
        name: &str,
        options: ReplayOptions,
        mut progress: impl FnMut(ReplayProgress) + Send,
    ) -> Result<ReplayReport, ReplayError> {
        let driven = self.inner.find::<ReplayError>(name)?;
        let store = &*self.inner.store;
        if let Some(documents) = &driven.documents {
            return documents.replay(driven, store, options, &mut progress).await;
        }
        match driven.projected.generations() {
            Some(generations) => {
                GenerationsReplay::begin(driven, generations, store, options).await?.run(&mut progress).await
            }
            None => Err(ReplayError::NotDocuments { projection: driven.name().clone() }),
        }
    }
}
