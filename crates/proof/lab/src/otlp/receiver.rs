//! An OTLP receiver that confirms what it gets: the far end of benchmarks and tests.

use crate::otlp::client::{Protocol, path};
use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::Signal;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) signal: Signal,
    pub(crate) key: Option<String>,
    /// The export request, as the content encoding left it.
    pub(crate) body: Bytes,
    /// Whether it was confirmed.
    pub(crate) confirmed: bool,
}

/// Counts of what came in.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    /// How many of the next requests are answered with "not now".
    pub(crate) refuse_next: u64,
    /// The requests themselves, when they are to be kept.
    pub(crate) kept: Option<Vec<Received>>,
}

/// A running receiver; it ends when it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) inbox: Arc<Mutex<Inbox>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// Starts one on a free loopback port.
    pub(crate) async fn start(protocol: Protocol, inbox: Inbox) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot open a port for the receiver")?;
        let address = listener.local_addr()?;
        let inbox = Arc::new(Mutex::new(inbox));
        let shared = Arc::clone(&inbox);
        let task = tokio::spawn(async move {
            loop {
                // A connection that could not be accepted is the client's to try again.
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(protocol, stream, Arc::clone(&shared)));
                }
            }
        });
        Ok(Self { address, inbox, task })
    }
}

async fn serve(protocol: Protocol, stream: TcpStream, inbox: Arc<Mutex<Inbox>>) {
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(protocol, request, Arc::clone(&inbox)));
    // How a connection ends is the client's affair.
    match protocol {
        Protocol::Grpc => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await),
        Protocol::Http => drop(http1::Builder::new().serve_connection(io, service).await),
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    protocol: Protocol,
    request: Request<Incoming>,
    inbox: Arc<Mutex<Inbox>>,
) -> Result<Response<Body>, hyper::Error> {
    let asked = request.uri().path().to_owned();
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let body = request.into_body().collect().await?.to_bytes();
    // In front of a gRPC message stand a flag and its length.
    let skipped = if protocol == Protocol::Grpc { 5 } else { 0 };
    let Some(signal) = Signal::ALL.into_iter().find(|signal| path(protocol, *signal) == asked) else {
        return Ok(plain(StatusCode::NOT_FOUND));
    };
    let confirmed = {
        let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = inbox.refuse_next > 0;
        inbox.refuse_next -= u64::from(refused);
        inbox.requests += 1;
        inbox.bytes += body.len() as u64;
        if let Some(kept) = &mut inbox.kept {
            let body = body.slice(skipped.min(body.len())..);
            kept.push(Received { signal, key, body, confirmed: !refused });
        }
        !refused
    };
    Ok(match (protocol, confirmed) {
        (Protocol::Grpc, true) => grpc(0),
        (Protocol::Grpc, false) => grpc(14),
        (Protocol::Http, true) => plain(StatusCode::OK),
        (Protocol::Http, false) => plain(StatusCode::SERVICE_UNAVAILABLE),
    })
}

fn plain(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    response
}

/// An empty message, which is a whole export response, and its trailers.
fn grpc(status: u16) -> Response<Body> {
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from(status))]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(ready(Some(Ok(trailers)))).boxed();
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
