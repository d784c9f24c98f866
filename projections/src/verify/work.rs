//! A verification at work: it lists documents, reads history, folds what belongs to them, and compares.

use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use factum::{
    Bounds, Cursor, DocumentKey, EventStore, Field, Generation, GenerationInfo, GenerationState, LogId, LogPage,
    NewGeneration, PageLimit, Position, Projected, ReadError, ReadLog, ReadModelError, ReadTarget, Recorded, Tenant,
};

use super::batch::Batch;
use super::fields;
use super::listing::LISTED;
use super::strays::Missing;
use super::versions::judge;
use super::{VerifyError, VerifyOptions, VerifyProgress, VerifyReport, Watch};
use crate::ahead::Ahead;
use crate::documents::Documents;
use crate::drive::ground;
use crate::error::Diverged;
use crate::fold::{Page, Stopped, Why, bounds_of, catching};
use crate::projection::{Keys, Projection};
use crate::turns::yield_now;

pub(crate) struct Verify<'a, P: Projection> {
    pub(super) documents: &'a Documents<P>,
    store: &'a dyn EventStore,
    pub(super) options: &'a VerifyOptions,
    started: Instant,
    sample: Option<Sample>,
    /// By what documents are found: what the generation keeps, and what the code declares.
    pub(super) fields: Vec<Field>,
    /// What is still to be listed, each tenant from after a key.
    todo: VecDeque<(Tenant, Option<String>)>,
    /// The tenants that are listed, or were found in history alone and are to be.
    known: BTreeSet<Tenant>,
    pub(super) listed: usize,
    /// How many kept versions were found wrong.
    wrong: usize,
    /// What was told to be missing.
    pub(super) missing: Missing,
    pub(super) report: VerifyReport,
}

/// Which keys belong to a sample: those whose hash is at most this.
struct Sample {
    hasher: RandomState,
    most: u64,
}

impl Sample {
    fn hash(&self, tenant: &Tenant, key: &str) -> u64 {
        self.hasher.hash_one((tenant.as_str(), key))
    }
}

/// The generation that is asked for, if it was folded by code like this.
fn asked(all: &[GenerationInfo], code: &NewGeneration, generation: Generation) -> Result<Generation, VerifyError> {
    let projection = code.projection.clone();
    match all.iter().find(|info| info.generation == generation) {
        None => Err(VerifyError::NoSuch { projection, generation }),
        Some(info) if info.version != code.version => {
            let (found, version) = (info.version.0, code.version.0);
            Err(VerifyError::OtherVersion { projection, generation, found, version })
        }
        Some(_) => Ok(generation),
    }
}

impl<'a, P: Projection> Verify<'a, P> {
    /// Finds the generation that is asked for, or the live one.
    pub(crate) async fn begin(
        documents: &'a Documents<P>,
        store: &'a dyn EventStore,
        options: &'a VerifyOptions,
    ) -> Result<Self, VerifyError> {
        let started = Instant::now();
        let new = documents.new_generation();
        let all = documents.read_models.generations(&documents.name).await?;
        let generation = match options.generation {
            Some(generation) => asked(&all, &new, generation)?,
            None => {
                let live = all.iter().find(|info| info.version == new.version && info.state == GenerationState::Live);
                let none = || ReadModelError::NoGeneration { projection: new.projection.clone(), version: new.version };
                live.ok_or_else(none)?.generation
            }
        };
        let tenant = options.tenant.clone().unwrap_or_default();
        for key in options.keys.iter().flatten() {
            DocumentKey::new(tenant.clone(), key)?;
        }
        let report = VerifyReport {
            projection: documents.name.clone(),
            generation,
            checkpoint: Cursor::start(),
            documents: 0,
            versions: 0,
            differences: 0,
            fields_passed: 0,
            events: 0,
            passes: 0,
            seconds: 0.0,
        };
        let kept = all.into_iter().find(|info| info.generation == generation).map(|info| info.fields);
        let fields = fields::known::<P>(kept.unwrap_or_default());
        let (todo, known) = (VecDeque::from([(tenant.clone(), None)]), BTreeSet::from([tenant]));
        let (sample, listed, wrong, missing) = (None, LISTED, 0, Missing::default());
        Ok(Self { documents, store, options, started, sample, fields, todo, known, listed, wrong, missing, report })
    }

