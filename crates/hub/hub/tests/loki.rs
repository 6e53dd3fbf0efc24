//! Loki's API of the hub, asked as Grafana asks it, and beside Loki itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::net::{SocketAddr, TcpListener};

use common::{Answer, SECOND, get, get_at, post, post_at, request_at, start, text};
use hub::clock;
use hub::run::Hub;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::{Value, json};

const OTLP: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const CATEGORIZED: &[(&str, &str)] = &[("x-loki-response-encoding-flags", "categorize-labels")];

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn of_service(name: &str, zone: &str, log_records: Vec<LogRecord>) -> ResourceLogs {
    let attributes = vec![
        text("service.name", name),
        text("service.namespace", "shop"),
        text("host.name", "edge-7"),
        text("cloud.region", zone),
    ];
    let scope = InstrumentationScope { name: "http".into(), version: "1.2".into(), ..InstrumentationScope::default() };
    ResourceLogs {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_logs: vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }],
        ..ResourceLogs::default()
    }
}

/// Sixty records of each of three services, every ten seconds up to `end`: logfmt, JSON, and plain lines.
fn fleet(end: u64) -> Vec<u8> {
    let record = |at: u64, body: String| {
        let failed = at.is_multiple_of(7);
        LogRecord {
            time_unix_nano: end - (60 - at) * 10 * SECOND,
            severity_number: if failed { 17 } else { 9 },
            body: Some(AnyValue { value: Some(Any::StringValue(body)) }),
            attributes: vec![
                text("http.route", if at.is_multiple_of(2) { "/orders" } else { "/pay" }),
                pair("deck", Any::IntValue((at % 3).cast_signed())),
                pair("map", Any::KvlistValue(KeyValueList { values: vec![pair("deep.er", Any::BoolValue(true))] })),
            ],
            trace_id: vec![(at % 5) as u8 + 1; 16],
            span_id: vec![(at % 5) as u8 + 1; 8],
            ..LogRecord::default()
        }
    };
    let level = |at: u64| if at.is_multiple_of(7) { "error" } else { "info" };
    let orders = (1..=60).map(|at| {
        let line = format!(
            "level={} method=GET path=/a{} status={} took={}ms size={}KB msg=\"it \\\"is\\\" {at}\"",
            level(at),
            at % 3,
            200 + at % 4 * 100,
            at,
            at
        );
        record(at, line)
    });
    let billing = (1..=60).map(|at| {
        let line = format!(
            r#"{{"level":"{}","n":{at},"ratio":{}.5,"nested":{{"user":"u{}","ok":{}}},"list":[1,{{"x":"y{at}"}}],"none":null}}"#,
            level(at), at % 4, at % 5, at > 30
        );
        record(at, line)
    });
    let ledger = (1..=60).map(|at| {
        record(
            at,
            format!("10.0.{}.{at} - [req-{at}] GET /b/{} HTTP/1.1 {} wrote \u{e9}", at % 3, at % 4, 200 + at % 2),
        )
    });
    let resource_logs = vec![
        of_service("orders", "north", orders.collect()),
        of_service("billing", "north", billing.collect()),
        of_service("ledger", "south", ledger.collect()),
    ];
    LogsData { resource_logs }.encode_to_vec()
}

