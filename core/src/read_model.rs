//! The port to read models: generations, documents, checkpoints, kept versions.
//!
//! A projection's read model is built in *generations*; one is live, a replay builds the next. A generation has one
//! checkpoint for each log and partition, and one document for each log, tenant and key: a document is folded from one
//! log, so that it never depends on the order between logs.

mod commit;
mod document;
mod field;
mod find;
mod generation;
mod lease;
mod packed;
mod positions;

use std::time::Duration;

use async_trait::async_trait;

pub use commit::{Checkpoint, Commit, CommitError, Epoch, Failure, Shard};
pub use document::{
    Document, DocumentKey, DocumentPage, DocumentRead, Found, History, HistoryFrom, ListDocuments, ReadHistory,
    ReadTarget,
};
pub use field::{DocumentFields, Field, FieldChange, FieldKind, FieldPlace, FieldValue, MAX_FIELD_TEXT, StrayFields};
pub use find::{Counted, FieldCondition, FieldRange, FindDocuments, FindPlan, FoundAt, FoundDocument, FoundPage};
pub use generation::{
    Generation, GenerationInfo, GenerationState, NewGeneration, ProjectionName, ProjectionVersion, ReadModelError,
    Switch, SwitchError, kept_until,
};
pub use lease::{Lease, LeaseError, LeaseHolder, LeaseName, RaiseEpochs, TakeLease};
pub use positions::Positions;

use crate::fault::Fault;
use crate::finding::Finding;
use crate::store::StoreId;
use crate::stream::Tenant;

