//! OTLP over gRPC, by hand on HTTP/2: one unary method per signal (OTLP 1.11, "OTLP/gRPC"; gRPC over HTTP2 protocol).

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::{Refusal, Signal};
use tokio::net::{TcpListener, TcpStream};

use crate::body::{Held, collect, explain};
use crate::places::{Place, told};
use crate::watch::{Begin, Watched, accept, watch};
use crate::{Answer, Intake, Limits, idempotency_key};
use otlp::answer::{Code, partial, status};
use otlp::{Form, coding};

/// One message is preceded by a flag and a length.
const PREFIX: usize = 5;
/// What a call takes beside its message: its task, and its part of what the connection reads into.
const BESIDE: usize = 4 << 10;
const WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 128 << 10;
const MAX_STREAMS: u32 = 16;
const MAX_HEADERS: u32 = 16 << 10;
/// What a connection begins with (RFC 9113 section 3.4): the preface, and a SETTINGS frame that may be empty.
const BEGIN: usize = 24 + 9;
/// A peer that was silent for so long is asked whether it is there, and has so long to say so.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WAIT: Duration = Duration::from_secs(20);
/// How long a producer without a place is told to wait.
const COME_BACK: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move {
            task.await;
        });
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, intake: Intake, limits: Rc<Limits>) {
    loop {
        let (stream, place) = accept(&listener, &limits.places).await;
        tokio::task::spawn_local(connection(stream, place, Rc::clone(&intake), Rc::clone(&limits)));
    }
}

async fn connection(stream: TcpStream, place: Place, intake: Intake, limits: Rc<Limits>) {
    let stream = Watched::new(stream);
    let clock = stream.clock();
    let place = Rc::new(place);
    let service = {
        let place = Rc::clone(&place);
        service_fn(move |request| {
            let (intake, limits) = (Rc::clone(&intake), Rc::clone(&limits));
            let working = Rc::new(place.work());
            let intake = told(intake, &working);
            let full = place.is_full();
            async move {
                let reply = match full {
                    false => answer(request, &intake, &limits).await,
                    true => refusal(
                        Code::Unavailable,
                        "all connections are in use; send the same request again after RetryInfo",
                        Some(COME_BACK),
                    ),
                };
                drop(working);
                Ok::<_, Infallible>(reply)
            }
        })
    };
    let connection = hyper::server::conn::http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADERS)
        .max_send_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    // A producer that goes away in the middle loses nothing but its answer.
    let _ended = watch(
        Box::pin(connection),
        |connection| {
            connection.as_mut().graceful_shutdown();
            true
        },
        &clock,
        &place,
        Begin::Preface(BEGIN),
    )
    .await;
}

