//! Durable stores: what was answered is there after the data is opened again.

use bytes::Bytes;
use factum::{
    Append, Bounds, Commit, Condition, Cursor, Document, DocumentKey, Epoch, Mark, NewGeneration, Positions,
    ProjectionName, ProjectionVersion, ReadTarget, Shard, Snapshot, SnapshotKey, Tenant,
};

use crate::Fixture;
use crate::kit::*;

/// The fixture again; `None` where the store does not claim to be durable.
async fn again(fixture: &Fixture) -> Option<Fixture> {
    let durable = fixture.store().capabilities().durable;
    let reopened = fixture.reopened().await;
    assert!(reopened.is_some() || !durable, "the store declares itself durable, and its fixture has no with_reopen");
    reopened
}

pub(crate) async fn events_survive(fixture: &Fixture) {
    for n in 0..5 {
        let account = stream(&format!("account-{n}"));
        add(fixture, &account, vec![tagged("Opened", &["red"]), occurred("1993-06-30T00:00:00Z")]).await;
        add(fixture, &acme(&format!("account-{n}")), events(3)).await;
    }
    let before = everything(fixture).await;
    let head = fixture.store().head().await.must("the head");
    let Some(again) = again(fixture).await else { return };
    assert_eq!(everything(&again).await, before, "events changed while the store was closed");
    assert_eq!(again.store().head().await.must("the head"), head, "the head changed while the store was closed");
}

pub(crate) async fn the_identity_survives(fixture: &Fixture) {
    let (id, logs) = (fixture.store().id(), fixture.store().logs());
    let Some(again) = again(fixture).await else { return };
    assert_eq!((again.store().id(), again.store().logs()), (id, logs), "the same data has another identity");
}

pub(crate) async fn versions_and_positions_go_on(fixture: &Fixture) {
    let account = stream("account-1");
    let before = add(fixture, &account, events(3)).await;
    let Some(again) = again(fixture).await else { return };
    let append = Append::to(account.clone(), Condition::Version(version(3)), events(1));
    let after = record(&again, append).await;
    assert_eq!(after.versions[0].first, version(4), "versions do not go on after opening again");
    assert!(after.first > before.last, "positions do not go on after opening again");
    assert!(after.recorded_at >= before.recorded_at, "recorded_at went back after opening again");
    refuse(&again, Append::to(account, Condition::NoStream, events(1)), "the stream exists").await;
}

pub(crate) async fn keys_survive(fixture: &Fixture) {
    let account = stream("account-1");
    let accepted = Append::to(account.clone(), Condition::NoStream, events(2)).keyed(keyed("k1", "open"));
    let refusal = Append::to(account.clone(), Condition::Any, Vec::new()).keyed(refused("k2", "close", "no"));
    let first = fixture.store().append(accepted.clone()).await.must("appending");
    let no = fixture.store().append(refusal.clone()).await.must("remembering a refusal");
    let Some(again) = again(fixture).await else { return };
    for (append, first) in [(accepted, first), (refusal, no)] {
        let second = again.store().append(append).await.must("appending again under the same key");
        assert_eq!((second.already, second.outcome), (true, first.outcome), "a key was forgotten on closing");
    }
    assert_eq!(stream_of(&again, &account).await.len(), 2);
}

pub(crate) async fn snapshots_survive(fixture: &Fixture) {
    let account = stream("account-1");
    add(fixture, &account, events(1)).await;
    let bounds = Bounds::of(&stream_of(fixture, &account).await[0]);
    let key = SnapshotKey { stream: account, schema: 1 };
    let snapshot = Snapshot { key: key.clone(), bounds, state: Bytes::from_static(b"{\"n\":1}") };
    let Some(store) = fixture.store().snapshots() else { return };
    store.save(snapshot.clone(), 1).await.must("saving a snapshot");
    let Some(again) = again(fixture).await else { return };
    let found = again.store().snapshots().must("the snapshots").newest(&key, None).await.must("looking");
    assert_eq!(found, Some(snapshot), "a snapshot did not survive closing");
}

pub(crate) async fn read_models_survive(fixture: &Fixture) {
    let Some(models) = fixture.read_models() else { return };
    add(fixture, &stream("account-1"), events(1)).await;
    let event = everything(fixture).await.remove(0);
    let projection = ProjectionName::new("balances").must("a name");
    let new = NewGeneration { projection: projection.clone(), version: ProjectionVersion(1), fields: Vec::new() };
    let live = models.open(&new).await.must("opening a read model");
    let shard = Shard { projection: projection.clone(), generation: live.generation, partition: 0, log: event.log };
    let key = DocumentKey::new(Tenant::default(), "1").must("a key");
    let document = Document {
        body: Some(Bytes::from_static(b"{\"cents\":500}")),
        bounds: Bounds::of(&event),
        positions: Positions::default(),
    };
    let commit = Commit {
        shard: shard.clone(),
        from: factum::Position::START,
        epoch: Epoch(0),
        store: fixture.store().id(),
        to: Mark { position: event.position, event: event.id },
        documents: vec![(key.clone(), document.clone())],
        kept: vec![(key.clone(), document.clone())],
        keep_from: None,
        fields: Vec::new(),
    };
    models.commit(commit).await.must("committing");
    let epoch = models.raise_epoch(&shard, Epoch(0)).await.must("raising the epoch");
    let before = models.generations(&projection).await.must("the generations");
    let checkpoint = models.checkpoint(&shard).await.must("the checkpoint");
    let Some(again) = again(fixture).await else { return };
    let models = again.read_models().must("the read models");
    assert_eq!(models.generations(&projection).await.must("the generations"), before, "a generation changed");
    assert_eq!(models.checkpoint(&shard).await.must("the checkpoint"), checkpoint, "a checkpoint changed");
    assert_eq!(checkpoint.epoch, epoch);
    let target = ReadTarget::Live(projection, ProjectionVersion(1));
    let found = models.get(&target, &[key]).await.must("a document");
    assert_eq!(found.documents, [vec![document]], "a document did not survive closing");
    assert_eq!(found.read.checkpoint, Cursor::of(event.log, event.position));
}
