//! Limits in the way of a record: whole traces, books that balance, gaps that tell it, lanes that are never limited.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use filter::Field;
use ledger::Ledger;
use limit::{Most, RecordLimits, Rule, SeriesLimit, TraceLimits};
use model::{Answer, Lane, Request, Signal};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use pipeline::{Batch, LaneRules, Pipeline};
use prost::Message;
use red::Red;
use sampling::{ALWAYS, Options, OtState, Policy, PolicyRule, Sampler, probability};
use wire::{Gap, GapReason, Section};

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

fn rule(name: &str, signal: Signal, filter: &str, by: &[&str], most: Most) -> Rule {
    let filter = filter::parse(filter, 0).unwrap().filter;
    Rule { name: name.into(), signal, filter, by: by.iter().map(|name| Field::named(name)).collect(), most }
}

fn pipeline(rules: &[Rule], policies: Vec<Policy>) -> Pipeline {
    let options = Options { policies, decision_wait_ns: 2 * SECOND, memory: 2 << 20, ..Options::default() };
    let mut ledger = Ledger::default();
    ledger.destination("hub");
    let red = Red::new(red::Options::default(), START);
    let lanes = LaneRules { producers: vec![Lane::Audit], ..LaneRules::default() };
    let traces = TraceLimits::new("d".into(), rules);
    Pipeline::new(1 << 20, Sampler::new(options), Some(red), ledger).with_lanes(lanes).with_limits(
        RecordLimits::new("d".into(), rules),
        SeriesLimit::new(10),
        traces,
    )
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.into())) });
    KeyValue { key: key.into(), value, ..Default::default() }
}

fn resource(service: &str) -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", service)], ..Resource::default() })
}

/// An id whose randomness is spread over all traces.
fn trace(number: u64) -> Vec<u8> {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    [number.to_be_bytes(), (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()].concat()
}

fn spans(service: &str, traces: impl IntoIterator<Item = u64>, id: u8) -> Vec<u8> {
    let span = |number| Span {
        trace_id: trace(number),
        span_id: vec![id; 8],
        name: "GET /x".into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1_000_000,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: traces.into_iter().map(span).collect(), ..ScopeSpans::default() }];
    let resource = resource(service);
    TracesData { resource_spans: vec![ResourceSpans { resource, scope_spans, ..Default::default() }] }.encode_to_vec()
}

fn log_records(service: &str, records: &[(Option<u64>, &str)]) -> Vec<u8> {
    let record = |(number, lane): &(Option<u64>, &str)| LogRecord {
        time_unix_nano: START,
        severity_number: 9,
        trace_id: number.map(trace).unwrap_or_default(),
        attributes: if lane.is_empty() { Vec::new() } else { vec![text("lightship.lane", lane)] },
        ..LogRecord::default()
    };
    let log_records = records.iter().map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let resource = resource(service);
    LogsData { resource_logs: vec![ResourceLogs { resource, scope_logs, ..Default::default() }] }.encode_to_vec()
}

/// What came out.
#[derive(Default)]
struct Out {
    /// Ids of spans by trace, with the probability that they tell.
    spans: BTreeMap<Vec<u8>, BTreeSet<u8>>,
    stands_for: f64,
    log_records: BTreeMap<Lane, u64>,
    gaps: Vec<Gap>,
    records: u64,
}

impl Out {
    fn take(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.records += batch.records.total();
            for section in wire::decode_body(&batch.body).unwrap() {
                match section {
                    Section::Traces(bytes) => {
                        let data = TracesData::decode(bytes.as_slice()).unwrap();
                        let scopes = data.resource_spans.into_iter().flat_map(|one| one.scope_spans);
                        for span in scopes.flat_map(|scope| scope.spans) {
                            let threshold = OtState::read(span.trace_state.as_bytes()).threshold.unwrap_or(ALWAYS);
                            self.stands_for += 1.0 / probability(threshold);
                            self.spans.entry(span.trace_id).or_default().insert(span.span_id[0]);
                        }
                    }
                    Section::Logs(bytes) => {
                        *self.log_records.entry(batch.lane).or_default() +=
                            model::otlp::count_records(Signal::Logs, &bytes).unwrap();
                    }
                    Section::Gap(gap) => self.gaps.push(gap),
                    Section::Metrics(_) | Section::Exemplars(_) => {}
                }
            }
        }
    }
}

