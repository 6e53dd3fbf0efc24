//! The pipeline with owned OTLP messages in and decoded frames out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ledger::Ledger;
use model::proto::{Reader, Value};
use model::{Answer, Lane, Request, Signal};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use pipeline::{Batch, NotTaken, Pipeline, Rules, Source};
use prost::Message;
use red::Red;
use sampling::{LogRecordRule, Options, Policy, PolicyRule, STATUS_MASK_ERROR, Sampler};
use wire::Section;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

fn pipeline(recorder: u64) -> Pipeline {
    let policies = vec![
        Policy { name: "errors".into(), rule: PolicyRule::Status(STATUS_MASK_ERROR) },
        Policy { name: "slow".into(), rule: PolicyRule::Latency { from_ns: 200_000_000, to_ns: None } },
    ];
    let options = Options {
        policies,
        decision_wait_ns: 2 * SECOND,
        log_wait_ns: 4 * SECOND,
        remember_ns: 3600 * SECOND,
        memory: 256 << 10,
        ..Options::default()
    };
    let mut ledger = Ledger::default();
    ledger.destination("hub");
    Pipeline::new(recorder, Sampler::new(options), Some(Red::new(red::Options::default(), START)), ledger)
}

fn resource() -> Option<Resource> {
    let value = AnyValue { value: Some(any_value::Value::StringValue("vessel".into())) };
    let attribute = KeyValue { key: "service.name".into(), value: Some(value), ..Default::default() };
    Some(Resource { attributes: vec![attribute], ..Resource::default() })
}

fn trace(number: u8) -> Vec<u8> {
    vec![number; 16]
}

fn spans(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { resource: resource(), scope_spans, ..Default::default() }] }
        .encode_to_vec()
}

fn span(number: u8, id: u8, millis: u64, error: bool) -> Span {
    Span {
        trace_id: trace(number),
        span_id: vec![id.saturating_add(1); 8],
        name: "GET /x".into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + millis * 1_000_000,
        status: error.then(|| Status { code: 2, ..Status::default() }),
        ..Span::default()
    }
}

fn lines(lines: &[(Option<u8>, i32, &str)]) -> Vec<u8> {
    let log_records = lines
        .iter()
        .map(|(number, severity, text)| LogRecord {
            time_unix_nano: START,
            severity_number: *severity,
            body: Some(AnyValue { value: Some(any_value::Value::StringValue((*text).into())) }),
            trace_id: number.map(trace).unwrap_or_default(),
            ..LogRecord::default()
        })
        .collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }] }
        .encode_to_vec()
}

fn point_with_exemplars(traces: &[u8]) -> Vec<u8> {
    let exemplars = traces.iter().map(|number| Exemplar { trace_id: trace(*number), ..Exemplar::default() }).collect();
    let point = NumberDataPoint {
        time_unix_nano: START,
        exemplars,
        value: Some(number_data_point::Value::AsInt(7)),
        ..NumberDataPoint::default()
    };
    let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
    let metrics = vec![Metric { name: "temperature".into(), data, ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    MetricsData {
        resource_metrics: vec![ResourceMetrics { resource: resource(), scope_metrics, ..Default::default() }],
    }
    .encode_to_vec()
}

fn accept(pipeline: &mut Pipeline, signal: Signal, body: Vec<u8>, now_ns: u64) -> Answer {
    pipeline.accept(Request { signal, body, key: None }, now_ns)
}

/// What came out: trace ids of spans, texts of log records, trace ids of exemplars, points.
#[derive(Default, Debug, PartialEq, Eq)]
struct Out {
    spans: Vec<u8>,
    trace_log_records: Vec<String>,
    free_lines: Vec<String>,
    exemplars: BTreeSet<u8>,
    points: usize,
    exemplars_in_points: usize,
}

fn read(batches: &[Batch]) -> Out {
    let mut out = Out::default();
    for batch in batches {
        for section in wire::decode_body(&batch.body).unwrap() {
            match section {
                Section::Traces(bytes) => {
                    for resource in TracesData::decode(bytes.as_slice()).unwrap().resource_spans {
                        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                            out.spans.push(span.trace_id[0]);
                        }
                    }
                }
                Section::Logs(bytes) => {
                    for resource in LogsData::decode(bytes.as_slice()).unwrap().resource_logs {
                        for line in resource.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                            let Some(any_value::Value::StringValue(text)) = line.body.unwrap().value else { panic!() };
                            let to = if batch.lane == Lane::Traces {
                                &mut out.trace_log_records
                            } else {
                                &mut out.free_lines
                            };
                            to.push(text);
                        }
                    }
                }
                Section::Metrics(bytes) => {
                    for resource in MetricsData::decode(bytes.as_slice()).unwrap().resource_metrics {
                        for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                            if let Some(metric::Data::Gauge(gauge)) = metric.data {
                                out.points += gauge.data_points.len();
                                out.exemplars_in_points +=
                                    gauge.data_points.iter().map(|point| point.exemplars.len()).sum::<usize>();
                            }
                        }
                    }
                }
                Section::Exemplars(bytes) => {
                    let mut reader = Reader::new(&bytes);
                    while let Some((_, Value::Bytes(series))) = reader.next_field().unwrap() {
                        let mut fields = Reader::new(series);
                        while let Some((number, value)) = fields.next_field().unwrap() {
                            if let (6, Value::Bytes(exemplar)) = (number, value) {
                                out.exemplars.insert(Exemplar::decode(exemplar).unwrap().trace_id[0]);
                            }
                        }
                    }
                }
                Section::Gap(_) => panic!("a gap"),
            }
        }
    }
    out
}

