//! What a worker answers to whoever asks for its health: HTTP/1.0, two paths, nothing else.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use factum_projections::Projector;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::report::one_line;

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker that has not looked at its leases for so long hangs.
const TURNS_WITHIN: Duration = Duration::from_secs(15);

/// How many are answered at the same time. Others wait.
const AT_ONCE: usize = 16;

/// The first line of a question is not longer.
const LONGEST: u64 = 4_096;

/// Listens, and does not answer yet.
pub(crate) struct Health {
    listener: TcpListener,
    address: SocketAddr,
    asked: Arc<Asked>,
}

/// What is asked of the worker.
struct Asked {
    projector: Projector,
    names: Vec<String>,
    lag: u64,
}

impl Health {
    pub(crate) async fn bind(
        address: SocketAddr,
        projector: &Projector,
        names: &[String],
        lag: u64,
    ) -> Result<Self, io::Error> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Asked { projector: projector.clone(), names: names.to_vec(), lag });
        Ok(Self { listener, address, asked })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers. Never ends.
    pub(crate) async fn serve(self) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let place = places.clone().acquire_owned().await;
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors, most likely; it may pass.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let asked = self.asked.clone();
            tokio::spawn(async move {
                // Whoever asked has gone away, or takes too long: it asks again.
                let _ = tokio::time::timeout(PATIENCE, answer(stream, &asked)).await;
                drop(place);
            });
        }
    }
}

async fn answer(mut stream: TcpStream, asked: &Asked) -> io::Result<()> {
    let mut question = Vec::new();
    let mut chunk = [0; 512];
    // To the end of its head: a connection that is closed with something unread loses the answer.
    while !question.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut chunk).await?;
        question.extend_from_slice(&chunk[..read]);
        if read == 0 || question.len() as u64 > LONGEST {
            break;
        }
    }
    let line = question.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET" | "HEAD"), Some("/live")) => asked.live().await,
        (Some("GET" | "HEAD"), Some("/ready")) => asked.ready().await,
        (Some("GET" | "HEAD"), Some(_)) => ("404 Not Found", json!({ "error": "ask for /live or /ready" })),
        _ => ("400 Bad Request", json!({ "error": "ask with GET" })),
    };
    let body = format!("{body}\n");
    let sent = if line.starts_with("HEAD ") { "" } else { &body };
    let head = format!(
        "HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{sent}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

const GOOD: &str = "200 OK";
const BAD: &str = "503 Service Unavailable";

impl Asked {
    async fn live(&self) -> (&'static str, serde_json::Value) {
        let turned = self.projector.turned();
        let live = turned.is_some_and(|turned| turned < TURNS_WITHIN);
        let seconds = turned.map(|turned| turned.as_secs_f64());
        (if live { GOOD } else { BAD }, json!({ "live": live, "turned_seconds_ago": seconds }))
    }

    async fn ready(&self) -> (&'static str, serde_json::Value) {
        let mut health = match self.projector.health().await {
            Ok(health) => health,
            Err(error) => return (BAD, json!({ "ready": false, "not_ready": [one_line(&error)] })),
        };
        health.projections.retain(|projection| self.names.iter().any(|name| *name == projection.name.as_str()));
        let not_ready = health.not_ready(self.lag);
        let ready = not_ready.is_empty();
        let projections: Vec<_> = health
            .projections
            .iter()
            .map(|projection| {
                json!({
                    "name": projection.name, "version": projection.version, "holder": projection.holder,
                    "here": projection.here, "lag": projection.lag, "trouble": projection.trouble,
                })
            })
            .collect();
        let body = json!({
            "ready": ready, "not_ready": not_ready, "holder": health.holder, "projections": projections,
        });
        (if ready { GOOD } else { BAD }, body)
    }
}
