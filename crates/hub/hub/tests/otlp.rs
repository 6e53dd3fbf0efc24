//! OTLP/HTTP straight to the hub, as SDKs of several languages send it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

mod common;

use std::io::Write;

use common::{SECOND, get, gzip, line, post, start, trace};
use hub::clock;
use hub::run::Hub;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

const PROTOBUF: &str = "application/x-protobuf";

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

async fn listed(hub: &Hub) -> Vec<String> {
    let list = get(hub, "/api/v0/traces").await.json();
    let ids = list["traces"].as_array().unwrap().iter().map(|row| row["trace_id"].as_str().unwrap().to_owned());
    ids.collect()
}

fn with(id: u8, change: impl Fn(&mut opentelemetry_proto::tonic::trace::v1::Span)) -> Vec<u8> {
    let mut data = TracesData::decode(&*trace(id, clock::now_ns() - SECOND)).unwrap();
    change(&mut data.resource_spans[0].scope_spans[0].spans[1]);
    data.encode_to_vec()
}

/// Scenario: a span whose trace id is zeros, missing or 15 bytes, or whose span id is none, beside a good one. Guarantees:
/// `partial_success` with how many and why; the good one is stored; no trace of zeros is listed.
#[tokio::test(flavor = "multi_thread")]
async fn i7_bad_ids_are_told_and_cost_only_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let cases: [(&str, Vec<u8>); 4] = [
        ("invalid_trace_id", with(1, |span| span.trace_id = vec![0; 16])),
        ("invalid_trace_id", with(2, |span| span.trace_id.clear())),
        ("invalid_trace_id", with(3, |span| span.trace_id = vec![3; 15])),
        ("invalid_span_id", with(4, |span| span.span_id = vec![0; 8])),
    ];
    for (reason, body) in &cases {
        let answer = post(&hub, "/v1/traces", &[("content-type", PROTOBUF)], body).await;
        assert_eq!(answer.status, 200);
        let partial = Response::decode(&*answer.body).unwrap().partial_success.unwrap();
        assert_eq!(partial.rejected, 1, "{reason}");
        assert!(partial.error_message.contains(reason), "{}", partial.error_message);
    }
    let ids = listed(&hub).await;
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.chars().any(|digit| digit != '0')));
    let metrics = get(&hub, "/metrics").await.text();
    assert!(metrics.contains("lightship_hub_refused_total{reason=\"invalid_trace_id\"} 3\n"), "{metrics}");
    hub.stop().await;
}

/// Scenario: log records where traces go, and the other way round. Guarantees: 400 that says what it is, nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn i7_another_signal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let answer = post(&hub, "/v1/traces", &[("content-type", PROTOBUF)], &line(1, clock::now_ns(), "hello")).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("request of logs"), "{}", answer.text());
    assert!(listed(&hub).await.is_empty());
    hub.stop().await;
}

/// Scenario: OTLP/JSON, whole and with a bad span, and JSON that is none. Guarantees: stored, and each answer is JSON.
#[tokio::test(flavor = "multi_thread")]
async fn i5_json_is_answered_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let span = |trace: &str| {
        let start = clock::now_ns() - SECOND;
        format!(
            r#"{{"traceId":"{trace}","spanId":"00f067aa0ba902b7","name":"GET /","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{}"}}"#,
            start + SECOND
        )
    };
    let request = |spans: &str| {
        format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"web"}}}}]}},"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#
        )
    };
    let good = span("4bf92f3577b34da6a3ce929d0e0e4736");
    let json = [("content-type", "application/json; charset=utf-8")];
    let answer = post(&hub, "/v1/traces", &json, request(&good).as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert!(answer.head.contains("content-type: application/json"));
    let mixed = request(&format!("{good},{}", span("00000000000000000000000000000000")));
    let answer = post(&hub, "/v1/traces", &json, mixed.as_bytes()).await;
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"].as_str(), Some("1"));
    let answer = post(&hub, "/v1/traces", &json, b"{\"resourceSpans\": [").await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (400, Some(3)));
    assert_eq!(listed(&hub).await, ["4bf92f3577b34da6a3ce929d0e0e4736"]);
    hub.stop().await;
}

/// Scenario: types and codings in other cases, old names, zlib with and without its head, zstd, two at once, unknown ones.
/// Guarantees: what is known is undone whatever its case; what is not is 415 and says what is offered (RFC 9110 section 8.4).
#[tokio::test(flavor = "multi_thread")]
async fn i6_codings_are_read_as_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let plain = |id: u8| trace(id, clock::now_ns() - SECOND);
    let zlib = |bytes: &[u8]| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let raw = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let cases = [
        ("Application/X-Protobuf", "identity", plain(1)),
        (PROTOBUF, "GZIP", gzip(&plain(2))),
        (PROTOBUF, "x-gzip", gzip(&plain(3))),
        (PROTOBUF, "deflate", zlib(&plain(4))),
        (PROTOBUF, "deflate", raw(&plain(5))),
        (PROTOBUF, "deflate, gzip", gzip(&zlib(&plain(6)))),
    ];
    for (media_type, coding, body) in &cases {
        let headers = [("content-type", *media_type), ("content-encoding", *coding)];
        assert_eq!(post(&hub, "/v1/traces", &headers, body).await.status, 200, "{media_type} {coding}");
    }
    assert_eq!(listed(&hub).await.len(), cases.len());
    let headers = [("content-type", PROTOBUF), ("content-encoding", "br")];
    let answer = post(&hub, "/v1/traces", &headers, &plain(9)).await;
    assert_eq!(answer.status, 415);
    assert!(answer.head.contains("accept-encoding: gzip, zstd, deflate, identity"), "{}", answer.head);
    hub.stop().await;
}

/// Scenario: one attribute nested deeper than allowed beside good spans, and one as deep as allowed. Guarantees: the former
/// costs only itself, the latter is stored and shown.
#[tokio::test(flavor = "multi_thread")]
async fn i8_one_deep_record_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let hub = start(dir.path()).await;
    let nested = |depth: u32| {
        (0..depth).fold(AnyValue { value: Some(Any::BoolValue(true)) }, |inner, _| AnyValue {
            value: Some(Any::ArrayValue(ArrayValue { values: vec![inner] })),
        })
    };
    let deep = |id: u8, depth: u32| {
        with(id, |span| {
            span.attributes.push(KeyValue { key: "deep".into(), value: Some(nested(depth)), ..KeyValue::default() });
        })
    };
    let most = model::otlp::MAX_DEPTH;
    let answer = post(&hub, "/v1/traces", &[("content-type", PROTOBUF)], &deep(1, most)).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = post(&hub, "/v1/traces", &[("content-type", PROTOBUF)], &deep(2, 4 * most)).await;
    let partial = Response::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!((answer.status, partial.rejected), (200, 1));
    let whole = get(&hub, &format!("/api/v0/traces/{}", "01".repeat(16))).await.json();
    assert_eq!(whole["stored_spans"].as_u64(), Some(2));
    let whole = get(&hub, &format!("/api/v0/traces/{}", "02".repeat(16))).await.json();
    assert_eq!(whole["stored_spans"].as_u64(), Some(1));
    hub.stop().await;
}
