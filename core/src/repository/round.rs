//! One round of a lane: its commands are decided one after another, and what they decided goes out in one append.
//!
//! A round is one attempt. Whoever it could not settle goes back to the front of the queue, in order, and the next round
//! begins with what this one left it: a state to decide on, or the duty to look at the store first.
//!
//! Nobody is told what was decided on a state that may not have been so. An append that succeeds proves the state that
//! it was decided on, and with it all that was decided beside it; without one, the state has to be read for it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;

use super::answers::Places;
use super::decide::{Decided, Entry, MAX_EVENTS, Verdict};
use super::lane::{Lane, Next};
use super::panics::text_of;
use super::ticket::Answer;
use super::work::Base;
use super::{Core, ExecuteError};
use crate::aggregate::Aggregate;
use crate::append::{Append, Appended, Condition, Keyed, Outcome, StreamWrite};
use crate::fault::FaultKind;
use crate::store::AppendError;

/// Runs a round. Whatever panics is told to those who were in it, so that nobody waits for ever.
pub(super) async fn run<A: Aggregate>(core: Arc<Core<A>>, lane: Arc<Lane<A>>) {
    let mut round = Round { core: &core, lane: &lane, batch: Vec::new() };
    let panic = AssertUnwindSafe(round.attempt()).catch_unwind().await.err();
    if !round.batch.is_empty() {
        let what = panic.as_deref().map_or_else(|| "its round was given up".to_owned(), text_of);
        round.tell_all(|| Err(ExecuteError::Panicked { stream: lane.stream.clone(), what: what.clone() }));
    }
}

pub(super) struct Round<'a, A: Aggregate> {
    pub(super) core: &'a Core<A>,
    pub(super) lane: &'a Lane<A>,
    /// Those who are in the round, in their order. Whoever is in it is answered or put back before it ends.
    pub(super) batch: Vec<Entry<A>>,
}

