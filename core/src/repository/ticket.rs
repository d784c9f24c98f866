//! A command that waits for its answer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ExecuteError, Executed};
use crate::aggregate::Aggregate;
use crate::append::Keyed;
use crate::context::Context;
use crate::stream::StreamId;

pub(super) type Failed<A> = ExecuteError<<A as Aggregate>::Error>;
pub(super) type Answer<A> = Result<Executed, Failed<A>>;

/// What a caller and the rounds share.
pub(super) struct Ticket<A: Aggregate> {
    pub(super) stream: StreamId,
    pub(super) command: A::Command,
    pub(super) context: Context,
    pub(super) keyed: Option<Keyed>,
    fate: Mutex<Fate<A>>,
}

enum Fate<A: Aggregate> {
    Open,
    Answered(Answer<A>),
    /// Nobody waits for the answer any more, or it was taken.
    Left,
}

impl<A: Aggregate> Ticket<A> {
    pub(super) fn new(stream: StreamId, command: A::Command, context: Context, keyed: Option<Keyed>) -> Self {
        Self { stream, command, context, keyed, fate: Mutex::new(Fate::Open) }
    }

    fn fate(&self) -> MutexGuard<'_, Fate<A>> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take_answer(&self) -> Option<Answer<A>> {
        let mut fate = self.fate();
        match std::mem::replace(&mut *fate, Fate::Left) {
            Fate::Answered(answer) => Some(answer),
            other => {
                *fate = other;
                None
            }
        }
    }

    pub(super) fn leave(&self) {
        let before = std::mem::replace(&mut *self.fate(), Fate::Left);
        drop(before);
    }

    pub(super) fn has_left(&self) -> bool {
        matches!(*self.fate(), Fate::Left)
    }

    /// The answer is dropped after the lock, if nobody waits for it: it may hold a user's error.
    fn answer(&self, answer: Answer<A>) -> Option<Answer<A>> {
        let mut fate = self.fate();
        if !matches!(*fate, Fate::Open) {
            return Some(answer);
        }
        *fate = Fate::Answered(answer);
        None
    }
}

/// A ticket in a queue or in a round.
pub(super) struct Waiting<A: Aggregate> {
    pub(super) ticket: Arc<Ticket<A>>,
    /// How often it was decided.
    pub(super) decisions: u32,
    /// How many of its appends were conflicts, though decided on fresh state.
    pub(super) conflicts: u32,
    /// Whether it shares its append with nobody, since it failed in company.
    pub(super) alone: bool,
    answered: bool,
}

impl<A: Aggregate> Waiting<A> {
    pub(super) fn new(ticket: Arc<Ticket<A>>) -> Self {
        Self { ticket, decisions: 0, conflicts: 0, alone: false, answered: false }
    }

    /// An append holds one key, so whoever has one goes alone.
    pub(super) fn goes_alone(&self) -> bool {
        self.alone || self.ticket.keyed.is_some()
    }

    pub(super) fn answer(mut self, answer: Answer<A>) {
        self.answered = true;
        drop(self.ticket.answer(answer));
    }
}

/// What unwinds past everything else still answers: a caller that nobody answers would wait for ever.
impl<A: Aggregate> Drop for Waiting<A> {
    fn drop(&mut self) {
        if !self.answered {
            let (stream, what) = (self.ticket.stream.clone(), "its round was given up".to_owned());
            drop(self.ticket.answer(Err(ExecuteError::Panicked { stream, what })));
        }
    }
}
