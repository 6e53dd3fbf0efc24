//! The protobuf form: a row of `io.prometheus.client.MetricFamily`, each with its length in front.

use model::proto::{ProtoError, Reader, Value, unzigzag};

use crate::distribution::{Distribution, Side};
use crate::kind::Kind;
use crate::labels::Labels;
use crate::line::Exemplar;
use crate::number::{NORMAL_NAN, of_millis};

/// A family's head.
#[derive(Debug, Default)]
pub(crate) struct Head<'a> {
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) kind: Kind,
}

/// What a `Metric` has beside its labels.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Its number; `None` where it has a distribution.
    pub(crate) value: Option<f64>,
    /// Unix nanoseconds.
    pub(crate) time: Option<u64>,
    /// Unix nanoseconds.
    pub(crate) start: Option<u64>,
    /// Whether a histogram has buckets of the classic form.
    pub(crate) classic: bool,
}

fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
}

fn broken(error: ProtoError) -> String {
    error.to_string()
}

impl<'a> Head<'a> {
    /// Reads a `MetricFamily` but for its metrics.
    pub(crate) fn read(family: &'a [u8]) -> Result<Self, String> {
        let mut head = Self { kind: Kind::Counter, ..Self::default() };
        let mut reader = Reader::new(family);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Bytes(bytes)) => head.name = text(bytes)?,
                (2, Value::Bytes(bytes)) => head.help = text(bytes)?,
                (3, Value::Varint(kind)) => {
                    head.kind = match kind {
                        0 => Kind::Counter,
                        1 => Kind::Gauge,
                        2 => Kind::Summary,
                        3 => Kind::Unknown,
                        4 => Kind::Histogram,
                        5 => Kind::GaugeHistogram,
                        _ => return Err(format!("{kind} is no type of a metric")),
                    }
                }
                (5, Value::Bytes(bytes)) => head.unit = text(bytes)?,
                _ => {}
            }
        }
        match head.name.is_empty() {
            true => Err("a family has no name".into()),
            false => Ok(head),
        }
    }
}

/// Where a `Metric` is read into.
pub(crate) struct Into<'s> {
    pub(crate) labels: &'s mut Labels,
    pub(crate) exemplars: &'s mut Vec<Exemplar>,
    pub(crate) exemplar_labels: &'s mut Labels,
    pub(crate) distribution: &'s mut Distribution,
}

impl Into<'_> {
    /// Reads a `Metric`.
    pub(crate) fn metric(&mut self, metric: &[u8]) -> Result<Read, String> {
        let mut read = Read::default();
        self.distribution.clear();
        let mut reader = Reader::new(metric);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Bytes(pair)) => label(pair, self.labels)?,
                (2 | 3 | 5, Value::Bytes(number)) => self.number(number, &mut read)?,
                (4, Value::Bytes(summary)) => self.summary(summary, &mut read)?,
                (6, Value::Varint(millis)) if millis != 0 => read.time = Some(of_millis(millis.cast_signed())),
                (7, Value::Bytes(histogram)) => self.histogram(histogram, &mut read)?,
                _ => {}
            }
        }
        Ok(read)
    }

    /// `Gauge`, `Counter` and `Untyped`.
    fn number(&mut self, message: &[u8], read: &mut Read) -> Result<(), String> {
        read.value = Some(0.0);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Fixed64(bits)) => read.value = Some(float(bits)),
                (2, Value::Bytes(exemplar)) => self.exemplar(exemplar)?,
                (3, Value::Bytes(time)) => read.start = timestamp(time)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn summary(&mut self, message: &[u8], read: &mut Read) -> Result<(), String> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Varint(count)) => self.distribution.count = count as f64,
                (2, Value::Fixed64(bits)) => self.distribution.sum = float(bits),
                (3, Value::Bytes(quantile)) => {
                    let pair = doubles(quantile)?;
                    self.distribution.quantiles.push(pair);
                }
                (4, Value::Bytes(time)) => read.start = timestamp(time)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn histogram(&mut self, message: &[u8], read: &mut Read) -> Result<(), String> {
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(broken)? {
            let Distribution { count, sum, native, is_native, .. } = &mut *self.distribution;
            match field {
                (1, Value::Varint(found)) => *count = found as f64,
                (2, Value::Fixed64(bits)) => *sum = float(bits),
                (3, Value::Bytes(bucket)) => {
                    read.classic = true;
                    self.bucket(bucket)?;
                }
                (4, Value::Fixed64(bits)) if float(bits) > 0.0 => *count = float(bits),
                (5, Value::Varint(schema)) => native.schema = unzigzag(schema),
                (6, Value::Fixed64(bits)) => {
                    native.zero_threshold = float(bits);
                    *is_native |= float(bits) > 0.0;
                }
                (7, Value::Varint(found)) => {
                    native.zero_count = found as f64;
                    *is_native |= found > 0;
                }
                (8, Value::Fixed64(bits)) if float(bits) > 0.0 => native.zero_count = float(bits),
                (9 | 12, Value::Bytes(span)) => {
                    *is_native = true;
                    side(native, field.0).spans.push(read_span(span)?);
                }
                (10 | 13, value) => deltas(value, side(native, field.0))?,
                (11 | 14, value) => counts(value, side(native, field.0)),
                (15, Value::Bytes(time)) => read.start = timestamp(time)?,
                (16, Value::Bytes(exemplar)) => self.exemplar(exemplar)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn bucket(&mut self, message: &[u8]) -> Result<(), String> {
        let (mut bound, mut count) = (0.0, 0.0);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Varint(found)) => count = found as f64,
                (2, Value::Fixed64(bits)) => bound = float(bits),
                (3, Value::Bytes(exemplar)) => self.exemplar(exemplar)?,
                (4, Value::Fixed64(bits)) if float(bits) > 0.0 => count = float(bits),
                _ => {}
            }
        }
        self.distribution.buckets.push((bound, count));
        Ok(())
    }

    fn exemplar(&mut self, message: &[u8]) -> Result<(), String> {
        let from = self.exemplar_labels.len();
        let (mut value, mut time) = (0.0, None);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(broken)? {
            match field {
                (1, Value::Bytes(pair)) => label(pair, self.exemplar_labels)?,
                (2, Value::Fixed64(bits)) => value = float(bits),
                (3, Value::Bytes(bytes)) => time = timestamp(bytes)?,
                _ => {}
            }
        }
        let labels = (from, self.exemplar_labels.len());
        self.exemplars.push(Exemplar { labels, value, time });
        Ok(())
    }
}

