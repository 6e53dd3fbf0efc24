//! Rate, error and duration metrics of every span, before any sampling (P6), and the exemplars that point from them to
//! kept traces (P5).
//!
//! Names and attributes are those of the Collector's span metrics connector: `traces.span.metrics.calls` and
//! `traces.span.metrics.duration` with `span.name`, `span.kind` and `status.code`, per `service.name`, and the dimensions
//! that are configured. The start time is that of the table, or of the interval, so that a restart shows as one.

mod durations;
mod write;

use std::collections::HashMap;

use durations::Durations;
use foldhash::fast::RandomState;
use model::otlp::schema::any_value;
use model::otlp::{SpanView, attribute};
use model::proto::{Reader, Value};

/// Upper bounds of the duration buckets where none are configured, milliseconds, inclusive.
pub const BOUNDS_MS: [f64; 16] =
    [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 200.0, 250.0, 400.0, 500.0, 750.0, 1000.0, 1500.0, 2500.0, 5000.0, 10000.0];
/// The most bounds.
pub const MAX_BOUNDS: usize = 31;

/// The longest text that is taken into a series' key; longer ones are cut at a character.
const MAX_TEXT: usize = 120;

/// An attribute that tells series apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    /// Its key, looked for on the span, then on the resource.
    pub key: String,
    /// What stands where it is missing; `None`: nothing.
    pub default: Option<String>,
}

/// How the metrics are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The most series, the overflow series among them.
    pub max_series: usize,
    /// Attributes that tell series apart.
    pub dimensions: Vec<Dimension>,
    /// Upper bounds of explicit buckets, milliseconds, ascending, at most [`MAX_BOUNDS`]; `None`: an exponential histogram.
    pub bounds_ms: Option<Vec<f64>>,
    /// Whether each write counts since the last one.
    pub delta: bool,
    /// Exemplars for each bucket and interval.
    pub exemplars_per_bucket: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_series: 128,
            dimensions: Vec::new(),
            bounds_ms: Some(BOUNDS_MS.to_vec()),
            delta: false,
            exemplars_per_bucket: 1,
        }
    }
}

#[derive(Debug)]
struct Series {
    service: Box<[u8]>,
    name: Box<[u8]>,
    /// In the order of the dimensions; empty where there is none.
    dimensions: Box<[Box<[u8]>]>,
    kind: u8,
    status: u8,
    /// When it was first seen, Unix nanoseconds: its counts begin there.
    start_ns: u64,
    count: u64,
    sum_ms: f64,
    durations: Durations,
    /// Exemplars of each bucket since the last write.
    exemplars: [u8; MAX_BOUNDS + 1],
}

/// The table of series. Its size is fixed: what has no place counts in one overflow series.
#[derive(Debug)]
pub struct Red {
    options: Options,
    series: Vec<Series>,
    /// Bounded by `max_series`: a fast hash does.
    positions: HashMap<Box<[u8]>, usize, RandomState>,
    key: Vec<u8>,
    /// When the interval of a delta began.
    start_ns: u64,
    now_ns: u64,
    overflowed: u64,
    odd_times: u64,
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

/// Appends the text of a scalar `AnyValue`, with its length in front; nothing for other kinds.
fn put_text(any: &[u8], key: &mut Vec<u8>) {
    let at = key.len();
    key.push(0);
    let mut reader = Reader::new(any);
    while let Ok(Some(field)) = reader.next_field() {
        match field {
            (any_value::STRING, Value::Bytes(text)) => key.extend_from_slice(cut(text)),
            (any_value::INT, Value::Varint(bits)) => key.extend_from_slice((bits as i64).to_string().as_bytes()),
            (any_value::BOOL, Value::Varint(bits)) => {
                key.extend_from_slice(if bits == 0 { b"false".as_slice() } else { b"true" });
            }
            (any_value::DOUBLE, Value::Fixed64(bits)) => {
                key.extend_from_slice(cut(f64::from_bits(bits).to_string().as_bytes()));
            }
            _ => {}
        }
    }
    key[at] = (key.len() - at - 1) as u8;
}

impl Red {
    /// An empty table; `start_ns` is the wall time from which it counts, Unix nanoseconds.
    pub fn new(mut options: Options, start_ns: u64) -> Self {
        options.max_series = options.max_series.max(1);
        if let Some(bounds) = &mut options.bounds_ms {
            bounds.truncate(MAX_BOUNDS);
        }
        Self {
            options,
            series: Vec::new(),
            positions: HashMap::default(),
            key: Vec::new(),
            start_ns,
            now_ns: start_ns,
            overflowed: 0,
            odd_times: 0,
        }
    }

