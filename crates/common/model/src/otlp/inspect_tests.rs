//! Requests with good and bad records, at the door.

use super::bounds::MAX_RECORD;
use super::findings::Findings;
use super::inspect::{bounded, field_of, look_at_span};
use super::schema::{any_value, key_value};
use super::*;
use crate::proto::{ProtoError, Reader, put_bytes, put_fixed64, put_message, put_uint, put_varint};
use crate::{Refusal, Signal};

const WALL: u64 = 1_700_000_000_000_000_000;

fn pair(out: &mut Vec<u8>, number: u32, key: &[u8], value: &[u8]) {
    put_message(out, number, |out| {
        put_bytes(out, key_value::KEY, key);
        put_message(out, key_value::VALUE, |out| put_bytes(out, any_value::STRING, value));
    });
}

fn span(trace: &[u8], id: &[u8], name: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, trace);
    put_bytes(&mut out, 2, id);
    put_bytes(&mut out, 5, name);
    put_fixed64(&mut out, 7, WALL);
    put_fixed64(&mut out, 8, WALL + 1);
    out
}

fn log(time: u64, trace: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if time > 0 {
        put_fixed64(&mut out, 1, time);
    }
    put_message(&mut out, 5, |out| put_bytes(out, any_value::STRING, b"text"));
    put_bytes(&mut out, 9, trace);
    out
}

fn point(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_fixed64(&mut out, 3, WALL);
    put_fixed64(&mut out, 6, value);
    out
}

fn metric(name: &[u8], points: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, name);
    put_bytes(&mut out, 3, b"s");
    put_message(&mut out, 7, |out| {
        points.into_iter().for_each(|point| put_bytes(out, 1, &point));
        put_uint(out, 2, 2);
        put_uint(out, 3, 1);
    });
    out
}

fn request(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 1, |out| pair(out, 1, b"service.name", b"shop"));
        put_message(out, 2, |out| {
            put_message(out, 1, |out| put_bytes(out, 1, b"scope"));
            items.iter().for_each(|item| put_bytes(out, 2, item));
        });
    });
    out
}

fn nested(depth: u32) -> Vec<u8> {
    let mut value = Vec::new();
    put_bytes(&mut value, any_value::STRING, b"end");
    for _ in 0..depth {
        let inner = std::mem::take(&mut value);
        put_message(&mut value, any_value::KVLIST, |out| {
            put_message(out, 1, |out| {
                put_bytes(out, key_value::KEY, b"k");
                put_bytes(out, key_value::VALUE, &inner);
            });
        });
    }
    value
}

fn with_value(mut item: Vec<u8>, number: u32, value: &[u8]) -> Vec<u8> {
    put_message(&mut item, number, |out| {
        put_bytes(out, key_value::KEY, b"deep");
        put_bytes(out, key_value::VALUE, value);
    });
    item
}

/// All records of all pieces.
fn items(signal: Signal, request: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for piece in Pieces::new(signal, request, WALL) {
        let found = inspect(signal, &piece).unwrap();
        assert!(found.is_clean(), "{found:?}");
        for_each_scope::<ProtoError>(&piece, |scope| {
            assert_eq!(string_attribute(scope.resource.resource, 1, "service.name"), Some(&b"shop"[..]));
            out.extend(scope.items().map(|item| item.unwrap().to_vec()));
            Ok(())
        })
        .unwrap();
    }
    out
}