/// Scenario: a slow trace whose log record comes first, a failed one, a fast one with line and exemplar, log records and points
/// without a trace; then late parts of a kept and of a dropped trace.
/// Guarantees: spans, log records and exemplars follow one decision; points lose nothing but their exemplars; the books balance
/// at every step (P1, P4, P5).
#[test]
fn everything_of_a_trace_follows_its_decision() {
    let mut pipeline = pipeline(1 << 20);
    let info = 9;
    let balanced = |pipeline: &Pipeline, queued: u64| assert_eq!(pipeline.ledger().difference(|_| queued), 0);
    for (signal, request) in [
        (Signal::Logs, lines(&[(Some(1), info, "slow begins"), (None, info, "free"), (Some(3), info, "fast")])),
        (Signal::Traces, spans(vec![span(1, 1, 200, false), span(2, 2, 5, true), span(3, 3, 199, false)])),
        (Signal::Metrics, point_with_exemplars(&[1, 3, 9])),
    ] {
        assert_eq!(accept(&mut pipeline, signal, request, 5), Answer::Accepted);
        balanced(&pipeline, 0);
    }
    let out = read(&pipeline.take_batches());
    assert_eq!(out, Out { free_lines: vec!["free".into()], points: 1, ..Out::default() });
    balanced(&pipeline, 2);
    pipeline.tick(2 * SECOND + 5);
    balanced(&pipeline, 2);
    let out = read(&pipeline.take_batches());
    assert_eq!(out.spans, [1, 2]);
    assert_eq!(out.trace_log_records, ["slow begins"]);
    assert!(out.exemplars.is_superset(&BTreeSet::from([1])) && out.exemplars.is_subset(&BTreeSet::from([1, 2])));
    balanced(&pipeline, 5);
    assert_eq!(pipeline.policy_keeps().collect::<Vec<_>>(), [("errors", 1), ("slow", 1)]);

    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 4, 1, false), span(3, 5, 1, false)]), 3 * SECOND);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), info, "late"), (Some(3), info, "late too")]), 3 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.spans, out.trace_log_records), (vec![1], vec!["late".to_owned()]));
    balanced(&pipeline, 7);
    pipeline.tick(9 * SECOND);
    assert!(pipeline.is_idle());
    balanced(&pipeline, 7);
}

/// Scenario: a fast success with a log record and an exemplar is dropped; a harmless late span comes, then a failed one.
/// Guarantees: all of it is delivered after all, once, with its exemplar, and the books balance (P1, P4, P5).
#[test]
fn a_dropped_trace_is_kept_after_all() {
    let mut pipeline = pipeline(1 << 20);
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 1, 5, false), span(2, 2, 5, false)]), 0);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "one"), (Some(2), 9, "two")]), 0);
    accept(&mut pipeline, Signal::Metrics, point_with_exemplars(&[1, 2]), 0);
    pipeline.tick(2 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.spans.len(), out.trace_log_records.len(), out.exemplars.len()), (0, 0, 0));
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 3, 6, false)]), 3 * SECOND);
    assert_eq!(pipeline.ledger().sampled_out.traces, 3);
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 4, 7, true)]), 4 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.spans, out.trace_log_records), (vec![1, 1, 1], vec!["one".to_owned()]));
    assert_eq!(out.exemplars, BTreeSet::from([1]));
    assert_eq!(pipeline.ledger().sampled_out.traces, 1);
    assert_eq!(pipeline.sampling().recalled_traces, 1);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "late"), (Some(2), 9, "late too")]), 5 * SECOND);
    assert_eq!(read(&pipeline.take_batches()).trace_log_records, ["late"]);
    assert!(pipeline.is_idle());
    assert_eq!(pipeline.ledger().difference(|_| 1 + 3 + 1 + 1), 0);
}

