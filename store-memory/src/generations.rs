//! What a generation of a read model holds, and the compare-and-set on its shards.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use factum::{
    Checkpoint, Commit, CommitError, Cursor, Document, DocumentFields, DocumentKey, Epoch, Failure, Field, FieldChange,
    FieldPlace, FieldRange, Generation, GenerationInfo, GenerationState, HistoryFrom, LogId, NewGeneration, Position,
    ProjectionVersion, Shard, StrayFields,
};

/// One build of a read model.
#[derive(Debug)]
pub(crate) struct Build {
    pub(crate) version: ProjectionVersion,
    pub(crate) state: GenerationState,
    created_at: DateTime<Utc>,
    /// Where it is retired.
    pub(crate) kept_until: Option<DateTime<Utc>>,
    pub(crate) fields: Vec<Field>,
    /// By partition and log; only those that something was committed to.
    shards: BTreeMap<(u32, LogId), ShardState>,
    pub(crate) documents: BTreeMap<DocumentKey, BTreeMap<LogId, DocumentVersions>>,
    /// Where versions are kept before which others will be forgotten, and of which documents.
    fading: BTreeMap<(LogId, Position), Vec<DocumentKey>>,
}

/// How many documents' versions a commit forgets, beside twice as many as it keeps.
const FORGET: usize = 256;

#[derive(Debug, Default)]
struct ShardState {
    checkpoint: Checkpoint,
    /// From where on the past is kept.
    kept_from: Position,
    failure: Option<Failure>,
}

/// One document: how it is, and how it was.
#[derive(Debug, Default)]
pub(crate) struct DocumentVersions {
    pub(crate) current: Option<Document>,
    kept: BTreeMap<Position, Document>,
    /// By what it is found and sorted, as core encodes it.
    values: BTreeMap<Cow<'static, str>, Vec<u8>>,
}

impl DocumentVersions {
    pub(crate) fn value(&self, field: &str) -> Option<&[u8]> {
        self.values.get(field).map(Vec::as_slice)
    }

    pub(crate) fn has(&self, range: &FieldRange) -> bool {
        self.value(&range.field).is_some_and(|value| range.contains(value))
    }
}

impl Build {
    pub(crate) fn new(new: &NewGeneration, state: GenerationState, created_at: DateTime<Utc>) -> Self {
        let (shards, documents, fading) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let fields = new.fields.clone();
        Self { version: new.version, state, created_at, kept_until: None, fields, shards, documents, fading }
    }

    pub(crate) fn info(&self, projection: factum::ProjectionName, generation: Generation) -> GenerationInfo {
        GenerationInfo {
            projection,
            generation,
            version: self.version,
            state: self.state,
            created_at: self.created_at,
            kept_until: self.kept_until,
            checkpoint: self.reached(),
            failure: self.failure().cloned(),
            fields: self.fields.clone(),
        }
    }

    /// For each log the least checkpoint of its partitions.
    pub(crate) fn reached(&self) -> Cursor {
        let mut least: BTreeMap<LogId, Position> = BTreeMap::new();
        for ((_, log), shard) in &self.shards {
            let position = shard.checkpoint.position;
            least.entry(*log).and_modify(|least| *least = position.min(*least)).or_insert(position);
        }
        let mut reached = Cursor::start();
        least.into_iter().for_each(|(log, position)| reached.set(log, position));
        reached
    }

    pub(crate) fn failure(&self) -> Option<&Failure> {
        let failed =
            |shard: &ShardState| shard.failure.as_ref().is_some_and(|it| !it.is_over_at(shard.checkpoint.position));
        self.shards.values().find(|shard| failed(shard)).and_then(|shard| shard.failure.as_ref())
    }

    pub(crate) fn checkpoint(&self, shard: &Shard) -> Checkpoint {
        self.shards.get(&(shard.partition, shard.log)).map_or_else(Checkpoint::default, |state| state.checkpoint)
    }