/// Scenario: spans without trace id, with zeros, of 15 bytes, the same for span ids, a parent of 7 bytes, beside good ones.
/// Guarantees: the good ones go on unchanged, the bad ones are counted by reason, a bad parent is left out (P1).
#[test]
fn i7_bad_ids_cost_only_their_spans() {
    let good = span(&[1; 16], &[2; 8], b"good");
    let mut parent = good.clone();
    put_bytes(&mut parent, 4, &[3; 7]);
    let bad = [
        span(&[0; 16], &[2; 8], b"zeros"),
        span(&[], &[2; 8], b"none"),
        span(&[1; 15], &[2; 8], b"short"),
        span(&[1; 16], &[0; 8], b"zeros"),
        span(&[1; 16], &[2; 9], b"long"),
    ];
    let all = [std::slice::from_ref(&good), &bad[..], &[parent]].concat();
    let found = inspect(Signal::Traces, &request(&all)).unwrap();
    assert_eq!((found.records, found.rejected.total()), (2, 5));
    assert_eq!(found.rejected.get(Refusal::InvalidTraceId), 3);
    assert_eq!(found.rejected.get(Refusal::InvalidSpanId), 2);
    assert_eq!(found.mended.get(Refusal::InvalidId), 1);
    assert_eq!(items(Signal::Traces, &request(&all)), [good.clone(), good]);
}

/// Scenario: a request of each signal is sent where each other one belongs. Guarantees: nothing of it is taken, and it is
/// known for what it is; where it belongs all of it is taken.
#[test]
fn i7_a_request_of_another_signal_is_known() {
    let spans: Vec<_> = (1..4).map(|id| span(&[id; 16], &[id; 8], b"name")).collect();
    let logs: Vec<_> = (1..4).map(|time| log(time, &[])).collect();
    let metrics: Vec<_> = ["a", "b"].map(|name| metric(name.as_bytes(), [point(1), point(2)])).into();
    let all = [(Signal::Traces, spans), (Signal::Logs, logs), (Signal::Metrics, metrics)];
    for (meant, records) in &all {
        let bytes = request(records);
        for signal in Signal::ALL {
            assert_eq!(fits(signal, &bytes), signal == *meant, "{meant:?} as {signal:?}");
            let taken = inspect(signal, &bytes).map_or(0, |found| found.records);
            assert_eq!(taken > 0, signal == *meant, "{meant:?} as {signal:?}");
        }
    }
}

/// Scenario: a log record with a trace id of 5 bytes; an exemplar with one of 3. Guarantees: the records go on without the
/// id (logs.proto), and it is counted.
#[test]
fn i7_bad_ids_of_other_records_are_left_out() {
    let found = inspect(Signal::Logs, &request(&[log(1, &[7; 5]), log(1, &[7; 16])])).unwrap();
    assert_eq!((found.records, found.mended.get(Refusal::InvalidId)), (2, 1));
    let kept = items(Signal::Logs, &request(&[log(1, &[7; 5]), log(1, &[7; 16])]));
    assert_eq!(
        kept.iter().map(|item| LogView::read(item).unwrap().trace_id.is_some()).collect::<Vec<_>>(),
        [false, true]
    );
    assert!(kept[0].len() < kept[1].len() - 16);
    let mut with_exemplar = point(1);
    put_message(&mut with_exemplar, 5, |out| put_bytes(out, 5, &[1; 3]));
    let found = inspect(Signal::Metrics, &request(&[metric(b"m", [with_exemplar])])).unwrap();
    assert_eq!((found.records, found.mended.get(Refusal::InvalidId)), (1, 1));
}

/// Scenario: attributes nested 64 deep, and 65, in a span, a log body, a point, a scope. Guarantees: 64 is taken; what is
/// deeper is rejected alone, and costs no neighbour.
#[test]
fn i8_only_what_is_too_deep_is_rejected() {
    let good = span(&[1; 16], &[2; 8], b"good");
    for (depth, rejected) in [(MAX_DEPTH, 0), (MAX_DEPTH + 1, 1), (5 * MAX_DEPTH, 1)] {
        let spans = request(&[good.clone(), with_value(good.clone(), 9, &nested(depth)), good.clone()]);
        let found = inspect(Signal::Traces, &spans).unwrap();
        assert_eq!((found.records, found.rejected.get(Refusal::TooDeep)), (3 - rejected, rejected));
        assert_eq!(items(Signal::Traces, &spans).len() as u64, 3 - rejected);
        let mut deep_log = log(1, &[]);
        put_bytes(&mut deep_log, 5, &nested(depth));
        let logs = request(&[log(1, &[]), deep_log]);
        assert_eq!(inspect(Signal::Logs, &logs).unwrap().records, 2 - rejected);
        let metrics = request(&[metric(b"m", [point(1), with_value(point(2), 7, &nested(depth)), point(3)])]);
        assert_eq!(inspect(Signal::Metrics, &metrics).unwrap().records, 3 - rejected);
        let left: u64 = Pieces::new(Signal::Metrics, &metrics, WALL)
            .map(|piece| count_records(Signal::Metrics, &piece).unwrap())
            .sum();
        assert_eq!(left, 3 - rejected);
    }
}

