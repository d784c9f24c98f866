//! The port to read models: what is read goes to the readers, what is written to the writer.

use std::time::Duration;

use async_trait::async_trait;
use factum::{
    Checkpoint, Commit, CommitError, Counted, Document, DocumentFields, DocumentKey, DocumentPage, Epoch, EventStore,
    Failure, Fault, FieldPlace, FindDocuments, Finding, Found, FoundPage, Generation, GenerationInfo, GenerationState,
    History, Lease, LeaseError, LeaseHolder, ListDocuments, NewGeneration, ProjectionName, ReadHistory, ReadModelError,
    ReadModelStore, Shard, StoreId, StrayFields, Switch, SwitchError, TakeLease, Tenant,
};

use crate::store::SqliteStore;
use crate::{find, leases, read_models_read as read, read_models_retire as retire, read_models_write as write};

impl SqliteStore {
    /// Most calls find it there; only who does not goes through the writer.
    async fn find_or_make(
        &self,
        new: &NewGeneration,
        state: GenerationState,
    ) -> Result<GenerationInfo, ReadModelError> {
        let wanted = new.clone();
        let found = self.readers.read(move |conn| read::in_state(conn, &wanted, state)).await?;
        if let Some(found) = found {
            return Ok(found);
        }
        let new = new.clone();
        self.writer.submit(0, move |inside| write::find_or_make(inside, &new, state)).await
    }

    async fn change_live(&self, switch: &Switch, diverged: bool) -> Result<(), SwitchError> {
        let switch = switch.clone();
        self.writer.submit(0, move |inside| write::switch(inside, &switch, diverged)).await
    }
}

#[async_trait]
impl ReadModelStore for SqliteStore {
    async fn open(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        self.find_or_make(new, GenerationState::Live).await
    }

    async fn build(&self, new: &NewGeneration) -> Result<GenerationInfo, ReadModelError> {
        self.find_or_make(new, GenerationState::Building).await
    }

    async fn generations(&self, projection: &ProjectionName) -> Result<Vec<GenerationInfo>, ReadModelError> {
        let projection = projection.clone();
        self.readers.read(move |conn| read::generations(conn, &projection)).await
    }

