//! Tables that the pipes of the filter language make: the same as the engine of the device makes of the same records.

use std::sync::Arc as Shared;

use filter::{Engine, Output, Record, Value};
use model::{Lane, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use wire::SectionRef;

use super::*;
use crate::query::{LogQuery, Scope, SpanQuery, Table, TimeRange};
use crate::rows::Records;

const RANGE: TimeRange = TimeRange { from: NOW, to: NOW + 1000 * SECOND };

fn log_query(filter: &str) -> LogQuery {
    LogQuery {
        filter: Some(filter::parse(filter, 0).unwrap().filter),
        range: RANGE,
        trace_id: None,
        span_id: None,
        service: None,
        min_severity: 0,
        text: None,
        ascending: false,
        // Neither of them may cut what a table is made from.
        limit: 1,
        after: Some((0, 0, 0)),
    }
}

fn span_query(filter: &str) -> SpanQuery {
    let filter = Some(filter::parse(filter, 0).unwrap().filter);
    SpanQuery { range: RANGE, service: None, operation: None, filter }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(Any::IntValue(value)) }), ..KeyValue::default() }
}

/// A store with 90 lines and 60 spans of three services, a third of them in packs of small blocks, and the same records by
/// themselves.
fn filled(place: &mut Place) -> (Store, Records) {
    place.options.block_bytes = 400;
    let store = place.open();
    let mut records = Records::default();
    let device: Shared<str> = "vessel-1".into();
    for round in 0..30u64 {
        let service = ["orders", "stock", "cargo"][(round % 3) as usize];
        let time = NOW + (round * 7 % 30) * SECOND;
        let of_round = |place: u64| {
            let mut line = line((round % 4) as u8, time + place, &format!("line {round} of {place}"));
            line.severity_number = if (round + place).is_multiple_of(3) { 17 } else { 9 };
            line.attributes = vec![number("bytes", (round * 10 + place) as i64)];
            line
        };
        let some_lines = lines(service, (0..3).map(of_round).collect());
        let length = (round + 1) * 10_000_000;
        let some_spans = spans(
            service,
            vec![
                span(round as u8 + 1, 1, 0, time, length, round.is_multiple_of(5)),
                span(round as u8 + 1, 2, 1, time + 1, length / 2, false),
            ],
        );
        store_all(
            &store,
            vec![
                frame(Lane::Logs, round + 1, &[SectionRef::Logs(&some_lines)]),
                frame(Lane::Traces, round + 1, &[SectionRef::Traces(&some_spans)]),
            ],
        );
        records.add_logs((&device, 7), &some_lines).unwrap();
        records.add_traces((&device, 7), &some_spans).unwrap();
        if round == 9 {
            pack_all(&store);
        }
    }
    (store, records)
}

/// What the device's engine makes of records, with the columns of a table.
fn reckoned<R: Record + Clone>(records: &[R], text: &str) -> (Vec<String>, Vec<Vec<Value<'static>>>, u64) {
    let (since, until) = (RANGE.from / SECOND, RANGE.to / SECOND);
    let (filter, pipes) = text.split_once('|').unwrap();
    let query = filter::parse(&format!("{filter} since={since} until={until} |{pipes}"), 0).unwrap();
    let mut engine = Engine::new(&query);
    let passed = records.iter().filter(|one| query.range.contains(one.time_ns()) && query.filter.matches(*one));
    passed.for_each(|one| engine.push(one.clone()));
    match engine.finish() {
        Output::Table(table) => (table.columns, table.rows, 0),
        Output::Records { records, fields, left_out } => {
            let names = fields.iter().map(|field| field.name().to_owned());
            let cells = |one: &R| {
                let time = Value::Text(one.time_ns().to_string().into());
                std::iter::once(time).chain(fields.iter().map(|field| one.field(field).into_owned())).collect()
            };
            (std::iter::once("time".to_owned()).chain(names).collect(), records.iter().map(cells).collect(), left_out)
        }
    }
}

fn parts(table: Table) -> (Vec<String>, Vec<Vec<Value<'static>>>, u64) {
    (table.columns, table.rows, table.left_out)
}

