//! Commands: load, decide, append; on a conflict decide again.

use super::lane::Caller;
use super::ticket::{Failed, Ticket};
use super::{ExecuteError, Repository};
use crate::aggregate::Aggregate;
use crate::append::{Appended, Keyed, Outcome};
use crate::context::Context;
use crate::event::Event;
use crate::place::{Cursor, Version};
use crate::stream::StreamId;

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The stream of the aggregate.
    pub stream: StreamId,
    /// The version of the last event that it recorded; of the last event that it saw, where it recorded none.
    pub version: Option<Version>,
    /// What became of it.
    pub outcome: Outcome,
    /// What to wait for, so that a read model shows it.
    pub cursor: Cursor,
    /// Whether it had been sent before under the same key, so that nothing happened now. Where an answer was lost and
    /// this call itself sent the command again, that is no repetition, unless it recorded no events: an empty outcome is
    /// then told as one that was there already, and a refusal as `RefusedBefore`.
    pub already: bool,
    /// How often it was decided; 0 if its key was known before it was decided at all. What was decided on a kept state
    /// and again on what the store holds counts as two.
    pub attempts: u32,
}

impl<A: Aggregate> Repository<A> {
    /// Loads the aggregate, lets it decide on the command, and appends what it decided. After a conflict it is loaded
    /// and decides again, a bounded number of times.
    ///
    /// Commands that are executed at the same time on one aggregate, by clones of one repository, queue: each is decided
    /// on what the ones before it left, and their events go out in one append. Each has its own answer, and none is
    /// harmed by another that is refused, panics or is dropped.
    ///
    /// A call that is dropped undoes nothing: its events may be recorded or not.
    ///
    /// # Errors
    /// [`ExecuteError`]. After `Append(Unknown)` the events may have been recorded: send commands that must not
    /// happen twice with a key.
    pub async fn execute(&self, id: impl AsRef<str>, command: A::Command) -> Result<Executed, Failed<A>> {
        self.execute_with(id, command, Context::new()).await
    }

    /// [`execute`](Repository::execute) with metadata and a key.
    ///
    /// # Errors
    /// [`ExecuteError`], of which `RefusedBefore` and `KeyReused` only come with a key. A refusal is remembered under
    /// the key like any outcome.
    #[tracing::instrument(name = "execute", skip_all, fields(stream = tracing::field::Empty))]
    pub async fn execute_with(
        &self,
        id: impl AsRef<str>,
        command: A::Command,
        context: Context,
    ) -> Result<Executed, Failed<A>> {
        let stream = self.stream(id)?;
        tracing::Span::current().record("stream", tracing::field::display(&stream));
        let keyed = context.keyed(&stream).map(|keyed| keyed.in_tenant(stream.tenant()));
        let result = Caller::new(self.core.clone(), Ticket::new(stream, command, context, keyed)).await;
        count(A::Event::CATEGORY, &result);
        result
    }
}

pub(super) fn executed<E: std::error::Error + 'static>(
    stream: StreamId,
    seen: Option<Version>,
    appended: Appended,
    keyed: Option<&Keyed>,
    attempts: u32,
) -> Result<Executed, ExecuteError<E>> {
    if let (Outcome::Refused { reason }, Some(keyed)) = (&appended.outcome, keyed) {
        return Err(ExecuteError::RefusedBefore { key: keyed.key.clone(), reason: reason.clone() });
    }
    let version = appended.version(&stream).or(seen);
    let Appended { outcome, already, cursor } = appended;
    Ok(Executed { stream, version, outcome, cursor, already, attempts })
}

fn count<E: std::error::Error + 'static>(category: &'static str, result: &Result<Executed, ExecuteError<E>>) {
    let outcome = match result {
        Ok(done) if done.already => "already",
        Ok(Executed { outcome: Outcome::Empty, .. }) => "empty",
        Ok(_) => "accepted",
        Err(error) if error.is_refusal() => "refused",
        Err(error) if error.is_conflict() => "conflict",
        Err(_) => "failed",
    };
    metrics::counter!("factum_commands_total", "category" => category, "outcome" => outcome).increment(1);
}
