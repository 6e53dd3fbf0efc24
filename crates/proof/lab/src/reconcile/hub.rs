//! Reading everything of a run back through the hub's query API (docs/hub-api.md).

use crate::http_json::{find, get, query};
use crate::reconcile::found::{Found, FoundExemplar, FoundLine, FoundMetric, FoundSeries, FoundTrace};
use crate::vessel::{LINE_ID, Manifest};
use anyhow::{Context, Result};
use model::{SpanId, TraceId};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;

/// The most that one answer of the hub lists.
const PAGE: &str = "10000";
/// The RED metric that counts every span.
const CALLS: &str = "traces.span.metrics.calls";

/// A range of wall time, `[start_ns, end_ns)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

#[derive(Deserialize)]
struct TraceList {
    traces: Vec<TraceSummary>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct TraceSummary {
    #[serde(deserialize_with = "trace_id")]
    trace_id: TraceId,
}

#[derive(Deserialize)]
struct Trace {
    spans: Vec<TraceSpan>,
    stored_spans: u64,
}

#[derive(Deserialize)]
struct TraceSpan {
    span_id: String,
}

#[derive(Deserialize)]
struct LogList {
    logs: Vec<LogRow>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct LogRow {
    trace_id: Option<String>,
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
struct ExemplarList {
    exemplars: Vec<ExemplarRow>,
}

#[derive(Deserialize)]
struct ExemplarRow {
    #[serde(deserialize_with = "trace_id")]
    trace_id: TraceId,
    state: String,
}

#[derive(Deserialize)]
struct Range {
    times: Vec<String>,
    series: Vec<RangeSeries>,
}

#[derive(Deserialize)]
struct RangeSeries {
    attributes: BTreeMap<String, Value>,
    values: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct HubLedger {
    devices: Vec<HubLedgerDevice>,
}

#[derive(Deserialize)]
struct HubLedgerDevice {
    records: HubRecords,
}

#[derive(Deserialize)]
struct HubRecords {
    points: u64,
}

/// Reads everything in the window; `points` of the manifest say which metrics and when. `step_ms` is the time between
/// two exports of metrics, in milliseconds.
pub(crate) async fn read_hub(hub: SocketAddr, window: Window, manifest: &Manifest, step_ms: u64) -> Result<Found> {
    let mut found = Found::default();
    // Those that the hub lists, and those that it must have even if it does not list them.
    let mut traces: BTreeSet<TraceId> = listed_traces(hub, window).await?.into_iter().collect();
    traces.extend(manifest.requests.iter().filter(|request| request.should_keep).map(|request| request.trace));
    for trace in traces {
        if let Some(stored) = find::<Trace>(hub, &format!("/api/v0/traces/{trace}")).await? {
            let spans = stored.spans.iter().filter_map(|span| SpanId::from_hex(&span.span_id)).collect();
            found.traces.insert(trace, FoundTrace { spans, rows: stored.stored_spans });
        }
    }
    found.lines = stored_lines(hub, window).await?;
    found.exemplars = exemplars(hub, window).await?;
    read_points(hub, manifest, step_ms, &mut found).await?;
    Ok(found)
}

async fn listed_traces(hub: SocketAddr, window: Window) -> Result<Vec<TraceId>> {
    let mut listed = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let target = page("/api/v0/traces", window, &[], after.as_deref());
        let list: TraceList = get(hub, &target).await?;
        listed.extend(list.traces.iter().map(|summary| summary.trace_id));
        after = list.next;
        if after.is_none() {
            return Ok(listed);
        }
    }
}

/// Every log row in the window, oldest first.
pub(crate) async fn stored_lines(hub: SocketAddr, window: Window) -> Result<Vec<FoundLine>> {
    let mut lines = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let target = page("/api/v0/logs", window, &[("order", "asc")], after.as_deref());
        let list: LogList = get(hub, &target).await?;
        lines.extend(list.logs.into_iter().map(|row| FoundLine {
            id: row.attributes.iter().find(|found| found.key == LINE_ID).map(|found| plain(&found.value)),
            trace: row.trace_id.as_deref().and_then(TraceId::from_hex),
        }));
        after = list.next;
        if after.is_none() {
            return Ok(lines);
        }
    }
}

/// An answer lists so many at most and has no next page: it is asked for stretches of time.
async fn exemplars(hub: SocketAddr, window: Window) -> Result<Vec<FoundExemplar>> {
    const STRETCH_NS: u64 = 60_000_000_000;
    let mut found = Vec::new();
    let mut start_ns = window.start_ns;
    while start_ns < window.end_ns {
        let end_ns = (start_ns + STRETCH_NS).min(window.end_ns);
        let list: ExemplarList = get(hub, &page("/api/v0/exemplars", Window { start_ns, end_ns }, &[], None)).await?;
        found.extend(list.exemplars.into_iter().map(|row| FoundExemplar { trace: row.trace_id, state: row.state }));
        start_ns = end_ns;
    }
    Ok(found)
}

/// Asks for each metric in steps of which each holds one export at most.
async fn read_points(hub: SocketAddr, manifest: &Manifest, step_ms: u64, found: &mut Found) -> Result<()> {
    let times = || manifest.points.iter().map(|point| point.time_ns);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(()) };
    let window = Window { start_ns: first, end_ns: last + 1 };
    let metrics: HashSet<(&'static str, bool)> =
        manifest.points.iter().map(|point| (point.metric, point.is_histogram)).collect();
    for (metric, is_histogram) in metrics {
        let func = if is_histogram { "count" } else { "value" };
        found.metrics.insert(metric, range(hub, metric, func, window, step_ms).await?);
    }
    Ok(())
}

async fn range(hub: SocketAddr, metric: &str, func: &str, window: Window, step_ms: u64) -> Result<FoundMetric> {
    let step = format!("{step_ms}ms");
    let parameters = [("name", metric), ("func", func), ("step", &step)];
    let target = bounded("/api/v0/metrics/range", window, &parameters);
    let range: Range = get(hub, &target).await?;
    let times: Result<_, _> = range.times.iter().map(|time| time.parse()).collect();
    let text = |attributes: BTreeMap<String, Value>| attributes.into_iter().map(|(key, value)| (key, plain(&value)));
    let series = range.series.into_iter();
    let series = series.map(|one| FoundSeries { attributes: text(one.attributes).collect(), values: one.values });
    Ok(FoundMetric { times: times.context("times that are no numbers")?, series: series.collect() })
}

/// Rows of points that the hub has stored, by its ledger.
pub(crate) async fn stored_points(hub: SocketAddr) -> Result<u64> {
    let ledger: HubLedger = get(hub, "/api/v0/ledger").await?;
    Ok(ledger.devices.iter().map(|device| device.records.points).sum())
}

/// The RED calls by span name: what each series counted last before the agent was killed and what it counted last after
/// that, added up. The agent began again from zero in between (P6).
pub(crate) async fn red_calls(hub: SocketAddr, window: Window, killed_ns: u64) -> Result<BTreeMap<String, u64>> {
    // Shorter than the time from a kill to the next export, and longer only where the hub would have to list too much.
    const STEPS: u64 = 5_000;
    let step_ms = ((window.end_ns - window.start_ns) / 1_000_000 / STEPS).max(100);
    let metric = range(hub, CALLS, "value", window, step_ms).await?;
    let killed = metric.times.partition_point(|time| *time < killed_ns);
    let last = |values: &[Option<f64>]| values.iter().rev().find_map(|value| *value).unwrap_or_default() as u64;
    let mut calls = BTreeMap::new();
    for series in metric.series {
        let name = series.attributes.get("span.name").context("a RED series without span.name")?;
        let (before, after) = series.values.split_at(killed.min(series.values.len()));
        *calls.entry(name.clone()).or_default() += last(before) + last(after);
    }
    Ok(calls)
}

fn page(path: &str, window: Window, parameters: &[(&str, &str)], after: Option<&str>) -> String {
    let mut all = vec![("limit", PAGE)];
    all.extend_from_slice(parameters);
    all.extend(after.map(|after| ("after", after)));
    bounded(path, window, &all)
}

fn bounded(path: &str, window: Window, parameters: &[(&str, &str)]) -> String {
    let (start, end) = (window.start_ns.to_string(), window.end_ns.to_string());
    let mut all = vec![("start", start.as_str()), ("end", end.as_str())];
    all.extend_from_slice(parameters);
    query(path, &all)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn trace_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TraceId, D::Error> {
    let text = String::deserialize(deserializer)?;
    TraceId::from_hex(&text).ok_or_else(|| serde::de::Error::custom(format!("not a trace id: {text}")))
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
