//! One connection to an OTLP receiver for one signal.

use crate::otlp::request::rejected;
use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::Signal;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// How long one request may take, as in the SDKs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The two ways to carry OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// OTLP/gRPC.
    #[value(name = "grpc")]
    Grpc,
    /// OTLP/HTTP with binary protobuf.
    #[value(name = "http/protobuf")]
    Http,
}

/// Where the receiver listens; it may come back at another address.
pub(crate) type Target = watch::Receiver<SocketAddr>;

/// What became of one attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Taken, but for this many records, for the reason in the text.
    Taken(u64, String),
    /// To be sent again, not before this time when the receiver named one.
    Later(Option<Duration>, String),
    /// Nothing was sent: there is no connection.
    Unreachable(String),
    /// Sent, and no answer came: it may have been taken or not.
    Lost(String),
    /// Never to be sent again.
    Refused(String),
}

impl Answer {
    /// The wait that the receiver named, and what it or the connection said.
    pub(crate) fn later(self) -> (Option<Duration>, String) {
        match self {
            Answer::Later(wait, why) => (wait, why),
            Answer::Taken(_, why) | Answer::Refused(why) | Answer::Unreachable(why) | Answer::Lost(why) => (None, why),
        }
    }
}

enum Connection {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(http1::SendRequest<Full<Bytes>>),
}

/// A client for one signal; it connects when there is something to send.
pub(crate) struct Client {
    protocol: Protocol,
    signal: Signal,
    target: Target,
    open: Option<(SocketAddr, Connection)>,
}

impl Client {
    pub(crate) fn new(protocol: Protocol, signal: Signal, target: Target) -> Self {
        Self { protocol, signal, target, open: None }
    }

    /// Sends one encoded request, under its idempotency key where it has one.
    pub(crate) async fn send(&mut self, body: &Bytes, key: Option<&str>) -> Answer {
        let answer = match timeout(REQUEST_TIMEOUT, self.ready()).await {
            Ok(Ok(address)) => match timeout(REQUEST_TIMEOUT, self.exchange(address, body, key)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => Answer::Lost(format!("{error:#}")),
                Err(_) => Answer::Lost(format!("no answer within {} s", REQUEST_TIMEOUT.as_secs())),
            },
            Ok(Err(error)) => Answer::Unreachable(format!("{error:#}")),
            Err(_) => Answer::Unreachable(format!("no connection within {} s", REQUEST_TIMEOUT.as_secs())),
        };
        if matches!(answer, Answer::Unreachable(_) | Answer::Lost(_)) {
            self.open = None;
        }
        answer
    }

    /// Connects where there is no connection to where the receiver is now.
    async fn ready(&mut self) -> Result<SocketAddr> {
        let address = *self.target.borrow();
        if self.open.as_ref().is_none_or(|(connected, _)| *connected != address) {
            self.open = Some((address, connect(self.protocol, address).await?));
        }
        match &mut self.open {
            Some((_, Connection::Grpc(sender))) => sender.ready().await.context("the connection was closed")?,
            Some((_, Connection::Http(sender))) => sender.ready().await.context("the connection was closed")?,
            None => bail!("not connected"),
        }
        Ok(address)
    }

    async fn exchange(&mut self, address: SocketAddr, body: &Bytes, key: Option<&str>) -> Result<Answer> {
        let Some((_, connection)) = &mut self.open else { bail!("not connected") };
        match connection {
            Connection::Grpc(sender) => {
                let answer = sender.send_request(grpc_request(self.signal, address, body, key)?).await?;
                read_grpc(self.signal, answer).await
            }
            Connection::Http(sender) => {
                let answer = sender.send_request(http_request(self.signal, address, body, key)?).await?;
                read_http(self.signal, answer).await
            }
        }
    }
}

