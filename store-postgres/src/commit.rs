//! One transaction and all that can become of it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::Poll;
use std::time::Duration;

use factum::{Append, AppendError, Appended, Fault, FaultKind};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::db::Db;
use crate::error::{fault, is_elsewhere, is_silence, may_pass, silent};
use crate::known::{Departed, Known};
use crate::link::{Broken, Link, Lost, again, by_copy};
use crate::options::KeyRetention;
use crate::sole::Sure;
use crate::wake::Ringer;

/// What a caller is told.
pub(crate) type Done = Result<Appended, AppendError>;

/// How groups are committed.
#[derive(Debug)]
pub(crate) struct Commits {
    db: Db,
    retention: KeyRetention,
    patience: Duration,
    /// A position that is known to be recorded.
    head: Arc<AtomicI64>,
    ringer: Ringer,
    known: Known,
    sure: Sure,
    /// Held from the taking of a group until it is sent, if it has to wait for nothing.
    pub(crate) departing: Mutex<()>,
}

/// How often a group is sent whose connection is lost each time: something in it may be what ends the server's process.
const ATTEMPTS: u32 = 3;

impl Commits {
    pub(crate) fn new(
        db: Db,
        retention: KeyRetention,
        patience: Duration,
        head: Arc<AtomicI64>,
        ringer: Ringer,
    ) -> Self {
        let sure = Sure::new(Arc::clone(&head));
        Self { db, retention, patience, head, ringer, known: Known::default(), sure, departing: Mutex::new(()) }
    }

    /// Whether an append holds the order lock from one message to the next: whoever drives it must not stop in between.
    pub(crate) fn spans_round_trips(&self, append: &Append) -> bool {
        self.db.behind_pooler() || by_copy(&[append])
    }

    /// Commits an append that nobody waits beside, on a connection or on a new one. Gives the connection back if it still is one.
    ///
    /// What is not done for each of a lone caller is boxed: a future is moved as it is made, with all that it may come to hold.
    pub(crate) async fn commit_alone(&self, mut link: Option<Link>, append: &Append) -> (Option<Link>, Done) {
        let offered = match &mut link {
            Some(link) => link.offer(&self.db, append, &self.sure).await,
            None => Ok(None),
        };
        let broken = match offered {
            Ok(Some(appended)) => {
                let done = Ok(appended);
                self.known.forget();
                self.remember_head(std::slice::from_ref(&done));
                return (link, done);
            }
            Ok(None) => None,
            Err(broken) => Some(broken),
        };
        self.known.forget();
        let (link, told) = Box::pin(self.persist(link, &[append], broken, None)).await;
        self.remember_head(&told);
        (link, told.into_iter().next().unwrap_or_else(|| Err(nothing_said())))
    }

    /// Commits a group on a connection, or on a new one, and tells what became of each append. Gives the connection back if it
    /// still is one.
    ///
    /// What departs first is sent first, if nothing has to be waited for: the one after it is offered to the place behind it.
    pub(crate) async fn commit(
        &self,
        link: Option<Link>,
        appends: &[&Append],
        departing: MutexGuard<'_, ()>,
    ) -> (Option<Link>, Vec<Done>) {
        let departed = self.known.depart(appends);
        let mut sending = pin!(self.send(link, appends, &departed));
        let sent = futures_util::poll!(sending.as_mut());
        drop(departing);
        let (mut link, mut told) = match sent {
            Poll::Ready(answered) => answered,
            Poll::Pending => sending.await,
        };
        let failed = told.iter().all(|done| matches!(done, Err(error) if shared(error)));
        if failed && appends.len() > 1 {
            tracing::warn!(appends = appends.len(), "a group failed; trying each alone");
            departed.comes_first().await;
            for (append, done) in appends.iter().zip(&mut told) {
                let (next, alone) = self.persist(link, std::slice::from_ref(append), None, None).await;
                link = next;
                *done = alone.into_iter().next().unwrap_or_else(|| Err(nothing_said()));
                if link.is_none() && matches!(done, Err(error) if !shared(error)) {
                    // The server has gone: what the others were told holds, and waiting for it once for each would take long.
                    break;
                }
            }
        }
        departed.land(appends, &told);
        self.remember_head(&told);
        (link, told)
    }

