//! Reading a log ahead of whoever folds it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};

use factum::{EventStore, LogPage, ReadError, ReadLog};
use futures_util::future::BoxFuture;

/// How many pages may wait to be folded.
const PAGES: usize = 2;

/// The pages of a log, in order. The store reads on while they are folded, as often as it is looked after.
pub(crate) struct Ahead<'a> {
    store: &'a dyn EventStore,
    read: ReadLog,
    reading: Option<BoxFuture<'a, Result<LogPage, ReadError>>>,
    ready: VecDeque<Result<LogPage, ReadError>>,
}

impl<'a> Ahead<'a> {
    /// Everything that this read and the ones after it find.
    pub(crate) fn new(store: &'a dyn EventStore, read: ReadLog) -> Self {
        let reading = Some(store.read_log(read.clone()));
        Self { store, read, reading, ready: VecDeque::with_capacity(PAGES) }
    }

    /// The next page; `None` after the last. Nothing follows an error.
    pub(crate) async fn next(&mut self) -> Option<Result<LogPage, ReadError>> {
        if self.ready.is_empty()
            && let Some(reading) = &mut self.reading
        {
            let page = reading.await;
            self.take(page);
        }
        let page = self.ready.pop_front();
        self.look().await;
        page
    }

    /// Does something else while the store reads on: what it has begun to answer is taken from it, so that it holds no connection
    /// for which that other thing might wait.
    pub(crate) async fn beside<T>(&mut self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        poll_fn(|cx| {
            self.read_on(cx);
            what.as_mut().poll(cx)
        })
        .await
    }

    /// Takes what was read meanwhile and lets the store begin with what follows. Never waits.
    pub(crate) async fn look(&mut self) {
        self.beside(async {}).await;
    }

    fn read_on(&mut self, cx: &mut Context<'_>) {
        while self.ready.len() < PAGES
            && let Some(reading) = &mut self.reading
            && let Poll::Ready(page) = reading.as_mut().poll(cx)
        {
            self.take(page);
        }
    }

    fn take(&mut self, page: Result<LogPage, ReadError>) {
        self.reading = match &page {
            Ok(LogPage { reached: Some(mark), end: false, .. }) => {
                self.read.after = mark.position;
                Some(self.store.read_log(self.read.clone()))
            }
            _ => None,
        };
        self.ready.push_back(page);
    }
}
