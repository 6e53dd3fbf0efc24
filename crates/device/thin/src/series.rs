//! One series, and the step that it is in.

use model::otlp::messages;
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message};

use crate::metric::{Kind, MetricHead};

/// What is read of a point.
pub(crate) struct Point<'a> {
    pub(crate) bytes: &'a [u8],
    /// The `KeyValue`s, in order.
    pub(crate) attributes: Vec<&'a [u8]>,
    start_ns: u64,
    time_ns: u64,
    flags: u64,
    value: Option<f64>,
}

impl<'a> Point<'a> {
    pub(crate) fn read(kind: Kind, bytes: &'a [u8]) -> Result<Self, ProtoError> {
        let (attributes, flags) = match kind {
            Kind::Count { attributes, flags } => (attributes, flags),
            Kind::Level | Kind::Other => (7, 8),
        };
        let mut point = Self { bytes, attributes: Vec::new(), start_ns: 0, time_ns: 0, flags: 0, value: None };
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match value {
                Value::Fixed64(bits) => match (number, kind) {
                    (2, _) => point.start_ns = bits,
                    (3, _) => point.time_ns = bits,
                    (4, Kind::Level) => point.value = Some(f64::from_bits(bits)),
                    (6, Kind::Level) => point.value = Some(bits as i64 as f64),
                    _ => {}
                },
                Value::Varint(found) if number == flags => point.flags = found,
                _ => {}
            }
        }
        for attribute in messages(bytes, attributes) {
            point.attributes.push(attribute?);
        }
        Ok(point)
    }

    /// The time of any kind of point, Unix nanoseconds.
    pub(crate) fn time(bytes: &[u8]) -> Result<u64, ProtoError> {
        Ok(Point::read(Kind::Other, bytes)?.time_ns)
    }

    /// Whether it can stand for others: it has a time and a value.
    pub(crate) fn is_plain(&self, kind: Kind) -> bool {
        let valued = kind != Kind::Level || self.value.is_some_and(|value| !value.is_nan());
        self.time_ns != 0 && self.flags == 0 && valued
    }
}

/// A series and what is held of the step that it is in.
#[derive(Default)]
pub(crate) struct Series {
    held: Option<Held>,
}

struct Held {
    step: u64,
    start_ns: u64,
    /// Times of the earliest and the latest point.
    first_ns: u64,
    last_ns: u64,
    count: u64,
    sum: f64,
    low: (f64, u64, Vec<u8>),
    high: (f64, u64, Vec<u8>),
    attributes: Vec<u8>,
}

impl Series {
    /// Takes a point in. What stays of a step that has ended goes to `points` and `summaries`.
    pub(crate) fn push(
        &mut self,
        head: &MetricHead,
        point: &Point<'_>,
        step_ns: u64,
        points: &mut Vec<u8>,
        summaries: &mut Vec<u8>,
    ) {
        let step = point.time_ns / step_ns;
        let restarted = |held: &Held| head.kind != Kind::Level && held.start_ns != point.start_ns;
        if self.held.as_ref().is_some_and(|held| held.step != step || restarted(held)) {
            std::mem::take(self).close(head, points, summaries);
        }
        let value = point.value.unwrap_or_default();
        let this = || (value, point.time_ns, point.bytes.to_vec());
        let Some(held) = &mut self.held else {
            let mut attributes = Vec::new();
            if head.kind == Kind::Level {
                // Field 9 of a histogram's point.
                point.attributes.iter().for_each(|attribute| put_bytes(&mut attributes, 9, attribute));
            }
            self.held = Some(Held {
                step,
                start_ns: point.start_ns,
                first_ns: point.time_ns,
                last_ns: point.time_ns,
                count: 1,
                sum: value,
                low: this(),
                high: if head.kind == Kind::Level { this() } else { (value, point.time_ns, Vec::new()) },
                attributes,
            });
            return;
        };
        held.count += 1;
        held.sum += value;
        held.first_ns = held.first_ns.min(point.time_ns);
        if head.kind == Kind::Level {
            if value < held.low.0 {
                held.low = this();
            }
            if value > held.high.0 {
                held.high = this();
            }
        } else if point.time_ns >= held.last_ns {
            // Of counts the last one is kept, here as the low one.
            held.low = this();
        }
        held.last_ns = held.last_ns.max(point.time_ns);
    }

    /// What stays of its step.
    pub(crate) fn close(self, head: &MetricHead, points: &mut Vec<u8>, summaries: &mut Vec<u8>) {
        let Some(held) = self.held else { return };
        if head.kind != Kind::Level || held.low.1 == held.high.1 {
            put_bytes(points, 1, &held.low.2);
        } else {
            let (earlier, later) =
                if held.low.1 < held.high.1 { (&held.low, &held.high) } else { (&held.high, &held.low) };
            put_bytes(points, 1, &earlier.2);
            put_bytes(points, 1, &later.2);
        }
        // Two points tell all that there was.
        if head.kind != Kind::Level || held.count < 3 {
            return;
        }
        put_message(summaries, 1, |out| {
            for (number, bits) in [
                (2, held.first_ns),
                (3, held.last_ns),
                (4, held.count),
                (5, held.sum.to_bits()),
                (11, held.low.0.to_bits()),
                (12, held.high.0.to_bits()),
            ] {
                put_fixed64(out, number, bits);
            }
            out.extend_from_slice(&held.attributes);
        });
    }
}