/// Scenario: names, attribute keys and values, a resource and a scope with bytes that are no UTF-8. Guarantees: they go on
/// with U+FFFD in their place, everything else as it came, and are counted.
#[test]
fn i9_texts_that_are_no_utf8_are_mended() {
    let mut odd = span(&[1; 16], &[2; 8], b"\xff");
    pair(&mut odd, 9, b"k\xfe", b"v\xfd");
    let found = inspect(Signal::Traces, &request(&[odd.clone()])).unwrap();
    assert_eq!((found.records, found.mended.get(Refusal::InvalidUtf8)), (1, 3));
    let kept = items(Signal::Traces, &request(&[odd]));
    let view = SpanView::read(&kept[0]).unwrap();
    assert_eq!(view.name, "\u{fffd}".as_bytes());
    let mut attributes = view.attributes();
    assert_eq!(attributes.next().unwrap().0, "k\u{fffd}".as_bytes());
    let mut around = Vec::new();
    put_message(&mut around, 1, |out| {
        put_message(out, 1, |out| {
            pair(out, 1, b"service.name", b"shop");
            pair(out, 1, b"host.name", b"\xc3");
        });
        put_message(out, 2, |out| {
            put_message(out, 1, |out| put_bytes(out, 1, b"\xc0"));
            put_bytes(out, 2, &log(1, &[]));
            put_bytes(out, 2, &log(2, &[]));
        });
    });
    assert_eq!(inspect(Signal::Logs, &around).unwrap().mended.get(Refusal::InvalidUtf8), 2);
    assert_eq!(items(Signal::Logs, &around).len(), 2);
    // Bytes are bytes.
    let mut bytes = log(1, &[]);
    put_message(&mut bytes, 5, |out| put_bytes(out, any_value::BYTES, b"\xff"));
    assert!(inspect(Signal::Logs, &request(&[bytes])).unwrap().is_clean());
}

/// Scenario: log records with an event time, with an observed time, with neither. Guarantees: only the last gets the time of
/// its arrival, as its observed time (Logs Data Model, "ObservedTimestamp").
#[test]
fn i11_a_log_record_without_a_time_gets_one() {
    let mut observed = log(0, &[]);
    put_fixed64(&mut observed, 11, 7);
    let all = request(&[log(5, &[]), observed, log(0, &[])]);
    assert_eq!(inspect(Signal::Logs, &all).unwrap().mended.get(Refusal::NoTime), 1);
    let times: Vec<_> = items(Signal::Logs, &all).iter().map(|item| LogView::read(item).unwrap().time_ns).collect();
    assert_eq!(times, [5, 7, WALL]);
}

/// Scenario: a group as an unknown field in a span, beside a field whose wire type is another than the schema's.
/// Guarantees: the group costs nothing, the wrong type costs its record.
#[test]
fn i10_unknown_fields_cost_nothing_and_wrong_types_their_record() {
    let mut grouped = span(&[1; 16], &[2; 8], b"good");
    put_varint(&mut grouped, 900 << 3 | 3);
    put_uint(&mut grouped, 1, 1);
    put_varint(&mut grouped, 900 << 3 | 4);
    let mut wrong = span(&[1; 16], &[2; 8], b"wrong");
    put_uint(&mut wrong, 5, 1);
    let found = inspect(Signal::Traces, &request(&[grouped, wrong])).unwrap();
    assert_eq!((found.records, found.rejected.get(Refusal::Malformed)), (1, 1));
}

