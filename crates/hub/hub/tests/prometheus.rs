//! Prometheus' API of the hub, asked as Grafana asks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use common::{Answer, SECOND, get, get_at, post, post_at, start, text};
use hub::clock;
use hub::run::Hub;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, MetricsData,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric {
        name: name.into(),
        unit: unit.into(),
        description: format!("what {name} is"),
        data: Some(data),
        ..Metric::default()
    }
}

fn number(at: u64, begin: u64, value: f64, attributes: &[KeyValue]) -> NumberDataPoint {
    NumberDataPoint {
        time_unix_nano: at,
        start_time_unix_nano: begin,
        value: Some(Number::AsDouble(value)),
        attributes: attributes.to_vec(),
        ..NumberDataPoint::default()
    }
}

/// Ten minutes of a counter of two routes, a gauge, a histogram of each kind and a sum of deltas, every 15 s, up to `end`.
fn vessel(end: u64, deltas: bool) -> Vec<u8> {
    let begin = end - 600 * SECOND;
    let times = || (1..=40_u64).map(move |at| (at, begin + at * 15 * SECOND));
    let routes = [text("http.route", "/orders"), text("http.route", "/pay")];
    let counter = |temporality: i32| Sum {
        data_points: routes
            .iter()
            .zip([1.0, 3.0])
            .flat_map(|(route, each)| {
                times().map(move |(at, t)| number(t, begin, at as f64 * 15.0 * each, std::slice::from_ref(route)))
            })
            .collect(),
        aggregation_temporality: temporality,
        is_monotonic: true,
    };
    let gauge = Gauge { data_points: times().map(|(at, t)| number(t, 0, 20.0 + at as f64 / 4.0, &[])).collect() };
    let histogram = Histogram {
        data_points: times()
            .map(|(at, t)| HistogramDataPoint {
                time_unix_nano: t,
                start_time_unix_nano: begin,
                count: at * 10,
                sum: Some(at as f64 * 2.5),
                explicit_bounds: vec![0.1, 0.5],
                bucket_counts: vec![at * 2, at * 6, at * 2],
                ..HistogramDataPoint::default()
            })
            .collect(),
        aggregation_temporality: 2,
    };
    let exponential = ExponentialHistogram {
        data_points: times()
            .map(|(at, t)| ExponentialHistogramDataPoint {
                time_unix_nano: t,
                start_time_unix_nano: begin,
                count: at * 4,
                sum: Some(at as f64 * 6.0),
                scale: 0,
                positive: Some(Buckets { offset: 0, bucket_counts: vec![at * 4] }),
                ..ExponentialHistogramDataPoint::default()
            })
            .collect(),
        aggregation_temporality: 2,
    };
    let mut metrics = vec![
        metric("http.server.requests", "{request}", Data::Sum(counter(2))),
        metric("http.server.deltas", "1", Data::Sum(counter(1))),
        metric("hold.temperature", "Cel", Data::Gauge(gauge)),
        metric("http.server.duration", "s", Data::Histogram(histogram)),
        metric("db.duration", "s", Data::ExponentialHistogram(exponential)),
    ];
    metrics.retain(|metric| deltas || metric.name != "http.server.deltas");
    let attributes = vec![
        text("service.name", "orders"),
        text("service.namespace", "shop"),
        text("service.instance.id", "o-1"),
        text("service.version", "1.2.3"),
        text("host.name", "edge-7"),
    ];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }] }
        .encode_to_vec()
}

