//! The frame of Jaeger's answers and errors.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use store::query::QueryError;

use crate::api_error::ApiError;
use crate::json::Json;
use crate::refusal::Refusal;

/// A question that has no answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    msg: String,
}

impl Failure {
    /// A parameter that cannot be read.
    pub(super) fn bad_request(msg: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, msg: msg.into() }
    }

    /// In Jaeger's words.
    pub(super) fn no_trace() -> Self {
        Self { status: StatusCode::NOT_FOUND, msg: "trace not found".into() }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (status, msg) = error.parts();
        Self { status, msg }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        ApiError::from(refusal).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let errors = json!([{"code": self.status.as_u16(), "msg": self.msg}]);
        let body = json!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors});
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}

/// What a handler of names gives.
pub(super) type Names = Result<Json, Failure>;

/// What a handler of spans gives: how complete it is stands in a header.
pub(super) type Answer = Result<([(HeaderName, HeaderValue); 1], Json), Failure>;

/// Data in Jaeger's frame; `total` is what Jaeger gives there: the count of names, 0 for traces.
pub(super) fn success(data: impl Serialize, total: usize, missing: &[Missing]) -> Json {
    #[derive(Serialize)]
    struct Success<'a, D> {
        data: D,
        total: usize,
        limit: usize,
        offset: usize,
        errors: Option<&'a [Missing]>,
    }
    let errors = (!missing.is_empty()).then_some(missing);
    Json::of(&Success { data, total, limit: 0, offset: 0, errors })
}

/// A trace that was asked for and is not there.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    msg: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
}

impl Missing {
    pub(super) fn new(trace_id: String) -> Self {
        Self { msg: "trace not found", trace_id }
    }
}

pub(super) async fn no_such_path() -> Failure {
    let msg = "no such path: docs/hub-api.md lists those of Jaeger's API that there are";
    Failure { status: StatusCode::NOT_FOUND, msg: msg.into() }
}
