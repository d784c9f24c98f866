//! The threads that read, each with a connection of its own that cannot write.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use factum::Fault;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::fault;
use crate::job::Failed;

type Work = Box<dyn FnOnce(&Connection) + Send>;

/// How many reads wait for each thread before callers are held up.
const QUEUE: usize = 64;

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
        for conn in connections {
            let (receiver, end) = (Arc::clone(&receiver), end.clone());
            std::thread::Builder::new().name("factum-sqlite-reader".to_owned()).spawn(move || {
                // Dropped last, however the thread ends: whoever closes waits until the last one is gone.
                let _end = end;
                let conn = conn;
                while let Some(work) = next(&receiver) {
                    work(&conn);
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
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else {
            return Err(self.closed().into());
        };
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |conn| {
            if !reply.is_closed() {
                // A caller that has gone away needs no answer.
                let _ = reply.send(work(conn));
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

/// Waits for work. The lock is held while waiting: the next free thread is the next to wait.
fn next(queue: &Mutex<mpsc::Receiver<Work>>) -> Option<Work> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}
