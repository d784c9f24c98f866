//! Read models: which generations there are, which is live, and how they are read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use factum::{
    Checkpoint, Commit, CommitError, Counted, Document, DocumentFields, DocumentKey, DocumentPage, DocumentRead, Epoch,
    EventStore, Failure, FieldPlace, FindDocuments, Found, FoundPage, Generation, GenerationInfo, GenerationState,
    History, Lease, LeaseError, LeaseHolder, LeaseName, ListDocuments, NewGeneration, ProjectionName,
    ProjectionVersion, RaiseEpochs, ReadHistory, ReadModelError, ReadModelStore, ReadTarget, Shard, StoreId,
    StrayFields, Switch, SwitchError, TakeLease, Tenant, kept_until,
};

use crate::find;
use crate::generations::{Build, superseded};
use crate::store::MemoryStore;

#[derive(Debug, Default)]
pub(crate) struct ReadModels {
    models: BTreeMap<ProjectionName, Generations>,
    pub(crate) leases: BTreeMap<LeaseName, Lease>,
}

#[derive(Debug, Default)]
struct Generations {
    /// How many there ever were; no number is given twice, so that a dropped generation stays `Expired`.
    given: u64,
    builds: BTreeMap<Generation, Build>,
}

impl Generations {
    fn find(&self, version: ProjectionVersion, state: GenerationState) -> Option<(Generation, &Build)> {
        let mut builds = self.builds.iter().map(|(number, build)| (*number, build));
        builds.find(|(_, build)| build.version == version && build.state == state)
    }
}

impl ReadModels {
    fn find_or_make(&mut self, new: &NewGeneration, state: GenerationState, now: DateTime<Utc>) -> GenerationInfo {
        let of = self.models.entry(new.projection.clone()).or_default();
        if let Some((number, build)) = of.find(new.version, state) {
            return build.info(new.projection.clone(), number);
        }
        of.given += 1;
        let number = Generation(of.given);
        of.builds.entry(number).or_insert(Build::new(new, state, now)).info(new.projection.clone(), number)
    }

    pub(crate) fn raise(&mut self, raise: &RaiseEpochs) {
        let builds = self.models.get_mut(&raise.projection).into_iter().flat_map(|of| of.builds.values_mut());
        for build in builds.filter(|build| (build.version, build.state) == (raise.version, raise.state)) {
            build.begin(&raise.logs);
            build.raise_every_epoch();
        }
    }

    fn existing(&self, projection: &ProjectionName, generation: Generation) -> Result<&Build, ReadModelError> {
        let build = self.models.get(projection).and_then(|of| of.builds.get(&generation));
        build.ok_or_else(|| ReadModelError::Expired { projection: projection.clone(), generation })
    }

    fn writable(&mut self, shard: &Shard) -> Result<&mut Build, CommitError> {
        let build = self.models.get_mut(&shard.projection).and_then(|of| of.builds.get_mut(&shard.generation));
        build.ok_or_else(|| superseded(shard))
    }

    fn target(&self, target: &ReadTarget) -> Result<(DocumentRead, &Build), ReadModelError> {
        let (generation, build) = match target {
            ReadTarget::Generation(projection, generation) => (*generation, self.existing(projection, *generation)?),
            ReadTarget::Live(projection, version) => self
                .models
                .get(projection)
                .and_then(|of| of.find(*version, GenerationState::Live))
                .ok_or_else(|| ReadModelError::NoGeneration { projection: projection.clone(), version: *version })?,
        };
        Ok((DocumentRead { generation, checkpoint: build.reached() }, build))
    }

