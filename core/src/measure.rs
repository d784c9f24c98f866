//! What every store counts alike.

use std::time::Instant;

use crate::append::{Append, Appended};
use crate::store::AppendError;

/// Measures one append, for the store that answers it, so that all stores have the same metrics:
/// `factum_store_appends_total` by outcome, `factum_store_events_total` and `factum_store_append_seconds`.
///
/// ```
/// # use factum::{Append, AppendError, Fault, MeasuredAppend};
/// # fn answer(_: Append) -> Result<factum::Appended, AppendError> { Err(AppendError::NotDone(Fault::closed("it is closed"))) }
/// fn append(append: Append) -> Result<factum::Appended, AppendError> {
///     let measured = MeasuredAppend::begin(&append);
///     measured.end(answer(append))
/// }
/// # assert!(append(Append::default()).is_err());
/// ```
#[derive(Debug)]
#[must_use = "what is not ended is not counted"]
pub struct MeasuredAppend {
    began: Instant,
    events: usize,
}

impl MeasuredAppend {
    /// Begins before the append does.
    pub fn begin(append: &Append) -> Self {
        Self { began: Instant::now(), events: append.events() }
    }

    /// Counts an answer, and gives it back.
    ///
    /// # Errors
    /// The answer's.
    pub fn end(self, answer: Result<Appended, AppendError>) -> Result<Appended, AppendError> {
        let outcome = match &answer {
            Ok(appended) if appended.already => "already",
            Ok(_) => {
                metrics::counter!("factum_store_events_total").increment(self.events as u64);
                "recorded"
            }
            Err(error) if error.is_conflict() => "conflict",
            Err(AppendError::NotDone(_)) => "failed",
            Err(AppendError::Unknown(_)) => "unknown",
            Err(_) => "refused",
        };
        metrics::counter!("factum_store_appends_total", "outcome" => outcome).increment(1);
        metrics::histogram!("factum_store_append_seconds").record(self.began.elapsed().as_secs_f64());
        answer
    }
}
