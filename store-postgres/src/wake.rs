//! Waking readers: those of this process at once, those of others by a notification, and a slow poll behind both.
//!
//! `NOTIFY` takes a lock of the whole server when its transaction commits, so it never rides in the transaction of an append.
//! A task sends it afterwards, on the connection on which it also listens: at most one in five milliseconds, however many
//! appends there were. Where notifications do not come through (a transaction pooler, a read replica, a connection that died
//! without a word) the poll finds that the log has grown. It rings only then: a bell that rings without cause would make
//! every reader ask for a page.
//!
//! Many processes that append would wake each other two hundred times a second for nothing, so a store listens only once it
//! has a reader, and tells only if another listens: whoever does holds an advisory lock, shared, in its session, which is
//! asked for before a notification is sent.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use factum::{Bell, LogId, Wakeups};
use sqlx::postgres::{PgListener, PgNotification};
use sqlx::{PgPool, Row as _};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::db::Db;
use crate::read;

/// The least time between two notifications of one store.
const QUIET: Duration = Duration::from_millis(5);

/// How long it is taken for granted that nobody else listens. Whoever begins to listen looks at the log itself first, so this
/// is how late its first wake-up may be.
const ALONE: Duration = Duration::from_millis(100);

/// How long to wait before connecting again, at first and at most.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the end may take: a last notification, and a connection that is closed politely.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A store's end of the task. Dropping it ends the task.
#[derive(Debug)]
pub(crate) struct Wake {
    /// Held by the task alone: when that ends, by whatever cause, nobody waits for nothing.
    bell: Weak<Bell>,
    untold: Arc<Notify>,
    /// Whether anybody here reads.
    wanted: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What rings when something was committed. Cheap to clone, never waits.
#[derive(Clone, Debug)]
pub(crate) struct Ringer {
    bell: Weak<Bell>,
    untold: Arc<Notify>,
}

impl Ringer {
    /// Wakes the readers of this store now, and those of others soon.
    pub(crate) fn committed(&self) {
        if let Some(bell) = self.bell.upgrade() {
            bell.ring();
            self.untold.notify_one();
        }
    }
}

impl Wake {
    /// Starts the task on the runtime of the caller. `known` is a position that readers here were woken for already.
    pub(crate) fn start(db: &Db, poll: Duration, known: Arc<AtomicI64>) -> Self {
        let bell = Arc::new(Bell::new());
        let untold = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(false);
        let wanted = watch::Sender::new(false);
        let weak = Arc::downgrade(&bell);
        let ear = Ear::new(db, Arc::clone(&bell), Arc::clone(&untold), wanted.subscribe());
        let task = tokio::spawn(run(db.clone(), ear, bell, poll, known, stopped));
        Self { bell: weak, untold, wanted, stop, task: Mutex::new(Some(task)) }
    }

    pub(crate) fn ringer(&self) -> Ringer {
        Ringer { bell: self.bell.clone(), untold: Arc::clone(&self.untold) }
    }

    /// A listener; its waits end with the store.
    pub(crate) fn wakeups(&self) -> Wakeups {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
        self.bell.upgrade().map_or_else(|| Bell::new().wakeups(), |bell| bell.wakeups())
    }

