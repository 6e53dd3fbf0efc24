//! What operators copy out of deploy/grafana, held against what the hub answers and what the programs count.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::{SECOND, get, post, start, text};
use hub::clock;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use promql::NAME;
use prost::Message;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(root().join("deploy/grafana/dashboards")).unwrap();
    let read = |path: PathBuf| {
        let dashboard = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        (path.file_name().unwrap().to_string_lossy().into_owned(), dashboard)
    };
    files.map(|file| read(file.unwrap().path())).collect()
}

/// A query as Grafana sends it, with its variables filled in.
fn filled(query: &str) -> String {
    let mut out = query.replace("$__rate_interval", "5m").replace("$__auto", "1m");
    for name in ["$service", "$device", "$agent"] {
        out = out.replace(name, ".+");
    }
    assert!(!out.contains('$'), "{out}: a variable that no dashboard has");
    out
}

/// The queries of a data source in all panels of all dashboards.
fn queries(kind: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (_, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().unwrap() {
            let targets = panel["targets"].as_array().unwrap().iter();
            out.extend(targets.filter(|own| own["datasource"]["type"] == kind).map(|own| own["expr"].clone()));
        }
    }
    out.into_iter().filter_map(|expr| expr.as_str().map(filled)).collect()
}

/// Every name that a query asks for.
fn names(query: &str) -> BTreeSet<String> {
    let expr = promql::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let of = |matcher: &promql::Matcher| (matcher.name == NAME).then(|| matcher.value.clone());
    expr.selectors().into_iter().flat_map(|own| own.matchers.iter().filter_map(of)).collect()
}

/// Whether a literal stands in the sources below a folder of the device's crates.
fn stands_in(folder: &str, literal: &str) -> bool {
    let mut directories = vec![root().join("crates/device").join(folder).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if std::fs::read_to_string(&path).unwrap().contains(&format!("\"{literal}\"")) {
                return true;
            }
        }
    }
    false
}

/// Metrics of the host and of spans, as the device names them: name, unit, and whether they count, and whether they are histograms.
const OF_DEVICES: [(&str, &str, &str, bool, bool); 6] = [
    ("host", "system.cpu.time", "s", true, false),
    ("host", "system.network.io", "By", true, false),
    ("host", "system.filesystem.utilization", "1", false, false),
    ("host", "system.linux.memory.available", "By", false, false),
    ("red", "traces.span.metrics.calls", "", true, false),
    ("red", "traces.span.metrics.duration", "ms", false, true),
];

/// These metrics and the agent's own, two points each, up to `end`.
fn metrics(end: u64, own: &BTreeSet<String>) -> Vec<u8> {
    let times = [end - 60 * SECOND, end];
    // The device is the label that the link gives.
    let attributes = || {
        let device = text("device", "vessel-1");
        vec![text("span.kind", "SPAN_KIND_SERVER"), text("status.code", "STATUS_CODE_ERROR"), device]
    };
    let points = || {
        let point = |(place, time): (usize, u64)| NumberDataPoint {
            time_unix_nano: time,
            start_time_unix_nano: end - 120 * SECOND,
            value: Some(Number::AsDouble(1.0 + place as f64)),
            attributes: attributes(),
            ..NumberDataPoint::default()
        };
        times.into_iter().enumerate().map(point).collect::<Vec<_>>()
    };
    let counter = || Data::Sum(Sum { data_points: points(), aggregation_temporality: 2, is_monotonic: true });
    let gauge = || Data::Gauge(Gauge { data_points: points() });
    let histogram = || {
        let point = |(place, time): (usize, u64)| HistogramDataPoint {
            time_unix_nano: time,
            start_time_unix_nano: end - 120 * SECOND,
            count: 1 + place as u64,
            sum: Some(1.0),
            explicit_bounds: vec![1.0],
            bucket_counts: vec![1 + place as u64, 0],
            attributes: attributes(),
            ..HistogramDataPoint::default()
        };
        Data::Histogram(Histogram {
            data_points: times.into_iter().enumerate().map(point).collect(),
            aggregation_temporality: 2,
        })
    };
    let metric = |name: &str, unit: &str, data: Data| Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    let of_devices = OF_DEVICES.into_iter().map(|(_, name, unit, counts, is_histogram)| {
        metric(
            name,
            unit,
            if is_histogram {
                histogram()
            } else if counts {
                counter()
            } else {
                gauge()
            },
        )
    });
    // The agent says its families as OTLP without `_total`, which comes back.
    let own = own.iter().map(|name| match name.strip_suffix("_total") {
        Some(name) => metric(name, "", counter()),
        None => metric(name, "", gauge()),
    });
    let attributes = vec![text("service.name", "orders"), text("service.instance.id", "vessel-1")];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_metrics = vec![ScopeMetrics { metrics: of_devices.chain(own).collect(), ..ScopeMetrics::default() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }] }
        .encode_to_vec()
}