    async fn projections(&self) -> Result<Vec<ProjectionName>, ReadModelError> {
        self.readers.read(read::projections).await
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SwitchError> {
        self.change_live(switch, false).await
    }

    async fn switch_diverged(&self, switch: &Switch) -> Result<(), SwitchError> {
        self.change_live(switch, true).await
    }

    async fn retire(
        &self,
        projection: &ProjectionName,
        generation: Generation,
        keep: Option<Duration>,
    ) -> Result<(), ReadModelError> {
        let projection = projection.clone();
        self.writer.submit(0, move |inside| retire::retire(inside, &projection, generation, keep)).await
    }

    async fn reopen(
        &self,
        projection: &ProjectionName,
        generation: Generation,
    ) -> Result<GenerationInfo, ReadModelError> {
        let projection = projection.clone();
        self.writer.submit(0, move |inside| retire::reopen(inside, &projection, generation)).await
    }

    async fn drop_expired(&self, projection: &ProjectionName) -> Result<Vec<Generation>, ReadModelError> {
        let projection = projection.clone();
        self.writer.submit(0, move |inside| retire::drop_expired(inside, &projection)).await
    }

    async fn drop_generation(&self, projection: &ProjectionName, generation: Generation) -> Result<(), ReadModelError> {
        let projection = projection.clone();
        self.writer.submit(0, move |inside| write::drop_generation(inside, &projection, generation)).await
    }

    async fn checkpoint(&self, shard: &Shard) -> Result<Checkpoint, ReadModelError> {
        let shard = shard.clone();
        self.readers.read(move |conn| read::checkpoint(conn, &shard)).await
    }

    async fn load(&self, shard: &Shard, keys: &[DocumentKey]) -> Result<Vec<Option<Document>>, ReadModelError> {
        let (shard, keys) = (shard.clone(), keys.to_vec());
        self.readers.read(move |conn| read::load(conn, &shard, &keys)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let prepared = write::Prepared::new(commit);
        self.writer.submit(prepared.size(), move |inside| write::commit(inside, &prepared)).await
    }

    async fn raise_epoch(&self, shard: &Shard, expected: Epoch) -> Result<Epoch, CommitError> {
        let shard = shard.clone();
        self.writer.submit(0, move |inside| write::raise_epoch(inside, &shard, expected)).await
    }

    async fn report(&self, shard: &Shard, expected: Epoch, failure: Option<Failure>) -> Result<(), CommitError> {
        let shard = shard.clone();
        self.writer.submit(0, move |inside| write::report(inside, &shard, expected, failure.as_ref())).await
    }

    async fn get(&self, target: &factum::ReadTarget, keys: &[DocumentKey]) -> Result<Found, ReadModelError> {
        let (target, keys) = (target.clone(), keys.to_vec());
        self.readers.read(move |conn| read::get(conn, &target, &keys)).await
    }

    async fn list(&self, list: &ListDocuments) -> Result<DocumentPage, ReadModelError> {
        let list = list.clone();
        self.readers.read(move |conn| read::list(conn, &list)).await
    }

    async fn find(&self, query: &FindDocuments) -> Result<FoundPage, ReadModelError> {
        let query = query.clone();
        self.readers.read(move |conn| find::find(conn, &query)).await
    }

    async fn count(&self, query: &FindDocuments) -> Result<Counted, ReadModelError> {
        let query = query.clone();
        self.readers.read(move |conn| find::count(conn, &query)).await
    }

    async fn field_values(
        &self,
        target: &factum::ReadTarget,
        keys: &[DocumentKey],
    ) -> Result<Vec<Vec<DocumentFields>>, ReadModelError> {
        let (target, keys) = (target.clone(), keys.to_vec());
        self.readers.read(move |conn| find::values(conn, &target, &keys)).await
    }

    async fn stray_fields(
        &self,
        target: &factum::ReadTarget,
        after: Option<&FieldPlace>,
        limit: usize,
    ) -> Result<StrayFields, ReadModelError> {
        let (target, after) = (target.clone(), after.cloned());
        self.readers.read(move |conn| find::strays(conn, &target, after.as_ref(), limit)).await
    }

    async fn next_tenant(&self, target: &factum::ReadTarget, after: &Tenant) -> Result<Option<Tenant>, ReadModelError> {
        let (target, after) = (target.clone(), after.clone());
        self.readers.read(move |conn| read::next_tenant(conn, &target, &after)).await
    }

    fn store_id(&self) -> Option<StoreId> {
        Some(EventStore::id(self))
    }

    async fn diagnose(&self) -> Result<Vec<Finding>, Fault> {
        self.look().await
    }

    async fn history(&self, history: &ReadHistory) -> Result<History, ReadModelError> {
        let history = history.clone();
        self.readers.read(move |conn| read::history(conn, &history)).await
    }

    async fn leases(&self) -> Result<Vec<Lease>, ReadModelError> {
        self.readers.read(leases::all).await
    }

    async fn take_lease(&self, take: &TakeLease) -> Result<Lease, LeaseError> {
        let take = take.clone();
        self.writer.submit(0, move |inside| leases::take(inside, &take)).await
    }

    async fn renew_leases(&self, holder: &LeaseHolder) -> Result<Vec<Lease>, ReadModelError> {
        let holder = holder.clone();
        self.writer.submit(0, move |inside| leases::renew(inside, &holder)).await
    }

    async fn release_lease(&self, lease: &Lease) -> Result<bool, ReadModelError> {
        let lease = lease.clone();
        self.writer.submit(0, move |inside| leases::release(inside, &lease)).await
    }
}