/// A hub with the vessel's metrics, and their last time in seconds.
async fn moored(dir: &std::path::Path) -> (Hub, u64) {
    let hub = start(dir).await;
    let end = clock::now_ns() / SECOND - 30;
    let answer =
        post(&hub, "/v1/metrics", &[("content-type", "application/x-protobuf")], &vessel(end * SECOND, true)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (hub, end)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn ask(hub: &Hub, path: &str) -> Value {
    let answer = get(hub, &format!("/prometheus/api/v1/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["status"], "success");
    body
}

async fn instant(hub: &Hub, query: &str, time: u64) -> Value {
    ask(hub, &format!("query?query={}&time={time}", encoded(query))).await
}

/// The values of an instant vector.
fn values(body: &Value) -> Vec<f64> {
    let all = body["data"]["result"].as_array().unwrap();
    all.iter().map(|own| own["value"][1].as_str().unwrap().parse().unwrap()).collect()
}

fn error(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    assert_eq!(body["status"], "error", "{body}");
    (answer.status, body["errorType"].as_str().unwrap().to_owned())
}

/// Scenario: the requests of Grafana's data source for Prometheus: its health check, Explore, the label browser, a dashboard's
/// panel, all as it sends them. Promise: each is answered in the form that Prometheus has.
#[tokio::test(flavor = "multi_thread")]
async fn grafana_asks() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end) = moored(dir.path()).await;
    // Health: a posted form.
    let body = format!("query=1%2B1&time={end}");
    let answer = post(&hub, "/prometheus/api/v1/query", FORM, body.as_bytes()).await.json();
    assert_eq!(answer["data"], json!({"resultType": "scalar", "result": [end, "2"]}));
    let build = ask(&hub, "status/buildinfo").await;
    assert!(build["data"]["version"].is_string() && build["data"].get("features").is_none());
    // A panel.
    let query = "sum by (http_route) (rate(http_server_requests_total{job=\"shop/orders\"}[1m0s]))";
    let (from, step) = (end - 300, 15);
    let body = format!("query={}&start={from}&end={end}&step={step}", encoded(query));
    let panel = post(&hub, "/prometheus/api/v1/query_range", FORM, body.as_bytes()).await.json();
    let result = panel["data"]["result"].as_array().unwrap();
    assert_eq!(panel["data"]["resultType"], "matrix");
    assert_eq!(result.len(), 2, "{panel}");
    assert_eq!(result[0]["metric"], json!({"http_route": "/orders"}));
    assert_eq!(result[0]["values"].as_array().unwrap().len(), 21);
    for value in result[1]["values"].as_array().unwrap() {
        let rate: f64 = value[1].as_str().unwrap().parse().unwrap();
        assert!((rate - 3.0).abs() < 1e-9, "{value}");
    }
    // The label browser, with and without what was chosen.
    let time = format!("start={from}&end={end}");
    let labels = ask(&hub, &format!("labels?{time}")).await;
    for name in ["__name__", "http_route", "instance", "job", "le", "host_name"] {
        assert!(labels["data"].as_array().unwrap().contains(&json!(name)), "{labels}");
    }
    let names = ask(&hub, &format!("label/__name__/values?{time}")).await;
    let wanted = ["db_duration_seconds", "hold_temperature_celsius", "http_server_duration_seconds_bucket"];
    for name in wanted.iter().chain(&["http_server_requests_total", "target_info"]) {
        assert!(names["data"].as_array().unwrap().contains(&json!(name)), "{names}");
    }
    let selector = encoded("http_server_requests_total{http_route!=\"/pay\"}");
    let values = ask(&hub, &format!("label/http_route/values?{time}&match[]={selector}")).await;
    assert_eq!(values["data"], json!(["/orders"]));
    assert_eq!(ask(&hub, &format!("label/http_route/values?{time}")).await["data"], json!(["/orders", "/pay"]));
    assert_eq!(ask(&hub, &format!("label/job/values?{time}")).await["data"], json!(["shop/orders"]));
    let body = format!("{time}&match%5B%5D={selector}");
    let series = post(&hub, "/prometheus/api/v1/series", FORM, body.as_bytes()).await.json();
    let identity = json!({
        "__name__": "http_server_requests_total", "http_route": "/orders", "job": "shop/orders", "instance": "o-1",
        "host_name": "edge-7"
    });
    assert_eq!(series["data"], json!([identity]));
    let metadata = ask(&hub, "metadata?metric=http_server_requests_total").await;
    let entry = json!([{"type": "counter", "help": "what http.server.requests is", "unit": ""}]);
    assert_eq!(metadata["data"], json!({"http_server_requests_total": entry}));
    let formatted = ask(&hub, &format!("format_query?query={}", encoded("sum(rate( x [5m])) by(a)"))).await;
    assert_eq!(formatted["data"], "sum by (a) (rate(x[5m]))");
    assert_eq!(ask(&hub, "rules").await["data"], json!({"groups": []}));
    let exemplars = ask(&hub, &format!("query_exemplars?query=http_server_requests_total&{time}")).await;
    assert_eq!(exemplars["data"], json!([]));
    hub.stop().await;
}

/// Scenario: metrics of each kind of OTLP. Promise: they have the names, labels and values that Prometheus gives them, and what
/// it has no place for is told.
#[tokio::test(flavor = "multi_thread")]
async fn kinds_of_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end) = moored(dir.path()).await;
    let one = |body: Value| values(&body);
    assert_eq!(one(instant(&hub, "hold_temperature_celsius", end).await), [30.0]);
    assert_eq!(one(instant(&hub, r#"{"hold.temperature", job="shop/orders"}"#, end).await), [30.0]);
    assert_eq!(one(instant(&hub, r#"http_server_duration_seconds_bucket{le="0.5"}"#, end).await), [320.0]);
    assert_eq!(one(instant(&hub, "http_server_duration_seconds_count", end).await), [400.0]);
    assert_eq!(one(instant(&hub, "http_server_duration_seconds_sum", end).await), [100.0]);
    let median = "histogram_quantile(0.5, rate(http_server_duration_seconds_bucket[5m]))";
    let found = one(instant(&hub, median, end).await);
    assert!((found[0] - 0.3).abs() < 1e-9, "{found:?}");
    assert_eq!(one(instant(&hub, "histogram_count(db_duration_seconds)", end).await), [160.0]);
    let native = instant(&hub, "db_duration_seconds", end).await;
    let histogram = &native["data"]["result"][0]["histogram"];
    assert_eq!(histogram[0], end);
    assert_eq!(histogram[1], json!({"count": "160", "sum": "240", "buckets": [[0, "1", "2", "160"]]}));
    let joined = "hold_temperature_celsius * on (job, instance) group_left (service_version) target_info";
    let body = instant(&hub, joined, end).await;
    assert_eq!(body["data"]["result"][0]["metric"]["service_version"], "1.2.3", "{body}");
    let deltas = instant(&hub, "http_server_deltas_total", end).await;
    assert_eq!(deltas["data"]["result"], json!([]));
    assert!(deltas["warnings"].to_string().contains("delta"), "{deltas}");
    let gauge = instant(&hub, "rate(hold_temperature_celsius[1m])", end).await;
    assert!(gauge["infos"][0].as_str().unwrap().starts_with("PromQL info: metric might not be a counter"), "{gauge}");
    let range = instant(&hub, "hold_temperature_celsius[45s]", end).await;
    assert_eq!(range["data"]["resultType"], "matrix");
    assert_eq!(range["data"]["result"][0]["values"].as_array().unwrap().len(), 3);
    assert_eq!(instant(&hub, "\"a\"", end).await["data"], json!({"resultType": "string", "result": [end, "a"]}));
    hub.stop().await;
}

/// Scenario: questions that are none, and ones that ask for too much. Promise: Prometheus' statuses and kinds of errors.
#[tokio::test(flavor = "multi_thread")]
async fn bad_questions() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end) = moored(dir.path()).await;
    let bad = |path: &str| format!("/prometheus/api/v1/{path}");
    let cases = [
        ("query", 400, "bad_data"),
        ("query?query=sum(", 400, "bad_data"),
        ("query?query=x&time=tomorrow", 400, "bad_data"),
        ("query_range?query=x&start=0&end=100", 400, "bad_data"),
        ("query_range?query=x&start=0&end=100&step=0", 400, "bad_data"),
        ("query_range?query=x&start=100&end=0&step=1", 400, "bad_data"),
        ("query_range?query=x&start=0&end=100000&step=1", 400, "bad_data"),
        ("series", 400, "bad_data"),
        ("series?match[]=1", 400, "bad_data"),
        ("labels?match[]=%7B", 400, "bad_data"),
        ("nothing", 404, "not_found"),
    ];
    for (path, status, kind) in cases {
        assert_eq!(error(&get(&hub, &bad(path)).await), (status, kind.to_owned()), "{path}");
    }
    let collision = encoded("{__name__=~\"http_server_duration_seconds_(sum|count)\"} * 2");
    let answer = get(&hub, &bad(&format!("query?query={collision}&time={end}"))).await;
    assert_eq!(error(&answer), (422, "execution".to_owned()));
    let heavy = encoded("sum_over_time(vector(1)[1y:1ms])");
    assert_eq!(error(&get(&hub, &bad(&format!("query?query={heavy}"))).await), (422, "execution".to_owned()));
    hub.stop().await;
}

/// A Prometheus that takes OTLP, which is ended with this value.
struct Prometheus {
    child: std::process::Child,
    address: std::net::SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/backends/build-prometheus.sh");
        let built = std::process::Command::new(script).arg("--cached").output().unwrap();
        let binary = String::from_utf8(built.stdout).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("prometheus.yml");
        let promote =
            "otlp: {promote_resource_attributes: [host.name]}\nstorage: {tsdb: {out_of_order_time_window: 1h}}\n";
        std::fs::write(&config, promote).unwrap();
        // A free port, as long as nobody else takes it meanwhile.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = std::process::Command::new(binary.trim())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-otlp-receiver", "--enable-feature=promql-experimental-functions", "--log.level=error"])
            .spawn()
            .unwrap();
        let prometheus = Self { child, address, _directory: directory };
        for _ in 0..300 {
            if tokio::net::TcpStream::connect(address).await.is_ok() && get_at(address, "/-/ready").await.status == 200
            {
                return prometheus;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("Prometheus does not get ready");
    }
}

/// Whether two answers say the same: numbers within a millionth of a millionth, vectors in any order.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => {
            a == b
                || match (a.parse::<f64>(), b.parse::<f64>()) {
                    (Ok(a), Ok(b)) => (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-12 * a.abs().max(b.abs()),
                    _ => false,
                }
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn in_order(mut body: Value) -> Value {
    if let Some(all) = body["data"]["result"].as_array_mut() {
        all.sort_by_key(|own| own["metric"].to_string());
    }
    body["data"].take()
}

/// Scenario: the same OTLP to the hub and to Prometheus 3.16, asked the same. Promise: the same answers, value by value, and the
/// same infos and warnings of PromQL.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Prometheus from tests/backends/build-prometheus.sh"]
async fn beside_prometheus() {
    let prometheus = Prometheus::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (hub, end) = moored(dir.path()).await;
    let otlp = [("content-type", "application/x-protobuf")];
    let answer = post_at(prometheus.address, "/api/v1/otlp/v1/metrics", &otlp, &vessel(end * SECOND, false)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let queries = [
        "http_server_requests_total",
        "rate(http_server_requests_total[1m])",
        "increase(http_server_requests_total[7m])",
        "sum by (http_route) (irate(http_server_requests_total[2m]))",
        "sum without (http_route) (http_server_requests_total) > 100",
        "topk(1, http_server_requests_total)",
        "hold_temperature_celsius",
        "avg_over_time(hold_temperature_celsius[3m])",
        "quantile_over_time(0.9, hold_temperature_celsius[3m])",
        "predict_linear(hold_temperature_celsius[3m], 600)",
        "rate(hold_temperature_celsius[1m])",
        "max_over_time(rate(http_server_requests_total[1m])[5m:30s])",
        "histogram_quantile(0.9, sum by (le) (rate(http_server_duration_seconds_bucket[5m])))",
        "http_server_duration_seconds_sum / http_server_duration_seconds_count",
        "db_duration_seconds",
        "histogram_quantile(0.9, rate(db_duration_seconds[5m]))",
        "histogram_fraction(1, 1.5, rate(db_duration_seconds[5m]))",
        "histogram_avg(db_duration_seconds)",
        "sum(rate(db_duration_seconds[5m]))",
        "db_duration_seconds * 2",
        "http_server_requests_total * on (job, instance) group_left (service_version) target_info",
        "http_server_requests_total offset 1m - http_server_requests_total",
        "http_server_requests_total @ end() unless http_server_requests_total{http_route=\"/pay\"}",
        "absent(nothing{a=\"b\"})",
        "label_replace(hold_temperature_celsius, \"x\", \"$1\", \"job\", \"(.*)/.*\")",
        "count({job=\"shop/orders\", __name__=~\"http_server_d.*\"})",
        "clamp(hold_temperature_celsius, 22, 25) or vector(1)",
        "hold_temperature_celsius ^ 2 % 7",
        "{__name__=~\"http_server_duration_seconds_(sum|count)\"} * 2",
        "sum(",
    ];
    let (from, step) = (end - 480, 20);
    let mut different = Vec::new();
    for query in queries {
        let encoded = encoded(query);
        let paths = [
            format!("query?query={encoded}&time={end}"),
            format!("query_range?query={encoded}&start={from}&end={end}&step={step}"),
        ];
        for path in paths {
            let ours = get(&hub, &format!("/prometheus/api/v1/{path}")).await;
            let theirs = get_at(prometheus.address, &format!("/api/v1/{path}")).await;
            let told = |answer: &Answer| {
                let body = answer.json();
                let warnings = body["warnings"].as_array().cloned().unwrap_or_default();
                let warnings = warnings.into_iter().filter(|text| !text.to_string().contains("lightship:"));
                (warnings.collect::<Vec<_>>(), body["infos"].clone(), body["errorType"].clone())
            };
            let alike = ours.status == theirs.status
                && told(&ours) == told(&theirs)
                && same(&in_order(ours.json()), &in_order(theirs.json()));
            if !alike {
                different.push(format!("{path}\n  ours   {}\n  theirs {}", ours.text(), theirs.text()));
            }
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), 2 * queries.len(), different.join("\n"));
    hub.stop().await;
}
