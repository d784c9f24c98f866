//! What the workloads are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::window::Window;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum StoreKind {
    Memory,
    Sqlite,
    Postgres,
}

impl StoreKind {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Sqlite, Self::Postgres];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Commands through a repository with a cache, by so many tasks, each with streams of its own.
    Execute { tasks: usize, keyed: bool },
    /// Commands by so many tasks, all to one stream.
    Hot { tasks: usize },
    /// The same as `Execute` by several processes on one store.
    Processes { processes: usize, tasks: usize },
    /// One event at a time, its stream's version known.
    Append,
    /// So many events of one stream at a time.
    Batches { events: usize },
    /// One aggregate of so many events, the last few of them after its snapshot if it has one.
    Load { events: usize, snapshot: bool },
    /// The whole log, page by page.
    ReadAll,
    /// The whole log, by a subscription.
    Subscribe,
    /// A read model of so many documents built anew from so many events.
    Replay { events: usize, documents: usize },
    /// One document as it was at some position.
    GetAt,
    /// A ledger with keys and two live read models.
    Import,
    /// What the database makes of the disk, without us.
    Commits,
}

/// Something that users do often enough to ask how fast it is, on one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workload {
    pub(crate) store: StoreKind,
    pub(crate) work: Work,
    /// Whether every commit takes [`DELAY`] longer, as behind a synchronous standby.
    pub(crate) delayed: bool,
}

/// How long a standby in another building takes.
pub(crate) const DELAY: Duration = Duration::from_millis(3);

/// How many events the log holds that is read, replayed and travelled in.
const LOG: usize = 200_000;
const DOCUMENTS: usize = 1_000;

/// Those that run on every store.
const EVERYWHERE: [Work; 15] = [
    Work::Execute { tasks: 1, keyed: false },
    Work::Append,
    Work::Execute { tasks: 32, keyed: false },
    Work::Execute { tasks: 32, keyed: true },
    Work::Execute { tasks: 256, keyed: false },
    Work::Hot { tasks: 16 },
    Work::Batches { events: 100 },
    Work::Batches { events: 5_000 },
    Work::Load { events: 1_000, snapshot: false },
    Work::Load { events: 10_000, snapshot: false },
    Work::Load { events: 10_000, snapshot: true },
    Work::ReadAll,
    Work::Subscribe,
    REPLAY,
    Work::GetAt,
];

const REPLAY: Work = Work::Replay { events: LOG, documents: DOCUMENTS };

/// Those that need a disk.
const DURABLE: [Work; 5] = [
    Work::Processes { processes: 8, tasks: 4 },
    Work::Import,
    // The peak of memory of the second shall not exceed that of the first.
    Work::Replay { events: 100_000, documents: 4_500 },
    Work::Replay { events: 1_000_000, documents: 4_500 },
    Work::Commits,
];

/// All workloads of a store, in the order in which they are shown.
pub(crate) fn of(store: StoreKind) -> Vec<Workload> {
    let durable: &[Work] = if store == StoreKind::Memory { &[] } else { &DURABLE };
    let works: Vec<_> = EVERYWHERE.iter().chain(durable).copied().collect();
    let delayed = works.iter().filter(|work| store == StoreKind::Postgres && work.is_command());
    let delayed = delayed.map(|work| Workload { store, work: *work, delayed: true });
    works.iter().map(|work| Workload { store, work: *work, delayed: false }).chain(delayed).collect()
}

impl Work {
    /// Whether it waits for commits.
    fn is_command(self) -> bool {
        use Work::{Append, Batches, Execute, Hot, Processes};
        matches!(self, Execute { .. } | Hot { .. } | Processes { .. } | Append | Batches { .. })
    }

    fn name(self) -> String {
        match self {
            Work::Execute { tasks, keyed: false } => format!("execute-{tasks}"),
            Work::Execute { tasks, keyed: true } => format!("execute-{tasks}-keyed"),
            Work::Hot { tasks } => format!("execute-hot-{tasks}"),
            Work::Processes { processes, tasks } => format!("execute-processes-{processes}x{tasks}"),
            Work::Append => "append-1".to_owned(),
            Work::Batches { events } => format!("append-batch-{events}"),
            Work::Load { events, snapshot: false } => format!("load-{events}"),
            Work::Load { events, snapshot: true } => format!("load-{events}-snapshot"),
            Work::ReadAll => "read-all".to_owned(),
            Work::Subscribe => "subscribe-all".to_owned(),
            REPLAY => "replay".to_owned(),
            Work::Replay { events, .. } => format!("replay-{}k", events / 1_000),
            Work::GetAt => "get-at".to_owned(),
            Work::Import => "import".to_owned(),
            Work::Commits => "raw-commits-1".to_owned(),
        }
    }
}

impl Workload {
    /// What it is called, on the command line and in results.
    pub(crate) fn name(&self) -> String {
        let name = self.work.name();
        if self.delayed { format!("{name}+{}ms", DELAY.as_millis()) } else { name }
    }

