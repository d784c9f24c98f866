//! Many tasks that append, and a reckoning of what they were told with what is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use factum::{Append, AppendError, Appended, Condition, EventId, EventStore, LogId, Outcome, Position, ReadLog};
use factum_postgres::PostgresStore;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::common::{event, key, keyed, one, stream};
use crate::in_time;

/// An append that was sent, and what was said of it.
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) ids: Vec<EventId>,
    pub(crate) said: Result<Appended, AppendError>,
}

/// An append of some events with a key.
pub(crate) fn append(name: &str, events: usize, payload: Option<&str>) -> (Append, Vec<EventId>) {
    let mut events: Vec<_> = (0..events).map(|_| event()).collect();
    if let (Some(first), Some(payload)) = (events.first_mut(), payload) {
        first.payload = payload.to_owned().into();
    }
    let ids = events.iter().map(|event| event.id).collect();
    (keyed(name, Append::to(stream(name), Condition::NoStream, events)), ids)
}

pub(crate) struct Load {
    tasks: JoinSet<Vec<Sent>>,
    stop: Arc<AtomicBool>,
    answered: watch::Receiver<usize>,
}

impl Load {
    /// Tasks that append, each as soon as it was told of its last one.
    pub(crate) fn start(store: &Arc<PostgresStore>, tasks: usize) -> Self {
        let (stop, (answers, answered)) = (Arc::new(AtomicBool::new(false)), watch::channel(0));
        let answers = Arc::new(answers);
        let mut set = JoinSet::new();
        for task in 0..tasks {
            let (store, stop, answers) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(&answers));
            set.spawn(async move {
                let mut all = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("{task}-{}", all.len());
                    let (append, ids) = append(&name, 1 + all.len() % 3, None);
                    let said = store.append(append).await;
                    if said.is_ok() {
                        answers.send_modify(|answers| *answers += 1);
                    }
                    all.push(Sent { key: name, ids, said });
                }
                all
            });
        }
        Self { tasks: set, stop, answered }
    }

    /// Ends when so many more were answered.
    pub(crate) async fn answers(&self, more: usize) {
        let mut answered = self.answered.clone();
        let enough = *answered.borrow() + more;
        in_time(answered.wait_for(|answered| *answered >= enough)).await.expect("the tasks have ended");
    }

    pub(crate) async fn stop(self) -> Told {
        self.stop.store(true, Ordering::Relaxed);
        Told(in_time(self.tasks.join_all()).await.into_iter().flatten().collect())
    }
}

/// All that was sent and said.
pub(crate) struct Told(pub(crate) Vec<Sent>);

impl Told {
    /// `no-lost-append`, `one-outcome-per-key`: what was answered is there once; what was not is whole or not at all, and its key
    /// tells which; nothing else is there; and the store goes on.
    pub(crate) async fn reckon(&self, store: &PostgresStore) {
        let mut there: HashMap<EventId, Position> = HashMap::new();
        let mut next = ReadLog::after(LogId::FIRST, Position::START);
        loop {
            let page = store.read_log(next.clone()).await.unwrap();
            for event in &page.events {
                assert_eq!(event.position.get(), there.len() as u64 + 1, "a position is missing");
                assert!(there.insert(event.id, event.position).is_none(), "an event is there twice");
            }
            let Some(reached) = page.reached else { break };
            next = ReadLog::after(LogId::FIRST, reached.position);
            if page.end {
                break;
            }
        }
        let mut expected = 0;
        for sent in &self.0 {
            let found = sent.ids.iter().filter(|id| there.contains_key(id)).count();
            let known = store.outcome(&key(&*sent.key)).await.unwrap();
            let all = sent.ids.len();
            match (&sent.said, known.map(|known| known.outcome)) {
                (Ok(appended), Some(known)) => {
                    assert_eq!((found, &appended.outcome), (all, &known), "{}", sent.key);
                    let Outcome::Accepted { first, .. } = known else { panic!("{known:?}") };
                    assert_eq!(there[&sent.ids[0]], first, "{}", sent.key);
                }
                (Err(AppendError::Unknown(_)), Some(_)) => assert_eq!(found, all, "{} is there by half", sent.key),
                (Err(AppendError::NotDone(_) | AppendError::Unknown(_)), None) => assert_eq!(found, 0, "{}", sent.key),
                (said, known) => panic!("{}: {said:?}, and its key says {known:?}", sent.key),
            }
            expected += found;
        }
        assert_eq!(there.len(), expected, "there are events that nobody appended");
        in_time(store.append(one("and on", Condition::NoStream))).await.unwrap();
    }
}
