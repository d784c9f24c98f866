//! Commands: load, decide, append; on a conflict decide again.

use super::load::following;
use super::{ExecuteError, Loaded, Repository};
use crate::aggregate::Aggregate;
use crate::append::{Append, Appended, Condition, Keyed, Outcome, Versions};
use crate::at::Bounds;
use crate::codec::{EncodeError, encode};
use crate::context::Context;
use crate::event::Event;
use crate::event::{NewEvent, RecordedEvent};
use crate::metadata::EventId;
use crate::place::{Cursor, Version};
use crate::read::ReadStream;
use crate::snapshot::Snapshot;
use crate::store::{AppendError, EventStore, ReadError};
use crate::stream::StreamId;

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The stream of the aggregate.
    pub stream: StreamId,
    /// The version of the last event that it recorded; of the last event that it saw, where it recorded none.
    pub version: Option<Version>,
    /// What became of it.
    pub outcome: Outcome,
    /// What to wait for, so that a read model shows it.
    pub cursor: Cursor,
    /// Whether it had been sent before under the same key, so that nothing happened now. Where an answer was lost and
    /// this call itself sent the command again, that is no repetition, unless it recorded no events: an empty outcome is
    /// then told as one that was there already, and a refusal as `RefusedBefore`.
    pub already: bool,
    /// How often it was decided; 0 if its key was known before it was decided at all.
    pub attempts: u32,
}

type Failed<A> = ExecuteError<<A as Aggregate>::Error>;

impl<A: Aggregate> Repository<A> {
    /// Loads the aggregate, lets it decide on the command, and appends what it decided. After a conflict it is loaded
    /// and decides again, a bounded number of times.
    ///
    /// # Errors
    /// [`ExecuteError`]. After `Append(Unknown)` the events may have been recorded: send commands that must not
    /// happen twice with a key.
    pub async fn execute(&self, id: impl AsRef<str>, command: A::Command) -> Result<Executed, Failed<A>> {
        self.execute_with(id, command, Context::new()).await
    }

    /// [`execute`](Repository::execute) with metadata and a key.
    ///
    /// # Errors
    /// [`ExecuteError`], of which `RefusedBefore` and `KeyReused` only come with a key. A refusal is remembered under
    /// the key like any outcome.
    #[tracing::instrument(name = "execute", skip_all, fields(stream = tracing::field::Empty))]
    pub async fn execute_with(
        &self,
        id: impl AsRef<str>,
        command: A::Command,
        context: Context,
    ) -> Result<Executed, Failed<A>> {
        let stream = self.stream(id)?;
        tracing::Span::current().record("stream", tracing::field::display(&stream));
        let keyed = context.keyed(&stream.to_string()).map(|keyed| keyed.in_tenant(stream.tenant()));
        let result = self.run(&stream, &command, &context, keyed).await;
        count(A::Event::CATEGORY, &result);
        result
    }

    async fn run(
        &self,
        stream: &StreamId,
        command: &A::Command,
        context: &Context,
        keyed: Option<Keyed>,
    ) -> Result<Executed, Failed<A>> {
        if let Some(known) = self.known(stream, keyed.as_ref()).await? {
            return Ok(known);
        }
        let mut attempt = 0;
        loop {
            attempt += 1;
            let loaded = self.load_stream(stream.clone(), None).await?;
            let decided = match loaded.state.decide(command) {
                Ok(events) => events,
                Err(refusal) => return self.refuse(loaded, refusal, keyed, attempt).await,
            };
            if decided.is_empty() && keyed.is_none() {
                let cursor = loaded.bounds.map_or_else(Cursor::start, |b| Cursor::of(b.log, b.position));
                let (stream, version) = (loaded.stream, loaded.version);
                return Ok(Executed {
                    stream,
                    version,
                    outcome: Outcome::Empty,
                    cursor,
                    already: false,
                    attempts: attempt,
                });
            }
            let events = self.encode_all(&decided, context)?;
            let first = events.first().map(|event| event.id);
            let append = Append {
                writes: vec![crate::StreamWrite {
                    stream: stream.clone(),
                    condition: if first.is_some() { Condition::from(loaded.version) } else { Condition::Any },
                    events,
                }],
                query_condition: None,
                keyed: keyed.clone(),
            };
            match self.append(append, &loaded).await {
                Ok(appended) => {
                    return self.accepted(loaded, decided, appended, keyed.as_ref(), context, attempt).await;
                }
                Err(error) if error.is_conflict() => {
                    metrics::counter!("factum_conflicts_total", "category" => A::Event::CATEGORY).increment(1);
                    if !self.retry.again(attempt).await {
                        return Err(ExecuteError::from_append(error, attempt));
                    }
                }
                Err(error) => return Err(ExecuteError::from_append(error, attempt)),
            }
        }
    }

