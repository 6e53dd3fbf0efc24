//! Series as an OTLP export request.

use std::collections::BTreeMap;

use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use crate::line::Kind;
use crate::series::{BOUNDS, Key, Series, Value};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;
/// Fields of `Metric` that hold its data.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

/// Appends an attribute with a text, as a field of this number.
fn put_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

/// What tells metrics of one name apart: their data's field, and whether a sum only grows.
fn shape(value: &Value) -> (u32, bool) {
    match value {
        Value::Counter { fell, .. } => (SUM, !fell),
        Value::Gauge(_) | Value::Set(_) => (GAUGE, false),
        Value::Histogram { .. } => (HISTOGRAM, false),
    }
}

/// A request with a point for each series, and how many points it has; those of which nothing came since `since` have none of their value.
pub(crate) fn request(
    series: &BTreeMap<Key, Series>,
    wall_ns: u64,
    since: u64,
    resource: &[(String, String)],
) -> (Vec<u8>, u64) {
    let (mut metrics, mut points) = (Vec::new(), 0);
    let all: Vec<(&Key, &Series)> = series.iter().collect();
    let is_same = |one: &(&Key, &Series), other: &(&Key, &Series)| {
        one.0.name == other.0.name && one.0.kind == other.0.kind && shape(&one.1.value) == shape(&other.1.value)
    };
    for series in all.chunk_by(is_same) {
        let Some((key, first)) = series.first() else { continue };
        let (number, is_monotonic) = shape(&first.value);
        put_message(&mut metrics, 2, |out| {
            put_bytes(out, 1, key.name.as_bytes());
            if key.kind == Kind::Timer {
                put_bytes(out, 3, b"ms");
            }
            put_message(out, number, |out| {
                for (key, series) in series {
                    put_message(out, 1, |out| put_point(out, key, series, wall_ns, since));
                    points += 1;
                }
                if number != GAUGE {
                    put_uint(out, 2, CUMULATIVE);
                }
                if is_monotonic {
                    put_uint(out, 3, 1);
                }
            });
        });
    }
    let mut out = Vec::new();
    if points > 0 {
        put_message(&mut out, 1, |out| {
            put_message(out, 1, |out| {
                resource.iter().for_each(|(key, value)| put_attribute(out, 1, key, value));
            });
            put_bytes(out, 2, &metrics);
        });
    }
    (out, points)
}

fn put_point(out: &mut Vec<u8>, key: &Key, series: &Series, wall_ns: u64, since: u64) {
    let (number, _) = shape(&series.value);
    let attributes = if number == HISTOGRAM { 9 } else { 7 };
    let mut texts = key.tags.split_terminator('\0');
    while let (Some(key), Some(value)) = (texts.next(), texts.next()) {
        put_attribute(out, attributes, key, value);
    }
    if number != GAUGE {
        put_fixed64(out, 2, series.start_ns);
    }
    put_fixed64(out, 3, wall_ns);
    if series.is_idle(since) {
        put_uint(out, if number == HISTOGRAM { 10 } else { 8 }, NO_RECORDED_VALUE);
        return;
    }
    match &series.value {
        Value::Counter { sum: value, .. } | Value::Gauge(value) => put_fixed64(out, 4, value.to_bits()),
        Value::Set(members) => put_fixed64(out, 4, (members.len() as f64).to_bits()),
        Value::Histogram { count, sum, buckets } => {
            put_fixed64(out, 4, *count);
            put_fixed64(out, 5, sum.to_bits());
            put_message(out, 6, |out| buckets.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes())));
            put_message(out, 7, |out| {
                BOUNDS.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
            });
        }
    }
}
