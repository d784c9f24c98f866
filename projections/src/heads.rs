//! One read of a log for all projections of a process that stand at its head.
//!
//! After a signal of the store all of them ask for the same: what follows the same position. The first reads it, with the filters of
//! all, and the others take their part of that page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use factum::{EventStore, LogId, LogPage, PageLimit, Position, Query, ReadError, ReadLog};
use tokio::sync::watch;

use crate::projector::Inner;

/// The pages at the heads of the logs.
#[derive(Default)]
pub(crate) struct Heads {
    heard: watch::Sender<u64>,
    logs: Mutex<HashMap<LogId, Arc<tokio::sync::Mutex<Option<Shared>>>>>,
}

/// A page that was read for several.
struct Shared {
    after: Position,
    /// How many signals had been heard before it was asked for: it holds what these were about.
    heard: u64,
    filters: Vec<Query>,
    page: LogPage,
}

/// One turn of a projection that stands at the head.
#[derive(Clone, Copy)]
pub(crate) struct Turn<'i> {
    pub(crate) inner: &'i Inner,
    /// How many signals had been heard when it began.
    pub(crate) heard: u64,
}

impl Heads {
    /// Hears that the store gave a signal, or that it is time to look without one.
    pub(crate) fn ring(&self) {
        self.heard.send_modify(|heard| *heard = heard.wrapping_add(1));
    }

    pub(crate) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }

    fn log(&self, log: LogId) -> Arc<tokio::sync::Mutex<Option<Shared>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).entry(log).or_default().clone()
    }
}

impl Turn<'_> {
    /// The page after a position, of the events that `mine` means.
    pub(crate) async fn read(
        &self,
        store: &dyn EventStore,
        log: LogId,
        after: Position,
        mine: &Query,
        limit: PageLimit,
    ) -> Result<LogPage, ReadError> {
        let heads = &self.inner.heads;
        let place = heads.log(log);
        let mut place = place.lock().await;
        // An older page may end where the log no longer does.
        let fits =
            |shared: &Shared| shared.after == after && shared.heard >= self.heard && shared.filters.contains(mine);
        if let Some(shared) = place.as_ref().filter(|shared| fits(shared)) {
            return Ok(part(&shared.page, mine));
        }
        let heard = *heads.heard.borrow();
        let mut filters = self.inner.filters();
        if !filters.contains(mine) {
            filters.push(mine.clone());
        }
        let filter = union(&filters).unwrap_or_else(|| {
            filters = vec![mine.clone()];
            mine.clone()
        });
        let page = store.read_log(ReadLog::after(log, after).filter(filter).limit(limit)).await?;
        let answer = part(&page, mine);
        *place = Some(Shared { after, heard, filters, page });
        Ok(answer)
    }
}

impl Inner {
    /// The filters of the projections that are driven here, each once.
    fn filters(&self) -> Vec<Query> {
        let mut filters: Vec<Query> = Vec::new();
        for driven in self.driven.iter().filter(|driven| self.leases.held(&driven.lease)) {
            if !filters.contains(driven.projected.filter()) {
                filters.push(driven.projected.filter().clone());
            }
        }
        filters
    }
}

fn part(page: &LogPage, mine: &Query) -> LogPage {
    let events = page.events.iter().filter(|event| mine.matches(event)).cloned().collect();
    LogPage { events, reached: page.reached, end: page.end }
}

/// What any of them means; `None` where they mean different tenants.
fn union(filters: &[Query]) -> Option<Query> {
    let first = filters.first()?;
    if filters.iter().any(|filter| filter.tenant() != first.tenant()) {
        return None;
    }
    let all = match first.tenant() {
        Some(tenant) => Query::all().in_tenant(tenant.clone()),
        None => Query::all(),
    };
    if filters.iter().any(|filter| filter.items().is_empty()) {
        return Some(all);
    }
    Some(filters.iter().flat_map(Query::items).fold(all, |all, item| all.or(item.clone())))
}
