//! State from history, now or as of then.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::work::Base;
use super::{Core, LoadError, Repository};
use crate::aggregate::Aggregate;
use crate::at::{At, Bounds};
use crate::codec::decode;
use crate::event::{Recorded, RecordedEvent};
use crate::place::Version;
use crate::read::{ReadStream, StreamPage};
use crate::stream::StreamId;

/// An aggregate as it is, or was.
#[derive(Clone, Debug)]
pub struct Loaded<A> {
    /// Its stream.
    pub stream: StreamId,
    /// Its state; the default where it has no event.
    pub state: A,
    /// The version of the last event folded; `None` where there was none.
    pub version: Option<Version>,
    /// The greatest position, version and times of the events folded; `None` where there was none.
    pub bounds: Option<Bounds>,
    /// The version of the snapshot that it started from.
    pub(crate) snapshot: Option<Version>,
}

impl<A> Loaded<A> {
    pub(super) fn copied(&self, copy: fn(&A) -> A) -> Self {
        Self {
            stream: self.stream.clone(),
            state: copy(&self.state),
            version: self.version,
            bounds: self.bounds,
            snapshot: self.snapshot,
        }
    }

    pub(crate) fn extend(&mut self, bounds: Bounds) {
        self.version = Some(bounds.version);
        self.bounds = Some(self.bounds.map_or(bounds, |before| before.and(bounds)));
    }
}

impl<A: Aggregate> Loaded<A> {
    fn empty(stream: StreamId) -> Self {
        Self { stream, state: A::default(), version: None, bounds: None, snapshot: None }
    }

    pub(crate) fn fold(&mut self, event: &RecordedEvent) -> Result<(), LoadError> {
        self.state.apply(&decoded(event)?);
        self.extend(Bounds::of(event));
        Ok(())
    }
}

pub(super) fn decoded<E: crate::Event>(event: &RecordedEvent) -> Result<E, LoadError> {
    decode(event).map_err(|source| LoadError::Decode {
        stream: event.stream.clone(),
        version: event.version,
        position: event.position,
        source,
    })
}

impl<A: Aggregate> Repository<A> {
    /// The aggregate as it is. One that has no events yet is the default, without a version.
    ///
    /// The store is asked for what is new in any case, with a cache too.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load(&self, id: impl AsRef<str>) -> Result<Loaded<A>, LoadError> {
        self.core.load_now(self.stream(id)?).await
    }

    /// The aggregate as it was.
    ///
    /// `At::Occurred` folds the events that happened at or before the time, in the order in which they were recorded;
    /// the version of the answer is that of the last of them.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn load_at(&self, id: impl AsRef<str>, at: impl Into<At>) -> Result<Loaded<A>, LoadError> {
        self.core.load_stream(self.stream(id)?, Some(&at.into())).await
    }

    /// Every event of the aggregate, from the first, a page at a time behind the scenes.
    ///
    /// ```
    /// # use factum::{Aggregate, Repository};
    /// use futures_util::TryStreamExt;
    ///
    /// async fn count<A: Aggregate>(accounts: Repository<A>) -> Result<usize, factum::LoadError> {
    ///     let events: Vec<_> = accounts.history("2378").try_collect().await?;
    ///     Ok(events.len())
    /// }
    /// ```
    pub fn history(&self, id: &str) -> BoxStream<'static, Result<Recorded<A::Event>, LoadError>> {
        let store = self.core.settings.store.clone();
        let first = self.stream(id).map(ReadStream::new).map_err(LoadError::from);
        let pages = stream::try_unfold(Some(first), move |next| {
            let store = store.clone();
            async move {
                let Some(read) = next.transpose()? else { return Ok(None) };
                let page = store.read_stream(read.clone()).await?;
                let next = following(read, &page).map(Ok);
                Ok::<_, LoadError>(Some((page.events, next)))
            }
        });
        let events = pages.map_ok(|events| stream::iter(events.into_iter().map(Ok))).try_flatten();
        let typed = events.and_then(|event| async move {
            let data = decoded(&event)?;
            Ok(Recorded::new(data, event))
        });
        typed.boxed()
    }
}

impl<A: Aggregate> Core<A> {
    async fn load_now(&self, stream: StreamId) -> Result<Loaded<A>, LoadError> {
        let Some(policy) = self.settings.cache else { return self.load_stream(stream, None).await };
        let known = self.desk.kept(&stream);
        let kept = known.clone().map(|kept| Base::Shared(kept, policy.copy));
        let base = self.fresh(&stream, kept).await?;
        if let Base::Shared(loaded, _) = &base {
            self.desk.offer(Arc::clone(loaded), known.as_ref());
        }
        Ok(base.into_own())
    }

    pub(super) async fn load_stream(&self, stream: StreamId, at: Option<&At>) -> Result<Loaded<A>, LoadError> {
        let mut loaded = self.newest_snapshot(stream, at).await;
        let mut read = ReadStream::new(loaded.stream.clone()).after(loaded.version);
        if let Some(At::Version(version)) = at {
            read = read.up_to(*version);
        }
        loop {
            let page = self.settings.store.read_stream(read.clone()).await?;
            for event in &page.events {
                match at {
                    Some(at) if !at.includes(event) && at.is_prefix_of_stream() => return Ok(loaded),
                    Some(at) if !at.includes(event) => {}
                    _ => loaded.fold(event)?,
                }
            }
            match following(read, &page) {
                Some(next) => read = next,
                None => return Ok(loaded),
            }
        }
    }

    /// The newest snapshot that may serve as a base. One that cannot be had or decoded costs time, never truth.
    async fn newest_snapshot(&self, stream: StreamId, at: Option<&At>) -> Loaded<A> {
        let mut loaded = Loaded::empty(stream);
        let (Some(policy), Some(snapshots)) = (self.settings.snapshots, self.settings.store.snapshots()) else {
            return loaded;
        };
        match snapshots.newest(&self.snapshot_key(&loaded.stream), at).await {
            Ok(Some(snapshot)) => match (policy.restore)(&snapshot.state) {
                Ok(state) => {
                    loaded.state = state;
                    loaded.extend(snapshot.bounds);
                    loaded.snapshot = loaded.version;
                }
                Err(error) => {
                    tracing::warn!(stream = %loaded.stream, version = %snapshot.bounds.version, kind = ?error.classify(), "ignored a snapshot that does not decode");
                }
            },
            Ok(None) => {}
            Err(error) => tracing::warn!(stream = %loaded.stream, %error, "read on without snapshots"),
        }
        loaded
    }
}

/// What to read after a page.
pub(super) fn following(read: ReadStream, page: &StreamPage) -> Option<ReadStream> {
    let last = page.events.last().filter(|_| !page.end)?;
    Some(read.after(Some(last.version)))
}
