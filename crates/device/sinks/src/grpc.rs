//! OTLP over gRPC, by hand on HTTP/2 (OTLP 1.11, "OTLP/gRPC").

use std::io::Read;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use drain::{RetryAfter, SendError, words};
use flate2::read::GzDecoder;
use http::{HeaderMap, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::otlp::messages;
use model::proto::{Reader, Value};
use model::{Refusal, Signal};

use crate::answer::{Answer, failure};
use crate::compressor::Compressor;
use crate::connect::{broken, connect};
use client::Access;
use client::USER_AGENT;
use client::text::percent_decoded;

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
    /// Whether the connection answered a request.
    answered: bool,
    compressor: Option<Compressor>,
}

impl GrpcClient {
    /// Messages are compressed, where there is a compressor.
    pub(crate) fn new(access: Access, compressor: Option<Compressor>) -> Self {
        Self { access, sender: None, answered: false, compressor }
    }

    /// Gives back what only sending needs.
    pub(crate) fn rest(&mut self) {
        if let Some(compressor) = &mut self.compressor {
            compressor.release();
        }
    }

    /// Calls a signal's `Export` and gives the response message's bytes.
    pub(crate) async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<Vec<u8>, SendError> {
        let timeout = self.access.timeout;
        let sent = tokio::time::timeout(timeout, self.try_export(signal, request)).await;
        let mut answer = sent.unwrap_or_else(|_| Err(crate::connect::no_answer(&self.access)));
        if let Err(error) = &mut answer {
            self.sender = None;
            let is_silent = error.reason() == Refusal::CutOff && !self.answered;
            if let (SendError::Retry { why, .. }, true) = (error, is_silent && self.access.endpoint.tls) {
                // HTTP/2 does not say what TLS said.
                why.push_str("; a server that refuses the client's certificate ends it so: check cert_file, key_file");
            }
        }
        answer
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, SendError> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = connect(&self.access, b"h2").await?;
            let (sender, connection) = http2::Builder::new(LocalExecutor)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| SendError::retry(Refusal::Unreachable, error.to_string()))?;
            tokio::task::spawn_local(async move {
                // Its end shows in the sender.
                let _closed = connection.await;
            });
            (self.sender, self.answered) = (Some(sender), false);
        }
        self.sender.as_mut().ok_or_else(|| SendError::retry(Refusal::Unreachable, "not connected"))
    }

    async fn try_export(&mut self, signal: Signal, message: &[u8]) -> Result<Vec<u8>, SendError> {
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
            .map_err(|error| SendError::blocked(Refusal::Unreachable, format!("the address does not fit: {error}")))?;
        let coding = self.compressor.as_ref().map(Compressor::coding);
        let compressed = self.compressor.as_mut().and_then(|one| one.compressed(message));
        let content = compressed.as_deref().unwrap_or(message);
        let mut body = BytesMut::with_capacity(PREFIX + content.len());
        body.put_u8(u8::from(compressed.is_some()));
        body.put_u32(u32::try_from(content.len()).unwrap_or(u32::MAX));
        body.put_slice(content);
        let mut request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, USER_AGENT);
        if let Some(coding) = coding.filter(|_| compressed.is_some()) {
            request = request.header("grpc-encoding", coding.name());
        }
        drop(compressed);
        self.access.credentials.look();
        for (name, value) in self.access.credentials.headers() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.freeze())).map_err(|error| {
            SendError::blocked(Refusal::Unreachable, format!("the request cannot be made: {error}"))
        })?;
        let broken = |error: hyper::Error| broken(&error);
        let sender = self.sender().await?;
        sender.ready().await.map_err(broken)?;
        let response = sender.send_request(request).await.map_err(broken)?;
        self.answered = true;
        let (parts, mut incoming) = response.into_parts();
        if !parts.status.is_success() {
            let answer = Answer { status: parts.status, headers: parts.headers, body: Vec::new() };
            return Err(failure(&answer, false));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        if !kind.to_ascii_lowercase().starts_with("application/grpc") {
            let why = format!(
                "the server answers {} with '{}', which is no gRPC; nothing counts as delivered: is a proxy in between, or is this \
                 another server?",
                parts.status,
                words(kind.as_bytes())
            );
            return Err(SendError::blocked(Refusal::NotAnExportResponse, why));
        }
        let (mut body, mut trailers) = (Vec::new(), parts.headers);
        while let Some(frame) = incoming.frame().await {
            match frame.map_err(broken)?.into_data() {
                Ok(data) if body.len() + data.len() > MAX_ANSWER => {
                    let why = "the answer is longer than 64 KiB; is this the right server?";
                    return Err(SendError::retry(Refusal::NotAnExportResponse, why));
                }
                Ok(data) => body.extend_from_slice(&data),
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        outcome(&trailers)?;
        single_message(&body).ok_or_else(|| {
            let why = "the server says that all is well, and answers with something else than one message";
            SendError::retry(Refusal::NotAnExportResponse, why)
        })
    }
}

/// The one message of an answer. None at all stands for an empty one. Servers written in Go answer a compressed request compressed, whatever
/// the client says that it takes.
fn single_message(body: &[u8]) -> Option<Vec<u8>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let (prefix, rest) = body.split_first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    match prefix[0] {
        _ if rest.len() != length => None,
        0 => Some(rest.to_vec()),
        1 => {
            let mut message = Vec::new();
            let read = GzDecoder::new(rest).take(MAX_ANSWER as u64 + 1).read_to_end(&mut message).ok()?;
            (read <= MAX_ANSWER).then_some(message)
        }
        _ => None,
    }
}

