//! From where on the past of a read model can be had, where its projection does not keep it for ever.

use std::fmt;

use chrono::{DateTime, Utc};
use factum::{Cursor, Generation, Position, ReadModelError};
use serde::Serialize;

use crate::drive::Driven;
use crate::error::ProjectorError;
use crate::generations::GenerationsError;
use crate::projector::{Inner, Projector};

/// From where on the past of a generation can be had: what was before is [forgotten](crate::Projection::KEEP_FOR).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptPast {
    /// The oldest position that can be asked for, in each log; at the start where nothing was forgotten yet.
    pub from: Cursor,
    /// When the event at that position was recorded, of several logs the latest: the oldest time of recording that can be
    /// asked for. `None` where nothing was forgotten yet.
    pub recorded_at: Option<DateTime<Utc>>,
}

impl KeptPast {
    fn is_whole(&self) -> bool {
        self.from.positions().all(|(_, from)| from == Position::START)
    }
}

impl fmt::Display for KeptPast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return f.write_str("the past is kept from the start on");
        }
        write!(f, "the past is kept from {} on", self.from)?;
        match &self.recorded_at {
            Some(time) => write!(f, ", recorded {}", time.format("%Y-%m-%d %H:%M:%S UTC")),
            None => Ok(()),
        }
    }
}

impl Projector {
    /// From where on the past of a generation can be had; `None` where it is kept for ever.
    ///
    /// # Errors
    /// [`GenerationsError`].
    pub async fn kept_past(&self, name: &str, generation: Generation) -> Result<Option<KeptPast>, GenerationsError> {
        let driven = self.inner.find::<GenerationsError>(name)?;
        let read = |error| GenerationsError::Read(Box::new(error));
        self.inner.kept_past(driven, generation).await.map_err(read)
    }
}

impl Inner {
    /// From where on the past of a generation is kept; `None` where that is for ever, or it was dropped meanwhile.
    pub(crate) async fn kept_past(
        &self,
        driven: &Driven,
        generation: Generation,
    ) -> Result<Option<KeptPast>, ProjectorError> {
        let Some(documents) = driven.documents.as_ref().filter(|documents| documents.forgets()) else {
            return Ok(None);
        };
        let mut past = KeptPast { from: Cursor::start(), recorded_at: None };
        for log in self.store.logs() {
            let from = match documents.kept_from(generation, log).await {
                Ok(from) => from,
                Err(ReadModelError::Expired { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            if from == Position::START {
                continue;
            }
            past.from.set(log, from);
            let events = self.store.read_positions(log, &[from]).await;
            let events =
                events.map_err(|source| ProjectorError::Events { projection: driven.name().clone(), source })?;
            past.recorded_at = past.recorded_at.max(events.first().map(|event| event.recorded_at));
        }
        Ok(Some(past))
    }
}
