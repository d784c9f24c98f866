//! What the projector asks of a document projection beside driving it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use factum::{
    At, Checkpoint, Cursor, DocumentKey, EventStore, Field, Generation, GenerationInfo, History, HistoryFrom, LogId,
    Position, Projected, ReadHistory, ReadModelError, ReadTarget, Switch, SwitchError, Tenant,
};

use crate::documents::Documents;
use crate::drive::Driven;
use crate::error::DocumentError;
use crate::find::FieldQuery;
use crate::json::Json;
use crate::page::{Answer, Page, PageRequest, PageToken};
use crate::projection::Projection;
use crate::rebuild::Rebuild;
use crate::replay::{Progress, ReplayReport};
use crate::replay_error::ReplayError;
use crate::replay_estimate::Sample;
use crate::replay_options::{ReplayOptions, What};
use crate::verify::{Verify, VerifyError, VerifyOptions, VerifyReport, Watch};

/// A document projection, whatever its documents are.
#[async_trait]
pub(crate) trait Rebuilt: Projected {
    /// For finding the documents of a projection's type again.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;

    /// Its generations, live and others.
    async fn all_generations(&self) -> Result<Vec<GenerationInfo>, ReadModelError>;

    /// Where a generation stands in a log, live or not.
    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ReadModelError>;

    /// Makes one generation live in the place of another, and forgets what was known of that one.
    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError>;

    /// Takes a generation out of service.
    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ReadModelError>;

    /// Drops the retired generations that are kept no longer.
    async fn drop_expired(&self) -> Result<Vec<Generation>, ReadModelError>;

    /// Forgets a generation that is not live.
    async fn drop_generation(&self, generation: Generation) -> Result<(), ReadModelError>;

    /// A document as JSON, as it is or was.
    async fn get_json(
        &self,
        store: &dyn EventStore,
        key: DocumentKey,
        at: Option<At>,
    ) -> Result<Answer<Json>, DocumentError>;

    /// A document of a generation as JSON, as it is.
    async fn get_json_of(&self, generation: Generation, key: DocumentKey) -> Result<Answer<Json>, DocumentError>;

    /// A page of documents as JSON, as they are or were.
    async fn list_json(
        &self,
        store: &dyn EventStore,
        tenant: &Tenant,
        request: PageRequest,
        at: Option<At>,
    ) -> Result<Page<Json>, DocumentError>;

    /// By which fields its documents are found.
    fn fields(&self) -> &'static [Field];

    /// Whether its past is not kept for ever.
    fn forgets(&self) -> bool;

    /// From where on the past of a generation is kept.
    async fn kept_from(&self, generation: Generation, log: LogId) -> Result<Position, ReadModelError>;

    /// A page of the documents that a query finds, as JSON.
    async fn find_json(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<PageToken>,
        limit: usize,
    ) -> Result<Page<Json>, DocumentError>;

    /// How many documents a query finds.
    async fn count_found(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
    ) -> Result<u64, DocumentError>;

    /// Compares the documents of the live generation with history.
    async fn verify(
        &self,
        store: &dyn EventStore,
        options: &VerifyOptions,
        watch: Watch<'_>,
    ) -> Result<VerifyReport, VerifyError>;

    /// Folds the oldest events to see how fast that goes, and writes nothing.
    async fn sample(&self, store: &dyn EventStore, to: &Cursor, options: &ReplayOptions)
    -> Result<Sample, ReplayError>;

    /// Builds a generation from history, or catches up one that was retired, and makes it live.
    async fn replay(
        &self,
        driven: &Driven,
        store: &dyn EventStore,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError>;
}

#[async_trait]
impl<P: Projection> Rebuilt for Documents<P> {
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    async fn all_generations(&self) -> Result<Vec<GenerationInfo>, ReadModelError> {
        self.read_models.generations(&self.name).await
    }

    async fn checkpoint_of(&self, generation: Generation, log: LogId) -> Result<Checkpoint, ReadModelError> {
        self.read_models.checkpoint(&self.shard(generation, log)).await
    }

    async fn switch(&self, from: Generation, to: Generation, keep_old: Option<Duration>) -> Result<(), SwitchError> {
        let switched = self.read_models.switch(&Switch { projection: self.name.clone(), from, to, keep_old }).await;
        self.forget();
        switched
    }

    async fn retire(&self, generation: Generation, keep: Option<Duration>) -> Result<(), ReadModelError> {
        self.read_models.retire(&self.name, generation, keep).await
    }

    async fn drop_expired(&self) -> Result<Vec<Generation>, ReadModelError> {
        self.read_models.drop_expired(&self.name).await
    }

    async fn drop_generation(&self, generation: Generation) -> Result<(), ReadModelError> {
        self.read_models.drop_generation(&self.name, generation).await
    }

    async fn get_json(
        &self,
        store: &dyn EventStore,
        key: DocumentKey,
        at: Option<At>,
    ) -> Result<Answer<Json>, DocumentError> {
        self.answer_json(store, key, at).await
    }

    async fn get_json_of(&self, generation: Generation, key: DocumentKey) -> Result<Answer<Json>, DocumentError> {
        self.answer_json_of(generation, key).await
    }

    async fn list_json(
        &self,
        store: &dyn EventStore,
        tenant: &Tenant,
        request: PageRequest,
        at: Option<At>,
    ) -> Result<Page<Json>, DocumentError> {
        self.page_json(store, tenant, request, at).await
    }

    fn fields(&self) -> &'static [Field] {
        P::FIELDS
    }

    fn forgets(&self) -> bool {
        P::KEEP_FOR.is_some()
    }

    async fn kept_from(&self, generation: Generation, log: LogId) -> Result<Position, ReadModelError> {
        let target = ReadTarget::Generation(self.name.clone(), generation);
        let (keys, from) = (Vec::new(), HistoryFrom::After(Position::END));
        let History { kept_from, .. } =
            self.read_models.history(&ReadHistory { target, log, keys, from, limit: 1 }).await?;
        Ok(kept_from)
    }

    async fn find_json(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
        token: Option<PageToken>,
        limit: usize,
    ) -> Result<Page<Json>, DocumentError> {
        self.json_page(self.find(tenant, query, generation, token.as_ref(), limit).await?)
    }

    async fn count_found(
        &self,
        tenant: &Tenant,
        query: &FieldQuery,
        generation: Option<Generation>,
    ) -> Result<u64, DocumentError> {
        self.count(tenant, query, generation).await
    }

    async fn verify(
        &self,
        store: &dyn EventStore,
        options: &VerifyOptions,
        watch: Watch<'_>,
    ) -> Result<VerifyReport, VerifyError> {
        Verify::begin(self, store, options).await?.run(watch).await
    }

    async fn sample(
        &self,
        store: &dyn EventStore,
        to: &Cursor,
        options: &ReplayOptions,
    ) -> Result<Sample, ReplayError> {
        self.fold_sample(store, to, options).await
    }

    async fn replay(
        &self,
        driven: &Driven,
        store: &dyn EventStore,
        options: &ReplayOptions,
        what: What,
        progress: Progress<'_>,
    ) -> Result<ReplayReport, ReplayError> {
        Rebuild::begin(self, store, options, what).await?.run(driven, progress).await
    }
}
