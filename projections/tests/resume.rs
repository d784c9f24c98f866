//! Trying again: by itself a few times, and after a halt when somebody says so, in whichever process.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::*;
use factum::{Position, ProjectionName, ReadModelStore, Recorded};
use factum_memory::MemoryStore;
use factum_projections::{
    ApplyError, Keys, Projection, ProjectionState, Projector, ProjectorError, ProjectorOptions, ReplayOptions,
};
use futures_util::FutureExt;

/// Fails so many times more on a deposit of 13.
struct Shy(Arc<AtomicU32>);

impl Projection for Shy {
    const NAME: &'static str = "shy";
    type Event = AccountEvent;
    type Document = i64;

    fn keys(&self, event: &Recorded<AccountEvent>, keys: &mut Keys) {
        keys.push(event.stream.id());
    }

    fn apply(&self, _: &str, sum: &mut Option<i64>, event: &Recorded<AccountEvent>) {
        if let AccountEvent::Deposited { cents } = event.data {
            *sum.get_or_insert_default() += cents;
        }
    }

    fn try_apply(&self, key: &str, sum: &mut Option<i64>, event: &Recorded<AccountEvent>) -> Result<(), ApplyError> {
        if matches!(event.data, AccountEvent::Deposited { cents: 13 }) {
            let left = self.0.load(Ordering::SeqCst);
            if left > 0 {
                self.0.store(left - 1, Ordering::SeqCst);
                return Err(ApplyError::new("thirteen"));
            }
        }
        self.apply(key, sum, event);
        Ok(())
    }
}

const ALWAYS: u32 = u32::MAX;

/// A projector as a process has one, and how often its projection fails from now on.
fn process(store: &Arc<MemoryStore>, fails: u32) -> (Projector, Arc<AtomicU32>) {
    let fails = Arc::new(AtomicU32::new(fails));
    let options = ProjectorOptions::new().poll_every(Duration::from_millis(1)).backoff(Duration::ZERO, Duration::ZERO);
    let projector = Projector::new(store.clone(), store.clone()).with(Shy(fails.clone())).with(Turnover::<5>);
    (projector.options(options), fails)
}

async fn until(projector: &Projector, state: ProjectionState) {
    soon(async {
        while projector.status_of("shy").await.unwrap().state != state {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_taken_when_it_is_tried_again_halts_nothing() {
    let store = bank(1);
    for cents in [1, 13, 5] {
        deposit(&*store, 1, cents).await;
    }
    let (patient, fails) = process(&store, 2);
    soon(patient.catch_up_one("shy")).await.unwrap();
    assert_eq!(fails.load(Ordering::SeqCst), 0);
    assert_eq!(patient.read_model::<Shy>().get("1").await.unwrap().document, Some(19));
    deposit(&*store, 1, 13).await;
    fails.store(3, Ordering::SeqCst);
    let error = soon(patient.catch_up_one("shy")).await.unwrap_err();
    assert!(matches!(error, ProjectorError::Halted { .. }), "{error:?}");
    assert_eq!(fails.load(Ordering::SeqCst), 0, "it was not tried so often");
}

/// A projector that ran looked at its own memory alone: whoever resumed it from the command line, which is another process,
/// changed nothing, and it stood still until it was restarted.
#[tokio::test]
async fn a_runner_goes_on_when_another_process_says_so_and_its_neighbours_always_do() {
    let store = bank(1);
    deposit(&*store, 1, 13).await;
    let (runner, fails) = process(&store, ALWAYS);
    let (operator, _) = process(&store, ALWAYS);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn({
        let runner = runner.clone();
        async move { runner.run(stopped.map(|_| ())).await.unwrap() }
    });
    until(&operator, ProjectionState::Halted).await;
    let done = deposit(&*store, 1, 5).await;
    soon(async {
        while operator.status_of("turnover").await.unwrap().checkpoint != done {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let halted = operator.status_of("shy").await.unwrap();
    assert_eq!((halted.state, halted.checkpoint), (ProjectionState::Halted, Position::START.into()));

    // Nothing was mended: it halts at the same event again, and says so again.
    let resumed = soon(operator.resume("shy")).await.unwrap();
    assert_eq!(resumed.failures, [halted.failure.unwrap()]);
    until(&operator, ProjectionState::Halted).await;

    fails.store(0, Ordering::SeqCst);
    assert_eq!(soon(operator.resume("shy")).await.unwrap().failures.len(), 1);
    soon(async {
        while operator.status_of("shy").await.unwrap().checkpoint != done {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(operator.status_of("shy").await.unwrap().state, ProjectionState::Live);
    assert_eq!(soon(operator.resume("shy")).await.unwrap().failures, [], "it stands still no more");
    stop.send(()).unwrap();
    soon(running).await.unwrap();
}

#[tokio::test]
async fn a_halt_is_as_old_as_its_first_time_until_it_is_resumed() {
    let store = bank(1);
    deposit(&*store, 1, 13).await;
    let halt = async || {
        let (projector, _) = process(&store, ALWAYS);
        soon(projector.catch_up_one("shy")).await.unwrap_err();
        projector.status_of("shy").await.unwrap().failure.unwrap().since
    };
    let first = halt().await;
    assert_eq!(halt().await, first, "a restart made it look as if it had just halted");
    soon(process(&store, ALWAYS).0.resume("shy")).await.unwrap();
    assert!(halt().await > first, "what was resumed and halted again has halted just now");
}

/// What another process had passed was told in lists of generations for ever, and kept a switch back from being done.
#[tokio::test]
async fn a_halt_that_another_process_has_passed_is_kept_nowhere() {
    let store = bank(1);
    deposit(&*store, 1, 1).await;
    let ((old, _), (newer, _)) = (process(&store, ALWAYS), process(&store, 0));
    soon(newer.catch_up_one("shy")).await.unwrap();
    deposit(&*store, 1, 13).await;
    soon(old.catch_up_one("shy")).await.unwrap_err();
    soon(newer.catch_up_one("shy")).await.unwrap();
    let name = ProjectionName::new("shy").unwrap();
    assert_eq!(store.generations(&name).await.unwrap()[0].failure, None);
    newer.replay("shy", ReplayOptions::new(), |_| ()).await.unwrap();
    newer.switch_to("shy", factum::Generation(1)).await.unwrap();
}
