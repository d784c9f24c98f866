//! Appending, broken.

use std::sync::atomic::Ordering;

use factum::{
    Append, AppendError, Appended, Condition, Cursor, EventStore, EventType, Fault, FaultKind, Fingerprint, InputError,
    Key, LogId, NewEvent, Outcome, Position, Query, QueryCondition, ReadLog, ReadStream, StreamId, StreamWrite, Tenant,
    Version, Versions,
};

use crate::how::How;
use crate::store::Broken;

impl Broken {
    pub(crate) async fn broken_append(&self, append: Append) -> Result<Appended, AppendError> {
        let append = self.changed(append);
        match self.how {
            How::LosesAppends if self.loses(&append) => return Ok(self.pretended(&append).await),
            How::HalfApplies | How::HalfVisible if append.writes.len() > 1 => return self.one_by_one(append).await,
            How::RefusesQueriesOfNothing | How::RefusesCursorsBeyondTheHead if self.wrong_cursor(&append).await => {
                return Err(AppendError::NotDone(Fault::new(FaultKind::Other, "no event stands there")));
            }
            How::FailsNeighbours if self.switched.swap(false, Ordering::SeqCst) => {
                return Err(AppendError::NotDone(Fault::new(FaultKind::Other, "another append failed")));
            }
            How::ForgetsRefusals | How::ForgetsKeys if append.events() == 0 && append.keyed.is_some() => {
                return Ok(Appended::new(append.outcome_without_events(), false));
            }
            How::LooksUpKeysLate if self.known(&append).await => self.conditions_first(&append).await?,
            How::LooksUpKeysAfterQueries if self.known(&append).await => self.query_first(&append).await?,
            _ => {}
        }
        let retry = append.clone();
        let answer = self.inner.append(append).await;
        self.answered(retry, answer).await
    }

    /// Other input than was given.
    fn changed(&self, mut append: Append) -> Append {
        for write in &mut append.writes {
            write.stream = self.stream(write.stream.clone());
            write.condition = self.condition(write.condition, write.events.is_empty());
            write.events.iter_mut().for_each(|event| self.event(event));
            if self.how == How::CutsLargeAppends {
                write.events.truncate(1_000);
            }
            if self.how == How::MarksEmptyWrites && write.events.is_empty() {
                write.events.push(NewEvent::new(EventType::new("Marked").unwrap(), "{\"n\":0}"));
            }
        }
        append.query_condition = append.query_condition.and_then(|condition| self.query_condition(condition));
        if let Some(keyed) = &mut append.keyed {
            keyed.key = self.key(keyed.key.clone());
            if self.how == How::IgnoresFingerprints {
                keyed.fingerprint = Fingerprint::of(b"");
            }
        }
        if self.how == How::ForgetsKeys && append.events() > 0 {
            append.keyed = None;
        }
        append
    }

    fn condition(&self, condition: Condition, empty: bool) -> Condition {
        match (self.how, condition) {
            (How::IgnoresConditions, _) | (How::IgnoresNoStream, Condition::NoStream) => Condition::Any,
            (How::IgnoresExists, Condition::Exists) | (How::IgnoresVersions, Condition::Version(_)) => Condition::Any,
            (How::IgnoresConditionsOfEmptyWrites, _) if empty => Condition::Any,
            (How::RefusesAny, Condition::Any) => Condition::NoStream,
            _ => condition,
        }
    }

    fn query_condition(&self, condition: QueryCondition) -> Option<QueryCondition> {
        let QueryCondition { query, mut after } = condition;
        let tenant = query.tenant().cloned();
        let query = match (self.how, tenant) {
            (How::IgnoresQueryConditions, _) | (How::IgnoresQueriesOfAllTenants, None) => return None,
            (How::WidensQueryConditions, Some(tenant)) => Query::all().in_tenant(tenant),
            (How::WidensQueryConditionsToAllTenants, _) => Query::all(),
            _ => query,
        };
        if self.how == How::QueryConditionsIncludeTheirCursor {
            after.set(LogId::FIRST, Position::new(after.get(LogId::FIRST).get().saturating_sub(1)));
        }
        Some(QueryCondition { query, after })
    }