/// The path that a signal's export requests go to.
pub(crate) fn path(protocol: Protocol, signal: Signal) -> &'static str {
    match (protocol, signal) {
        (Protocol::Grpc, Signal::Traces) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        (Protocol::Grpc, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        (Protocol::Grpc, Signal::Metrics) => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        (Protocol::Http, Signal::Traces) => "/v1/traces",
        (Protocol::Http, Signal::Logs) => "/v1/logs",
        (Protocol::Http, Signal::Metrics) => "/v1/metrics",
    }
}

async fn connect(protocol: Protocol, address: SocketAddr) -> Result<Connection> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let io = TokioIo::new(stream);
    // The connection's task ends when the sender is dropped or the other side closes; the sender then says so.
    Ok(match protocol {
        Protocol::Grpc => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Connection::Grpc(sender)
        }
        Protocol::Http => {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Connection::Http(sender)
        }
    })
}

fn grpc_request(signal: Signal, address: SocketAddr, body: &Bytes, key: Option<&str>) -> Result<Request<Full<Bytes>>> {
    let mut message = BytesMut::with_capacity(5 + body.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(body.len()).context("the request is longer than gRPC can say")?);
    message.extend_from_slice(body);
    let request = Request::post(format!("http://{address}{}", path(Protocol::Grpc, signal)))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers");
    Ok(with_key(request, key).body(Full::new(message.freeze()))?)
}

fn http_request(signal: Signal, address: SocketAddr, body: &Bytes, key: Option<&str>) -> Result<Request<Full<Bytes>>> {
    let request = Request::post(path(Protocol::Http, signal))
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, "application/x-protobuf");
    Ok(with_key(request, key).body(Full::new(body.clone()))?)
}

fn with_key(request: http::request::Builder, key: Option<&str>) -> http::request::Builder {
    match key {
        Some(key) => request.header("idempotency-key", key),
        None => request,
    }
}

/// gRPC status codes that OTLP says are to be sent again.
const RETRYABLE: [u32; 7] = [1, 4, 10, 11, 13, 14, 15];
/// Retryable only when the receiver adds RetryInfo.
const RESOURCE_EXHAUSTED: u32 = 8;

async fn read_grpc(signal: Signal, answer: http::Response<Incoming>) -> Result<Answer> {
    let (head, body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Ok(Answer::Refused(format!("HTTP status {} instead of a gRPC answer", head.status)));
    }
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    let field = |name: &str| text_of(&trailers, name).or_else(|| text_of(&head.headers, name));
    let Some(code) = field("grpc-status").and_then(|code| code.parse().ok()) else {
        bail!("a gRPC answer without grpc-status");
    };
    let message = field("grpc-message").unwrap_or_default();
    match code {
        0 => {
            let body = collected.to_bytes();
            let inside = if body.len() > 5 { body.slice(5..) } else { Bytes::new() };
            let (count, message) = rejected(signal, inside)?;
            Ok(Answer::Taken(count, message))
        }
        code if RETRYABLE.contains(&code) => Ok(Answer::Later(None, format!("gRPC status {code}: {message}"))),
        RESOURCE_EXHAUSTED if field("grpc-status-details-bin").is_some() => {
            Ok(Answer::Later(None, format!("gRPC status {code}: {message}")))
        }
        code => Ok(Answer::Refused(format!("gRPC status {code}: {message}"))),
    }
}

async fn read_http(signal: Signal, answer: http::Response<Incoming>) -> Result<Answer> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await?.to_bytes();
    if head.status == StatusCode::OK {
        let (count, message) = rejected(signal, body)?;
        return Ok(Answer::Taken(count, message));
    }
    let says = format!("HTTP status {}: {}", head.status, String::from_utf8_lossy(&body));
    match head.status.as_u16() {
        429 | 502 | 503 | 504 => {
            let wait = text_of(&head.headers, "retry-after").and_then(|seconds| seconds.parse().ok());
            Ok(Answer::Later(wait.map(Duration::from_secs), says))
        }
        _ => Ok(Answer::Refused(says)),
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
