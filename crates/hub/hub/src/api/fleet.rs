//! `GET /api/v0/services`, `/devices`, `/coverage` and `/ledger`.

use std::sync::Arc;

use axum::extract::State;
use model::Signal;
use serde::Serialize;
use serde_json::{Value, json};
use store::Interval;
use store::query::{DeviceStatus, LedgerEntry};

use super::params::Params;
use super::{Answer, render};
use crate::app::App;
use crate::clock;
use crate::json::{Json, rows};
use crate::turned_away::Refused;

pub(super) async fn services(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["start", "end"])?;
    let range = params.range()?;
    #[derive(Serialize)]
    struct Services<S, C> {
        services: S,
        completeness: C,
    }
    let answer = app.query(params.scope(), move |store| {
        let (services, completeness) =
            (store.services(range), store.completeness(&Signal::ALL, range, clock::now_ns()));
        let services = services
            .iter()
            .map(|service| json!({"name": service.name, "devices": service.devices, "operations": service.operations}));
        Json::of(&Services { services: rows(services), completeness: render::completeness(&completeness) })
    });
    answer.await
}

pub(super) async fn devices(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[])?;
    let refused = app.turned_away.all();
    #[derive(Serialize)]
    struct Devices<D, R> {
        devices: D,
        refused: R,
    }
    let answer = app.query(params.scope(), move |store| {
        let devices = store.devices(clock::now_ns());
        Json::of(&Devices { devices: rows(devices.iter().map(device)), refused: rows(refused.iter().map(turned_away)) })
    });
    answer.await
}

fn device(device: &DeviceStatus) -> Value {
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
}

fn turned_away(refused: &Refused) -> Value {
    json!({
        "device": refused.device,
        "address": refused.address,
        "reason": refused.reason.as_str(),
        "error": refused.what,
        "count": refused.count,
        "last": render::ns(refused.last_ns),
    })
}

fn incomplete(stretches: &[(Signal, Interval)]) -> Value {
    stretches.iter().map(|(signal, interval)| json!(render::interval(None, Some(*signal), interval))).collect()
}

pub(super) async fn coverage(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&["start", "end", "device"])?;
    let range = params.range()?;
    let device = params.text("device");
    #[derive(Serialize)]
    struct Coverage<C> {
        coverage: C,
    }
    #[derive(Serialize)]
    struct Entry<'a, I> {
        device: &'a str,
        signal: &'static str,
        intervals: I,
    }
    let answer = app.query(params.scope(), move |store| {
        let coverage = store.coverage(range, device.as_deref(), clock::now_ns());
        let entries = coverage.iter().map(|entry| Entry {
            device: &entry.device,
            signal: entry.signal.name(),
            intervals: rows(entry.intervals.iter().map(|interval| render::interval(None, None, interval))),
        });
        Json::of(&Coverage { coverage: rows(entries) })
    });
    answer.await
}

pub(super) async fn ledger(State(app): State<Arc<App>>, params: Params) -> Answer {
    params.only(&[])?;
    #[derive(Serialize)]
    struct Ledger<D> {
        devices: D,
    }
    let answer = app.query(params.scope(), |store| {
        let entries = store.ledger();
        Json::of(&Ledger { devices: rows(entries.iter().map(books)) })
    });
    answer.await
}

fn books(entry: &LedgerEntry) -> Value {
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
}