/// An empty message and its trailers, or only the latter.
struct Reply {
    message: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(message) = self.message.take() {
            return Poll::Ready(Some(Ok(Frame::data(message))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && self.trailers.is_none()
    }
}

async fn answer(request: Request<Incoming>, intake: &Intake, limits: &Rc<Limits>) -> Response<Reply> {
    let signal = match request.uri().path() {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Signal::Traces,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Signal::Logs,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Signal::Metrics,
        _ => {
            limits.count(Refusal::UnknownPath);
            return refusal(Code::Unimplemented, "no such method; this is an OTLP endpoint", None);
        }
    };
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = text("content-type").to_ascii_lowercase();
    if !["application/grpc", "application/grpc+proto"].contains(&kind.split(';').next().unwrap_or_default().trim()) {
        limits.count(Refusal::UnsupportedContentType);
        let mut response = refusal(Code::InvalidArgument, "content-type must be application/grpc", None);
        *response.status_mut() = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return response;
    }
    let encoding = text("grpc-encoding").to_owned();
    let key = idempotency_key(request.headers());
    let message = match collect(request.into_body(), PREFIX, BESIDE, limits, announced).await {
        Ok(held) => unframe(held, &encoding, limits),
        Err(reason) => Err((reason, explain(reason, limits))),
    };
    let message = match message {
        Ok(message) => message,
        Err((reason, why)) => {
            limits.count(reason);
            return body_refusal(reason, &why);
        }
    };
    let (body, share) = message.into_parts();
    match intake(crate::Request { signal, body, key }, None, share).await {
        Answer::Accepted => taken(&[]),
        Answer::Partial { rejected, why } => taken(&partial(Form::Protobuf, signal, rejected, &why)),
        Answer::Wait(delay) => {
            refusal(Code::Unavailable, "no room now; send the same request again after RetryInfo", Some(delay))
        }
        Answer::Bad(why) | Answer::Conflict(why) => refusal(Code::InvalidArgument, &why, None),
    }
}

/// A good end, with the message of an export response.
fn taken(message: &[u8]) -> Response<Reply> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.push(0);
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    head(Reply { message: Some(Bytes::from(framed)), trailers: Some(trailers) })
}

/// The bytes of the message and its frame, by what stands in front of it.
fn announced(begin: &[u8]) -> Option<usize> {
    let [_, length @ ..] = *begin.first_chunk::<PREFIX>()?;
    usize::try_from(u32::from_be_bytes(length)).ok()?.checked_add(PREFIX)
}

/// Takes the one message out of its frame (gRPC over HTTP2, "Length-Prefixed-Message").
fn unframe(mut held: Held, encoding: &str, limits: &Rc<Limits>) -> Result<Held, (Refusal, String)> {
    let bad = |why: &str| Err((Refusal::Malformed, why.to_owned()));
    let Some((prefix, message)) = held.bytes().split_first_chunk::<PREFIX>() else {
        return bad("there is no message in the call");
    };
    let [flag, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if flag > 1 {
        return bad("the message's compressed flag is neither 0 nor 1");
    }
    if length > message.len() {
        return bad("the message is shorter than its prefix says");
    }
    if length < message.len() {
        return bad("a unary call has one message only");
    }
    if flag == 1 && coding::is_identity(encoding) {
        return bad("the message's compressed flag is set, and grpc-encoding names no compression");
    }
    held.skip(PREFIX);
    coding::undo(if flag == 1 { encoding } else { "" }, held).map_err(|reason| (reason, explain(reason, limits)))
}

fn body_refusal(reason: Refusal, why: &str) -> Response<Reply> {
    let (code, retry) = match reason {
        // Without RetryInfo it means "never" (OTLP 1.11, "Failures").
        Refusal::TooLarge => (Code::ResourceExhausted, None),
        Refusal::NoRoom => (Code::Unavailable, Some(Duration::from_secs(1))),
        Refusal::TooSlow => (Code::DeadlineExceeded, None),
        Refusal::UnsupportedEncoding => (Code::Unimplemented, None),
        Refusal::Malformed => (Code::Internal, None),
        _ => (Code::InvalidArgument, None),
    };
    refusal(code, why, retry)
}

fn head(reply: Reply) -> Response<Reply> {
    let mut response = Response::new(reply);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static(coding::ACCEPTED));
    response
}

/// A response of headers only, as gRPC has it for calls without a message.
fn refusal(code: Code, why: &str, retry: Option<Duration>) -> Response<Reply> {
    let mut response = head(Reply { message: None, trailers: None });
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::from_str(&percent_encode(why)) {
        headers.insert("grpc-message", message);
    }
    if let Ok(details) = HeaderValue::from_str(&base64(&status(Form::Protobuf, code, why, retry))) {
        headers.insert("grpc-status-details-bin", details);
    }
    response
}

/// `grpc-message`: everything but printable ASCII without `%` is percent-encoded.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Base64 without padding, as gRPC sends binary headers.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0u8; 3];
        bits[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for digit in 0..=group.len() {
            out.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the examples of RFC 4648 section 10, and a message beyond ASCII. Guarantees: producers can read details.
    #[test]
    fn binary_headers_and_messages_are_encoded() {
        for (plain, encoded) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(percent_encode("100% \u{e9}\n"), "100%25 %C3%A9%0A");
    }
}
