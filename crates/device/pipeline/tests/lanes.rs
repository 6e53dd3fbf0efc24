//! Records that go into lanes of their own, with owned OTLP messages in and decoded frames out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use ledger::Ledger;
use model::{Answer, Lane, Request, Signal};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use pipeline::{Batch, LaneRules, Pipeline, Watermarks};
use prost::Message;
use red::Red;
use sampling::{Options, Policy, PolicyRule, STATUS_MASK_ERROR, Sampler};
use wire::Section;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

fn pipeline(lanes: LaneRules) -> Pipeline {
    let lanes = LaneRules { producers: vec![Lane::Mission, Lane::Audit], ..lanes };
    let policies = vec![Policy { name: "errors".into(), rule: PolicyRule::Status(STATUS_MASK_ERROR) }];
    let options = Options { policies, decision_wait_ns: 2 * SECOND, memory: 256 << 10, ..Options::default() };
    let mut ledger = Ledger::default();
    ledger.destination("hub");
    let red = Red::new(red::Options::default(), START);
    Pipeline::new(1 << 20, Sampler::new(options), Some(red), ledger).with_lanes(lanes)
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

fn lane(name: &str) -> Vec<KeyValue> {
    if name.is_empty() { Vec::new() } else { vec![text("lightship.lane", name)] }
}

fn spans(of: &[(&str, u8)], resource: Vec<KeyValue>) -> Vec<u8> {
    let spans = of.iter().map(|(name, trace)| Span {
        trace_id: vec![*trace; 16],
        span_id: vec![*trace; 8],
        name: format!("span {name}"),
        attributes: lane(name),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1,
        ..Span::default()
    });
    let scope_spans = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    TracesData { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }.encode_to_vec()
}

fn lines(of: &[(&str, Option<u8>, i32)]) -> Vec<u8> {
    let log_records = of.iter().map(|(name, trace, severity)| LogRecord {
        trace_id: trace.map(|trace| vec![trace; 16]).unwrap_or_default(),
        time_unix_nano: START,
        severity_number: *severity,
        attributes: lane(name),
        ..LogRecord::default()
    });
    let scope_logs = vec![ScopeLogs { log_records: log_records.collect(), ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }.encode_to_vec()
}

fn points(of: &[(&str, &str)]) -> Vec<u8> {
    let metrics = of.iter().map(|(name, own)| {
        let point = NumberDataPoint { time_unix_nano: START, attributes: lane(own), ..NumberDataPoint::default() };
        let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
        Metric { name: (*name).to_owned(), data, ..Metric::default() }
    });
    let scope_metrics = vec![ScopeMetrics { metrics: metrics.collect(), ..ScopeMetrics::default() }];
    MetricsData { resource_metrics: vec![ResourceMetrics { scope_metrics, ..Default::default() }] }.encode_to_vec()
}

fn accept(pipeline: &mut Pipeline, signal: Signal, body: Vec<u8>) {
    assert_eq!(pipeline.accept(Request { signal, body, key: None }, 0), Answer::Accepted);
}

/// (lane, spans, log records, points) of each batch, in the order of lanes.
fn counts(batches: &[Batch]) -> Vec<(Lane, u64, u64, u64)> {
    let count = |batch: &Batch| (batch.lane, batch.records.traces, batch.records.logs, batch.records.metrics);
    let mut counts: Vec<_> = batches.iter().map(count).collect();
    counts.sort();
    counts
}

/// Scenario: records of all signals that name a lane: mission, audit, debug, one that is nobody's choice, none.
/// Guarantees: mission and audit pass the sampler at once, debug takes only what no trace decides over, the rest waits as
/// ever; RED counts every span (P6), the books balance (P1).
#[test]
fn records_choose_their_lane() {
    let mut pipeline = pipeline(LaneRules::default());
    let body = spans(&[("mission", 1), ("audit", 2), ("debug", 3), ("metrics", 4), ("", 5)], Vec::new());
    accept(&mut pipeline, Signal::Traces, body);
    accept(&mut pipeline, Signal::Logs, lines(&[("mission", Some(1), 9), ("debug", Some(3), 9), ("debug", None, 9)]));
    accept(&mut pipeline, Signal::Metrics, points(&[("one", "audit"), ("two", "debug"), ("three", "")]));
    let batches = pipeline.take_batches();
    assert_eq!(
        counts(&batches),
        [(Lane::Mission, 1, 1, 0), (Lane::Audit, 1, 0, 1), (Lane::Metrics, 0, 0, 1), (Lane::Debug, 0, 1, 1)]
    );
    let mission = batches.iter().find(|batch| batch.lane == Lane::Mission).unwrap();
    let sections = wire::decode_body(&mission.body).unwrap();
    let Section::Traces(bytes) = &sections[0] else { panic!("{sections:?}") };
    let names: Vec<String> = TracesData::decode(bytes.as_slice()).unwrap().resource_spans[0].scope_spans[0]
        .spans
        .iter()
        .map(|span| span.name.clone())
        .collect();
    assert_eq!(names, ["span mission"]);
    assert_eq!(pipeline.ledger().pending.total(), 4, "three spans and a line wait");
    pipeline.write_red(START);
    let red = read_calls(&pipeline.take_batches());
    assert_eq!(red, 5);
    pipeline.tick(5 * SECOND);
    assert!(pipeline.take_batches().iter().all(|batch| batch.records.traces + batch.records.logs == 0));
    assert!(pipeline.is_idle());
    let routed = pipeline.ledger().routed.total();
    assert_eq!(pipeline.ledger().difference(|_| routed), 0);
}

/// Calls that the RED metrics tell of.
fn read_calls(batches: &[Batch]) -> i64 {
    let mut calls = 0;
    for section in batches.iter().flat_map(|batch| wire::decode_body(&batch.body).unwrap()) {
        let Section::Metrics(bytes) = section else { continue };
        for metric in MetricsData::decode(bytes.as_slice())
            .unwrap()
            .resource_metrics
            .into_iter()
            .flat_map(|resource| resource.scope_metrics)
            .flat_map(|scope| scope.metrics)
        {
            if let Some(metric::Data::Sum(sum)) = metric.data.filter(|_| metric.name == "traces.span.metrics.calls") {
                for point in sum.data_points {
                    let Some(opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsInt(value)) =
                        point.value
                    else {
                        continue;
                    };
                    calls += value;
                }
            }
        }
    }
    calls
}

/// Scenario: a rule for log records of a level, another one for a service, and a source whose lane is debug; a resource that names
/// a lane for all that is under it. Guarantees: the attribute goes before the rules, the first rule before the others, a
/// rule before the source.
#[test]
fn the_first_that_says_so_decides() {
    let rule = |text: &str, lane: Lane| (filter::parse(text, 0).unwrap().filter, lane);
    let rules = vec![
        rule("signal=log level>=error", Lane::Audit),
        rule("service=cargo", Lane::Mission),
        rule("signal=log", Lane::Mission),
    ];
    let mut pipeline =
        pipeline(LaneRules { device: "vessel".into(), source: Some(Lane::Debug), rules, ..LaneRules::default() });
    accept(
        &mut pipeline,
        Signal::Logs,
        lines(&[("", None, 17), ("", None, 9), ("debug", None, 17), ("logs", None, 9)]),
    );
    accept(&mut pipeline, Signal::Metrics, points(&[("one", "")]));
    accept(&mut pipeline, Signal::Traces, spans(&[("", 1)], vec![text("service.name", "cargo")]));
    accept(
        &mut pipeline,
        Signal::Traces,
        spans(&[("", 2)], vec![text("service.name", "cargo"), text("lightship.lane", "audit")]),
    );
    assert_eq!(
        counts(&pipeline.take_batches()),
        [(Lane::Mission, 1, 1, 0), (Lane::Audit, 1, 1, 0), (Lane::Logs, 0, 1, 0), (Lane::Debug, 0, 1, 1)]
    );
}

/// Scenario: each lane in turn is above its high watermark while requests of every kind come, some with records for two lanes.
/// Guarantees: those with a record for that lane are refused, whole, and counted with all their records; no other is; once the
/// lanes are low everything is taken, and the books balance (P1, P11).
#[test]
fn requests_for_a_lane_above_its_watermark_are_refused_whole() {
    let lanes = Lane::ALL.len();
    let mut pipeline = pipeline(LaneRules::default()).with_watermarks([Some(Watermarks { high: 100, low: 50 }); 6]);
    let requests = [
        (Signal::Traces, spans(&[("", 1)], Vec::new()), vec![Lane::Traces]),
        (Signal::Traces, spans(&[("mission", 2), ("", 3)], Vec::new()), vec![Lane::Mission, Lane::Traces]),
        (Signal::Logs, lines(&[("", Some(4), 9)]), vec![Lane::Traces]),
        (Signal::Logs, lines(&[("", None, 9)]), vec![Lane::Logs]),
        (Signal::Logs, lines(&[("debug", None, 9)]), vec![Lane::Debug]),
        (Signal::Metrics, points(&[("one", "audit"), ("two", "")]), vec![Lane::Audit, Lane::Metrics]),
    ];
    let mut refused = 0;
    for number in 0..=lanes {
        // In the last round none is.
        let raised = Lane::ALL.get(number).copied();
        let mut backlog = [0; 6];
        if let Some(bytes) = backlog.get_mut(number) {
            *bytes = 101;
        }
        let changed = pipeline.set_backlog(backlog);
        assert_eq!(changed.iter().find(|one| one.raised).map(|one| one.lane), raised);
        for (signal, body, of) in &requests {
            let before = pipeline.ledger().received.total();
            let answer = pipeline.accept(Request { signal: *signal, body: body.clone(), key: None }, 0);
            let is_meant = raised.is_some_and(|raised| of.contains(&raised));
            assert_eq!(answer != Answer::Accepted, is_meant, "{signal:?} for {of:?} while {raised:?} refuses");
            let taken = pipeline.ledger().received.total() - before;
            assert_eq!(taken, if is_meant { 0 } else { of.len() as u64 }, "taken whole, or not at all");
            refused += if is_meant { of.len() as u64 } else { 0 };
        }
    }
    assert_eq!(pipeline.ledger().refused.total(), refused);
    let counts: Vec<u64> = pipeline.lane_standings().map(|one| pipeline.refused_by_lane(one.lane)).collect();
    assert_eq!(counts, [1, 1, 3, 1, 1, 1]);
    pipeline.tick(5 * SECOND);
    pipeline.take_batches();
    let routed = pipeline.ledger().routed.total();
    assert_eq!(pipeline.ledger().difference(|_| routed), 0);
}
