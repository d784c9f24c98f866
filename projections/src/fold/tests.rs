//! What a fold holds, and for how long.

use std::sync::Arc;

use factum::{
    Append, Condition, Epoch, Event, EventStore, Field, Generation, LogId, Metadata, PageLimit, Position,
    ProjectionName, ReadLog, Recorded, RoundTrip, Shard, StreamId, encode,
};
use factum_memory::MemoryStore;
use serde::{Deserialize, Serialize};

use super::{Fold, Page};
use crate::fields::FieldValues;
use crate::projection::{Keys, Projection};

#[derive(Serialize, Deserialize)]
enum DoorEvent {
    Opened,
}

impl Event for DoorEvent {
    const CATEGORY: &'static str = "door";
}

struct Doors;

impl Projection for Doors {
    const NAME: &'static str = "doors";
    const KEEP_EVERY: u64 = 3;
    const KEEP_AFTER: usize = 1;
    const FIELDS: &'static [Field] = &[Field::integer("opened")];
    type Event = DoorEvent;
    type Document = u64;

    fn keys(&self, event: &Recorded<DoorEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _door: &str, opened: &mut Option<u64>, _event: &Recorded<DoorEvent>) {
        *opened.get_or_insert_default() += 1;
    }

    fn fields(&self, _door: &str, opened: &u64, values: &mut FieldValues) {
        values.set("opened", i64::try_from(*opened).unwrap());
    }
}

/// What a commit holds grew by doubling, and so did what waited for one in each document and kept its room afterwards: as the
/// number of versions differs from commit to commit, a long replay had a higher peak of memory than a short one.
#[tokio::test]
async fn a_commit_holds_what_it_needs_and_leaves_nothing_behind() {
    let store = Arc::new(MemoryStore::new());
    for n in 0..100 {
        let event = encode(&DoorEvent::Opened, Metadata::new(), RoundTrip::Checked).unwrap();
        let stream = StreamId::of("door", &(n % 5).to_string()).unwrap();
        store.append(Append::to(stream, Condition::Any, vec![event])).await.unwrap();
    }
    let projection = ProjectionName::new("doors").unwrap();
    let shard = Shard { projection, generation: Generation(1), log: LogId::FIRST, partition: 0 };
    let mut fold = Fold::new(Arc::new(Doors), store.clone(), shard, Position::START, Doors::FIELDS.into());
    let mut from = Position::START;
    for events in [30, 70] {
        let read = ReadLog::after(LogId::FIRST, from).limit(PageLimit::events(events));
        let page = store.read_log(read).await.unwrap();
        let to = page.reached.unwrap();
        assert!(fold.page(&Page::decode(page.events, &[])).await.is_ok());
        let commit = fold.take_commit(EventStore::id(&*store), from, Epoch(0), to).unwrap();
        assert!(commit.kept.len() > 4 * 5, "{} versions are not several of each document", commit.kept.len());
        assert_eq!(commit.kept.capacity(), commit.kept.len());
        assert_eq!((commit.documents.len(), commit.documents.capacity()), (5, 5));
        assert_eq!((commit.fields.len(), commit.fields.capacity()), (5, 5));
        for place in 0..5 {
            let kept = &fold.cache.entry(place).kept;
            assert_eq!((kept.len(), kept.capacity()), (0, 0), "the room of what was committed");
        }
        from = to.position;
    }
}