    /// Where the live generation has `diverged`, how far it is says nothing.
    fn switch(&mut self, switch: &Switch, diverged: bool, now: DateTime<Utc>) -> Result<(), SwitchError> {
        let Switch { projection, from, to, keep_old } = switch;
        let of = self.models.entry(projection.clone()).or_default();
        let live = match of.builds.get(from) {
            Some(build) if build.state == GenerationState::Live => build,
            other => {
                let version = other.or_else(|| of.builds.get(to)).map(|build| build.version);
                let live = version.and_then(|version| of.find(version, GenerationState::Live));
                let live = live.map(|(number, _)| number);
                return Err(SwitchError::NotLive { projection: projection.clone(), from: *from, live });
            }
        };
        let unfit = |why: String| SwitchError::Unfit { projection: projection.clone(), to: *to, why };
        let next = of.builds.get(to).ok_or_else(|| unfit("there is no such generation".to_owned()))?;
        if next.version != live.version {
            return Err(unfit(format!("it is of version {}, the live one of {}", next.version, live.version)));
        }
        if next.state == GenerationState::Live {
            return Err(unfit("it is live already".to_owned()));
        }
        if let Some(failure) = next.failure() {
            return Err(unfit(failure.to_string()));
        }
        for (log, live) in live.reached().positions() {
            let at = next.reached().get(log);
            if at < live && !diverged {
                return Err(SwitchError::Behind { projection: projection.clone(), to: *to, log, at, live });
            }
        }
        let until = keep_old.and_then(|keep| kept_until(now, keep));
        for (number, state, until) in [(from, GenerationState::Retired, until), (to, GenerationState::Live, None)] {
            if let Some(build) = of.builds.get_mut(number) {
                build.become_what(state, until);
            }
        }
        Ok(())
    }

