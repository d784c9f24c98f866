//! Decisions that span streams: a dynamic consistency boundary (<https://dcb.events>).

use std::sync::Arc;

use crate::append::{Append, Appended, Condition, Keyed, Outcome, QueryCondition, StreamWrite};
use crate::codec::{DecodeError, EncodeError, EventSet, RoundTrip, encode};
use crate::context::Context;
use crate::event::{Event, EventType, NewEvent, Recorded, RecordedEvent};
use crate::place::Cursor;
use crate::query::Query;
use crate::read::ReadLog;
use crate::repository::{ExecuteError, LoadError, is_own};
use crate::retry::Retry;
use crate::store::{AppendError, EventStore};
use crate::stream::StreamId;

/// What a decision that spans streams looks at: which events, and what they add up to.
///
/// The value holds the question (such as a course and a student) and the answer so far; a fresh clone is folded for
/// each attempt.
///
/// ```
/// use factum::{DecisionModel, Event, Query, QueryItem, Recorded, Tag};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum CourseEvent { Planned { seats: u32 }, Taken { student: String } }
/// impl Event for CourseEvent { const CATEGORY: &'static str = "course"; }
///
/// #[derive(Clone)]
/// struct FreeSeats { course: Tag, seats: u32 }
///
/// impl DecisionModel for FreeSeats {
///     type Event = CourseEvent;
///     fn query(&self) -> Query { Query::all().or(QueryItem::new().tag(self.course.clone())) }
///     fn apply(&mut self, event: &Recorded<CourseEvent>) {
///         match event.data {
///             CourseEvent::Planned { seats } => self.seats += seats,
///             CourseEvent::Taken { .. } => self.seats -= 1,
///         }
///     }
/// }
/// ```
pub trait DecisionModel: Clone + Send + Sync {
    /// The events that it understands.
    type Event: EventSet;

    /// Which events the decision depends on. An event that matches and that comes after those that were folded makes
    /// the append a conflict.
    fn query(&self) -> Query;

    /// Takes an event into account.
    fn apply(&mut self, event: &Recorded<Self::Event>);
}

/// The events that a decision adds, by stream.
#[derive(Debug, Default)]
pub struct Decision {
    events: Vec<Planned>,
    refused: Option<EncodeError>,
}

#[derive(Debug)]
struct Planned {
    stream: StreamId,
    event: NewEvent,
}

impl Decision {
    /// Nothing is to happen.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds an event to the stream of its category with this id, in the default tenant.
    #[must_use]
    pub fn and<E: Event>(self, id: impl AsRef<str>, event: &E) -> Self {
        match StreamId::of(E::CATEGORY, id.as_ref()) {
            Ok(stream) => self.and_to(stream, event),
            Err(error) => Self { refused: Some(error.into()), ..self },
        }
    }

    /// Adds an event to a stream.
    #[must_use]
    pub fn and_to<E: Event>(mut self, stream: StreamId, event: &E) -> Self {
        match encode(event, crate::Metadata::new(), RoundTrip::Checked) {
            Ok(event) => self.events.push(Planned { stream, event }),
            Err(error) => self.refused = Some(error),
        }
        self
    }

    fn into_append(self, context: &Context) -> Result<Append, EncodeError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut append = Append::default();
        for Planned { stream, mut event } in self.events {
            event.metadata = context.event_metadata();
            match append.writes.iter_mut().find(|write| write.stream == stream) {
                Some(write) => write.events.push(event),
                None => append.writes.push(StreamWrite { stream, condition: Condition::Any, events: vec![event] }),
            }
        }
        Ok(append)
    }
}

/// Decides on what a query finds, whatever streams it lies in, and appends under the condition that nothing which the
/// query matches has come since; after a conflict it folds and decides again.
///
/// All streams of the decision and its boundary live in one log of one store.
///
/// ```
/// # use factum::{DecisionModel, Event, Query, QueryItem, Recorded, Tag, Tags};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # enum CourseEvent { Planned { seats: u32 }, Taken { student: String } }
/// # impl Event for CourseEvent {
/// #     const CATEGORY: &'static str = "course";
/// #     fn tags(&self, tags: &mut Tags) { tags.push("course:c1"); }
/// # }
/// # #[derive(Clone)]
/// # struct FreeSeats { course: Tag, seats: u32 }
/// # impl DecisionModel for FreeSeats {
/// #     type Event = CourseEvent;
/// #     fn query(&self) -> Query { Query::all().or(QueryItem::new().tag(self.course.clone())) }
/// #     fn apply(&mut self, event: &Recorded<CourseEvent>) {
/// #         match event.data {
/// #             CourseEvent::Planned { seats } => self.seats += seats,
/// #             CourseEvent::Taken { .. } => self.seats -= 1,
/// #         }
/// #     }
/// # }
/// use std::sync::Arc;
/// use factum::{Decision, EventStore, decide_across};
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the course is full")]
/// struct Full;
///
/// async fn enrol(store: Arc<dyn EventStore>, student: &str) -> Result<(), Box<dyn std::error::Error>> {
///     let seats = FreeSeats { course: Tag::new("course:c1")?, seats: 0 };
///     let done = decide_across(&store, seats, |found| match found.seats {
///         0 => Err(Full),
///         _ => Ok(Decision::none().and("c1", &CourseEvent::Taken { student: student.to_owned() })),
///     });
///     println!("enrolled at {}", done.await?.cursor);
///     Ok(())
/// }
/// ```
///
/// # Errors
/// [`ExecuteError`]: `Refused` with the error that `decide` gave; `Append(QueryConflict)` if others were always faster.
pub async fn decide_across<M, E, D>(
    store: &Arc<dyn EventStore>,
    model: M,
    decide: D,
) -> Result<Appended, ExecuteError<E>>
where
    M: DecisionModel,
    E: std::error::Error + 'static,
    D: FnMut(&M) -> Result<Decision, E> + Send,
{
    decide_across_with(store, model, Context::new(), &Retry::default(), decide).await
}

