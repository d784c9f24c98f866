//! Group commit: all appends of a process that wait at the same time go into one transaction, each with its own conditions and
//! its own answer.
//!
//! Whoever comes while nothing is under way sends its append itself: no other task stands between it and the server. Whoever
//! comes meanwhile waits, and a task of the writer takes all that wait when the connection is free; from then on a task drives
//! what is under way too.
//!
//! Where many wait, a second group is sent on a second connection while the first is under way: it waits for the order lock at
//! the server, and begins when that is free, while this process still tells the callers of the first and makes ready what comes
//! next. Else server and process would work in turns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use factum::{Append, AppendError, Fault};
use tokio::runtime::Handle;
use tokio::sync::{MutexGuard, Notify, OwnedSemaphorePermit, Semaphore, oneshot};

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
    /// How many turns are taken.
    turns: usize,
    /// Whether the one that is taken is of a lone append, beside which no other goes.
    alone: bool,
    /// Connections that nobody uses.
    links: Vec<Link>,
    /// Held while a second one is being made, by whoever makes it.
    connecting: Weak<()>,
    /// Until when no second connection is asked for, since there was none to be had.
    one_until: Option<Instant>,
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
        let state = Mutex::new(State { links: link.into_iter().collect(), ..State::default() });
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
        // Before whoever comes later, whatever is left of the budget of the task.
        let place = tokio::task::unconstrained(Arc::clone(&self.places).acquire_owned());
        let place = place.await.map_err(|_| AppendError::NotDone(closed()))?;
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
            let links = {
                let mut state = self.shared.state();
                (state.turns == 0).then(|| std::mem::take(&mut state.links))
            };
            match links {
                Some(links) => return drop(futures_util::future::join_all(links.into_iter().map(Link::close)).await),
                None => idle.await,
            }
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn, if by now nobody has one, or so many wait that they need not wait for it to end.
    fn wait_in_line(self: &Arc<Self>, job: Job) -> Result<Option<Turn>, AppendError> {
        let mut state = self.state();
        if state.closed {
            return Err(AppendError::NotDone(closed()));
        }
        state.waiting.push_back(job);
        Ok(self.turn(&mut state))
    }

    /// A turn for those who wait, if they are to have one.
    fn turn(self: &Arc<Self>, state: &mut State) -> Option<Turn> {
        match state.turns {
            0 if !state.waiting.is_empty() => Some(Turn::new(self, state)),
            1 if state.waiting.len() >= CROWD && !state.alone && self.commits.overlap() => {
                if state.links.is_empty() {
                    self.connect_another(state);
                    return None;
                }
                Some(Turn::new(self, state))
            }
            _ => None,
        }
    }

    /// A second connection is there before anybody waits for it: else the first one serves all.
    fn connect_another(self: &Arc<Self>, state: &mut State) {
        if state.connecting.strong_count() > 0 || state.one_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let (shared, connecting) = (Arc::clone(self), Arc::new(()));
        state.connecting = Arc::downgrade(&connecting);
        let connect = async move {
            let _connecting = connecting;
            let link = shared.commits.another().await;
            if let Some(late) = shared.connected(link) {
                late.close().await;
            }
        };
        Handle::try_current().unwrap_or_else(|_| self.runtime.clone()).spawn(connect);
    }

    /// Takes the second connection, or gives it back where the store is closed.
    fn connected(self: &Arc<Self>, link: Result<Link, sqlx::Error>) -> Option<Link> {
        let mut state = self.state();
        match link {
            Ok(link) if state.closed => return Some(link),
            Ok(link) => state.links.push(link),
            Err(error) => {
                tracing::debug!(%error, "no second connection for appends; they go on with one");
                state.one_until = Some(Instant::now() + ONE_FOR);
            }
        }
        let turn = self.turn(&mut state);
        drop(state);
        turn.into_iter().for_each(Turn::spawn);
        None
    }

    /// What goes into the next transaction, and a turn for those who are left. Nothing where there is too little for a
    /// transaction beside the one that is under way.
    fn next_group(self: &Arc<Self>) -> (Vec<Job>, Option<Turn>) {
        let mut state = self.state();
        let waiting = state.waiting.len();
        if state.turns > 1 && waiting < CROWD {
            return (Vec::new(), None);
        }
        // Of two groups neither is to be small.
        let halves = waiting >= 2 * CROWD && (state.turns > 1 || !state.links.is_empty()) && self.commits.overlap();
        let most = if halves { waiting.div_ceil(2) } else { waiting };
        let most = most.min(self.group_appends);
        let mut bytes = 0;
        let mut taken = 0;
        let mut company = Company::default();
        for job in state.waiting.iter().take(most) {
            bytes += job.size;
            if (taken > 0 && bytes > self.group_bytes) || !company.join(&job.append) {
                break;
            }
            taken += 1;
        }
        drop(company);
        let group = state.waiting.drain(..taken).collect();
        (group, self.turn(&mut state))
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
    fn new(shared: &Arc<Shared>, state: &mut State) -> Self {
        state.turns += 1;
        Self { shared: Arc::clone(shared), link: state.links.pop(), began: false, ended: false }
    }

    /// `None` where another has it, or others wait.
    fn take(shared: &Arc<Shared>) -> Result<Option<Self>, AppendError> {
        let mut state = shared.state();
        if state.closed {
            return Err(AppendError::NotDone(closed()));
        }
        if state.turns > 0 || !state.waiting.is_empty() {
            return Ok(None);
        }
        state.alone = true;
        Ok(Some(Self::new(shared, &mut state)))
    }

    async fn alone(mut self, append: Append) -> Done {
        self.began = true;
        let done = self.commit_alone(&append).await;
        self.end();
        done
    }

    fn spawn(self) {
        let runtime = Handle::try_current().unwrap_or_else(|_| self.shared.runtime.clone());
        runtime.spawn(self.drive());
    }

    async fn drive(mut self) {
        self.began = true;
        let shared = Arc::clone(&self.shared);
        let mut last = 0;
        loop {
            self.gather(last).await;
            // Who takes first departs first.
            let departing = shared.commits.departing.lock().await;
            let (jobs, others) = shared.next_group();
            if let Some(turn) = others {
                turn.spawn();
            }
            if jobs.is_empty() {
                break;
            }
            last = jobs.len();
            let appends: Vec<&Append> = jobs.iter().map(|job| &job.append).collect();
            let told = self.commit(&appends, departing).await;
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

    async fn commit_alone(&mut self, append: &Append) -> Done {
        let began = Instant::now();
        let link = self.link.take();
        let (link, done) = self.shared.commits.commit_alone(link, append).await;
        self.link = link;
        measure(began, 1);
        done
    }

    async fn commit(&mut self, appends: &[&Append], departing: MutexGuard<'_, ()>) -> Vec<Done> {
        let began = Instant::now();
        let link = self.link.take();
        let (link, told) = self.shared.commits.commit(link, appends, departing).await;
        self.link = link;
        measure(began, appends.len());
        told
    }

    fn end(&mut self) {
        self.ended = true;
        let mut state = self.shared.state();
        state.links.extend(self.link.take());
        (state.lone, state.alone) = (None, false);
        state.turns -= 1;
        let next = self.shared.turn(&mut state);
        let idle = state.turns == 0;
        drop(state);
        match next {
            Some(turn) => turn.spawn(),
            None if idle => self.shared.idle.notify_waiters(),
            None => {}
        }
    }
}

fn measure(began: Instant, appends: usize) {
    metrics::histogram!("factum_store_commit_seconds").record(began.elapsed().as_secs_f64());
    metrics::histogram!("factum_store_group_size").record(u32::try_from(appends).unwrap_or(u32::MAX));
}

/// How many have to wait for a second transaction to be sent while one is under way. Fewer are better off in one after it: the
/// transactions of all processes come one after another, and each is one write to the disk.
const CROWD: usize = 48;

/// For how long no second connection is asked for after there was none to be had.
const ONE_FOR: Duration = Duration::from_secs(10);

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
        // There is no runtime that would drive those who wait, unless another turn is under way.
        let mut state = self.shared.state();
        state.turns -= 1;
        (state.lone, state.alone) = (None, false);
        let waiting = if state.turns == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() };
        drop(state);
        for job in waiting {
            let _ = job.reply.send(Err(AppendError::NotDone(ended())));
        }
        self.shared.idle.notify_waiters();
    }
}