    /// At the place where they belong, if that is known and so; else once it is their turn.
    async fn send(
        &self,
        mut link: Option<Link>,
        appends: &[&Append],
        departed: &Departed<'_>,
    ) -> (Option<Link>, Vec<Done>) {
        let offered = match (&mut link, &departed.offer, appends) {
            // Behind a pooler what a session relies on is not set.
            (Some(link), Some(offer), _) if !self.db.behind_pooler() => {
                link.offer_group(&self.db, appends, offer, &self.known).await
            }
            (Some(link), None, [append]) if departed.is_first() => link
                .offer(&self.db, append, &self.sure)
                .await
                .map(|appended| appended.map(|appended| vec![Ok(appended)])),
            _ => Ok(None),
        };
        match offered {
            Ok(Some(told)) => (link, told),
            Ok(None) => self.persist(link, appends, None, Some(departed)).await,
            Err(broken) => self.persist(link, appends, Some(broken), Some(departed)).await,
        }
    }

    fn remember_head(&self, told: &[Done]) {
        let last = told.iter().flatten().map(|done| done.cursor.get(factum::LogId::FIRST).as_i64()).max();
        if let Some(last) = last {
            self.head.fetch_max(last, Ordering::Relaxed);
            self.ringer.committed();
        }
    }

    /// What was lost on the way and turns out not to have been recorded is sent again. `broken` is what became of them if they
    /// were sent before. What `departed` is sent once it is its turn.
    async fn persist(
        &self,
        link: Option<Link>,
        appends: &[&Append],
        mut broken: Option<Broken>,
        departed: Option<&Departed<'_>>,
    ) -> (Option<Link>, Vec<Done>) {
        let mut told = Told::new(appends);
        let opened = match link {
            Some(link) => Ok(link),
            None => self.open(Instant::now() + self.patience).await,
        };
        let mut link = match opened {
            Ok(link) => link,
            Err(error) => return (None, told.rest(|| AppendError::NotDone(again(&error)))),
        };
        for attempt in 1..=ATTEMPTS {
            let answers = match broken.take() {
                Some(broken) => Err(broken),
                None => {
                    if let Some(departed) = departed {
                        departed.comes_first().await;
                    }
                    link.append(&self.db, &told.missing(), self.retention).await
                }
            };
            let error = match answers {
                Ok(answers) => {
                    told.fill(answers.into_iter().map(Some));
                    return (link.if_heard_of(), told.rest(nothing_said));
                }
                Err(Broken::NotSent(what)) => {
                    let rest = told.rest(|| AppendError::NotDone(Fault::new(what.kind(), what.to_string())));
                    return (Some(link), rest);
                }
                Err(Broken::NotDone(error)) => {
                    let stays = !is_elsewhere(&error);
                    return (stays.then_some(link), told.rest(|| AppendError::NotDone(again(&error))));
                }
                Err(Broken::Lost(error)) => error,
            };
            let lost = link.lost();
            tracing::warn!(%error, appends = appends.len(), attempt, "the connection was lost during an append; asking what became of it");
            let found = match self.ask(lost, &told.missing()).await {
                Ok((next, found)) => {
                    link = next;
                    found
                }
                Err(unknown) => {
                    let what = format!("{unknown}, after: {}", again(&error));
                    return (
                        None,
                        told.rest(|| AppendError::Unknown(Fault::new(FaultKind::Unavailable, what.clone()))),
                    );
                }
            };
            told.fill(found.into_iter().map(|found| found.map(Ok)));
            if told.missing().is_empty() {
                break;
            }
            if !lost.is_known() {
                // What was sent may still be on its way.
                return (Some(link), told.rest(|| AppendError::Unknown(again(&error))));
            }
            if attempt == ATTEMPTS || is_silence(&error) {
                return (Some(link), told.rest(|| AppendError::NotDone(again(&error))));
            }
        }
        (Some(link), told.rest(nothing_said))
    }

