//! A connection that appends, and what is known of its other end, so that a lost one can be laid to rest.

use std::time::Duration;

use chrono::{DateTime, Utc};
use factum::{Append, AppendError, Appended, Fault, FaultKind, Remembered, StreamId};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use crate::append::{
    Answer, accepted, answer_next, answer_one, answers, answers_known, as_one, at, bind_next, bind_one, may_be_offered,
    version_of,
};
use crate::copy::{self, COPY_EVENTS};
use crate::db::{Bound, Db};
use crate::error::{explain, fault, refuses_place, silent};
use crate::group::{Columns, bind_known, tenant_of};
use crate::judged::Judged;
use crate::keys;
use crate::known::{Known, Offer};
use crate::options::KeyRetention;
use crate::sole::{Sole, Sure};

/// A connection of the writer.
#[derive(Debug)]
pub(crate) struct Link {
    conn: PgConnection,
    end: Lost,
    sole: Sole,
    /// Whether nothing was heard of the other end for so long that it is given up.
    silent: bool,
}

/// What is known of the other end of a connection that was lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    backend: Option<Backend>,
    /// A position that was recorded before anything that was not answered. It is of this connection: another server, that a
    /// failover leads to, may have lost what was known of the one before.
    after: i64,
}

/// A process of the server, told from later ones with the same number by when it began.
#[derive(Clone, Copy, Debug)]
struct Backend {
    pid: i32,
    began: DateTime<Utc>,
}

impl Lost {
    /// Whether it can be seen to that nothing more comes of it.
    pub(crate) fn is_known(&self) -> bool {
        self.backend.is_some()
    }
}

/// Why a group got no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server said no, and has rolled it back.
    NotDone(sqlx::Error),
    /// It was never sent.
    NotSent(Fault),
    /// The connection is gone, and with it the answer.
    Lost(sqlx::Error),
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(_) if !crate::error::is_lost(&error) => Self::NotDone(error),
            other => Self::Lost(other),
        }
    }
}

impl Link {
    pub(crate) async fn open(db: &Db) -> Result<Self, sqlx::Error> {
        let mut conn = db.connect().await?;
        let mut transaction = conn.begin_with(db.begin_append()).await?;
        let row = sqlx::query(db.sql.backend.clone()).persistent(false).fetch_one(&mut *transaction).await?;
        let began: Option<DateTime<Utc>> = row.try_get(1)?;
        let pid = row.try_get(0)?;
        // Behind a pooler the next transaction may be another process's.
        let backend = began.filter(|_| !db.behind_pooler()).map(|began| Backend { pid, began });
        let end = Lost { backend, after: row.try_get(2)? };
        transaction.commit().await?;
        Ok(Self { conn, end, sole: Sole::default(), silent: false })
    }

    /// What is known of it now that it is lost.
    pub(crate) fn lost(self) -> Lost {
        self.end
    }

    pub(crate) async fn close(self) {
        // It is gone either way.
        let _ = self.conn.close().await;
    }

    /// Sends the events of one stream to where they belong if nobody else has appended; `None` where that is not known, or somebody
    /// has, so that nothing was recorded.
    pub(crate) async fn offer(&mut self, db: &Db, append: &Append, all: &Sure) -> Result<Option<Appended>, Broken> {
        let Some(write) = as_one(append) else { return Ok(None) };
        // Behind a pooler there may be another server at the other end by now.
        let next = self.sole.next(write, all).filter(|next| !db.behind_pooler() && may_be_offered(write, *next));
        let Some(next) = next else { return Ok(None) };
        let bound = bind_next(&db.sql, write, next).map_err(Broken::NotSent)?;
        match db.in_time(1, bound.fetch_optional(&mut self.conn), |silence| silence).await {
            Ok(row) => {
                let appended = answer_next(row.as_ref(), write, next)?;
                if appended.is_none() {
                    self.sole.start_over();
                }
                self.learn(&appended);
                Ok(appended)
            }
            Err(error) => {
                let Some(never) = refuses_place(&error) else { return Err(error.into()) };
                tracing::debug!(%error, never, "an append was not taken at its place; it is sent again to have that looked up");
                self.sole.forget(never);
                if next.sure {
                    all.refused();
                }
                Ok(None)
            }
        }
    }

