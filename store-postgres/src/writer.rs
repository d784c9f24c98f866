//! Group commit: all appends of a process that wait at the same time go into one transaction, each with its own conditions and
//! its own answer.
//!
//! Whoever comes while nothing is under way sends its append itself: no other task stands between it and the server. Whoever
//! comes meanwhile waits, and a task of the writer takes all that wait when the connection is free; from then on a task drives
//! what is under way too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use factum::{Append, AppendError, Fault};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::append::size;
use crate::commit::{Commits, Done};
use crate::driven::{Driven, Lone};
use crate::group::Company;
use crate::link::Link;

/// An append that waits, and who waits for it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) append: Append,
    size: usize,
    reply: oneshot::Sender<Done>,
    _place: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Shared {
    commits: Commits,
    state: Mutex<State>,
    idle: Notify,
    group_appends: usize,
    group_bytes: usize,
    /// Where a task is spawned if whoever goes away is in no runtime.
    runtime: Handle,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    busy: bool,
    link: Option<Link>,
    /// What a caller drives that nobody waited for when it began.
    lone: Option<Arc<Lone>>,
    closed: bool,
}

fn closed() -> Fault {
    Fault::closed("the store is closed")
}

pub(crate) fn ended() -> Fault {
    Fault::closed("the runtime under the store has ended")
}

impl Writer {
    pub(crate) fn new(
        commits: Commits,
        link: Option<Link>,
        queue: usize,
        group_appends: usize,
        group_bytes: usize,
    ) -> Self {
        let state = Mutex::new(State { link, ..State::default() });
        let runtime = Handle::current();
        let shared = Shared { commits, state, idle: Notify::new(), group_appends, group_bytes, runtime };
        Self { shared: Arc::new(shared), places: Arc::new(Semaphore::new(queue)) }
    }

    pub(crate) async fn append(&self, append: Append) -> Done {
        if let Some(turn) = Turn::take(&self.shared)? {
            let spans = self.shared.commits.spans_round_trips(&append);
            let lone = Lone::new(turn.alone(append), self.shared.runtime.clone());
            if self.shared.others_wait_for(&lone) || spans {
                lone.hand_over();
            }
            return Driven(lone).await;
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| AppendError::NotDone(closed()))?;
        let (reply, answer) = oneshot::channel();
        let size = size(&append);
        let job = Job { append, size, reply, _place: place };
        if let Some(turn) = self.shared.wait_in_line(job)? {
            turn.spawn();
        }
        self.shared.hand_over();
        answer.await.unwrap_or_else(|_| Err(AppendError::Unknown(ended())))
    }

    /// Takes no more, and ends when what was taken is done.
    pub(crate) async fn close(&self) {
        self.shared.state().closed = true;
        self.shared.hand_over();
        loop {
            let idle = self.shared.idle.notified();
            let link = {
                let mut state = self.shared.state();
                if !state.busy { Some(state.link.take()) } else { None }
            };
            match link {
                Some(Some(link)) => return link.close().await,
                Some(None) => return,
                None => idle.await,
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, if by now nobody has one.
    fn wait_in_line(self: &Arc<Self>, job: Job) -> Result<Option<Turn>, AppendError> {
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::NotDone(closed()));
        }
        state.waiting.push_back(job);
        if state.busy {
            return Ok(None);
        }
        state.busy = true;
        let link = state.link.take();
        drop(state);
        Ok(Some(Turn { shared: Arc::clone(self), link, began: false, ended: false }))
    }

    /// What goes into the next transaction.
    fn next_group(&self) -> Vec<Job> {
        let mut state = self.state();
        let mut bytes = 0;
        let mut taken = 0;
        let mut company = Company::default();
        for job in &state.waiting {
            bytes += job.size;
            let full = taken == self.group_appends || (taken > 0 && bytes > self.group_bytes);
            if full || !company.join(&job.append) {
                break;
            }
            taken += 1;
        }
        drop(company);
        state.waiting.drain(..taken).collect()
    }

    /// Makes known what its caller drives. Says whether somebody waits for it already.
    fn others_wait_for(&self, lone: &Arc<Lone>) -> bool {
        let mut state = self.state();
        state.lone = Some(Arc::clone(lone));
        !state.waiting.is_empty() || state.closed
    }

    /// Whoever waits for the connection does not wait for another caller to go on with what it began.
    fn hand_over(&self) {
        let lone = self.state().lone.take();
        if let Some(lone) = lone {
            lone.hand_over();
        }
    }

    fn waiting(&self) -> usize {
        self.state().waiting.len()
    }
}

/// The right to use the connection. Whoever has it gives it on when it ends, however it ends.
#[derive(Debug)]
struct Turn {
    shared: Arc<Shared>,
    /// `None` while it is in use, and where it was lost.
    link: Option<Link>,
    /// Whether anybody drives it: a runtime that has ended takes a task and drops it.
    began: bool,
    ended: bool,
}

impl Turn {
    /// `None` where another has it, or others wait.
    fn take(shared: &Arc<Shared>) -> Result<Option<Self>, AppendError> {
        let mut state = shared.state();
        if state.closed {
            return Err(AppendError::NotDone(closed()));
        }
        if state.busy || !state.waiting.is_empty() {
            return Ok(None);
        }
        state.busy = true;
        let link = state.link.take();
        drop(state);
        Ok(Some(Self { shared: Arc::clone(shared), link, began: false, ended: false }))
    }

