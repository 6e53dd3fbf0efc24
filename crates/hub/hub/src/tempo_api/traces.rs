//! One trace as OTLP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use model::{Signal, TraceId};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, TracesData};
use prost::Message;
use store::query::{Kept, Scope, TimeRange, TraceSpans, hold, keep};

use crate::api_error::ApiError;
use crate::app::App;
use crate::form::Form;
use crate::{clock, told};

/// `TraceByIDResponse` of `tempo.proto`.
#[derive(Clone, PartialEq, prost::Message)]
struct ById {
    #[prost(message, optional, tag = "1")]
    trace: Option<TracesData>,
    /// 1: it is not all there.
    #[prost(int32, tag = "3")]
    status: i32,
    #[prost(string, tag = "4")]
    message: String,
}

/// An answer; what it takes counts as held by queries until it is sent.
struct Sending(Vec<u8>, #[expect(dead_code, reason = "it is dropped with the bytes")] Kept);

impl AsRef<[u8]> for Sending {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Who asks: `start` and `end` are passed over, since a trace is looked for whatever its age.
pub(super) struct Asker(Scope);

impl FromRequest<Arc<App>> for Asker {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let accept = request.headers().get(header::ACCEPT).and_then(|kinds| kinds.to_str().ok()).unwrap_or("*/*");
        if !["protobuf", "*/*"].iter().any(|kind| accept.contains(kind)) {
            let hint = "send `accept: application/protobuf`; JSON is at /api/v0/traces and /jaeger/api/traces";
            return Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "a trace is answered as protobuf here", hint));
        }
        Ok(Self(Form::read(request, app).await?.scope()))
    }
}

/// Spans by their resources and scopes, in their order.
fn grouped(spans: &TraceSpans) -> TracesData {
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    let mut last = None;
    for row in &spans.rows {
        if last.is_none_or(|last| !Arc::ptr_eq(last, &row.origin)) {
            let own = &row.origin;
            let scope_spans = vec![ScopeSpans {
                scope: Some(own.scope.clone()),
                spans: Vec::new(),
                schema_url: own.scope_schema_url.clone(),
            }];
            let schema_url = own.resource_schema_url.clone();
            resource_spans.push(ResourceSpans { resource: Some(own.resource.clone()), scope_spans, schema_url });
        }
        last = Some(&row.origin);
        if let Some(scope) = resource_spans.last_mut().and_then(|own| own.scope_spans.last_mut()) {
            scope.spans.push(row.span.clone());
        }
    }
    TracesData { resource_spans }
}

async fn answer(app: Arc<App>, id: String, asker: Asker, is_second: bool) -> Result<Response, ApiError> {
    let padded = format!("{:0>32}", id.to_ascii_lowercase());
    let id = TraceId::from_hex(&padded)
        .ok_or_else(|| ApiError::bad_request(format!("{id} is no trace id"), "1 to 32 hex digits, not all 0"))?;
    let answer = app.query(asker.0, move |store| {
        let spans = store.spans_of(id);
        let starts = spans.rows.iter().map(|row| row.span.start_time_unix_nano);
        let from = starts.min()?;
        let to = spans.rows.iter().map(|row| row.span.end_time_unix_nano).max().unwrap_or(from);
        let range = TimeRange { from, to: to.max(from).saturating_add(1) };
        let completeness = store.completeness(&[Signal::Traces], range, clock::now_ns());
        // A copy of the spans, and the bytes.
        let bytes: usize = spans.rows.iter().map(|row| row.span.encoded_len()).sum();
        if !hold(4 * bytes) {
            return None;
        }
        let trace = grouped(&spans);
        let bytes = if is_second {
            let message = told::sentence(&completeness).unwrap_or_default();
            ById { trace: Some(trace), status: i32::from(!completeness.complete), message }.encode_to_vec()
        } else {
            trace.encode_to_vec()
        };
        let kept = keep(bytes.capacity());
        Some((told::header(&completeness), Sending(bytes, kept)))
    });
    let missing = || ApiError::new(StatusCode::NOT_FOUND, format!("no trace {id} is stored"), "see /api/v0/coverage");
    let (told, sending): ([(HeaderName, HeaderValue); 1], Sending) = answer.await?.ok_or_else(missing)?;
    let body = Body::from(Bytes::from_owner(sending));
    Ok((told, [(header::CONTENT_TYPE, "application/protobuf")], body).into_response())
}

/// `GET /tempo/api/traces/{id}`: the trace alone.
pub(super) async fn first(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    asker: Asker,
) -> Result<Response, ApiError> {
    answer(app, id, asker, false).await
}

/// `GET /tempo/api/v2/traces/{id}`: the trace, and whether it is all there.
pub(super) async fn second(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    asker: Asker,
) -> Result<Response, ApiError> {
    answer(app, id, asker, true).await
}