    /// Sends a group to where it belongs if the log is as it is believed to be; `None` where it is not, so that nothing was recorded.
    pub(crate) async fn offer_group(
        &mut self,
        db: &Db,
        appends: &[&Append],
        offer: &Offer,
        known: &Known,
    ) -> Result<Option<Vec<Result<Appended, AppendError>>>, Broken> {
        let bound = bind_known(db.sql.append_known.clone(), appends, offer).map_err(Broken::NotSent)?;
        let row = match db.in_time(1, bound.fetch_one(&mut self.conn), |silence| silence).await {
            Ok(row) => row,
            Err(error) => {
                let Some(never) = refuses_place(&error) else { return Err(error.into()) };
                tracing::debug!(%error, never, "a group was not taken at its place; it is sent again to have that looked up");
                if never {
                    known.offer_none();
                }
                return Ok(None);
            }
        };
        let recorded_at: Option<DateTime<Utc>> = row.try_get(0)?;
        Ok(recorded_at.map(|recorded_at| {
            let appended = answers_known(appends, offer, recorded_at);
            self.learn(&appended);
            appended.into_iter().map(Ok).collect()
        }))
    }

    /// Takes note of what was recorded in one transaction.
    fn learn<'a>(&mut self, told: impl IntoIterator<Item = &'a Appended>) {
        let last = &mut self.end.after;
        let reaches = |appended: &&Appended| *last = appended.cursor.get(factum::LogId::FIRST).as_i64().max(*last);
        self.sole.learn(told.into_iter().inspect(reaches));
    }

    /// Sends a group and tells what became of each append in it.
    pub(crate) async fn append(
        &mut self,
        db: &Db,
        appends: &[&Append],
        retention: KeyRetention,
    ) -> Result<Vec<Result<Appended, AppendError>>, Broken> {
        let statements = if by_copy(appends) { copy::STATEMENTS } else { 1 };
        // The server ends what takes too long. One that is not heard of at all has to be given up.
        let answers = db.in_time(statements, self.send(db, appends, retention), Broken::Lost).await?;
        let mut told = Vec::with_capacity(appends.len());
        for (append, answer) in appends.iter().zip(answers) {
            let done = match answer {
                Answer::Done(appended) => Ok(appended),
                Answer::Refused(error) => Err(error),
                _ if self.silent => Err(AppendError::NotDone(fault(silent()))),
                Answer::Known => self.known(db, append, retention).await,
                Answer::Matched(position) => self.conflicting(db, append, position).await,
            };
            told.push(done);
        }
        self.learn(told.iter().flatten());
        Ok(told)
    }

    async fn send(&mut self, db: &Db, appends: &[&Append], retention: KeyRetention) -> Result<Vec<Answer>, Broken> {
        if let [append] = appends {
            if by_copy(appends) {
                return Ok(vec![copy::append(&mut self.conn, db, append, retention).await?]);
            }
            if let Some(write) = as_one(append) {
                let bound = bind_one(&db.sql, write).map_err(Broken::NotSent)?;
                let row = self.run(db, bound).await?;
                return Ok(vec![answer_one(&row, write)?]);
            }
        }
        let columns = Columns::of(appends.iter().copied()).map_err(Broken::NotSent)?;
        if columns.are_plain() {
            let row = self.run(db, columns.bind_plain(db.sql.append_plain.clone())).await?;
            return Ok(answers(appends.iter().copied(), &Judged::of_plain(&row, appends)?));
        }
        let row = self.run(db, columns.bind(db.sql.append_group.clone(), keys::since(retention))).await?;
        Ok(answers(appends.iter().copied(), &Judged::of(&row)?))
    }

    /// One statement that is a transaction, in one round trip unless a pooler is in between.
    async fn run(&mut self, db: &Db, bound: Bound<'_>) -> Result<PgRow, sqlx::Error> {
        if !db.behind_pooler() {
            return bound.fetch_one(&mut self.conn).await;
        }
        let mut transaction = self.conn.begin_with(db.begin_append()).await?;
        let row = bound.persistent(false).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(row)
    }

    /// The link, unless its other end is not heard of any more.
    pub(crate) fn if_heard_of(self) -> Option<Self> {
        (!self.silent).then_some(self)
    }

    /// What is told to whom the key of its append has an outcome. Asked on this connection: those that are shared may all be in use.
    async fn known(&mut self, db: &Db, append: &Append, retention: KeyRetention) -> Result<Appended, AppendError> {
        let conn = &mut self.conn;
        let ask = async {
            let mut transaction = conn.begin_with(db.begin_append()).await.map_err(fault)?;
            keys::find_on(&mut transaction, db, append, keys::since(retention)).await
        };
        let found = match db.silence(4) {
            Some(silence) => tokio::time::timeout(silence, ask).await,
            None => Ok(ask.await),
        };
        self.silent |= found.is_err();
        known(append, found.unwrap_or_else(|_| Err(fault(silent()))))
    }

    /// What is told to whom the query of its append matched an event.
    async fn conflicting(&mut self, db: &Db, append: &Append, position: i64) -> Result<Appended, AppendError> {
        let conn = &mut self.conn;
        let ask = async {
            match conn.begin_with(db.begin_append()).await {
                Ok(mut transaction) => conflicting(&mut transaction, db, append, position).await,
                Err(error) => AppendError::NotDone(fault(error)),
            }
        };
        let found = match db.silence(2) {
            Some(silence) => tokio::time::timeout(silence, ask).await,
            None => Ok(ask.await),
        };
        self.silent |= found.is_err();
        Err(found.unwrap_or_else(|_| AppendError::NotDone(fault(silent()))))
    }

    /// Sees to it that a lost process of the server does nothing any more: what it was sent may still wait for the lock.
    ///
    /// # Errors
    /// Where it cannot be told that it has ended.
    pub(crate) async fn lay_to_rest(&mut self, db: &Db, lost: Lost) -> Result<(), Fault> {
        let Some(backend) = lost.backend else { return Ok(()) };
        for wait in 0..LOOKS {
            let bound = sqlx::query(db.sql.end_backend.clone()).bind(backend.pid).bind(backend.began);
            let rows = bound.fetch_all(&mut self.conn).await.map_err(fault)?;
            if rows.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1 << wait.min(8))).await;
        }
        let what = format!("server process {} of a lost connection does not end", backend.pid);
        Err(Fault::new(FaultKind::Unavailable, what))
    }

    /// Which of these appends were recorded, looked for by their first event, or by their key.
    pub(crate) async fn find(
        &mut self,
        db: &Db,
        lost: Lost,
        appends: &[&Append],
        retention: KeyRetention,
    ) -> Result<Vec<Option<Appended>>, Fault> {
        let mut transaction = self.conn.begin_with(db.begin_append()).await.map_err(fault)?;
        let ids = appends.iter().filter_map(|append| first_id(append)).collect::<Vec<Uuid>>();
        let bound = sqlx::query(db.sql.find_events.clone()).bind(lost.after).bind(&ids).persistent(false);
        let mut firsts = std::collections::HashMap::new();
        for row in &bound.fetch_all(&mut *transaction).await.map_err(fault)? {
            let id: Uuid = row.try_get(0).map_err(fault)?;
            firsts.insert(id, row.try_get::<i64, _>(1).map_err(fault)?);
        }
        let mut found = Vec::with_capacity(appends.len());
        for append in appends {
            found.push(match (first_id(append), &append.keyed) {
                (Some(id), _) => match firsts.get(&id) {
                    Some(first) => Some(recorded_from(&mut transaction, db, *first, append).await?),
                    None => None,
                },
                (None, Some(keyed)) => keys::find_on(&mut transaction, db, append, keys::since(retention))
                    .await?
                    .filter(|known| known.fingerprint == keyed.fingerprint)
                    .map(|known| Appended::new(known.outcome, false)),
                (None, None) => None,
            });
        }
        transaction.commit().await.map_err(fault)?;
        Ok(found)
    }

    /// Sees to it that what was found is where an answer promises it to be: whoever lost its connection while it waited for a
    /// standby has committed, and the standby may not have it.
    pub(crate) async fn settle(&mut self, db: &Db) -> Result<(), Fault> {
        let bound = sqlx::query(db.sql.settle.clone());
        db.in_time(1, self.run(db, bound), |silence| silence).await.map(drop).map_err(fault)
    }
}

