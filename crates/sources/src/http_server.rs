//! OTLP over HTTP/1.1 with protobuf bodies (OTLP 1.11, "OTLP/HTTP").

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use model::Signal;
use tokio::net::TcpListener;

use crate::body::{BodyError, collect, count, inflate};
use crate::server::accept;
use crate::status::{Code, status};
use crate::{Answer, Intake, Limits, idempotency_key};

const PROTOBUF: &str = "application/x-protobuf";
/// How long a connection may take to send a request's head, and may stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const BUFFER: usize = 16 << 10;

/// Serves for ever.
pub async fn serve(listener: TcpListener, intake: Intake, limits: Rc<Limits>) {
    loop {
        let (stream, place) = accept(&listener, &limits).await;
        let (intake, limits) = (Rc::clone(&intake), Rc::clone(&limits));
        tokio::task::spawn_local(async move {
            let service = service_fn(move |request| {
                let (intake, limits) = (Rc::clone(&intake), Rc::clone(&limits));
                async move { Ok::<_, Infallible>(answer(request, &intake, &limits).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(BUFFER)
                .serve_connection(TokioIo::new(stream), service);
            // A producer that goes away in the middle loses nothing but its answer.
            let _closed = connection.await;
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>, intake: &Intake, limits: &Rc<Limits>) -> Response<Full<Bytes>> {
    let signal = match request.uri().path() {
        "/v1/traces" => Signal::Traces,
        "/v1/logs" => Signal::Logs,
        "/v1/metrics" => Signal::Metrics,
        _ => {
            let hint = "no such path; OTLP/HTTP is served at /v1/traces, /v1/logs and /v1/metrics";
            return refusal(StatusCode::NOT_FOUND, Code::Unimplemented, hint, None);
        }
    };
    if request.method() != Method::POST {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "use POST", None);
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if text(header::CONTENT_TYPE).split(';').next().map(str::trim) != Some(PROTOBUF) {
        limits.count(model::Refusal::UnsupportedContentType);
        let hint = "content-type must be application/x-protobuf; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, hint, None);
    }
    let encoding = text(header::CONTENT_ENCODING).to_ascii_lowercase();
    let key = idempotency_key(request.headers());
    let held = match collect(request.into_body(), 0, limits).await {
        Ok(held) => {
            let all = 0..held.bytes().len();
            inflate(&encoding, held, all, limits)
        }
        Err(error) => Err(error),
    };
    let held = match held {
        Ok(held) => held,
        Err(error) => {
            count(error, limits);
            return body_refusal(error, limits);
        }
    };
    match intake(crate::Request { signal, body: held.into_bytes(), key }).await {
        Answer::Accepted => {
            let mut response = Response::new(Full::default());
            response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROTOBUF));
            response
        }
        Answer::Wait(delay) => refusal(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            "no room now; send the same request again after Retry-After",
            Some(delay),
        ),
        Answer::Bad(why) => refusal(StatusCode::BAD_REQUEST, Code::InvalidArgument, &why, None),
    }
}

fn body_refusal(error: BodyError, limits: &Limits) -> Response<Full<Bytes>> {
    let (http, code, retry) = match error {
        BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, None),
        BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, Some(Duration::from_secs(1))),
        BodyError::CutOff => (StatusCode::REQUEST_TIMEOUT, Code::InvalidArgument, None),
        BodyError::UnknownEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, None),
        BodyError::Undecodable => (StatusCode::BAD_REQUEST, Code::InvalidArgument, None),
    };
    let mut response = refusal(http, code, &error.explain(limits), retry);
    if error == BodyError::TooLarge {
        // The rest of the body is not read: the connection cannot go on.
        response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

fn refusal(http: StatusCode, code: Code, why: &str, retry: Option<Duration>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(status(code, why, retry))));
    *response.status_mut() = http;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROTOBUF));
    if let Some(delay) = retry {
        headers.insert(header::RETRY_AFTER, header::HeaderValue::from(delay.as_secs().max(1)));
    }
    response
}