/// A hub with the fleet's records, and their last time in nanoseconds.
async fn moored(dir: &std::path::Path) -> (Hub, u64, Vec<u8>) {
    let hub = start(dir).await;
    let end = (clock::now_ns() / SECOND / 60 * 60 - 60) * SECOND;
    let logs = fleet(end);
    assert_eq!(post(&hub, "/v1/logs", OTLP, &logs).await.status, 200);
    (hub, end, logs)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn range(query: &str, end: u64, more: &str) -> String {
    let (start, stop) = (end - 700 * SECOND, end + SECOND);
    format!("/loki/api/v1/query_range?query={}&start={start}&end={stop}{more}", encoded(query))
}

fn instant(query: &str, end: u64) -> String {
    format!("/loki/api/v1/query?query={}&time={end}", encoded(query))
}

/// Scenario: what Grafana asks of a data source when it is saved and tested, and of each panel: health, labels, values, streams, logs with and
/// without categories, numbers, sizes, fields. Guarantees: Loki's forms, exact numbers, and a header that says how complete it is (P5).
#[tokio::test]
async fn grafana_finds_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, _) = moored(dir.path()).await;
    let of = async |path: String| get(&hub, &path).await;
    let health = of(instant("vector(1)+vector(1)", end)).await;
    assert_eq!(health.json()["data"]["resultType"], "vector");
    assert_eq!(health.json()["data"]["result"], json!([{"metric": {}, "value": [end / SECOND, "2"]}]));
    let times = format!("start={}&end={}", end - 700 * SECOND, end + SECOND);
    let names = of(format!("/loki/api/v1/labels?{times}")).await;
    assert!(names.head.contains("x-lightship-completeness: complete=?1, fraction=1.0"), "{}", names.head);
    assert_eq!(
        names.json(),
        json!({"status": "success", "data": ["cloud_region", "service_name", "service_namespace"]})
    );
    let values = of(format!("/loki/api/v1/label/service_name/values?{times}")).await.json();
    assert_eq!(values["data"], json!(["billing", "ledger", "orders"]));
    let narrowed = encoded(r#"{cloud_region="south"}"#);
    let values = of(format!("/loki/api/v1/label/service_name/values?query={narrowed}&{times}")).await.json();
    assert_eq!(values["data"], json!(["ledger"]));
    let series = of(format!("/loki/api/v1/series?match[]={narrowed}&{times}")).await.json();
    assert_eq!(
        series["data"],
        json!([{"service_name": "ledger", "service_namespace": "shop", "cloud_region": "south"}])
    );
    let stats = of(format!("/loki/api/v1/index/stats?query={narrowed}&{times}")).await.json();
    assert_eq!((stats["streams"].as_u64(), stats["entries"].as_u64()), (Some(1), Some(60)));
    let volume =
        of(format!("/loki/api/v1/index/volume?query={}&{times}", encoded(r#"{service_name=~".+"}"#))).await.json();
    let sizes = volume["data"]["result"].as_array().unwrap();
    assert_eq!((sizes.len(), &sizes[0]["metric"]), (3, &json!({"service_name": "billing"})));
    let steps =
        of(format!("/loki/api/v1/index/volume_range?query={narrowed}&targetLabels=cloud_region&step=60&{times}")).await;
    assert_eq!(steps.json()["data"]["result"][0]["metric"], json!({"cloud_region": "south"}));
    let detected = of(format!("/loki/api/v1/detected_labels?{times}")).await.json();
    assert!(
        detected["detectedLabels"].as_array().unwrap().contains(&json!({"label": "service_name", "cardinality": 3}))
    );
    let fields = of(format!("/loki/api/v1/detected_fields?query={}&{times}", encoded(r#"{service_name="orders"}"#)))
        .await
        .json();
    let field =
        |name: &str| fields["fields"].as_array().unwrap().iter().find(|own| own["label"] == name).cloned().unwrap();
    assert_eq!(field("took"), json!({"label": "took", "type": "duration", "cardinality": 60, "parsers": ["logfmt"]}));
    assert_eq!(field("trace_id")["parsers"], Value::Null);
    assert_eq!((field("deck")["type"].as_str(), field("size")["type"].as_str()), (Some("int"), Some("bytes")));
    let of_field =
        format!("/loki/api/v1/detected_field/path/values?query={}&{times}", encoded(r#"{service_name="orders"}"#));
    assert_eq!(of(of_field).await.json()["values"], json!(["/a0", "/a1", "/a2"]));
    let logs =
        request_at(hub.http, "GET", &range(r#"{service_name="orders"} | logfmt"#, end, "&limit=1"), CATEGORIZED, b"")
            .await
            .json();
    let data = &logs["data"];
    assert_eq!((&data["resultType"], &data["encodingFlags"]), (&json!("streams"), &json!(["categorize-labels"])));
    let stream = &data["result"][0];
    assert_eq!(
        stream["stream"],
        json!({"service_name": "orders", "service_namespace": "shop", "cloud_region": "north"})
    );
    let entry = &stream["values"][0];
    assert_eq!(entry[0], json!(end.to_string()));
    assert_eq!(entry[2]["parsed"]["msg"], "it \"is\" 60");
    let metadata = &entry[2]["structuredMetadata"];
    for (name, value) in [
        ("trace_id", "01".repeat(16)),
        ("http_route", "/orders".into()),
        ("map_deep_er", "true".into()),
        ("host_name", "edge-7".into()),
        ("scope_name", "http".into()),
    ] {
        assert_eq!(metadata[name], json!(value));
    }
    let plain = of(range(r#"{service_name="orders"}"#, end, "&limit=2&direction=forward")).await.json();
    let first = &plain["data"]["result"][0];
    assert_eq!(
        (first["stream"]["trace_id"].as_str(), first["values"][0].as_array().map(Vec::len)),
        (Some("02".repeat(16).as_str()), Some(2))
    );
    assert_eq!(plain["data"]["stats"]["summary"]["totalEntriesReturned"], 2);
    let of_trace =
        of(range(&format!(r#"{{service_name=~".+"}} | trace_id="{}""#, "03".repeat(16)), end, "&limit=5000"))
            .await
            .json();
    let found: usize =
        of_trace["data"]["result"].as_array().unwrap().iter().map(|s| s["values"].as_array().unwrap().len()).sum();
    assert_eq!(found, 36);
    assert_eq!(
        of_trace["data"]["stats"]["summary"]["totalLinesProcessed"], 36,
        "only those of the trace were looked at"
    );
    let form = format!("query={}&time={end}", encoded(r#"sum(count_over_time({service_name=~".+"}[10m]))"#));
    let posted =
        post(&hub, "/loki/api/v1/query", &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes())
            .await;
    assert_eq!(posted.json()["data"]["result"], json!([{"metric": {}, "value": [end / SECOND, "180"]}]));
    let format = of(format!("/loki/api/v1/format_query?query={}", encoded("{a=\"b\"}|=`x`"))).await.json();
    assert_eq!(format["data"], r#"{a="b"} |= "x""#);
    assert!(of("/loki/api/v1/status/buildinfo".into()).await.json()["version"].is_string());
    assert_eq!(of("/ready".into()).await.text(), "ready\n");
    hub.stop().await;
}

/// Scenario: what cannot be answered. Guarantees: Loki's status and a text that says what is wrong; nothing panics.
#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, _) = moored(dir.path()).await;
    let encoded_logs = encoded(r#"{a="b"}"#);
    for (path, status, says) in [
        (instant("{", end), 400, "parse error at line 1, col 2"),
        (instant(r#"{a="b"}"#, end), 400, "log queries are not supported as an instant query type"),
        (range(r#"{a=~".*"}"#, end, ""), 400, "queries require at least one regexp or equality matcher"),
        (range(r#"{a="b"}"#, end, "&limit=6000"), 400, "max entries limit per query exceeded"),
        (range(r#"{a="b"}"#, end, "&direction=up"), 400, "invalid direction"),
        (range(r#"rate({a="b"}[1m])"#, end, "&step=1ms"), 400, "steps are more than 11000"),
        (format!("/loki/api/v1/query_range?query={encoded_logs}&start=20&end=10"), 400, "end timestamp"),
        ("/loki/api/v1/query_range".into(), 400, "query is missing"),
        ("/loki/api/v1/labels?start=x".into(), 400, "could not parse 'start'"),
        (
            instant(r#"sum(sum_over_time({service_name="orders"} | logfmt | unwrap path [5m]))"#, end),
            400,
            "pipeline error: 'SampleExtractionErr'",
        ),
        ("/loki/api/v1/tail?query=x".into(), 404, "docs/logql.md"),
    ] {
        let answer = get(&hub, &path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    hub.stop().await;
}

/// A Loki with its data in a directory, which is ended with this value.
struct Loki {
    child: std::process::Child,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Loki {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Loki {
    async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/backends/build-loki.sh");
        let built = std::process::Command::new(script).arg("--cached").output().unwrap();
        let binary = String::from_utf8(built.stdout).unwrap();
        let directory = tempfile::tempdir().unwrap();
        // Free ports, as long as nobody else takes them meanwhile.
        let free: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<SocketAddr> = free.iter().map(|listener| listener.local_addr().unwrap()).collect();
        drop(free);
        let place = directory.path().display();
        let config = format!(
            "auth_enabled: false\nserver: {{http_listen_address: 127.0.0.1, http_listen_port: {}, grpc_listen_address: 127.0.0.1, \
             grpc_listen_port: {}, log_level: error}}\ncommon:\n  instance_addr: 127.0.0.1\n  path_prefix: {place}\n  storage: \
             {{filesystem: {{chunks_directory: {place}/chunks, rules_directory: {place}/rules}}}}\n  replication_factor: 1\n  ring: \
             {{kvstore: {{store: inmemory}}}}\nschema_config: {{configs: [{{from: 2020-10-24, store: tsdb, object_store: filesystem, \
             schema: v13, index: {{prefix: index_, period: 24h}}}}]}}\nlimits_config: {{volume_enabled: true, reject_old_samples: \
             false, split_queries_by_interval: 0}}\nfrontend: {{encoding: protobuf}}\nanalytics: {{reporting_enabled: false}}\n",
            ports[0].port(),
            ports[1].port()
        );
        let path = directory.path().join("loki.yaml");
        std::fs::write(&path, config).unwrap();
        let child = std::process::Command::new(binary.trim())
            .arg(format!("-config.file={}", path.display()))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let loki = Self { child, address: ports[0], _directory: directory };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(loki.address).await.is_ok()
                && get_at(loki.address, "/ready").await.status == 200
            {
                return loki;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("Loki does not get ready");
    }
}

/// An answer without what may differ: statistics, the order of streams and series, the last digits of numbers, words of errors.
fn settled(answer: &Answer) -> Value {
    if answer.status != 200 {
        return json!(answer.status);
    }
    let mut data = answer.json()["data"].take();
    if let Some(names) = data.as_array_mut() {
        names.sort_by_key(ToString::to_string);
        return data;
    }
    if let Some(data) = data.as_object_mut() {
        data.remove("stats");
    }
    let round = |value: &mut Value| {
        if let Some(number) = value.as_str().and_then(|text| text.parse::<f64>().ok()) {
            *value = json!(format!("{number:.9e}"));
        }
    };
    let kind = data["resultType"].as_str().unwrap_or_default().to_owned();
    for own in data["result"].as_array_mut().into_iter().flatten() {
        if kind == "streams" {
            for entry in own["values"].as_array_mut().into_iter().flatten() {
                if let Some(parsed) = entry.pointer_mut("/2/parsed").and_then(Value::as_object_mut) {
                    parsed.remove("__error_details__");
                }
            }
            if let Some(stream) = own["stream"].as_object_mut() {
                stream.remove("__error_details__");
            }
            continue;
        }
        if !own.is_object() {
            round(own);
            continue;
        }
        if own["value"].is_array() {
            round(&mut own["value"][1]);
        }
        own["values"].as_array_mut().into_iter().flatten().for_each(|value| round(&mut value[1]));
    }
    if let Some(all) = data["result"].as_array_mut().filter(|_| kind != "scalar") {
        all.sort_by_key(ToString::to_string);
    }
    data
}

/// Scenario: the same OTLP to the hub and to Loki 3.5.3, asked the same. Guarantees: the same answers: streams, labels, lines, numbers.
/// What differs on purpose is not asked (docs/logql.md).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Loki from tests/backends/build-loki.sh"]
async fn beside_loki() {
    let loki = Loki::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, logs) = moored(dir.path()).await;
    let answer = post_at(loki.address, "/otlp/v1/logs", OTLP, &logs).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
    let orders = r#"{service_name="orders"}"#;
    let billing = r#"{service_name="billing"}"#;
    let ledger = r#"{service_name="ledger"}"#;
    let of_logs = [
        orders.to_owned(),
        format!("{orders} |= \"error\""),
        format!("{orders} |= \"error\" or \"a1\" != \"took=14ms\""),
        format!("{orders} |~ \"status=(200|300)\" !~ \"a2$\""),
        format!("{ledger} |> \"<_>GET /b/1 <_>\""),
        format!("{ledger} !> \"<_>GET /b/1 <_>\""),
        format!("{ledger} |= ip(\"10.0.1.0/24\")"),
        format!("{orders} | logfmt"),
        format!("{orders} | logfmt --strict --keep-empty"),
        format!("{orders} | logfmt m=\"msg\", status"),
        format!("{orders} | logfmt | status >= 300 and took < 20ms"),
        format!("{orders} | logfmt | size > 30KB or status = 200"),
        format!("{orders} | logfmt | level=\"error\" | line_format \"{{{{.path}}}} {{{{.took | ToUpper}}}}\""),
        format!("{orders} | logfmt | label_format p=path, q=\"{{{{.status}}}}-{{{{.took}}}}\""),
        format!("{orders} | logfmt | drop msg, size, took, level=\"info\""),
        format!("{orders} | logfmt | keep level, status"),
        format!("{orders} | logfmt | path > 5"),
        format!("{orders} | json"),
        format!("{billing} | json"),
        format!("{billing} | json user=\"nested.user\", x=\"list[1].x\", n, all=\"list\""),
        format!("{billing} | json | nested_ok=\"true\" | n > 50"),
        format!("{billing} | json | ratio <= 1.5, level!=\"info\""),
        format!("{ledger} | pattern \"<ip> - [<req>] <method> <path> <_> <status> <rest>\""),
        format!("{ledger} | regexp \"(?P<ip>\\\\S+) - \\\\[(?P<req>[^]]+)\\\\]\""),
        format!("{ledger} | pattern \"<ip> - <_>\" | ip=ip(\"10.0.2.0-10.0.2.20\")"),
        format!(
            "{ledger} | decolorize | line_format \"{{{{ __line__ | trunc 6 }}}}{{{{ if eq .http_route \\\"/pay\\\" }}}}!{{{{ else }}}}?{{{{ end }}}}\""
        ),
        format!("{orders} | trace_id=\"{}\"", "03".repeat(16)),
        format!("{orders} | detected_level=\"error\" | deck=\"1\""),
        r#"{cloud_region="north", service_name!="billing"} |= "status=400""#.to_owned(),
        r#"{service_name=~"led.*|ord.*"} |= "1""#.to_owned(),
        "{service_name=\"nobody\"}".to_owned(),
    ];
    let of_numbers = [
        "vector(1)+vector(1)".to_owned(),
        "sum(count_over_time({service_name=~\".+\"}[1m]))".to_owned(),
        "sum by (service_name) (rate({service_name=~\".+\"}[2m]))".to_owned(),
        "sum by (detected_level) (count_over_time({service_name=~\".+\"} |= \"e\" [90s]))".to_owned(),
        "count_over_time({service_name=~\".+\"} | keep service_name [1m])".to_owned(),
        "sum by (service_name) (bytes_rate({service_name=~\".+\"}[2m]))".to_owned(),
        "sum without (trace_id, span_id, deck, http_route) (bytes_over_time({service_name=\"ledger\"}[3m]))".to_owned(),
        format!("sum by (path) (count_over_time({orders} | logfmt [1m] offset 30s))"),
        format!("avg_over_time({orders} | logfmt | unwrap duration(took) [1m]) by (status)"),
        format!("max_over_time({orders} | logfmt | unwrap bytes(size) [1m]) by (path)"),
        format!("min_over_time({billing} | json | unwrap n [2m]) by (level)"),
        format!("quantile_over_time(0.9, {billing} | json | unwrap ratio [3m]) by (level)"),
        format!("stddev_over_time({billing} | json | unwrap n [3m]) by (level)"),
        format!("stdvar_over_time({billing} | json | unwrap n [3m]) by (level)"),
        format!("first_over_time({billing} | json | unwrap n [1m]) by (level)"),
        format!("last_over_time({billing} | json | unwrap n [1m]) by (level)"),
        format!("sum by (level) (sum_over_time({billing} | json | unwrap n [1m]))"),
        format!("sum by (level) (rate({billing} | json | unwrap n [1m]))"),
        "topk(1, sum by (service_name) (bytes_over_time({service_name=~\".+\"}[1m])))".to_owned(),
        "bottomk(2, sum by (service_name) (bytes_over_time({service_name=~\".+\"}[1m])))".to_owned(),
        "avg(sum by (service_name) (rate({service_name=~\".+\"}[1m])))".to_owned(),
        "count(sum by (trace_id) (rate({service_name=~\".+\"}[1m])))".to_owned(),
        "stddev(sum by (service_name) (bytes_rate({service_name=~\".+\"}[1m])))".to_owned(),
        format!("sum(rate({orders} |= \"error\" [2m])) / sum(rate({orders}[2m])) * 100"),
        format!("sum by (service_name) (rate({orders}[1m])) > 0.05"),
        format!("sum by (service_name) (rate({orders}[1m])) > bool 0.2"),
        format!("sum by (service_name) (rate({orders}[1m])) or sum by (service_name) (rate({ledger}[1m]))"),
        format!("sum(rate({orders}[1m])) unless sum(rate({ledger}[1m]))"),
        format!(
            "sum by (service_name, path) (rate({orders} | logfmt [1m])) / on (service_name) group_left sum by (service_name) (rate({orders}[1m]))"
        ),
        format!(
            "label_replace(sum by (service_name) (rate({orders}[1m])), \"short\", \"$1\", \"service_name\", \"(..).*\")"
        ),
        "absent_over_time({service_name=\"nobody\", zone=\"z\"}[5m])".to_owned(),
        format!("absent_over_time({orders}[15s])"),
        format!("sum(sum_over_time({orders} | logfmt | unwrap path [1m]))"),
        format!("sum(sum_over_time({orders} | logfmt | unwrap path | __error__=\"\" [1m]))"),
        format!("sum(count_over_time({orders} | json [1m]))"),
    ];
    let mut asked: Vec<(String, &[(&str, &str)])> = Vec::new();
    for query in &of_logs {
        asked.push((range(query, end, "&limit=1000&direction=forward"), &[]));
        asked.push((range(query, end, "&limit=7"), CATEGORIZED));
    }
    for query in &of_numbers {
        asked.push((instant(query, end), &[]));
        asked.push((range(query, end, "&step=20"), &[]));
    }
    for query in
        ["{", "{service_name=~\".*\"}", "rate({a=\"b\"})", "sum_over_time({a=\"b\"}[1m])", "{a=\"b\"} | pattern \"x\""]
    {
        asked.push((range(query, end, ""), &[]));
    }
    let times = format!("start={}&end={}", end - 700 * SECOND, end + SECOND);
    for path in ["labels", "label/service_name/values", "label/cloud_region/values"] {
        asked.push((format!("/loki/api/v1/{path}?{times}"), &[]));
    }
    asked.push((format!("/loki/api/v1/series?match[]={}&{times}", encoded(r#"{cloud_region="north"}"#)), &[]));
    let mut different = Vec::new();
    for (path, headers) in &asked {
        let ours = request_at(hub.http, "GET", path, headers, b"").await;
        let theirs = request_at(loki.address, "GET", path, headers, b"").await;
        if settled(&ours) != settled(&theirs) {
            let decoded: String =
                form_urlencoded::parse(path.as_bytes()).map(|(key, value)| format!("{key}={value} ")).collect();
            different.push(format!("{decoded}\n  ours   {}\n  theirs {}", settled(&ours), settled(&theirs)));
        }
    }
    let shown: Vec<String> = different.iter().map(|text| text.chars().take(6000).collect()).collect();
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), asked.len(), shown.join("\n"));
    hub.stop().await;
}
