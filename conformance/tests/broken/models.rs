//! Read models, broken.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Checkpoint, Commit, CommitError, Counted, Document, DocumentFields, DocumentKey, DocumentPage, Epoch, Failure,
    FieldPlace, FindDocuments, Found, FoundPage, Generation, GenerationInfo, GenerationState, History, HistoryFrom,
    Lease, LeaseError, LeaseHolder, ListDocuments, LogId, NewGeneration, Position, ProjectionName, ProjectionVersion,
    ReadHistory, ReadModelError, ReadModelStore, ReadTarget, Shard, StrayFields, Switch, SwitchError, TakeLease,
    Tenant,
};

use crate::how::How;
use crate::store::Broken;

#[async_trait]
impl ReadModelStore for Broken {
    async fn open(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        let first = self.calls.fetch_add(1, Ordering::SeqCst) == 0;
        let mut info = match self.how {
            How::OpensAnother if !first => self.inner.build(new).await?,
            _ => self.inner.open(&self.new_generation(new)).await?,
        };
        info.version = new.version;
        Ok(info)
    }

    async fn build(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        let new = self.new_generation(new);
        if self.how == How::BuildsAnother {
            let other = ProjectionVersion(100 + u32::try_from(self.calls.fetch_add(1, Ordering::SeqCst)).unwrap());
            return self.inner.build(&NewGeneration { version: other, ..new }).await;
        }
        self.inner.build(&new).await
    }

    async fn generations(&self, projection: &ProjectionName) -> Result<Vec<GenerationInfo>, ReadModelError> {
        let mut all = self.inner.generations(projection).await?;
        if self.how == How::KeepsFailures {
            all.iter_mut().for_each(|info| info.failure = self.reported.lock().unwrap().clone());
        }
        Ok(all)
    }

