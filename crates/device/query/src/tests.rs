use filter::Engine;
use model::Signal;
use model::proto::{put_bytes, put_message};
use opentelemetry_proto::tonic::logs::v1::LogsData;
use opentelemetry_proto::tonic::metrics::v1::MetricsData;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::output::{Format, Style, answer, line};
use crate::{Found, Origin, each_record, otlp_json, read_entry, time, waterfall, write_entry};

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/../../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(signal: Signal, request: &[u8]) -> String {
    let mut out = String::new();
    otlp::json::request(&mut out, signal, request);
    out
}

/// Without what the other implementation insists on having: it reads no entity without a type.
fn without_entities(mut value: serde_json::Value) -> serde_json::Value {
    match &mut value {
        serde_json::Value::Object(members) => {
            members.remove("entityRefs");
            members.values_mut().for_each(|member| *member = without_entities(member.take()));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| *item = without_entities(item.take())),
        _ => {}
    }
    value
}

fn parsed<T: serde::de::DeserializeOwned>(signal: Signal, request: &[u8]) -> T {
    let value = serde_json::from_str(&json(signal, request)).unwrap();
    serde_json::from_value(without_entities(value)).unwrap()
}

/// Scenario: golden requests with everything that OTLP has. Guarantees: another implementation of OTLP reads the same from
/// our JSON as from the protobuf bytes.
#[test]
fn otlp_json_is_read_by_others() {
    let bytes = golden("traces.0.canonical");
    let mut traces = TracesData::decode(&bytes[..]).unwrap();
    for resource in traces.resource_spans.iter_mut().flat_map(|group| &mut group.resource) {
        resource.entity_refs.clear();
    }
    assert_eq!(parsed::<TracesData>(Signal::Traces, &bytes), traces);
    let bytes = golden("logs.0.canonical");
    let mut logs = LogsData::decode(&bytes[..]).unwrap();
    for resource in logs.resource_logs.iter_mut().flat_map(|group| &mut group.resource) {
        resource.entity_refs.clear();
    }
    assert_eq!(parsed::<LogsData>(Signal::Logs, &bytes), logs);
    let bytes = golden("metrics.0.canonical");
    let mut metrics = MetricsData::decode(&bytes[..]).unwrap();
    for resource in metrics.resource_metrics.iter_mut().flat_map(|group| &mut group.resource) {
        resource.entity_refs.clear();
    }
    assert_eq!(parsed::<MetricsData>(Signal::Metrics, &bytes), metrics);
}

fn found(signal: Signal, request: &[u8]) -> Vec<Found> {
    let mut found = Vec::new();
    each_record(signal, request, "gw-1", |view| found.push(Found::copy(&view, Origin::Recorder, 0, found.last())))
        .unwrap();
    found
}

/// Scenario: every golden record in every form, odd ones included. Guarantees: one line each without control characters in
/// it, and the JSON forms are JSON.
#[test]
fn every_form_keeps_to_its_line() {
    for (signal, name) in [
        (Signal::Traces, "traces.0.otlp"),
        (Signal::Logs, "logs.0.otlp"),
        (Signal::Metrics, "metrics.0.otlp"),
        (Signal::Metrics, "series.0.otlp"),
    ] {
        let records = found(signal, &golden(name));
        assert!(!records.is_empty(), "{name}");
        for record in &records {
            for format in [Format::Table, Format::Ndjson, Format::Logfmt, Format::OtlpJson] {
                let mut out = String::new();
                line(&mut out, record, &[], Style { format, colour: false });
                let text = out.strip_suffix('\n').unwrap();
                assert!(!text.contains(char::is_control), "{format:?}: {text:?}");
                if matches!(format, Format::Ndjson | Format::OtlpJson) {
                    serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
                }
            }
        }
        let query = filter::parse("| stats count by signal, kind | sort count desc", 0).unwrap();
        let mut engine = Engine::new(&query);
        let count = records.len();
        records.into_iter().for_each(|record| engine.push(record));
        let mut out = String::new();
        answer(&mut out, &engine.finish(), Style { format: Format::Json, colour: false });
        let rows: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        assert_eq!(rows.iter().map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), count as u64);
    }
}

/// Scenario: a point of a metric with many is copied. Guarantees: the copy is the same metric with that one point.
#[test]
fn a_copied_point_is_alone() {
    let request = golden("metrics.0.otlp");
    let all = MetricsData::decode(&request[..]).unwrap();
    let points: usize = found(Signal::Metrics, &request)
        .iter()
        .map(|record| {
            let mut out = String::new();
            otlp_json::record(&mut out, &record.view());
            let value = without_entities(serde_json::from_str(&out).unwrap());
            let read: MetricsData = serde_json::from_value(value).unwrap();
            let metric = &read.resource_metrics[0].scope_metrics[0].metrics[0];
            let mut originals = all.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
            assert!(
                originals.any(|scope| scope.metrics.iter().any(|one| {
                    (&one.name, &one.unit, &one.description) == (&metric.name, &metric.unit, &metric.description)
                })),
                "{}",
                metric.name
            );
            found(Signal::Metrics, &read.encode_to_vec()).len()
        })
        .sum();
    assert_eq!(points as u64, model::otlp::count_records(Signal::Metrics, &request).unwrap());
}

