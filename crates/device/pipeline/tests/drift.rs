//! A vessel whose fields drift while it runs: found and named, and rules on levels and durations go on working.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use drift::{Drift, Finding};
use ledger::Ledger;
use model::{Answer, Lane, Request, Signal};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use pipeline::{Pipeline, Rules};
use prost::Message;
use sampling::{FieldNames, LogRecordRule, Means, Options, Policy, PolicyRule, Sampler};
use wire::Section;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_760_000_000 * SECOND;

fn value(value: any_value::Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn text(key: &str, text: &str) -> KeyValue {
    KeyValue { key: key.into(), value: value(any_value::Value::StringValue(text.into())), ..Default::default() }
}

fn int(key: &str, number: i64) -> KeyValue {
    KeyValue { key: key.into(), value: value(any_value::Value::IntValue(number)), ..Default::default() }
}

fn resource() -> Option<Resource> {
    Some(Resource { attributes: vec![text("service.name", "vessel")], ..Resource::default() })
}

fn log_records(log_records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { resource: resource(), scope_logs, ..Default::default() }] }
        .encode_to_vec()
}

fn span(trace: u64) -> Vec<u8> {
    let span = Span {
        trace_id: [trace + 1, trace + 1].map(u64::to_be_bytes).concat(),
        span_id: vec![1; 8],
        name: "GET /x".into(),
        start_time_unix_nano: START,
        end_time_unix_nano: START + 1,
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    TracesData { resource_spans: vec![ResourceSpans { resource: resource(), scope_spans, ..Default::default() }] }
        .encode_to_vec()
}

/// A record as the vessel writes it, before the change or behind it: how long something took, and how bad that is.
fn record(changed: bool, trace: Option<u64>, slow: bool, failed: bool) -> LogRecord {
    let duration = match (changed, slow) {
        (false, true) => int("duration_ms", 250),
        (false, false) => int("duration_ms", 3),
        // Another name, another unit, another type.
        (true, true) => text("latency_us", "250000"),
        (true, false) => text("latency_us", "3000"),
    };
    let level = match (changed, failed) {
        (false, true) => text("level", "ERR"),
        (false, false) => text("level", "INFO"),
        (true, true) => int("level", 50),
        (true, false) => int("level", 30),
    };
    LogRecord {
        time_unix_nano: START,
        trace_id: trace.map(|trace| [trace + 1, trace + 1].map(u64::to_be_bytes).concat()).unwrap_or_default(),
        attributes: vec![duration, level],
        ..LogRecord::default()
    }
}

/// Scenario: for two minutes a vessel sends each second ten log records without a trace, of which one is slow and one failed, and two traces,
/// one of them with a failed record; after a minute it writes `latency_us` as text for `duration_ms` as integer, and numbers of 50 and 30 for
/// ERR and INFO. Guarantees: the same records and traces are kept in the second minute as in the first, by the rule on level and duration and
/// by the policy `log_severity`; within a minute of the change the new field, the old one and the new type are told by name; nothing is
/// dropped for it, and the books balance (P1).
#[test]
fn rules_go_on_working_when_fields_drift() {
    let rule = LogRecordRule { min_severity: Some(17), min_duration_ms: Some(200.0) };
    let policies = vec![Policy { name: "loud".into(), rule: PolicyRule::LogSeverity(17) }];
    let options = Options { policies, decision_wait_ns: 2 * SECOND, memory: 1 << 20, ..Options::default() };
    let mut ledger = Ledger::default();
    ledger.destination("hub");
    let mut pipeline = Pipeline::new(1 << 20, Sampler::new(options), None, ledger)
        .with_rules(Rules { without_trace: rule, ..Rules::default() })
        .with_drift(Drift::on());
    let (mut kept, mut traces) = ([0u64; 2], [0u64; 2]);
    let mut told: Vec<(u64, Finding)> = Vec::new();
    let mut records = 0;
    for second in 0..124u64 {
        let now = second * SECOND;
        let (changed, of) = (second >= 60, usize::from(second >= 60));
        if second < 120 {
            let mut lines: Vec<LogRecord> =
                (0..10).map(|number| record(changed, None, number == 3, number == 7)).collect();
            lines.extend([
                record(changed, Some(2 * second), false, true),
                record(changed, Some(2 * second + 1), false, false),
            ]);
            let requests = [
                (Signal::Logs, log_records(lines)),
                (Signal::Traces, span(2 * second)),
                (Signal::Traces, span(2 * second + 1)),
            ];
            for (signal, body) in requests {
                assert_eq!(pipeline.accept(Request { signal, body, key: None }, now), Answer::Accepted);
            }
        }
        pipeline.tick(now);
        for batch in pipeline.take_batches() {
            records += batch.records.total();
            for section in wire::decode_body(&batch.body).unwrap() {
                match section {
                    Section::Logs(bytes) if batch.lane == Lane::Logs => {
                        kept[of] += model::otlp::count_records(Signal::Logs, &bytes).unwrap();
                    }
                    // A trace is decided two seconds later.
                    Section::Traces(_) => traces[usize::from(second >= 62)] += batch.records.traces,
                    _ => {}
                }
            }
        }
        told.extend(pipeline.take_drift().into_iter().map(|finding| (second, finding)));
        assert_eq!(pipeline.ledger().difference(|_| records), 0);
    }
    assert_eq!((kept, traces), ([120, 120], [60, 60]));
    assert!(told.iter().all(|(second, _)| (60..120).contains(second)), "{told:?}");
    let mut named: Vec<(&str, &str)> = told.iter().map(|(_, one)| (one.kind.id(), one.field.as_str())).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            ("missing_attribute", "latency_us"),
            ("recommended_attribute_not_present", "duration_ms"),
            ("type_mismatch", "level")
        ]
    );
    assert!(told.iter().all(|(_, one)| one.service == "vessel"));
}