/// Scenario: log records without a trace under the rule "errors, and what takes 200 ms and more"; a log record whose trace id stands
/// in an attribute. Guarantees: the rule decides the first; the second follows its trace, with the id in its own field
/// (P4).
#[test]
fn lines_follow_rules_and_fields() {
    let lua = LogRecordRule { min_severity: Some(17), min_duration_ms: Some(200.0) };
    let mut pipeline = pipeline(1 << 20).with_rules(Rules { without_trace: lua, ..Rules::default() });
    let text = |key: &str, value: &str| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) }),
        ..Default::default()
    };
    let line = |body: &str, attributes: Vec<KeyValue>| LogRecord {
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(body.into())) }),
        severity_number: 9,
        attributes,
        ..LogRecord::default()
    };
    let log_records = vec![
        line("fast", vec![text("duration_ms", "199.9")]),
        line("slow", vec![text("latency_ms", "200")]),
        line("with id", vec![text("traceId", "01010101010101010101010101010101")]),
    ];
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let request =
        LogsData { resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }] };
    accept(&mut pipeline, Signal::Logs, request.encode_to_vec(), 0);
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 1, 500, false)]), 0);
    let out = read(&pipeline.take_batches());
    assert_eq!(out.free_lines, ["slow"]);
    assert_eq!(pipeline.ledger().filtered.logs, 1);
    pipeline.tick(2 * SECOND);
    let batches = pipeline.take_batches();
    assert_eq!(read(&batches).trace_log_records, ["with id"]);
    let sections: Vec<Section> = batches.iter().flat_map(|batch| wire::decode_body(&batch.body).unwrap()).collect();
    let found = sections.iter().find_map(|section| match section {
        Section::Logs(bytes) => Some(LogsData::decode(bytes.as_slice()).unwrap()),
        _ => None,
    });
    assert_eq!(found.unwrap().resource_logs[0].scope_logs[0].log_records[0].trace_id, trace(1));
    assert_eq!(pipeline.ledger().difference(|_| 3), 0);
}

/// Scenario: log records of a trace that never sends a span. Guarantees: warnings stand alone in the logs lane, the rest is
/// sampled out, and the books balance (P1, P4).
#[test]
fn lines_without_spans_fall_to_their_level() {
    let mut pipeline = pipeline(1 << 20);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "info"), (Some(1), 13, "warn")]), 0);
    pipeline.tick(4 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.free_lines, out.trace_log_records.len()), (vec!["warn".to_owned()], 0));
    assert!(pipeline.is_idle());
    assert_eq!(pipeline.ledger().difference(|_| 1), 0);
}

/// Scenario: one request has log records of two traces. The first one's log records wait in vain for a span and are released; then its span
/// comes, and both traces are decided in the same tick. Guarantees: what was released comes after all with a trace that is kept, and
/// stays out with one that is dropped; what was delivered alone is neither booked nor delivered a second time because the request is
/// walked again (P1, P4).
#[test]
fn what_was_let_go_keeps_its_fate() {
    for error in [false, true] {
        let mut pipeline = pipeline(1 << 20);
        accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "let go"), (Some(1), 13, "alone")]), 0);
        accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "let go too"), (Some(2), 9, "kept")]), 0);
        accept(&mut pipeline, Signal::Traces, spans(vec![span(2, 1, 5, true)]), 3 * SECOND);
        pipeline.tick(4 * SECOND);
        assert_eq!(read(&pipeline.take_batches()).free_lines, ["alone"]);
        accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 2, 5, error)]), 4 * SECOND);
        // Both are decided now, and the second request is walked for the second trace.
        pipeline.tick(6 * SECOND);
        let out = read(&pipeline.take_batches());
        let after_all: &[&str] = if error { &["kept", "let go", "let go too"] } else { &["kept"] };
        assert_eq!(
            (out.trace_log_records, out.free_lines.len()),
            (after_all.iter().map(ToString::to_string).collect(), 0)
        );
        assert_eq!(out.spans, if error { vec![2, 1] } else { vec![2] });
        assert_eq!(pipeline.ledger().difference(|_| pipeline.ledger().routed.total()), 0);
        assert_eq!(
            (pipeline.ledger().pending.total(), pipeline.ledger().sampled_out.logs),
            (0, if error { 0 } else { 2 })
        );
    }
}

