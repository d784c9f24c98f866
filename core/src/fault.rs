//! What goes wrong below a port: one type for every backend, with its kind and its source.

use std::fmt;
use std::sync::Arc;

/// What kind of trouble a backend has, for callers that must choose what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// It cannot be reached just now, or is too busy; later it may work.
    Unavailable,
    /// There is no room left.
    Full,
    /// It can be read, not written.
    ReadOnly,
    /// What it holds is damaged or is not what it should be.
    Corrupt,
    /// It was closed, or the threads or the runtime under it have ended.
    Closed,
    /// Anything else.
    Other,
}

/// A failure of a backend: what was being done, what kind of trouble it was, and the error under it.
///
/// Cheap to clone, since one failure may have to be told to many.
///
/// ```
/// use factum::{Fault, FaultKind};
///
/// let fault = Fault::new(FaultKind::Full, "writing to bank.db: no room left on the disk");
/// assert_eq!(fault.kind(), FaultKind::Full);
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    what: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Fault {
    /// A failure with nothing under it.
    pub fn new(kind: FaultKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// A failure with the error that caused it.
    pub fn caused(
        kind: FaultKind,
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, what: what.into(), source: Some(Arc::new(source)) }
    }

    /// That the store, or what it runs on, has ended.
    pub fn closed(what: impl Into<String>) -> Self {
        Self::new(FaultKind::Closed, what)
    }

    /// What kind of trouble it is.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// Whether the same call may work later without anybody's help.
    pub fn is_transient(&self) -> bool {
        self.kind == FaultKind::Unavailable
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
