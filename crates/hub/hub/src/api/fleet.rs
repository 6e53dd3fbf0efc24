//! `GET /api/v0/services`, `/devices`, `/coverage` and `/ledger`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::Signal;
use serde_json::{Value, json};
use store::Interval;

use super::params::Params;
use super::{Answer, render};
use crate::app::App;
use crate::clock;

pub(super) async fn services(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["start", "end"])?;
    let range = params.range()?;
    let answer = app.query(params.scope(), move |store| {
        (store.services(range), store.completeness(&Signal::ALL, range, clock::now_ns()))
    });
    let (services, completeness) = answer.await?;
    let services: Vec<Value> = services
        .iter()
        .map(|service| json!({"name": service.name, "devices": service.devices, "operations": service.operations}))
        .collect();
    Ok(Json(json!({"services": services, "completeness": render::completeness(&completeness)})))
}

pub(super) async fn devices(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[])?;
    let devices = app.query(params.scope(), |store| store.devices(clock::now_ns())).await?;
    let refused = app.turned_away.all();
    let devices: Vec<Value> = devices
        .iter()
        .map(|device| {
            let lanes: Vec<Value> = device
                .lanes
                .iter()
                .map(|lane| {
                    json!({
                        "lane": lane.lane.name(),
                        "next": lane.next,
                        "next_expected": lane.next_expected,
                        "held": lane.held,
                        "watermark": render::ns(lane.watermark),
                    })
                })
                .collect();
            json!({
                "device": device.device,
                "version": device.version,
                "epoch": device.epoch.to_string(),
                "last_contact": render::ns(device.last_contact),
                "connected": device.connected,
                "contact": device.contact,
                "settles_ns": render::ns(device.settles_ns),
                "two_agents": device.two_agents,
                "incomplete": incomplete(&device.incomplete),
                "clock_synchronised": device.clock_synchronised,
                "clock_ahead_ns": device.clock_ahead_ns.to_string(),
                "lanes": lanes,
            })
        })
        .collect();
    let refused: Vec<Value> = refused
        .iter()
        .map(|refused| {
            json!({
                "device": refused.device,
                "address": refused.address,
                "reason": refused.reason.as_str(),
                "error": refused.what,
                "count": refused.count,
                "last": render::ns(refused.last_ns),
            })
        })
        .collect();
    Ok(Json(json!({"devices": devices, "refused": refused})))
}

fn incomplete(stretches: &[(Signal, Interval)]) -> Value {
    let stretch = |(signal, interval): &(Signal, Interval)| {
        let mut fields = render::interval(interval);
        fields.insert("signal".into(), json!(signal.name()));
        Value::Object(fields)
    };
    stretches.iter().map(stretch).collect()
}

pub(super) async fn coverage(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["start", "end", "device"])?;
    let range = params.range()?;
    let device = params.text("device");
    let coverage =
        app.query(params.scope(), move |store| store.coverage(range, device.as_deref(), clock::now_ns())).await?;
    let coverage: Vec<Value> = coverage
        .iter()
        .map(|entry| {
            let intervals: Vec<Value> =
                entry.intervals.iter().map(|interval| render::interval(interval).into()).collect();
            json!({"device": entry.device, "signal": entry.signal.name(), "intervals": intervals})
        })
        .collect();
    Ok(Json(json!({"coverage": coverage})))
}

pub(super) async fn ledger(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[])?;
    let entries = app.query(params.scope(), |store| store.ledger()).await?;
    let devices: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let counters = &entry.counters;
            let lost: Vec<Value> = entry
                .lost
                .iter()
                .map(|lost| {
                    json!({
                        "lane": lost.lane.name(),
                        "reason": lost.reason,
                        "from": render::ns(lost.from),
                        "to": render::ns(lost.to),
                        "records": lost.records,
                    })
                })
                .collect();
            json!({
                "device": entry.device,
                "frames": {
                    "stored": counters.stored,
                    "duplicate": counters.duplicate,
                    "quarantined": counters.quarantined,
                    "corrupt": counters.corrupt,
                },
                "records": {
                    "spans": counters.spans,
                    "logs": counters.logs,
                    "points": counters.points,
                    "exemplars": counters.exemplars,
                },
                "lost": lost,
            })
        })
        .collect();
    Ok(Json(json!({"devices": devices})))
}