impl<A: Aggregate> Round<'_, A> {
    async fn attempt(&mut self) {
        let Next { kept, fresh, pause } = self.lane.take_next();
        self.gather();
        if self.batch.is_empty() {
            return self.lane.set_next(Next { kept, fresh, pause });
        }
        if let Some(conflicts) = pause {
            self.core.settings.retry.pause(conflicts).await;
        }
        let mut decided = match kept {
            Some(kept) if !fresh => Decided::nothing_on(kept, false),
            kept => {
                if kept.is_none() && self.is_keyed() && Box::pin(self.answer_known()).await {
                    return;
                }
                let spare = kept.as_ref().and_then(Base::spare);
                // What is rare has a box of its own, so that the box of every round stays small.
                match Box::pin(self.core.fresh(&self.lane.stream, kept)).await {
                    Ok(base) => Decided::nothing_on(base, true),
                    Err(error) => {
                        self.lane.set_next(Next::refresh(spare));
                        return self.tell_all(|| Err(ExecuteError::Load(error.clone())));
                    }
                }
            }
        };
        self.decide(&mut decided);
        self.record(decided).await;
    }

    /// Takes those who wait into the round, unless it belongs to one who goes alone.
    fn gather(&mut self) {
        while self.batch.len() < MAX_EVENTS && !self.batch.first().is_some_and(|first| first.waiting.goes_alone()) {
            match self.lane.take(self.batch.len()) {
                Some(waiting) if waiting.ticket.has_left() => {}
                Some(waiting) => self.batch.push(Entry::new(waiting)),
                None => return,
            }
        }
    }

    fn is_keyed(&self) -> bool {
        self.batch.first().is_some_and(|first| first.waiting.ticket.keyed.is_some())
    }

    /// Before an aggregate is loaded for a command with a key, the key is looked up. Where there is a state to decide on,
    /// nothing is loaded, and the append looks it up.
    async fn answer_known(&mut self) -> bool {
        let Some(ticket) = self.batch.first().map(|first| &first.waiting.ticket) else { return false };
        let Some(keyed) = &ticket.keyed else { return false };
        let known = self.core.known(&self.lane.stream, keyed).await;
        let Some(answer) = known.transpose() else { return false };
        if let Some(entry) = self.batch.pop() {
            entry.waiting.answer(answer);
        }
        true
    }

    /// Decides every command on what the ones before it left, until the append is full.
    fn decide(&mut self, decided: &mut Decided<A>) {
        let mut next = 0;
        loop {
            if next == self.batch.len() && decided.has_room() {
                self.gather();
            }
            let Some(entry) = self.batch.get_mut(next) else { return };
            if !decided.take(self.core, &self.lane.stream, entry) {
                return self.put_back_from(next);
            }
            next += 1;
        }
    }

    async fn record(&mut self, mut decided: Decided<A>) {
        if decided.events.is_empty() && !decided.fresh {
            // It may have been decided on what is no longer so.
            self.lane.set_next(Next::refresh(decided.base.or(decided.spare)));
            return self.put_back_from(0);
        }
        // Whoever went away before the decision has decided nothing, which is no outcome to remember under a key.
        let decisive = self.batch.first().filter(|first| !matches!(first.verdict, Verdict::Undecided));
        let keyed = decisive.and_then(|first| first.waiting.ticket.keyed.clone());
        if let Some(keyed) = keyed {
            return Box::pin(self.record_keyed(keyed, decided)).await;
        }
        if decided.events.is_empty() {
            let places = Places::before(&decided);
            self.lane.set_next(Next::keep(decided.base.or(decided.spare)));
            return self.settle(&places);
        }
        let count = decided.events.len();
        let append = self.append_of(&mut decided);
        match self.core.send(append, &self.lane.stream, decided.version).await {
            Ok(appended) => {
                let places = self.core.places(&self.lane.stream, &decided, &appended, count).await;
                self.keep(decided, &appended, count).await;
                self.settle(&places);
            }
            Err(error) => self.failed(&error, decided),
        }
    }

    /// An append holds one key, so the command is alone in the round. Whatever it was decided to now, the first outcome
    /// under its key counts, and the append says which that is.
    async fn record_keyed(&mut self, mut keyed: Keyed, mut decided: Decided<A>) {
        let verdict = self.batch.first().map(|entry| &entry.verdict);
        match verdict {
            Some(Verdict::Failed(_)) => return self.fail_keyed(decided).await,
            Some(Verdict::Refused(refusal)) => keyed.refusal = Some(refusal.to_string()),
            _ => {}
        }
        let count = decided.events.len();
        let mut append = self.append_of(&mut decided);
        append.keyed = Some(keyed.clone());
        let seen = decided.version;
        let appended = match self.core.send(append, &self.lane.stream, seen).await {
            Ok(appended) => appended,
            Err(error) => {
                // Input is looked at before the key.
                if matches!(error, AppendError::Input(_)) && self.answer_known().await {
                    return self.lane.set_next(Next::refresh(decided.spare));
                }
                return self.failed(&error, decided);
            }
        };
        if count > 0 {
            self.keep(decided, &appended, count).await;
        } else {
            self.lane.set_next(Next::keep(decided.base.or(decided.spare)));
        }
        for Entry { waiting, verdict, .. } in self.batch.drain(..) {
            let answer = match verdict {
                Verdict::Refused(refusal) if !appended.already => Err(ExecuteError::Refused(refusal)),
                _ => {
                    let attempts = waiting.decisions;
                    super::executed(self.lane.stream.clone(), seen, appended.clone(), Some(&keyed), attempts)
                }
            };
            waiting.answer(answer);
        }
    }

    /// A command with a key that panicked or cannot be recorded now may have been recorded before.
    async fn fail_keyed(&mut self, decided: Decided<A>) {
        let places = Places::before(&decided);
        self.lane.set_next(Next::keep(decided.base.or(decided.spare)));
        if !self.answer_known().await {
            self.settle(&places);
        }
    }

    fn append_of(&self, decided: &mut Decided<A>) -> Append {
        let events = std::mem::take(&mut decided.events);
        // What has no events depends on nothing: it is only remembered.
        let condition = if events.is_empty() { Condition::Any } else { Condition::from(decided.version) };
        let write = StreamWrite { stream: self.lane.stream.clone(), condition, events };
        Append { writes: vec![write], query_condition: None, keyed: None }
    }

    /// Nothing was recorded, or nobody knows. The next round looks at the store before it decides anything.
    fn failed(&mut self, error: &AppendError, decided: Decided<A>) {
        let (places, fresh) = (Places::before(&decided), decided.fresh);
        let retry = &self.core.settings.retry;
        if error.is_conflict() {
            metrics::counter!("factum_conflicts_total", "category" => <A::Event as crate::Event>::CATEGORY)
                .increment(1);
        }
        let in_company = self.batch.iter().filter(|entry| entry.has_events()).count() > 1;
        let apart = in_company && may_be_of_one(error);
        let mut next = Next::refresh(decided.spare);
        let mut back = Vec::new();
        for mut entry in self.batch.drain(..) {
            let waiting = &mut entry.waiting;
            match entry.verdict {
                Verdict::Events(_) if error.is_conflict() => {
                    // A state that was kept was behind; that is no fight, and counts as no attempt.
                    waiting.conflicts += u32::from(fresh);
                    if !fresh || !retry.is_last(waiting.conflicts) {
                        next.pause = next.pause.max(fresh.then_some(waiting.conflicts));
                        back.push(entry.waiting);
                    } else {
                        let error = ExecuteError::from_append(error.clone(), waiting.conflicts);
                        entry.waiting.answer(Err(error));
                    }
                }
                Verdict::Events(_) if apart => {
                    waiting.alone = true;
                    back.push(entry.waiting);
                }
                Verdict::Events(_) => {
                    let attempts = waiting.decisions;
                    entry.waiting.answer(Err(ExecuteError::from_append(error.clone(), attempts)));
                }
                // It depended on no event of another, so it is true whatever became of those.
                _ if fresh && entry.before == 0 => entry.settle(&self.lane.stream, &places),
                _ => back.push(entry.waiting),
            }
        }
        self.lane.set_next(next);
        self.lane.put_back(back.into_iter());
    }

    /// Keeps the state for the next command, and a snapshot of it where one is due.
    async fn keep(&mut self, decided: Decided<A>, appended: &Appended, count: usize) {
        let Decided { base, spare, version, .. } = decided;
        let stream = &self.lane.stream;
        let after = crate::Version::advance(version, count as u64);
        let (Some(mut base), Outcome::Accepted { log, last, recorded_at, .. }, Some(version), true) =
            (base, &appended.outcome, after, !appended.already && appended.version(stream) == after)
        else {
            return self.lane.set_next(Next::refresh(spare));
        };
        let happened = self.batch.iter().filter(|entry| entry.has_events());
        let happened = happened.map(|entry| entry.waiting.ticket.context.occurred_at().unwrap_or(*recorded_at));
        let occurred_at = happened.max().unwrap_or(*recorded_at);
        let (log, position, recorded_at) = (*log, *last, *recorded_at);
        base.change(|loaded| {
            loaded.extend(crate::Bounds { log, position, version, recorded_at, occurred_at });
        });
        if self.core.save_snapshot(base.loaded()).await {
            base.change(|loaded| loaded.snapshot = Some(version));
        }
        self.lane.set_next(Next::keep(Some(self.core.share(base))));
    }

    /// Tells everybody what became of them.
    fn settle(&mut self, places: &Places) {
        self.batch.drain(..).for_each(|entry| entry.settle(&self.lane.stream, places));
    }

    fn tell_all(&mut self, answer: impl Fn() -> Answer<A>) {
        self.batch.drain(..).for_each(|entry| entry.waiting.answer(answer()));
    }

    fn put_back_from(&mut self, first: usize) {
        self.lane.put_back(self.batch.drain(first..).map(|entry| entry.waiting));
    }
}

/// Whether an append may have failed for what one of its commands brought, or for its size, so that each is tried
/// alone. A store that cannot be reached is everybody's trouble.
fn may_be_of_one(error: &AppendError) -> bool {
    match error {
        AppendError::Unknown(_) => false,
        AppendError::NotDone(fault) => {
            !matches!(fault.kind(), FaultKind::Unavailable | FaultKind::Closed | FaultKind::ReadOnly)
        }
        _ => true,
    }
}