/// Scenario: a vessel writes how long something took and how bad that is under names and in words that only its operator knows, in seconds;
/// records without a trace, and traces with such records. Guarantees: with rules of the operator the slow and the bad ones are kept, by the rule
/// on level and duration and by the policy `log_severity`, and no others; without them none is.
#[test]
fn names_of_an_operator_are_rules_for_levels_and_durations() {
    let own = || {
        let words = vec![("schlimm".to_owned(), 17)];
        FieldNames::new([("dauer".to_owned(), Means::Duration(1e3)), ("ernst".to_owned(), Means::Level(words))])
    };
    let record = |trace: Option<u64>, seconds: &str, how: &str| LogRecord {
        time_unix_nano: START,
        trace_id: trace.map(|trace| [trace + 1, trace + 1].map(u64::to_be_bytes).concat()).unwrap_or_default(),
        attributes: vec![text("dauer", seconds), text("ernst", how)],
        ..LogRecord::default()
    };
    for (fields, expected) in [(own(), (2, 1)), (FieldNames::default(), (0, 0))] {
        let rule = LogRecordRule { min_severity: Some(17), min_duration_ms: Some(200.0) };
        let policies = vec![Policy { name: "loud".into(), rule: PolicyRule::LogSeverity(17) }];
        let options = Options { policies, decision_wait_ns: 2 * SECOND, memory: 1 << 20, ..Options::default() };
        let mut ledger = Ledger::default();
        ledger.destination("hub");
        let rules = Rules { fields: fields.into(), without_trace: rule, ..Rules::default() };
        let mut pipeline = Pipeline::new(1 << 20, Sampler::new(options), None, ledger).with_rules(rules);
        let lines = vec![
            record(None, "0.25", "egal"),
            record(None, "0.003", "schlimm"),
            record(None, "0.003", "egal"),
            record(Some(1), "0.003", "Schlimm"),
            record(Some(2), "0.25", "egal"),
        ];
        for (signal, body) in [(Signal::Logs, log_records(lines)), (Signal::Traces, span(1)), (Signal::Traces, span(2))]
        {
            assert_eq!(pipeline.accept(Request { signal, body, key: None }, SECOND), Answer::Accepted);
        }
        pipeline.tick(9 * SECOND);
        let batches = pipeline.take_batches();
        let lines = |lane| {
            batches.iter().filter(|batch| batch.lane == lane).map(|batch| batch.records.get(Signal::Logs)).sum::<u64>()
        };
        let spans = batches.iter().map(|batch| batch.records.get(Signal::Traces)).sum::<u64>();
        assert_eq!((lines(Lane::Logs), spans), expected);
        assert_eq!(lines(Lane::Traces), spans, "the record goes with its trace");
    }
}