/// What the status in the trailers means for the data (OTLP 1.11, "Failures").
fn outcome(trailers: &HeaderMap) -> Result<(), SendError> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.trim().parse::<u32>().ok()) else {
        // Whoever answered did not get to its end.
        return Err(SendError::retry(Refusal::NotAnExportResponse, "the answer ends without a gRPC status"));
    };
    if code == 0 {
        return Ok(());
    }
    let said = words(&percent_decoded(text("grpc-message").unwrap_or_default()));
    let why = format!("the server answers gRPC status {code}: {said}");
    let after = text("grpc-status-details-bin").and_then(|details| retry_info(&base64(details)?));
    let retry =
        |reason, doubtful| SendError::Retry { reason, why: why.clone(), after: after.map(RetryAfter::In), doubtful };
    Err(match code {
        1 | 4 | 10 | 11 | 14 | 15 => {
            retry(if after.is_some() { Refusal::Throttled } else { Refusal::FailedStatus }, false)
        }
        8 if after.is_some() => retry(Refusal::Throttled, false),
        // Without a time to come again it may be the size of this request, or a quota.
        8 => retry(Refusal::TooLargeForDestination, true),
        2 | 13 => retry(Refusal::FailedStatus, true),
        7 | 16 => SendError::blocked(Refusal::DestinationUnauthorized, format!("{why}; check the token")),
        5 | 12 => SendError::blocked(
            Refusal::SignalNotTaken,
            format!(
                "{why}; check the address and the protocol; a server that does not take this signal cannot be a destination"
            ),
        ),
        _ => SendError::Rejected { reason: Refusal::RejectedStatus, why },
    })
}

/// The delay of a `google.rpc.RetryInfo` among the details of a `google.rpc.Status`.
fn retry_info(status: &[u8]) -> Option<Duration> {
    for detail in messages(status, 3) {
        let detail = detail.ok()?;
        let is_retry = messages(detail, 1).next()?.ok()?.ends_with(b"google.rpc.RetryInfo");
        if !is_retry {
            continue;
        }
        let info = messages(detail, 2).next()?.ok()?;
        let delay = messages(info, 1).next().and_then(Result::ok).unwrap_or_default();
        let (mut seconds, mut nanos, mut reader) = (0, 0, Reader::new(delay));
        while let Some((number, value)) = reader.next_field().ok()? {
            match (number, value) {
                (1, Value::Varint(value)) => seconds = i64::try_from(value).unwrap_or(0),
                (2, Value::Varint(value)) => nanos = value.min(999_999_999),
                _ => {}
            }
        }
        return Some(Duration::new(u64::try_from(seconds).unwrap_or(0), nanos as u32));
    }
    None
}

/// Standard base64, with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for byte in text.trim().trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn trailers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect()
    }

    /// Scenario: every status code, and an answer without one. Guarantees: as the specification has it, but that nothing is rejected
    /// because the server failed, or did not get to its end (P3).
    #[test]
    fn d2_what_each_grpc_status_means() {
        assert_eq!(outcome(&trailers(&[("grpc-status", "0")])), Ok(()));
        for code in 1..=17 {
            let error = outcome(&trailers(&[("grpc-status", &code.to_string())])).unwrap_err();
            match error {
                SendError::Retry { doubtful, .. } => {
                    assert!([1, 2, 4, 8, 10, 11, 13, 14, 15].contains(&code), "{code}");
                    assert_eq!(doubtful, [2, 8, 13].contains(&code), "{code}");
                }
                SendError::Blocked { .. } => assert!([5, 7, 12, 16].contains(&code), "{code}"),
                SendError::Rejected { .. } => assert!([3, 6, 9, 17].contains(&code), "{code}"),
            }
        }
        let error = outcome(&HeaderMap::new()).unwrap_err();
        assert!(matches!(error, SendError::Retry { doubtful: false, .. }));
        assert_eq!(single_message(b"\0\0\0\0\x02ok"), Some(b"ok".to_vec()));
        for junk in [&b"<html>"[..], b"\x01\0\0\0\x01x", b"\0\0\0\0\x05x", b"\0\0"] {
            assert_eq!(single_message(junk), None);
        }
    }

    /// Scenario: a server that answers a compressed request compressed, as those written in Go do, and one whose answer would inflate to more
    /// than an answer may have. Guarantees: the first is read, the other is none (P9).
    #[test]
    fn compressed_answers_are_read() {
        let answer = |message: &[u8]| {
            let compressed = Compressor::new(crate::Coding::Gzip).compressed(message).unwrap();
            [&[1][..], &(compressed.len() as u32).to_be_bytes(), &compressed].concat()
        };
        assert_eq!(single_message(&answer(b"\x0a\x00")), Some(b"\x0a\x00".to_vec()));
        assert_eq!(single_message(&answer(&vec![0; MAX_ANSWER])).map(|message| message.len()), Some(MAX_ANSWER));
        assert_eq!(single_message(&answer(&vec![0; MAX_ANSWER + 1])), None);
    }

    /// Scenario: a server at its limit says when to come again, in the details of its status. Guarantees: it is heard (P3).
    #[test]
    fn d7_retry_info_is_heard() {
        // Status { code: 8, details: [Any { type.googleapis.com/google.rpc.RetryInfo, RetryInfo { 30.5 s } }] }
        let details = "CAgaNgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIHhCAyrXuAQ";
        for padding in ["", "=="] {
            let full = format!("{details}{padding}");
            let all =
                [("grpc-status", "8"), ("grpc-message", "quota%20of%0Athe%20day"), ("grpc-status-details-bin", &full)];
            let error = outcome(&trailers(&all)).unwrap_err();
            let SendError::Retry { after, doubtful, reason, why } = error else { panic!("{error}") };
            assert_eq!(after, Some(RetryAfter::In(Duration::from_millis(30_500))));
            assert!(!doubtful && reason == Refusal::Throttled && why.ends_with("quota of the day"), "{why}");
        }
    }
}