    fn encode_all(&self, events: &[A::Event], context: &Context) -> Result<Vec<NewEvent>, EncodeError> {
        events.iter().map(|event| encode(event, context.event_metadata(), self.round_trip)).collect()
    }

    /// The outcome under a key that is known already.
    async fn known(&self, stream: &StreamId, keyed: Option<&Keyed>) -> Result<Option<Executed>, Failed<A>> {
        let Some(keyed) = keyed else { return Ok(None) };
        let Some(remembered) = self.store.outcome(&keyed.key).await? else { return Ok(None) };
        if remembered.fingerprint != keyed.fingerprint {
            return Err(ExecuteError::KeyReused { key: keyed.key.clone() });
        }
        executed(stream.clone(), None, Appended::new(remembered.outcome, true), Some(keyed), 0).map(Some)
    }

    /// A refusal; with a key it is remembered, and whoever was first with that key is right.
    async fn refuse(
        &self,
        loaded: Loaded<A>,
        refusal: A::Error,
        keyed: Option<Keyed>,
        attempt: u32,
    ) -> Result<Executed, Failed<A>> {
        let Some(mut keyed) = keyed else { return Err(ExecuteError::Refused(refusal)) };
        keyed.refusal = Some(refusal.to_string());
        let append = Append::to(loaded.stream.clone(), Condition::Any, Vec::new()).keyed(keyed.clone());
        let appended = self.append(append, &loaded).await.map_err(|error| ExecuteError::from_append(error, attempt))?;
        if appended.already {
            return executed(loaded.stream, loaded.version, appended, Some(&keyed), attempt);
        }
        Err(ExecuteError::Refused(refusal))
    }