    /// What its value counts.
    pub(crate) fn unit(&self) -> &'static str {
        match self.work {
            Work::Execute { .. } | Work::Hot { .. } | Work::Processes { .. } => "commands/s",
            Work::Append => "appends/s",
            Work::Batches { .. } | Work::ReadAll | Work::Subscribe | Work::Replay { .. } => "events/s",
            Work::Load { .. } => "ms",
            Work::GetAt => "reads/s",
            Work::Import => "transactions/s",
            Work::Commits => "commits/s",
        }
    }

    /// What the other side does.
    pub(crate) fn limit_name(&self) -> &'static str {
        match (self.work, self.store) {
            (Work::Hot { .. }, _) => "execute-32 of this run",
            (Work::Replay { .. }, _) => "read-all of this run",
            (Work::Commits, _) => "append of 4 KiB and fdatasync",
            (Work::Batches { .. }, StoreKind::Memory) => "push of the batch under a mutex",
            (Work::Load { .. } | Work::ReadAll | Work::Subscribe, StoreKind::Memory) => "serde_json decode alone",
            (Work::GetAt, StoreKind::Memory) => "lookup in a map and decode",
            (_, StoreKind::Memory) => "push under a mutex",
            (Work::Batches { .. }, StoreKind::Sqlite) => "INSERTs of the batch in one transaction",
            (Work::Load { .. }, StoreKind::Sqlite) => "SELECT of the stream with decode",
            (Work::ReadAll | Work::Subscribe, StoreKind::Sqlite) => "ordered SELECT of the same columns with decode",
            (Work::GetAt, StoreKind::Sqlite) => "SELECT of the document by its key with decode",
            (_, StoreKind::Sqlite) => "single-row commits",
            (Work::Batches { events: 5_000.. }, StoreKind::Postgres) => "COPY of the batch",
            (Work::Batches { .. }, StoreKind::Postgres) => "multi-row INSERT of the batch from arrays",
            (Work::Load { .. }, StoreKind::Postgres) => "SELECT of the stream with decode",
            (Work::ReadAll | Work::Subscribe, StoreKind::Postgres) => "ordered SELECT of the same columns with decode",
            (Work::GetAt, StoreKind::Postgres) => "SELECT of the document by its key with decode",
            (Work::Execute { tasks: 2.., .. } | Work::Processes { .. }, StoreKind::Postgres) => {
                "single-row INSERT commits on 32 connections"
            }
            (_, StoreKind::Postgres) => "single-row INSERT commits on one connection",
        }
    }

    /// How often each side is measured: of one caller who waits for one disk, of a crowd, and of a whole log on one connection
    /// three rounds say little, since whatever else the machine does they meet in full.
    pub(crate) fn runs(&self, asked: u32) -> u32 {
        let differs = match self.work {
            Work::Execute { tasks, .. } => tasks == 1 || tasks == 256,
            work => matches!(work, Work::Append | Work::ReadAll) || work == REPLAY,
        };
        let noisy = differs && self.store != StoreKind::Memory && !self.delayed;
        if noisy { asked.saturating_mul(3) } else { asked }
    }

    /// Whether its measurements share what was prepared; each of the others begins with an empty store.
    pub(crate) fn is_prepared(&self) -> bool {
        use Work::{GetAt, Load, ReadAll, Replay, Subscribe};
        matches!(self.work, Load { .. } | ReadAll | Subscribe | Replay { .. } | GetAt)
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Size {
    /// For figures that are quoted.
    Full,
    /// To see that everything runs.
    Quick,
    /// For tests in this process.
    #[cfg(test)]
    Tiny,
}

impl Size {
    /// For how long calls are counted, each stream having been called once before.
    pub(crate) fn window(self, store: StoreKind, warm_up: usize) -> Window {
        let (time, calls) = match self {
            Self::Full => (Duration::from_millis(1_500), 400_000),
            Self::Quick => (Duration::from_millis(120), 40_000),
            #[cfg(test)]
            Self::Tiny => (Duration::from_secs(3_600), 40),
        };
        let bounded = store == StoreKind::Memory || time > Duration::from_secs(60);
        Window { warm_up: warm_up as u64, time, calls: if bounded { calls } else { u64::MAX } }
    }

    /// For how long passes over a whole log are counted, after one that is not.
    pub(crate) fn passes(self) -> Window {
        let window = self.window(StoreKind::Sqlite, 1);
        Window { calls: window.calls.div_ceil(20), ..window }
    }

    /// Over how many streams commands and appends are spread.
    pub(crate) fn streams(self) -> usize {
        self.of(1_000)
    }

    /// How many events a log holds whose full size is this.
    pub(crate) fn events(self, full: usize) -> usize {
        self.of(full)
    }

    /// How many events the log holds that is read.
    pub(crate) fn log(self) -> usize {
        self.events(LOG)
    }

    /// How many aggregates are loaded in turns.
    pub(crate) fn aggregates(self) -> usize {
        self.of(20)
    }

    fn of(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => full / 10,
            #[cfg(test)]
            Self::Tiny => full.div_ceil(100),
        }
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    /// The library.
    Ours,
    /// The same work with the same driver, columns and indexes, without the library.
    Limit,
    /// The limit on a table without anything that is not needed for it.
    Bare,
}

impl Side {
    /// In the order in which they take turns: the limit may use what ours wrote.
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Limit, Self::Bare];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Limit => "limit",
            Self::Bare => "bare",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_store_has_the_workloads_that_goals_are_stated_for_and_their_names_differ() {
        let stated = [
            "execute-1",
            "append-1",
            "execute-32",
            "execute-256",
            "append-batch-100",
            "load-1000",
            "load-10000",
            "load-10000-snapshot",
            "read-all",
            "execute-hot-16",
            "replay",
            "get-at",
        ];
        for store in StoreKind::ALL {
            let all = of(store);
            let names: BTreeSet<_> = all.iter().map(Workload::name).collect();
            assert_eq!(names.len(), all.len());
            for name in stated {
                assert!(names.contains(name), "{name} on {}", store.name());
            }
        }
    }
}
