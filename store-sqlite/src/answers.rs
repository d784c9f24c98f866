//! Who tells the callers of a group that it is committed: a thread of its own where they are many, so that the next group
//! is written meanwhile (docs/decisions/015).

use std::sync::mpsc;
use std::thread::JoinHandle;

use crate::job::Job;

/// From how many jobs on a group is told by the other thread. To hand it over costs about as much as to tell five.
const MANY: usize = 16;

type Group = Vec<Box<dyn Job>>;

/// Tells callers. Ends, when dropped, once all have been told.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Only where there was a large group.
    teller: Option<Teller>,
}

#[derive(Debug)]
struct Teller {
    groups: mpsc::Sender<Group>,
    thread: JoinHandle<()>,
}

impl Answers {
    /// Tells each of these jobs that it is committed, now or soon.
    pub(crate) fn tell(&mut self, group: Group) {
        let left = if group.len() < MANY { group } else { self.hand_over(group) };
        left.into_iter().for_each(|job| job.committed());
    }

    /// Leaves a group to the other thread, and gives it back where there is none.
    fn hand_over(&mut self, group: Group) -> Group {
        let Some(teller) = self.teller.take().or_else(Teller::start) else { return group };
        match teller.groups.send(group) {
            Ok(()) => {
                self.teller = Some(teller);
                Vec::new()
            }
            // It has ended, in a caller's waker that panicked: the next group has a new one.
            Err(mpsc::SendError(group)) => group,
        }
    }
}

impl Teller {
    fn start() -> Option<Self> {
        let (groups, came) = mpsc::channel::<Group>();
        let thread = std::thread::Builder::new().name("factum-sqlite-answers".to_owned());
        let started = thread.spawn(move || came.iter().flatten().for_each(|job| job.committed()));
        match started {
            Ok(thread) => Some(Self { groups, thread }),
            Err(error) => {
                tracing::warn!(%error, "no thread could be started that answers: the one that writes does it");
                None
            }
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Some(Teller { groups, thread }) = self.teller.take() {
            drop(groups);
            // If it has panicked, whom it left was told as it was dropped.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::ThreadId;

    use super::*;
    use crate::inside::Inside;
    use crate::job::Trouble;

    /// Says who told it.
    struct Told {
        number: usize,
        told: Sender<(usize, ThreadId)>,
        /// Until this says so, whoever tells it is held.
        wait: Option<Receiver<()>>,
    }

    impl Job for Told {
        fn size(&self) -> usize {
            0
        }
        fn run(&mut self, _: &mut Inside<'_>) -> rusqlite::Result<()> {
            Ok(())
        }
        fn committed(self: Box<Self>) {
            if let Some(wait) = &self.wait {
                let _ = wait.recv();
            }
            self.told.send((self.number, std::thread::current().id())).unwrap();
        }
        fn failed(self: Box<Self>, _: &Trouble) {}
    }

    /// As one whose caller's waker panics.
    struct Panics;

    impl Job for Panics {
        fn size(&self) -> usize {
            0
        }
        fn run(&mut self, _: &mut Inside<'_>) -> rusqlite::Result<()> {
            Ok(())
        }
        fn committed(self: Box<Self>) {
            panic!("a test panics in a waker");
        }
        fn failed(self: Box<Self>, _: &Trouble) {}
    }

    fn group(numbers: std::ops::Range<usize>, told: &Sender<(usize, ThreadId)>) -> Group {
        let job = |number| Box::new(Told { number, told: told.clone(), wait: None }) as Box<dyn Job>;
        numbers.map(job).collect()
    }

    #[test]
    fn a_small_group_is_told_at_once_and_starts_no_thread() {
        let (told, by) = channel();
        let mut answers = Answers::default();
        answers.tell(group(0..MANY - 1, &told));
        let here = std::thread::current().id();
        let expected: Vec<_> = (0..MANY - 1).map(|number| (number, here)).collect();
        assert_eq!(by.try_iter().collect::<Vec<_>>(), expected);
        assert!(answers.teller.is_none());
    }

    #[test]
    fn whoever_writes_is_not_held_up_by_the_telling_of_a_large_group_and_ends_after_it() {
        let (told, by) = channel();
        let (go, wait) = channel();
        let mut answers = Answers::default();
        let mut held = group(1..MANY, &told);
        held.insert(0, Box::new(Told { number: 0, told: told.clone(), wait: Some(wait) }));
        answers.tell(held);
        answers.tell(group(MANY..3 * MANY, &told));
        // Comes here although the first of all is not told yet.
        assert!(by.try_recv().is_err(), "told too early");
        go.send(()).unwrap();
        drop(answers);
        let (numbers, threads): (Vec<_>, Vec<_>) = by.try_iter().unzip();
        assert_eq!(numbers, (0..3 * MANY).collect::<Vec<_>>(), "each once, in order, before it ends");
        assert!(threads.iter().all(|thread| *thread != std::thread::current().id()));
    }

    /// Otherwise whoever came later would wait for a thread that has ended.
    #[test]
    fn a_waker_that_panics_takes_nobody_of_another_group_with_it() {
        let (told, by) = channel();
        let mut answers = Answers::default();
        let mut dies = group(0..MANY - 1, &told);
        dies.insert(0, Box::new(Panics));
        answers.tell(dies);
        let died = &answers.teller.as_ref().unwrap().thread;
        while !died.is_finished() {
            std::thread::yield_now();
        }
        for first in [100, 200] {
            answers.tell(group(first..first + MANY, &told));
        }
        assert!(answers.teller.is_some(), "a new thread was started");
        drop(answers);
        let numbers: Vec<_> = by.try_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, (100..100 + MANY).chain(200..200 + MANY).collect::<Vec<_>>());
    }
}