    pub(crate) async fn run(mut self, mut watch: Watch<'_>) -> Result<VerifyReport, VerifyError> {
        self.check_ground().await?;
        self.find_tenants().await?;
        if let Some(count) = self.options.sample {
            self.pick(count).await?;
        }
        while !self.todo.is_empty() {
            let mut batch = self.list_batch().await?;
            self.report.passes += 1;
            for log in self.store.logs() {
                self.fold_log(&mut batch, log, &mut watch).await?;
            }
            self.compare(&batch, &mut watch)?;
            self.compare_kept(&batch, &mut watch).await?;
        }
        self.find_strays(&mut watch).await?;
        self.report.seconds = self.started.elapsed().as_secs_f64();
        Ok(self.report)
    }

    /// That the read model stands on events of this store, so that there is a history to compare it with.
    async fn check_ground(&self) -> Result<(), VerifyError> {
        let generation = self.report.generation;
        for log in self.store.logs() {
            let at = self.documents.read_models.checkpoint(&self.documents.shard(generation, log)).await?;
            let Some((expected_store, expected)) = at.stands_on else { continue };
            let found = ground(self.store, log, at.position, expected_store, expected).await;
            if let Some((found,)) = found.map_err(|source| self.events(source))? {
                let (projection, store) = (self.documents.name.clone(), self.store.id());
                let position = at.position;
                let diverged = Diverged { projection, log, position, expected_store, expected, store, found };
                return Err(VerifyError::Diverged(Box::new(diverged)));
            }
        }
        Ok(())
    }

    fn events(&self, source: ReadError) -> VerifyError {
        VerifyError::Events { projection: self.documents.name.clone(), source }
    }

    /// Every tenant that has documents is listed, whether or not history tells of it.
    async fn find_tenants(&mut self) -> Result<(), VerifyError> {
        if self.options.tenant.is_some() || self.options.keys.is_some() {
            return Ok(());
        }
        let target = self.target();
        let mut last = Tenant::default();
        while let Some(tenant) = self.documents.read_models.next_tenant(&target, &last).await? {
            self.known.insert(tenant.clone());
            self.todo.push_back((tenant.clone(), None));
            last = tenant;
        }
        Ok(())
    }

    pub(super) fn target(&self) -> ReadTarget {
        ReadTarget::Generation(self.documents.name.clone(), self.report.generation)
    }

    /// Chooses which keys are looked at: those with the least hashes, as many as are asked for.
    async fn pick(&mut self, count: usize) -> Result<(), VerifyError> {
        let mut sample = Sample { hasher: RandomState::new(), most: u64::MAX };
        let mut least = BinaryHeap::new();
        let mut todo = self.todo.clone();
        while let Some((tenant, after)) = todo.pop_front() {
            let part = self.list::<P::Document>(&tenant, after).await?;
            for slot in part.by_key() {
                least.push(sample.hash(&tenant, &slot.key));
                if least.len() > count {
                    least.pop();
                }
            }
            todo.extend(part.until.map(|until| (tenant, Some(until))));
        }
        if least.len() == count {
            sample.most = least.peek().copied().unwrap_or(u64::MAX);
        }
        self.sample = Some(sample);
        Ok(())
    }

    pub(super) fn is_wanted(&self, tenant: &Tenant, key: &str) -> bool {
        self.options.keys.as_ref().is_none_or(|keys| keys.contains(key))
            && self.sample.as_ref().is_none_or(|sample| sample.hash(tenant, key) <= sample.most)
    }

    /// As many documents as may take half of the memory: the other half is for what history makes of them.
    async fn list_batch(&mut self) -> Result<Batch<P::Document>, VerifyError> {
        let mut batch = Batch::default();
        while batch.bytes() <= self.options.memory / 2
            && let Some((tenant, after)) = self.todo.pop_front()
        {
            let mut part = self.list_with_fields(&tenant, after).await?;
            if let Some(until) = &part.until {
                self.todo.push_front((tenant, Some(until.clone())));
            }
            self.find_kept(&mut part).await?;
            self.report.checkpoint.merge(&part.checkpoint);
            batch.push(part);
        }
        Ok(batch)
    }

    /// Reads a log as far as any part is to be folded.
    async fn fold_log(
        &mut self,
        batch: &mut Batch<P::Document>,
        log: LogId,
        watch: &mut Watch<'_>,
    ) -> Result<(), VerifyError> {
        let limit = PageLimit::events(self.options.page_events).with_bytes(16 << 20);
        let filter = self.documents.filter().clone();
        let filter = match &self.options.tenant {
            Some(tenant) => filter.in_tenant(tenant.clone()),
            None => filter,
        };
        let mut pages = Ahead::new(self.store, ReadLog::after(log, Position::START).filter(filter).limit(limit));
        while batch.until(log) > Position::START
            && let Some(page) = pages.next().await
        {
            let LogPage { mut events, reached, end } = page.map_err(|source| self.events(source))?;
            let Some(reached) = reached else { break };
            // What follows the checkpoint may be what the projection is halted at.
            events.truncate(events.partition_point(|event| event.position <= batch.until(log)));
            self.report.events += events.len() as u64;
            self.meet_tenants(events.iter().map(|event| event.stream.tenant()));
            let page = Page::decode(events, P::EVENT_TYPES);
            pages.look().await;
            self.fold_page(batch, page)?;
            self.fit(batch);
            self.report_progress(batch, log, reached.position, watch);
            if end || reached.position >= batch.until(log) {
                break;
            }
            yield_now().await;
        }
        Ok(())
    }

