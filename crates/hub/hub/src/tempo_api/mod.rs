//! Tempo's API as far as Grafana needs it to show a trace that something links to: by its id, as protobuf, and the names that its search
//! box offers; below `/tempo/api` (docs/hub-api.md).

mod traces;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{any, get};
use serde_json::{Value, json};

use crate::api_error::ApiError;
use crate::app::App;

/// The version of Tempo whose API this is, as far as it goes.
const VERSION: &str = "2.7.0";

/// The routes below `/tempo`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/tempo/api/echo", get(echo))
        .route("/tempo/api/status/buildinfo", get(build))
        .route("/tempo/api/traces/{id}", get(traces::first))
        .route("/tempo/api/v2/traces/{id}", get(traces::second))
        .route("/tempo/{*rest}", any(no_such_path))
}

async fn echo() -> &'static str {
    "echo"
}

async fn build() -> axum::Json<Value> {
    axum::Json(
        json!({"version": VERSION, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}),
    )
}

async fn no_such_path() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "no such path", "docs/hub-api.md lists those of Tempo's API that there are")
}
