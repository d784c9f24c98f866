//! What a replay would do, found out on a sample of history, without touching anything.

use std::time::{Duration, Instant};

use factum::{
    Cursor, Epoch, EventStore, Generation, GenerationInfo, GenerationState, LogPage, PageLimit, Position, Projected,
    ProjectionName, ReadLog,
};
use serde::Serialize;

use crate::ahead::Ahead;
use crate::documents::Documents;
use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::fields::are_alike;
use crate::fold::{Failed, Fold, Page, Why};
use crate::keeper::Keeper;
use crate::projection::Projection;
use crate::projector::{Inner, Projector};
use crate::replay::{not_beyond, up_to};
use crate::replay_error::ReplayError;
use crate::replay_options::ReplayOptions;
use crate::turns::yield_now;

/// So many events of the projection are folded at most to find out how fast that goes.
const SAMPLE: u64 = 100_000;

/// What a replay would read and write, and how long that would take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayEstimate {
    /// The projection.
    pub projection: ProjectionName,
    /// The generation that an earlier replay has left, with which it would go on.
    pub resumes: Option<Generation>,
    /// After which position it would begin to read.
    pub from: Cursor,
    /// Up to where it would read.
    pub to: Cursor,
    /// How many events it would fold, as the sample lets expect.
    pub events: u64,
    /// How many documents it would write, as the sample lets expect: at least those that it holds; `None` where the
    /// projection keeps tables.
    pub documents: Option<u64>,
    /// How many bytes those documents have, as JSON.
    pub document_bytes: Option<u64>,
    /// How many events were sampled, the oldest. All that there are, if it is as many as `events` and it begins at the start.
    pub sampled: u64,
    /// Whether the sample is all of history, so that nothing is a guess but the time.
    pub whole: bool,
    /// How long it would take, in seconds, at the rate at which the sample was read and folded. Writing comes on top of it;
    /// of a projection that keeps tables nothing was folded.
    pub seconds: f64,
}

impl ReplayEstimate {
    /// How many events it would fold in a second.
    pub fn events_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.events as f64 / self.seconds } else { 0.0 }
    }
}

/// What was found in a sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// How many events matched, and in how many positions.
    events: u64,
    positions: u64,
    written: Option<(u64, u64)>,
    time: Duration,
}

impl Projector {
    /// What a [`replay`](Projector::replay) would read and write, and how long that would take at the rate measured on the
    /// oldest events. Nothing is touched: no generation is made, nothing is written or dropped.
    ///
    /// # Errors
    /// [`ReplayError`]: `Halted` where the replay would halt within the sample, `Beyond` where what an earlier one has left is
    /// past where this one is to end.
    pub async fn estimate_replay(&self, name: &str, options: &ReplayOptions) -> Result<ReplayEstimate, ReplayError> {
        let driven = self.inner.find::<ReplayError>(name)?;
        self.inner.estimate(driven, options).await
    }
}

impl Inner {
    async fn estimate(&self, driven: &Driven, options: &ReplayOptions) -> Result<ReplayEstimate, ReplayError> {
        let projection = || driven.name().clone();
        let keeper = driven.keeper().ok_or_else(|| ReplayError::NotDocuments { projection: projection() })?;
        let to = self.goal(driven, options).await?;
        let left = self.left(driven, keeper).await.map_err(|error| told(driven, error))?;
        if let Some(left) = &left {
            not_beyond(driven.name(), options, left)?;
        }
        let from = left.as_ref().map_or_else(Cursor::start, |info| info.checkpoint.clone());
        let sample = match keeper {
            Keeper::Documents(documents) => documents.sample(&*self.store, &to, options).await?,
            Keeper::Tables(_) => self.read_sample(driven, &to, options).await?,
        };
        let all = span(&Cursor::start(), &to);
        let ahead = span(&from, &to);
        let whole = sample.positions >= all;
        let share = ahead as f64 / sample.positions.max(1) as f64;
        Ok(ReplayEstimate {
            projection: projection(),
            resumes: left.map(|info| info.generation),
            from,
            to,
            events: (sample.events as f64 * share).round() as u64,
            documents: sample.written.map(|(documents, _)| documents),
            document_bytes: sample.written.map(|(_, bytes)| bytes),
            sampled: sample.events,
            whole,
            seconds: sample.time.as_secs_f64() * share,
        })
    }

    /// What an earlier replay has left, unless it would be begun anew: it was made of events that are gone, or without a field.
    async fn left(&self, driven: &Driven, keeper: Keeper<'_>) -> Result<Option<GenerationInfo>, ProjectorError> {
        let version = driven.projected.version();
        let is_left = |info: &GenerationInfo| info.version == version && info.state == GenerationState::Building;
        let Some(left) = driven.generations().await?.unwrap_or_default().into_iter().find(is_left) else {
            return Ok(None);
        };
        let declared = driven.documents.as_ref().is_none_or(|documents| are_alike(&left.fields, documents.fields()));
        let stands = declared && !driven.is_off_ground(&*self.store, keeper, left.generation).await?;
        Ok(stands.then_some(left))
    }

