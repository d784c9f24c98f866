//! Appending, where answers may get lost.

use super::load::following;
use super::panics::caught;
use super::ticket::Failed;
use super::{Core, Executed, Loaded, executed};
use crate::aggregate::Aggregate;
use crate::append::{Append, Appended, Keyed, Outcome, Versions};
use crate::event::RecordedEvent;
use crate::metadata::EventId;
use crate::place::Version;
use crate::read::ReadStream;
use crate::snapshot::Snapshot;
use crate::store::{AppendError, EventStore, ReadError};
use crate::stream::StreamId;

impl<A: Aggregate> Core<A> {
    /// The outcome under a key that is known already.
    pub(super) async fn known(&self, stream: &StreamId, keyed: &Keyed) -> Result<Option<Executed>, Failed<A>> {
        let Some(remembered) = self.settings.store.outcome(&keyed.key).await? else { return Ok(None) };
        if remembered.fingerprint != keyed.fingerprint {
            return Err(super::ExecuteError::KeyReused { key: keyed.key.clone() });
        }
        executed(stream.clone(), None, Appended::new(remembered.outcome, true), Some(keyed), 0).map(Some)
    }

    /// Appends to a stream that should be at `version`; an append whose outcome is unknown is sent again as it is, since
    /// the key, or else the version that its first event would have, tells whether the first one was recorded.
    pub(super) async fn send(
        &self,
        append: Append,
        stream: &StreamId,
        version: Option<Version>,
    ) -> Result<Appended, AppendError> {
        let mut unknown = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.settings.store.append(append.clone()).await {
                Err(AppendError::Unknown(fault)) => {
                    unknown = true;
                    if !self.settings.retry.again(attempt).await {
                        return Err(AppendError::Unknown(fault));
                    }
                }
                Err(conflict @ AppendError::Conflict { .. }) if unknown => {
                    return match self.find(&append, stream, version).await {
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
                    appended.already = !is_own(&*self.settings.store, first.as_slice(), &appended).await;
                    return Ok(appended);
                }
                other => return other,
            }
        }
    }

    /// The answer to an append that was recorded, found by its first event's id at the version that it would have.
    async fn find(
        &self,
        append: &Append,
        stream: &StreamId,
        version: Option<Version>,
    ) -> Result<Option<Appended>, ReadError> {
        let ids: Vec<_> = append.writes.iter().flat_map(|write| &write.events).map(|event| event.id).collect();
        let found = self.events_after(ReadStream::new(stream.clone()).after(version), ids.len()).await?;
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

    /// The first `count` events of what is read. A page is bounded by bytes too: one need not hold them all.
    pub(super) async fn events_after(&self, read: ReadStream, count: usize) -> Result<Vec<RecordedEvent>, ReadError> {
        let mut read = read.limit(count);
        let mut found: Vec<RecordedEvent> = Vec::new();
        loop {
            let page = self.settings.store.read_stream(read.clone()).await?;
            let next = following(read, &page);
            found.extend(page.events);
            match next.filter(|_| found.len() < count) {
                Some(next) => read = next,
                None => break,
            }
        }
        found.truncate(count);
        Ok(found)
    }

    /// Saves a snapshot if one is due; whether one was saved. One that cannot be saved costs time later and is no reason
    /// to fail a command that was recorded.
    pub(super) async fn save_snapshot(&self, loaded: &Loaded<A>) -> bool {
        let (Some(policy), Some(bounds)) = (self.settings.snapshots, loaded.bounds) else { return false };
        let since = bounds.version.get() - loaded.snapshot.map_or(0, Version::get);
        let Some(snapshots) = self.settings.store.snapshots().filter(|_| since >= policy.every) else { return false };
        let state = match caught(|| (policy.save)(&loaded.state)) {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => {
                tracing::warn!(stream = %loaded.stream, kind = ?error.classify(), "a state could not be serialized for a snapshot");
                return false;
            }
            Err(_) => {
                tracing::warn!(stream = %loaded.stream, "a state could not be serialized for a snapshot: its code panicked");
                return false;
            }
        };
        let snapshot = Snapshot { key: self.snapshot_key(&loaded.stream), bounds, state };
        match snapshots.save(snapshot, policy.keep).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(stream = %loaded.stream, %error, "a snapshot could not be saved");
                false
            }
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
