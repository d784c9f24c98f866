//! The threads that read, each with a connection of its own that cannot write.
//!
//! Reads that wait at the same time share one moment of the file: SQLite forgets its pages whenever a reader finds that
//! something was written since its last transaction, so that a transaction for each read would read every page anew.

use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use factum::Fault;
use rusqlite::{Connection, Transaction};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::fault;
use crate::gate::Gate;
use crate::job::Failed;

type Work = Box<dyn FnOnce(&Connection, &Gate) + Send>;

/// How many reads wait for each thread before callers are held up.
const QUEUE: usize = 64;

/// How many reads share one moment at most.
const BATCH: usize = 32;

/// The way to the reading threads.
#[derive(Debug)]
pub(crate) struct Readers {
    queue: Mutex<Option<mpsc::Sender<Work>>>,
    ended: watch::Receiver<()>,
    file: Arc<Path>,
}

impl Readers {
    /// Starts a thread for each of these connections.
    pub(crate) fn start(connections: Vec<Connection>, file: Arc<Path>) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel::<Work>(QUEUE * connections.len().max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let (end, ended) = watch::channel(());
        let threads = connections.len().max(1);
        for conn in connections {
            let (receiver, end) = (Arc::clone(&receiver), end.clone());
            let gate = Gate::install(&conn).map_err(std::io::Error::other)?;
            std::thread::Builder::new().name("factum-sqlite-reader".to_owned()).spawn(move || {
                // Dropped last, however the thread ends: whoever closes waits until the last one is gone.
                let _end = end;
                let conn = conn;
                while let Some(batch) = next(&receiver, threads) {
                    run(&conn, &gate, batch);
                }
            })?;
        }
        Ok(Self { queue: Mutex::new(Some(sender)), ended, file })
    }

    /// Has something read by the next free thread.
    pub(crate) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failed<E>> + Send + 'static,
    {
        self.read_gated(move |conn, _| work(conn)).await
    }

    /// The same for work that holds SQL of a user, with the gate that it is to be asked behind.
    pub(crate) async fn read_gated<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Fault> + Send + 'static,
        F: FnOnce(&Connection, &Gate) -> Result<T, Failed<E>> + Send + 'static,
    {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else {
            return Err(self.closed().into());
        };
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |conn, gate| {
            if !reply.is_closed() {
                // A caller that has gone away needs no answer.
                let _ = reply.send(work(conn, gate));
            }
        });
        let _ = queue.send(work).await;
        drop(queue);
        match answer.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(Failed::Answer(refused))) => Err(refused),
            Ok(Err(Failed::Sqlite(error))) => Err(fault(&self.file, "reading", error).into()),
            Err(_) => Err(self.closed().into()),
        }
    }

    fn closed(&self) -> Fault {
        Fault::closed(format!("the store {} is closed, or its reading threads have ended", self.file.display()))
    }

    /// Takes no more, and returns when what was taken is done and the connections are closed.
    pub(crate) async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

/// Waits for work, and takes this thread's share of all that waits. The lock is held while waiting: the next free thread
/// is the next to wait.
fn next(queue: &Mutex<mpsc::Receiver<Work>>, threads: usize) -> Option<Vec<Work>> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let mut batch = vec![queue.blocking_recv()?];
    let share = (queue.len() / threads).min(BATCH - 1);
    batch.extend(std::iter::from_fn(|| queue.try_recv().ok()).take(share));
    Some(batch)
}

/// Reads for all of a batch. Its moment begins after the last of them asked, so that each sees what was answered before.
fn run(conn: &Connection, gate: &Gate, batch: Vec<Work>) {
    let shared = batch.len() > 1 && simple(conn, "BEGIN").is_ok();
    batch.into_iter().for_each(|work| work(conn, gate));
    if shared
        && !conn.is_autocommit()
        && let Err(error) = simple(conn, "COMMIT")
    {
        // Nothing was written; a connection that keeps its moment would show old pages.
        tracing::warn!(%error, "a reader could not end its transaction");
        let _ = conn.execute_batch("ROLLBACK");
    }
}

fn simple(conn: &Connection, sql: &str) -> rusqlite::Result<usize> {
    conn.prepare_cached(sql)?.execute([])
}

/// One moment of the file for several statements: the batch's, or one of its own.
pub(crate) struct Moment<'c> {
    conn: &'c Connection,
    /// Ends the transaction when it is dropped.
    _own: Option<Transaction<'c>>,
}

impl<'c> Moment<'c> {
    pub(crate) fn of(conn: &'c Connection) -> rusqlite::Result<Self> {
        let own = conn.is_autocommit().then(|| conn.unchecked_transaction()).transpose()?;
        Ok(Self { conn, _own: own })
    }
}

impl Deref for Moment<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.conn
    }
}
