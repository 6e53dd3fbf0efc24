//! The hub's own query API (docs/hub-api.md).

mod access;
mod fleet;
mod incident;
mod logs;
mod metrics;
mod params;
mod render;
mod traces;
mod transactions;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};

use crate::api_error::ApiError;
use crate::app::App;
use crate::json::Json;

/// The routes below `/api/v0`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/api/v0/me", get(access::me))
        .route("/api/v0/principals", get(access::principals))
        .route("/api/v0/audit", get(access::entries))
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
        .route("/api/v0/transactions/{id}", get(transactions::by_id))
        .route("/api/{*rest}", get(no_such_path))
}

async fn no_such_path(State(_): State<Arc<App>>) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such path", "docs/hub-api.md lists the paths of this API")
}

/// What a handler answers.
type Answer = Result<Json, ApiError>;
