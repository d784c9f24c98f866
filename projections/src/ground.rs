//! Whether a read model stands on the events of the store that it is brought up to.

use factum::{Checkpoint, EventStore, LogId, Position};

use crate::drive::{Driven, Trouble};
use crate::error::{Diverged, ProjectorError};

impl Driven {
    /// Where a log is that somebody else may drive. The ground is looked at once in each epoch: whoever drives it does so
    /// when it begins.
    pub(crate) async fn look_for(&self, store: &dyn EventStore, log: LogId) -> Result<Checkpoint, ProjectorError> {
        let at = self.checkpoint(log).await?;
        let of_this_store = at.stands_on.is_none_or(|(of, _)| of == store.id());
        if !of_this_store || self.known().ground.get(&log) != Some(&at.epoch) {
            self.check_ground(store, log, at).await?;
        }
        let mut known = self.known();
        known.ground.insert(log, at.epoch);
        known.reached.set(log, at.position);
        Ok(at)
    }

    /// What a checkpoint stands on that this store does not hold.
    pub(crate) async fn diverged(
        &self,
        store: &dyn EventStore,
        log: LogId,
        at: Checkpoint,
    ) -> Result<Option<Box<Diverged>>, ProjectorError> {
        let Some((expected_store, expected)) = at.stands_on else { return Ok(None) };
        let diverged = ground(store, log, at.position, expected_store, expected).await;
        let found = diverged.map_err(|source| ProjectorError::Events { projection: self.name().clone(), source })?;
        Ok(found.map(|(found,)| {
            let (projection, position, store) = (self.name().clone(), at.position, store.id());
            Box::new(Diverged { projection, log, position, expected_store, expected, store, found })
        }))
    }

    /// That the checkpoint stands on an event of this store.
    pub(crate) async fn check_ground(
        &self,
        store: &dyn EventStore,
        log: LogId,
        at: Checkpoint,
    ) -> Result<(), ProjectorError> {
        let Some(diverged) = self.diverged(store, log, at).await? else { return Ok(()) };
        self.set_trouble(Some(Trouble::Diverged(diverged.clone())));
        tracing::error!(projection = %self.name(), %log, position = %at.position, "diverged");
        Err(ProjectorError::Diverged(diverged))
    }
}

/// What the store has instead of the event that a checkpoint stands on; `None` if that event is there.
pub(crate) async fn ground(
    store: &dyn EventStore,
    log: LogId,
    position: Position,
    expected_store: factum::StoreId,
    expected: factum::EventId,
) -> Result<Option<(Option<factum::EventId>,)>, factum::ReadError> {
    let found = store.read_positions(log, &[position]).await?;
    let found = found.first().map(|event| event.id);
    let same = found == Some(expected) && store.id() == expected_store;
    Ok((!same).then_some((found,)))
}
