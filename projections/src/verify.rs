//! Comparing the documents of a read model with a fresh fold of history.

mod batch;
mod compare;
mod fields;
mod listing;
mod strays;
mod versions;
mod work;

use std::collections::BTreeSet;
use std::time::Duration;

use factum::{
    Cursor, Failure, Generation, InputError, LogId, Position, ProjectionName, ReadError, ReadModelError, Tenant,
};
use serde::Serialize;
use thiserror::Error;

use crate::error::{Diverged, UnknownProjection};
use crate::json::FieldDifference;
use crate::projection::SetupError;
use crate::projector::Projector;
pub(crate) use work::Verify;

/// What is compared, and with how much memory.
///
/// ```
/// use factum_projections::VerifyOptions;
///
/// let some = VerifyOptions::new().sample(1_000);
/// let these = VerifyOptions::new().keys(["2378", "576"]);
/// ```
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    pub(crate) tenant: Option<Tenant>,
    pub(crate) keys: Option<BTreeSet<String>>,
    pub(crate) sample: Option<usize>,
    pub(crate) generation: Option<Generation>,
    pub(crate) memory: usize,
    pub(crate) page_events: usize,
}

impl VerifyOptions {
    /// The defaults: every document of every tenant, with about 128 MiB of memory for documents.
    pub fn new() -> Self {
        Self { tenant: None, keys: None, sample: None, generation: None, memory: 128 << 20, page_events: 1_000 }
    }

    /// Only the documents of this tenant.
    #[must_use]
    pub fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Only the documents with these keys, of the tenant that is given or else of the default one. A key that has no
    /// document is found right if history makes none.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.keys = Some(keys.into_iter().map(Into::into).collect());
        self
    }

    /// About this many documents, picked at random, others each time; those that are missing are picked as often as
    /// those that are there. All of history is read all the same.
    #[must_use]
    pub fn sample(mut self, documents: usize) -> Self {
        self.sample = Some(documents.max(1));
        self
    }

    /// The documents of this generation, such as one that a replay has built and nobody reads yet; else those of the live one.
    #[must_use]
    pub fn generation(mut self, generation: Generation) -> Self {
        self.generation = Some(generation);
        self
    }

    /// How much memory documents may take, in bytes, as estimated: with less, history is read more often. One document
    /// is held whatever its size.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How a document is not what history makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// It has other content.
    Differs,
    /// It is not there.
    Missing,
    /// It is there, and should not be; or what it would be found by is, without it.
    Unexpected,
    /// It is there and cannot be read, and what would be read with it cannot either.
    Unreadable,
}

/// A document that is not what history makes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whose document it is.
    pub tenant: Tenant,
    /// Its key.
    pub key: String,
    /// The log from which it is folded.
    pub log: LogId,
    /// What is wrong with it.
    pub kind: DifferenceKind,
    /// Whether that is a version which is kept for time travel, as of `position`, and not the document as it is.
    pub kept: bool,
    /// Up to which position history was folded: the checkpoint that the document was read with.
    pub position: Position,
    /// The fields that differ, at most 100: as history makes them, and as they were found. Of a document that is missing or
    /// should not be there: all of it, as `$`. What is kept beside it has names without a `$`: `position`, `version`,
    /// `recorded_at` and `occurred_at` for time travel, and `fields.NAME` for what it is found and sorted by.
    pub fields: Vec<FieldDifference>,
}

/// How far a verification is.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyProgress {
    /// The generation that is looked at.
    pub generation: Generation,
    /// How often history is read, from 1: once for as many documents as fit in memory.
    pub pass: u32,
    /// How far it is read.
    pub position: Cursor,
    /// How far it is to be read.
    pub until: Cursor,
    /// How many events were read.
    pub events: u64,
    /// For how long.
    pub elapsed: Duration,
}

/// What a verification has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyReport {
    /// The projection.
    pub projection: ProjectionName,
    /// The generation that was looked at.
    pub generation: Generation,
    /// How far it was, by the documents that were read last.
    pub checkpoint: Cursor,
    /// How many documents were compared, those that are missing with them.
    pub documents: u64,
    /// How many versions of them were compared which are kept for time travel.
    pub versions: u64,
    /// How many of all these are not what history makes of them, with those that are not there and would be found.
    pub differences: u64,
    /// Of how many documents it was not compared what they are found by, since they changed as they were read, again and
    /// again: name them as [keys](VerifyOptions::keys), or verify where fewer events come.
    pub fields_passed: u64,
    /// How many events were read.
    pub events: u64,
    /// How often history was read.
    pub passes: u32,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// How often a verification begins anew with the generation that has replaced the one it looked at.
const ANEW: u32 = 3;

