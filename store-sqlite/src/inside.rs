//! What whoever writes holds while a transaction is open, and what of it may be trusted in the next.

use chrono::Utc;
use rusqlite::{CachedStatement, Connection};

use crate::gate::Gate;

/// What is there while a transaction is open.
pub(crate) struct Inside<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) hot: Hot<'c>,
    pub(crate) known: &'c mut Known,
    /// When this transaction began, in microseconds.
    pub(crate) now: i64,
    /// A row that will be there if and only if the transaction was committed.
    pub(crate) proof: Option<Proof>,
    /// How many events this transaction records.
    pub(crate) events: u64,
}

/// What is known of the file from one transaction to the next.
#[derive(Debug)]
pub(crate) struct Known {
    /// The last event.
    pub(crate) tail: Tail,
    /// Whether there are rows of a dropped generation to be deleted.
    pub(crate) to_sweep: bool,
    /// What SQL of users may do on the connection.
    pub(crate) gate: Gate,
    data_version: i64,
}

impl Known {
    /// What is known of a connection that was just made: nothing.
    pub(crate) fn new(gate: Gate) -> Self {
        Self { tail: Tail::default(), to_sweep: true, gate, data_version: -1 }
    }

    /// Rolls back what is still open, and trusts nothing that was cached.
    pub(crate) fn abandon(&mut self, conn: &Connection) {
        self.data_version = -1;
        if !conn.is_autocommit()
            && let Err(error) = conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
    }
}

/// The last event of the log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) position: i64,
    pub(crate) recorded_at: i64,
}

/// What tells whether a transaction was committed.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    Event { position: i64, id: [u8; 16] },
    Key { tenant: String, key: String, fingerprint: [u8; 16] },
}

/// The statements of an append. Nothing of them stays with a thread: they go back to the connection after each transaction.
pub(crate) struct Hot<'c> {
    pub(crate) insert_event: CachedStatement<'c>,
    pub(crate) insert_tag: CachedStatement<'c>,
    pub(crate) stream_version: CachedStatement<'c>,
    pub(crate) find_key: CachedStatement<'c>,
    pub(crate) insert_key: CachedStatement<'c>,
    begin: CachedStatement<'c>,
    pub(crate) commit: CachedStatement<'c>,
    data_version: CachedStatement<'c>,
}

impl<'c> Hot<'c> {
    pub(crate) fn prepare(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert_event: conn.prepare_cached(include_str!("sql/insert_event.sql"))?,
            insert_tag: conn.prepare_cached(include_str!("sql/insert_tag.sql"))?,
            stream_version: conn.prepare_cached(include_str!("sql/stream_version.sql"))?,
            find_key: conn.prepare_cached(include_str!("sql/find_key.sql"))?,
            insert_key: conn.prepare_cached(include_str!("sql/insert_key.sql"))?,
            begin: conn.prepare_cached("BEGIN IMMEDIATE")?,
            commit: conn.prepare_cached("COMMIT")?,
            data_version: conn.prepare_cached("PRAGMA data_version")?,
        })
    }
}

impl<'c> Inside<'c> {
    pub(crate) fn new(conn: &'c Connection, known: &'c mut Known) -> rusqlite::Result<Self> {
        let hot = Hot::prepare(conn)?;
        Ok(Self { conn, hot, known, now: 0, proof: None, events: 0 })
    }

    /// Takes the lock that orders all writers, of this process and of others, and looks whether others have written.
    pub(crate) fn begin(&mut self) -> rusqlite::Result<()> {
        self.hot.begin.raw_execute()?;
        self.now = Utc::now().timestamp_micros();
        let data_version = self.hot.data_version.query_row([], |row| row.get(0))?;
        if data_version != self.known.data_version {
            self.read_tail()?;
            self.known.data_version = data_version;
        }
        Ok(())
    }

    fn read_tail(&mut self) -> rusqlite::Result<()> {
        let mut head = self.conn.prepare_cached(include_str!("sql/head.sql"))?;
        let mut rows = head.query([])?;
        self.known.tail = match rows.next()? {
            Some(row) => Tail { position: row.get(0)?, recorded_at: row.get(1)? },
            None => Tail::default(),
        };
        Ok(())
    }

    /// Whether a transaction whose commit reported an error was committed all the same.
    pub(crate) fn happened(&self) -> rusqlite::Result<bool> {
        let found = match &self.proof {
            Some(Proof::Event { position, id }) => {
                let mut at = self.conn.prepare_cached(include_str!("sql/is_event_at.sql"))?;
                at.exists(rusqlite::params![position, id])?
            }
            Some(Proof::Key { tenant, key, fingerprint }) => {
                let mut find = self.conn.prepare_cached(include_str!("sql/is_key.sql"))?;
                find.exists(rusqlite::params![key, tenant, fingerprint])?
            }
            None => false,
        };
        Ok(found)
    }
}