    /// Tells the wall time: a series begins where it is first seen.
    pub fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Counts a span of a resource (the bytes of its message).
    pub fn observe(&mut self, resource: &[u8], service: &[u8], span: &SpanView<'_>) {
        let position = self.position(resource, service, span);
        let Some(series) = self.series.get_mut(position) else { return };
        let duration = duration_ms(span);
        self.odd_times += u64::from(!span.has_sane_times());
        series.count += 1;
        series.sum_ms += duration;
        series.durations.add(duration, self.options.bounds_ms.as_deref());
    }

    /// Appends an `ExemplarSeries` for a span of a kept trace to `out` (an `ExemplarsData`), when its bucket has place for
    /// one since the last write. Tells whether it did.
    pub fn exemplar(&mut self, resource: &[u8], service: &[u8], span: &SpanView<'_>, out: &mut Vec<u8>) -> bool {
        let position = self.position(resource, service, span);
        let Some(series) = self.series.get_mut(position) else { return false };
        let bucket = match &self.options.bounds_ms {
            Some(bounds) => durations::bucket_of(duration_ms(span), bounds),
            // Exponential buckets move; doublings do not.
            None => duration_ms(span).max(1.0).log2() as usize,
        };
        let Some(taken) = series.exemplars.get_mut(bucket.min(MAX_BOUNDS)) else { return false };
        if *taken >= self.options.exemplars_per_bucket {
            return false;
        }
        *taken += 1;
        write::exemplar(series, &self.options, span, out);
        true
    }

    /// Appends all series as a `MetricsData` and returns how many points these are. `now_ns` is wall time.
    pub fn write(&mut self, now_ns: u64, out: &mut Vec<u8>) -> u64 {
        let interval_ns = self.options.delta.then_some(self.start_ns);
        let points = write::metrics(&self.series, &self.options, interval_ns, now_ns, out);
        for series in &mut self.series {
            series.exemplars = [0; MAX_BOUNDS + 1];
            if self.options.delta {
                series.count = 0;
                series.sum_ms = 0.0;
                series.durations.clear();
            }
        }
        (self.start_ns, self.now_ns) = (now_ns, now_ns);
        points
    }

    /// Spans that went to the overflow series.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// Spans that end before they start, or at a time that nobody can mean: counted with a duration between 0 and 292 years.
    pub fn odd_times(&self) -> u64 {
        self.odd_times
    }

    /// The most memory that the table may take, bytes (P9).
    pub fn budget(options: &Options) -> u64 {
        let texts = 2 * (2 + options.dimensions.len()) * (MAX_TEXT + 16);
        let buckets = durations::most_bytes(options.bounds_ms.as_deref());
        options.max_series as u64 * (size_of::<Series>() + texts + buckets) as u64
    }

