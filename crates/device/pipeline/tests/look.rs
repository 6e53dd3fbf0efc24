//! What the door lets in, as it comes out in the frames.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ledger::Ledger;
use model::otlp::MAX_DEPTH;
use model::{Answer, Request, Signal};
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use pipeline::Pipeline;
use prost::Message;
use red::Red;
use sampling::{Options, Policy, PolicyRule, Sampler};
use wire::Section;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

/// One that keeps every trace.
fn pipeline() -> Pipeline {
    let policies = vec![Policy { name: "all".into(), rule: PolicyRule::Always }];
    let options = Options { policies, decision_wait_ns: 2 * SECOND, memory: 256 << 10, ..Options::default() };
    let mut ledger = Ledger::default();
    ledger.destination("hub");
    let mut pipeline =
        Pipeline::new(1 << 20, Sampler::new(options), Some(Red::new(red::Options::default(), START)), ledger);
    pipeline.set_clocks(0, START);
    pipeline
}

fn take(pipeline: &mut Pipeline, signal: Signal, body: Vec<u8>) -> Answer {
    pipeline.accept(Request { signal, body, key: None }, 0)
}

/// Everything that came out, section by section.
fn sections(pipeline: &mut Pipeline) -> Vec<(&'static str, Vec<u8>)> {
    pipeline.tick(3 * SECOND);
    let mut out = Vec::new();
    for batch in pipeline.take_batches() {
        for section in wire::decode_body(&batch.body).unwrap() {
            out.push(match section {
                Section::Traces(bytes) => ("traces", bytes),
                Section::Logs(bytes) => ("logs", bytes),
                Section::Metrics(bytes) => ("metrics", bytes),
                Section::Exemplars(bytes) => ("exemplars", bytes),
                Section::Gap(_) => continue,
            });
        }
    }
    out
}

fn nested(depth: u32) -> AnyValue {
    (0..depth).fold(AnyValue { value: Some(any_value::Value::IntValue(1)) }, |inner, _| AnyValue {
        value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![inner] })),
    })
}

fn spans(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }.encode_to_vec()
}

fn span(id: u8) -> Span {
    Span {
        trace_id: vec![id; 16],
        span_id: vec![id; 8],
        name: "work".into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1,
        ..Span::default()
    }
}

fn metrics(points: Vec<NumberDataPoint>) -> Vec<u8> {
    let data = Some(metric::Data::Gauge(Gauge { data_points: points }));
    let metrics = vec![Metric { name: "m".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }] }.encode_to_vec()
}

/// Scenario: a span with an attribute as deep as allowed, one with a deeper one, good ones beside them. Guarantees: frames
/// hold all but the deeper one, which the producer is told of.
#[test]
fn i8_what_the_door_takes_the_frames_hold() {
    let mut pipeline = pipeline();
    let deep = |id, depth| Span {
        attributes: vec![KeyValue { key: "k".into(), value: Some(nested(depth)), ..Default::default() }],
        ..span(id)
    };
    let answer =
        take(&mut pipeline, Signal::Traces, spans(vec![span(1), deep(2, MAX_DEPTH), deep(3, MAX_DEPTH + 1), span(4)]));
    assert!(matches!(&answer, Answer::Partial { rejected: 1, why } if why.contains("too_deep")), "{answer:?}");
    let out = sections(&mut pipeline);
    let traces = out.iter().find(|(name, _)| *name == "traces").unwrap();
    assert_eq!(model::otlp::count_records(Signal::Traces, &traces.1), Ok(3));
    assert_eq!(pipeline.ledger().received.traces, 3);
}

/// Scenario: a span whose name is the byte ff. Guarantees: its frame and its RED series have U+FFFD, nothing has the byte.
#[test]
fn i9_no_byte_that_is_no_utf8_comes_out() {
    let mut pipeline = pipeline();
    let mut body = spans(vec![Span { name: "~name~".into(), ..span(1) }]);
    let at = body.windows(6).position(|window| window == b"~name~").unwrap();
    body[at] = 0xff;
    assert_eq!(take(&mut pipeline, Signal::Traces, body), Answer::Accepted);
    pipeline.write_red(START + SECOND);
    let out = sections(&mut pipeline);
    let mut seen = 0;
    for (name, bytes) in &out {
        match *name {
            "traces" => drop(TracesData::decode(&**bytes).unwrap()),
            "metrics" => drop(MetricsData::decode(&**bytes).unwrap()),
            _ => continue,
        }
        seen += usize::from(bytes.windows(8).any(|window| window == "\u{fffd}name~".as_bytes()));
    }
    assert_eq!(seen, 2, "in the span and in its RED metrics");
    assert_eq!(pipeline.counters().mended.get(model::Refusal::InvalidUtf8), 1);
}

