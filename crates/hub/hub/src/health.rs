//! `GET /healthz` and `GET /metrics`.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;
use crate::clock;

/// A damage in one line.
pub(crate) fn damage_line(damage: &store::Damage) -> String {
    let devices = if damage.devices.is_empty() { "unknown devices".to_owned() } else { damage.devices.join(", ") };
    format!("{} (answers over {} to {} of {devices} lack its records)", damage.what, damage.from, damage.to)
}

/// The routes of health and metrics.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics))
}

/// Most reasons that health tells.
const MOST_TOLD: usize = 20;

async fn health(State(app): State<Arc<App>>) -> Response {
    let damages: Vec<String> =
        app.store.damages().iter().filter(|damage| !damage.accepted).take(MOST_TOLD).map(damage_line).collect();
    match app.store.health() {
        Ok(()) if damages.is_empty() => Json(json!({"status": "ok"})).into_response(),
        // It serves and stores: whoever restarts what is not well has nothing to mend here.
        Ok(()) => Json(json!({"status": "degraded", "reasons": damages})).into_response(),
        Err(error) => {
            let body = json!({"status": "unavailable", "error": error.to_string()});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// Prometheus' text format, a family at a time.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[(&str, f64)]) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help, &[("", value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "counter", help, &[("", value)]);
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let counters = &app.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let stats = app.store.stats();
    let devices = app.store.scoped(&store::query::Scope::whole_store()).devices(clock::now_ns());
    let connected = devices.iter().filter(|device| device.connected).count() as f64;
    let mut text = Text(String::new());
    text.gauge("lightship_hub_up", "Whether intake can store.", f64::from(u8::from(app.store.health().is_ok())));
    text.family(
        "lightship_hub_requests_total",
        "counter",
        "Requests by what they are.",
        &[
            ("{kind=\"hello\"}", read(&counters.hellos)),
            ("{kind=\"blocks\"}", read(&counters.block_requests)),
            ("{kind=\"otlp\"}", read(&counters.otlp_requests)),
            ("{kind=\"query\"}", read(&counters.queries)),
        ],
    );
    let refused: Vec<(String, f64)> =
        app.refusals().iter().map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), count as f64)).collect();
    let refused: Vec<(&str, f64)> = refused.iter().map(|(labels, count)| (labels.as_str(), *count)).collect();
    text.family(
        "lightship_hub_refused_total",
        "counter",
        "Requests and connections that were refused, by reason.",
        &refused,
    );
    let doubles = devices.iter().filter(|device| device.two_agents).count() as f64;
    text.gauge("lightship_hub_doubled_devices", "Names under which two agents say hello. Any is an alarm.", doubles);
    text.family(
        "lightship_hub_frames_total",
        "counter",
        "Frames since the start of the hub, by what became of them. Any quarantined one is an alarm.",
        &[
            ("{outcome=\"stored\"}", read(&counters.frames_stored)),
            ("{outcome=\"duplicate\"}", read(&counters.frames_duplicate)),
            ("{outcome=\"quarantined\"}", read(&counters.frames_quarantined)),
        ],
    );
    text.counter(
        "lightship_hub_corrupt_blocks_total",
        "Blocks that could not be read.",
        read(&counters.blocks_corrupt),
    );
    text.family(
        "lightship_hub_devices",
        "gauge",
        "Devices by contact.",
        &[("{contact=\"yes\"}", connected), ("{contact=\"no\"}", devices.len() as f64 - connected)],
    );
    text.gauge("lightship_hub_head_frames", "Frames in memory, not packed yet.", stats.head_frames as f64);
    text.gauge("lightship_hub_head_bytes", "Memory of heads, estimated.", stats.head_bytes as f64);
    text.gauge("lightship_hub_head_bytes_limit", "Limit of it.", stats.head_bytes_limit as f64);
    text.gauge("lightship_hub_memory_limit_bytes", "What the whole hub may take (--memory).", app.memory as f64);
    text.gauge("lightship_hub_head_traces", "Traces in heads.", stats.head_traces as f64);
    text.gauge("lightship_hub_packs", "Pack files.", stats.packs as f64);
    text.gauge(
        "lightship_hub_unreadable_packs",
        "Packs that cannot be read as a whole; their records are missing from answers.",
        stats.unreadable_packs as f64,
    );
    text.gauge(
        "lightship_hub_damages",
        "Packs, blocks and frames that cannot be read; answers over their time say that they are incomplete.",
        stats.damages as f64,
    );
    text.gauge("lightship_hub_pack_bytes", "Bytes of pack files.", stats.pack_bytes as f64);
    text.gauge("lightship_hub_pack_records", "Records in packs.", stats.pack_records as f64);
    text.gauge("lightship_hub_database_bytes", "Bytes of the database.", stats.database_bytes as f64);
    text.gauge("lightship_hub_claim_runs", "Intervals of claimed sequences in memory.", stats.claim_runs as f64);
    text.counter("lightship_hub_commits_total", "Synchronous commits.", stats.commits as f64);
    text.counter("lightship_hub_compactions_total", "Runs that packed frames.", stats.compactions as f64);
    text.counter("lightship_hub_compaction_errors_total", "Runs that failed.", read(&counters.compaction_errors));
    text.counter("lightship_hub_merged_packs_total", "Packs merged into others.", stats.merged_packs as f64);
    text.counter("lightship_hub_expired_packs_total", "Packs deleted by retention.", stats.expired_packs as f64);
    text.counter(
        "lightship_hub_unverified_duplicates_total",
        "Frames known only by their claim, whose digest is past retention.",
        stats.unverified as f64,
    );
    text.counter(
        "lightship_hub_replaced_texts_total",
        "Frames with texts that are not UTF-8; U+FFFD stands in their place.",
        stats.replaced_texts as f64,
    );
    text.gauge(
        "lightship_hub_unreadable_frames",
        "Stored frames that this version cannot read.",
        stats.unreadable_frames as f64,
    );
    text.counter(
        "lightship_hub_damaged_reads_total",
        "Reads of packs that failed and were left out of an answer.",
        stats.damaged_blocks as f64,
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0).into_response()
}
