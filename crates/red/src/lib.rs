//! Rate, error and duration metrics of every span, before any sampling (P6), and the exemplars that point from them to
//! kept traces (P5).
//!
//! Names and attributes are those of the Collector's span metrics connector: `traces.span.metrics.calls` and
//! `traces.span.metrics.duration` with `span.name`, `span.kind` and `status.code`, per `service.name`. Cumulative; the
//! start time is that of the table, so that a restart shows as one.

mod write;

use std::collections::HashMap;

use model::otlp::SpanView;

/// Upper bounds of the duration buckets, milliseconds, inclusive.
pub const BOUNDS_MS: [f64; 16] =
    [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 200.0, 250.0, 400.0, 500.0, 750.0, 1000.0, 1500.0, 2500.0, 5000.0, 10000.0];
const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// The longest text that is taken into a series' key; longer ones are cut at a character.
const MAX_TEXT: usize = 120;

#[derive(Debug)]
struct Series {
    service: Box<[u8]>,
    name: Box<[u8]>,
    kind: u8,
    status: u8,
    count: u64,
    sum_ms: f64,
    buckets: [u64; BUCKETS],
    /// Buckets that have an exemplar since the last write, as bits.
    exemplars: u32,
}

/// The table of series. Its size is fixed: what has no place counts in one overflow series.
#[derive(Debug)]
pub struct Red {
    series: Vec<Series>,
    positions: HashMap<Box<[u8]>, usize>,
    key: Vec<u8>,
    max_series: usize,
    start_ns: u64,
    overflowed: u64,
}

fn bucket_of(duration_ms: f64) -> usize {
    BOUNDS_MS.iter().position(|bound| duration_ms <= *bound).unwrap_or(BOUNDS_MS.len())
}

