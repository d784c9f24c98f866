use super::*;
use crate::args::WorkArgs;
use crate::work::work_until;

/// It said of a projection that it had left to another worker all the time that it ended at position 0.
#[tokio::test]
async fn a_worker_that_was_left_nothing_names_no_position() {
    let store = Arc::new(MemoryStore::new());
    let event = encode(&LampEvent::Lit, Metadata::new(), RoundTrip::Checked).unwrap();
    store.append(Append::to(StreamId::new("lamp-hall").unwrap(), Condition::Any, vec![event])).await.unwrap();
    let [one, other] = [(); 2].map(|()| Projector::new(store.clone(), store.clone()).with(Lamps));
    let (end, told) = tokio::sync::oneshot::channel::<()>();
    let works = tokio::spawn({
        let one = one.clone();
        async move { one.run(async { told.await.unwrap_or(()) }).await }
    });
    let drives = async {
        while !one.working_on().iter().all(|on| on.here) || one.status_of("lamps").await.unwrap().lag != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), drives).await.unwrap();

    let lines = Lines::default();
    let console = Console::new(Box::new(lines.clone()), false);
    let args = WorkArgs { names: Vec::new(), health: None, lag: 10_000 };
    work_until(&args, &other, &console, async { "told" }).await.unwrap();
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(said.ends_with("told: finishes what is in hand\nlamps ended, and was never driven here\n"), "{said}");

    end.send(()).unwrap();
    works.await.unwrap().unwrap();
    let lines = Lines::default();
    let console = Console::new(Box::new(lines.clone()), false);
    work_until(&args, &one, &console, async { "told" }).await.unwrap();
    let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(said.ends_with("lamps ended at 1\n"), "{said}");
}
