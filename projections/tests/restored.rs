//! A store that is restored from a backup under whoever runs projections on it: it is seen that its tail was lost, and nothing is
//! folded onto what is there instead.

mod common;
#[path = "common/workers.rs"]
mod workers;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use factum::{Generation, GenerationState, Position, ProjectionName, ReadModelStore, Recorded, Tenant};
use factum_memory::MemoryStore;
use factum_projections::{
    GenerationsError, Keys, Projection, Projector, ProjectorError, ProjectorOptions, ReplayError, ReplayOptions,
};
use workers::Worker;

const NAME: &str = "turnover";

async fn checkpoint(read_models: &MemoryStore) -> Position {
    let all = read_models.generations(&ProjectionName::new(NAME).unwrap()).await.unwrap();
    all.iter().map(|info| info.checkpoint.get(factum::LogId::FIRST)).max().unwrap_or(Position::START)
}

/// Ten events, and a read model of them; and what the store holds after a restore: others, and more of them.
async fn before_and_after() -> (Arc<MemoryStore>, Arc<MemoryStore>) {
    let (lost, restored) = (bank(1), bank(1));
    for n in 0..10 {
        deposit(&*lost, 1, n).await;
    }
    for n in 0..20 {
        deposit(&*restored, 1, n).await;
    }
    (lost, restored)
}