fn cut(text: &[u8]) -> &[u8] {
    let mut end = text.len().min(MAX_TEXT);
    // Not inside a UTF-8 character: back to the first byte of the one that does not fit.
    while end < text.len() && end > 0 && text[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &text[..end]
}

/// A span's length in milliseconds, as the histogram takes it.
fn duration_ms(span: &SpanView<'_>) -> f64 {
    span.duration_ns() as f64 / 1e6
}

impl Red {
    /// An empty table; `start_ns` is the wall time from which it counts, Unix nanoseconds.
    pub fn new(max_series: usize, start_ns: u64) -> Self {
        Self {
            series: Vec::new(),
            positions: HashMap::new(),
            key: Vec::new(),
            max_series: max_series.max(1),
            start_ns,
            overflowed: 0,
        }
    }

    /// Counts a span of a service.
    pub fn observe(&mut self, service: &[u8], span: &SpanView<'_>) {
        let position = self.position(service, span);
        let Some(series) = self.series.get_mut(position) else { return };
        let duration = duration_ms(span);
        series.count += 1;
        series.sum_ms += duration;
        if let Some(bucket) = series.buckets.get_mut(bucket_of(duration)) {
            *bucket += 1;
        }
    }

    /// Appends an `ExemplarSeries` for a span of a kept trace to `out` (an `ExemplarsData`), when its bucket has none
    /// since the last write. Tells whether it did.
    pub fn exemplar(&mut self, service: &[u8], span: &SpanView<'_>, out: &mut Vec<u8>) -> bool {
        let position = self.position(service, span);
        let Some(series) = self.series.get_mut(position) else { return false };
        let bit = 1 << bucket_of(duration_ms(span));
        if series.exemplars & bit != 0 {
            return false;
        }
        series.exemplars |= bit;
        write::exemplar(series, span, out);
        true
    }

    /// Appends all series as a `MetricsData` and returns how many points these are. `now_ns` is wall time.
    pub fn write(&mut self, now_ns: u64, out: &mut Vec<u8>) -> u64 {
        write::metrics(&self.series, self.start_ns, now_ns, out);
        for series in &mut self.series {
            series.exemplars = 0;
        }
        2 * self.series.len() as u64
    }

    /// Spans that went to the overflow series.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The most memory that the table may take, bytes (P9).
    pub fn budget(max_series: usize) -> u64 {
        max_series as u64 * (size_of::<Series>() + 6 * MAX_TEXT) as u64
    }

    fn position(&mut self, service: &[u8], span: &SpanView<'_>) -> usize {
        let (service, name) = (cut(service), cut(span.name));
        let (kind, status) = (span.kind.min(5) as u8, span.status.min(2) as u8);
        self.key.clear();
        self.key.extend_from_slice(&[kind, status, service.len() as u8]);
        self.key.extend_from_slice(service);
        self.key.extend_from_slice(name);
        if let Some(position) = self.positions.get(self.key.as_slice()) {
            return *position;
        }
        // The last place is the overflow series': it has no name, no service and no kind.
        let full = self.series.len() + 1 >= self.max_series;
        if full {
            self.overflowed += 1;
            self.key.clear();
            if let Some(position) = self.positions.get(self.key.as_slice()) {
                return *position;
            }
        }
        let position = self.series.len();
        let (service, name): (&[u8], &[u8]) = if full { (b"", b"") } else { (service, name) };
        self.series.push(Series {
            service: service.into(),
            name: name.into(),
            kind: if full { OVERFLOW } else { kind },
            status: if full { 0 } else { status },
            count: 0,
            sum_ms: 0.0,
            buckets: [0; BUCKETS],
            exemplars: 0,
        });
        self.positions.insert(self.key.as_slice().into(), position);
        position
    }
}

/// `kind` of the overflow series.
const OVERFLOW: u8 = u8::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use model::otlp::{PointView, attributes, for_each_scope};
    use model::proto::{ProtoError, Reader, Value};
    use model::{SpanId, TraceId};

    fn span(name: &'static [u8], millis: u64, status: u64) -> SpanView<'static> {
        let mut span = SpanView::default();
        span.trace_id = Some(TraceId([1; 16]));
        span.span_id = Some(SpanId([2; 8]));
        span.name = name;
        span.start_ns = 1_000_000_000;
        span.end_ns = span.start_ns + millis * 1_000_000;
        span.status = status;
        span
    }

    /// The calls of each (service, span name, status) in a `MetricsData`.
    fn calls(metrics: &[u8]) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        for_each_scope::<ProtoError>(metrics, |scope| {
            for metric in scope.items() {
                PointView::for_each::<ProtoError>(metric?, |point| {
                    if point.kind != 7 {
                        return Ok(());
                    }
                    let mut label = String::new();
                    for (_, value) in attributes(point.bytes, 7) {
                        if let Ok(Some((_, Value::Bytes(text)))) = Reader::new(value).next_field() {
                            label.push_str(&String::from_utf8_lossy(text));
                            label.push('/');
                        }
                    }
                    let mut reader = Reader::new(point.bytes);
                    while let Some((number, value)) = reader.next_field()? {
                        if let (6, Value::Fixed64(count)) = (number, value) {
                            out.push((label.clone(), count));
                        }
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
        out
    }

    /// Scenario: spans of two names, one failed, then more names than the table holds.
    /// Guarantees: every span is counted exactly once; what has no place counts in the overflow series (P6, P9).
    #[test]
    fn every_span_is_counted() {
        let mut red = Red::new(4, 5);
        for _ in 0..3 {
            red.observe(b"vessel", &span(b"GET /a", 7, 0));
        }
        red.observe(b"vessel", &span(b"GET /a", 7, 2));
        red.observe(b"vessel", &span(b"GET /b", 200, 0));
        red.observe(b"vessel", &span(b"GET /c", 1, 0));
        red.observe(b"vessel", &span(b"GET /d", 1, 0));
        let mut out = Vec::new();
        assert_eq!(red.write(9, &mut out), 8);
        let calls = calls(&out);
        assert_eq!(calls.iter().map(|(_, count)| count).sum::<u64>(), 7);
        assert!(
            calls.iter().any(|(label, count)| label.starts_with("GET /a/") && label.contains("UNSET") && *count == 3)
        );
        assert!(
            calls.iter().any(|(label, count)| label.starts_with("GET /a/") && label.contains("ERROR") && *count == 1)
        );
        assert_eq!(red.overflowed(), 2);
    }

    /// Scenario: two kept spans of one bucket, one of another, then a write.
    /// Guarantees: one exemplar per bucket and interval (P5).
    #[test]
    fn one_exemplar_per_bucket_and_interval() {
        let mut red = Red::new(10, 5);
        let mut out = Vec::new();
        assert!(red.exemplar(b"s", &span(b"n", 200, 0), &mut out));
        assert!(!red.exemplar(b"s", &span(b"n", 199, 0), &mut out));
        assert!(red.exemplar(b"s", &span(b"n", 201, 0), &mut out));
        red.write(9, &mut Vec::new());
        assert!(red.exemplar(b"s", &span(b"n", 200, 0), &mut out));
    }

    /// Scenario: texts beyond the limit that end inside a character. Guarantees: cut before it.
    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = format!("{}\u{1f6a2}", "x".repeat(MAX_TEXT - 2));
        assert_eq!(cut(text.as_bytes()).len(), MAX_TEXT - 2);
        assert_eq!(cut(b"short"), b"short");
    }
}
