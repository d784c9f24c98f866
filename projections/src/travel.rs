//! Read models as they were.
//!
//! Versions of a document are kept on a grid of positions, each with the positions of its events since the one before.
//! Their bounds never decrease from one version to the next, so those within an `At` are the first ones; the last of
//! them is the base, and what is missing are those events of the versions after it that the `At` includes. By position
//! and by time of recording these lie in the next version only, since both follow the log; by time of happening and by
//! version they may lie in any.

mod retention;

use std::collections::{BTreeSet, HashMap};

use factum::{
    At, Cursor, Document, DocumentKey, DocumentRead, EventStore, History, HistoryFrom, ListDocuments, LogId,
    MAX_POSITIONS, Position, ReadHistory, ReadTarget, RecordedEvent,
};

use crate::documents::Documents;
use crate::error::DocumentError;
use crate::fold::{Page as Decoded, Why, catching, decode_document};
use crate::page::{Answer, Entry, Page, PageToken};
use crate::projection::{Keys, Projection};
use crate::read::live;
use retention::AGAIN;

/// How many versions of each document are read at once.
const VERSIONS: usize = 32;

pub(crate) async fn get_at<P: Projection>(
    documents: &Documents<P>,
    store: &dyn EventStore,
    key: DocumentKey,
    at: At,
) -> Result<Answer<P::Document>, DocumentError> {
    let keys = [key];
    let mut again = AGAIN;
    let (moment, (mut contents, events_read)) = loop {
        let found = documents.read_models.get(&live(documents), &keys).await?;
        let moment = Moment::new(documents, store, at.clone(), found.read, None).await?;
        match moment.fold_keys(&keys).await {
            Err(error) if again > 0 && moment.is_overtaken(&error) => again -= 1,
            folded => break (moment, folded?),
        }
    };
    let document = match contents.pop() {
        Some(contents) => documents.merge(&keys[0], contents)?,
        None => None,
    };
    let DocumentRead { generation, checkpoint } = moment.read;
    Ok(Answer { document, generation, checkpoint, events_read })
}

pub(crate) async fn list_at<P: Projection>(
    documents: &Documents<P>,
    store: &dyn EventStore,
    listed: ListDocuments,
    token: Option<PageToken>,
    at: At,
) -> Result<Page<P::Document>, DocumentError> {
    let up_to = token.and_then(|token| token.up_to);
    // The pages after the first show the moment of the first.
    let mut again = if up_to.is_none() { AGAIN } else { 0 };
    let (moment, keys, end, (contents, events_read)) = loop {
        let page = documents.read_models.list(&listed).await?;
        let moment = Moment::new(documents, store, at.clone(), page.read, up_to.clone()).await?;
        let keys: Vec<_> = page.documents.into_iter().map(|(key, _)| key).collect();
        match moment.fold_keys(&keys).await {
            Err(error) if again > 0 && moment.is_overtaken(&error) => again -= 1,
            folded => break (moment, keys, page.end, folded?),
        }
    };
    let mut entries = Vec::new();
    for (key, contents) in keys.iter().zip(contents) {
        if let Some(document) = documents.merge(key, contents)? {
            entries.push(Entry { key: key.key().to_owned(), document });
        }
    }
    let DocumentRead { generation, checkpoint } = moment.read;
    let last = keys.last().filter(|_| !end).map(|key| key.key().to_owned());
    let next = last.map(|after| documents.token(generation, after, Some(checkpoint.clone())));
    Ok(Page { documents: entries, generation, checkpoint, events_read, next })
}

/// A moment of a read model: what belongs to `at`, as far as the read model had come.
struct Moment<'a, P: Projection> {
    documents: &'a Documents<P>,
    store: &'a dyn EventStore,
    at: At,
    read: DocumentRead,
}

/// A document of one log on its way to how it was.
struct Past<D> {
    content: Option<D>,
    /// The positions of its events past the base that may belong to the moment.
    positions: Vec<Position>,
}