/// Whoever had the lease all the time never looked down again: it went on after its checkpoint as soon as the restored store held
/// more than that, and the read model was made of events of which some were gone, while others had been skipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_sees_that_its_store_was_restored_under_it() {
    let (lost, restored) = before_and_after().await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let projector = || Projector::new(store.clone(), lost.clone()).with(Turnover::<5>);
    // A poll finds each time that it is a while since the last one.
    let options = ProjectorOptions::new().poll_every(Duration::from_millis(400));
    let worker = Worker::start(projector().options(options));
    let current = async {
        while checkpoint(&lost).await != Position::new(10) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(current).await;
    store.restore(restored.clone());
    let sees = async {
        while !worker.projector.working_on()[0].trouble.as_ref().is_some_and(|trouble| trouble.contains("diverged")) {
            assert_eq!(checkpoint(&lost).await, Position::new(10), "it was folded on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(sees).await;
    assert_eq!(checkpoint(&lost).await, Position::new(10));

    // It goes on by itself once it was replayed, whoever does that.
    soon(projector().replay(NAME, ReplayOptions::new(), |_| {})).await.unwrap();
    let done = deposit(&*restored, 1, 1).await;
    soon(worker.projector.wait_for(NAME, &done)).await.unwrap();
    worker.end().await;
}

/// After each pause the ground was looked at when the page was there: one way to the store more before each event is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ground_is_looked_at_while_the_page_is_read() {
    let (events, _) = before_and_after().await;
    let store = Arc::new(Faulty::new(events.clone()));
    let options = ProjectorOptions::new().poll_every(Duration::from_secs(3600));
    let worker = Worker::start(Projector::new(store.clone(), events.clone()).with(Turnover::<5>).options(options));
    let at = async |position| {
        while checkpoint(&events).await != Position::new(position) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(at(10)).await;
    // It is a while since the last page; the next one comes only beside a look at the ground.
    tokio::time::sleep(Duration::from_millis(300)).await;
    store.only_beside();
    deposit(&*events, 1, 1).await;
    soon(at(11)).await;
    worker.end().await;
}

/// Whoever waited took it for granted that what it had once seen in the read model was still of the same events: it said of an
/// append that the read model showed it, which showed another instead that was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_waits_is_told_that_a_lost_event_is_his_own() {
    let (lost, restored) = before_and_after().await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let projector = || Projector::new(store.clone(), lost.clone()).with(Turnover::<5>);
    let worker = Worker::start(projector().options(ProjectorOptions::new().poll_every(Duration::from_secs(3600))));
    let waits = projector();
    soon(waits.wait_for(NAME, &Position::new(10).into())).await.unwrap();
    // A restore takes a while.
    store.restore(restored);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for position in [8, 10, 12] {
        let waited = soon(waits.wait_for(NAME, &Position::new(position).into())).await;
        assert!(matches!(waited, Err(ProjectorError::Diverged(_))), "{position}: {waited:?}");
    }
    assert_eq!(checkpoint(&lost).await, Position::new(10));
    worker.end().await;
}

/// A replay that was under way when its store was restored went on after the page that it had, with events that did not follow it, and
/// was made live.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_under_which_the_store_was_restored_is_not_made_live() {
    let (lost, restored) = before_and_after().await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let projector = Projector::new(store.clone(), lost.clone()).with(Turnover::<5>);
    projector.catch_up().await.unwrap();
    let away = |progress: factum_projections::ReplayProgress| {
        if progress.position == Position::new(6).into() {
            store.restore(restored.clone());
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    let replayed = soon(projector.replay(NAME, ReplayOptions::new().page_events(2), away)).await;
    assert!(matches!(replayed, Err(ReplayError::Ungrounded { .. })), "{replayed:?}");
    // What it had built is given up by the next one.
    let replayed = soon(projector.replay(NAME, ReplayOptions::new(), |_| {})).await.unwrap();
    assert_eq!((replayed.live, replayed.position), (true, Position::new(20).into()));
    let shown = projector.read_model::<Turnover<5>>().get("all").await.unwrap().document;
    assert_eq!(shown, naive(&Turnover::<5>, &*restored, &Tenant::default(), None).await.remove("all"));
}

async fn shown(projector: &Projector) -> Option<Balance> {
    projector.read_model::<Turnover<5>>().get("all").await.unwrap().document
}

async fn expected(store: &MemoryStore) -> Option<Balance> {
    naive(&Turnover::<5>, store, &Tenant::default(), None).await.remove("all")
}

/// A switch by hand looked only at how far a generation was: one that was ahead, since it was made of events that were lost, took
/// the place of the one that had just been replayed from what was restored.
#[tokio::test]
async fn what_was_made_of_lost_events_is_not_made_live_by_hand() {
    let (lost, restored) = with_a_backup(4, 6, 1).await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let projector = Projector::new(store.clone(), lost.clone()).with(Turnover::<5>);
    projector.catch_up().await.unwrap();
    store.restore(restored.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    projector.replay(NAME, ReplayOptions::new(), |_| {}).await.unwrap();
    for more in [0, 10] {
        for cents in 0..more {
            deposit(&*restored, 1, cents).await;
        }
        let switched = projector.switch_to(NAME, Generation(1)).await;
        let told = matches!(switched, Err(GenerationsError::Ungrounded { generation: Generation(1), .. }));
        assert!(told, "{more} more: {switched:?}");
        let all = projector.generations(NAME).await.unwrap();
        let states: Vec<_> = all.iter().map(|info| info.state).collect();
        assert_eq!(states, [GenerationState::Retired, GenerationState::Live]);
    }
    projector.catch_up().await.unwrap();
    assert_eq!(shown(&projector).await, expected(&restored).await);
}

/// A replay looked down at what it had folded, which the restored store held too, and not at the pages that it had read ahead:
/// these it folded, and went on with what came after their positions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_folds_no_page_that_it_read_before_its_store_was_restored() {
    let (lost, restored) = with_a_backup(6, 12, 30).await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let projector = Projector::new(store.clone(), lost.clone()).with(Turnover::<5>);
    let away = |progress: factum_projections::ReplayProgress| {
        if progress.position == Position::new(6).into() {
            store.restore(restored.clone());
            std::thread::sleep(Duration::from_millis(300));
        }
    };
    let replayed = soon(projector.replay(NAME, ReplayOptions::new().page_events(2), away)).await.unwrap();
    assert_eq!((replayed.live, replayed.position), (true, Position::new(36).into()));
    assert_eq!(shown(&projector).await, expected(&restored).await);
}

/// The same as [`Turnover`], and its store is restored while it folds its first event.
struct Slow {
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Projection for Slow {
    const NAME: &'static str = NAME;
    type Event = AccountEvent;
    type Document = Balance;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        Turnover::<5>.keys(event, keys);
    }

    fn apply(&self, key: &str, turnover: &mut Option<Balance>, event: &Recorded<AccountEvent>) {
        if let Some(meanwhile) = self.meanwhile.lock().unwrap().take() {
            meanwhile();
            std::thread::sleep(Duration::from_millis(300));
        }
        Turnover::<5>.apply(key, turnover, event);
    }
}

/// A worker that lags reads a page while it folds the one before. It looked whether the store still held its checkpoint, which the
/// restored one did, and folded that page, of events that were gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_folds_no_page_that_it_read_before_its_store_was_restored() {
    let (lost, restored) = with_a_backup(3, 12, 30).await;
    let store = Arc::new(Faulty::new(lost.clone()));
    let (of, to) = (store.clone(), restored.clone());
    let slow = Slow { meanwhile: Mutex::new(Some(Box::new(move || of.restore(to)))) };
    let options = ProjectorOptions::new().pages(2, 2);
    let projector = Projector::new(store.clone(), lost.clone()).with(slow).options(options);
    soon(projector.catch_up()).await.unwrap();
    // To the head that there is by now.
    soon(projector.catch_up()).await.unwrap();
    let shown = projector.read_model::<Slow>().get("all").await.unwrap();
    assert_eq!(shown.checkpoint, Position::new(33).into());
    assert_eq!(shown.document, expected(&restored).await);
}