    fn existing_mut(
        &mut self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<&mut Build, ReadModelError> {
        let build = self.models.get_mut(projection).and_then(|of| of.builds.get_mut(&generation));
        build.ok_or_else(|| ReadModelError::Expired { projection: projection.clone(), generation })
    }

    fn reopen(
        &mut self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError> {
        let build = self.existing_mut(projection, generation)?;
        if !matches!(build.state, GenerationState::Retired | GenerationState::Reopened) {
            return Err(ReadModelError::NotRetired { projection: projection.clone(), generation });
        }
        build.become_what(GenerationState::Reopened, None);
        Ok(build.info(projection.clone(), generation))
    }

    fn drop_expired(&mut self, projection: &ProjectionName, now: DateTime<Utc>) -> Vec<Generation> {
        let Some(of) = self.models.get_mut(projection) else { return Vec::new() };
        let is_over = |build: &Build| {
            build.state == GenerationState::Retired && build.kept_until.is_some_and(|until| until <= now)
        };
        of.builds.extract_if(.., |_, build| is_over(build)).map(|(number, _)| number).collect()
    }

    fn drop_generation(&mut self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError> {
        let Some(of) = self.models.get_mut(projection) else { return Ok(()) };
        if of.builds.get(&generation).is_some_and(|build| build.state == GenerationState::Live) {
            return Err(ReadModelError::Live { projection: projection.clone(), generation });
        }
        of.builds.remove(&generation);
        Ok(())
    }

    fn next_tenant(&self, target: &ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError> {
        let (_, build) = self.target(target)?;
        let mut tenants = build.documents.keys().map(DocumentKey::tenant).filter(|tenant| !tenant.is_default());
        Ok(tenants.find(|tenant| after.is_default() || *tenant > after).cloned())
    }

    fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError> {
        let (read, build) = self.target(&list.target)?;
        let after = list.after.as_ref().filter(|after| !after.is_empty());
        let after = after.map(|after| DocumentKey::new(list.tenant.clone(), after)).transpose()?;
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut listed = build
            .documents
            .range((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .skip_while(|key| *key.tenant() < list.tenant)
            .take_while(|key| *key.tenant() == list.tenant)
            .map(|key| (key.clone(), build.documents_of(key, list.deleted)))
            .filter(|(_, documents)| !documents.is_empty())
            .peekable();
        let documents = listed.by_ref().take(list.limit.max(1)).collect();
        Ok(DocumentPage { read, documents, end: listed.peek().is_none() })
    }
}

#[async_trait]
impl ReadModelStore for MemoryStore {
    async fn open(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        let now = self.now();
        Ok(self.lock(&self.read_models)?.find_or_make(new, GenerationState::Live, now))
    }

    async fn build(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        let now = self.now();
        Ok(self.lock(&self.read_models)?.find_or_make(new, GenerationState::Building, now))
    }

    async fn generations(&self, projection: &ProjectionName) -> Result<Vec<GenerationInfo>, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let builds = models.models.get(projection).into_iter().flat_map(|of| &of.builds);
        Ok(builds.map(|(number, build)| build.info(projection.clone(), *number)).collect())
    }

    async fn projections(&self) -> Result<Vec<ProjectionName>, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        Ok(models.models.iter().filter(|(_, of)| !of.builds.is_empty()).map(|(name, _)| name.clone()).collect())
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SwitchError> {
        let now = self.now();
        self.lock(&self.read_models)?.switch(switch, false, now)
    }

    async fn switch_diverged(&self, switch: &Switch) -> Result<(), SwitchError> {
        let now = self.now();
        self.lock(&self.read_models)?.switch(switch, true, now)
    }

    async fn retire(
        &self,
        projection: &ProjectionName,
        generation: Generation,
        keep: Option<Duration>,
    ) -> Result<(), ReadModelError> {
        let until = keep.and_then(|keep| kept_until(self.now(), keep));
        let mut models = self.lock(&self.read_models)?;
        models.existing_mut(projection, generation)?.become_what(GenerationState::Retired, until);
        Ok(())
    }

    async fn reopen(
        &self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError> {
        self.lock(&self.read_models)?.reopen(projection, generation)
    }

    async fn drop_expired(&self, projection: &ProjectionName) -> Result<Vec<Generation>, ReadModelError> {
        let now = self.now();
        Ok(self.lock(&self.read_models)?.drop_expired(projection, now))
    }

    async fn drop_generation(&self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError> {
        self.lock(&self.read_models)?.drop_generation(projection, generation)
    }

    async fn checkpoint(&self, shard: &Shard) -> Result<Checkpoint, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        Ok(models.existing(&shard.projection, shard.generation)?.checkpoint(shard))
    }

    async fn load(&self, shard: &Shard, keys: &[DocumentKey]) -> Result<Vec<Option<Document>>, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let build = models.existing(&shard.projection, shard.generation)?;
        Ok(keys.iter().map(|key| build.document(key, shard.log).cloned()).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.lock(&self.read_models)?.writable(&commit.shard)?.commit(commit)
    }

    async fn raise_epoch(&self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError> {
        self.lock(&self.read_models)?.writable(shard)?.raise_epoch(shard, expected)
    }

    async fn report(&self, shard: &Shard, expected: Epoch, failure: Option<Failure>) -> Result<(), CommitError> {
        self.lock(&self.read_models)?.writable(shard)?.report(shard, expected, failure)
    }

    async fn get(&self, target: &ReadTarget, keys: &[DocumentKey]) -> Result<Found, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let (read, build) = models.target(target)?;
        Ok(Found { read, documents: keys.iter().map(|key| build.documents_of(key, false)).collect() })
    }

    async fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError> {
        self.lock(&self.read_models)?.list(list)
    }

    async fn find(&self, find: &FindDocuments) -> Result<FoundPage, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let (read, build) = models.target(&find.target)?;
        find::find(find, read, build)
    }

    async fn count(&self, find: &FindDocuments) -> Result<Counted, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let (read, build) = models.target(&find.target)?;
        find::count(find, read, build)
    }

    async fn field_values(
        &self,
        target: &ReadTarget,
        keys: &[DocumentKey],
    ) -> Result<Vec<Vec<DocumentFields>>, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let (_, build) = models.target(target)?;
        Ok(keys.iter().map(|key| build.field_values(key)).collect())
    }

    async fn stray_fields(
        &self,
        target: &ReadTarget,
        after: Option<&FieldPlace>,
        limit: usize,
    ) -> Result<StrayFields, ReadModelError> {
        Ok(self.lock(&self.read_models)?.target(target)?.1.stray_fields(after, limit))
    }

    async fn next_tenant(&self, target: &ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError> {
        self.lock(&self.read_models)?.next_tenant(target, after)
    }

    async fn history(&self, read: &ReadHistory) -> Result<History, ReadModelError> {
        let models = self.lock(&self.read_models)?;
        let (_, build) = models.target(&read.target)?;
        let versions = read.keys.iter().map(|key| build.history(key, read.log, &read.from, read.limit)).collect();
        Ok(History { kept_from: build.kept_from(read.log), versions })
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(EventStore::id(self))
    }

    async fn leases(&self) -> Result<Vec<Lease>, ReadModelError> {
        Ok(self.lock(&self.read_models)?.leases.values().cloned().collect())
    }

    async fn take_lease(&self, take: &TakeLease) -> Result<Lease, LeaseError> {
        let now = self.now();
        self.lock(&self.read_models)?.take_lease(take, now)
    }

    async fn renew_leases(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError> {
        Ok(self.lock(&self.read_models)?.renew_leases(holder))
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadModelError> {
        Ok(self.lock(&self.read_models)?.release_lease(lease))
    }
}
