//! The hub's own query API (docs/hub-api.md).

mod fleet;
mod incident;
mod logs;
mod metrics;
mod params;
mod render;
mod traces;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use store::query::{Ended, QueryError};

use crate::app::{App, Refusal};

/// The routes below `/api/v0`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v0/services", get(fleet::services))
        .route("/api/v0/devices", get(fleet::devices))
        .route("/api/v0/devices/{device}/incident", post(incident::open))
        .route("/api/v0/coverage", get(fleet::coverage))
        .route("/api/v0/ledger", get(fleet::ledger))
        .route("/api/v0/red", get(metrics::red))
        .route("/api/v0/metrics", get(metrics::list))
        .route("/api/v0/metrics/range", get(metrics::range))
        .route("/api/v0/exemplars", get(metrics::exemplars))
        .route("/api/v0/traces", get(traces::search))
        .route("/api/v0/traces/{id}", get(traces::by_id))
        .route("/api/v0/logs", get(logs::search))
        .route("/api/{*rest}", get(no_such_path))
}

async fn no_such_path(State(_): State<Arc<App>>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such path", "docs/hub-api.md lists the paths of this API")
}

/// What a handler answers.
type Answer = Result<Json<Value>, ApiError>;

/// An error with what to do about it.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: String,
    hint: String,
    retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: hint.into(), retry_after: None }
    }

    fn bad_request(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        let status = match error.ended {
            None => StatusCode::BAD_REQUEST,
            Some(Ended::Memory) => StatusCode::UNPROCESSABLE_ENTITY,
            Some(Ended::Deadline | Ended::Cancelled) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.what, error.hint)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let hint = if refusal.retry_after().is_some() { "try again in a second" } else { "" };
        Self { status, error: refusal.to_string(), hint: hint.to_owned(), retry_after: refusal.retry_after() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"error": self.error, "hint": self.hint}))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
