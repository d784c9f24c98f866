//! The port to read models.

use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Checkpoint, Commit, CommitError, Counted, Document, DocumentFields, DocumentKey, DocumentPage, Epoch, EventStore,
    Failure, Fault, FieldPlace, FindDocuments, Finding, Found, FoundPage, Generation, GenerationInfo, GenerationState,
    History, Lease, LeaseError, LeaseHolder, ListDocuments, NewGeneration, ProjectionName, ReadHistory, ReadModelError,
    ReadModelStore, ReadTarget, Shard, StoreId, StrayFields, Switch, SwitchError, TakeLease, Tenant,
};
use tokio::runtime::Handle;

use crate::read_models_write::Change;
use crate::store::PostgresStore;
use crate::{find, leases, read_models_read as read, read_models_retire as retire, read_models_write as write};

impl PostgresStore {
    /// Most calls find it there. Where one is made, whoever is first makes it, and all find it.
    async fn find_or_make(
        &self,
        new: &NewGeneration,
        state: GenerationState,
    ) -> Result<GenerationInfo, ReadModelError> {
        self.sweeper.look(&self.db);
        loop {
            if let Some(found) = read::in_state(&self.db, new, state).await? {
                return Ok(found);
            }
            // What comes between is somebody else who makes one, so this ends.
            write::make(&self.db, new, state).await?;
        }
    }
}

#[async_trait]
impl ReadModelStore for PostgresStore {
    async fn open(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        self.find_or_make(new, GenerationState::Live).await
    }

    async fn build(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        self.find_or_make(new, GenerationState::Building).await
    }

    async fn generations(&self, projection: &ProjectionName) -> Result<Vec<GenerationInfo>, ReadModelError> {
        read::generations(&self.db, projection).await
    }

    async fn projections(&self) -> Result<Vec<ProjectionName>, ReadModelError> {
        read::projections(&self.db).await
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SwitchError> {
        write::switch(&self.db, switch, false).await
    }

    async fn switch_diverged(&self, switch: &Switch) -> Result<(), SwitchError> {
        write::switch(&self.db, switch, true).await
    }

    async fn retire(
        &self,
        projection: &ProjectionName,
        generation: Generation,
        keep: Option<Duration>,
    ) -> Result<(), ReadModelError> {
        retire::retire(&self.db, projection, generation, keep).await
    }

    async fn reopen(
        &self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError> {
        retire::reopen(&self.db, projection, generation).await?;
        let all = read::generations(&self.db, projection).await?;
        // Somebody else may have dropped it at once.
        let expired = || ReadModelError::Expired { projection: projection.clone(), generation };
        all.into_iter().find(|info| info.generation == generation).ok_or_else(expired)
    }

    async fn drop_expired(&self, projection: &ProjectionName) -> Result<Vec<Generation>, ReadModelError> {
        let dropped = retire::drop_expired(&self.db, projection).await?;
        if !dropped.is_empty() {
            self.sweeper.begin(&self.db);
        }
        Ok(dropped)
    }

    async fn drop_generation(&self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError> {
        write::drop_generation(&self.db, projection, generation).await?;
        self.sweeper.begin(&self.db);
        Ok(())
    }

    async fn checkpoint(&self, shard: &Shard) -> Result<Checkpoint, ReadModelError> {
        read::checkpoint(&self.db, shard).await
    }

    async fn load(&self, shard: &Shard, keys: &[DocumentKey]) -> Result<Vec<Option<Document>>, ReadModelError> {
        read::load(&self.db, shard, keys).await
    }

    /// In a task of its own: a replay folds on while this is under way, and a caller that goes away does not cut it.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let closed = |what| CommitError::Fault(Fault::closed(what));
        let runtime = Handle::try_current().map_err(|_| closed("there is no runtime to commit on"))?;
        let db = self.db.clone();
        let done = runtime.spawn(async move { write::commit(&db, commit).await }).await;
        done.unwrap_or_else(|_| Err(closed("the runtime under the store has ended")))
    }

    async fn raise_epoch(&self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError> {
        write::change_shard(&self.db, shard, expected, Change::RaiseEpoch).await
    }

    async fn report(&self, shard: &Shard, expected: Epoch, failure: Option<Failure>) -> Result<(), CommitError> {
        write::change_shard(&self.db, shard, expected, Change::Report(failure.as_ref())).await.map(drop)
    }

    async fn get(&self, target: &ReadTarget, keys: &[DocumentKey]) -> Result<Found, ReadModelError> {
        read::get(&self.db, target, keys).await
    }

    async fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError> {
        read::list(&self.db, list).await
    }

    async fn find(&self, query: &FindDocuments) -> Result<FoundPage, ReadModelError> {
        find::find(&self.db, query).await
    }

    async fn count(&self, query: &FindDocuments) -> Result<Counted, ReadModelError> {
        find::count(&self.db, query).await
    }

    async fn field_values(
        &self,
        target: &ReadTarget,
        keys: &[DocumentKey],
    ) -> Result<Vec<Vec<DocumentFields>>, ReadModelError> {
        find::values(&self.db, target, keys).await
    }

    async fn stray_fields(
        &self,
        target: &ReadTarget,
        after: Option<&FieldPlace>,
        limit: usize,
    ) -> Result<StrayFields, ReadModelError> {
        find::strays(&self.db, target, after, limit).await
    }

    async fn next_tenant(&self, target: &ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError> {
        read::next_tenant(&self.db, target, after).await
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(EventStore::id(self))
    }

    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        self.diagnose_read_models().await
    }

    async fn history(&self, history: &ReadHistory) -> Result<History, ReadModelError> {
        read::history(&self.db, history).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, ReadModelError> {
        Ok(leases::all(&self.db).await?)
    }

    async fn take_lease(&self, take: &TakeLease) -> Result<Lease, LeaseError> {
        leases::take(&self.db, take).await
    }

    async fn renew_leases(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError> {
        Ok(leases::renew(&self.db, holder).await?)
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadModelError> {
        Ok(leases::release(&self.db, lease).await?)
    }
}
