//! The state that a round decides on.

use std::sync::Arc;

use super::load::{decoded, following};
use super::{Core, LoadError, Loaded};
use crate::aggregate::Aggregate;
use crate::at::Bounds;
use crate::event::RecordedEvent;
use crate::place::Version;
use crate::read::ReadStream;
use crate::stream::StreamId;

/// A state that stands at some version of its stream.
pub(super) enum Base<A> {
    /// Kept by the cache too, so that it is changed as a copy.
    Shared(Arc<Loaded<A>>, fn(&A) -> A),
    /// Changed in place, and thrown away if that was in vain.
    Own(Loaded<A>),
}

impl<A> Base<A> {
    pub(super) fn loaded(&self) -> &Loaded<A> {
        match self {
            Self::Shared(loaded, _) => loaded,
            Self::Own(loaded) => loaded,
        }
    }

    /// The state again, if it is not the only one.
    pub(super) fn spare(&self) -> Option<Self> {
        match self {
            Self::Shared(loaded, copy) => Some(Self::Shared(Arc::clone(loaded), *copy)),
            Self::Own(_) => None,
        }
    }

    /// The state, or a copy of one that is shared.
    pub(super) fn into_own(self) -> Loaded<A> {
        match self {
            Self::Own(loaded) => loaded,
            Self::Shared(shared, copy) => shared.copied(copy),
        }
    }

    /// Changes the state, or the copy that takes the place of one that is shared.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Loaded<A>)) {
        match self {
            Self::Own(loaded) => change(loaded),
            Self::Shared(shared, copy) => {
                let mut own = shared.copied(*copy);
                change(&mut own);
                *self = Self::Own(own);
            }
        }
    }
}

impl<A: Aggregate> Core<A> {
    /// The form in which a state is kept from one command to the next.
    pub(super) fn share(&self, base: Base<A>) -> Base<A> {
        match (base, &self.settings.cache) {
            (Base::Own(loaded), Some(policy)) => Base::Shared(Arc::new(loaded), policy.copy),
            (base, _) => base,
        }
    }

    /// The state as the store has it now.
    pub(super) async fn fresh(&self, stream: &StreamId, kept: Option<Base<A>>) -> Result<Base<A>, LoadError> {
        if let Some(kept) = kept
            && let Some(base) = self.tail(kept).await?
        {
            return Ok(self.share(base));
        }
        let loaded = self.load_stream(stream.clone(), None).await?;
        Ok(self.share(Base::Own(loaded)))
    }

    /// A kept state, brought up to date by the events after it; `None` if the store no longer holds the event that it
    /// stands on, as after a restore: then it is worth nothing.
    async fn tail(&self, mut base: Base<A>) -> Result<Option<Base<A>>, LoadError> {
        let Some(bounds) = base.loaded().bounds else { return Ok(None) };
        let before = Version::advance(None, bounds.version.get() - 1);
        let mut read = ReadStream::new(base.loaded().stream.clone()).after(before);
        let mut seen = false;
        loop {
            let page = self.settings.store.read_stream(read.clone()).await?;
            for event in &page.events {
                if seen {
                    let data = decoded(event)?;
                    base.change(|loaded| {
                        loaded.state.apply(&data);
                        loaded.extend(Bounds::of(event));
                    });
                } else if stands_on(&bounds, event) {
                    seen = true;
                } else {
                    return Ok(None);
                }
            }
            match following(read, &page) {
                Some(next) => read = next,
                None => return Ok(seen.then_some(base)),
            }
        }
    }
}

fn stands_on(bounds: &Bounds, event: &RecordedEvent) -> bool {
    let Bounds { log, position, version, recorded_at, .. } = *bounds;
    (event.log, event.position, event.version, event.recorded_at) == (log, position, version, recorded_at)
}
