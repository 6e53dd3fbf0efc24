//! `POST /api/v0/devices/{device}/incident`: keep more of a device's traces for a time.

use std::sync::Arc;

use ::access::audit::Kind;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::json;

use super::params::Params;
use super::{Answer, ApiError, render};
use crate::access::Caller;
use crate::app::App;
use crate::clock;
use crate::json::Json;
use crate::places::Peer;

/// The longest that a window may be wanted.
const LONGEST_NS: u64 = 24 * 3_600 * 1_000_000_000;

pub(super) async fn open(
    State(app): State<Arc<App>>,
    Path(device): Path<String>,
    Extension(caller): Extension<Caller>,
    Extension(peer): Extension<Arc<Peer>>,
    params: Params,
) -> Answer {
    params.only(&["for"])?;
    let time_ns = params.duration_ns("for")?;
    let time_ns = time_ns.ok_or_else(|| ApiError::bad_request("for how long?", "for=10m; for=0s ends it"))?;
    let now_ns = clock::now_ns();
    let name = device.clone();
    let known =
        app.query(params.scope(), move |store| store.devices(now_ns).iter().any(|one| one.device == name)).await?;
    if !known {
        let hint = "GET /api/v0/devices lists those that were heard of";
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("no device {device}"), hint));
    }
    let until_ns = now_ns + time_ns.min(LONGEST_NS);
    if !app.incidents.want(&device, until_ns, now_ns) {
        let what = "too many incident windows are wanted already";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, what, "end one with for=0s"));
    }
    let said = format!("keep more of device {device} until {}", render::ns(until_ns));
    app.doors.record(Kind::Operate, (caller.name(), peer.address.ip()), said).await?;
    Ok(Json::of(&json!({"device": device, "until": render::ns(until_ns)})))
}