/// Scenario: requests of every signal, much larger than a piece: many records, many resources, one metric with all points,
/// records of all sizes. Guarantees: every record is in exactly one piece, in order, under its own resource; no piece is
/// much larger than allowed unless one record is (P9).
#[test]
fn i3_a_large_request_goes_in_pieces() {
    let spans: Vec<_> = (0..3000u32)
        .map(|number| {
            let mut item = span(&[1; 16], &[2; 8], b"name");
            pair(&mut item, 9, b"number", &vec![b'x'; number as usize % 500]);
            item
        })
        .collect();
    assert_eq!(items(Signal::Traces, &request(&spans)), spans);
    let points = metric(b"m", (0..20_000).map(point));
    let large = request(&[points, metric(b"n", [point(1)])]);
    let mut values = Vec::new();
    for piece in Pieces::new(Signal::Metrics, &large, WALL) {
        assert!(piece.len() < 2 * PIECE_BYTES, "{}", piece.len());
        assert!(count_records(Signal::Metrics, &piece).unwrap() <= PIECE_RECORDS);
        for_each_scope::<ProtoError>(&piece, |scope| {
            for item in scope.items() {
                PointView::for_each::<ProtoError>(item?, |point| {
                    let mut reader = Reader::new(point.bytes);
                    while let Some((number, value)) = reader.next_field()? {
                        if let (6, crate::proto::Value::Fixed64(value)) = (number, value) {
                            values.push(value);
                        }
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
    }
    assert_eq!(values.len(), 20_001);
    assert!(values.iter().take(20_000).enumerate().all(|(index, value)| index as u64 == *value));
    let few = Pieces::new(Signal::Metrics, &large, WALL).with_records(100);
    let counts: Vec<_> = few.map(|piece| count_records(Signal::Metrics, &piece).unwrap()).collect();
    assert!(counts.iter().all(|count| *count <= 100) && counts.iter().sum::<u64>() == 20_001, "{counts:?}");
    let group = request(&[log(1, &[])]);
    let many: Vec<u8> = std::iter::repeat_n(group, 5000).flatten().collect();
    let sizes: Vec<_> = Pieces::new(Signal::Logs, &many, WALL).map(|piece| piece.len()).collect();
    assert!(sizes.len() > 3 && sizes.iter().all(|size| *size < 3 * PIECE_BYTES), "{sizes:?}");
}

/// Scenario: a record above the limit, a point with too many parts, a resource above the limit. Guarantees: each is rejected
/// alone, with its reason; so few bytes never become much memory (P9).
#[test]
fn i3_records_have_a_bound() {
    let good = span(&[1; 16], &[2; 8], b"good");
    let mut large = good.clone();
    pair(&mut large, 9, b"k", &vec![b'x'; MAX_RECORD]);
    let mut parts = good.clone();
    (0..=MAX_PARTS).for_each(|_| put_bytes(&mut parts, 11, &[]));
    let all = request(&[large, good.clone(), parts]);
    let found = inspect(Signal::Traces, &all).unwrap();
    assert_eq!(found.rejected.get(Refusal::TooLarge), 1);
    assert_eq!(found.rejected.get(Refusal::TooManyRecords), 1);
    assert_eq!(items(Signal::Traces, &all), std::slice::from_ref(&good));
    let mut around = Vec::new();
    put_message(&mut around, 1, |out| {
        put_message(out, 1, |out| pair(out, 1, b"k", &vec![b'x'; MAX_AROUND]));
        put_message(out, 2, |out| put_bytes(out, 2, &good));
    });
    assert_eq!(inspect(Signal::Traces, &around).unwrap().rejected.get(Refusal::TooLarge), 1);
    assert_eq!(Pieces::new(Signal::Traces, &around, WALL).count(), 0);
}

/// Scenario: every cut of a request, and every byte of it changed. Guarantees: nothing panics; what is found readable
/// gives pieces that are clean, with as many records as were counted.
#[test]
fn i3_pieces_hold_what_was_counted() {
    let whole = request(&[metric(b"m", [point(1), with_value(point(2), 7, &nested(3))]), metric(b"n", [point(3)])]);
    let check = |bytes: &[u8]| {
        for signal in Signal::ALL {
            let Ok(found) = inspect(signal, bytes) else { continue };
            let mut records = 0;
            for piece in Pieces::new(signal, bytes, WALL) {
                let again = inspect(signal, &piece).unwrap();
                assert!(again.is_clean(), "{bytes:?}: {again:?}");
                records += again.records;
            }
            assert_eq!(records, found.records, "{signal:?} {bytes:?}");
        }
    };
    for cut in 0..whole.len() {
        check(&whole[..cut]);
        for change in [1, 0x80, 0xff, 7] {
            let mut changed = whole.clone();
            changed[cut] ^= change;
            check(&changed);
        }
    }
}

/// A span, field by field, by the tables alone.
fn walked(item: &[u8]) -> Result<(Findings, SpanView<'_>), ProtoError> {
    let (mut found, mut reader) = (Findings::default(), Reader::new(item));
    while let Some((number, value)) = reader.next_field()? {
        match field_of(&schema::SPAN, number) {
            None => found.unknown += 1,
            Some(field) => found.field(field, value, reader.offset())?,
        }
    }
    let (span, mut found) = (SpanView::read(item)?, bounded(found, item.len(), MAX_RECORD));
    if span.trace_id.is_none() {
        found.refuse(Refusal::InvalidTraceId);
    } else if span.span_id.is_none() {
        found.refuse(Refusal::InvalidSpanId);
    }
    Ok((found, span))
}

/// Scenario: a span with every field, attributes of every kind and length, alone and in runs; cut at every place, with every byte changed
/// to every value. Guarantees: the glance at its usual fields finds what a walk by the tables finds, faults included; nothing panics.
#[test]
fn a_glance_at_a_span_finds_what_a_walk_finds() {
    let mut item = span(&[7; 16], &[3; 8], b"GET /");
    put_bytes(&mut item, 3, b"ot=th:8");
    put_bytes(&mut item, 4, &[9; 8]);
    put_uint(&mut item, 6, 2);
    for length in [0, 1, 5, 9, 20, 40, 70, 130] {
        pair(&mut item, 9, b"a.key", &vec![b'x'; length]);
    }
    pair(&mut item, 9, "Schl\u{fc}ssel".as_bytes(), "Wert \u{1f6a2} und mehr als sechzehn".as_bytes());
    put_message(&mut item, 9, |out| {
        put_bytes(out, key_value::KEY, b"status");
        put_message(out, key_value::VALUE, |out| put_uint(out, any_value::INT, 200));
    });
    put_uint(&mut item, 10, 1);
    pair(&mut item, 9, b"lightship.lane", b"audit");
    put_message(&mut item, 11, |out| put_bytes(out, 2, b"event"));
    put_message(&mut item, 15, |out| put_uint(out, 3, 2));
    put_varint(&mut item, 16 << 3 | 5);
    item.extend_from_slice(&257u32.to_le_bytes());
    let check = |item: &[u8]| assert_eq!(format!("{:?}", look_at_span(item)), format!("{:?}", walked(item)));
    for end in 0..=item.len() {
        check(&item[..end]);
    }
    let mut changed = item.clone();
    for place in 0..item.len() {
        for value in 0..=255 {
            changed[place] = value;
            check(&changed);
        }
        changed[place] = item[place];
    }
}
