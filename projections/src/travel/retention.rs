//! Where the past ends: what a projection keeps no longer is an error, and never an answer made of what is left.
//!
//! Of a document every version after the position from which on the past is kept is there, and the newest at or before it.
//! Others from before may still be there; that they are not used makes the same answers on every store, however much it has
//! forgotten so far.

use factum::{At, Cursor, Document, DocumentKey, History, HistoryFrom, LogId, Position};

use super::Moment;
use crate::error::{DocumentError, Forgotten};
use crate::projection::Projection;

/// How often an answer is begun anew that was overtaken by what was forgotten meanwhile.
pub(super) const AGAIN: u32 = 4;

impl<P: Projection> Moment<'_, P> {
    /// That the past is kept of the positions at which this moment stands.
    pub(super) async fn is_kept(&self, log: LogId, kept_from: Position) -> Result<(), DocumentError> {
        let reached = self.read.checkpoint.get(log);
        let stands = match &self.at {
            At::Position(cursor) => cursor.get(log).min(reached),
            _ => reached,
        };
        if stands >= kept_from { Ok(()) } else { Err(self.forgotten(log, None, kept_from).await) }
    }

    /// That no version is forgotten which an answer needs that begins with these versions.
    pub(super) async fn is_whole(
        &self,
        log: LogId,
        key: &DocumentKey,
        versions: &[Document],
        kept_from: Position,
    ) -> Result<(), DocumentError> {
        // The first that may not be one from before: without a base, what was forgotten would be one, or hold events.
        let first = match versions {
            [base, rest @ ..] if self.contains(base) => rest.first(),
            all => all.first(),
        };
        self.is_kept_after(log, key, first, kept_from).await
    }

    /// That nothing is forgotten between what is known and the version that comes after it.
    pub(super) async fn is_kept_after(
        &self,
        log: LogId,
        key: &DocumentKey,
        next: Option<&Document>,
        kept_from: Position,
    ) -> Result<(), DocumentError> {
        match next {
            Some(next) if next.bounds.position <= kept_from => Err(self.forgotten(log, Some(key), kept_from).await),
            _ => Ok(()),
        }
    }

    /// Whether what was forgotten had come past the moment while it was read: from how things stand now it can be had again.
    pub(super) fn is_overtaken(&self, error: &DocumentError) -> bool {
        let DocumentError::Forgotten(forgotten) = error else { return false };
        forgotten.oldest.positions().any(|(log, oldest)| oldest > self.read.checkpoint.get(log))
    }

    async fn forgotten(&self, log: LogId, key: Option<&DocumentKey>, kept_from: Position) -> DocumentError {
        match self.find_oldest(log, key, kept_from).await {
            Ok((oldest, since)) => DocumentError::Forgotten(Box::new(Forgotten {
                projection: self.documents.name.clone(),
                key: key.map(|key| key.key().to_owned()),
                at: self.at.clone(),
                oldest,
                since,
            })),
            Err(error) => error,
        }
    }

    async fn find_oldest(
        &self,
        log: LogId,
        key: Option<&DocumentKey>,
        kept_from: Position,
    ) -> Result<(Cursor, Option<At>), DocumentError> {
        let mut oldest = Cursor::of(log, kept_from);
        for other in self.store.logs().into_iter().filter(|other| *other != log) {
            let History { kept_from, .. } = self.history(other, &[], HistoryFrom::After(Position::END)).await?;
            oldest.set(other, kept_from);
        }
        // An answer by the time of its recording holds all events up to the oldest position.
        if let At::Recorded(_) = &self.at {
            let events = self.store.read_positions(log, &[kept_from]).await;
            let events = events.map_err(|source| super::events(self.documents, source))?;
            if let Some(event) = events.first() {
                return Ok((oldest, Some(At::Recorded(event.recorded_at))));
            }
        }
        let Some(key) = key else { return Ok((oldest, None)) };
        let base = HistoryFrom::Base(At::Position(Cursor::of(log, kept_from)));
        let History { versions, .. } = self.history(log, std::slice::from_ref(key), base).await?;
        let base = versions.into_iter().flatten().next().map(|base| base.bounds);
        let since = base.and_then(|bounds| match &self.at {
            At::Position(_) => None,
            At::Version(_) => Some(At::Version(bounds.version)),
            At::Recorded(_) => Some(At::Recorded(bounds.recorded_at)),
            At::Occurred(_) => Some(At::Occurred(bounds.occurred_at)),
        });
        Ok((oldest, since))
    }
}
