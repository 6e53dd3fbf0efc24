//! What becomes of points beyond a metric's series: one point for all of them, `otel.metric.overflow=true`.

use model::otlp::{PointView, ScopeGroup, Selection};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_fixed64, put_message, put_uint};

/// The attribute of the overflow series (OpenTelemetry, "Metrics SDK", cardinality limits).
const OVERFLOW: &[u8] = b"otel.metric.overflow";
/// Metrics that overflow hold so many bytes at most before they are written.
const MAX_BYTES: usize = 32 << 10;
/// The most buckets of a histogram that are added up; beyond it count and sum are.
const MAX_BUCKETS: usize = 256;

/// `AGGREGATION_TEMPORALITY_DELTA`.
const DELTA: u64 = 1;
/// `Metric` fields (opentelemetry/proto/metrics/v1/metrics.proto).
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const HISTOGRAM: u32 = 9;

/// Points that were taken out, added up by metric.
#[derive(Debug, Default)]
pub struct Overflow {
    /// Resources and scopes, each pair once.
    places: Vec<(Vec<u8>, Vec<u8>)>,
    metrics: Vec<Metric>,
    bytes: usize,
    /// Points that are in the sums.
    added: u64,
    /// Points that nothing stands for: cumulative ones and those of other kinds.
    left_out: u64,
    /// The metric whose points came last.
    newest: Vec<u8>,
    /// When it was written last.
    written_ns: u64,
}

/// A metric that overflows.
#[derive(Debug, Clone, PartialEq)]
struct Metric {
    /// Its resource and scope, by their position.
    place: usize,
    name: Vec<u8>,
    unit: Vec<u8>,
    monotonic: bool,
    kind: u32,
    value: Amount,
}

/// What its points amount to.
#[derive(Debug, Clone, PartialEq)]
enum Amount {
    Integer(i64),
    Number(f64),
    /// Count, sum, bounds and buckets; without bounds where those of two points differ.
    Histogram {
        count: u64,
        sum: f64,
        bounds: Vec<u64>,
        buckets: Vec<u64>,
    },
}

impl Overflow {
    /// Takes a point out of its metric.
    pub(crate) fn add(
        &mut self,
        scope: &ScopeGroup<'_>,
        metric: &[u8],
        point: PointView<'_>,
    ) -> Result<(), ProtoError> {
        let bytes = |number| Ok::<_, ProtoError>(Reader::new(metric).last_bytes(number)?.unwrap_or_default());
        let (name, unit) = (bytes(1)?, bytes(3)?);
        name.clone_into(&mut self.newest);
        let (mut temporality, mut monotonic) = (0, false);
        let mut data = Reader::new(bytes(point.kind as u8)?);
        while let Some(field) = data.next_field()? {
            match field {
                (2, Value::Varint(value)) => temporality = value,
                (3, Value::Varint(value)) => monotonic = value != 0,
                _ => {}
            }
        }
        let value = match point.kind {
            GAUGE => number(point.bytes)?,
            SUM if temporality == DELTA => number(point.bytes)?,
            HISTOGRAM if temporality == DELTA => Some(histogram(point.bytes)?),
            _ => None,
        };
        let Some(value) = value else {
            self.left_out += 1;
            return Ok(());
        };
        self.added += 1;
        let place = self.place(scope.resource.resource, scope.scope);
        self.put(Metric { place, name: name.to_vec(), unit: unit.to_vec(), monotonic, kind: point.kind, value });
        Ok(())
    }

    /// The position of a resource and scope.
    fn place(&mut self, resource: &[u8], scope: &[u8]) -> usize {
        let same = |(one, other): &(Vec<u8>, Vec<u8>)| one == resource && other == scope;
        self.places.iter().rposition(same).unwrap_or_else(|| {
            self.bytes += resource.len() + scope.len();
            self.places.push((resource.to_vec(), scope.to_vec()));
            self.places.len() - 1
        })
    }

    fn put(&mut self, metric: Metric) {
        let same = |one: &Metric| {
            one.kind == metric.kind
                && one.monotonic == metric.monotonic
                && one.name == metric.name
                && one.place == metric.place
                && one.unit == metric.unit
        };
        match self.metrics.iter_mut().rev().find(|one| same(one)) {
            Some(one) if one.kind == GAUGE => one.value = metric.value,
            Some(one) => one.value.add(&metric.value),
            None => {
                let buckets = if let Amount::Histogram { bounds, .. } = &metric.value { 16 * bounds.len() } else { 0 };
                self.bytes += metric.name.len() + metric.unit.len() + buckets + size_of::<Metric>();
                self.metrics.push(metric);
            }
        }
    }

    /// The metric whose points came last.
    pub fn newest(&self) -> String {
        String::from_utf8_lossy(&self.newest).into_owned()
    }

    /// Points that are in the sums.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Points that nothing stands for.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Adds what was taken out of a request that comes in.
    pub fn merge(&mut self, other: Self) {
        (self.added, self.left_out) = (self.added + other.added, self.left_out + other.left_out);
        self.newest = other.newest;
        let places: Vec<usize> = other.places.iter().map(|(resource, scope)| self.place(resource, scope)).collect();
        for metric in other.metrics {
            if let Some(place) = places.get(metric.place) {
                self.put(Metric { place: *place, ..metric });
            }
        }
    }

