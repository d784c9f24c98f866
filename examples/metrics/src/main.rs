//! `metrics-example FILE [ADDRESS]`: measures temperatures, keeps their mean, and tells Prometheus how it goes.
//!
//! Then: `curl http://127.0.0.1:9184/metrics`. The metrics are listed in `docs/metrics.md`, and rules that alert on them
//! stand in `docs/alerts.yml`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use factum::Repository;
use factum_projections::Projector;
use factum_sqlite::SqliteStore;
use metrics_example::{Room, Warmth};
use metrics_exporter_prometheus::PrometheusBuilder;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: metrics-example FILE [ADDRESS]")?;
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:9184").parse()?;

    // Before the first store is opened: what was counted before nobody has heard.
    PrometheusBuilder::new().with_http_listener(address).install()?;

    let store = Arc::new(SqliteStore::open(file)?);
    let projector = Projector::new(store.clone(), store.clone()).with(Warmth);
    let rooms = Repository::<Room>::new(store);
    let sensors = tokio::spawn(async move {
        for n in 0i64.. {
            if let Err(error) = rooms.execute(&format!("{}", n % 3), 180 + n % 40).await {
                eprintln!("not recorded: {error}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });

    println!("serving http://{address}/metrics; end with Ctrl-C");
    let interrupted = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    for done in projector.run(interrupted).await? {
        println!("{}: {:?}", done.projection, done.result?);
    }
    sensors.abort();
    Ok(())
}
