//! `sql-projection FILE`: records a few orders, shows who ordered for most, and replays the tables while they serve.

use std::sync::Arc;

use factum_projections::{Projector, ReplayOptions};
use factum_sqlite::SqliteStore;
use sql_projection::{OrderEvent, Revenue, record, top};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: sql-projection FILE")?;
    let store = Arc::new(SqliteStore::open(file)?);
    let projector = Projector::new(store.clone(), store.clone()).with_projected(store.sql_projection(Revenue)?);

    let number = projector.head().await?;
    let mut written = number.clone();
    for (n, (customer, cents)) in [("Jana", 12_900), ("Petr", 4_500), ("Jana", 990)].into_iter().enumerate() {
        let placed = OrderEvent::Placed { customer: customer.to_owned() };
        let added = OrderEvent::Added { product: "book".to_owned(), cents };
        written = record(&*store, &format!("{number}.{n}"), &[placed, added]).await?;
    }

    // The tables show what was appended, as soon as the projection has come so far.
    projector.wait_for("revenue", &written).await?;
    for customer in top(&store, 10).await? {
        println!("{:<8} {:>8}.{:02}", customer.customer, customer.cents / 100, customer.cents % 100);
    }

    // Whoever queries meanwhile sees the old tables until the new ones take their names.
    let report = projector.replay("revenue", ReplayOptions::new(), |_| {}).await?;
    println!("generation {} of {} events is live", report.generation, report.events);
    Ok(())
}