    fn position(&mut self, resource: &[u8], service: &[u8], span: &SpanView<'_>) -> usize {
        const RESOURCE_ATTRIBUTES: u32 = 1;
        const SPAN_ATTRIBUTES: u32 = 9;
        let (service, name) = (cut(service), cut(span.name));
        let (kind, status) = (span.kind.min(5) as u8, span.status.min(2) as u8);
        self.key.clear();
        self.key.extend_from_slice(&[kind, status, service.len() as u8, name.len() as u8]);
        self.key.extend_from_slice(service);
        self.key.extend_from_slice(name);
        let fixed = self.key.len();
        for dimension in &self.options.dimensions {
            let find = |bytes, number| attribute(bytes, number, &dimension.key);
            match find(span.bytes(), SPAN_ATTRIBUTES).or_else(|| find(resource, RESOURCE_ATTRIBUTES)) {
                Some(any) => put_text(any, &mut self.key),
                None => {
                    let text = cut(dimension.default.as_deref().unwrap_or_default().as_bytes());
                    self.key.push(text.len() as u8);
                    self.key.extend_from_slice(text);
                }
            }
        }
        if let Some(position) = self.positions.get(self.key.as_slice()) {
            return *position;
        }
        // The last place is the overflow series': it has no name, no service and no kind.
        let full = self.series.len() + 1 >= self.options.max_series;
        let mut dimensions = Vec::new();
        if full {
            self.overflowed += 1;
            self.key.clear();
            if let Some(position) = self.positions.get(self.key.as_slice()) {
                return *position;
            }
        } else {
            let mut rest = &self.key[fixed..];
            while let Some((length, after)) = rest.split_first() {
                let (text, after) = after.split_at(usize::from(*length).min(after.len()));
                dimensions.push(text.into());
                rest = after;
            }
        }
        let position = self.series.len();
        let (service, name): (&[u8], &[u8]) = if full { (b"", b"") } else { (service, name) };
        self.series.push(Series {
            service: service.into(),
            name: name.into(),
            dimensions: dimensions.into(),
            kind: if full { OVERFLOW } else { kind },
            status: if full { 0 } else { status },
            start_ns: self.now_ns,
            count: 0,
            sum_ms: 0.0,
            durations: Durations::new(self.options.bounds_ms.as_deref()),
            exemplars: [0; MAX_BOUNDS + 1],
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
        let mut red = Red::new(Options { max_series: 4, ..Options::default() }, 5);
        for _ in 0..3 {
            red.observe(b"", b"vessel", &span(b"GET /a", 7, 0));
        }
        red.observe(b"", b"vessel", &span(b"GET /a", 7, 2));
        red.observe(b"", b"vessel", &span(b"GET /b", 200, 0));
        red.observe(b"", b"vessel", &span(b"GET /c", 1, 0));
        red.observe(b"", b"vessel", &span(b"GET /d", 1, 0));
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
        let mut red = Red::new(Options::default(), 5);
        let mut out = Vec::new();
        assert!(red.exemplar(b"", b"s", &span(b"n", 200, 0), &mut out));
        assert!(!red.exemplar(b"", b"s", &span(b"n", 199, 0), &mut out));
        assert!(red.exemplar(b"", b"s", &span(b"n", 201, 0), &mut out));
        red.write(9, &mut Vec::new());
        assert!(red.exemplar(b"", b"s", &span(b"n", 200, 0), &mut out));
    }

    /// Scenario: texts beyond the limit that end inside a character. Guarantees: cut before it.
    #[test]
    fn long_texts_are_cut_at_a_character() {
        let text = format!("{}\u{1f6a2}", "x".repeat(MAX_TEXT - 2));
        assert_eq!(cut(text.as_bytes()).len(), MAX_TEXT - 2);
        assert_eq!(cut(b"short"), b"short");
    }

    fn with_attributes(name: &str, attributes: &[(&str, Value<'_>)]) -> Vec<u8> {
        use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
        let mut out = Vec::new();
        put_bytes(&mut out, 5, name.as_bytes());
        put_fixed64(&mut out, 7, 0);
        put_fixed64(&mut out, 8, 7_000_000);
        for (key, value) in attributes {
            put_message(&mut out, 9, |out| {
                put_bytes(out, 1, key.as_bytes());
                put_message(out, 2, |out| match value {
                    Value::Bytes(text) => put_bytes(out, 1, text),
                    Value::Varint(number) => put_uint(out, 3, *number),
                    _ => {}
                });
            });
        }
        out
    }

    /// Scenario: dimensions on the span, on the resource, of other kinds than text, and missing, with and without a
    /// default. Guarantees: each tells series apart, under its own key, and none is counted in another's series (P6).
    #[test]
    fn dimensions_tell_series_apart() {
        let dimension =
            |key: &str, default: Option<&str>| Dimension { key: key.into(), default: default.map(Into::into) };
        let dimensions = vec![dimension("code", None), dimension("region", Some("none"))];
        let mut red = Red::new(Options { dimensions, ..Options::default() }, 5);
        let mut resource = Vec::new();
        model::proto::put_message(&mut resource, 1, |out| {
            model::proto::put_bytes(out, 1, b"region");
            model::proto::put_message(out, 2, |out| model::proto::put_bytes(out, 1, b"north"));
        });
        for (resource, attributes) in [
            (&resource[..], vec![("code", Value::Varint(200))]),
            (&resource[..], vec![("code", Value::Varint(500))]),
            (b"", vec![("code", Value::Varint(200))]),
            (b"", vec![("region", Value::Bytes(b"south")), ("code", Value::Bytes(b"200"))]),
            (b"", vec![]),
            (b"", vec![]),
        ] {
            let bytes = with_attributes("GET", &attributes);
            red.observe(resource, b"s", &SpanView::read(&bytes).unwrap());
        }
        let mut out = Vec::new();
        assert_eq!(red.write(9, &mut out), 10);
        let mut calls: Vec<_> = calls(&out);
        calls.sort();
        let shown: Vec<_> = calls
            .iter()
            .map(|(label, count)| (label.trim_start_matches("GET/SPAN_KIND_UNSPECIFIED/STATUS_CODE_UNSET/"), *count))
            .collect();
        assert_eq!(shown, [("200/none/", 1), ("200/north/", 1), ("200/south/", 1), ("500/north/", 1), ("none/", 2)]);
    }

    /// Scenario: delta, over three intervals of which one is silent. Guarantees: each write counts its interval, begins
    /// where the last one ended, and leaves out what did not happen (P6).
    #[test]
    fn delta_counts_intervals() {
        let mut red = Red::new(Options { delta: true, ..Options::default() }, 5);
        red.observe(b"", b"s", &span(b"n", 7, 0));
        let mut out = Vec::new();
        assert_eq!(red.write(10, &mut out), 2);
        assert_eq!(red.write(20, &mut Vec::new()), 0);
        red.observe(b"", b"s", &span(b"n", 7, 0));
        red.observe(b"", b"s", &span(b"n", 8, 0));
        let mut out = Vec::new();
        assert_eq!(red.write(30, &mut out), 2);
        assert_eq!(calls(&out)[0].1, 2);
    }

    /// Start time, time and count of each series of calls.
    fn times(metrics: &[u8]) -> Vec<(u64, u64, u64)> {
        let mut out = Vec::new();
        for_each_scope::<ProtoError>(metrics, |scope| {
            for metric in scope.items() {
                PointView::for_each::<ProtoError>(metric?, |point| {
                    let (mut fields, mut reader) = ([0; 7], Reader::new(point.bytes));
                    while let Some((number, value)) = reader.next_field()? {
                        if let (Some(field), Value::Fixed64(bits)) = (fields.get_mut(number as usize), value) {
                            *field = bits;
                        }
                    }
                    if point.kind == 7 {
                        out.push((fields[2], fields[3], fields[6]));
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
        .unwrap();
        out
    }

    /// Scenario: an agent that has been idle for long sees its first requests; another series is first seen much later, an error after
    /// days of quiet; then the clock goes back; and so in deltas. Guarantees: each series begins where it was first seen, so that what
    /// happened in a second is not spread over the time before, and keeps that; a series never begins behind its point (P6).
    #[test]
    fn u1_a_series_begins_where_it_is_first_seen() {
        let mut red = Red::new(Options::default(), 5);
        red.set_now(1_000);
        for _ in 0..20 {
            red.observe(b"", b"s", &span(b"n", 7, 0));
        }
        let mut out = Vec::new();
        red.write(1_015, &mut out);
        assert_eq!(times(&out), [(1_000, 1_015, 20)]);
        red.set_now(9_000);
        red.observe(b"", b"s", &span(b"n", 2_000, 2));
        red.observe(b"", b"s", &span(b"n", 7, 0));
        out.clear();
        red.write(9_015, &mut out);
        assert_eq!(times(&out), [(1_000, 9_015, 21), (9_000, 9_015, 1)]);
        out.clear();
        red.write(500, &mut out);
        assert!(times(&out).iter().all(|(start, now, _)| start <= now));
        let mut red = Red::new(Options { delta: true, ..Options::default() }, 5);
        red.set_now(1_000);
        red.observe(b"", b"s", &span(b"n", 7, 0));
        out.clear();
        red.write(1_015, &mut out);
        assert_eq!(times(&out), [(5, 1_015, 1)], "a delta speaks of its interval");
    }

    /// Scenario: a restart in the middle of the traffic. Guarantees: the new table's series begin after it, from nothing (P6).
    #[test]
    fn u1_a_restart_is_a_new_start() {
        let mut out = Vec::new();
        for (start, seen) in [(5, 10), (100, 130)] {
            let mut red = Red::new(Options::default(), start);
            red.set_now(seen);
            red.observe(b"", b"s", &span(b"n", 7, 0));
            out.clear();
            red.write(seen + 15, &mut out);
            assert_eq!(times(&out), [(seen, seen + 15, 1)]);
        }
    }

    /// Scenario: spans that end at the end of time, at its beginning, before they start, in both kinds of histogram. Guarantees: durations
    /// stay within what can be told, sums are numbers, each is counted, also as odd (P6).
    #[test]
    fn s2_durations_saturate() {
        for bounds_ms in [Some(BOUNDS_MS.to_vec()), None] {
            let mut red = Red::new(Options { bounds_ms, ..Options::default() }, 5);
            for (start, end) in
                [(1_760_000_000_000_000_000, u64::MAX), (0, u64::MAX), (9, 3), (u64::MAX, u64::MAX), (5, 6)]
            {
                let mut odd = span(b"n", 0, 0);
                (odd.start_ns, odd.end_ns) = (start, end);
                red.observe(b"", b"s", &odd);
                assert!(odd.duration_ns() <= i64::MAX as u64);
            }
            assert_eq!(red.odd_times(), 4);
            let mut out = Vec::new();
            red.write(9, &mut out);
            assert_eq!(calls(&out)[0].1, 5);
            let sum = red.series[0].sum_ms;
            assert!(sum.is_finite() && sum <= 3.0 * 9.3e12, "{sum}");
        }
    }
}
