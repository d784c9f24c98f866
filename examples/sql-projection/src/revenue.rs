//! Orders and their lines as tables.

use factum::Recorded;
use factum_sqlite::{SqlError, SqlProjection, SqlTransaction, SqliteStore};

use crate::orders::OrderEvent;

/// Orders that were not cancelled, and their lines.
#[derive(Debug)]
pub struct Revenue;

impl SqlProjection for Revenue {
    const NAME: &'static str = "revenue";
    const TABLES: &'static [&'static str] = &["orders", "lines"];
    const SCHEMA: &'static str = "
        CREATE TABLE {orders} (id TEXT PRIMARY KEY, customer TEXT NOT NULL) STRICT;
        CREATE TABLE {lines} (
          order_id TEXT NOT NULL REFERENCES {orders} ON DELETE CASCADE,
          position INTEGER NOT NULL,
          product TEXT NOT NULL,
          cents INTEGER NOT NULL,
          PRIMARY KEY (order_id, position)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX {lines_by_product} ON {lines} (product);";
    type Event = OrderEvent;

    fn apply(&self, sql: &SqlTransaction<'_>, events: &[Recorded<OrderEvent>]) -> Result<(), SqlError> {
        for event in events {
            let order = event.stream.id();
            let position = event.position.as_i64();
            match &event.data {
                OrderEvent::Placed { customer } => {
                    sql.execute("INSERT INTO {orders} VALUES (?1, ?2)", (order, customer))?;
                }
                OrderEvent::Added { product, cents } => {
                    sql.execute("INSERT INTO {lines} VALUES (?1, ?2, ?3, ?4)", (order, position, product, cents))?;
                }
                OrderEvent::Cancelled => {
                    sql.execute("DELETE FROM {orders} WHERE id = ?1", [order])?;
                }
            }
        }
        Ok(())
    }
}

/// A customer and what they have ordered for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// The customer.
    pub customer: String,
    /// The sum of their orders, in cents.
    pub cents: i64,
}

/// The customers who have ordered for most.
///
/// # Errors
/// [`SqlError`].
pub async fn top(store: &SqliteStore, customers: usize) -> Result<Vec<Top>, SqlError> {
    let query = "SELECT customer, sum(cents) FROM orders JOIN lines ON order_id = id
                 GROUP BY customer ORDER BY 2 DESC, 1 LIMIT ?1";
    let customers = i64::try_from(customers).unwrap_or(i64::MAX);
    store
        .query(move |sql| sql.query(query, [customers], |row| Ok(Top { customer: row.get(0)?, cents: row.get(1)? })))
        .await
}
