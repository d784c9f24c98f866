//! Who tells the callers of a group that it is committed: a thread of its own where they are many, so that the next group
//! is written meanwhile (docs/decisions/015).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::job::Job;

/// From how many jobs on a group is told by the other thread. To hand it over costs about as much as to tell five.
const MANY: usize = 16;

/// How many groups may wait to be told. Where whoever tells is held up by a waker, whoever writes tells too, and so waits: what was
/// written is held until its callers are told.
const GROUPS: usize = 2;

type Group = Vec<Box<dyn Job>>;

/// Tells callers.
#[derive(Debug, Default)]
pub(crate) enum Answers {
    /// There was no large group yet.
    #[default]
    Here,
    Beside(Teller),
    /// No thread could be started.
    Never,
}

/// The thread that tells. Ends, when dropped, once all have been told.
#[derive(Debug)]
pub(crate) struct Teller {
    groups: Option<SyncSender<Group>>,
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    /// Tells each of these jobs that it is committed, now or soon.
    pub(crate) fn tell(&mut self, group: Group) {
        if group.len() < MANY {
            return tell_all(group);
        }
        if let Self::Here = self {
            *self = Self::start();
        }
        let left = match self {
            Self::Beside(teller) => teller.hand_over(group),
            Self::Here | Self::Never => group,
        };
        tell_all(left);
    }

    fn start() -> Self {
        let (groups, came) = sync_channel::<Group>(GROUPS);
        let thread = std::thread::Builder::new().name("factum-sqlite-answers".to_owned());
        match thread.spawn(move || came.iter().for_each(tell_all)) {
            Ok(thread) => Self::Beside(Teller { groups: Some(groups), thread: Some(thread) }),
            Err(error) => {
                tracing::warn!(%error, "no thread could be started that answers: the one that writes does it");
                Self::Never
            }
        }
    }
}

/// A caller whose waker panics takes nobody else with it.
fn tell_all(group: Group) {
    for job in group {
        if catch_unwind(AssertUnwindSafe(|| job.committed())).is_err() {
            tracing::error!("a waker has panicked that was called for an answer");
        }
    }
}

impl Teller {
    /// Gives a group back that it cannot take.
    fn hand_over(&self, group: Group) -> Group {
        let Some(groups) = &self.groups else { return group };
        match groups.try_send(group) {
            Ok(()) => Vec::new(),
            Err(TrySendError::Full(group) | TrySendError::Disconnected(group)) => group,
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.groups.take();
        if let Some(thread) = self.thread.take() {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;
    use crate::inside::Inside;
    use crate::job::Trouble;

    /// Says who told it.
    struct Told {
        number: usize,
        told: Sender<(usize, ThreadId)>,
        waker: Waker,
    }

    /// What becomes of whoever tells it.
    enum Waker {
        Wakes,
        /// Holds him until this says so.
        Holds(Receiver<()>),
        Panics,
    }

    impl Job for Told {
        fn size(&self) -> usize {
            0
        }
        fn run(&mut self, _: &mut Inside<'_>) -> rusqlite::Result<()> {
            Ok(())
        }
        fn committed(self: Box<Self>) {
            match &self.waker {
                Waker::Wakes => {}
                // For ever, if whoever is held is the one who is to say so.
                Waker::Holds(wait) => wait.recv_timeout(Duration::from_secs(30)).unwrap(),
                Waker::Panics => panic!("a test panics in a waker"),
            }
            self.told.send((self.number, std::thread::current().id())).unwrap();
        }
        fn failed(self: Box<Self>, _: &Trouble) {}
    }

    fn group(numbers: std::ops::Range<usize>, told: &Sender<(usize, ThreadId)>) -> Group {
        let job = |number| Box::new(Told { number, told: told.clone(), waker: Waker::Wakes }) as Box<dyn Job>;
        numbers.map(job).collect()
    }

    /// The first of them has this waker.
    fn group_behind(waker: Waker, many: usize, told: &Sender<(usize, ThreadId)>) -> Group {
        let mut group = group(1..many, told);
        group.insert(0, Box::new(Told { number: 0, told: told.clone(), waker }));
        group
    }

    #[test]
    fn a_small_group_is_told_at_once_and_starts_no_thread() {
        let (told, by) = channel();
        let mut answers = Answers::default();
        answers.tell(group(0..MANY - 1, &told));
        let here = std::thread::current().id();
        let expected: Vec<_> = (0..MANY - 1).map(|number| (number, here)).collect();
        assert_eq!(by.try_iter().collect::<Vec<_>>(), expected);
        assert!(matches!(answers, Answers::Here));
    }

    #[test]
    fn whoever_writes_is_not_held_up_by_the_telling_of_a_large_group_and_ends_after_it() {
        let (told, by) = channel();
        // Waits, as it is dropped, for whoever is held: `go` is dropped first.
        let mut answers = Answers::default();
        let (go, wait) = channel();
        answers.tell(group_behind(Waker::Holds(wait), MANY, &told));
        answers.tell(group(MANY..3 * MANY, &told));
        // Comes here although the first of all is not told yet.
        assert!(by.try_recv().is_err(), "told too early");
        go.send(()).unwrap();
        drop(answers);
        let (numbers, threads): (Vec<_>, Vec<_>) = by.try_iter().unzip();
        assert_eq!(numbers, (0..3 * MANY).collect::<Vec<_>>(), "each once, in order, before it ends");
        assert!(threads.iter().all(|thread| *thread != std::thread::current().id()));
    }

    #[test]
    fn a_waker_that_panics_takes_nobody_else_with_it() {
        for many in [MANY - 1, MANY] {
            let (told, by) = channel();
            let mut answers = Answers::default();
            answers.tell(group_behind(Waker::Panics, many, &told));
            answers.tell(group(100..100 + many, &told));
            drop(answers);
            let numbers: Vec<_> = by.try_iter().map(|(number, _)| number).collect();
            assert_eq!(numbers, (1..many).chain(100..100 + many).collect::<Vec<_>>());
        }
    }

    /// Else what was written would pile up behind a waker that blocks.
    #[test]
    fn where_whoever_tells_is_held_up_whoever_writes_tells_too() {
        let (told, by) = channel();
        // Waits, as it is dropped, for whoever is held: `go` is dropped first.
        let mut answers = Answers::default();
        let (go, wait) = channel();
        answers.tell(group_behind(Waker::Holds(wait), MANY, &told));
        let groups = GROUPS + 2;
        (1..=groups).for_each(|n| answers.tell(group(n * MANY..(n + 1) * MANY, &told)));
        let here = std::thread::current().id();
        let meanwhile: Vec<_> = by.try_iter().collect();
        // One more waits where the first was taken from the queue by then.
        assert!(meanwhile.len() >= MANY && meanwhile.iter().all(|(_, thread)| *thread == here), "{meanwhile:?}");
        go.send(()).unwrap();
        drop(answers);
        assert_eq!(meanwhile.len() + by.try_iter().count(), (groups + 1) * MANY, "each once");
    }
}