/// Scenario: more undecided spans than the recorder holds; then the wait passes.
/// Guarantees: the producer is told to wait, points still pass, what was accepted is complete, and there is room again
/// (P2, P9).
#[test]
fn a_full_recorder_refuses_and_recovers() {
    let mut pipeline = pipeline(8 << 10);
    let request = |number: u8| spans((1..=10).map(|id| span(number, id, 300, false)).collect());
    let mut accepted = 0u64;
    let mut number = 1;
    loop {
        match accept(&mut pipeline, Signal::Traces, request(number), 1) {
            Answer::Accepted => accepted += 10,
            Answer::Wait(_) => break,
            other => panic!("{other:?}"),
        }
        number += 1;
        assert!(pipeline.bytes() < 64 << 10);
    }
    assert!(accepted >= 50, "only {accepted} spans fit");
    assert_eq!(pipeline.ledger().refused.traces, 10);
    let many: Vec<u8> = (1..=100).collect();
    assert_eq!(accept(&mut pipeline, Signal::Metrics, point_with_exemplars(&many), 1), Answer::Accepted);
    assert_eq!(pipeline.counters().exemplars_without_room, 100);
    assert_eq!(read(&pipeline.take_batches()).points, 1, "points do not wait behind traces");
    pipeline.tick(3 * SECOND);
    assert_eq!(read(&pipeline.take_batches()).spans.len() as u64, accepted);
    assert_eq!(accept(&mut pipeline, Signal::Traces, request(200), 4 * SECOND), Answer::Accepted);
}

/// Scenario: the answer to a request with a key was lost, and the producer sends it again; another one is new.
/// Guarantees: what was accepted is not taken twice, and the producer hears that it was accepted (P1).
#[test]
fn a_repeated_request_is_taken_once() {
    let mut pipeline = pipeline(1 << 20);
    for (key, received) in [(b"first", 1), (b"first", 1), (b"other", 2)] {
        let request =
            Request { signal: Signal::Logs, body: lines(&[(None, 9, "x")]), key: Some(key.as_slice().into()) };
        assert_eq!(pipeline.accept(request, 1), Answer::Accepted);
        assert_eq!(pipeline.ledger().received.logs, received);
    }
    assert_eq!(pipeline.counters().repeated_requests, 1);
}

/// Scenario: bodies that are not OTLP. Guarantees: refused, counted, and nothing of them counted as received (P1).
#[test]
fn bad_bodies_are_refused() {
    let mut pipeline = pipeline(1 << 20);
    let good = spans(vec![span(1, 1, 300, false)]);
    assert!(matches!(accept(&mut pipeline, Signal::Traces, good[..good.len() - 3].to_vec(), 0), Answer::Bad(_)));
    assert!(matches!(accept(&mut pipeline, Signal::Logs, vec![0xff; 40], 0), Answer::Bad(_)));
    assert_eq!(accept(&mut pipeline, Signal::Traces, Vec::new(), 0), Answer::Accepted);
    assert_eq!(pipeline.counters().bad_requests, 2);
    assert_eq!(pipeline.ledger().received.total(), 0);
}

