//! Jaeger's API of the hub, asked as Grafana and Jaeger's page ask it, and beside Jaeger itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::net::{SocketAddr, TcpListener};

use common::{Answer, SECOND, get, get_at, post, post_at, start, text};
use hub::clock;
use hub::run::Hub;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use prost::Message;
use serde_json::{Value, json};

const OTLP: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const MS: u64 = 1_000_000;

fn any(value: Any) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(any(value)), ..KeyValue::default() }
}

fn of_service(name: &str, spans: Vec<Span>) -> ResourceSpans {
    let attributes = vec![text("service.name", name), text("host.name", "edge-7"), pair("decks", Any::IntValue(3))];
    let scope = InstrumentationScope { name: "http".into(), version: "1.2".into(), ..InstrumentationScope::default() };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// `count` traces, a second apart up to `end`: orders calls billing, which fails in every second one. All that OTLP's spans may have is
/// there once.
fn fleet(end: u64, count: u8) -> Vec<u8> {
    let mut orders = Vec::new();
    let mut billing = Vec::new();
    for id in 1..=count {
        let begin = end - u64::from(count - id) * SECOND - SECOND;
        let span = |number: u8, parent: u8, name: &str, from: u64, ms: u64| Span {
            trace_id: vec![id; 16],
            span_id: vec![number; 8],
            parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
            name: name.into(),
            start_time_unix_nano: begin + from * MS,
            end_time_unix_nano: begin + (from + ms) * MS,
            ..Span::default()
        };
        let list = ArrayValue { values: vec![any(Any::IntValue(1)), any(Any::StringValue("two".into()))] };
        let map = KeyValueList { values: vec![pair("deep", Any::BoolValue(true))] };
        orders.push(Span {
            kind: 2,
            trace_state: "a=b".into(),
            attributes: vec![
                text("http.route", "/orders"),
                pair("large", Any::IntValue(9_007_199_254_740_993)),
                pair("small", Any::IntValue(-5)),
                pair("ratio", Any::DoubleValue(0.25)),
                pair("cached", Any::BoolValue(false)),
                pair("raw", Any::BytesValue(vec![0, 255, 16])),
                pair("list", Any::ArrayValue(list)),
                pair("map", Any::KvlistValue(map)),
            ],
            events: vec![Event {
                time_unix_nano: begin + MS,
                name: "queued".into(),
                attributes: vec![pair("depth", Any::IntValue(7))],
                ..Event::default()
            }],
            ..span(1, 0, "GET /orders", 0, 100 * u64::from(id))
        });
        let failed = id % 2 == 0;
        billing.push(Span {
            kind: 3,
            links: vec![Link { trace_id: vec![99; 16], span_id: vec![98; 8], ..Link::default() }],
            status: failed.then(|| Status { code: 2, message: "no money".into() }),
            ..span(2, 1, "charge", 1, 50)
        });
        billing.push(span(3, 2, "ledger", 2, 20));
    }
    let resource_spans = vec![of_service("orders", orders), of_service("billing", billing)];
    TracesData { resource_spans }.encode_to_vec()
}

/// A hub with four traces, and the end of their time in microseconds.
async fn moored(dir: &std::path::Path) -> (Hub, u64, Vec<u8>) {
    let hub = start(dir).await;
    let end = (clock::now_ns() / SECOND - 30) * SECOND;
    let traces = fleet(end, 4);
    assert_eq!(post(&hub, "/v1/traces", OTLP, &traces).await.status, 200);
    (hub, end / 1000, traces)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let all = body["data"].as_array().unwrap_or_else(|| panic!("{}", answer.text()));
    all.iter().map(|trace| trace["traceID"].as_str().unwrap()[..2].to_owned()).collect()
}

/// Scenario: a trace with every kind of attribute, an event, a link, an error, a scope. Guarantees: it is Jaeger's JSON: typed tags, exact
/// integers, references with the parent first, logs, processes; and a header says how complete it is (P5, H7).
#[tokio::test]
async fn h7_a_trace_is_jaegers_json() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, _) = moored(dir.path()).await;
    let answer = get(&hub, &format!("/jaeger/api/traces/{}", "02".repeat(16))).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("x-lightship-completeness: complete=?1, fraction=1.0, stretches=0"),
        "{}",
        answer.head
    );
    let body = answer.json();
    assert_eq!((body["total"].as_u64(), &body["errors"]), (Some(0), &Value::Null));
    let trace = &body["data"][0];
    assert_eq!(trace["traceID"], json!("02".repeat(16)));
    assert_eq!(trace["processes"]["p1"]["serviceName"], "orders");
    assert_eq!(
        trace["processes"]["p2"],
        json!({"serviceName": "billing", "tags": [
            {"key": "host.name", "type": "string", "value": "edge-7"}, {"key": "decks", "type": "int64", "value": 3}]})
    );
    let root = &trace["spans"][0];
    assert_eq!(root["startTime"].as_u64(), Some(end - 3_000_000));
    assert_eq!((root["duration"].as_u64(), &root["processID"]), (Some(200_000), &json!("p1")));
    assert_eq!((&root["references"], &root["warnings"]), (&json!([]), &Value::Null));
    assert_eq!(
        root["tags"],
        json!([
            {"key": "otel.scope.name", "type": "string", "value": "http"},
            {"key": "otel.scope.version", "type": "string", "value": "1.2"},
            {"key": "http.route", "type": "string", "value": "/orders"},
            {"key": "large", "type": "int64", "value": "9007199254740993"},
            {"key": "small", "type": "int64", "value": -5},
            {"key": "ratio", "type": "float64", "value": 0.25},
            {"key": "cached", "type": "bool", "value": false},
            {"key": "raw", "type": "binary", "value": "AP8Q"},
            {"key": "list", "type": "string", "value": "[1,\"two\"]"},
            {"key": "map", "type": "string", "value": "{\"deep\":true}"},
            {"key": "span.kind", "type": "string", "value": "server"},
            {"key": "w3c.tracestate", "type": "string", "value": "a=b"},
        ])
    );
    assert_eq!(
        root["logs"],
        json!([{"timestamp": end - 2_999_000, "fields": [
            {"key": "event", "type": "string", "value": "queued"}, {"key": "depth", "type": "int64", "value": 7}]}])
    );
    let child = &trace["spans"][1];
    assert_eq!(
        child["references"],
        json!([
            {"refType": "CHILD_OF", "traceID": "02".repeat(16), "spanID": "01".repeat(8)},
            {"refType": "FOLLOWS_FROM", "traceID": "63".repeat(16), "spanID": "62".repeat(8)},
        ])
    );
    let told = child["tags"].as_array().unwrap();
    for tag in [
        json!({"key": "otel.status_code", "type": "string", "value": "ERROR"}),
        json!({"key": "error", "type": "bool", "value": true}),
        json!({"key": "otel.status_description", "type": "string", "value": "no money"}),
    ] {
        assert!(told.contains(&tag), "{tag} of {told:?}");
    }
    hub.stop().await;
}

