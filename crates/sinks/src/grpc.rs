//! OTLP over gRPC, by hand on HTTP/2 (OTLP 1.11, "OTLP/gRPC").

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::Signal;

use crate::http1::connect;
use crate::{Access, SinkError};

const WINDOW: u32 = 64 << 10;
const MAX_ANSWER: usize = 64 << 10;
const PREFIX: usize = 5;

#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// One HTTP/2 connection to one server, opened when needed.
pub(crate) struct GrpcClient {
    access: Access,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl GrpcClient {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, sender: None }
    }

    /// Calls a signal's `Export` and gives the response message's bytes.
    pub(crate) async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<Vec<u8>, SinkError> {
        let timeout = self.access.timeout;
        let sent = tokio::time::timeout(timeout, self.try_export(signal, request)).await;
        let answer = sent.unwrap_or_else(|_| {
            Err(SinkError::retry(format!("no answer from {} in {timeout:?}", self.access.endpoint.authority())))
        });
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, SinkError> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = connect(&self.access, b"h2").await?;
            let (sender, connection) = http2::Builder::new(LocalExecutor)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| SinkError::retry(error.to_string()))?;
            tokio::task::spawn_local(async move {
                // Its end shows in the sender.
                let _closed = connection.await;
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| SinkError::retry("not connected"))
    }

    async fn try_export(&mut self, signal: Signal, message: &[u8]) -> Result<Vec<u8>, SinkError> {
        let method = match signal {
            Signal::Traces => "trace.v1.TraceService",
            Signal::Logs => "logs.v1.LogsService",
            Signal::Metrics => "metrics.v1.MetricsService",
        };
        let endpoint = &self.access.endpoint;
        let uri = Uri::builder()
            .scheme(if endpoint.tls { "https" } else { "http" })
            .authority(endpoint.authority())
            .path_and_query(format!("{}/opentelemetry.proto.collector.{method}/Export", endpoint.base))
            .build()
            .map_err(|error| SinkError::Blocked { why: format!("the address does not fit: {error}") })?;
        let mut body = BytesMut::with_capacity(PREFIX + message.len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        body.put_slice(message);
        let mut request =
            Request::post(uri).header(header::CONTENT_TYPE, "application/grpc").header(header::TE, "trailers");
        if let Some(token) = &self.access.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .body(Full::new(body.freeze()))
            .map_err(|error| SinkError::Blocked { why: format!("the request cannot be made: {error}") })?;
        let broken = |error: hyper::Error| SinkError::retry(format!("the connection broke: {error}"));
        let sender = self.sender().await?;
        sender.ready().await.map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let (parts, mut incoming) = response.into_parts();
        if !parts.status.is_success() {
            return Err(SinkError::Blocked { why: format!("the server answers {}; is this gRPC?", parts.status) });
        }
        let (mut body, mut trailers) = (Vec::new(), parts.headers);
        while let Some(frame) = incoming.frame().await {
            match frame.map_err(broken)?.into_data() {
                Ok(data) if body.len() + data.len() > MAX_ANSWER => {
                    return Err(SinkError::retry("the answer is longer than 64 KiB; is this the right server?"));
                }
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        outcome(&trailers)?;
        Ok(body.split_off(PREFIX.min(body.len())))
    }
}

/// What the status in the trailers means for the data (OTLP 1.11, "Failures").
fn outcome(trailers: &HeaderMap) -> Result<(), SinkError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let code = text("grpc-status").parse::<u32>().unwrap_or(2);
    if code == 0 {
        return Ok(());
    }
    let why = format!("the server answers gRPC status {code}: {}", text("grpc-message"));
    // RetryInfo stands in the details; that it is there is what matters here, backoff does the rest.
    let has_details = !text("grpc-status-details-bin").is_empty();
    Err(match code {
        1 | 4 | 10 | 11 | 14 | 15 => SinkError::retry(why),
        8 if has_details => SinkError::Retry { why, after: Some(Duration::from_secs(1)) },
        7 | 16 => SinkError::Blocked { why: format!("{why}; check the token") },
        12 => SinkError::Blocked { why: format!("{why}; check the address and protocol") },
        _ => SinkError::Rejected { why },
    })
}