    async fn projections(&self) -> Result<Vec<ProjectionName>, ReadModelError> {
        let mut all = self.inner.projections().await?;
        if self.how == How::UnsortedProjections {
            all.reverse();
        }
        Ok(all)
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SwitchError> {
        let all = self.inner.generations(&switch.projection).await.unwrap();
        let back = all.iter().any(|info| info.generation == switch.to && info.state == GenerationState::Retired);
        if self.how == How::NeverSwitches || (self.how == How::NeverSwitchesBack && back) {
            return Ok(());
        }
        match self.inner.switch(switch).await {
            Ok(()) => {
                self.switched.store(true, Ordering::SeqCst);
                Ok(())
            }
            Err(error) => self.switch_anyway(switch, error).await,
        }
    }

    async fn switch_diverged(&self, switch: &Switch) -> Result<(), SwitchError> {
        match (self.how, self.inner.switch_diverged(switch).await) {
            (_, Err(error)) => self.switch_anyway(switch, error).await,
            (_, done) => done,
        }
    }

    async fn retire(
        &self,
        projection: &ProjectionName,
        generation: Generation,
        keep: Option<Duration>,
    ) -> Result<(), ReadModelError> {
        match self.how {
            How::NeverRetires => Ok(()),
            How::KeepsForever => self.inner.retire(projection, generation, None).await,
            _ => self.inner.retire(projection, generation, keep).await,
        }
    }

    async fn reopen(
        &self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError> {
        match (self.how, self.inner.reopen(projection, generation).await) {
            (How::ReopensAnything, Err(ReadModelError::NotRetired { .. })) => {
                let all = self.inner.generations(projection).await?;
                Ok(all.into_iter().find(|info| info.generation == generation).unwrap())
            }
            (How::ReopenKeepsEpochs, done) => {
                self.reopened.store(true, Ordering::SeqCst);
                done
            }
            (How::NeverReopens, Ok(info)) => {
                self.inner.retire(projection, generation, None).await?;
                Ok(info)
            }
            (_, done) => done,
        }
    }

    async fn drop_expired(&self, projection: &ProjectionName) -> Result<Vec<Generation>, ReadModelError> {
        match self.how {
            How::DropsNothing => Ok(Vec::new()),
            How::DropsWhatIsKept => {
                let all = self.inner.generations(projection).await?;
                let retired = all.into_iter().filter(|info| info.state == GenerationState::Retired);
                let mut dropped = Vec::new();
                for info in retired {
                    self.inner.drop_generation(projection, info.generation).await?;
                    dropped.push(info.generation);
                }
                Ok(dropped)
            }
            _ => self.inner.drop_expired(projection).await,
        }
    }

    async fn drop_generation(&self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError> {
        let all = self.inner.generations(projection).await?;
        let building = all.iter().any(|i| i.generation == generation && i.state == GenerationState::Building);
        match self.how {
            How::GivesNumbersTwice if building => Ok(()),
            How::DropsTheLiveOne => self.inner.drop_generation(projection, generation).await.or(Ok(())),
            _ => self.inner.drop_generation(projection, generation).await,
        }
    }

    async fn checkpoint(&self, shard: &Shard) -> Result<Checkpoint, ReadModelError> {
        let answer = self.inner.checkpoint(&self.shard(shard)).await;
        if self.is_empty_instead(&answer) {
            return Ok(Checkpoint::default());
        }
        let mut found = answer?;
        match self.how {
            How::ForgetsWhatItStandsOn => found.stands_on = None,
            How::SwitchKeepsEpochs if self.switched.load(Ordering::SeqCst) => found.epoch = Epoch(0),
            How::BeginsElsewhere if found == Checkpoint::default() => found.epoch = Epoch(1),
            _ => {}
        }
        Ok(found)
    }

    async fn load(&self, shard: &Shard, keys: &[DocumentKey]) -> Result<Vec<Option<Document>>, ReadModelError> {
        let mut keys: Vec<_> = keys.iter().map(|key| self.document_key(key)).collect();
        if self.how == How::SortsAnswers {
            keys.sort();
        }
        let answer = self.inner.load(&self.shard(shard), &keys).await;
        if self.is_empty_instead(&answer) {
            return Ok(vec![None; keys.len()]);
        }
        answer
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let commit = self.changed_commit(commit).await?;
        let retry = commit.clone();
        match (self.how, self.inner.commit(commit).await) {
            (How::WritesWhatIsStale, Err(error @ CommitError::Stale { found, found_epoch, .. })) => {
                self.inner.commit(Commit { from: found, epoch: found_epoch, ..retry }).await?;
                Err(error)
            }
            (How::StaleMakesAShard, Err(error @ CommitError::Stale { .. })) => {
                let _ = self.inner.raise_epoch(&retry.shard, Epoch(0)).await;
                Err(error)
            }
            (How::WritesWhatIsRetired, Err(CommitError::Superseded { .. })) => Ok(()),
            (_, answer) => answer,
        }
    }

    async fn raise_epoch(&self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError> {
        let shard = self.shard(shard);
        match self.how {
            How::NeverRaises => Ok(Epoch(expected.0 + 1)),
            How::RaisesFromAnyEpoch => {
                let now = self.inner.checkpoint(&shard).await.unwrap_or_default();
                self.inner.raise_epoch(&shard, now.epoch).await
            }
            _ => self.inner.raise_epoch(&shard, expected).await,
        }
    }

    async fn report(&self, shard: &Shard, expected: Epoch, failure: Option<Failure>) -> Result<(), CommitError> {
        let shard = self.shard(shard);
        let expected = match self.how {
            How::ForgetsReports => return Ok(()),
            How::ReportsInAnyEpoch => self.inner.checkpoint(&shard).await.unwrap_or_default().epoch,
            _ => expected,
        };
        self.inner.report(&shard, expected, failure.clone()).await?;
        *self.reported.lock().unwrap() = failure;
        Ok(())
    }

    async fn get(&self, target: &ReadTarget, keys: &[DocumentKey]) -> Result<Found, ReadModelError> {
        let target = self.target(target).await;
        let mut keys: Vec<_> = keys.iter().map(|key| self.document_key(key)).collect();
        if self.how == How::SortsAnswers {
            keys.sort();
        }
        let answer = self.inner.get(&target, &keys).await;
        if self.is_empty_instead(&answer) {
            return Ok(Found { read: self.empty(&target), documents: vec![Vec::new(); keys.len()] });
        }
        let mut found = answer?;
        if self.how == How::ShowsDeleted {
            for (key, documents) in keys.iter().zip(&mut found.documents) {
                let from = HistoryFrom::After(Position::START);
                let (target, keys) = (target.clone(), vec![key.clone()]);
                let read = ReadHistory { target, log: LogId::FIRST, keys, from, limit: 100 };
                let last = self.inner.history(&read).await?.versions.remove(0).pop();
                documents.extend(last.filter(|last| last.body.is_none()));
            }
        }
        Ok(found)
    }

    async fn next_tenant(&self, target: &ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError> {
        if self.how == How::KnowsNoOtherTenant {
            return Ok(None);
        }
        self.inner.next_tenant(&self.target(target).await, after).await
    }

    async fn find(&self, find: &FindDocuments) -> Result<FoundPage, ReadModelError> {
        let find = self.finding(find).await;
        let answer = self.inner.find(&find).await;
        let no_field = matches!(answer, Err(ReadModelError::NoField { .. })) && self.how == How::FindsByAnyField;
        if no_field || self.is_empty_instead(&answer) {
            return Ok(FoundPage { read: self.empty(&find.target), documents: Vec::new(), end: true });
        }
        answer
    }

    async fn field_values(
        &self,
        target: &ReadTarget,
        keys: &[DocumentKey],
    ) -> Result<Vec<Vec<DocumentFields>>, ReadModelError> {
        let mut values = self.inner.field_values(target, keys).await?;
        if self.how == How::ValuesWithoutPositions {
            values.iter_mut().flatten().for_each(|of| of.position = Position::START);
        }
        Ok(values)
    }

    async fn stray_fields(
        &self,
        target: &ReadTarget,
        after: Option<&FieldPlace>,
        limit: usize,
    ) -> Result<StrayFields, ReadModelError> {
        let mut page = self.inner.stray_fields(target, after, limit).await?;
        match self.how {
            How::FindsNoStrays => page.strays.clear(),
            How::FindsStraysOfOnePage => page.next = None,
            _ => {}
        }
        Ok(page)
    }

    async fn count(&self, find: &FindDocuments) -> Result<Counted, ReadModelError> {
        let find = self.finding(find).await;
        if self.how == How::CountsPages {
            let page = self.inner.find(&FindDocuments { limit: 3, ..find }).await?;
            return Ok(Counted { read: page.read, count: page.documents.len() as u64 });
        }
        self.inner.count(&find).await
    }

    async fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError> {
        let mut list = list.clone();
        let deleted = list.deleted;
        list.target = self.target(&list.target).await;
        match self.how {
            How::MixesDocumentTenants => list.tenant = Tenant::default(),
            How::ShowsDeleted | How::HidesDeletedTooLate => list.deleted = true,
            _ => {}
        }
        let answer = self.inner.list(&list).await;
        if self.is_empty_instead(&answer) {
            return Ok(DocumentPage { read: self.empty(&list.target), documents: Vec::new(), end: true });
        }
        let mut page = answer?;
        match self.how {
            How::HidesDeletedTooLate if !deleted => {
                page.documents.retain(|(_, documents)| documents.iter().any(|document| document.body.is_some()));
            }
            How::SortsByLetters => page.documents.sort_by_key(|(key, _)| key.key().to_lowercase()),
            How::ListsOnePage => page.end = true,
            _ => {}
        }
        Ok(page)
    }

    async fn diagnose(&self) -> Result<Vec<factum::Finding>, factum::Fault> {
        let mut found = ReadModelStore::diagnose(&*self.inner).await?;
        if self.how == How::FindsAProblemOfReadModels {
            found.push(factum::Finding::new(factum::Severity::Problem, "made-up", "nothing works"));
        }
        Ok(found)
    }

    async fn history(&self, read: &ReadHistory) -> Result<History, ReadModelError> {
        let mut read = read.clone();
        read.target = self.target(&read.target).await;
        read.keys.iter_mut().for_each(|key| *key = self.document_key(key));
        match (self.how, &read.from) {
            (How::MixesLogs, _) => read.log = LogId::FIRST,
            (How::HistorySortsAnswers, _) => read.keys.sort(),
            (How::HistoryIgnoresLimits, _) => read.limit = 100,
            (How::HistoryWithoutBase, HistoryFrom::Base(factum::At::Version(version))) => {
                read.from = HistoryFrom::After(Position::new(version.get()));
            }
            (How::HistoryFromTheOldestBase, HistoryFrom::Base(_)) => {
                read.from = HistoryFrom::After(Position::START);
            }
            (How::HistoryIncludesAfter, HistoryFrom::After(after)) => {
                read.from = HistoryFrom::After(Position::new(after.get().saturating_sub(1)));
            }
            _ => {}
        }
        let answer = self.inner.history(&read).await;
        if self.is_empty_instead(&answer) {
            return Ok(History { versions: vec![Vec::new(); read.keys.len()], ..History::default() });
        }
        let mut history = answer?;
        match self.how {
            How::HistoryWithoutCurrent => history.versions.iter_mut().for_each(|versions| drop(versions.pop())),
            How::ForgetsSilently => history.kept_from = Position::START,
            How::ForgetsTheBase => history.kept_from = Position::new(history.kept_from.get().saturating_sub(15)),
            How::SharesRetention => history.kept_from = self.retention_of_the_live_one(&read).await,
            _ => {}
        }
        Ok(history)
    }

    async fn leases(&self) -> Result<Vec<Lease>, ReadModelError> {
        self.listed_leases().await
    }

    async fn take_lease(&self, take: &TakeLease) -> Result<Lease, LeaseError> {
        self.take_broken(take).await
    }

    async fn renew_leases(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError> {
        self.renew_broken(holder).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadModelError> {
        self.release_broken(lease).await
    }
}