/// [`decide_across`] with metadata, a key, and bounds on trying again.
///
/// # Errors
/// As for [`decide_across`].
pub async fn decide_across_with<M, E, D>(
    store: &Arc<dyn EventStore>,
    model: M,
    context: Context,
    retry: &Retry,
    mut decide: D,
) -> Result<Appended, ExecuteError<E>>
where
    M: DecisionModel,
    E: std::error::Error + 'static,
    D: FnMut(&M) -> Result<Decision, E> + Send,
{
    // A key belongs to the tenant of the decision, as it does for an aggregate: two tenants may use the same.
    let tenant = model.query().tenant().cloned().unwrap_or_default();
    let keyed = context.keyed("across").map(|keyed| keyed.in_tenant(&tenant));
    if let Some(keyed) = &keyed
        && let Some(remembered) = store.outcome(&keyed.key).await?
    {
        if remembered.fingerprint != keyed.fingerprint {
            return Err(ExecuteError::KeyReused { key: keyed.key.clone() });
        }
        return first_outcome(Appended::new(remembered.outcome, true), keyed);
    }
    // Whether an answer was lost, and the first event of each append whose answer was.
    let (mut unknown, mut lost) = (false, Vec::new());
    let mut attempt = 0;
    loop {
        attempt += 1;
        let (state, boundary) = fold(store, &model).await?;
        let (mut append, refusal) = match decide(&state) {
            Ok(decision) => (decision.into_append(&context)?, None),
            Err(refusal) if keyed.is_none() => return Err(ExecuteError::Refused(refusal)),
            Err(refusal) => (Append::default(), Some(refusal)),
        };
        if append.events() == 0 && keyed.is_none() {
            return Ok(Appended::new(Outcome::Empty, false));
        }
        append.keyed.clone_from(&keyed);
        if let (Some(keyed), Some(refusal)) = (&mut append.keyed, &refusal) {
            keyed.refusal = Some(refusal.to_string());
        }
        if append.events() > 0 {
            append.query_condition = Some(boundary);
        }
        let first = append.writes.first().and_then(|write| write.events.first()).map(|event| event.id);
        match store.append(append).await {
            Ok(appended) if !appended.already => {
                return refusal.map_or(Ok(appended), |refusal| Err(ExecuteError::Refused(refusal)));
            }
            Ok(mut appended) => {
                appended.already = !unknown || !is_own(&**store, &lost, &appended).await;
                return match &keyed {
                    Some(keyed) => first_outcome(appended, keyed),
                    None => Ok(appended),
                };
            }
            // With a key the store itself tells whether the first one was recorded.
            Err(AppendError::Unknown(_)) if keyed.is_some() && retry.again(attempt).await => {
                unknown = true;
                lost.extend(first);
            }
            // That this one was not done says nothing of the one before it.
            Err(AppendError::NotDone(fault)) if unknown => {
                return Err(ExecuteError::Append(AppendError::Unknown(fault)));
            }
            Err(error) if error.is_conflict() && retry.again(attempt).await => {
                metrics::counter!("factum_conflicts_total", "category" => "across").increment(1);
            }
            Err(error) => return Err(ExecuteError::from_append(error, attempt)),
        }
    }
}

fn first_outcome<E: std::error::Error + 'static>(
    appended: Appended,
    keyed: &Keyed,
) -> Result<Appended, ExecuteError<E>> {
    match appended.outcome {
        Outcome::Refused { reason } => Err(ExecuteError::RefusedBefore { key: keyed.key.clone(), reason }),
        _ => Ok(appended),
    }
}

/// What the model's query finds, folded, and the condition that this was all.
async fn fold<M: DecisionModel>(store: &Arc<dyn EventStore>, model: &M) -> Result<(M, QueryCondition), LoadError> {
    let mut state = model.clone();
    let wanted = model.query();
    let former: Result<Vec<EventType>, _> = M::Event::former_types().into_iter().map(EventType::from_static).collect();
    let query = wanted.clone().holding_former_types(&former?);
    let mut after = Cursor::start();
    for log in store.logs() {
        loop {
            let page = store.read_log(ReadLog::after(log, after.get(log)).filter(query.clone())).await?;
            for event in page.events {
                if let Some(event) = typed::<M>(&wanted, event)? {
                    state.apply(&event);
                }
            }
            if let Some(reached) = page.reached {
                after.set(log, reached.position);
            }
            if page.end {
                break;
            }
        }
    }
    Ok((state, QueryCondition { query, after }))
}

/// The event, unless it was found by a former type and is today of one that was not asked for.
fn typed<M: DecisionModel>(wanted: &Query, event: RecordedEvent) -> Result<Option<Recorded<M::Event>>, LoadError> {
    let undecodable = |source| LoadError::Decode {
        stream: event.stream.clone(),
        version: event.version,
        position: event.position,
        source,
    };
    let data = M::Event::decode(&event).map_err(undecodable)?;
    if !wanted.matches(&event) {
        let mut today = event.clone();
        let name = data.event_type().map_err(|error| {
            undecodable(DecodeError::Payload { event_type: event.event_type.to_string(), cause: error.to_string() })
        })?;
        today.event_type = EventType::from_static(name)?;
        if !wanted.matches(&today) {
            return Ok(None);
        }
    }
    Ok(Some(Recorded::new(data, event)))
}