pub(crate) fn by_copy(appends: &[&Append]) -> bool {
    matches!(appends, [append] if append.events() >= COPY_EVENTS)
}

/// The outcome of an append whose events begin at this position.
async fn recorded_from(conn: &mut PgConnection, db: &Db, first: i64, append: &Append) -> Result<Appended, Fault> {
    let last = first + crate::columns::column(append.events() as u64) - 1;
    let bound = sqlx::query(db.sql.written.clone()).bind(first).bind(last).persistent(false);
    let (recorded_at, versions) = keys::written(&bound.fetch_all(conn).await.map_err(fault)?)?;
    Ok(accepted(first, last, recorded_at, versions))
}

/// How often the end of a lost process is looked for, with waits of 1, 2, 4 ... 256 ms in between: about 5 seconds.
const LOOKS: u32 = 28;

fn first_id(append: &Append) -> Option<Uuid> {
    let first = append.writes.iter().flat_map(|write| &write.events).next()?;
    Some(first.id.as_uuid())
}

/// What the sender of an append is told whose key has an outcome.
pub(crate) fn known(append: &Append, known: Result<Option<Remembered>, Fault>) -> Result<Appended, AppendError> {
    let Some(keyed) = &append.keyed else { return Err(nonsense()) };
    match known.map_err(AppendError::NotDone)? {
        Some(known) if known.fingerprint == keyed.fingerprint => Ok(Appended::new(known.outcome, true)),
        Some(_) => Err(AppendError::KeyReused { key: keyed.key.clone() }),
        None => {
            let what = format!("the outcome under key {} was forgotten at this very moment; send it again", keyed.key);
            Err(AppendError::NotDone(Fault::new(FaultKind::Unavailable, what)))
        }
    }
}