impl<'a, P: Projection> Moment<'a, P> {
    async fn new(
        documents: &'a Documents<P>,
        store: &'a dyn EventStore,
        at: At,
        mut read: DocumentRead,
        up_to: Option<Cursor>,
    ) -> Result<Self, DocumentError> {
        if let Some(up_to) = up_to {
            read.checkpoint = up_to;
        }
        if let At::Position(cursor) = &at
            && !matches!(
                cursor.partial_cmp(&read.checkpoint),
                Some(std::cmp::Ordering::Less | std::cmp::Ordering::Equal)
            )
        {
            let head = store.head().await.map_err(|source| events(documents, source))?;
            let (at, within) = (cursor.clone(), cursor.positions().all(|(log, position)| position <= head.get(log)));
            let (projection, checkpoint) = (documents.name.clone(), read.checkpoint);
            return Err(match within {
                true => DocumentError::NotYet { projection, at, checkpoint },
                false => DocumentError::PastHead { at, head },
            });
        }
        Ok(Self { documents, store, at, read })
    }

    fn target(&self) -> ReadTarget {
        ReadTarget::Generation(self.documents.name.clone(), self.read.generation)
    }

    /// For each key what it had in each log, and how many events were read.
    async fn fold_keys(&self, keys: &[DocumentKey]) -> Result<(Vec<Vec<P::Document>>, usize), DocumentError> {
        let mut all: Vec<Vec<P::Document>> = keys.iter().map(|_| Vec::new()).collect();
        let mut events_read = 0;
        for log in self.store.logs() {
            let mut pasts = self.pasts(log, keys).await?;
            events_read += self.fold_events(log, keys, &mut pasts).await?;
            for (contents, past) in all.iter_mut().zip(pasts) {
                contents.extend(past.content);
            }
        }
        Ok((all, events_read))
    }

    /// The base of each document, and the positions of what may be missing in it.
    async fn pasts(&self, log: LogId, keys: &[DocumentKey]) -> Result<Vec<Past<P::Document>>, DocumentError> {
        let base = HistoryFrom::Base(self.at.clone());
        let History { mut kept_from, versions: mut histories } = self.history(log, keys, base).await?;
        kept_from = kept_from.max(self.rebase(log, keys, &mut histories).await?);
        self.is_kept(log, kept_from).await?;
        let mut pasts = Vec::with_capacity(keys.len());
        for (key, mut versions) in keys.iter().zip(histories) {
            self.is_whole(log, key, &versions, kept_from).await?;
            let mut past = Past { content: None, positions: Vec::new() };
            let full = versions.len() == VERSIONS;
            if versions.first().is_some_and(|first| self.contains(first)) {
                let base = versions.remove(0);
                let body = base.body.as_deref();
                past.content = body.map(|body| decode_document(&self.documents.name, key, body)).transpose()?;
            }
            self.positions(log, key, versions, full, &mut past.positions).await?;
            pasts.push(past);
        }
        Ok(pasts)
    }

    /// Replaces bases that were written after the checkpoint of this moment. The versions before such a base lie within
    /// `at` as it does, so the newest of those up to the checkpoint is the base. Says from where on the past was kept.
    async fn rebase(
        &self,
        log: LogId,
        keys: &[DocumentKey],
        histories: &mut [Vec<Document>],
    ) -> Result<Position, DocumentError> {
        let reached = self.read.checkpoint.get(log);
        let late = |versions: &Vec<Document>| versions.first().is_some_and(|first| first.bounds.position > reached);
        let which: Vec<usize> =
            (0..histories.len()).filter(|n| late(&histories[*n]) && self.within(&histories[*n][0])).collect();
        if which.is_empty() {
            return Ok(Position::START);
        }
        let keys: Vec<_> = which.iter().map(|n| keys[*n].clone()).collect();
        let checkpoint = At::Position(self.read.checkpoint.clone());
        let found = self.history(log, &keys, HistoryFrom::Base(checkpoint)).await?;
        for (n, versions) in which.into_iter().zip(found.versions) {
            histories[n] = versions;
        }
        Ok(found.kept_from)
    }

    fn within(&self, version: &Document) -> bool {
        version.bounds.within(&self.at)
    }

    fn contains(&self, version: &Document) -> bool {
        self.within(version) && version.bounds.position <= self.read.checkpoint.get(version.bounds.log)
    }

    async fn history(&self, log: LogId, keys: &[DocumentKey], from: HistoryFrom) -> Result<History, DocumentError> {
        let limit = if self.follows_the_log() { 2 } else { VERSIONS };
        let read = ReadHistory { target: self.target(), log, keys: keys.to_vec(), from, limit };
        Ok(self.documents.read_models.history(&read).await?)
    }

