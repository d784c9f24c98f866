//! One transaction and all that can become of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use factum::{Append, AppendError, Appended, Fault, FaultKind};
use tokio::time::Instant;

use crate::db::Db;
use crate::error::{fault, is_lost};
use crate::link::{Backend, Broken, Link, again};
use crate::options::KeyRetention;
use crate::wake::Ringer;

/// What a caller is told.
pub(crate) type Done = Result<Appended, AppendError>;

/// How groups are committed.
#[derive(Debug)]
pub(crate) struct Commits {
    db: Db,
    retention: KeyRetention,
    patience: Duration,
    /// A position that is known to be recorded: what is looked for after a lost answer stands behind it.
    head: Arc<AtomicI64>,
    ringer: Ringer,
}

impl Commits {
    pub(crate) fn new(
        db: Db,
        retention: KeyRetention,
        patience: Duration,
        head: Arc<AtomicI64>,
        ringer: Ringer,
    ) -> Self {
        Self { db, retention, patience, head, ringer }
    }

    /// Commits a group on a connection, or on a new one, and tells what became of each append. Gives the connection back if it
    /// still is one.
    pub(crate) async fn commit(&self, link: Option<Link>, appends: &[&Append]) -> (Option<Link>, Vec<Done>) {
        let (link, mut told) = self.try_twice(link, appends).await;
        let failed =
            told.iter().flatten().count() == 0 && told.iter().all(|done| matches!(done, Err(error) if shared(error)));
        if !(failed && appends.len() > 1) {
            self.remember_head(&told);
            return (link, told);
        }
        tracing::warn!(appends = appends.len(), "a group failed; trying each alone");
        let mut link = link;
        for (append, done) in appends.iter().zip(&mut told) {
            let (next, alone) = self.try_twice(link, std::slice::from_ref(append)).await;
            link = next;
            if let Some(alone) = alone.into_iter().next() {
                *done = alone;
            }
        }
        self.remember_head(&told);
        (link, told)
    }

    fn remember_head(&self, told: &[Done]) {
        let last = told.iter().flatten().map(|done| done.cursor.get(factum::LogId::FIRST).as_i64()).max();
        if let Some(last) = last {
            self.head.fetch_max(last, Ordering::Relaxed);
            self.ringer.committed();
        }
    }

    /// What was lost on the way and turns out not to have been recorded is sent once more.
    async fn try_twice(&self, link: Option<Link>, appends: &[&Append]) -> (Option<Link>, Vec<Done>) {
        let after = self.head.load(Ordering::Relaxed);
        let mut link = match link {
            Some(link) => link,
            None => match self.open().await {
                Ok(link) => link,
                Err(error) => return (None, all(appends, || AppendError::NotDone(again(&error)))),
            },
        };
        let backend = link.backend();
        let lost = match link.append(&self.db, appends, self.retention).await {
            Ok(told) => return (Some(link), told),
            Err(Broken::NotSent(what)) => {
                return (Some(link), all(appends, || AppendError::NotDone(Fault::new(what.kind(), what.to_string()))));
            }
            Err(Broken::NotDone(error)) => return (Some(link), all(appends, || AppendError::NotDone(again(&error)))),
            Err(Broken::Lost(error)) => error,
        };
        drop(link);
        tracing::warn!(error = %lost, appends = appends.len(), "the connection was lost during an append; asking what became of it");
        let (mut link, found) = match self.ask(backend, appends, after).await {
            Ok(asked) => asked,
            Err(unknown) => {
                let what = format!("{unknown}, after: {lost}");
                return (None, all(appends, || AppendError::Unknown(Fault::new(FaultKind::Unavailable, what.clone()))));
            }
        };
        let missing: Vec<&Append> =
            appends.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(append, _)| *append).collect();
        let mut second = if missing.is_empty() {
            Vec::new()
        } else if backend.is_none() {
            // Behind a pooler what was sent may still be on its way.
            all(&missing, || AppendError::Unknown(again(&lost)))
        } else {
            match link.append(&self.db, &missing, self.retention).await {
                Ok(told) => told,
                Err(Broken::NotSent(what)) => {
                    all(&missing, || AppendError::NotDone(Fault::new(what.kind(), what.to_string())))
                }
                Err(Broken::NotDone(error)) => all(&missing, || AppendError::NotDone(again(&error))),
                Err(Broken::Lost(error)) => all(&missing, || AppendError::Unknown(again(&error))),
            }
        };
        let mut second = second.drain(..);
        let told = found.into_iter().map(|found| match found {
            Some(appended) => Ok(appended),
            None => second.next().unwrap_or_else(|| Err(AppendError::Unknown(again(&lost)))),
        });
        (Some(link), told.collect())
    }

    async fn ask(
        &self,
        backend: Option<Backend>,
        appends: &[&Append],
        after: i64,
    ) -> Result<(Link, Vec<Option<Appended>>), Fault> {
        let mut link = self.open().await.map_err(fault)?;
        if let Some(backend) = backend {
            link.lay_to_rest(&self.db, backend).await?;
        }
        let found = Link::find(&self.db, appends, after, self.retention).await?;
        Ok((link, found))
    }

    /// A new connection, tried for until patience ends: a server that restarts is back in a moment.
    async fn open(&self) -> Result<Link, sqlx::Error> {
        let end = Instant::now() + self.patience;
        let mut wait = Duration::from_millis(10);
        loop {
            let opened = tokio::time::timeout_at(end, Link::open(&self.db)).await;
            match opened.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Err(error) if is_lost(&error) && Instant::now() + wait < end => {
                    tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    wait = (wait * 2).min(Duration::from_millis(500));
                }
                other => return other,
            }
        }
    }
}

/// Whether it may be nobody's fault: then each may do better alone.
fn shared(error: &AppendError) -> bool {
    matches!(error, AppendError::NotDone(fault) if matches!(fault.kind(), FaultKind::Full | FaultKind::Other | FaultKind::Corrupt))
}

fn all(appends: &[&Append], error: impl Fn() -> AppendError) -> Vec<Done> {
    appends.iter().map(|_| Err(error())).collect()
}
