//! `GET /api/v0/me`, `/principals` and `/audit`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::params::Params;
use super::{Answer, ApiError, render};
use crate::access::{Caller, audit};
use crate::app::App;
use crate::json::Json;

pub(super) async fn me(Extension(caller): Extension<Caller>, params: Params) -> Answer {
    params.only(&[])?;
    let who = caller.identity.as_ref();
    Ok(Json::of(&json!({"name": who.map(|one| &one.name), "role": who.map(|one| one.role.name())})))
}

pub(super) async fn principals(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[])?;
    let seconds = |seconds: u64| render::ns(seconds.saturating_mul(1_000_000_000));
    let principals = app.doors.principals();
    let principals: Vec<Value> = principals
        .iter()
        .map(|one| {
            let token = |token: &access::KeptToken| {
                json!({
                    "digest": token.sha256.to_string()[..12],
                    "created": seconds(token.created_s),
                    "expires": token.expires_s.map(seconds),
                })
            };
            let tokens: Vec<Value> = one.tokens.iter().map(token).collect();
            json!({"name": one.name, "role": one.role.name(), "device": one.device, "tokens": tokens})
        })
        .collect();
    Ok(Json::of(&json!({"principals": principals})))
}

pub(super) async fn entries(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["limit"])?;
    let limit = params.limit(100)?;
    let read = tokio::task::spawn_blocking(move || audit::read(&app.data_dir));
    let hint = "lightship-hub audit says where it was changed";
    let broken = |error: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error, hint);
    let entries =
        read.await.map_err(|error| broken(error.to_string()))?.map_err(|error| broken(format!("{error:#}")))?;
    let last = entries.iter().rev().take(limit);
    let entries: Vec<Value> = last
        .map(|entry| {
            json!({
                "number": entry.number,
                "at": render::ns(entry.at_ns),
                "kind": entry.kind,
                "principal": entry.principal,
                "address": entry.address,
                "what": entry.what,
            })
        })
        .collect();
    Ok(Json::of(&json!({"entries": entries})))
}