    fn event(&self, event: &mut NewEvent) {
        match self.how {
            How::TruncatesPayloads if event.payload.len() > 7 => event.payload = "null".into(),
            How::ReformatsPayloads => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&event.payload) {
                    event.payload = value.to_string().into();
                }
            }
            How::DropsTags => event.tags.clear(),
            How::DropsMetadata => event.metadata = factum::Metadata::new(),
            How::CutsTimes => {
                if let Some(when) = event.metadata.when() {
                    let millis = chrono::DateTime::from_timestamp_millis(when.timestamp_millis()).unwrap();
                    event.metadata = event.metadata.clone().occurred_at(millis);
                }
            }
            How::DropsSchemaVersions => event.schema_version = 1,
            _ => {}
        }
    }

    /// The stream that is taken for another.
    pub(crate) fn stream(&self, stream: StreamId) -> StreamId {
        match self.how {
            How::MixesTenants => stream.in_tenant(Tenant::default()),
            How::FoldsCase => {
                let tenant = stream.tenant().clone();
                StreamId::new(stream.name().to_lowercase()).unwrap().in_tenant(tenant)
            }
            How::CutsNames if stream.name().len() > 200 => {
                let cut: String = stream.name().chars().take(100).collect();
                StreamId::new(cut).unwrap().in_tenant(stream.tenant().clone())
            }
            _ => stream,
        }
    }

    pub(crate) fn key(&self, key: Key) -> Key {
        if self.how == How::SharesKeysAmongTenants { key.in_tenant(Tenant::default()) } else { key }
    }

    fn loses(&self, append: &Append) -> bool {
        append.events() > 0 && append.keyed.is_none() && self.calls.fetch_add(1, Ordering::SeqCst) % 3 == 2
    }

    /// An answer for what is not recorded.
    async fn pretended(&self, append: &Append) -> Appended {
        let mut versions = Vec::new();
        for write in append.writes.iter().filter(|write| !write.events.is_empty()) {
            let last = self.version(&write.stream).await;
            let first = Version::after(last);
            let last = Version::advance(last, write.events.len() as u64).unwrap();
            versions.push(Versions { stream: write.stream.clone(), first, last });
        }
        let (log, position) = (LogId::FIRST, self.inner.head().await.unwrap().get(LogId::FIRST));
        let recorded_at = chrono::Utc::now();
        Appended::new(Outcome::Accepted { log, first: position, last: position, recorded_at, versions }, false)
    }

    async fn version(&self, stream: &StreamId) -> Option<Version> {
        let last = self.inner.read_stream(ReadStream::new(stream.clone()).backward().limit(1)).await.unwrap();
        last.events.first().map(|event| event.version)
    }

    async fn one_by_one(&self, append: Append) -> Result<Appended, AppendError> {
        append.check(&self.limits())?;
        let mut answers = Vec::new();
        for write in append.writes {
            if !write.events.is_empty() {
                let one = Append { writes: vec![write], ..Append::default() };
                answers.push(self.inner.append(one).await?);
            }
            if self.how == How::HalfVisible {
                tokio::task::yield_now().await;
            }
        }
        let mut answers = answers.into_iter();
        let mut whole = answers.next().unwrap();
        for answer in answers {
            if let (Outcome::Accepted { last, versions, .. }, Outcome::Accepted { last: later, versions: more, .. }) =
                (&mut whole.outcome, answer.outcome)
            {
                *last = later;
                versions.extend(more);
            }
        }
        Ok(Appended::new(whole.outcome, false))
    }

    /// Whether a query condition looks at an empty log, or beyond the head.
    async fn wrong_cursor(&self, append: &Append) -> bool {
        let Some(condition) = &append.query_condition else { return false };
        let head = self.inner.head().await.unwrap();
        match self.how {
            How::RefusesQueriesOfNothing => head == Cursor::start(),
            _ => condition.after > head,
        }
    }

    async fn known(&self, append: &Append) -> bool {
        match &append.keyed {
            Some(keyed) => self.inner.outcome(&keyed.key).await.unwrap().is_some(),
            None => false,
        }
    }

    async fn conditions_first(&self, append: &Append) -> Result<(), AppendError> {
        for StreamWrite { stream, condition, .. } in &append.writes {
            let actual = self.version(stream).await;
            if !condition.holds(actual) {
                return Err(AppendError::Conflict { stream: stream.clone(), expected: *condition, actual });
            }
        }
        Ok(())
    }

    async fn query_first(&self, append: &Append) -> Result<(), AppendError> {
        let Some(QueryCondition { query, after }) = &append.query_condition else { return Ok(()) };
        for log in self.inner.logs() {
            let after = after.get(log);
            let found = self.inner.read_log(ReadLog::after(log, after).filter(query.clone())).await.unwrap();
            if let Some(event) = found.events.first() {
                return Err(AppendError::QueryConflict {
                    log,
                    after,
                    found: event.position,
                    stream: event.stream.clone(),
                    event_type: event.event_type.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Another answer than was had.
    async fn answered(
        &self,
        mut append: Append,
        answer: Result<Appended, AppendError>,
    ) -> Result<Appended, AppendError> {
        match (self.how, answer) {
            (How::AnswersTheWrongPlace, Ok(mut appended)) => {
                if let Outcome::Accepted { first, last, .. } = &mut appended.outcome {
                    *first = *last;
                }
                Ok(appended)
            }
            (How::HidesRepetition, Ok(appended)) => Ok(Appended { already: false, ..appended }),
            (How::HidesTheActualVersion, Err(AppendError::Conflict { stream, expected, .. })) => {
                Err(AppendError::Conflict { stream, expected, actual: None })
            }
            (How::RecordsWhatItRefuses, Err(error)) if error.is_conflict() => {
                append.writes.iter_mut().for_each(|write| write.condition = Condition::Any);
                append.query_condition = None;
                self.inner.append(append).await?;
                Err(error)
            }
            (How::RemembersConflicts, Err(error)) if error.is_conflict() => {
                append.writes.clear();
                if append.keyed.is_some() {
                    self.inner.append(Append { query_condition: None, ..append }).await?;
                }
                Err(error)
            }
            (How::TakesAnything, Err(AppendError::Input(error))) => self.repaired(append, error).await,
            (How::FailsNeighbours, Err(error)) => {
                self.switched.store(true, Ordering::SeqCst);
                Err(error)
            }
            (_, answer) => answer,
        }
    }

    async fn repaired(&self, mut append: Append, error: InputError) -> Result<Appended, AppendError> {
        match error {
            InputError::NothingToAppend => return Ok(Appended { cursor: Cursor::start(), ..empty() }),
            InputError::PayloadNotJson { .. } => {
                append.writes.iter_mut().flat_map(|write| &mut write.events).for_each(|e| e.payload = "null".into());
            }
            _ => {
                append.writes.truncate(1);
                append.writes[0].events.truncate(1);
            }
        }
        self.inner.append(append).await
    }
}

fn empty() -> Appended {
    Appended::new(Outcome::Empty, false)
}