/// Scenario: every query of every dashboard, over what an agent says of a host, of spans and of itself. Guarantees: each metric is one that the
/// programs have, each query has an answer that is not empty, and each query for logs can be read.
#[tokio::test]
async fn dashboards_ask_for_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let end = clock::now_ns() / SECOND * SECOND;
    let asked: Vec<String> = queries("prometheus");
    assert!(asked.len() > 20);
    let all: BTreeSet<String> = asked.iter().flat_map(|query| names(query)).collect();
    let of_hub = get(&hub, "/metrics").await.text();
    let (hubs, rest): (BTreeSet<String>, BTreeSet<String>) =
        all.into_iter().partition(|name| name.starts_with("lightship_hub_"));
    for name in &hubs {
        assert!(of_hub.contains(&format!("# TYPE {name} ")), "{name} is no metric of the hub");
    }
    let own: BTreeSet<String> = rest.into_iter().filter(|name| name.starts_with("lightship_")).collect();
    for name in &own {
        assert!(stands_in("edge", name.trim_start_matches("lightship_")), "{name} is no metric of the agent");
    }
    for (folder, name, ..) in OF_DEVICES {
        let there = stands_in(folder, name) || folder == "red";
        assert!(there, "{name} is no metric of {folder}");
    }
    let mut said = own;
    said.extend(hubs);
    let otlp = [("content-type", "application/x-protobuf")];
    assert_eq!(post(&hub, "/v1/metrics", &otlp, &metrics(end, &said)).await.status, 200);
    for query in asked {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = get(&hub, &format!("/prometheus/api/v1/query?query={encoded}&time={}", end / SECOND)).await;
        let found = answer.json()["data"]["result"].as_array().map_or(0, Vec::len);
        assert!(found > 0, "{query}: {}", answer.text());
    }
    for query in queries("loki") {
        logql::parse(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    hub.stop().await;
}

/// Scenario: the data sources that dashboards and links name. Guarantees: each is provisioned, under a path at which the hub answers as what it
/// is said to be.
#[tokio::test]
async fn data_sources_are_there() {
    let sources = root().join("deploy/grafana/provisioning/datasources/lightship.yaml");
    let text = std::fs::read_to_string(sources).unwrap();
    let value =
        |line: &str, key: &str| line.trim().trim_start_matches("- ").strip_prefix(key).map(|v| v.trim().to_owned());
    let known: BTreeSet<String> = text.lines().filter_map(|line| value(line, "uid:")).collect();
    assert_eq!(known.len(), 3);
    let mut named: BTreeSet<String> = text.lines().filter_map(|line| value(line, "datasourceUid:")).collect();
    for (file, dashboard) in dashboards() {
        assert!(dashboard["uid"].is_string() && dashboard["title"].is_string(), "{file}");
        for panel in dashboard["panels"].as_array().unwrap() {
            named.insert(panel["datasource"]["uid"].as_str().unwrap().to_owned());
        }
    }
    assert!(named.is_subset(&known), "{named:?} are not all of {known:?}");
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let health = ["/query?query=1%2B1", "/loki/api/v1/query?query=vector(1)%2Bvector(1)", "/api/services"];
    let urls: Vec<String> = text.lines().filter_map(|line| value(line, "url: $LIGHTSHIP_HUB")).collect();
    for (url, path) in urls.iter().zip(health) {
        let path = if url == "/prometheus" { format!("{url}/api/v1{path}") } else { format!("{url}{path}") };
        assert_eq!(get(&hub, &path).await.status, 200, "{path}");
    }
    assert_eq!(urls.len(), 3);
    hub.stop().await;
}