/// Scenario: lines and spans in heads and packs, asked with every pipe: figures by group, rates, percentiles, the top, an order, a
/// limit, fields, attributes. Guarantees: the same columns, rows and order as the device's engine makes of the same records, and
/// as many left out.
#[test]
fn a_table_is_what_the_device_makes_of_the_same_records() {
    let mut place = Place::new();
    let (store, records) = filled(&mut place);
    for text in [
        "level>=info | stats count by service",
        "level>=error | stats count, rate, min(bytes), max(bytes), avg(bytes), p95(bytes) by service, level",
        "bytes>50 | stats count, sum(bytes) by body | top 4 by sum(bytes) | fields body",
        "service=orders | sort bytes desc | limit 7 | fields body, bytes, level, device",
        "\"line 1\" | fields body | limit 5",
        "service=none | stats count",
    ] {
        let (filter, _) = text.split_once('|').unwrap();
        let pipes = filter::parse(text, 0).unwrap().pipes;
        let table = store.scoped(&Scope::whole_store()).log_table(&log_query(filter), &pipes).unwrap();
        assert!(text.contains("none") || !table.rows.is_empty(), "{text}");
        assert_eq!(parts(table), reckoned(&records.logs, text), "{text}");
    }
    for text in [
        "signal=span | stats count, p50(dur), p99(dur) by service, status",
        "name=op-1 | top 5 | fields name, dur, trace",
        "dur>100ms | sort dur | limit 3 | fields dur, span, parent, kind",
    ] {
        let (filter, _) = text.split_once('|').unwrap();
        let pipes = filter::parse(text, 0).unwrap().pipes;
        let table = store.scoped(&Scope::whole_store()).span_table(&span_query(filter), &pipes).unwrap();
        assert!(!table.rows.is_empty(), "{text}");
        assert_eq!(parts(table), reckoned(&records.spans, text), "{text}");
    }
}

/// Scenario: a table of one trace's lines at any time, of one service and operation, of a short time, without named fields.
/// Guarantees: the other bounds of a query hold for tables too, and a record has its usual columns.
#[test]
fn other_bounds_hold_for_tables() {
    let mut place = Place::new();
    let (store, _) = filled(&mut place);
    let pipes = |text: &str| filter::parse(text, 0).unwrap().pipes;
    let of_trace = LogQuery { range: TimeRange::ALL, trace_id: Some(TraceId([3; 16])), ..log_query("signal=log") };
    let table = store.scoped(&Scope::whole_store()).log_table(&of_trace, &pipes("x | stats count")).unwrap();
    assert_eq!(table.rows, [[Value::Int(21)]]);
    assert!(table.seen.from >= NOW && table.seen.to <= NOW + 31 * SECOND && table.seen.from < table.seen.to);
    let of_service =
        SpanQuery { service: Some("stock".into()), operation: Some("op-2".into()), ..span_query("dur>0s") };
    assert_eq!(
        store.scoped(&Scope::whole_store()).span_table(&of_service, &pipes("x | stats count")).unwrap().rows,
        [[Value::Int(10)]]
    );
    let short = SpanQuery { range: TimeRange { from: NOW, to: NOW + SECOND }, ..span_query("dur>0s") };
    let table = store.scoped(&Scope::whole_store()).span_table(&short, &pipes("x | limit 1")).unwrap();
    assert_eq!(table.columns, ["time", "dur", "service", "device", "name", "status", "trace", "span"]);
    assert_eq!((table.rows.len(), table.left_out), (1, 1));
}

/// Scenario: long lines, more than 64 MiB of them, asked for as rows, as groups, and in few. Guarantees: a table that would take
/// too much memory is refused with what to do; one that does not is answered, however much there is (P9).
#[test]
fn a_table_has_bounded_memory() {
    let place = Place::new();
    let store = place.open();
    for seq in 0..280u64 {
        let body = format!("{seq} {}", "x".repeat(250_000));
        let some = lines("orders", vec![line(0, NOW + seq, &body)]);
        store_all(&store, vec![frame(Lane::Logs, seq + 1, &[SectionRef::Logs(&some)])]);
        if seq % 40 == 39 {
            pack_all(&store);
        }
    }
    let table = |text: &str| {
        store.scoped(&Scope::whole_store()).log_table(&log_query("signal=log"), &filter::parse(text, 0).unwrap().pipes)
    };
    for much in ["x | limit 500", "x | stats count by body"] {
        let refused = table(much).unwrap_err();
        assert!(refused.what.contains("more than 64 MiB") && refused.hint.contains("limit 100"), "{refused:?}");
    }
    for little in ["x | limit 500 | fields service", "x | sort body | limit 2", "x | stats count by service"] {
        assert!(table(little).is_ok(), "{little}");
    }
    let rows = table("x | stats count, max(body) by service | fields count").unwrap().rows;
    assert_eq!(rows, [[Value::Int(280)]]);
}