    /// A tenant that history tells of is listed once those are done that are known.
    fn meet_tenants<'t>(&mut self, tenants: impl Iterator<Item = &'t Tenant>) {
        if self.options.tenant.is_some() || self.options.keys.is_some() {
            return;
        }
        for tenant in tenants {
            if !self.known.contains(tenant) {
                self.known.insert(tenant.clone());
                self.todo.push_back((tenant.clone(), None));
            }
        }
    }

    fn fold_page(&mut self, batch: &mut Batch<P::Document>, page: Page<P::Event>) -> Result<(), VerifyError> {
        let (mut keys, mut done) = (Keys::default(), 0);
        let folded = catching(|| {
            for event in &page.events {
                keys.clear();
                self.documents.projection.keys(event, &mut keys);
                for key in keys.iter() {
                    self.fold_key(batch, key, event)?;
                }
                done += 1;
            }
            Ok(())
        });
        let stopped = match folded {
            Ok(Ok(())) => page.stopped,
            Ok(Err(cause)) | Err(cause) => page.stopped_at(done, cause),
        };
        stopped.map_or(Ok(()), |stopped| Err(self.stopped(&stopped)))
    }

    /// Takes an event into a document, as the live fold does.
    fn fold_key(
        &mut self,
        batch: &mut Batch<P::Document>,
        key: &str,
        event: &Recorded<P::Event>,
    ) -> Result<(), String> {
        let tenant = event.stream.tenant();
        let Some(part) = batch.part(tenant, key) else { return Ok(()) };
        if event.position > part.checkpoint.get(event.log) || !self.is_wanted(tenant, key) {
            return Ok(());
        }
        let slot = part.slot(key).map_err(|error| error.to_string())?;
        let at = slot.folded(event.log);
        let kept = slot.kept_at(event.log, event.position);
        let folded = &mut slot.folded[at];
        if folded.named_by == event.position {
            return Ok(());
        }
        folded.named_by = event.position;
        let applied = self.documents.projection.try_apply(key, &mut folded.content, event);
        applied.map_err(|error| error.to_string())?;
        let bounds = bounds_of(event);
        folded.bounds = match folded.bounds {
            Some(known) => Some(Bounds::and(known, bounds)),
            None => folded.content.is_some().then_some(bounds),
        };
        folded.dirty = true;
        if let Some(kept) = kept {
            slot.kept[kept].is = judge(&slot.kept[kept], folded, &mut self.wrong)?;
        }
        batch.unmeasured += 1;
        Ok(())
    }

    /// Gives up what does not fit; it is listed again, and history read again for it.
    fn fit(&mut self, batch: &mut Batch<P::Document>) {
        batch.measure();
        for (tenant, after) in batch.shrink(self.options.memory) {
            if self.todo.front().is_some_and(|(next, _)| *next == tenant) {
                self.todo.pop_front();
            }
            self.todo.push_front((tenant, after));
        }
    }

    fn report_progress(&self, batch: &Batch<P::Document>, log: LogId, at: Position, watch: &mut Watch<'_>) {
        let (mut position, mut until) = (Cursor::start(), Cursor::start());
        for of in self.store.logs() {
            until.set(of, batch.until(of));
            // Logs are read one after the other.
            position.set(of, if of < log { batch.until(of) } else { Position::START });
        }
        position.set(log, at.min(batch.until(log)));
        (watch.progress)(VerifyProgress {
            generation: self.report.generation,
            pass: self.report.passes,
            position,
            until,
            events: self.report.events,
            elapsed: self.started.elapsed(),
        });
    }

    fn stopped(&self, stopped: &Stopped) -> VerifyError {
        let cause = match &stopped.why {
            Why::Failed(cause) => cause.clone(),
            Why::Newer(schema) => format!("its schema version {schema} or its type needs newer code than this"),
        };
        let failure = Box::new(stopped.failure(&cause));
        VerifyError::Halted { projection: self.documents.name.clone(), failure }
    }
}