fn accept(pipeline: &mut Pipeline, signal: Signal, body: Vec<u8>, now_ns: u64) {
    assert_eq!(pipeline.accept(Request { signal, body, key: None }, now_ns), Answer::Accepted);
}

/// Scenario: for a minute a service floods with 400 traces a second, ten times its rate, while another one sends 10; each trace sends a
/// second span 300 ms later, and the flood a log record of each trace 300 ms after that. Guarantees: the rate holds within 2 %; no trace is
/// cut and no log record of one that is taken out goes; the other service loses nothing, nobody is refused; span metrics count every span;
/// what is kept says how many it stands for; what is taken out is filtered, counted by rule and told as gaps of its kind, and the books
/// balance (P1, P4, P6).
#[test]
fn a_service_that_floods_with_traces_costs_others_nothing() {
    let rate = Most::Rate { per_second: 40.0, burst: 400.0 };
    let rules = [rule("each_service", Signal::Traces, "", &["service"], rate)];
    let mut pipeline = pipeline(&rules, Vec::new());
    let mut out = Out::default();
    let (mut sent, mut logs) = (0, 0);
    for tenth in 0..660u64 {
        let now = tenth * SECOND / 10;
        pipeline.set_clocks(now, START + now);
        let flood = |tenth: u64| tenth * 40..tenth * 40 + 40;
        let quiet = |tenth: u64| 1_000_000 + tenth..1_000_001 + tenth;
        if tenth < 600 {
            accept(&mut pipeline, Signal::Traces, spans("flood", flood(tenth), 1), now);
            accept(&mut pipeline, Signal::Traces, spans("quiet", quiet(tenth), 1), now);
            sent += 41;
        }
        if (3..603).contains(&tenth) {
            accept(&mut pipeline, Signal::Traces, spans("flood", flood(tenth - 3), 2), now);
            accept(&mut pipeline, Signal::Traces, spans("quiet", quiet(tenth - 3), 2), now);
            sent += 41;
        }
        if (6..606).contains(&tenth) {
            let records: Vec<(Option<u64>, &str)> = flood(tenth - 6).map(|number| (Some(number), "")).collect();
            accept(&mut pipeline, Signal::Logs, log_records("flood", &records), now);
            logs += 40;
        }
        pipeline.tick(now);
        out.take(&pipeline.take_batches());
        assert_eq!(pipeline.ledger().difference(|_| out.records), 0);
    }
    pipeline.close_books();
    out.take(&pipeline.take_batches());
    let (quiet, flood): (Vec<_>, Vec<_>) =
        out.spans.iter().partition(|(id, _)| id[..8] >= 1_000_000u64.to_be_bytes()[..]);
    assert_eq!(quiet.len(), 600, "the other service loses nothing");
    assert!((2_352..=2_448).contains(&flood.len()), "{}", flood.len());
    assert!(out.spans.values().all(|ids| ids.len() == 2), "a trace is cut");
    assert_eq!(out.log_records[&Lane::Traces], flood.len() as u64);
    assert!(!out.log_records.contains_key(&Lane::Logs), "a log record of a trace that is taken out");
    assert!((out.stands_for / sent as f64 - 1.0).abs() < 0.06, "{} for {sent}", out.stands_for);
    let limited = 2 * (24_000 - flood.len() as u64);
    let ledger = pipeline.ledger();
    assert_eq!((ledger.received.traces, ledger.received.logs), (sent, logs));
    assert_eq!((ledger.filtered.traces, ledger.filtered.logs), (limited, limited / 2));
    assert_eq!(pipeline.limit_tallies().next().unwrap().records, limited + limited / 2);
    let told: u64 = out.gaps.iter().map(|gap| gap.records).sum();
    assert_eq!(told, limited + limited / 2);
    assert!(
        out.gaps
            .iter()
            .all(|gap| gap.reason == GapReason::Limited && (gap.last, gap.start_ns < gap.end_ns) == (0, true))
    );
    assert!(out.gaps.len() < 8, "{:?}", out.gaps);
    assert_eq!(pipeline.ledger().refused.total(), 0);
}

