//! Appends within a transaction of the caller's own.

use factum::{Append, AppendError, Appended, Fault, FaultKind};
use sqlx::postgres::PgConnection;

use crate::append::{Answer, answers};
use crate::db::milliseconds;
use crate::error::fault;
use crate::group::Columns;
use crate::judged::Judged;
use crate::keys;
use crate::link::{conflicting, known};
use crate::store::PostgresStore;

impl PostgresStore {
    /// Appends within a transaction of the caller's own, for those who write their own tables too: both are committed, or
    /// neither.
    ///
    /// **The order lock is held from here to the end of the transaction**, and nobody else appends to this store meanwhile. So
    /// append last, and commit at once. A transaction that falls silent for longer than
    /// [`append_in_timeout`](crate::PostgresOptions::append_in_timeout) is ended by the server. Two transactions that append
    /// and lock rows of other tables in different orders can wait for each other; the server then ends one of them with a
    /// deadlock: whoever locks rows first and appends last never gets there.
    ///
    /// What is answered is true once the transaction is committed, and never happened if it is not. Readers find it when they
    /// next poll.
    ///
    /// Where `pool.begin()` may be dropped before it is answered, by a timeout or in a `select!`, spawn it: sqlx 0.9 gives such a
    /// connection back to the pool within the transaction, and whoever gets it next writes what nobody commits.
    ///
    /// ```no_run
    /// # use factum::{Append, Condition, NewEvent, EventType, StreamId};
    /// # async fn pay(
    /// #     pool: sqlx::PgPool, store: &factum_postgres::PostgresStore, paid: NewEvent,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = pool.begin().await?;
    /// sqlx::query("UPDATE invoices SET paid = true WHERE id = $1").bind(17).execute(&mut *transaction).await?;
    /// let append = Append::to(StreamId::new("invoice-17")?, Condition::Exists, vec![paid]);
    /// store.append_in(&mut transaction, append).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`AppendError`]. After a conflict the transaction is as it was, but for the lock; after `NotDone` it can only be rolled
    /// back. A transaction that is not READ COMMITTED is refused: it would not see what others have appended.
    pub async fn append_in(&self, transaction: &mut PgConnection, append: Append) -> Result<Appended, AppendError> {
        self.check_append(&append)?;
        let not_done = |error| AppendError::NotDone(fault(error));
        let persistent = !self.db.behind_pooler();
        let bound = sqlx::query(self.db.sql.bound_silence.clone()).bind(milliseconds(self.append_in_timeout));
        bound.persistent(persistent).execute(&mut *transaction).await.map_err(not_done)?;
        let since = keys::since(self.retention);
        let columns = Columns::of([&append]).map_err(AppendError::NotDone)?;
        let group = columns.bind(self.db.sql.append_group.clone(), since).persistent(persistent);
        let row = group.fetch_one(&mut *transaction).await.map_err(not_done)?;
        let judged = Judged::of(&row).map_err(not_done)?;
        match answers(std::iter::once(&append), &judged).pop() {
            Some(Answer::Done(appended)) => Ok(appended),
            Some(Answer::Refused(error)) => Err(error),
            Some(Answer::Known) => known(&append, keys::find_on(transaction, &self.db, &append, since).await),
            Some(Answer::Matched(position)) => Err(conflicting(transaction, &self.db, &append, position).await),
            None => Err(AppendError::NotDone(Fault::new(FaultKind::Corrupt, "the server answered nothing"))),
        }
    }
}
