//! What names a metric, and how its points are thinned.

use model::proto::{ProtoError, Reader, Value, put_bytes, put_field, put_uint};

use crate::SUMMARY_SUFFIX;

/// `AggregationTemporality`.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;
/// Field numbers of a `Metric`'s data.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;
const EXPONENTIAL_HISTOGRAM: u32 = 10;
const SUMMARY: u32 = 11;

/// How points are thinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers of which the extremes are kept.
    Level,
    /// Counts since a start, of which the last is kept. The numbers of the fields with attributes and flags.
    Count { attributes: u32, flags: u32 },
    /// Everything is kept.
    Other,
}

/// A `Metric` without its points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetricHead {
    pub(crate) kind: Kind,
    name: Vec<u8>,
    unit: Vec<u8>,
    /// Every field but the data, as it stands.
    fields: Vec<u8>,
    /// The data's field.
    data: u32,
    /// Every field of the data but its points.
    data_fields: Vec<u8>,
}

impl MetricHead {
    /// Reads a `Metric`: what names it, and the bytes of its data. `None` without data.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<(Self, &[u8])>, ProtoError> {
        let mut head = Self {
            kind: Kind::Other,
            name: Vec::new(),
            unit: Vec::new(),
            fields: Vec::new(),
            data: 0,
            data_fields: Vec::new(),
        };
        let mut data = None;
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (GAUGE | SUM | HISTOGRAM | EXPONENTIAL_HISTOGRAM | SUMMARY, Value::Bytes(found)) => {
                    head.data = number;
                    data = Some(found);
                    continue;
                }
                (1, Value::Bytes(name)) => head.name = name.to_vec(),
                (3, Value::Bytes(unit)) => head.unit = unit.to_vec(),
                _ => {}
            }
            put_field(&mut head.fields, number, value);
        }
        let Some(data) = data else { return Ok(None) };
        let (mut temporality, mut monotonic) = (0, false);
        let mut reader = Reader::new(data);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (1, Value::Bytes(_)) => continue,
                (2, Value::Varint(found)) => temporality = found,
                (3, Value::Varint(found)) => monotonic = found != 0,
                _ => {}
            }
            put_field(&mut head.data_fields, number, value);
        }
        head.kind = match (head.data, temporality) {
            (GAUGE, _) => Kind::Level,
            (SUM, CUMULATIVE) if !monotonic => Kind::Level,
            (SUM, CUMULATIVE) => Kind::Count { attributes: 7, flags: 8 },
            (HISTOGRAM, CUMULATIVE) => Kind::Count { attributes: 9, flags: 10 },
            (EXPONENTIAL_HISTOGRAM, CUMULATIVE) => Kind::Count { attributes: 1, flags: 10 },
            (SUMMARY, _) => Kind::Count { attributes: 7, flags: 8 },
            _ => Kind::Other,
        };
        Ok(Some((head, data)))
    }

    /// Appends what tells this metric from others.
    pub(crate) fn identify(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, &self.fields);
        put_uint(out, 2, u64::from(self.data));
        put_bytes(out, 3, &self.data_fields);
    }

    /// The histogram that tells of a level what its points were.
    pub(crate) fn summary(&self) -> Self {
        let mut fields = Vec::new();
        put_bytes(&mut fields, 1, &[&self.name, SUMMARY_SUFFIX.as_bytes()].concat());
        put_bytes(&mut fields, 2, b"What there was of points that were thinned out for want of room");
        if !self.unit.is_empty() {
            put_bytes(&mut fields, 3, &self.unit);
        }
        let mut data_fields = Vec::new();
        put_uint(&mut data_fields, 2, DELTA);
        Self { kind: Kind::Other, fields, data: HISTOGRAM, data_fields, ..self.clone() }
    }

    /// The `Metric` with these points, each with its key and length.
    pub(crate) fn write(&self, points: &[u8]) -> Vec<u8> {
        let mut out = self.fields.clone();
        put_bytes(&mut out, self.data, &[points, &self.data_fields].concat());
        out
    }
}
