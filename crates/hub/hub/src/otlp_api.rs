//! OTLP/HTTP intake (OTLP specification 1.11, "OTLP/HTTP"): protobuf and JSON, capped. What comes is stored as frames of a
//! pseudo-device.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use model::{Refusal as Reason, RefusalCounts, Signal};
use otlp::answer::why_rejected;
use otlp::{Form, coding};
use store::{FrameOutcome, Incoming};
use wire::SectionRef;

use crate::app::{App, count};
use crate::clock;
use crate::log::Kind;
use crate::otlp_codec;
use crate::places::Peer;
use crate::refusal::Refusal;

/// Largest request, as it comes.
const MAX_BODY: usize = 4 << 20;

/// The routes of OTLP intake.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/v1/traces", post(traces)).route("/v1/logs", post(logs)).route("/v1/metrics", post(metrics))
}

async fn traces(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    take(&app, &peer, request, Signal::Traces).await
}

async fn logs(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    take(&app, &peer, request, Signal::Logs).await
}

async fn metrics(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    take(&app, &peer, request, Signal::Metrics).await
}

async fn take(app: &Arc<App>, peer: &Peer, request: Request, signal: Signal) -> Response {
    count(&app.counters.otlp_requests);
    // An answer has the form of its request; one of an unknown form is told in protobuf.
    let form = otlp_codec::form(request.headers());
    let answered_in = *form.as_ref().unwrap_or(&Form::Protobuf);
    let content_type = [(header::CONTENT_TYPE, answered_in.name())];
    match store(app, request, signal, form).await {
        Ok(rejected) => {
            if rejected.total() > 0 {
                rejected.iter().for_each(|(reason, count)| app.refused_many(reason, count));
                let address = peer.address.ip().to_string();
                let line = format!("{address}: {} of an OTLP request: {}", signal.name(), why_rejected(&rejected));
                app.log.say_of(Kind::Refused, &format!("{address} {}", signal.name()), &line);
            }
            (content_type, otlp_codec::taken(signal, answered_in, &rejected)).into_response()
        }
        Err(refusal) => refuse(app, peer, answered_in, &refusal, path_of(signal)).await,
    }
}

/// The path of a signal.
fn path_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/v1/traces",
        Signal::Logs => "/v1/logs",
        Signal::Metrics => "/v1/metrics",
    }
}

/// Counts and answers a refusal, in the form of its request.
pub(crate) async fn refuse(app: &App, peer: &Peer, form: Form, refusal: &Refusal, path: &str) -> Response {
    app.turn_away(refusal, peer, path, None).await;
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = [(header::CONTENT_TYPE, form.name())];
    let mut response = (status, content_type, otlp_codec::refused(form, refusal)).into_response();
    if let Some(seconds) = refusal.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(refusal, Refusal::MediaType(Reason::UnsupportedEncoding, _)) {
        response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
    }
    response
}

/// Stores what of a request can be taken; what cannot.
async fn store(
    app: &Arc<App>,
    request: Request,
    signal: Signal,
    form: Result<Form, Refusal>,
) -> Result<RefusalCounts, Refusal> {
    let form = form?;
    let codings = otlp_codec::codings(request.headers());
    let body = app.read_body(request, MAX_BODY).await?;
    let (bytes, stamp) = (body.bytes.clone(), app.stamp());
    let shared = Arc::clone(app);
    let read = app.decode(move || {
        let (taken, rejected) = otlp_codec::read(signal, form, &codings, &bytes, clock::now_ns())?;
        let part = &taken;
        let section = match signal {
            Signal::Traces => SectionRef::Traces(part),
            Signal::Logs => SectionRef::Logs(part),
            Signal::Metrics => SectionRef::Metrics(part),
        };
        let frames = if part.is_empty() {
            Vec::new()
        } else {
            vec![Incoming::from_otlp(section, stamp, shared.store.shared_series())?]
        };
        Ok::<_, Refusal>((frames, rejected))
    });
    let (frames, rejected) = read.await??;
    if frames.is_empty() {
        return Ok(rejected);
    }
    let outcomes = app.store_frames(frames).await?;
    // The hub gives these frames their sequences: a sender must never hear that something is stored which is not.
    match outcomes.iter().all(|outcome| *outcome == FrameOutcome::Stored) {
        true => Ok(rejected),
        false => Err(Refusal::Busy(Reason::Quarantined, "the request could not be stored; send it again".into())),
    }
}