/// Scenario: a log record with neither time. Guarantees: it goes out with the time of its arrival as its observed time.
#[test]
fn i11_a_log_record_without_a_time_stands_at_its_arrival() {
    let mut pipeline = pipeline();
    let scope_logs = vec![ScopeLogs { log_records: vec![LogRecord::default()], ..ScopeLogs::default() }];
    let body = LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }.encode_to_vec();
    assert_eq!(take(&mut pipeline, Signal::Logs, body), Answer::Accepted);
    let out = sections(&mut pipeline);
    let logs = LogsData::decode(&*out.iter().find(|(name, _)| *name == "logs").unwrap().1).unwrap();
    let record = &logs.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!((record.time_unix_nano, record.observed_time_unix_nano), (0, START));
}

/// Scenario: a point with two exemplars without a trace (one with zeros), and one that names a trace. Guarantees: the first
/// two go with their point; the third waits for its trace (P5).
#[test]
fn s4_exemplars_without_a_trace_go_with_their_point() {
    let mut pipeline = pipeline();
    let exemplar = |trace_id: Vec<u8>| Exemplar { trace_id, time_unix_nano: START, ..Exemplar::default() };
    let exemplars = vec![exemplar(vec![]), exemplar(vec![9; 16]), exemplar(vec![0; 16])];
    let point = NumberDataPoint { time_unix_nano: START, exemplars, ..NumberDataPoint::default() };
    assert_eq!(take(&mut pipeline, Signal::Metrics, metrics(vec![point])), Answer::Accepted);
    let out = pipeline.take_batches();
    let Section::Metrics(bytes) = &wire::decode_body(&out[0].body).unwrap()[0] else { panic!("no metrics") };
    let data = MetricsData::decode(&**bytes).unwrap();
    let Some(metric::Data::Gauge(gauge)) = &data.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!("no gauge")
    };
    let ids: Vec<_> = gauge.data_points[0].exemplars.iter().map(|one| one.trace_id.clone()).collect();
    assert_eq!(ids, [vec![], vec![0; 16]]);
    assert_eq!(take(&mut pipeline, Signal::Traces, spans(vec![span(9)])), Answer::Accepted);
    assert!(sections(&mut pipeline).iter().any(|(name, _)| *name == "exemplars"));
}

/// Scenario: a log record carries its trace's id in a wrong length; metrics are sent as traces, and garbage. Guarantees: the
/// first is taken without the id; the others are refused whole with their reason, and nothing of them is received.
#[test]
fn i7_what_is_not_what_it_says_is_refused_whole() {
    let mut pipeline = pipeline();
    let record = LogRecord { trace_id: vec![1; 5], time_unix_nano: START, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let body = LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }.encode_to_vec();
    assert_eq!(take(&mut pipeline, Signal::Logs, body), Answer::Accepted);
    let sent = metrics(vec![NumberDataPoint { time_unix_nano: START, ..NumberDataPoint::default() }]);
    for signal in [Signal::Traces, Signal::Logs] {
        let answer = take(&mut pipeline, signal, sent.clone());
        assert!(matches!(&answer, Answer::Bad(why) if why.contains("a request of metrics")), "{answer:?}");
    }
    assert!(matches!(take(&mut pipeline, Signal::Metrics, b"\x0a\x7f".to_vec()), Answer::Bad(_)));
    let refused = pipeline.counters().refused;
    assert_eq!((refused.get(model::Refusal::WrongSignal), refused.get(model::Refusal::Malformed)), (2, 1));
    assert_eq!((pipeline.ledger().received.total(), pipeline.counters().bad_requests), (1, 3));
}
