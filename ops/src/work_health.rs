//! What a worker answers to whoever asks for its health: HTTP/1, two paths, nothing else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use factum_projections::Projector;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::report::one_line;

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker that has not looked at its leases for so long hangs.
const TURNS_WITHIN: Duration = Duration::from_secs(15);

/// How many are answered at the same time. Others wait.
const AT_ONCE: usize = 16;

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
                answer(stream, asked).await;
                drop(place);
            });
        }
    }
}

async fn answer(stream: TcpStream, asked: Arc<Asked>) {
    let service = service_fn(move |question: Request<Incoming>| {
        let asked = asked.clone();
        async move { Ok::<_, Infallible>(asked.answer(&question).await) }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // Whoever asked has gone away, or takes too long: it asks again.
    let _ = tokio::time::timeout(PATIENCE, connection).await;
}

const GOOD: StatusCode = StatusCode::OK;
const BAD: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

impl Asked {
    async fn answer(&self, question: &Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (question.method(), question.uri().path()) {
            (&Method::GET | &Method::HEAD, "/live") => self.live().await,
            (&Method::GET | &Method::HEAD, "/ready") => self.ready().await,
            (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, json!({ "error": "ask for /live or /ready" })),
            _ => (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": "ask with GET" })),
        };
        let mut response = Response::new(Full::new(format!("{body}\n").into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    async fn live(&self) -> (StatusCode, serde_json::Value) {
        let turned = self.projector.turned();
        let live = turned.is_some_and(|turned| turned < TURNS_WITHIN);
        let seconds = turned.map(|turned| turned.as_secs_f64());
        (if live { GOOD } else { BAD }, json!({ "live": live, "turned_seconds_ago": seconds }))
    }

    async fn ready(&self) -> (StatusCode, serde_json::Value) {
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
