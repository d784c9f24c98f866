//! What is broken on the way to and from the read models.

use std::sync::atomic::Ordering;

use factum::{
    Checkpoint, Commit, CommitError, Document, DocumentKey, DocumentRead, FindDocuments, Generation, HistoryFrom,
    LogId, NewGeneration, Position, Positions, ProjectionVersion, ReadHistory, ReadModelError, ReadModelStore,
    ReadTarget, Shard, Switch, SwitchError, Tenant,
};

use crate::how::How;
use crate::store::Broken;

impl Broken {
    pub(crate) fn new_generation(&self, new: &NewGeneration) -> NewGeneration {
        let version = if self.how == How::MixesVersions { ProjectionVersion(1) } else { new.version };
        NewGeneration { version, ..new.clone() }
    }

    pub(crate) fn shard(&self, shard: &Shard) -> Shard {
        let mut shard = shard.clone();
        match self.how {
            How::MixesPartitions => shard.partition = 0,
            How::MixesLogs => shard.log = LogId::FIRST,
            _ => {}
        }
        shard
    }

    pub(crate) fn document_key(&self, key: &DocumentKey) -> DocumentKey {
        match self.how {
            How::MixesDocumentTenants => DocumentKey::new(Tenant::default(), key.key()).unwrap(),
            _ => key.clone(),
        }
    }

    pub(crate) async fn target(&self, target: &ReadTarget) -> ReadTarget {
        let name = target.projection().clone();
        match (self.how, target) {
            (How::MixesVersions, ReadTarget::Live(..)) | (How::ReadsTheLiveOne, _) => {
                ReadTarget::Live(name, ProjectionVersion(1))
            }
            (How::ServesWhatIsBuilt, ReadTarget::Live(..)) => {
                let all = self.inner.generations(&name).await.unwrap();
                all.last().map_or(target.clone(), |newest| ReadTarget::Generation(name, newest.generation))
            }
            _ => target.clone(),
        }
    }

    pub(crate) fn document(&self, document: &mut Document) {
        match self.how {
            How::TruncatesDocuments => {
                document.body = document.body.take().map(|body| body.slice(..body.len().min(3)));
            }
            How::DropsDocumentPositions => document.positions = Positions::default(),
            _ => {}
        }
    }

    pub(crate) async fn changed_commit(&self, mut commit: Commit) -> Result<Commit, CommitError> {
        commit.shard = self.shard(&commit.shard);
        let now = self.inner.checkpoint(&commit.shard).await.unwrap_or_default();
        match self.how {
            How::CommitsOnAnyCheckpoint => commit.from = now.position,
            How::CommitsInAnyEpoch => commit.epoch = now.epoch,
            How::SwitchKeepsEpochs if self.switched.load(Ordering::SeqCst) => commit.epoch = now.epoch,
            How::ReopenKeepsEpochs if self.reopened.load(Ordering::SeqCst) => commit.epoch = now.epoch,
            How::CommitsNoDocuments => commit.documents.clear(),
            How::CutsLargeCommits => commit.documents.truncate(1_000),
            How::KeepsNothing => commit.kept.clear(),
            How::ForgetsNothing => commit.keep_from = None,
            How::ForgetsTheBase => commit.keep_from = commit.keep_from.map(|from| Position::new(from.get() + 15)),
            How::KeepsFirstValues if now != Checkpoint::default() => commit.fields.clear(),
            How::KeepsTheFirst => {
                let mut kept = Vec::new();
                for (key, document) in std::mem::take(&mut commit.kept) {
                    if !self.is_kept(&commit.shard, &key, document.bounds.position).await {
                        kept.push((key, document));
                    }
                }
                commit.kept = kept;
            }
            _ => {}
        }
        for (key, document) in commit.documents.iter_mut().chain(&mut commit.kept) {
            *key = self.document_key(key);
            self.document(document);
        }
        commit.fields.iter_mut().for_each(|change| change.key = self.document_key(&change.key));
        Ok(commit)
    }

    pub(crate) async fn is_kept(&self, shard: &Shard, key: &DocumentKey, at: Position) -> bool {
        let target = ReadTarget::Generation(shard.projection.clone(), shard.generation);
        let from = HistoryFrom::After(Position::START);
        let read = ReadHistory { target, log: shard.log, keys: vec![key.clone()], from, limit: 100 };
        let history = self.inner.history(&read).await.unwrap();
        history.versions[0].iter().any(|document| document.bounds.position == at)
    }

    pub(crate) async fn retention_of_the_live_one(&self, read: &ReadHistory) -> Position {
        let target = ReadTarget::Live(read.target.projection().clone(), ProjectionVersion(1));
        let of = ReadHistory { target, log: LogId::FIRST, ..read.clone() };
        self.inner.history(&of).await.unwrap().kept_from
    }

    pub(crate) async fn switch_anyway(&self, switch: &Switch, error: SwitchError) -> Result<(), SwitchError> {
        match (self.how, error) {
            (How::SwitchesWhileBehind, SwitchError::Behind { .. }) => self.inner.switch_diverged(switch).await,
            (How::SwitchesToWhatFailed, SwitchError::Unfit { why, .. }) if why.contains("halted") => Ok(()),
            (How::SwitchesFromAnything, SwitchError::NotLive { .. }) => Ok(()),
            (How::SwitchesToAnything, SwitchError::Unfit { .. }) => Ok(()),
            (_, error) => Err(error),
        }
    }

    pub(crate) fn empty(&self, target: &ReadTarget) -> DocumentRead {
        let generation = match target {
            ReadTarget::Generation(_, generation) => *generation,
            ReadTarget::Live(..) => Generation(1),
        };
        DocumentRead { generation, checkpoint: factum::Cursor::start() }
    }

    pub(crate) async fn finding(&self, find: &FindDocuments) -> FindDocuments {
        let mut find = find.clone();
        find.target = self.target(&find.target).await;
        match self.how {
            How::MixesDocumentTenants => find.tenant = Tenant::default(),
            How::FindsByOneCondition => find.conditions.truncate(1),
            How::FindsForwardOnly => find.descending = false,
            How::FindsOnePage => find.after = None,
            _ => {}
        }
        find
    }

    pub(crate) fn is_empty_instead<T>(&self, answer: &Result<T, ReadModelError>) -> bool {
        self.how == How::ExpiredIsEmpty && matches!(answer, Err(ReadModelError::Expired { .. }))
    }
}