/// Scenario: a trace of two services, of which a limit is for the second; the first one's span and a log record of WARN come before.
/// Guarantees: all of it goes, also what waited, and nothing of it comes back with an error; a trace that passes tells the joint
/// probability of limit and policy (P1, P4).
#[test]
fn a_trace_goes_whole() {
    let share = |share| [rule("share", Signal::Traces, "service=two", &[], Most::Share(share))];
    let mut pipeline = pipeline(&share(1e-9), Vec::new());
    let mut out = Out::default();
    accept(&mut pipeline, Signal::Logs, log_records("one", &[(Some(1), ""), (Some(2), "")]), 0);
    accept(&mut pipeline, Signal::Traces, spans("two", [2], 1), SECOND);
    accept(&mut pipeline, Signal::Traces, spans("one", [1, 3], 1), SECOND);
    accept(&mut pipeline, Signal::Traces, spans("two", [1], 2), SECOND);
    accept(&mut pipeline, Signal::Traces, spans("one", [1], 3), 2 * SECOND);
    pipeline.tick(20 * SECOND);
    accept(&mut pipeline, Signal::Traces, spans("one", [1, 2], 4), 21 * SECOND);
    pipeline.tick(40 * SECOND);
    out.take(&pipeline.take_batches());
    assert_eq!(out.spans.keys().collect::<Vec<_>>(), [&trace(3)]);
    assert!(out.log_records.is_empty());
    let ledger = pipeline.ledger();
    assert_eq!(ledger.difference(|_| 1), 0);
    assert_eq!((ledger.received.total(), ledger.filtered.traces + ledger.sampled_out.total()), (9, 8));
    let half = PolicyRule::Probabilistic { salt: b"s".as_slice().into(), share: 0.5 };
    let policies = vec![Policy { name: "half".into(), rule: half }];
    let mut pipeline = self::pipeline(&share(0.25), policies);
    let mut out = Out::default();
    for group in 0..40 {
        accept(&mut pipeline, Signal::Traces, spans("two", group * 100..group * 100 + 100, 1), group * SECOND);
        pipeline.tick(group * SECOND);
        out.take(&pipeline.take_batches());
    }
    pipeline.tick(60 * SECOND);
    out.take(&pipeline.take_batches());
    assert!((450..550).contains(&out.spans.len()), "{}", out.spans.len());
    assert!((out.stands_for - 8.0 * out.spans.len() as f64).abs() < 1e-6, "{}", out.stands_for);
}

