//! Metrics of numbers as an OTLP export request, written into one buffer that is used again.

use model::proto::{begin_message, end_message, put_bytes, put_fixed64, put_message, put_uint};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`
const CUMULATIVE: u64 = 2;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Gauge,
    Counter,
    UpDown,
}

/// A metric whose points come next.
#[derive(Debug, Clone, Copy)]
struct Open {
    metric: usize,
    data: usize,
    shape: Shape,
    /// Where its points begin.
    points: usize,
}

/// A number of a point.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Int(u64),
    Float(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Int(number)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

/// The request while it is written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    out: Vec<u8>,
    group: usize,
    scope: usize,
    open: Option<Open>,
    /// Unix nanoseconds: of the points, and since when counters count.
    time: u64,
    start: u64,
    points: u64,
}

impl Writer {
    /// Begins a request; what was there before is gone.
    pub(crate) fn begin(&mut self, resource: &[u8], time: u64, start: u64) {
        let Self { out, .. } = self;
        out.clear();
        self.group = begin_message(out, 1);
        put_bytes(out, 1, resource);
        self.scope = begin_message(out, 2);
        put_message(out, 1, |out| put_bytes(out, 1, b"lightship/host"));
        (self.open, self.time, self.start, self.points) = (None, time, start, 0);
    }

    /// Begins a metric.
    pub(crate) fn metric(&mut self, name: &str, unit: &str, shape: Shape) {
        self.close();
        let out = &mut self.out;
        let metric = begin_message(out, 2);
        put_bytes(out, 1, name.as_bytes());
        put_bytes(out, 3, unit.as_bytes());
        let data = begin_message(out, if shape == Shape::Gauge { 5 } else { 7 });
        self.open = Some(Open { metric, data, shape, points: out.len() });
    }

    /// Adds a point to it.
    pub(crate) fn point(&mut self, attributes: &[(&str, &str)], number: impl Into<Number>) {
        let (time, start) = (self.time, self.start);
        let counts = self.open.is_some_and(|open| open.shape != Shape::Gauge);
        put_message(&mut self.out, 1, |out| {
            for (key, value) in attributes {
                put_message(out, 7, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
                });
            }
            if counts && start > 0 && start < time {
                put_fixed64(out, 2, start);
            }
            put_fixed64(out, 3, time);
            match number.into() {
                Number::Int(number) => put_fixed64(out, 6, number.min(i64::MAX as u64)),
                Number::Float(number) => put_fixed64(out, 4, number.to_bits()),
            }
        });
        self.points += 1;
    }

    /// The bytes, and how many points they have.
    pub(crate) fn finish(&mut self) -> (&[u8], u64) {
        self.close();
        end_message(&mut self.out, self.scope);
        end_message(&mut self.out, self.group);
        (&self.out, self.points)
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let out = &mut self.out;
        if out.len() == open.points {
            // A metric without a point is none.
            let key = 2;
            out.truncate(open.metric - key);
            return;
        }
        if open.shape != Shape::Gauge {
            put_uint(out, 2, CUMULATIVE);
            put_uint(out, 3, u64::from(open.shape == Shape::Counter));
        }
        end_message(out, open.data);
        end_message(out, open.metric);
    }
}
