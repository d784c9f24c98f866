//! A process that writes, in every way there is, and says what became of it.

use std::sync::Arc;

use factum::{
    Append, AppendError, Appended, Condition, Cursor, EventStore, EventType, LogId, NewEvent, QueryCondition, StreamId,
    Tag,
};
use factum_postgres::sqlx::{Connection, PgConnection};
use factum_postgres::{PostgresOptions, PostgresStore};

use crate::common::query_of_tag;

/// What the server calls the connections of these processes.
pub(crate) const APPLICATION: &str = "writer";

/// What a process does at the same time, and how many appends each of these makes.
const TASKS: usize = 4;
const APPENDS: usize = 32;

#[derive(Clone, Copy)]
enum Kind {
    /// One event.
    Single,
    /// Some events of two streams.
    Batch,
    /// So many that they go by COPY.
    Large,
    /// One event, if nobody took the seat.
    Guarded,
    /// Within a transaction that is committed.
    Within,
    /// Within a transaction that is rolled back.
    RolledBack,
}

use Kind::{Batch, Guarded, Large, RolledBack, Single, Within};

const KINDS: [Kind; 16] = [
    Single, Guarded, Batch, Single, RolledBack, Guarded, Single, Large, Guarded, Single, Within, Guarded, Batch,
    RolledBack, Guarded, Single,
];

/// Appends, and says of each when it is sent and what became of it.
pub(crate) async fn write(url: &str, name: &str) {
    let options = PostgresOptions::new().application_name(APPLICATION);
    let store = Arc::new(options.connect(url).await.unwrap());
    let tasks = (0..TASKS).map(|task| {
        let task =
            Task { store: Arc::clone(&store), name: format!("{name}-{task}"), url: url.to_owned(), first: task * 5 };
        tokio::spawn(task.run())
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    store.close().await.unwrap();
}

struct Task {
    store: Arc<PostgresStore>,
    name: String,
    url: String,
    first: usize,
}

impl Task {
    async fn run(self) {
        // Not one of the store's connections: whoever writes tables of his own has his own.
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}application_name={APPLICATION}", self.url);
        let mut conn = PgConnection::connect(&url).await.unwrap();
        for n in 0..APPENDS {
            let name = format!("{}-{n}", self.name);
            println!("sends {name} .");
            match self.append(&mut conn, KINDS[(self.first + n) % KINDS.len()], &name).await {
                Ok(Some(done)) => println!("answered {name} {} .", done.cursor.get(LogId::FIRST)),
                Ok(None) => println!("undone {name} ."),
                Err(error) if error.is_conflict() => println!("undone {name} ."),
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    /// `None` for what was rolled back.
    async fn append(&self, conn: &mut PgConnection, kind: Kind, name: &str) -> Result<Option<Appended>, AppendError> {
        match kind {
            Single => self.store.append(several(name, 1, 0)).await.map(Some),
            Batch => self.store.append(several(name, 3, 40)).await.map(Some),
            Large => self.store.append(several(name, 900, 400)).await.map(Some),
            Guarded => self.store.append(guarded(name, self.store.head().await.unwrap())).await.map(Some),
            Within => {
                let mut transaction = conn.begin().await.unwrap();
                let done = self.store.append_in(&mut transaction, several(name, 2, 2)).await?;
                transaction.commit().await.unwrap();
                Ok(Some(done))
            }
            RolledBack => {
                let mut transaction = conn.begin().await.unwrap();
                self.store.append_in(&mut transaction, several(name, 2, 2)).await?;
                transaction.rollback().await.unwrap();
                Ok(None)
            }
        }
    }
}

/// So many events of an account and of an order: whichever, others write to it too.
fn several(name: &str, accounts: usize, orders: usize) -> Append {
    let of = accounts + orders;
    let events = |count| (0..count).map(|_| event(name, of, None)).collect::<Vec<_>>();
    let number = sum(name) % 8;
    let append = Append::to(StreamId::of("account", &number.to_string()).unwrap(), Condition::Any, events(accounts));
    if orders == 0 {
        return append;
    }
    append.and(StreamId::of("order", &number.to_string()).unwrap(), Condition::Any, events(orders))
}

/// An event of a seat, if there was none since.
fn guarded(name: &str, after: Cursor) -> Append {
    let seat = format!("seat:{}", sum(name) % 2 + 1);
    let mut event = event(name, 1, Some(after.get(LogId::FIRST).as_i64()));
    event.tags = vec![Tag::new(&seat).unwrap()];
    let append = Append::to(StreamId::of("booking", name).unwrap(), Condition::NoStream, vec![event]);
    append.when(QueryCondition { query: query_of_tag(&seat), after })
}

fn event(append: &str, of: usize, after: Option<i64>) -> NewEvent {
    let payload = match after {
        Some(after) => format!(r#"{{"append":"{append}","of":{of},"after":{after}}}"#),
        None => format!(r#"{{"append":"{append}","of":{of}}}"#),
    };
    NewEvent::new(EventType::new("Written").unwrap(), payload)
}

/// Spreads names over a few places.
fn sum(name: &str) -> usize {
    name.bytes().map(usize::from).sum()
}
