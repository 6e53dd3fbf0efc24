//! The one place where a request is let through: each path stands in a table with what it does. A path that does not is shut for all but
//! admins, so that a new one cannot be left open by mistake.

use std::sync::Arc;

use ::access::Action;
use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use otlp::Form;

use super::Caller;
use crate::api_error::ApiError;
use crate::app::App;
use crate::places::Peer;
use crate::refusal::Refusal;
use crate::{otlp_api, otlp_codec};

/// What a path asks of whoever asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it tells nothing of what is stored.
    Nothing,
    /// To be known.
    Known,
    /// The right to this.
    To(Action),
}

use Need::{Known, Nothing, To};

/// All paths of the port of queries, as they are routed, with what GET and POST need; `None`: there is no such method.
pub const PATHS: [(&str, Option<Need>, Option<Need>); 65] = [
    ("/", Some(Nothing), None),
    ("/{*path}", Some(Nothing), None),
    ("/healthz", Some(Nothing), None),
    ("/sign-in", Some(Nothing), Some(Nothing)),
    ("/sign-out", None, Some(Nothing)),
    ("/metrics", READ, None),
    ("/v1/traces", None, SEND),
    ("/v1/logs", None, SEND),
    ("/v1/metrics", None, SEND),
    ("/api/{*rest}", Some(Known), None),
    ("/api/v0/me", Some(Known), None),
    ("/api/v0/services", READ, None),
    ("/api/v0/devices", READ, None),
    ("/api/v0/devices/{device}/incident", None, Some(To(Action::Operate))),
    ("/api/v0/coverage", READ, None),
    ("/api/v0/ledger", READ, None),
    ("/api/v0/red", READ, None),
    ("/api/v0/metrics", READ, None),
    ("/api/v0/metrics/range", READ, None),
    ("/api/v0/exemplars", READ, None),
    ("/api/v0/traces", READ, None),
    ("/api/v0/traces/{id}", READ, None),
    ("/api/v0/logs", READ, None),
    ("/api/v0/transactions/{id}", READ, None),
    ("/api/v0/principals", Some(To(Action::Administer)), None),
    ("/api/v0/audit", Some(To(Action::Administer)), None),
    ("/prometheus/{*rest}", Some(Known), Some(Known)),
    ("/prometheus/api/v1/query", READ, READ),
    ("/prometheus/api/v1/query_range", READ, READ),
    ("/prometheus/api/v1/query_exemplars", READ, READ),
    ("/prometheus/api/v1/format_query", READ, READ),
    ("/prometheus/api/v1/series", READ, READ),
    ("/prometheus/api/v1/labels", READ, READ),
    ("/prometheus/api/v1/label/{name}/values", READ, None),
    ("/prometheus/api/v1/metadata", READ, None),
    ("/prometheus/api/v1/status/buildinfo", READ, None),
    ("/prometheus/api/v1/rules", READ, None),
    ("/prometheus/api/v1/alerts", READ, None),
    ("/loki/{*rest}", Some(Known), Some(Known)),
    ("/loki/api/v1/query", READ, READ),
    ("/loki/api/v1/query_range", READ, READ),
    ("/loki/api/v1/format_query", READ, READ),
    ("/loki/api/v1/labels", READ, READ),
    ("/loki/api/v1/label/{name}/values", READ, READ),
    ("/loki/api/v1/series", READ, READ),
    ("/loki/api/v1/index/stats", READ, READ),
    ("/loki/api/v1/index/volume", READ, READ),
    ("/loki/api/v1/index/volume_range", READ, READ),
    ("/loki/api/v1/detected_labels", READ, READ),
    ("/loki/api/v1/detected_fields", READ, READ),
    ("/loki/api/v1/detected_field/{name}/values", READ, READ),
    ("/loki/api/v1/status/buildinfo", READ, None),
    ("/ready", Some(Nothing), None),
    ("/tempo/{*rest}", Some(Known), Some(Known)),
    ("/tempo/api/echo", Some(Known), None),
    ("/tempo/api/status/buildinfo", READ, None),
    ("/tempo/api/traces/{id}", READ, None),
    ("/tempo/api/v2/traces/{id}", READ, None),
    ("/jaeger/{*rest}", Some(Known), Some(Known)),
    ("/jaeger/api/services", READ, None),
    ("/jaeger/api/services/{name}/operations", READ, None),
    ("/jaeger/api/operations", READ, None),
    ("/jaeger/api/traces", READ, None),
    ("/jaeger/api/traces/{id}", READ, None),
    ("/jaeger/api/dependencies", READ, None),
];

const READ: Option<Need> = Some(To(Action::Read));
const SEND: Option<Need> = Some(To(Action::Send));

/// What a request needs.
pub(crate) fn need(method: &Method, path: Option<&str>) -> Need {
    let row = PATHS.iter().find(|(known, ..)| Some(*known) == path);
    let need = row.and_then(|(_, get, post)| match *method {
        Method::GET | Method::HEAD => *get,
        Method::POST => *post,
        _ => None,
    });
    need.unwrap_or(To(Action::Administer))
}

/// Lets a request through, or answers it.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Arc<Peer>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let need = need(request.method(), path.as_deref());
    let doors = &app.doors;
    let allowed = match need {
        Nothing => Ok(Caller { identity: None }),
        Known => doors.who(request.method(), request.headers()),
        To(action) => doors.allow(request.method(), request.headers(), action),
    };
    match allowed {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => {
            let path = path.as_deref().unwrap_or("a path that is not there");
            // OTLP answers in its own form.
            if need == To(Action::Send) {
                let form = otlp_codec::form(request.headers()).unwrap_or(Form::Protobuf);
                return otlp_api::refuse(&app, &peer, form, &refusal, path).await;
            }
            refuse(&app, &peer, &refusal, path).await
        }
    }
}

/// Counts, logs and answers a refusal.
async fn refuse(app: &App, peer: &Peer, refusal: &Refusal, path: &str) -> Response {
    app.turn_away(refusal, peer, path, None).await;
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::UNAUTHORIZED);
    let hint = "sign in at /sign-in, or send the header `authorization: Bearer TOKEN` (lightship-hub token add)";
    let mut response = ApiError::new(status, refusal.to_string(), hint).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lightship-hub\""));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: methods and paths that stand in the table, and others. Guarantees: what does not stand there is for admins only (P10).
    #[test]
    fn what_is_not_in_the_table_is_shut() {
        assert_eq!(need(&Method::GET, Some("/api/v0/traces")), To(Action::Read));
        assert_eq!(need(&Method::HEAD, Some("/metrics")), To(Action::Read));
        assert_eq!(need(&Method::POST, Some("/v1/logs")), To(Action::Send));
        assert_eq!(need(&Method::GET, Some("/healthz")), Nothing);
        for (method, path) in [
            (Method::DELETE, Some("/api/v0/traces")),
            (Method::POST, Some("/api/v0/traces")),
            (Method::GET, Some("/api/v0/new")),
            (Method::GET, None),
        ] {
            assert_eq!(need(&method, path), To(Action::Administer), "{method} {path:?}");
        }
        let mut paths: Vec<&str> = PATHS.iter().map(|(path, ..)| *path).collect();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), PATHS.len());
    }
}
