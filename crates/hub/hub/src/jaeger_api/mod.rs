//! Jaeger's query API, as far as Grafana and Jaeger's own page ask it: below `/jaeger/api` (docs/hub-api.md).
//!
//! | module | concept |
//! |---|---|
//! | `model` | stored spans as Jaeger's JSON has them: references, typed tags, logs, processes |
//! | `traces` | search, and traces by their ids |
//! | `services` | services, operations, who calls whom |
//! | `params` | times, durations and tags of a request |
//! | `answer` | the frame of answers and errors |

mod answer;
mod model;
mod params;
mod services;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::app::App;

/// The routes below `/jaeger`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/jaeger/api/services", get(services::services))
        .route("/jaeger/api/services/{name}/operations", get(services::operation_names))
        .route("/jaeger/api/operations", get(services::operations))
        .route("/jaeger/api/traces", get(traces::search))
        .route("/jaeger/api/traces/{id}", get(traces::by_id))
        .route("/jaeger/api/dependencies", get(services::dependencies))
        .route("/jaeger/{*rest}", any(answer::no_such_path))
}