/// Scenario: requests are given by order after their decision: from the recorder spans of a kept and a dropped trace, log records of
/// it, one that a rule left out and one that it let through, and a point; then from history, and bytes that are none; then
/// without end. Guarantees: of the recorder only what was not delivered is taken, and its booking goes over; of history all is, as
/// made once more; the books balance (P1), and what waits is bounded (P9).
#[test]
fn only_what_was_not_delivered_is_fetched() {
    let mut pipeline =
        pipeline(1 << 20).with_rules(Rules { without_trace: LogRecordRule::WARNINGS, ..Rules::default() });
    let given = [
        (Signal::Traces, spans(vec![span(2, 2, 5, true), span(3, 3, 199, false)]), 1),
        (Signal::Logs, lines(&[(Some(3), 9, "fast"), (None, 9, "quiet"), (None, 17, "loud")]), 2),
        (Signal::Metrics, point_with_exemplars(&[]), 0),
    ];
    for (signal, request, _) in &given {
        assert_eq!(accept(&mut pipeline, *signal, request.clone(), 5), Answer::Accepted);
    }
    pipeline.tick(10 * SECOND);
    let mut queued: u64 = pipeline.take_batches().iter().map(|batch| batch.records.total()).sum();
    assert_eq!((queued, pipeline.ledger().sampled_out.total(), pipeline.ledger().filtered.total()), (3, 2, 1));
    for (signal, request, taken) in given {
        assert_eq!(pipeline.take_fetched(signal, Lane::Debug, Source::Recorder, request), Ok(taken), "{signal:?}");
    }
    assert_eq!((pipeline.ledger().sampled_out.total(), pipeline.ledger().filtered.total()), (0, 0));
    let batches = pipeline.take_batches();
    assert!(batches.iter().all(|batch| batch.lane == Lane::Debug));
    let out = read(&batches);
    assert_eq!((out.spans, out.free_lines), (vec![3], vec!["fast".to_owned(), "quiet".to_owned()]));
    queued += 3;
    assert_eq!(pipeline.ledger().difference(|_| queued), 0);

    let point = point_with_exemplars(&[]);
    assert_eq!(pipeline.take_fetched(Signal::Metrics, Lane::Metrics, Source::History, point), Ok(1));
    assert_eq!((pipeline.ledger().generated.metrics, pipeline.take_batches().len()), (1, 1));
    assert_eq!(pipeline.ledger().difference(|_| queued + 1), 0);
    let bad = pipeline.take_fetched(Signal::Traces, Lane::Traces, Source::History, vec![0xff; 9]);
    assert!(matches!(bad, Err(NotTaken::Bad(_))), "{bad:?}");
    let text = "0123456789".repeat(4000);
    let full = (0..100).find(|_| {
        let large = lines(&[(None, 9, &text)]);
        pipeline.take_fetched(Signal::Logs, Lane::Logs, Source::History, large) == Err(NotTaken::Wait)
    });
    assert_eq!(full, Some(6), "256 KiB wait for the disk");
}

/// Scenario: nothing is undecided; a log record and then a span of a trace come, and the trace is decided; the wall clock is put right
/// by an hour meanwhile. Guarantees: what came of traces is decided up to now, up to the moment at which the oldest undecided part
/// came, and up to now again; when the clock goes back, so does this (P3).
#[test]
fn u3_what_is_decided_has_an_edge() {
    let mut pipeline = pipeline(64 << 10);
    assert_eq!(pipeline.decided_to(5 * SECOND, START), START);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "before its span")]), 10 * SECOND);
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 1, 1, true)]), 11 * SECOND);
    // A two-hundredth of the wait for log records earlier at most.
    let behind = START - pipeline.decided_to(12 * SECOND, START);
    assert!((2 * SECOND..2 * SECOND + SECOND / 50).contains(&behind), "{behind}");
    assert_eq!(pipeline.decided_to(12 * SECOND, START - 3600 * SECOND), START - 3600 * SECOND - behind);
    pipeline.tick(14 * SECOND);
    assert_eq!(pipeline.decided_to(14 * SECOND, START), START);
}

/// Scenario: requests are admitted and go astray on their way to the disk, again and again: the disk thread has ended. Guarantees: each
/// gives its bytes, its traces and its key back, so that the same request is admitted again, and room does not shrink (P9).
#[test]
fn r3_a_request_that_goes_astray_gives_its_place_back() {
    let mut pipeline = pipeline(64 << 10);
    let body = spans((0..200).map(|id| span(7, id, 500, false)).collect());
    assert!(body.len() > 8 << 10);
    for _ in 0..100 {
        let request = || Request { signal: Signal::Traces, body: body.clone(), key: Some(b"key".to_vec().into()) };
        let admitted = pipeline.admit(request(), 0).unwrap();
        assert!(matches!(pipeline.admit(request(), 0), Err(Answer::Wait(_))), "it is on its way");
        // On another thread, as the disk's is.
        std::thread::spawn(move || drop(admitted)).join().unwrap();
    }
    let request = Request { signal: Signal::Traces, body, key: Some(b"key".to_vec().into()) };
    let admitted = pipeline.admit(request, 0).unwrap();
    assert_eq!(pipeline.take(admitted, None, 0).answer, Answer::Accepted);
    assert_eq!(pipeline.ledger().received.traces, 200);
}

/// Scenario: a request is admitted and refused because it cannot be recorded. Guarantees: it is booked as refused, once, and its place is
/// free (P1, P9).
#[test]
fn r3_a_refused_request_gives_its_place_back() {
    let mut pipeline = pipeline(64 << 10);
    for round in 1..20 {
        let body = spans((0..200).map(|id| span(7, id, 500, false)).collect());
        let request = Request { signal: Signal::Traces, body, key: Some(b"key".to_vec().into()) };
        let admitted = pipeline.admit(request, 0).unwrap();
        assert!(matches!(pipeline.refuse(&admitted), Answer::Wait(_)));
        drop(admitted);
        assert_eq!(pipeline.ledger().refused.traces, round * 200);
    }
}