/// Scenario: a trace whose spans name each other as parents, and one whose parent is missing. Guarantees: the waterfall ends,
/// and every span stands in it once.
#[test]
fn a_waterfall_shows_every_span_once() {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    let span = |id: u8, parent: u8| Span {
        trace_id: vec![1; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
        name: format!("span-{id}."),
        start_time_unix_nano: u64::from(id) * 1000,
        end_time_unix_nano: u64::from(id) * 1000 + 500,
        ..Span::default()
    };
    let spans = vec![span(1, 0), span(2, 1), span(3, 4), span(4, 3), span(5, 99), span(2, 1)];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let data = TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    let mut out = String::new();
    waterfall::write(&mut out, &found(Signal::Traces, &data.encode_to_vec()), false);
    for id in 1..=5 {
        assert_eq!(out.matches(&format!("span-{id}.")).count(), 1, "{out}");
    }
    assert!(out.contains("5 spans") && out.contains("1 spans whose parent is not here"), "{out}");
}

/// Scenario: entries of the recorder are written and read, whole and cut off. Guarantees: the same entries, or an error.
#[test]
fn recorder_entries_are_read_back() {
    use recorder::Content;
    let mut stream = Vec::new();
    write_entry(&mut stream, 7, Content::Request(Signal::Logs), b"abc");
    write_entry(&mut stream, 9, Content::Exemplars, b"");
    let mut reader = &stream[..];
    let first = read_entry(&mut reader).unwrap().unwrap();
    assert_eq!((first.id, first.content, &first.bytes[..]), (7, Content::Request(Signal::Logs), &b"abc"[..]));
    assert_eq!(read_entry(&mut reader).unwrap().unwrap().content, Content::Exemplars);
    assert!(read_entry(&mut reader).unwrap().is_none());
    assert!(read_entry(&mut &stream[..15]).is_err() && read_entry(&mut &stream[..5]).is_err());
}

/// Scenario: times and lengths for people. Guarantees: the calendar is right on both sides of a leap day.
#[test]
fn times_are_shown_right() {
    assert_eq!(time::rfc3339(1_709_164_799_999_000_000, 3), "2024-02-28T23:59:59.999Z");
    assert_eq!(time::rfc3339(1_709_164_800_000_000_000, 0), "2024-02-29T00:00:00Z");
    assert_eq!(time::rfc3339(0, 9), "1970-01-01T00:00:00.000000000Z");
    assert_eq!(time::length(250_000_000), "250ms");
    assert_eq!((time::length(1_500), time::length(90_000_000_000)), ("1.5us".into(), "1.5min".into()));
}

/// Scenario: spans and log records of two transactions, named by an attribute, by the resource and by baggage. Guarantees: `tx=ID` finds
/// those of one, in both signals, and an answer with nothing names no attribute that nobody asked for.
#[test]
fn a_transaction_is_one_look_up() {
    let pair = |out: &mut Vec<u8>, number, key: &str, value: &str| {
        put_message(out, number, |pair| {
            put_bytes(pair, 1, key.as_bytes());
            put_message(pair, 2, |any| put_bytes(any, 1, value.as_bytes()));
        });
    };
    let request = |resource: &str, number, items: &[(&str, &str)]| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |group| {
            put_message(group, 1, |out| pair(out, 1, "transaction.id", resource));
            put_message(group, 2, |scope| {
                items.iter().for_each(|(key, value)| put_message(scope, 2, |item| pair(item, number, key, value)));
            });
        });
        out
    };
    let query = filter::parse("tx=f-1", 0).unwrap();
    let passes = |signal, request: &[u8]| {
        found(signal, request).iter().filter(|record| query.filter.matches(&record.view())).count()
    };
    let items = [("flux_id", "f-1"), ("baggage", "flux_id=f-1"), ("flux_id", "f-2"), ("baggage", "flux_id=f-12")];
    assert_eq!(passes(Signal::Traces, &request("other", 9, &items)), 2);
    assert_eq!(passes(Signal::Logs, &request("other", 6, &items)), 2);
    assert_eq!(passes(Signal::Logs, &request("f-1", 6, &items)), 4);
    assert_eq!(crate::Hint::new(&query).of_fields(), "");
}

/// Scenario: log records that tell their level by a text, a field of another name, a number, and not at all. Guarantees: `level` means
/// the same for all of them.
#[test]
fn a_level_is_read_wherever_it_stands() {
    let request = |key: &str, value: &str| {
        let mut out = Vec::new();
        put_message(&mut out, 1, |group| {
            put_message(group, 2, |scope| {
                put_message(scope, 2, |record| {
                    put_message(record, 6, |pair| {
                        put_bytes(pair, 1, key.as_bytes());
                        put_message(pair, 2, |any| put_bytes(any, 1, value.as_bytes()));
                    });
                });
            });
        });
        out
    };
    let query = filter::parse("level=error", 0).unwrap();
    for (key, value, passes) in
        [("lvl", "SEVERE", true), ("level", "50", true), ("severity", "info", false), ("colour", "red", false)]
    {
        let found = found(Signal::Logs, &request(key, value));
        assert_eq!(query.filter.matches(&found[0].view()), passes, "{key} {value}");
    }
}
