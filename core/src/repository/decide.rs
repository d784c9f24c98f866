//! Deciding the commands of a round, one on what the others left.

use super::answers::Places;
use super::panics::caught;
use super::ticket::{Failed, Ticket, Waiting};
use super::work::Base;
use super::{Core, ExecuteError};
use crate::aggregate::Aggregate;
use crate::at::Bounds;
use crate::codec::encode;
use crate::event::NewEvent;
use crate::place::Version;
use crate::stream::StreamId;

/// How many commands, and how many events, one append of a lane holds at most; one command alone may hold more.
pub(super) const MAX_EVENTS: usize = 1_000;
/// How many bytes of payloads.
const MAX_BYTES: usize = 1 << 20;

/// A command in a round.
pub(super) struct Entry<A: Aggregate> {
    pub(super) waiting: Waiting<A>,
    /// How many events the commands before it in this round decided.
    pub(super) before: usize,
    pub(super) verdict: Verdict<A>,
}

/// What a command was decided to.
pub(super) enum Verdict<A: Aggregate> {
    Undecided,
    /// So many events.
    Events(usize),
    Empty,
    Refused(A::Error),
    /// It panicked, or what it decided cannot be recorded.
    Failed(Failed<A>),
}

impl<A: Aggregate> Entry<A> {
    pub(super) fn new(waiting: Waiting<A>) -> Self {
        Self { waiting, before: 0, verdict: Verdict::Undecided }
    }

    /// Tells the caller what became of the command.
    pub(super) fn settle(self, stream: &StreamId, places: &Places) {
        let (before, attempts) = (self.before, self.waiting.decisions);
        let answer = match self.verdict {
            Verdict::Events(count) => Ok(places.accepted(stream, before, count, attempts)),
            Verdict::Empty => Ok(places.empty(stream, before, attempts)),
            Verdict::Refused(refusal) => Err(ExecuteError::Refused(refusal)),
            Verdict::Failed(error) => Err(error),
            // Nobody waits for it.
            Verdict::Undecided => return,
        };
        self.waiting.answer(answer);
    }

    pub(super) fn has_events(&self) -> bool {
        matches!(self.verdict, Verdict::Events(_))
    }
}

/// What a round has decided so far.
pub(super) struct Decided<A> {
    /// The state after the events; `None` once `apply` panicked over it.
    pub(super) base: Option<Base<A>>,
    /// The state before them, if it is kept elsewhere too.
    pub(super) spare: Option<Base<A>>,
    /// Where the state before them stands.
    pub(super) version: Option<Version>,
    pub(super) bounds: Option<Bounds>,
    /// Whether it was read for this round; otherwise it may be behind.
    pub(super) fresh: bool,
    pub(super) events: Vec<NewEvent>,
    bytes: usize,
}

impl<A: Aggregate> Decided<A> {
    pub(super) fn nothing_on(base: Base<A>, fresh: bool) -> Self {
        let spare = base.spare();
        let (version, bounds) = (base.loaded().version, base.loaded().bounds);
        Self { base: Some(base), spare, version, bounds, fresh, events: Vec::new(), bytes: 0 }
    }

    /// Whether the append takes another command.
    pub(super) fn has_room(&self) -> bool {
        self.base.is_some() && self.events.len() < MAX_EVENTS && self.bytes < MAX_BYTES
    }

    /// Decides a command; `false` if it has to wait for the next round.
    ///
    /// Its events are applied before they are recorded: what panics there never becomes a fact that nobody can load.
    pub(super) fn take(&mut self, core: &Core<A>, stream: &StreamId, entry: &mut Entry<A>) -> bool {
        let Some(base) = &mut self.base else { return false };
        entry.before = self.events.len();
        let ticket = &entry.waiting.ticket;
        if ticket.has_left() {
            return true;
        }
        entry.waiting.decisions += 1;
        let (decided, mut events) = match decide(core, stream, &base.loaded().state, ticket) {
            Ok(events) => events,
            Err(verdict) => {
                entry.verdict = verdict;
                return true;
            }
        };
        let bytes: usize = events.iter().map(|event| event.payload.len()).sum();
        let first = self.events.is_empty();
        if !first && (self.events.len() + events.len() > MAX_EVENTS || self.bytes + bytes > MAX_BYTES) {
            return false;
        }
        let apply = || base.change(|loaded| decided.iter().for_each(|event| loaded.state.apply(event)));
        if let Err(what) = caught(apply) {
            self.base = None;
            entry.waiting.alone = true;
            entry.verdict = Verdict::Failed(ExecuteError::Panicked { stream: stream.clone(), what });
            return first;
        }
        entry.verdict = Verdict::Events(events.len());
        self.bytes += bytes;
        if first {
            self.events = events;
        } else {
            self.events.append(&mut events);
        }
        true
    }
}

type Events<A> = (Vec<<A as Aggregate>::Event>, Vec<NewEvent>);

fn decide<A: Aggregate>(
    core: &Core<A>,
    stream: &StreamId,
    state: &A,
    ticket: &Ticket<A>,
) -> Result<Events<A>, Verdict<A>> {
    let code = || {
        let decided = state.decide(&ticket.command).map_err(Verdict::Refused)?;
        if decided.is_empty() {
            return Err(Verdict::Empty);
        }
        let encoded = decided.iter().map(|event| {
            let metadata = ticket.context.event_metadata();
            encode(event, metadata, core.settings.round_trip)
        });
        let events = encoded.collect::<Result<_, _>>().map_err(|error| Verdict::Failed(error.into()))?;
        Ok((decided, events))
    };
    caught(code).unwrap_or_else(|what| {
        let stream = stream.clone();
        Err(Verdict::Failed(ExecuteError::Panicked { stream, what }))
    })
}