    /// Whether no event that belongs to the moment comes after one that does not.
    fn follows_the_log(&self) -> bool {
        matches!(self.at, At::Position(_) | At::Recorded(_))
    }

    /// The positions of the events of the versions after the base: of the next one, or of all up to the checkpoint.
    /// `full` says that there may be more versions than these.
    async fn positions(
        &self,
        log: LogId,
        key: &DocumentKey,
        mut versions: Vec<Document>,
        mut full: bool,
        positions: &mut Vec<Position>,
    ) -> Result<(), DocumentError> {
        let reached = self.read.checkpoint.get(log);
        let limit = match &self.at {
            At::Position(cursor) => cursor.get(log).min(reached),
            _ => reached,
        };
        if self.follows_the_log() {
            full = false;
            versions.truncate(1);
        }
        loop {
            for position in versions.iter().flat_map(|version| version.positions.iter()) {
                // The current version may have grown since the last page, and then repeats what it held.
                if position <= limit && positions.last().is_none_or(|last| *last < position) {
                    positions.push(position);
                }
            }
            let Some(last) = versions.last().filter(|last| full && last.bounds.position < limit) else { return Ok(()) };
            let after = HistoryFrom::After(last.bounds.position);
            let more = self.history(log, std::slice::from_ref(key), after).await?;
            self.is_kept_after(log, key, more.versions.first().and_then(|all| all.first()), more.kept_from).await?;
            versions = more.versions.into_iter().next().unwrap_or_default();
            full = versions.len() == VERSIONS;
        }
    }

    /// Reads the events at the positions, each once however many documents it changes, and folds those that belong.
    async fn fold_events(
        &self,
        log: LogId,
        keys: &[DocumentKey],
        pasts: &mut [Past<P::Document>],
    ) -> Result<usize, DocumentError> {
        let wanted: BTreeSet<Position> = pasts.iter().flat_map(|past| past.positions.iter().copied()).collect();
        let wanted: Vec<_> = wanted.into_iter().collect();
        let index: HashMap<&str, usize> = keys.iter().enumerate().map(|(n, key)| (key.key(), n)).collect();
        let mut done = vec![0; pasts.len()];
        let mut read = 0;
        for chunk in wanted.chunks(MAX_POSITIONS) {
            let found = self.store.read_positions(log, chunk).await.map_err(|source| events(self.documents, source))?;
            read += found.len();
            let belonging: Vec<_> = found.into_iter().filter(|event| self.at.includes(event)).collect();
            self.fold_chunk(belonging, &index, pasts, &mut done)?;
        }
        Ok(read)
    }

    fn fold_chunk(
        &self,
        events: Vec<RecordedEvent>,
        index: &HashMap<&str, usize>,
        pasts: &mut [Past<P::Document>],
        done: &mut [usize],
    ) -> Result<(), DocumentError> {
        let projection = &*self.documents.projection;
        let mut page = Decoded::<P::Event>::decode(events, P::EVENT_TYPES);
        let (mut at, mut keys) = (0, Keys::default());
        let folded = catching(|| {
            for event in &page.events {
                keys.clear();
                projection.keys(event, &mut keys);
                let mut changed: Vec<(usize, &str)> =
                    keys.iter().filter_map(|key| index.get(key).map(|n| (*n, key))).collect();
                changed.sort_unstable();
                changed.dedup();
                for (n, key) in changed {
                    let past = &mut pasts[n];
                    done[n] += past.positions[done[n]..].partition_point(|position| *position < event.position);
                    if past.positions.get(done[n]) == Some(&event.position) {
                        let applied = projection.try_apply(key, &mut past.content, event);
                        applied.map_err(|error| error.to_string())?;
                    }
                }
                at += 1;
            }
            Ok(())
        });
        if let Ok(Err(cause)) | Err(cause) = folded {
            page.cut(at, cause);
        }
        match page.stopped {
            None => Ok(()),
            Some(stopped) => {
                let cause = match &stopped.why {
                    Why::Failed(cause) => cause.clone(),
                    Why::Newer(schema) => format!("its schema version {schema} or its type needs newer code than this"),
                };
                let failure = Box::new(stopped.failure(&cause));
                Err(DocumentError::Halted { projection: self.documents.name.clone(), failure })
            }
        }
    }
}

fn events<P: Projection>(documents: &Documents<P>, source: factum::ReadError) -> DocumentError {
    DocumentError::Events { projection: documents.name.clone(), source }
}