pub(crate) fn side(native: &mut crate::distribution::Native, number: u32) -> &mut Side {
    if number < 12 { &mut native.negative } else { &mut native.positive }
}

fn float(bits: u64) -> f64 {
    let number = f64::from_bits(bits);
    if number.is_nan() { f64::from_bits(NORMAL_NAN) } else { number }
}

fn label(pair: &[u8], labels: &mut Labels) -> Result<(), String> {
    let (mut name, mut value) = ("", "");
    let mut reader = Reader::new(pair);
    while let Some(field) = reader.next_field().map_err(broken)? {
        match field {
            (1, Value::Bytes(bytes)) => name = text(bytes)?,
            (2, Value::Bytes(bytes)) => value = text(bytes)?,
            _ => {}
        }
    }
    if name.is_empty() {
        return Err("a label has no name".into());
    }
    labels.push(name, value);
    Ok(())
}

fn timestamp(message: &[u8]) -> Result<Option<u64>, String> {
    let (mut seconds, mut nanos) = (0_u64, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field().map_err(broken)? {
        match field {
            (1, Value::Varint(found)) => seconds = found,
            (2, Value::Varint(found)) => nanos = found.min(999_999_999),
            _ => {}
        }
    }
    // To the millisecond, as everywhere.
    let whole = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(nanos / 1_000_000 * 1_000_000));
    Ok(whole.filter(|time| *time > 0))
}

fn doubles(message: &[u8]) -> Result<(f64, f64), String> {
    let mut pair = (0.0, 0.0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field().map_err(broken)? {
        match field {
            (1, Value::Fixed64(bits)) => pair.0 = float(bits),
            (2, Value::Fixed64(bits)) => pair.1 = float(bits),
            _ => {}
        }
    }
    Ok(pair)
}

pub(crate) fn read_span(message: &[u8]) -> Result<(i64, u64), String> {
    let mut span = (0, 0);
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field().map_err(broken)? {
        match field {
            (1, Value::Varint(offset)) => span.0 = unzigzag(offset),
            (2, Value::Varint(length)) => span.1 = length,
            _ => {}
        }
    }
    Ok(span)
}

/// Counts as differences from the one before, packed or not.
pub(crate) fn deltas(value: Value<'_>, side: &mut Side) -> Result<(), String> {
    let mut add = |delta: u64| {
        let before = side.counts.last().copied().unwrap_or(0.0);
        side.counts.push(before + unzigzag(delta) as f64);
    };
    match value {
        Value::Varint(delta) => add(delta),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                let (delta, used) = model::proto::read_varint(packed).map_err(|_| "deltas that are none".to_owned())?;
                add(delta);
                packed = packed.get(used..).unwrap_or_default();
            }
        }
        _ => {}
    }
    Ok(())
}

pub(crate) fn counts(value: Value<'_>, side: &mut Side) {
    match value {
        Value::Fixed64(bits) => side.counts.push(float(bits)),
        Value::Bytes(packed) => {
            side.counts.extend(packed.as_chunks().0.iter().map(|chunk| float(u64::from_le_bytes(*chunk))));
        }
        _ => {}
    }
}