    /// Whether it holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// What overflowed since it was written last, as a `MetricsData`; `None` where nothing did. Its points are of the time from then to
    /// `wall_ns`, so that no two of a series are of the same time.
    pub fn write(&mut self, wall_ns: u64) -> Option<Vec<u8>> {
        let start_ns = self.written_ns;
        if self.metrics.is_empty() {
            self.written_ns = start_ns.max(wall_ns);
            return None;
        }
        let end_ns = wall_ns.max(start_ns + 1);
        let start_ns = if start_ns == 0 { end_ns - 1 } else { start_ns };
        self.written_ns = end_ns;
        self.bytes = 0;
        let places = std::mem::take(&mut self.places);
        let (mut gathered, mut item) = (Selection::default(), Vec::new());
        for metric in std::mem::take(&mut self.metrics) {
            let Some((resource, scope)) = places.get(metric.place) else { continue };
            item.clear();
            metric.write(start_ns, end_ns, &mut item);
            gathered.push(&ScopeGroup::of((resource, b""), (scope, b"")), &item);
        }
        let mut out = Vec::with_capacity(gathered.bytes());
        gathered.write(&mut out);
        Some(out)
    }
}

impl Amount {
    /// Adds another one of the same kind.
    fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Amount::Integer(one), Amount::Integer(two)) => match one.checked_add(*two) {
                Some(sum) => *one = sum,
                None => *self = Amount::Number(*one as f64 + *two as f64),
            },
            (Amount::Integer(one), Amount::Number(two)) => *self = Amount::Number(*one as f64 + two),
            (Amount::Number(one), Amount::Integer(two)) => *one += *two as f64,
            (Amount::Number(one), Amount::Number(two)) => *one += two,
            (
                Amount::Histogram { count, sum, bounds, buckets },
                Amount::Histogram { count: more, sum: rest, bounds: others, buckets: theirs },
            ) => {
                (*count, *sum) = (count.saturating_add(*more), *sum + rest);
                if bounds == others && buckets.len() == theirs.len() {
                    buckets.iter_mut().zip(theirs).for_each(|(one, two)| *one = one.saturating_add(*two));
                } else {
                    *bounds = Vec::new();
                    *buckets = vec![*count];
                }
            }
            // A metric is of one kind.
            _ => {}
        }
    }
}

impl Metric {
    /// Appends the fields of the metric with its one point.
    fn write(&self, start_ns: u64, end_ns: u64, out: &mut Vec<u8>) {
        put_bytes(out, 1, &self.name);
        if !self.unit.is_empty() {
            put_bytes(out, 3, &self.unit);
        }
        put_message(out, self.kind, |data| {
            put_message(data, 1, |point| {
                put_message(point, if self.kind == HISTOGRAM { 9 } else { 7 }, |pair| {
                    put_bytes(pair, 1, OVERFLOW);
                    put_message(pair, 2, |any| put_uint(any, 2, 1));
                });
                if self.kind != GAUGE {
                    put_fixed64(point, 2, start_ns);
                }
                put_fixed64(point, 3, end_ns);
                match &self.value {
                    Amount::Number(number) => put_fixed64(point, 4, number.to_bits()),
                    Amount::Integer(number) => put_fixed64(point, 6, number.cast_unsigned()),
                    Amount::Histogram { count, sum, bounds, buckets } => {
                        put_fixed64(point, 4, *count);
                        put_fixed64(point, 5, sum.to_bits());
                        put_message(point, 6, |out| packed(buckets, out));
                        if !bounds.is_empty() {
                            put_message(point, 7, |out| packed(bounds, out));
                        }
                    }
                }
            });
            if self.kind != GAUGE {
                put_uint(data, 2, DELTA);
            }
            if self.monotonic {
                put_uint(data, 3, 1);
            }
        });
    }
}

fn packed(values: &[u64], out: &mut Vec<u8>) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

/// The value of a `NumberDataPoint`; `None` where it has none.
fn number(point: &[u8]) -> Result<Option<Amount>, ProtoError> {
    let (mut last, mut reader) = (None, Reader::new(point));
    while let Some(field) = reader.next_field()? {
        match field {
            (4, Value::Fixed64(bits)) => last = Some(Amount::Number(f64::from_bits(bits))),
            (6, Value::Fixed64(bits)) => last = Some(Amount::Integer(bits.cast_signed())),
            _ => {}
        }
    }
    Ok(last)
}

fn histogram(point: &[u8]) -> Result<Amount, ProtoError> {
    let (mut count, mut sum, mut bounds, mut buckets) = (0u64, 0.0, Vec::new(), Vec::new());
    let take = |values: &mut Vec<u64>, value: Value<'_>| match value {
        Value::Fixed64(one) => values.push(one),
        Value::Bytes(bytes) => {
            let (chunks, _) = bytes.as_chunks::<8>();
            values.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)));
        }
        _ => {}
    };
    let mut reader = Reader::new(point);
    while let Some((number, value)) = reader.next_field()? {
        match (number, value) {
            (4, Value::Fixed64(value)) => count = value,
            (5, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
            (6, value) => take(&mut buckets, value),
            (7, value) => take(&mut bounds, value),
            _ => {}
        }
    }
    if bounds.len() > MAX_BUCKETS || buckets.len() != bounds.len() + 1 {
        (bounds, buckets) = (Vec::new(), vec![count]);
    }
    Ok(Amount::Histogram { count, sum, bounds, buckets })
}