    /// Where a replay would end; that is somewhere.
    pub(crate) async fn goal(&self, driven: &Driven, options: &ReplayOptions) -> Result<Cursor, ReplayError> {
        let events = |source| ReplayError::Events { projection: driven.name().clone(), source };
        let head = self.store.head().await.map_err(events)?;
        match &options.to {
            Some(to) if to.positions().any(|(log, to)| to > head.get(log)) => {
                Err(ReplayError::PastHead { projection: driven.name().clone(), to: to.clone(), head })
            }
            Some(to) => Ok(to.clone()),
            None => Ok(head),
        }
    }

    /// Of a projection that keeps tables: nothing can be written to them, so it is only read.
    async fn read_sample(&self, driven: &Driven, to: &Cursor, options: &ReplayOptions) -> Result<Sample, ReplayError> {
        let (started, mut sample) = (Instant::now(), Sample::default());
        for log in self.store.logs() {
            let mut passed = Position::START;
            let read = ReadLog::after(log, passed).filter(driven.projected.filter().clone());
            let mut pages = Ahead::new(&*self.store, within(read, to, options));
            while sample.events < SAMPLE
                && let Some(page) = pages.next().await
            {
                let events = |source| ReplayError::Events { projection: driven.name().clone(), source };
                let LogPage { events, reached, end } = page.map_err(events)?;
                sample.events += events.len() as u64;
                passed = if end { to.get(log) } else { reached.map_or(passed, |mark| mark.position) };
            }
            sample.positions += passed.get();
        }
        sample.time = started.elapsed();
        Ok(sample)
    }
}

impl<P: Projection> Documents<P> {
    /// Folds the oldest events, and makes of them what would be written.
    pub(crate) async fn fold_sample(
        &self,
        store: &dyn EventStore,
        to: &Cursor,
        options: &ReplayOptions,
    ) -> Result<Sample, ReplayError> {
        let (started, mut sample, mut written) = (Instant::now(), Sample::default(), (0, 0));
        for log in store.logs() {
            // From the start a fold holds everything itself, so no generation is asked for anything.
            let mut fold = self.cold(self.shard(Generation(0), log), Position::START, P::FIELDS.into());
            let (mut passed, mut last) = (Position::START, None);
            let read = ReadLog::after(log, passed).filter(self.filter().clone());
            let mut pages = Ahead::new(store, within(read, to, options));
            while sample.events < SAMPLE
                && let Some(page) = pages.next().await
            {
                let events = |source| ReplayError::Events { projection: self.name.clone(), source };
                let LogPage { events, reached, end } = page.map_err(events)?;
                sample.events += events.len() as u64;
                passed = if end { to.get(log) } else { reached.map_or(passed, |mark| mark.position) };
                last = reached.or(last);
                self.fold_sampled(&mut fold, Page::decode(events, P::EVENT_TYPES)).await?;
                pages.look().await;
                yield_now().await;
            }
            sample.positions += passed.get();
            if let Some(last) = last
                && let Ok(commit) = fold.take_commit(store.id(), Position::START, Epoch(0), last)
            {
                let bodies = commit.documents.iter().filter_map(|(_, document)| document.body.as_ref());
                written.0 += commit.documents.len() as u64;
                written.1 += bodies.map(|body| body.len() as u64).sum::<u64>();
            }
        }
        (sample.written, sample.time) = (Some(written), started.elapsed());
        Ok(sample)
    }

    async fn fold_sampled(&self, fold: &mut Fold<P>, mut page: Page<P::Event>) -> Result<(), ReplayError> {
        if page.stopped.is_none() {
            match fold.page(&page).await {
                Ok(()) => {}
                Err(Failed::At(index, cause)) => page.cut(index, cause),
                Err(Failed::Load(source)) => {
                    return Err(ReplayError::Target { projection: self.name.clone(), source: source.into() });
                }
            }
        }
        let Some(stopped) = page.stopped else { return Ok(()) };
        let projection = self.name.clone();
        Err(match &stopped.why {
            Why::Newer(schema_version) => ReplayError::NeedsNewerCode {
                projection,
                log: stopped.log,
                position: stopped.position,
                event_type: stopped.event_type.clone(),
                schema_version: *schema_version,
            },
            Why::Failed(cause) => ReplayError::Halted { projection, failure: Box::new(stopped.failure(cause)) },
        })
    }
}

fn within(read: ReadLog, to: &Cursor, options: &ReplayOptions) -> ReadLog {
    let limit = PageLimit::events(options.page_events).with_bytes(16 << 20);
    let last = to.get(read.log);
    up_to(read.up_to(last).limit(limit), options)
}

fn told(driven: &Driven, error: ProjectorError) -> ReplayError {
    match error {
        ProjectorError::Target { projection, source } => ReplayError::Target { projection, source },
        ProjectorError::Events { projection, source } => ReplayError::Events { projection, source },
        _ => ReplayError::NotDocuments { projection: driven.name().clone() },
    }
}

/// How many positions lie between.
fn span(from: &Cursor, to: &Cursor) -> u64 {
    to.positions().map(|(log, to)| to.get().saturating_sub(from.get(log).get())).sum()
}
