//! The queue in front of one aggregate, and the round that is being run for those in it.
//!
//! Core has no runtime, so nobody runs a round but those who wait: it is one boxed future that lies in the lane, and
//! whoever is woken takes it out, polls it and puts it back. The round is polled with the waker of the lane, which wakes
//! everybody: a caller that is dropped, or that nobody polls any more, strands no other.
//!
//! What keeps a wake-up from getting lost: a parked round that was not woken holds the lane's waker, and everybody who
//! waits has a waker in the lane; once it is woken, all of those were, and who comes later sees that it was. What is
//! woken while it is polled is noted, and told when it is parked.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Polling, Poll, Wake, Waker};

use super::panics::caught;
use super::ticket::{Answer, Ticket, Waiting};
use super::work::Base;
use super::{Core, round};
use crate::aggregate::Aggregate;
use crate::stream::StreamId;

type Round = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Lane<A: Aggregate> {
    pub(super) stream: StreamId,
    state: Mutex<State<A>>,
}

struct State<A: Aggregate> {
    queue: VecDeque<Waiting<A>>,
    left: usize,
    next: Next<A>,
    round: Drive,
    /// Whether the round was woken since it was polled last.
    woken: bool,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// What one round leaves to the next.
pub(super) struct Next<A> {
    /// The state that was kept.
    pub(super) kept: Option<Base<A>>,
    /// Whether that has to be brought up to date before anything is decided on it.
    pub(super) fresh: bool,
    /// After so many conflicts a wait comes first.
    pub(super) pause: Option<u32>,
}

impl<A> Next<A> {
    pub(super) fn keep(kept: Option<Base<A>>) -> Self {
        Self { kept, fresh: false, pause: None }
    }

    pub(super) fn refresh(kept: Option<Base<A>>) -> Self {
        Self { fresh: true, ..Self::keep(kept) }
    }
}

enum Drive {
    /// There is none.
    Idle,
    /// Somebody polls it.
    Polled,
    /// It waits for its waker.
    Parked(Round),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code of a user runs under these locks, so nothing half done is left by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<A: Aggregate> Lane<A> {
    pub(super) fn new(stream: StreamId, kept: Option<Base<A>>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            left: 0,
            next: Next::keep(kept),
            round: Drive::Idle,
            woken: false,
            wakers: Vec::new(),
            free: Vec::new(),
        };
        Self { stream, state: Mutex::new(state) }
    }

    pub(super) fn enqueue(&self, waiting: Waiting<A>) {
        lock(&self.state).queue.push_back(waiting);
    }

    /// Back to the front of the queue, in their order.
    pub(super) fn put_back(&self, waiting: impl DoubleEndedIterator<Item = Waiting<A>>) {
        let mut state = lock(&self.state);
        for one in waiting.rev() {
            state.queue.push_front(one);
        }
    }

    /// The next in the queue, if it may join a round that already has `taken`: one that goes alone joins nobody.
    pub(super) fn take(&self, taken: usize) -> Option<Waiting<A>> {
        let mut state = lock(&self.state);
        state.queue.pop_front_if(|first| taken == 0 || !first.goes_alone())
    }

    pub(super) fn take_next(&self) -> Next<A> {
        std::mem::replace(&mut lock(&self.state).next, Next::keep(None))
    }

    pub(super) fn set_next(&self, next: Next<A>) {
        let before = std::mem::replace(&mut lock(&self.state).next, next);
        drop(before);
    }

    /// The state that the last round kept, and everything else, as the last caller leaves.
    pub(super) fn end(&self) -> (Option<Base<A>>, impl Sized + use<A>) {
        let mut state = lock(&self.state);
        let kept = state.next.kept.take();
        let round = std::mem::replace(&mut state.round, Drive::Idle);
        let queue = std::mem::take(&mut state.queue);
        (kept, (round, queue))
    }

    /// The round, if it is to be polled now; a new one where there is none. Otherwise the caller will be woken.
    fn take_round(self: &Arc<Self>, core: &Arc<Core<A>>, slot: &mut Option<usize>, waker: &Waker) -> Option<Round> {
        let mut state = lock(&self.state);
        if let (Drive::Polled, _) | (Drive::Parked(_), false) = (&state.round, state.woken) {
            state.register(slot, waker);
            return None;
        }
        state.woken = false;
        match std::mem::replace(&mut state.round, Drive::Polled) {
            Drive::Parked(round) => Some(round),
            _ => {
                drop(state);
                Some(Box::pin(round::run(Arc::clone(core), Arc::clone(self))))
            }
        }
    }

