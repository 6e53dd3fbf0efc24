//! Prometheus' HTTP API, as far as Grafana asks it: below `/prometheus/api/v1` (docs/hub-api.md).
//!
//! | module | concept |
//! |---|---|
//! | `naming` | a stored series as Prometheus names it: labels, and samples of each of its series |
//! | `source` | the store as PromQL's source of series: the only place that selects |
//! | `queries` | `query`, `query_range`, `query_exemplars`, `format_query` |
//! | `listing` | `series`, `labels`, values of labels, `metadata`, `status` |
//! | `params` | parameters of GET and of posted forms |
//! | `answer` | answers and errors in Prometheus' JSON |

mod answer;
mod listing;
mod naming;
mod params;
mod queries;
mod source;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::app::App;

/// The routes below `/prometheus`.
pub(crate) fn routes() -> Router<Arc<App>> {
    let both = |name: &str| format!("/prometheus/api/v1/{name}");
    Router::new()
        .route(&both("query"), get(queries::instant).post(queries::instant))
        .route(&both("query_range"), get(queries::range).post(queries::range))
        .route(&both("query_exemplars"), get(queries::exemplars).post(queries::exemplars))
        .route(&both("format_query"), get(queries::format).post(queries::format))
        .route(&both("series"), get(listing::series).post(listing::series))
        .route(&both("labels"), get(listing::labels).post(listing::labels))
        .route(&both("label/{name}/values"), get(listing::values))
        .route(&both("metadata"), get(listing::metadata))
        .route(&both("status/buildinfo"), get(listing::build))
        .route(&both("rules"), get(listing::rules))
        .route(&both("alerts"), get(listing::alerts))
        .route("/prometheus/{*rest}", any(listing::no_such_path))
}
