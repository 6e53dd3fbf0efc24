//! OTLP log records as push requests.

use model::otlp::schema::any_value;
use model::proto::{put_bytes, put_fixed32, put_fixed64, put_message, put_uint};
use prost::Message as _;

use crate::Pushes;

/// The messages of Loki's `logproto`.
#[derive(Clone, PartialEq, prost::Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    line: String,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Timestamp {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}
#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

fn attribute(out: &mut Vec<u8>, number: u32, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, value);
    });
}

fn text(text: &str) -> impl FnOnce(&mut Vec<u8>) {
    move |out| put_bytes(out, any_value::STRING, text.as_bytes())
}

/// A group with a resource of these attributes and records as `records` writes them.
fn group(out: &mut Vec<u8>, resource: &[(&str, &str)], records: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, 1, |out| {
        put_message(out, 1, |out| resource.iter().for_each(|(key, value)| attribute(out, 1, key, text(value))));
        put_message(out, 2, |out| {
            put_message(out, 1, |out| put_bytes(out, 1, b"pump.control"));
            records(out);
        });
    });
}

fn record(out: &mut Vec<u8>, nanoseconds: u64, line: &str, rest: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, nanoseconds);
        put_message(out, 5, text(line));
        rest(out);
    });
}

/// The push requests of a request: for each entry its stream, its time, its line and its metadata.
fn pushed(request: &[u8], more: &[String]) -> Vec<Vec<(String, i64, String, String)>> {
    let (mut pushes, mut out, mut all) = (Pushes::read(request, more).unwrap(), Vec::new(), Vec::new());
    loop {
        let count = pushes.write(&mut out).unwrap();
        if count == 0 {
            assert!(out.is_empty());
            return all;
        }
        let mut entries = Vec::new();
        for stream in PushRequest::decode(out.as_slice()).unwrap().streams {
            for entry in stream.entries {
                let time = entry.timestamp.unwrap();
                let pairs: Vec<String> =
                    entry.metadata.iter().map(|pair| format!("{}={}", pair.name, pair.value)).collect();
                let nanoseconds = time.seconds * 1_000_000_000 + i64::from(time.nanos);
                entries.push((stream.labels.clone(), nanoseconds, entry.line, pairs.join(" ")));
            }
        }
        assert_eq!(entries.len() as u64, count);
        all.push(entries);
    }
}

/// Scenario: a record with everything that a log record can have, under a resource and a scope that say some of it too. Guarantees:
/// labels from the resource as Loki picks them, quoted; the body as the line; all else as metadata, lists taken apart, the record's own
/// word before that of its resource.
#[test]
fn a_record_is_told_as_loki_tells_it() {
    let mut request = Vec::new();
    let resource = [
        ("service.name", "pump \"2\"\\\n\u{1}"),
        ("k8s.pod.name", "p-1"),
        ("host.name", "gw"),
        ("code", "of the resource"),
        ("9th", "x"),
        ("empty", ""),
    ];
    group(&mut request, &resource, |out| {
        record(out, 1_700_000_000_000_000_005, "pressure is high", |out| {
            put_uint(out, 2, 13);
            put_bytes(out, 3, b"WARN");
            attribute(out, 6, "code", |out| put_uint(out, any_value::INT, 7));
            attribute(out, 6, "http", |out| {
                put_message(out, any_value::KVLIST, |out| {
                    attribute(out, 1, "method", text("GET"));
                    attribute(out, 1, "ok", |out| put_uint(out, any_value::BOOL, 1));
                });
            });
            put_fixed32(out, 8, 1);
            put_bytes(out, 9, &[0xab; 16]);
            put_bytes(out, 10, &[0; 8]);
            put_fixed64(out, 11, 1_700_000_000_000_000_006);
            put_bytes(out, 12, b"pressure");
        });
    });
    let pushes = pushed(&request, &["host.name".into()]);
    let (labels, time, line, metadata) = &pushes[0][0];
    assert_eq!(labels, r#"{host_name="gw", k8s_pod_name="p-1", service_name="pump \"2\"\\\n\u0001"}"#);
    assert_eq!((*time, line.as_str()), (1_700_000_000_000_000_005, "pressure is high"));
    let trace = "ab".repeat(16);
    let expected = format!(
        "key_9th=x scope_name=pump.control severity_number=13 severity_text=WARN flags=1 trace_id={trace} \
         observed_timestamp=1700000000000000006 event_name=pressure code=7 http_method=GET http_ok=true"
    );
    assert_eq!(*metadata, expected);
}

/// Scenario: two streams, each in two groups, with times out of order, and a resource without a name. Guarantees: one stream for the same
/// labels, its entries oldest first, those of one time as they came; a stream always has a label.
#[test]
fn entries_of_a_stream_come_oldest_first() {
    let mut request = Vec::new();
    for (service, times) in [("b", [5, 3]), ("a", [9, 1]), ("b", [4, 3])] {
        group(&mut request, &[("service.name", service)], |out| {
            for (at, time) in times.iter().enumerate() {
                record(out, *time, &format!("{at}"), |_| ());
            }
        });
    }
    group(&mut request, &[("host.name", "gw")], |out| record(out, 2, "", |_| ()));
    let pushes = pushed(&request, &[]);
    let told: Vec<(&str, i64)> = pushes[0].iter().map(|(labels, time, _, _)| (labels.as_str(), *time)).collect();
    let (a, b) = (r#"{service_name="a"}"#, r#"{service_name="b"}"#);
    assert_eq!(told, [(a, 1), (a, 9), (b, 3), (b, 3), (b, 4), (b, 5), (r#"{service_name="unknown_service"}"#, 2)]);
}

/// Scenario: a resource of 40 KB over 500 short records. Guarantees: pushes of half a megabyte, which together hold every record once
/// and in order (P9).
#[test]
fn large_metadata_makes_several_pushes() {
    let mut request = Vec::new();
    let long = "x".repeat(40_000);
    group(&mut request, &[("service.name", "a"), ("long", &long)], |out| {
        (0..500).for_each(|at| record(out, at, "line", |_| ()));
    });
    let pushes = pushed(&request, &[]);
    assert_eq!(pushes.len(), 500_usize.div_ceil(14));
    let times: Vec<i64> = pushes.iter().flatten().map(|entry| entry.1).collect();
    assert_eq!(times, (0..500).collect::<Vec<i64>>());
}

/// Scenario: a resource with every attribute that may be a label, and more. Guarantees: at most 15 labels, as Loki allows by default; the
/// others are metadata.
#[test]
fn a_stream_has_at_most_fifteen_labels() {
    let mut request = Vec::new();
    let resource: Vec<(&str, &str)> = crate::INDEX_LABELS.iter().map(|name| (*name, "v")).collect();
    group(&mut request, &resource, |out| record(out, 1, "line", |_| ()));
    let pushes = pushed(&request, &[]);
    let (labels, _, _, metadata) = &pushes[0][0];
    assert_eq!((labels.matches('=').count(), metadata.matches("=v").count()), (15, 3));
}