    /// Makes the first partition of each of these logs, at the start, where there is none.
    pub(crate) fn begin(&mut self, logs: &[LogId]) {
        for log in logs {
            self.shards.entry((0, *log)).or_default();
        }
    }

    pub(crate) fn document(&self, key: &DocumentKey, log: LogId) -> Option<&Document> {
        self.documents.get(key)?.get(&log)?.current.as_ref()
    }

    /// The current documents of a key that are not deleted, by log; with `deleted` those too.
    pub(crate) fn documents_of(&self, key: &DocumentKey, deleted: bool) -> Vec<Document> {
        let logs = self.documents.get(key).into_iter().flat_map(BTreeMap::values);
        logs.filter_map(|of_log| of_log.current.clone()).filter(|current| deleted || current.body.is_some()).collect()
    }

    /// What the current documents of a key that are not deleted are found by, by log.
    pub(crate) fn field_values(&self, key: &DocumentKey) -> Vec<DocumentFields> {
        let logs = self.documents.get(key).into_iter().flatten();
        let fields = |(log, of_log): (&LogId, &DocumentVersions)| {
            let current = of_log.current.as_ref().filter(|current| current.body.is_some())?;
            let values = of_log.values.iter().map(|(field, value)| (field.to_string(), value.clone())).collect();
            Some(DocumentFields { log: *log, position: current.bounds.position, values })
        };
        logs.filter_map(fields).collect()
    }