    /// Tells what was not told yet, and ends.
    pub(crate) async fn close(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else {
            return;
        };
        // Whoever gives up waiting for this has ended the task all the same: it was told.
        self.stop.send_replace(true);
        if timeout(LAST_WORDS * 2, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

async fn run(
    db: Db,
    mut ear: Ear,
    bell: Arc<Bell>,
    every: Duration,
    known: Arc<AtomicI64>,
    mut stopped: watch::Receiver<bool>,
) {
    let work = async {
        if db.behind_pooler() {
            poll(&db, &bell, every, &known).await;
        } else {
            tokio::join!(ear.listen(), poll(&db, &bell, every, &known));
        }
    };
    tokio::select! {
        _ = stopped.wait_for(|stop| *stop) => {}
        () = work => {}
    }
    let _ = timeout(LAST_WORDS, ear.end()).await;
}

/// Rings whenever the log has grown by more than what was rung for already.
async fn poll(db: &Db, bell: &Bell, every: Duration, known: &AtomicI64) {
    let mut seen = 0;
    loop {
        sleep(every).await;
        match read::head(db).await {
            Ok(head) => {
                let head = head.get(LogId::FIRST).as_i64();
                if head > seen.max(known.load(Ordering::Relaxed)) {
                    bell.ring();
                }
                seen = head;
            }
            Err(error) => tracing::debug!(%error, "could not look whether the log has grown"),
        }
    }
}

/// The connection on which one store tells and hears others.
struct Ear {
    db: Db,
    pool: PgPool,
    listener: Option<PgListener>,
    listening: bool,
    wanted: watch::Receiver<bool>,
    channel: String,
    /// By which it knows its own voice.
    name: String,
    bell: Arc<Bell>,
    untold: Arc<Notify>,
    /// Whether there is something to tell, and from when on it may be told.
    has_news: bool,
    quiet_until: Instant,
}

impl Ear {
    fn new(db: &Db, bell: Arc<Bell>, untold: Arc<Notify>, wanted: watch::Receiver<bool>) -> Self {
        Self {
            db: db.clone(),
            pool: db.listening_pool(),
            listener: None,
            listening: false,
            wanted,
            channel: channel(db),
            name: format!("{:016x}", fastrand::u64(..)),
            bell,
            untold,
            has_news: false,
            quiet_until: Instant::now(),
        }
    }

    /// Listens and tells for as long as it is polled, on one connection after another.
    async fn listen(&mut self) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.connect().await {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    if self.listening {
                        // What happened while nobody listened.
                        self.bell.ring();
                    }
                    let lost = self.converse().await;
                    tracing::debug!(%lost, "the connection that wakes readers was lost");
                }
                Err(error) => tracing::debug!(%error, "no connection to wake readers; they poll"),
            }
            self.listener = None;
            // Many processes lose their connections at the same moment.
            sleep(wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn connect(&mut self) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.eager_reconnect(false);
        self.listening = *self.wanted.borrow();
        if self.listening {
            listen(&mut listener, &self.channel, &self.db).await?;
        }
        self.listener = Some(listener);
        Ok(())
    }

    /// Until the connection is lost.
    async fn converse(&mut self) -> sqlx::Error {
        let Some(listener) = &mut self.listener else {
            return sqlx::Error::PoolClosed;
        };
        loop {
            tokio::select! {
                heard = listener.try_recv() => match heard {
                    Ok(Some(heard)) => ring_for(&self.bell, &self.name, &heard),
                    Ok(None) => return sqlx::Error::Io(std::io::ErrorKind::UnexpectedEof.into()),
                    Err(error) => return error,
                },
                true = is_wanted(&mut self.wanted), if !self.listening => {
                    if let Err(error) = listen(listener, &self.channel, &self.db).await {
                        return error;
                    }
                    self.listening = true;
                    // What happened while nobody listened.
                    self.bell.ring();
                }
                () = self.untold.notified(), if !self.has_news => self.has_news = true,
                () = sleep_until(self.quiet_until), if self.has_news => {
                    match notify(listener, &self.channel, &self.name, &self.db).await {
                        Ok(told) => self.quiet_until = Instant::now() + if told { QUIET } else { ALONE },
                        Err(error) => return error,
                    }
                    self.has_news = false;
                }
            }
        }
    }

    /// The last words.
    async fn end(mut self) {
        if let Some(mut listener) = self.listener.take()
            && (self.has_news || futures_util::FutureExt::now_or_never(self.untold.notified()).is_some())
            && let Err(error) = notify(&mut listener, &self.channel, &self.name, &self.db).await
        {
            tracing::debug!(%error, "others were not told of the last appends; they poll");
        }
        self.pool.close().await;
    }
}

fn ring_for(bell: &Bell, name: &str, heard: &PgNotification) {
    if heard.payload() != name {
        bell.ring();
    }
}

async fn is_wanted(wanted: &mut watch::Receiver<bool>) -> bool {
    wanted.wait_for(|wanted| *wanted).await.is_ok()
}

/// Hears what others tell from now on. They are to see that it listens only when it does.
async fn listen(listener: &mut PgListener, channel: &str, db: &Db) -> Result<(), sqlx::Error> {
    listener.listen(channel).await?;
    sqlx::query(db.sql.listen.clone()).execute(listener).await.map(drop)
}

/// Tells others, if there are any; says whether.
async fn notify(listener: &mut PgListener, channel: &str, name: &str, db: &Db) -> Result<bool, sqlx::Error> {
    let notify = sqlx::query(db.sql.notify.clone()).bind(channel).bind(name);
    notify.fetch_one(listener).await?.try_get(0)
}

/// The same in every process that uses this schema, and short enough whatever the schema is called.
fn channel(db: &Db) -> String {
    format!("factum {:016x}", db.schema.order_lock())
}