    /// Puts a round back that waits for something.
    fn park(&self, round: Round, slot: &mut Option<usize>, waker: &Waker) {
        let mut state = lock(&self.state);
        state.round = Drive::Parked(round);
        state.register(slot, waker);
        let woken = if state.woken { state.all_wakers() } else { Vec::new() };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// The round is over: everybody looks for an answer, and one of those who have none begins the next.
    fn over(&self) {
        let mut state = lock(&self.state);
        state.round = Drive::Idle;
        let woken = state.all_wakers();
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }

    /// A caller has gone. Those who have gone are cleared away once they are many, so that a lane whose store does not
    /// answer holds no more than those who wait.
    fn leave(&self, slot: Option<usize>, answered: bool) {
        let mut state = lock(&self.state);
        let waker = slot.and_then(|slot| {
            state.free.push(slot);
            state.wakers.get_mut(slot).and_then(Option::take)
        });
        let mut gone = VecDeque::new();
        if !answered {
            state.left += 1;
            if state.left * 2 > state.queue.len() {
                state.left = 0;
                gone = std::mem::take(&mut state.queue);
                let here = gone.iter().filter(|waiting| !waiting.ticket.has_left()).count();
                state.queue.reserve(here);
                for _ in 0..gone.len() {
                    match gone.pop_front() {
                        Some(waiting) if waiting.ticket.has_left() => gone.push_back(waiting),
                        Some(waiting) => state.queue.push_back(waiting),
                        None => break,
                    }
                }
            }
        }
        drop(state);
        drop((waker, gone));
    }
}

impl<A: Aggregate> State<A> {
    fn register(&mut self, slot: &mut Option<usize>, waker: &Waker) {
        let place = *slot.get_or_insert_with(|| {
            self.free.pop().unwrap_or_else(|| {
                self.wakers.push(None);
                self.wakers.len() - 1
            })
        });
        if let Some(held) = self.wakers.get_mut(place) {
            match held {
                Some(held) => held.clone_from(waker),
                None => *held = Some(waker.clone()),
            }
        }
    }

    fn all_wakers(&mut self) -> Vec<Waker> {
        self.wakers.iter_mut().filter_map(Option::take).collect()
    }
}

/// What the future of the round is polled with: it wakes everybody who waits.
impl<A: Aggregate> Wake for Lane<A> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.woken = true;
        let woken = if matches!(state.round, Drive::Polled) { Vec::new() } else { state.all_wakers() };
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// A command on its way: whoever waits for its answer drives whatever its lane is at.
pub(super) struct Caller<A: Aggregate> {
    core: Arc<Core<A>>,
    lane: Arc<Lane<A>>,
    ticket: Arc<Ticket<A>>,
    slot: Option<usize>,
    answered: bool,
}

impl<A: Aggregate> Caller<A> {
    pub(super) fn new(core: Arc<Core<A>>, ticket: Ticket<A>) -> Self {
        let ticket = Arc::new(ticket);
        let lane = core.desk.enter(&ticket.stream);
        lane.enqueue(Waiting::new(Arc::clone(&ticket)));
        Self { core, lane, ticket, slot: None, answered: false }
    }
}

impl<A: Aggregate> Future for Caller<A> {
    type Output = Answer<A>;

    fn poll(mut self: Pin<&mut Self>, polling: &mut Polling<'_>) -> Poll<Answer<A>> {
        let this = &mut *self;
        loop {
            if let Some(answer) = this.ticket.take_answer() {
                this.answered = true;
                return Poll::Ready(answer);
            }
            let Some(mut round) = this.lane.take_round(&this.core, &mut this.slot, polling.waker()) else {
                return Poll::Pending;
            };
            let waker = Waker::from(Arc::clone(&this.lane));
            match caught(|| round.as_mut().poll(&mut Polling::from_waker(&waker))) {
                // A round catches what panics in it, but not what panics as it is dropped.
                Ok(Poll::Ready(())) | Err(_) => this.lane.over(),
                Ok(Poll::Pending) => {
                    this.lane.park(round, &mut this.slot, polling.waker());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<A: Aggregate> Drop for Caller<A> {
    fn drop(&mut self) {
        if !self.answered {
            self.ticket.leave();
        }
        self.lane.leave(self.slot, self.answered);
        self.core.desk.leave(&self.lane.stream);
    }
}