    /// What documents are found by that are not there.
    pub(crate) fn stray_fields(&self, after: Option<&FieldPlace>, limit: usize) -> StrayFields {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(&after.key));
        let of_logs = self.documents.range((from, Bound::Unbounded));
        let of_logs = of_logs.flat_map(|(key, logs)| logs.iter().map(move |(log, of_log)| (key, *log, of_log)));
        let mut places = of_logs
            .flat_map(|(key, log, of_log)| of_log.values.keys().map(move |field| (key, log, of_log, field)))
            .skip_while(|(key, log, _, field)| {
                after.is_some_and(|after| (*key, *log, field.as_ref()) <= (&after.key, after.log, after.field.as_str()))
            })
            .peekable();
        let (mut page, mut last) = (StrayFields::default(), None);
        for (key, log, of_log, field) in places.by_ref().take(limit.max(1)) {
            let place = FieldPlace { key: key.clone(), log, field: field.to_string() };
            if of_log.current.as_ref().is_none_or(|current| current.body.is_none()) {
                page.strays.push((place.clone(), of_log.values[field].clone()));
            }
            last = Some(place);
        }
        page.next = last.filter(|_| places.peek().is_some());
        page
    }

    pub(crate) fn history(&self, key: &DocumentKey, log: LogId, from: &HistoryFrom, limit: usize) -> Vec<Document> {
        let Some(of_log) = self.documents.get(key).and_then(|logs| logs.get(&log)) else { return Vec::new() };
        let all: Vec<_> = of_log.kept.values().chain(&of_log.current).collect();
        let first = match from {
            HistoryFrom::Base(at) => all.iter().rposition(|version| version.bounds.within(at)).unwrap_or(0),
            HistoryFrom::After(position) => all.partition_point(|version| version.bounds.position <= *position),
        };
        all[first..].iter().take(limit).map(|version| (*version).clone()).collect()
    }

    /// From where on the past of a log is kept: the greatest that one of its partitions says.
    pub(crate) fn kept_from(&self, log: LogId) -> Position {
        let of_log = self.shards.iter().filter(|((_, of), _)| *of == log);
        of_log.map(|(_, shard)| shard.kept_from).max().unwrap_or(Position::START)
    }

    /// Writes what a commit holds if its shard is where the commit expects it.
    pub(crate) fn commit(&mut self, commit: Commit) -> Result<(), CommitError> {
        self.expect(&commit.shard, Some(commit.from), commit.epoch)?;
        let checkpoint = &mut self.shard(&commit.shard).checkpoint;
        checkpoint.position = commit.to.position;
        checkpoint.stands_on = Some((commit.store, commit.to.event));
        let (log, keeps) = (commit.shard.log, commit.kept.len());
        for (key, document) in commit.kept {
            if commit.keep_from.is_some() {
                self.fading.entry((log, document.bounds.position)).or_default().push(key.clone());
            }
            self.versions(key, log).kept.insert(document.bounds.position, document);
        }
        for (key, document) in commit.documents {
            self.versions(key, log).current = Some(document);
        }
        for FieldChange { key, field, value } in commit.fields {
            let values = &mut self.versions(key, log).values;
            match value {
                Some(value) => values.insert(field, value.to_bytes()),
                None => values.remove(&field),
            };
        }
        if let Some(from) = commit.keep_from {
            let kept_from = &mut self.shard(&commit.shard).kept_from;
            *kept_from = from.max(*kept_from);
            let from = *kept_from;
            self.forget(log, from, FORGET + 2 * keeps);
        }
        Ok(())
    }

    /// Forgets the versions before the newest at or before a position, of so many documents.
    fn forget(&mut self, log: LogId, from: Position, limit: usize) {
        let mut forgotten = 0;
        while forgotten < limit
            && let Some((of, keys)) = self.fading.range_mut((log, Position::START)..=(log, from)).next()
        {
            let of = *of;
            let Some(key) = keys.pop() else {
                self.fading.remove(&of);
                continue;
            };
            let (_, position) = of;
            if let Some(versions) = self.documents.get_mut(&key).and_then(|logs| logs.get_mut(&log)) {
                versions.kept = versions.kept.split_off(&position);
            }
            forgotten += 1;
        }
    }

    pub(crate) fn raise_epoch(&mut self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError> {
        self.expect(shard, None, expected)?;
        let epoch = Epoch(expected.0.saturating_add(1));
        self.shard(shard).checkpoint.epoch = epoch;
        Ok(epoch)
    }

    /// Changes what it is for. Whoever holds a page of it can no longer commit that.
    pub(crate) fn become_what(&mut self, state: GenerationState, kept_until: Option<DateTime<Utc>>) {
        (self.state, self.kept_until) = (state, kept_until);
        self.raise_every_epoch();
    }

    pub(crate) fn raise_every_epoch(&mut self) {
        self.shards.values_mut().for_each(|state| state.checkpoint.epoch.0 += 1);
    }

    pub(crate) fn report(
        &mut self,
        shard: &Shard,
        expected: Epoch,
        failure: Option<Failure>,
    ) -> Result<(), CommitError> {
        self.expect(shard, None, expected)?;
        self.shard(shard).failure = failure;
        Ok(())
    }

    /// The compare of the compare-and-set: changes nothing.
    fn expect(&self, shard: &Shard, position: Option<Position>, epoch: Epoch) -> Result<(), CommitError> {
        if self.state == GenerationState::Retired {
            return Err(superseded(shard));
        }
        let found = self.checkpoint(shard);
        let expected = position.unwrap_or(found.position);
        if (expected, epoch) == (found.position, found.epoch) {
            return Ok(());
        }
        Err(CommitError::Stale {
            projection: shard.projection.clone(),
            expected,
            expected_epoch: epoch,
            found: found.position,
            found_epoch: found.epoch,
        })
    }

    fn shard(&mut self, shard: &Shard) -> &mut ShardState {
        self.shards.entry((shard.partition, shard.log)).or_default()
    }

    fn versions(&mut self, key: DocumentKey, log: LogId) -> &mut DocumentVersions {
        self.documents.entry(key).or_default().entry(log).or_default()
    }
}

pub(crate) fn superseded(shard: &Shard) -> CommitError {
    CommitError::Superseded { projection: shard.projection.clone(), generation: shard.generation }
}