/// Keeps read models.
///
/// [`commit`](ReadModelStore::commit) is one transaction that fails unless checkpoint and epoch are as expected: that
/// compare-and-set is what makes a read model exactly-once and many projectors safe.
#[async_trait]
pub trait ReadModelStore: Send + Sync + 'static {
    /// The live generation of a projection's version. Where that version has none, an empty one is made and is live
    /// at once; if two ask at the same time, both get the same.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn open(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError>;

    /// The generation of a projection's version that is being built; a new one if there is none.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn build(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError>;

    /// Every generation of a projection, by number.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn generations(&self, projection: &ProjectionName) -> Result<Vec<GenerationInfo>, ReadModelError>;

    /// The names of the projections that have a generation here, sorted.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn projections(&self) -> Result<Vec<ProjectionName>, ReadModelError>;

    /// Makes one generation live in the place of another, in one transaction, if the old one is live, both are of
    /// one version, and the new one has not failed and is nowhere behind the old one. Raises every epoch of both; the
    /// old one is retired: it takes no more writes, and is kept for as long as the switch says. One that is retired
    /// can become live again, if it is nowhere behind.
    ///
    /// # Errors
    /// [`SwitchError`]; then nothing has changed.
    async fn switch(&self, switch: &Switch) -> Result<(), SwitchError>;

    /// [`switch`](ReadModelStore::switch) for a live generation that has diverged: it stands on events that its store
    /// no longer holds, so that how far it is says nothing, and the new one may be behind it. Everything else holds.
    ///
    /// # Errors
    /// [`SwitchError`]; then nothing has changed. `Unfit` from a store that cannot do it.
    async fn switch_diverged(&self, switch: &Switch) -> Result<(), SwitchError> {
        match self.switch(switch).await {
            Err(SwitchError::Behind { projection, to, .. }) => {
                let why = "the live one is ahead of its log, and this store cannot replace it by one that is behind it";
                Err(SwitchError::Unfit { projection, to, why: why.to_owned() })
            }
            other => other,
        }
    }

    /// Takes a generation out of service, in one transaction: whether it was live or being built, it is retired, takes
    /// no more writes, and is kept for so long (`None`: until somebody drops it). Raises its epochs. If it was live, its
    /// version has no live one then. One that is retired already is kept for so long from now on.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`] if there is no such generation.
    async fn retire(
        &self,
        projection: &ProjectionName,
        generation: Generation,
        keep: Option<Duration>,
    ) -> Result<(), ReadModelError>;

    /// Lets a retired generation take writes again, in one transaction, so that it can catch up and be switched to. It
    /// is kept until somebody drops or retires it. Raises its epochs: whoever held a page of it when it was retired
    /// cannot commit that now. Of one that was reopened before the epochs are raised again, so that whoever reopened it
    /// then is told so by its next commit.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`] if there is no such generation, [`ReadModelError::NotRetired`] if it is live or being
    /// built.
    async fn reopen(
        &self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError>;

    /// Drops the retired generations of a projection, of all its versions, that are kept no longer by the clock of this
    /// store; answers which.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn drop_expired(&self, projection: &ProjectionName) -> Result<Vec<Generation>, ReadModelError>;

    /// Forgets a generation that is not live, with all its documents. Whoever reads it is told `Expired`.
    ///
    /// # Errors
    /// [`ReadModelError::Live`] if it is live.
    async fn drop_generation(&self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError>;

    /// How far a shard is; at the start of its log with epoch 0 if nothing was committed yet.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`] if there is no such generation.
    async fn checkpoint(&self, shard: &Shard) -> Result<Checkpoint, ReadModelError>;

    /// The current documents (deleted ones too) of a shard's log with these keys, in the order of the keys.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`] if there is no such generation.
    async fn load(&self, shard: &Shard, keys: &[DocumentKey]) -> Result<Vec<Option<Document>>, ReadModelError>;

    /// Writes documents and kept versions and moves the checkpoint, all in one transaction.
    ///
    /// Where [`keep_from`](Commit::keep_from) says so, it forgets kept versions in the same transaction: of a document with
    /// several versions at or before that position, those before the newest of them. How many it forgets at once is bounded
    /// by what it writes; what is left is forgotten by the next commits.
    ///
    /// # Errors
    /// [`CommitError::Stale`] unless checkpoint and epoch are the expected ones, [`CommitError::Superseded`] if the
    /// generation takes no more writes. Then nothing has changed.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Raises the epoch, so that a worker that still holds a page cannot commit it.
    ///
    /// # Errors
    /// [`CommitError`] as for a commit: `Stale` unless the epoch is the expected one.
    async fn raise_epoch(&self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError>;

    /// Remembers why a shard stands still, or with `None` that it no longer does. Moves no checkpoint and no epoch;
    /// only valid if the epoch is the expected one. What is remembered is told in
    /// [`GenerationInfo::failure`] until the checkpoint has come to the event that it names.
    ///
    /// # Errors
    /// [`CommitError`] as for a commit.
    async fn report(&self, shard: &Shard, expected: Epoch, failure: Option<Failure>) -> Result<(), CommitError>;

    /// The current documents with these keys, one for each log that has one, with the generation that they belong to and
    /// its checkpoints: all as of one moment. Deleted documents are not among them.
    ///
    /// # Errors
    /// [`ReadModelError::Expired`] if the generation is gone, [`ReadModelError::NoGeneration`] if the version has none.
    async fn get(&self, target: &ReadTarget, keys: &[DocumentKey]) -> Result<Found, ReadModelError>;

    /// A page of the documents of one tenant, by key.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get).
    async fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError>;

    /// A page of the documents of one tenant that meet conditions on their fields, sorted by one of them.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get); [`ReadModelError::NoField`] if the generation was made without a field that
    /// is named.
    async fn find(&self, find: &FindDocuments) -> Result<FoundPage, ReadModelError>;

    /// How many documents [`find`](ReadModelStore::find) finds, on all pages together.
    ///
    /// # Errors
    /// As for [`find`](ReadModelStore::find).
    async fn count(&self, find: &FindDocuments) -> Result<Counted, ReadModelError>;

    /// What the current documents with these keys are found and sorted by, as it is kept: for each key that was asked for,
    /// by log. It is read to be compared with what the documents say; deleted documents are not among them.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get).
    async fn field_values(
        &self,
        target: &ReadTarget,
        keys: &[DocumentKey],
    ) -> Result<Vec<Vec<DocumentFields>>, ReadModelError>;

    /// The values to find documents by that are kept of documents which are not there: of a key and log that has none, or
    /// whose document was deleted. Of all tenants, a page of them; where none are, nothing is wrong.
    ///
    /// At most `limit` values are looked at (at least one), such ones and others, beginning after one that an answer before
    /// named; each is met once, in an order of the store's own, in which those of a key and log follow each other.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get).
    async fn stray_fields(
        &self,
        target: &ReadTarget,
        after: Option<&FieldPlace>,
        limit: usize,
    ) -> Result<StrayFields, ReadModelError>;

    /// The tenant after this one that has documents in a generation, deleted ones too; `None` after the last. The default
    /// tenant comes before all others, and these by name: who begins with it misses none.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get).
    async fn next_tenant(&self, target: &ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError>;

    /// Versions of documents, kept and current, by position, for each of the keys.
    ///
    /// The answer for a key begins with the newest version that lies within [`ReadHistory::from`], if there is one,
    /// and goes on with those after it. From where on it is whole is said with it.
    ///
    /// # Errors
    /// As for [`get`](ReadModelStore::get).
    async fn history(&self, read: &ReadHistory) -> Result<History, ReadModelError>;

    /// Every lease that somebody has, by name.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn leases(&self) -> Result<Vec<Lease>, ReadModelError>;

    /// Takes a lease that nobody has, that stands as it was seen, or that this holder has already; of several who try at
    /// the same time one gets it. The epochs that are to rise do so in the same transaction.
    ///
    /// # Errors
    /// [`LeaseError::Held`] by somebody else, and not as it was seen. Then nothing has changed.
    async fn take_lease(&self, take: &TakeLease) -> Result<Lease, LeaseError>;

    /// Raises the counter of every lease that a holder has, and says which these are, by name: one that is missing was
    /// lost to somebody else.
    ///
    /// # Errors
    /// [`ReadModelError`]; the counters may have been raised.
    async fn renew_leases(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError>;

    /// Gives a lease back as it was seen, so that others need not wait: one's own, or that of a worker that is gone. Says
    /// whether it was still so; else nothing has changed.
    ///
    /// # Errors
    /// [`ReadModelError`].
    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadModelError>;

    /// Which store this is, where it has an id that is kept with its data: the same as its
    /// [`EventStore::id`](crate::EventStore::id) if it keeps events too. Something projected whose checkpoints lie
    /// [in the same one](crate::Projected::store_id) has its epochs raised by
    /// [`take_lease`](ReadModelStore::take_lease).
    fn store_id(&self) -> Option<StoreId> {
        None
    }

    /// What this store finds when it looks at itself: who holds up its read models, what it may not do, what will go
    /// wrong soon. As [`EventStore::diagnose`](crate::EventStore::diagnose); what both find is told once.
    ///
    /// # Errors
    /// [`Fault`] where it cannot even look.
    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        Ok(Vec::new())
    }
}