    /// Sees to it that nothing more comes of what a lost connection was sent, and finds what has come of it.
    async fn ask(&self, lost: Lost, appends: &[&Append]) -> Result<(Link, Vec<Option<Appended>>), Fault> {
        let end = Instant::now() + self.patience;
        loop {
            match self.ask_once(lost, appends, end).await {
                Err(fault) if fault.is_transient() && Instant::now() < end => {
                    tracing::debug!(%fault, "asking again what became of an append");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                other => return other,
            }
        }
    }

    async fn ask_once(
        &self,
        lost: Lost,
        appends: &[&Append],
        end: Instant,
    ) -> Result<(Link, Vec<Option<Appended>>), Fault> {
        let mut link = self.open(end).await.map_err(fault)?;
        self.db.in_time(1, link.lay_to_rest(&self.db, lost), fault).await?;
        let found = self.db.in_time(2, link.find(&self.db, lost, appends, self.retention), fault).await?;
        if found.iter().any(Option::is_some) {
            link.settle(&self.db).await?;
        }
        Ok((link, found))
    }

    /// Whether a group may be sent while another is under way.
    pub(crate) fn overlap(&self) -> bool {
        !self.db.behind_pooler()
    }

    /// One more connection, if it is to be had now.
    pub(crate) async fn another(&self) -> Result<Link, sqlx::Error> {
        self.db.in_time(3, Link::open(&self.db), |silence| silence).await
    }

    /// A new connection, tried for until patience ends: a server that restarts is back in a moment.
    async fn open(&self, end: Instant) -> Result<Link, sqlx::Error> {
        let mut wait = Duration::from_millis(10);
        let mut before = None;
        loop {
            match tokio::time::timeout_at(end, Link::open(&self.db)).await {
                Ok(Err(error)) if may_pass(&error) && Instant::now() + wait < end => before = Some(error),
                Ok(other) => return other,
                Err(_) => return Err(before.unwrap_or_else(silent)),
            }
            tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(Duration::from_millis(500));
        }
    }
}

/// What is known so far of each append of a group.
struct Told<'a> {
    appends: &'a [&'a Append],
    told: Vec<Option<Done>>,
}

impl<'a> Told<'a> {
    fn new(appends: &'a [&'a Append]) -> Self {
        Self { appends, told: appends.iter().map(|_| None).collect() }
    }

    /// Those of which nothing is known.
    fn missing(&self) -> Vec<&'a Append> {
        let both = self.appends.iter().zip(&self.told);
        both.filter(|(_, told)| told.is_none()).map(|(append, _)| *append).collect()
    }

    /// What became of those that were missing, in their order.
    fn fill(&mut self, said: impl Iterator<Item = Option<Done>>) {
        self.told.iter_mut().filter(|told| told.is_none()).zip(said).for_each(|(told, said)| *told = said);
    }

    /// The answers; those that are still missing get this error.
    fn rest(self, error: impl Fn() -> AppendError) -> Vec<Done> {
        self.told.into_iter().map(|told| told.unwrap_or_else(|| Err(error()))).collect()
    }
}

fn nothing_said() -> AppendError {
    AppendError::Unknown(Fault::new(FaultKind::Corrupt, "the server did not say what became of an append"))
}

/// Whether it may be nobody's fault: then each may do better alone.
fn shared(error: &AppendError) -> bool {
    matches!(error, AppendError::NotDone(fault) if matches!(fault.kind(), FaultKind::Full | FaultKind::Other | FaultKind::Corrupt))
}