/// Told of each difference, and how far it is after each page.
pub(crate) struct Watch<'a> {
    pub(crate) found: &'a mut (dyn FnMut(Difference) + Send),
    pub(crate) progress: &'a mut (dyn FnMut(VerifyProgress) + Send),
}

impl Projector {
    /// Folds history again and compares what it comes to with the documents of the live generation, as each of them is at
    /// the checkpoint that it was read with. `found` is told of each that differs.
    ///
    /// Nothing is written, no lock and no transaction is held, and writers go on: documents are read a page at a time, each page
    /// with its own checkpoint, and each is compared with the fold up to that. Memory is bounded: where not all documents fit,
    /// history is read several times.
    ///
    /// A document is compared by its JSON, in which the order of fields means nothing, and that of lists something: a set
    /// is to be serialized in an order. The versions of it that are kept for time travel are compared with what history made
    /// of it then, and what it is found and sorted by with what [`Projection::fields`](crate::Projection::fields) says of it.
    /// One that cannot be read is named, and the others are compared all the same. So is what would be found by a field and
    /// is not there, since its values were left over.
    ///
    /// ```
    /// # use factum_projections::{Projector, VerifyError, VerifyOptions};
    /// async fn report(projector: &Projector) -> Result<bool, VerifyError> {
    ///     let options = VerifyOptions::new();
    ///     let found = |difference: factum_projections::Difference| {
    ///         for field in difference.fields {
    ///             eprintln!("{} {}", difference.key, field.path);
    ///         }
    ///     };
    ///     let report = projector.verify("balances", &options, found, |_| ()).await?;
    ///     Ok(report.differences == 0)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`VerifyError`]; then what was not compared is not known.
    pub async fn verify(
        &self,
        name: &str,
        options: &VerifyOptions,
        mut found: impl FnMut(Difference) + Send,
        mut progress: impl FnMut(VerifyProgress) + Send,
    ) -> Result<VerifyReport, VerifyError> {
        let driven = self.inner.find::<VerifyError>(name)?;
        let Some(documents) = &driven.documents else {
            return Err(VerifyError::NotDocuments { projection: driven.name().clone() });
        };
        let (mut told, mut left) = (false, ANEW);
        loop {
            let mut tell = |difference| {
                told = true;
                found(difference);
            };
            let watch = Watch { found: &mut tell, progress: &mut progress };
            match documents.verify(&*self.inner.store, options, watch).await {
                // A replay has replaced and dropped the generation: nothing is known of the one that is live now.
                Err(VerifyError::ReadModel(ReadModelError::Expired { .. }))
                    if left > 0 && !told && options.generation.is_none() =>
                {
                    left -= 1
                }
                done => return done,
            }
        }
    }
}

/// Why documents could not be compared with history.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no such projection.
    #[error(transparent)]
    Unknown(#[from] UnknownProjection),
    /// A projection cannot be run as it is written.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// A key is such that no read model has it.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It keeps no documents to compare.
    #[error(
        "{projection} keeps no documents: what its own SQL or code writes cannot be folded beside it and compared; replay it \
         instead"
    )]
    NotDocuments {
        /// The projection.
        projection: ProjectionName,
    },
    /// It has no generation with this number: there never was one, or it was dropped.
    #[error("{projection} has no generation {generation}; ask for one that it has")]
    NoSuch {
        /// The projection.
        projection: ProjectionName,
        /// The generation that was asked for.
        generation: Generation,
    },
    /// The generation was folded by another version of the code, which this one cannot fold again.
    #[error(
        "generation {generation} of {projection} is of version {found}, and this code of version {version}: run the code that \
         made it"
    )]
    OtherVersion {
        /// The projection.
        projection: ProjectionName,
        /// The generation.
        generation: Generation,
        /// Of which version that is.
        found: u32,
        /// The version of this code.
        version: u32,
    },
    /// The read model could not be read. `Expired`: a replay has replaced and dropped the generation, after differences were
    /// told of it, or again and again.
    #[error(transparent)]
    ReadModel(#[from] ReadModelError),
    /// The events could not be read.
    #[error("the history of {projection} could not be read: {source}")]
    Events {
        /// The projection.
        projection: ProjectionName,
        /// Why.
        source: ReadError,
    },
    /// The read model stands on events that the store does not hold: there is no history to compare it with.
    #[error(transparent)]
    Diverged(Box<Diverged>),
    /// An event of the past can no longer be taken: the code has changed since.
    #[error("{projection} {failure}; the code has changed since it took that event")]
    Halted {
        /// The projection.
        projection: ProjectionName,
        /// Where and why.
        failure: Box<Failure>,
    },
    /// What history makes of a document cannot be written.
    #[error("{projection} makes a document {key:?} that cannot be serialized: {cause}")]
    Unserializable {
        /// The projection.
        projection: ProjectionName,
        /// The key of the document.
        key: String,
        /// Why.
        cause: String,
    },
}
