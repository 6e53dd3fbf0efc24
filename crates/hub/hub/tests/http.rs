//! The http port over a real socket: OTLP intake, bad input, errors of the query API, the page, health.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use common::{SECOND, get, gzip, line, post, start, trace};
use hub::clock;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

/// Scenario: traces plain, logs with gzip, straight to the hub. Guarantees: taken, answered with an empty protobuf
/// message, found, also by a query with pipes; such data does not make answers incomplete.
#[tokio::test(flavor = "multi_thread")]
async fn otlp_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let now = clock::now_ns() - SECOND;
    let answer = post(&hub, "/v1/traces", &[PROTOBUF], &trace(1, now)).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert!(answer.head.contains("content-type: application/x-protobuf"), "{}", answer.head);
    assert_eq!(post(&hub, "/v1/logs", &[PROTOBUF, GZIP], &gzip(&line(1, now, "hello"))).await.status, 200);
    let list = get(&hub, "/api/v0/traces").await.json();
    assert_eq!(list["traces"][0]["root_name"].as_str(), Some("GET /orders"));
    assert_eq!(list["traces"][0]["device"].as_str(), Some("otlp"));
    assert_eq!(list["completeness"]["complete"].as_bool(), Some(true));
    let logs = get(&hub, "/api/v0/logs?text=HELLO&min_severity=error&service=orders").await.json();
    assert_eq!(logs["logs"].as_array().unwrap().len(), 1);
    let table = get(&hub, "/api/v0/logs?service=orders&q=hello%7Cstats%20count%20by%20service,level").await.json();
    assert_eq!(table["columns"], serde_json::json!(["service", "level", "count"]));
    assert_eq!(table["rows"], serde_json::json!([["orders", 17, 1]]));
    assert_eq!(table["completeness"]["complete"].as_bool(), Some(true));
    let table = get(&hub, "/api/v0/traces?q=dur%3E1ms%7Csort%20name%7Cfields%20name,dur%7Climit%201").await.json();
    assert_eq!(table["columns"], serde_json::json!(["time", "name", "dur"]));
    assert_eq!(table["rows"], serde_json::json!([[now.to_string(), "GET /orders", SECOND / 4]]));
    assert_eq!(table["left_out"], 1);
    let services = get(&hub, "/api/v0/services").await.json();
    assert_eq!(services["services"][0]["operations"].as_array().unwrap().len(), 2);
    hub.stop().await;
}

/// Scenario: malformed protobuf, cut gzip, a gzip bomb, a body above the limit, with a length and without one, another
/// type, another encoding. Guarantees: 400, 413, 415 with a message, no panic, nothing stored, and the next request is taken
/// (P9).
#[tokio::test(flavor = "multi_thread")]
async fn bad_otlp_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let good = trace(1, clock::now_ns());
    let cut = gzip(&good);
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let huge = vec![0; 5 << 20];
    let text = ("content-type", "text/plain");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);
    let cases: [Case<'_>; 6] = [
        ("malformed", &[PROTOBUF], b"\xff\xff\xff\xff", 400),
        ("cut gzip", &[PROTOBUF, GZIP], &cut[..cut.len() / 2], 400),
        ("bomb", &[PROTOBUF, GZIP], &bomb, 413),
        ("huge", &[PROTOBUF], &huge, 413),
        ("text", &[text], b"{}", 415),
        ("brotli", &[PROTOBUF, ("content-encoding", "br")], &good, 415),
    ];
    for (name, headers, body, status) in cases {
        let answer = post(&hub, "/v1/traces", headers, body).await;
        assert_eq!(answer.status, status, "{name}");
        assert!(answer.body.len() > 10, "{name}: no message");
    }
    assert_eq!(get(&hub, "/api/v0/traces").await.json()["traces"].as_array().unwrap().len(), 0);
    assert_eq!(post(&hub, "/v1/traces", &[PROTOBUF], &good).await.status, 200);
    let metrics = get(&hub, "/metrics").await.text();
    assert!(metrics.contains("lightship_hub_refused_total{reason=\"too_large\"} 2\n"), "{metrics}");
    assert!(metrics.contains("lightship_hub_refused_total{reason=\"malformed\"} 2\n"), "{metrics}");
    hub.stop().await;
}

/// Scenario: questions that make no sense. Guarantees: 400 or 404 with what is wrong and what to do, as JSON.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let zeros = "0".repeat(32);
    let ones = "1".repeat(32);
    let cases = [
        ("/api/v0/traces?sevice=x".to_owned(), 400, "no such parameter: sevice"),
        ("/api/v0/traces?limit=0".to_owned(), 400, "limit=0"),
        ("/api/v0/traces?start=5&end=4".to_owned(), 400, "start is not before end"),
        ("/api/v0/traces?start=yesterday".to_owned(), 400, "start=yesterday"),
        ("/api/v0/traces?min_duration=200".to_owned(), 400, "min_duration=200"),
        ("/api/v0/traces?after=x".to_owned(), 400, "after=x"),
        (format!("/api/v0/traces/{zeros}"), 400, "no trace id"),
        (format!("/api/v0/traces/{ones}"), 404, "no trace"),
        ("/api/v0/logs?min_severity=loud".to_owned(), 400, "min_severity=loud"),
        ("/api/v0/logs?order=up".to_owned(), 400, "order=up"),
        ("/api/v0/red?step=1ns".to_owned(), 400, "steps are more than"),
        ("/api/v0/metrics/range".to_owned(), 400, "name is missing"),
        ("/api/v0/metrics/range?name=x&func=avg".to_owned(), 400, "no such func: avg"),
        ("/api/v0/metrics/range?name=x&match=y".to_owned(), 400, "match=y"),
        ("/api/v0/logs?q=last%202h".to_owned(), 400, "the time stands in start and end"),
        ("/api/v0/logs?q=x%7Cstats".to_owned(), 400, "q, character"),
        ("/api/v0/logs?q=x%7Climit%202&limit=3".to_owned(), 400, "limit says nothing about a table"),
        ("/api/v0/traces?q=x%7Cstats%20count&error=true".to_owned(), 400, "error says nothing about a table"),
        ("/api/v0/nothing".to_owned(), 404, "no such path"),
    ];
    for (path, status, error) in cases {
        let answer = get(&hub, &path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let json = answer.json();
        assert!(json["error"].as_str().unwrap().contains(error), "{path}: {json}");
        assert!(!json["hint"].as_str().unwrap().is_empty(), "{path}: {json}");
    }
    hub.stop().await;
}