    async fn alone(mut self, append: Append) -> Done {
        self.began = true;
        let mut told = self.commit(&[&append]).await;
        self.end();
        told.pop().unwrap_or_else(|| Err(AppendError::Unknown(ended())))
    }

    fn spawn(self) {
        let runtime = Handle::try_current().unwrap_or_else(|_| self.shared.runtime.clone());
        runtime.spawn(self.drive());
    }

    async fn drive(mut self) {
        self.began = true;
        let mut last = 0;
        loop {
            self.gather(last).await;
            let jobs = self.shared.next_group();
            if jobs.is_empty() {
                break;
            }
            last = jobs.len();
            let appends: Vec<&Append> = jobs.iter().map(|job| &job.append).collect();
            let told = self.commit(&appends).await;
            for (job, told) in jobs.into_iter().zip(told) {
                // A caller that has gone away does not undo what it asked for.
                let _ = job.reply.send(told);
            }
        }
        self.end();
    }

    /// Those who were answered a moment ago are about to come again: lets them, so that one group is not followed by a small one.
    async fn gather(&self, last: usize) {
        let mut before = self.shared.waiting();
        for _ in 0..GATHER {
            if before >= last.min(self.shared.group_appends) {
                return;
            }
            tokio::task::yield_now().await;
            let now = self.shared.waiting();
            if now == before && now > 0 {
                return;
            }
            before = now;
        }
    }

    async fn commit(&mut self, appends: &[&Append]) -> Vec<Done> {
        let began = Instant::now();
        let link = self.link.take();
        let (link, told) = self.shared.commits.commit(link, appends).await;
        self.link = link;
        metrics::histogram!("factum_store_commit_seconds").record(began.elapsed().as_secs_f64());
        metrics::histogram!("factum_store_group_size").record(u32::try_from(appends.len()).unwrap_or(u32::MAX));
        told
    }

    fn end(&mut self) {
        self.ended = true;
        let mut state = self.shared.state();
        let link = self.link.take();
        state.lone = None;
        if state.waiting.is_empty() {
            state.link = link;
            state.busy = false;
            drop(state);
            self.shared.idle.notify_waiters();
        } else {
            drop(state);
            Self { shared: Arc::clone(&self.shared), link, began: false, ended: false }.spawn();
        }
    }
}

/// How often a group waits for others to come.
const GATHER: usize = 64;

impl Drop for Turn {
    /// A runtime that ends in the middle, or a panic: the connection is in an unknown state and is not used again, and whoever
    /// waits gets another.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.began {
            self.end();
            return;
        }
        // There is no runtime that would drive those who wait.
        let mut state = self.shared.state();
        (state.busy, state.lone) = (false, None);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        for job in waiting {
            let _ = job.reply.send(Err(AppendError::NotDone(ended())));
        }
        self.shared.idle.notify_waiters();
    }
}
