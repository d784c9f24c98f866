//! What happens to orders.

use factum::{Append, Condition, Cursor, Event, EventStore, Metadata, RoundTrip, StreamId};
use serde::{Deserialize, Serialize};

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum OrderEvent {
    Placed { customer: String },
    Added { product: String, cents: i64 },
    Cancelled,
}

impl Event for OrderEvent {
    const CATEGORY: &'static str = "order";
}

/// Appends what happened to an order. A real shop would decide on commands.
///
/// # Errors
/// Whatever the store refuses.
pub async fn record(
    store: &dyn EventStore,
    order: &str,
    events: &[OrderEvent],
) -> Result<Cursor, Box<dyn std::error::Error>> {
    let encode = |event| factum::encode(event, Metadata::new(), RoundTrip::Checked);
    let events = events.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
    Ok(store.append(Append::to(StreamId::of("order", order)?, Condition::Any, events)).await?.cursor)
}