/// Scenario: 5 log records a second are let pass; 30 come in a request, 3 of them for audit; a request comes when there is no room, and again.
/// Guarantees: audit is never limited; what is taken out is booked and told in its lane; what was refused used nothing up (P1, P11).
#[test]
fn audit_is_never_limited() {
    let rate = Most::Rate { per_second: 5.0, burst: 50.0 };
    let mut pipeline = pipeline(&[rule("lines", Signal::Logs, "", &[], rate)], Vec::new());
    pipeline.set_clocks(0, START);
    let records: Vec<(Option<u64>, &str)> =
        (0..30).map(|number| (None, if number % 10 == 0 { "audit" } else { "" })).collect();
    accept(&mut pipeline, Signal::Logs, log_records("one", &records), 0);
    let mut out = Out::default();
    out.take(&pipeline.take_batches());
    assert_eq!((out.log_records[&Lane::Audit], out.log_records[&Lane::Logs]), (3, 5));
    assert_eq!((pipeline.ledger().received.logs, pipeline.ledger().filtered.logs), (30, 22));
    assert_eq!(pipeline.counters().dropped_by_guard.get(model::Refusal::Limited), 22);
    assert_eq!(pipeline.ledger().difference(|_| out.records), 0);
    assert!(out.gaps.is_empty(), "told once a minute");
    pipeline.set_clocks(61 * SECOND, START + 61 * SECOND);
    out.take(&pipeline.take_batches());
    let [gap] = &out.gaps[..] else { panic!("{:?}", out.gaps) };
    assert_eq!((gap.lane, gap.records, gap.first, gap.last), (Lane::Logs, 22, START, 0));
}

fn sum(metric: &str, temporality: i32, labels: std::ops::Range<u64>) -> Vec<u8> {
    let point = |label: u64| NumberDataPoint {
        attributes: vec![text("user", &label.to_string())],
        time_unix_nano: START,
        value: Some(number_data_point::Value::AsInt(3)),
        ..NumberDataPoint::default()
    };
    let sum =
        Sum { data_points: labels.map(point).collect(), aggregation_temporality: temporality, is_monotonic: true };
    let metrics = vec![Metric { name: metric.into(), data: Some(metric::Data::Sum(sum)), ..Metric::default() }];
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = resource("one");
    MetricsData { resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }] }
        .encode_to_vec()
}

/// Scenario: 50 series of a delta sum and 20 of a cumulative one where 10 are allowed.
/// Guarantees: what is beyond is in one overflow point of the delta sum, with what it was; cumulative ones are left out and told as a gap;
/// the books balance, and an orderly end leaves nothing behind (P1).
#[test]
fn the_sum_of_a_metric_stays_what_it_was() {
    let mut pipeline = pipeline(&[], Vec::new());
    pipeline.set_clocks(SECOND, START);
    accept(&mut pipeline, Signal::Metrics, sum("delta", 1, 0..30), SECOND);
    accept(&mut pipeline, Signal::Metrics, sum("delta", 1, 0..50), SECOND);
    accept(&mut pipeline, Signal::Metrics, sum("total", 2, 0..20), SECOND);
    let ledger = pipeline.ledger();
    assert_eq!((ledger.received.metrics, ledger.filtered.metrics), (100, 70));
    pipeline.close_books();
    let (mut all, mut overflow, mut gaps, mut records) = (0, 0, Vec::new(), 0);
    for batch in pipeline.take_batches() {
        records += batch.records.total();
        for section in wire::decode_body(&batch.body).unwrap() {
            let bytes = match section {
                Section::Metrics(bytes) => bytes,
                Section::Gap(gap) => {
                    gaps.push((gap.lane, gap.records));
                    continue;
                }
                other => panic!("{other:?}"),
            };
            let data = MetricsData::decode(bytes.as_slice()).unwrap();
            let scopes = data.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
            for metric in scopes.flat_map(|scope| scope.metrics).filter(|metric| metric.name == "delta") {
                let Some(metric::Data::Sum(sum)) = metric.data else { panic!("no sum") };
                for point in sum.data_points {
                    let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("no integer") };
                    all += value;
                    overflow += u64::from(point.attributes[0].key == "otel.metric.overflow");
                }
            }
        }
    }
    assert_eq!((all, overflow, records), (240, 1, 31));
    assert_eq!(gaps, [(Lane::Metrics, 10)]);
    assert_eq!(pipeline.ledger().difference(|_| records), 0);
    assert_eq!((pipeline.overflow().added(), pipeline.overflow().left_out(), pipeline.series().series()), (60, 10, 20));
}
