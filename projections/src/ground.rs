//! Whether a read model stands on the events of the store that it is brought up to.
//!
//! It is looked at when a projection begins to be driven, and again after each pause: a server that was away for a moment may
//! be one that was restored from a backup, under a worker that has noticed nothing, and what it holds past the checkpoint then
//! need not follow what the read model is made of.

use std::time::{Duration, Instant};

use factum::{
    Checkpoint, Epoch, EventId, EventStore, Generation, LogId, Mark, Position, ProjectionName, ReadError, StoreId,
};

use crate::drive::{Driven, Trouble};
use crate::error::{Diverged, ProjectorError};
use crate::keeper::Keeper;
use crate::replay_error::ReplayError;

/// Nobody restores a store in less time.
pub(crate) const PAUSE: Duration = Duration::from_millis(250);

impl Driven {
    /// Whether the ground was there so lately that it still is.
    pub(crate) fn is_sure_of(&self, log: LogId) -> bool {
        self.known().ground.get(&log).is_some_and(|(_, when)| when.elapsed() < PAUSE)
    }

    /// Says that the ground was there then, in this epoch: it was looked at, or the log was read on without a pause.
    pub(crate) fn be_sure_of(&self, log: LogId, epoch: Epoch, then: Instant) {
        self.known().ground.insert(log, (epoch, then));
        if matches!(self.trouble(), Some(Trouble::Diverged(_))) {
            self.set_trouble(None);
        }
    }

    /// Looks at the ground if that was not done lately.
    pub(crate) async fn make_sure_of(
        &self,
        store: &dyn EventStore,
        log: LogId,
        at: Checkpoint,
    ) -> Result<(), ProjectorError> {
        if self.is_sure_of(log) {
            return Ok(());
        }
        let asked = Instant::now();
        self.check_ground(store, log, at).await?;
        self.be_sure_of(log, at.epoch, asked);
        Ok(())
    }

    /// Whether the store holds what was read up to these events before a pause.
    pub(crate) async fn holds_still(
        &self,
        store: &dyn EventStore,
        log: LogId,
        read: [Option<Mark>; 2],
    ) -> Result<bool, ProjectorError> {
        let held = holds(store, log, read.into_iter().flatten()).await;
        held.map_err(|source| ProjectorError::Events { projection: self.name().clone(), source })
    }

    /// Where a log is that somebody else may drive. The ground is looked at in each epoch, since whoever drives it does so
    /// when it begins, and after a pause.
    pub(crate) async fn look_for(&self, store: &dyn EventStore, log: LogId) -> Result<Checkpoint, ProjectorError> {
        let at = self.checkpoint(log).await?;
        let of_this_store = at.stands_on.is_none_or(|(of, _)| of == store.id());
        let of_this_epoch = self.known().ground.get(&log).is_some_and(|(epoch, _)| *epoch == at.epoch);
        if !of_this_store || !of_this_epoch || !self.is_sure_of(log) {
            self.check_ground(store, log, at).await?;
            self.be_sure_of(log, at.epoch, Instant::now());
        }
        self.known().reached.set(log, at.position);
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

    /// Whether a generation stands on an event that this store does not hold, in any log.
    pub(crate) async fn is_off_ground(
        &self,
        store: &dyn EventStore,
        keeper: Keeper<'_>,
        generation: Generation,
    ) -> Result<bool, ProjectorError> {
        for log in store.logs() {
            let at = keeper.checkpoint_of(generation, log).await.map_err(|source| self.target(source))?;
            if self.diverged(store, log, at).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// That the checkpoint stands on an event of this store.
    pub(crate) async fn check_ground(
        &self,
        store: &dyn EventStore,
        log: LogId,
        at: Checkpoint,
    ) -> Result<(), ProjectorError> {
        let Some(diverged) = self.diverged(store, log, at).await? else { return Ok(()) };
        self.known().ground.remove(&log);
        self.set_trouble(Some(Trouble::Diverged(diverged.clone())));
        tracing::error!(projection = %self.name(), %log, position = %at.position, "diverged");
        Err(ProjectorError::Diverged(diverged))
    }
}

/// Whether the store holds every event that something was read up to: what was read before it was restored may be of
/// events that are gone since.
pub(crate) async fn holds(
    store: &dyn EventStore,
    log: LogId,
    marks: impl IntoIterator<Item = Mark> + Send,
) -> Result<bool, ReadError> {
    let marks: Vec<Mark> = marks.into_iter().collect();
    for mark in marks {
        if ground(store, log, mark.position, store.id(), mark.event).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a replay makes, and how far it is: the event that it stands on, if it has folded any.
pub(crate) struct Footing<'a> {
    pub(crate) projection: &'a ProjectionName,
    pub(crate) generation: Generation,
    pub(crate) log: LogId,
    pub(crate) at: Option<(Position, (StoreId, EventId))>,
}

impl Footing<'_> {
    /// A server that was away may have come back as it was long ago. Whether what a replay has read ahead, up to these events,
    /// is of what the store holds now.
    ///
    /// # Errors
    /// `Ungrounded` where the store does not hold the event that it stands on.
    pub(crate) async fn look_down(
        &self,
        store: &dyn EventStore,
        read: impl IntoIterator<Item = Mark> + Send,
    ) -> Result<bool, ReplayError> {
        let events = |source| ReplayError::Events { projection: self.projection.clone(), source };
        if let Some((position, (expected_store, event))) = self.at
            && ground(store, self.log, position, expected_store, event).await.map_err(events)?.is_some()
        {
            return Err(ReplayError::Ungrounded { projection: self.projection.clone(), generation: self.generation });
        }
        holds(store, self.log, read).await.map_err(events)
    }
}

/// What the store has instead of the event that a checkpoint stands on; `None` if that event is there.
pub(crate) async fn ground(
    store: &dyn EventStore,
    log: LogId,
    position: Position,
    expected_store: StoreId,
    expected: EventId,
) -> Result<Option<(Option<EventId>,)>, ReadError> {
    let found = store.read_positions(log, &[position]).await?;
    let found = found.first().map(|event| event.id);
    let same = found == Some(expected) && store.id() == expected_store;
    Ok((!same).then_some((found,)))
}
