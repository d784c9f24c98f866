//! Leases: who does a piece of work at the moment, so that nobody else does it at the same time for nothing.

use std::hash::{BuildHasher, Hasher, RandomState};

use chrono::{DateTime, Utc};
use thiserror::Error;

use super::generation::{GenerationState, ProjectionName, ProjectionVersion};
use crate::fault::Fault;
use crate::limits::{InputError, MAX_NAME, MAX_STREAM_ID, check_text};
use crate::place::LogId;
use crate::text::{Text, text_type};

fn check_name(text: &str) -> Result<(), InputError> {
    check_text("lease name", text, MAX_STREAM_ID)
}

fn check_holder(text: &str) -> Result<(), InputError> {
    check_text("lease holder", text, MAX_NAME)
}

text_type! {
    /// What a lease is for, such as `projection/balances/1`.
    LeaseName, check_name
}

text_type! {
    /// Who holds a lease, in words for whoever looks: the host, the process, and something random, so that no two that run
    /// are called alike.
    LeaseHolder, check_holder
}

impl LeaseName {
    /// The lease of whoever keeps the live generation of a projection's version current.
    ///
    /// ```
    /// use factum::{LeaseName, ProjectionName, ProjectionVersion};
    ///
    /// let name = LeaseName::projection(&ProjectionName::new("balances")?, ProjectionVersion(2));
    /// assert_eq!(name.as_str(), "projection/balances/2");
    /// # Ok::<(), factum::InputError>(())
    /// ```
    pub fn projection(projection: &ProjectionName, version: ProjectionVersion) -> Self {
        Self(Text::from(format!("projection/{projection}/{version}")))
    }

    /// The lease of whoever replays a projection's version.
    pub fn replay(projection: &ProjectionName, version: ProjectionVersion) -> Self {
        Self(Text::from(format!("replay/{projection}/{version}")))
    }

    /// The lease by which a worker says that it is there; nobody else takes it.
    pub fn worker(holder: &LeaseHolder) -> Self {
        Self(Text::from(format!("worker/{holder}")))
    }
}

impl LeaseHolder {
    /// A name that nobody else has: this machine, this process, and something random.
    ///
    /// ```
    /// assert_ne!(factum::LeaseHolder::here(), factum::LeaseHolder::here());
    /// ```
    pub fn here() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
        let host: String = host.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(64).collect();
        let host = if host.is_empty() { "somewhere" } else { &host };
        let random = RandomState::new().build_hasher().finish();
        Self(Text::from(format!("{host}:{}:{random:016x}", std::process::id())))
    }
}

/// A lease as it was found.
///
/// Nobody's clock says when it ends: its holder raises the counter from time to time, and whoever has seen the counter stand
/// still for long enough, by a clock of its own, [takes](super::ReadModelStore::take_lease) it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub name: LeaseName,
    /// Who has it.
    pub holder: LeaseHolder,
    /// How often it was taken and renewed.
    pub counter: u64,
    /// What the holder says beside, for whoever looks.
    pub note: String,
    /// Since when it has it, by the clock of the store: for people, never to be compared with another clock.
    pub since: DateTime<Utc>,
}

/// The wish to have a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeLease {
    /// What it is for.
    pub name: LeaseName,
    /// Who wants it.
    pub holder: LeaseHolder,
    /// What it says beside.
    pub note: String,
    /// The lease as it was seen when it had stood still for long enough; `None`: only if nobody has it, which does in any
    /// case.
    pub seen: Option<Lease>,
    /// Whose epochs rise with it.
    pub raise: Option<RaiseEpochs>,
}

impl TakeLease {
    /// The wish to have a lease that nobody has.
    pub fn free(name: LeaseName, holder: LeaseHolder) -> Self {
        Self { name, holder, note: String::new(), seen: None, raise: None }
    }
}

/// The shards whose epochs rise when a lease is taken, so that whoever had it before cannot commit what it still holds.
///
/// They are those of one generation: every shard that it has, and the first partition of each of the logs, of which a holder
/// before may be about to make the first commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaiseEpochs {
    /// Of which projection.
    pub projection: ProjectionName,
    /// Of which version.
    pub version: ProjectionVersion,
    /// Its live generation, or the one that is being built. Where there is none nothing is raised.
    pub state: GenerationState,
    /// The logs that it reads.
    pub logs: Vec<LogId>,
}

/// Why a lease was not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody has it, and not as it was seen.
    #[error("the lease {} is held by {} since {}", .lease.name, .lease.holder, .lease.since)]
    Held {
        /// The lease as it is.
        lease: Box<Lease>,
    },
    /// The store failed; the lease may have been taken.
    #[error("the lease was not taken: {0}")]
    Fault(#[from] Fault),
}