fn nonsense() -> AppendError {
    AppendError::NotDone(Fault::new(FaultKind::Corrupt, "the server's answer makes no sense; look at its log"))
}

/// What the sender of an append is told whose query matched the event at a position.
pub(crate) async fn conflicting(conn: &mut PgConnection, db: &Db, append: &Append, position: i64) -> AppendError {
    let Some(condition) = &append.query_condition else { return nonsense() };
    let bound = sqlx::query(db.sql.event_at.clone()).bind(position).persistent(!db.behind_pooler());
    let told = bound.fetch_one(conn).await.and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    let (tenant, stream, event_type): (String, String, String) = match told {
        Ok(told) => told,
        Err(error) => return AppendError::NotDone(fault(error)),
    };
    let log = factum::LogId::FIRST;
    match stream_of(&tenant, &stream) {
        Ok(stream) => {
            AppendError::QueryConflict { log, after: condition.after.get(log), found: at(position), stream, event_type }
        }
        Err(damaged) => AppendError::NotDone(damaged),
    }
}

/// A stream as two columns hold it.
pub(crate) fn stream_of(tenant: &str, stream: &str) -> Result<StreamId, Fault> {
    let damaged = |error: factum::InputError| Fault::caused(FaultKind::Corrupt, format!("a stream id: {error}"), error);
    let id = StreamId::new(stream).map_err(damaged)?;
    Ok(match tenant_of(tenant).map_err(damaged)? {
        Some(tenant) => id.in_tenant(tenant),
        None => id,
    })
}

/// A fault for one more caller of what failed once.
pub(crate) fn again(error: &sqlx::Error) -> Fault {
    let (kind, what) = explain(error);
    Fault::new(kind, what)
}

pub(crate) fn version(number: i64) -> Result<factum::Version, Fault> {
    version_of(number).ok_or_else(|| Fault::new(FaultKind::Corrupt, format!("{number} is no version")))
}
