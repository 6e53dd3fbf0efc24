//! OTLP/HTTP intake (OTLP specification 1.11, "OTLP/HTTP"): binary protobuf, gzip, capped. What comes is stored as
//! frames of a pseudo-device.

use std::io::Read;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use model::Refusal as Reason;
use prost::Message;
use store::{FrameOutcome, Incoming};
use wire::SectionRef;

use crate::app::{App, Refusal, count};
use crate::places::Peer;

/// Largest request, as it comes.
const MAX_BODY: usize = 4 << 20;
/// Largest request, inflated.
const MAX_INFLATED: usize = 16 << 20;
const PROTOBUF: &str = "application/x-protobuf";

/// `google.rpc.Status`, the body of every OTLP error.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// gRPC's code for an HTTP status, as OTLP/HTTP errors carry it.
fn grpc_code(status: u16) -> i32 {
    match status {
        401 => 16,
        408 => 4,
        413 | 429 => 8,
        503 => 14,
        _ => 3,
    }
}

/// The routes of OTLP intake.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/traces", post(traces)).route("/v1/logs", post(logs)).route("/v1/metrics", post(metrics))
}

async fn traces(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    answer(
        take(&app, request, |bytes| SectionRef::Traces(bytes))
            .await
            .inspect_err(|refusal| app.turn_away(refusal, &peer, None)),
    )
}

async fn logs(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    answer(
        take(&app, request, |bytes| SectionRef::Logs(bytes))
            .await
            .inspect_err(|refusal| app.turn_away(refusal, &peer, None)),
    )
}

async fn metrics(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    answer(
        take(&app, request, |bytes| SectionRef::Metrics(bytes))
            .await
            .inspect_err(|refusal| app.turn_away(refusal, &peer, None)),
    )
}

fn answer(result: Result<(), Refusal>) -> Response {
    let Err(refusal) = result else {
        // An empty Export*ServiceResponse: everything was taken.
        return ([(header::CONTENT_TYPE, PROTOBUF)], Vec::new()).into_response();
    };
    let body = Status { code: grpc_code(refusal.status()), message: refusal.to_string() }.encode_to_vec();
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response();
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

async fn take(
    app: &Arc<App>,
    request: Request,
    section: impl Fn(&[u8]) -> SectionRef<'_> + Send + 'static,
) -> Result<(), Refusal> {
    count(&app.counters.otlp_requests);
    app.authorize(request.headers())?;
    let is_gzip = check_headers(request.headers())?;
    let body = app.read_body(request, MAX_BODY).await?;
    let (bytes, stamp) = (body.bytes.clone(), app.stamp());
    let incoming = app.decode(move || {
        let bytes = if is_gzip { inflate(&bytes)? } else { bytes.to_vec() };
        Incoming::from_otlp(section(&bytes), stamp).map_err(Refusal::from)
    });
    let outcomes = app.store_frames(vec![incoming.await??]).await?;
    match outcomes.first() {
        Some(FrameOutcome::Stored) => Ok(()),
        // The hub gives these frames their sequences: a sender must never hear that something is stored which is not.
        _ => Err(Refusal::Busy(Reason::Quarantined, "the request could not be stored; send it again".into())),
    }
}

/// Checks type and encoding; whether the body is gzip.
fn check_headers(headers: &HeaderMap) -> Result<bool, Refusal> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let media_type = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(PROTOBUF) {
        return Err(Refusal::MediaType(
            Reason::UnsupportedContentType,
            format!(
                "content-type is `{media_type}`; this hub reads {PROTOBUF} (set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)"
            ),
        ));
    }
    match text(header::CONTENT_ENCODING).trim() {
        "" | "identity" => Ok(false),
        encoding if encoding.eq_ignore_ascii_case("gzip") => Ok(true),
        encoding => Err(Refusal::MediaType(
            Reason::UnsupportedEncoding,
            format!("content-encoding is `{encoding}`; this hub reads gzip"),
        )),
    }
}

/// Inflates gzip, never beyond [`MAX_INFLATED`].
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut inflated = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes)
        .take(MAX_INFLATED as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|error| Refusal::Malformed(format!("gzip: {error}")))?;
    if inflated.len() > MAX_INFLATED {
        return Err(Refusal::TooLarge { limit: MAX_INFLATED });
    }
    Ok(inflated)
}