/// Scenario: search by service, operation, tags of every origin, durations, time, limit; the page's own parameters; traces by their ids,
/// one of which is not there; names, dependencies; a child whose parent never came. Guarantees: what is meant is found and nothing else;
/// what is not there is told.
#[tokio::test]
async fn search_names_and_calls() {
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, _) = moored(dir.path()).await;
    let search = async |query: String| get(&hub, &format!("/jaeger/api/traces?{query}")).await;
    let time = format!("start={}&end={end}", end - 60_000_000);
    let cases = [
        ("service=orders".to_owned(), vec!["04", "03", "02", "01"]),
        ("service=orders&limit=2".to_owned(), vec!["04", "03"]),
        ("service=billing&operation=charge".to_owned(), vec!["04", "03", "02", "01"]),
        ("service=billing&operation=GET%20%2Forders".to_owned(), vec![]),
        ("service=nobody".to_owned(), vec![]),
        (format!("service=billing&tags={}", encoded(r#"{"error":"true"}"#)), vec!["04", "02"]),
        (format!("service=billing&tags={}", encoded(r#"{"error":"true","span.kind":"server"}"#)), vec![]),
        ("service=billing&tag=otel.status_code:ERROR&tag=span.kind:client".to_owned(), vec!["04", "02"]),
        ("service=orders&tag=small:-5&tag=host.name:edge-7".to_owned(), vec!["04", "03", "02", "01"]),
        ("service=orders&minDuration=0.25s&maxDuration=350ms".to_owned(), vec!["03"]),
        ("service=orders&lookback=1h&raw=true&unknown=1".to_owned(), vec!["04", "03", "02", "01"]),
    ];
    for (query, wanted) in cases {
        let answer = search(format!("{query}&{time}")).await;
        assert_eq!((answer.status, ids(&answer)), (200, wanted.into_iter().map(str::to_owned).collect()), "{query}");
    }
    let later = search(format!("service=orders&start={}&end={end}", end - 2_500_000)).await;
    assert_eq!(ids(&later), ["04", "03"]);
    assert_eq!(ids(&search("service=orders&lookback=1h".into()).await).len(), 4);
    let both = search(format!("traceID={}&traceID=77", "01".repeat(16))).await;
    assert_eq!(ids(&both), ["01"]);
    assert_eq!(both.json()["errors"], json!([{"msg": "trace not found", "traceID": "0000000000000077"}]));
    for (path, status) in [
        ("traces/0000000000000077", 404),
        ("traces/xyz", 400),
        ("traces", 400),
        ("traces?service=a&limit=0", 400),
        ("traces?service=a&start=x", 400),
        ("traces?service=a&minDuration=2s&maxDuration=1s", 400),
        ("traces?service=a&tags=%5B1%5D", 400),
        ("traces?service=a&tag=b", 400),
        ("operations", 400),
        ("nothing", 404),
    ] {
        let answer = get(&hub, &format!("/jaeger/api/{path}")).await;
        assert_eq!(
            (answer.status, answer.json()["errors"][0]["code"].as_u64()),
            (status, Some(status.into())),
            "{path}"
        );
        assert_eq!(answer.json()["data"], Value::Null);
    }
    let names = get(&hub, "/jaeger/api/services").await.json();
    assert_eq!((&names["data"], &names["total"]), (&json!(["billing", "orders"]), &json!(2)));
    assert_eq!(get(&hub, "/jaeger/api/services/billing/operations").await.json()["data"], json!(["charge", "ledger"]));
    let operations = get(&hub, "/jaeger/api/operations?service=orders&spanKind=server").await.json();
    assert_eq!(operations["data"], json!([{"name": "GET /orders", "spanKind": ""}]));
    let calls = get(&hub, &format!("/jaeger/api/dependencies?endTs={}&lookback=60000", end / 1000)).await;
    assert!(calls.head.contains("x-lightship-completeness: "));
    let wanted = json!([
        {"parent": "billing", "child": "billing", "callCount": 4}, {"parent": "orders", "child": "billing", "callCount": 4}]);
    assert_eq!(calls.json()["data"], wanted);
    let of_nobody = get(&hub, &format!("/jaeger/api/dependencies?endTs={}&service=x", end / 1000)).await;
    assert_eq!(of_nobody.json()["data"], json!([]));
    let lost = of_service(
        "lost",
        vec![Span {
            trace_id: vec![50; 16],
            span_id: vec![5; 8],
            parent_span_id: vec![4; 8],
            name: "orphan".into(),
            start_time_unix_nano: end * 1000,
            end_time_unix_nano: end * 1000 - 1,
            ..Span::default()
        }],
    );
    let lost = TracesData { resource_spans: vec![lost] }.encode_to_vec();
    assert_eq!(post(&hub, "/v1/traces", OTLP, &lost).await.status, 200);
    let warnings = &get(&hub, &format!("/jaeger/api/traces/{}", "32".repeat(16))).await.json()["data"][0]["spans"][0];
    assert_eq!(warnings["duration"], json!(0));
    let warnings = warnings["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("the parent span 0404040404040404 is not stored"));
    assert!(warnings[1].as_str().unwrap().contains("ends 1 ns before it starts"));
    hub.stop().await;
}

/// A Jaeger with its spans in memory, which is ended with this value.
struct Jaeger {
    child: std::process::Child,
    intake: SocketAddr,
    query: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Drop for Jaeger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Jaeger {
    async fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../tests/backends/build-jaeger.sh");
        let built = std::process::Command::new(script).arg("--cached").output().unwrap();
        let binary = String::from_utf8(built.stdout).unwrap();
        let directory = tempfile::tempdir().unwrap();
        // Free ports, as long as nobody else takes them meanwhile.
        let free: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<SocketAddr> = free.iter().map(|listener| listener.local_addr().unwrap()).collect();
        drop(free);
        let [intake, query, grpc, other] = ports[..] else { panic!("four ports") };
        let config = format!(
            "service:\n  extensions: [jaeger_storage, jaeger_query]\n  pipelines:\n    traces: {{receivers: [otlp], exporters: \
             [jaeger_storage_exporter]}}\n  telemetry: {{metrics: {{level: none}}}}\nextensions:\n  jaeger_query:\n    storage: \
             {{traces: memory}}\n    http: {{endpoint: \"{query}\"}}\n    grpc: {{endpoint: \"{other}\"}}\n  jaeger_storage:\n    \
             backends: {{memory: {{memory: {{max_traces: 1000}}}}}}\nreceivers:\n  otlp: {{protocols: {{http: {{endpoint: \
             \"{intake}\"}}, grpc: {{endpoint: \"{grpc}\"}}}}}}\nexporters:\n  jaeger_storage_exporter: {{trace_storage: memory}}\n"
        );
        let path = directory.path().join("jaeger.yaml");
        std::fs::write(&path, config).unwrap();
        let child = std::process::Command::new(binary.trim())
            .arg("--config")
            .arg(path)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let jaeger = Self { child, intake, query, _directory: directory };
        for _ in 0..300 {
            let is_open = tokio::net::TcpStream::connect(intake).await.is_ok();
            if is_open && tokio::net::TcpStream::connect(query).await.is_ok() {
                return jaeger;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("Jaeger does not get ready");
    }
}

/// A trace without what may differ: the order of tags, and the numbers of processes.
fn settled(mut body: Value) -> Value {
    let sort = |list: &mut Value| {
        if let Some(list) = list.as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    };
    let traces = body["data"].as_array_mut().into_iter().flatten();
    for trace in traces.filter(|trace| trace.get("spans").is_some()) {
        let mut processes = trace["processes"].take();
        for process in processes.as_object_mut().into_iter().flatten() {
            sort(&mut process.1["tags"]);
        }
        for span in trace["spans"].as_array_mut().into_iter().flatten() {
            sort(&mut span["tags"]);
            let id = span["processID"].as_str().unwrap().to_owned();
            span["processID"] = processes[id].clone();
            for log in span["logs"].as_array_mut().into_iter().flatten() {
                sort(&mut log["fields"]);
            }
        }
        sort(&mut trace["spans"]);
    }
    if !body["data"].is_null() {
        sort(&mut body["data"]);
    }
    body
}

/// Scenario: the same spans to the hub and to Jaeger 1.76 (2.13), asked the same. Guarantees: the same answers, field by field. Not asked
/// are tags that Jaeger's storage in memory does not find (`error`, `span.kind`), and a limit, which leaves out any traces there.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Jaeger from tests/backends/build-jaeger.sh"]
async fn beside_jaeger() {
    let jaeger = Jaeger::start().await;
    let dir = tempfile::tempdir().unwrap();
    let (hub, end, traces) = moored(dir.path()).await;
    let answer = post_at(jaeger.intake, "/v1/traces", OTLP, &traces).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // Jaeger stores in batches.
    for _ in 0..100 {
        if get_at(jaeger.query, "/api/services").await.json()["data"].as_array().is_some_and(|all| all.len() == 2) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let time = format!("start={}&end={end}", end - 60_000_000);
    let tags = encoded(r#"{"http.route":"/orders","small":"-5"}"#);
    let paths = [
        "services".to_owned(),
        "services/billing/operations".to_owned(),
        "services/nobody/operations".to_owned(),
        format!("traces/{}", "01".repeat(16)),
        format!("traces/{}", "02".repeat(16)),
        "traces/0000000000000077".to_owned(),
        format!("traces?service=orders&{time}"),
        format!("traces?service=billing&operation=charge&{time}"),
        format!("traces?service=orders&tags={tags}&{time}"),
        format!("traces?service=orders&tag=http.route:%2Forders&{time}"),
        format!("traces?service=orders&minDuration=250ms&{time}"),
        format!("traces?service=orders&maxDuration=150ms&{time}"),
        format!("dependencies?endTs={}&lookback=60000", end / 1000),
    ];
    let mut different = Vec::new();
    for path in &paths {
        let ours = get(&hub, &format!("/jaeger/api/{path}")).await;
        let theirs = get_at(jaeger.query, &format!("/api/{path}")).await;
        if ours.status != theirs.status || settled(ours.json()) != settled(theirs.json()) {
            different.push(format!("{path}\n  ours   {}\n  theirs {}", ours.text(), theirs.text()));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), paths.len(), different.join("\n"));
    hub.stop().await;
}

/// Scenario: the same trace asked as Grafana asks Tempo, by both versions, unknown, and as JSON. Guarantees: OTLP with every span, byte for
/// byte as it was sent, whether it is all there, and an error that says what to do else.
#[tokio::test]
async fn a_trace_is_tempos_protobuf() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct ById {
        #[prost(message, optional, tag = "1")]
        trace: Option<TracesData>,
        #[prost(int32, tag = "3")]
        status: i32,
    }
    let dir = tempfile::tempdir().unwrap();
    let (hub, _, sent) = moored(dir.path()).await;
    let id = "02".repeat(16);
    let ask =
        async |path: String, accept: &str| common::request_at(hub.http, "GET", &path, &[("accept", accept)], b"").await;
    let spans_of = |data: &TracesData| {
        let all =
            data.resource_spans.iter().flat_map(|own| own.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
        let mut own: Vec<Span> = all.filter(|span| span.trace_id == [2; 16]).collect();
        own.sort_by(|a, b| a.span_id.cmp(&b.span_id));
        own
    };
    let wanted = spans_of(&TracesData::decode(&*sent).unwrap());
    let first = ask(format!("/tempo/api/traces/{id}?start=1&end=2"), "application/protobuf").await;
    assert!(first.status == 200 && first.head.contains("content-type: application/protobuf"), "{}", first.head);
    assert!(first.head.contains("x-lightship-completeness: complete=?1"));
    assert_eq!(spans_of(&TracesData::decode(&*first.body).unwrap()), wanted);
    let second = ask(format!("/tempo/api/v2/traces/{id}"), "application/protobuf").await;
    let second = ById::decode(&*second.body).unwrap();
    assert_eq!((spans_of(&second.trace.unwrap()), second.status), (wanted, 0));
    assert_eq!(ask("/tempo/api/traces/77".into(), "*/*").await.status, 404);
    assert_eq!(ask("/tempo/api/traces/xyz".into(), "*/*").await.status, 400);
    assert_eq!(ask(format!("/tempo/api/traces/{id}"), "application/json").await.status, 406);
    assert_eq!(ask("/tempo/api/echo".into(), "*/*").await.text(), "echo");
    assert_eq!(ask("/tempo/api/search?q=%7B%7D".into(), "*/*").await.status, 404);
    hub.stop().await;
}