/// Scenario: log records of two traces come, and nobody sends a span until they are released: INFO is left out, a WARN goes alone. Then spans
/// come: of the first trace a failed one, of the second a fast one; of a third trace a fast span, and an error when it was dropped.
/// Guarantees: the log records that were left out of a kept trace come after all, each once; a dropped trace's stay out; the books balance (P4).
#[test]
fn s1_lines_before_a_late_span_follow_it() {
    let mut pipeline = pipeline(64 << 10);
    let before =
        lines(&[(Some(1), 9, "info"), (Some(1), 13, "warn"), (Some(2), 9, "dropped"), (Some(3), 9, "recalled")]);
    accept(&mut pipeline, Signal::Logs, before, 0);
    pipeline.tick(5 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.free_lines, out.trace_log_records.len()), (vec!["warn".to_owned()], 0));
    let late = vec![span(1, 1, 1, true), span(2, 2, 1, false), span(3, 3, 1, false)];
    accept(&mut pipeline, Signal::Traces, spans(late), 6 * SECOND);
    pipeline.tick(9 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.trace_log_records, out.free_lines.len()), (vec!["info".to_owned()], 0));
    accept(&mut pipeline, Signal::Traces, spans(vec![span(3, 4, 1, true)]), 10 * SECOND);
    let out = read(&pipeline.take_batches());
    assert_eq!((out.trace_log_records, out.free_lines.len()), (vec!["recalled".to_owned()], 0));
    assert_eq!((pipeline.sampling().log_records_recalled, pipeline.ledger().sampled_out.logs), (2, 1));
    assert!(pipeline.is_idle());
    assert_eq!(pipeline.ledger().difference(|_| pipeline.ledger().routed.total()), 0);
}

/// Scenario: the same, but the recorder was written over before the span came. Guarantees: what is gone is counted (P4).
#[test]
fn s1_lines_that_are_gone_are_counted() {
    let mut pipeline = pipeline(4 << 10);
    accept(&mut pipeline, Signal::Logs, lines(&[(Some(1), 9, "info")]), 0);
    pipeline.tick(5 * SECOND);
    // Entries that nobody needs any more are written over by these, before the next tick looks at them.
    for number in 0..40 {
        let noise: String = (0..400u32).map(|n| char::from(33 + ((n * n * 7919 + number * 131) % 90) as u8)).collect();
        let mut one = span(10 + number as u8, 1, 1, false);
        one.name = noise;
        accept(&mut pipeline, Signal::Traces, spans(vec![one]), 5 * SECOND);
        pipeline.tick(5 * SECOND + 1);
        if number % 2 == 0 {
            pipeline.take_batches();
        }
    }
    accept(&mut pipeline, Signal::Traces, spans(vec![span(1, 1, 1, true)]), 6 * SECOND);
    pipeline.tick(9 * SECOND);
    let stats = pipeline.sampling();
    assert_eq!((stats.log_records_recalled, stats.log_records_recalled_too_late), (0, 1), "{stats:?}");
    assert_eq!(pipeline.ledger().sampled_out.logs, 1);
}

/// Scenario: spans that end at the end of time, or before they start. Guarantees: they are judged and delivered as they are, counted as
/// odd, and are not taken for older than the memory of decisions (P6).
#[test]
fn s2_odd_times_are_judged_and_counted() {
    let mut pipeline = pipeline(64 << 10);
    pipeline.set_clocks(0, START);
    let mut endless = span(1, 1, 0, false);
    endless.end_time_unix_nano = u64::MAX;
    let mut backwards = span(2, 2, 0, true);
    (backwards.start_time_unix_nano, backwards.end_time_unix_nano) = (START + 2 * SECOND, START + SECOND);
    accept(&mut pipeline, Signal::Traces, spans(vec![endless, backwards]), 0);
    pipeline.tick(3 * SECOND);
    let batches = pipeline.take_batches();
    assert_eq!((pipeline.counters().odd_times, pipeline.sampling().late_unknown), (2, 0));
    assert_eq!(pipeline.ledger().routed.traces, 2);
    assert!(batches.iter().all(|batch| batch.end_ns <= i64::MAX as u64));
}
