//! Loki's HTTP API, as far as Grafana asks it: below `/loki/api/v1` (docs/logql.md).
//!
//! | module | concept |
//! |---|---|
//! | `naming` | a stored record as Loki names it: stream, structured metadata, line |
//! | `source` | the store as LogQL's source of records |
//! | `queries` | `query`, `query_range`, `format_query` |
//! | `listing` | `labels`, values of labels, `series`, `index/stats`, `detected_labels` |
//! | `volume` | `index/volume`, `index/volume_range` |
//! | `detected` | `detected_fields` and their values |
//! | `params` | parameters of GET and of posted forms |
//! | `answer` | answers in Loki's JSON, errors as text |

mod answer;
mod detected;
mod listing;
mod naming;
mod params;
mod queries;
mod source;
mod volume;

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use crate::app::App;

/// The routes below `/loki`, and `/ready`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/loki/api/v1/query", get(queries::instant).post(queries::instant))
        .route("/loki/api/v1/query_range", get(queries::range).post(queries::range))
        .route("/loki/api/v1/format_query", get(queries::format).post(queries::format))
        .route("/loki/api/v1/labels", get(listing::labels).post(listing::labels))
        .route("/loki/api/v1/label/{name}/values", get(listing::values).post(listing::values))
        .route("/loki/api/v1/series", get(listing::series).post(listing::series))
        .route("/loki/api/v1/index/stats", get(listing::stats).post(listing::stats))
        .route("/loki/api/v1/index/volume", get(volume::instant).post(volume::instant))
        .route("/loki/api/v1/index/volume_range", get(volume::range).post(volume::range))
        .route("/loki/api/v1/detected_labels", get(listing::detected_labels).post(listing::detected_labels))
        .route("/loki/api/v1/detected_fields", get(detected::fields).post(detected::fields))
        .route("/loki/api/v1/detected_field/{name}/values", get(detected::values).post(detected::values))
        .route("/loki/api/v1/status/buildinfo", get(answer::build))
        .route("/loki/{*rest}", any(answer::no_such_path))
        .route("/ready", get(answer::ready))
}
