//! What of metrics and their points is read, as it stands in the bytes.

use model::proto::{ProtoError, Reader, Value, unzigzag};

use crate::histogram::Exponential;

/// Field numbers of a `Metric`'s data.
pub(crate) const GAUGE: u32 = 5;
pub(crate) const SUM: u32 = 7;
pub(crate) const HISTOGRAM: u32 = 9;
pub(crate) const EXPONENTIAL_HISTOGRAM: u32 = 10;
pub(crate) const SUMMARY: u32 = 11;
/// `AggregationTemporality`.
const CUMULATIVE: u64 = 2;
const DELTA: u64 = 1;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`
const NO_RECORDED_VALUE: u64 = 1;

/// A `Metric` without its data.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) description: &'a [u8],
    pub(crate) unit: &'a [u8],
}

impl<'a> Head<'a> {
    pub(crate) fn read(metric: &'a [u8]) -> Result<Self, ProtoError> {
        let mut head = Self::default();
        let mut reader = Reader::new(metric);
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Value::Bytes(text)) => head.name = text,
                (2, Value::Bytes(text)) => head.description = text,
                (3, Value::Bytes(text)) => head.unit = text,
                _ => {}
            }
        }
        Ok(head)
    }
}

/// How the points of a metric belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Temporality {
    /// Each since the start, or of its moment: what Prometheus takes.
    Taken,
    Delta,
    Unspecified,
}

/// Reads what stands beside the points: temporality, and whether a sum only grows.
pub(crate) fn beside_points(kind: u32, data: &[u8]) -> Result<(Temporality, bool), ProtoError> {
    let (mut temporality, mut monotonic) = (0, false);
    let mut reader = Reader::new(data);
    while let Some(field) = reader.next_field()? {
        match field {
            (2, Value::Varint(found)) => temporality = found,
            (3, Value::Varint(found)) => monotonic = found != 0,
            _ => {}
        }
    }
    let temporality = match (kind, temporality) {
        (GAUGE | SUMMARY, _) | (_, CUMULATIVE) => Temporality::Taken,
        (_, DELTA) => Temporality::Delta,
        _ => Temporality::Unspecified,
    };
    Ok((temporality, monotonic))
}

/// What all points have.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Common {
    /// Unix nanoseconds.
    start: u64,
    /// Unix nanoseconds.
    time: u64,
    flags: u64,
}

impl Common {
    /// Takes note of a field; the number of `flags` differs.
    fn take(&mut self, (number, value): (u32, Value<'_>), flags: u32) {
        match (number, value) {
            (2, Value::Fixed64(time)) => self.start = time,
            (3, Value::Fixed64(time)) => self.time = time,
            (number, Value::Varint(found)) if number == flags => self.flags = found,
            _ => {}
        }
    }

    /// Unix milliseconds.
    pub(crate) fn time_ms(&self) -> i64 {
        milliseconds(self.time)
    }

    /// Start and time, Unix milliseconds. A start that is not before the time is none.
    pub(crate) fn times_ms(&self) -> (i64, i64) {
        let (start, time) = (milliseconds(self.start), milliseconds(self.time));
        (if start < time { start } else { 0 }, time)
    }

    /// Whether the point only says that its series has no value.
    pub(crate) fn is_stale(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }
}

fn milliseconds(nanoseconds: u64) -> i64 {
    (nanoseconds / 1_000_000).cast_signed()
}

/// Reads a `NumberDataPoint`: what it has in common, and its value.
pub(crate) fn number_point(point: &[u8]) -> Result<(Common, Option<f64>), ProtoError> {
    let (mut common, mut number) = (Common::default(), None);
    let mut reader = Reader::new(point);
    while let Some(field) = reader.next_field()? {
        common.take(field, 8);
        number = scalar(field, (4, 6)).or(number);
    }
    Ok((common, number))
}

/// A value that is a double under one number, or an integer under another.
fn scalar(field: (u32, Value<'_>), (double, integer): (u32, u32)) -> Option<f64> {
    match field {
        (number, Value::Fixed64(bits)) if number == double => Some(f64::from_bits(bits)),
        (number, Value::Fixed64(bits)) if number == integer => Some(bits.cast_signed() as f64),
        _ => None,
    }
}

/// Reads a `HistogramDataPoint`: what it has in common, count and sum; counts of buckets and their bounds go to `counts` and `bounds`.
pub(crate) fn histogram_point(
    point: &[u8],
    counts: &mut Vec<u64>,
    bounds: &mut Vec<f64>,
) -> Result<(Common, u64, Option<f64>), ProtoError> {
    counts.clear();
    bounds.clear();
    let (mut common, mut count, mut sum) = (Common::default(), 0, None);
    let mut reader = Reader::new(point);
    while let Some(field) = reader.next_field()? {
        common.take(field, 10);
        match field {
            (4, Value::Fixed64(found)) => count = found,
            (5, Value::Fixed64(bits)) => sum = Some(f64::from_bits(bits)),
            (6, value) => each_fixed64(value, |count| counts.push(count)),
            (7, value) => each_fixed64(value, |bits| bounds.push(f64::from_bits(bits))),
            _ => {}
        }
    }
    Ok((common, count, sum))
}

/// Numbers of a repeated field may be packed into one value.
fn each_fixed64(value: Value<'_>, mut each: impl FnMut(u64)) {
    match value {
        Value::Fixed64(number) => each(number),
        Value::Bytes(packed) => {
            packed.as_chunks().0.iter().for_each(|chunk| each(u64::from_le_bytes(*chunk)));
        }
        _ => {}
    }
}

/// Reads an `ExponentialHistogramDataPoint`.
pub(crate) fn exponential_point(point: &[u8]) -> Result<(Common, Exponential<'_>), ProtoError> {
    let (mut common, mut found) = (Common::default(), Exponential::default());
    let mut reader = Reader::new(point);
    while let Some(field) = reader.next_field()? {
        common.take(field, 10);
        match field {
            (4, Value::Fixed64(count)) => found.count = count,
            (5, Value::Fixed64(bits)) => found.sum = f64::from_bits(bits),
            (6, Value::Varint(scale)) => found.scale = i64::from(unzigzag(scale) as i32),
            (7, Value::Fixed64(count)) => found.zero_count = count,
            (8, Value::Bytes(buckets)) => found.positive = buckets,
            (9, Value::Bytes(buckets)) => found.negative = buckets,
            (14, Value::Fixed64(bits)) => found.zero_threshold = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((common, found))
}

/// Reads a `SummaryDataPoint`: what it has in common, count and sum.
pub(crate) fn summary_point(point: &[u8]) -> Result<(Common, u64, f64), ProtoError> {
    let (mut common, mut count, mut sum) = (Common::default(), 0, 0.0);
    let mut reader = Reader::new(point);
    while let Some(field) = reader.next_field()? {
        common.take(field, 8);
        match field {
            (4, Value::Fixed64(found)) => count = found,
            (5, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((common, count, sum))
}

/// Reads a `ValueAtQuantile`: the quantile and its value.
pub(crate) fn quantile(message: &[u8]) -> Result<(f64, f64), ProtoError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Value::Fixed64(bits)) => quantile = f64::from_bits(bits),
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// What of an `Exemplar` is read.
#[derive(Debug, Default)]
pub(crate) struct ExemplarView<'a> {
    /// Unix milliseconds; 0 where it tells none.
    pub(crate) time: i64,
    pub(crate) value: Option<f64>,
    pub(crate) trace_id: &'a [u8],
    pub(crate) span_id: &'a [u8],
}

impl<'a> ExemplarView<'a> {
    pub(crate) fn read(exemplar: &'a [u8]) -> Result<Self, ProtoError> {
        let mut view = Self::default();
        let mut reader = Reader::new(exemplar);
        while let Some(field) = reader.next_field()? {
            view.value = scalar(field, (3, 6)).or(view.value);
            match field {
                (2, Value::Fixed64(time)) => view.time = milliseconds(time),
                (4, Value::Bytes(id)) => view.span_id = id,
                (5, Value::Bytes(id)) => view.trace_id = id,
                _ => {}
            }
        }
        Ok(view)
    }
}