/// Scenario: every request of the query API without data. Guarantees: 200 and the fields that docs/hub-api.md names.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_hub_answers_everything() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let cases = [
        ("/api/v0/services", "services"),
        ("/api/v0/devices", "devices"),
        ("/api/v0/coverage", "coverage"),
        ("/api/v0/red", "rate"),
        ("/api/v0/metrics", "metrics"),
        ("/api/v0/metrics/range?name=x&step=10s", "series"),
        ("/api/v0/exemplars", "exemplars"),
        ("/api/v0/traces", "traces"),
        ("/api/v0/logs", "logs"),
        ("/api/v0/ledger", "devices"),
    ];
    for (path, field) in cases {
        let answer = get(&hub, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.json()[field].is_array(), "{path}: {}", answer.text());
    }
    assert_eq!(get(&hub, "/healthz").await.json()["status"].as_str(), Some("ok"));
    let page = get(&hub, "/").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-type: text/html"), "{}", page.head);
    assert!(page.head.contains("content-security-policy"), "{}", page.head);
    hub.stop().await;
}

/// Scenario: one transaction crosses two devices, as a span attribute on one, as baggage of a log record on the other, whose trace has
/// another record that does not name it; another transaction beside it; under a key of its own. Guarantees: one request tells all of it in
/// the order of time, from both devices, with completeness; nothing of the other one; what is wrong is explained.
#[tokio::test(flavor = "multi_thread")]
async fn the_trail_of_a_transaction_is_one_query() {
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
    use prost::Message;

    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let now = clock::now_ns() - 10 * SECOND;
    let span = |trace: u8, at: u64, attributes| Span {
        trace_id: vec![trace; 16],
        span_id: vec![trace; 8],
        name: format!("span {trace}"),
        start_time_unix_nano: now + at,
        end_time_unix_nano: now + at + 5,
        attributes,
        ..Span::default()
    };
    let spans = vec![
        span(1, 10, vec![common::text("flux_id", "f-1")]),
        span(2, 40, Vec::new()),
        span(3, 20, vec![common::text("flux_id", "f-2"), common::text("order.id", "o7")]),
    ];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let traces = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] };
    let record = |trace: u8, at: u64, attributes| LogRecord {
        trace_id: if trace == 0 { Vec::new() } else { vec![trace; 16] },
        time_unix_nano: now + at,
        attributes,
        ..LogRecord::default()
    };
    let log_records = vec![
        record(2, 30, vec![common::text("baggage", "a=b,flux_id=f-1")]),
        record(2, 50, Vec::new()),
        record(0, 60, vec![common::text("flux_id", "f-1")]),
        record(0, 70, vec![common::text("flux_id", "f-10")]),
    ];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let logs = LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] };
    let (traces, logs) = (traces.encode_to_vec(), logs.encode_to_vec());
    for (device, section) in [("gw-1", wire::SectionRef::Traces(&traces)), ("gw-2", wire::SectionRef::Logs(&logs))] {
        let block = common::block(device, 1, &[&[section]]);
        let answer = common::post_link(&hub, link::BLOCKS_PATH, &[], &block).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let trail = get(&hub, "/api/v0/transactions/f-1").await.json();
    let times: Vec<u64> = trail["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["start"].as_str().or(one["time"].as_str()).unwrap().parse::<u64>().unwrap() - now)
        .collect();
    assert_eq!(times, [10, 30, 40, 50, 60], "{trail}");
    assert_eq!(trail["devices"], serde_json::json!(["gw-1", "gw-2"]));
    assert_eq!(trail["traces"].as_array().unwrap().len(), 2);
    assert_eq!((trail["left_out"].as_u64(), trail["more"].as_bool()), (Some(0), Some(false)));
    assert!(trail["completeness"]["devices"].is_array());
    let cut = get(&hub, "/api/v0/transactions/f-1?limit=2").await.json();
    assert_eq!((cut["records"].as_array().unwrap().len(), cut["left_out"].as_u64()), (2, Some(3)));
    let other = get(&hub, "/api/v0/transactions/o7?key=order.id").await.json();
    assert_eq!(other["records"][0]["name"].as_str(), Some("span 3"));
    assert!(get(&hub, "/api/v0/transactions/o7").await.json()["records"].as_array().unwrap().is_empty());
    let found = get(&hub, "/api/v0/logs?q=tx%3Df-1").await.json();
    assert_eq!(found["logs"].as_array().unwrap().len(), 2);
    assert_eq!(get(&hub, "/api/v0/transactions/f-1?colour=red").await.status, 400);
    hub.stop().await;
}