    /// Appends; an append whose outcome is unknown is sent again as it is, since the key, or else the version that
    /// its first event would have, tells whether the first one was recorded.
    async fn append(&self, append: Append, loaded: &Loaded<A>) -> Result<Appended, AppendError> {
        let mut unknown = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.store.append(append.clone()).await {
                Err(AppendError::Unknown(fault)) => {
                    unknown = true;
                    if !self.retry.again(attempt).await {
                        return Err(AppendError::Unknown(fault));
                    }
                }
                Err(conflict @ AppendError::Conflict { .. }) if unknown => {
                    let found = self.find(&append, loaded).await;
                    return match found {
                        Ok(Some(appended)) => Ok(appended),
                        Ok(None) => Err(conflict),
                        Err(ReadError::Fault(fault)) => Err(AppendError::Unknown(fault)),
                        Err(_) => Err(conflict),
                    };
                }
                // That this one was not done says nothing of the one before it.
                Err(AppendError::NotDone(fault)) if unknown => return Err(AppendError::Unknown(fault)),
                Ok(mut appended) if unknown && appended.already => {
                    let first = append.writes.first().and_then(|write| write.events.first()).map(|event| event.id);
                    appended.already = !is_own(&*self.store, first.as_slice(), &appended).await;
                    return Ok(appended);
                }
                other => return other,
            }
        }
    }

    /// The answer to an append that was recorded, found by its first event's id at the version that it would have.
    async fn find(&self, append: &Append, loaded: &Loaded<A>) -> Result<Option<Appended>, ReadError> {
        let ids: Vec<_> = append.writes.iter().flat_map(|write| &write.events).map(|event| event.id).collect();
        let mut read = ReadStream::new(loaded.stream.clone()).after(loaded.version).limit(ids.len());
        let mut found: Vec<RecordedEvent> = Vec::new();
        // A page is bounded by bytes too: one need not hold them all.
        loop {
            let page = self.store.read_stream(read.clone()).await?;
            let next = following(read, &page);
            found.extend(page.events);
            match next.filter(|_| found.len() < ids.len()) {
                Some(next) => read = next,
                None => break,
            }
        }
        found.truncate(ids.len());
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return Ok(None) };
        if ids.first() != Some(&first.id) {
            return Ok(None);
        }
        let versions = vec![Versions { stream: first.stream.clone(), first: first.version, last: last.version }];
        Ok(Some(Appended::new(
            Outcome::Accepted {
                log: first.log,
                first: first.position,
                last: last.position,
                recorded_at: first.recorded_at,
                versions,
            },
            false,
        )))
    }

    async fn accepted(
        &self,
        mut loaded: Loaded<A>,
        decided: Vec<A::Event>,
        appended: Appended,
        keyed: Option<&Keyed>,
        context: &Context,
        attempt: u32,
    ) -> Result<Executed, Failed<A>> {
        let before = loaded.version;
        let stream = loaded.stream.clone();
        if let (Some(policy), Outcome::Accepted { log, last, recorded_at, .. }, false) =
            (self.snapshots, &appended.outcome, appended.already)
            && let Some(version) = appended.version(&stream)
        {
            let since = version.get() - loaded.snapshot.map_or(0, Version::get);
            if since >= policy.every {
                decided.iter().for_each(|event| loaded.state.apply(event));
                let occurred_at = context.event_metadata().when().unwrap_or(*recorded_at);
                loaded.extend(Bounds { log: *log, position: *last, version, recorded_at: *recorded_at, occurred_at });
                self.save_snapshot(&loaded).await;
            }
        }
        executed(stream, before, appended, keyed, attempt)
    }

    /// A snapshot that cannot be saved costs time later and is no reason to fail a command that was recorded.
    async fn save_snapshot(&self, loaded: &Loaded<A>) {
        let (Some(policy), Some(snapshots), Some(bounds)) = (self.snapshots, self.store.snapshots(), loaded.bounds)
        else {
            return;
        };
        let saved = match (policy.save)(&loaded.state) {
            Ok(state) => {
                snapshots.save(Snapshot { key: self.snapshot_key(&loaded.stream), bounds, state }, policy.keep).await
            }
            Err(error) => {
                tracing::warn!(stream = %loaded.stream, kind = ?error.classify(), "a state could not be serialized for a snapshot");
                return;
            }
        };
        if let Err(error) = saved {
            tracing::warn!(stream = %loaded.stream, %error, "a snapshot could not be saved");
        }
    }
}

/// Whether what was found under a key is what one of these events began, which the same call had sent: it is then no
/// repetition of anything. What recorded no events cannot be told apart.
pub(crate) async fn is_own(store: &dyn EventStore, first: &[EventId], found: &Appended) -> bool {
    let Outcome::Accepted { log, first: position, .. } = &found.outcome else { return false };
    // Where that cannot be read, what the key says is still true.
    let events = store.read_positions(*log, &[*position]).await.unwrap_or_default();
    events.first().is_some_and(|event| first.contains(&event.id))
}

fn executed<E: std::error::Error + 'static>(
    stream: StreamId,
    seen: Option<Version>,
    appended: Appended,
    keyed: Option<&Keyed>,
    attempts: u32,
) -> Result<Executed, ExecuteError<E>> {
    if let (Outcome::Refused { reason }, Some(keyed)) = (&appended.outcome, keyed) {
        return Err(ExecuteError::RefusedBefore { key: keyed.key.clone(), reason: reason.clone() });
    }
    let version = appended.version(&stream).or(seen);
    let Appended { outcome, already, cursor } = appended;
    Ok(Executed { stream, version, outcome, cursor, already, attempts })
}

fn count<E: std::error::Error + 'static>(category: &'static str, result: &Result<Executed, ExecuteError<E>>) {
    let outcome = match result {
        Ok(done) if done.already => "already",
        Ok(Executed { outcome: Outcome::Empty, .. }) => "empty",
        Ok(_) => "accepted",
        Err(error) if error.is_refusal() => "refused",
        Err(error) if error.is_conflict() => "conflict",
        Err(_) => "failed",
    };
    metrics::counter!("factum_commands_total", "category" => category, "outcome" => outcome).increment(1);
}
