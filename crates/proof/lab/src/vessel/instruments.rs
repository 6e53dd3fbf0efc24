//! The application's own metrics: cumulative, with exemplars in the points of the histogram.

use crate::otlp::value::{attribute, int, text};
use crate::vessel::fate::Fate;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum, exemplar,
    metric, number_data_point,
};
use std::collections::BTreeMap;

/// Requests served.
pub(crate) const REQUESTS: &str = "http.server.request.count";
/// How long they took.
pub(crate) const DURATION: &str = "http.server.request.duration";
/// Diagnostics run.
pub(crate) const DIAGNOSTICS: &str = "vessel.diagnostics.count";
/// A gauge that swings like an engine under changing load.
pub(crate) const TEMPERATURE: &str = "vessel.engine.temperature";

const BOUNDS_MS: [f64; 8] = [10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0];

/// Endpoint and HTTP status.
type Key = (&'static str, i64);

#[derive(Debug, Default)]
struct Durations {
    count: u64,
    sum_ms: f64,
    buckets: [u64; BOUNDS_MS.len() + 1],
    /// The latest of each bucket since the last export.
    exemplars: [Option<Exemplar>; BOUNDS_MS.len() + 1],
}

/// What the application has counted since it started.
#[derive(Debug)]
pub(crate) struct Instruments {
    start_ns: u64,
    requests: BTreeMap<Key, Durations>,
    diagnostics: BTreeMap<bool, u64>,
    in_seconds: bool,
}

/// One point as it was handed over, to be looked for at the hub.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedPoint {
    pub(crate) metric: &'static str,
    pub(crate) is_histogram: bool,
    /// Attributes of the series, as `key=value`.
    pub(crate) attributes: Vec<(&'static str, String)>,
    pub(crate) time_ns: u64,
    /// The value of a sum or gauge; the count of a histogram.
    pub(crate) value: f64,
}

impl Instruments {
    /// Starts to count; `start_ns` is the wall clock.
    pub(crate) fn new(start_ns: u64) -> Self {
        Self { start_ns, requests: BTreeMap::new(), diagnostics: BTreeMap::new(), in_seconds: false }
    }

    /// From now on durations are in seconds.
    pub(crate) fn count_seconds(&mut self) {
        self.in_seconds = true;
    }

    /// Counts a request that ended at `end_ns` (wall clock).
    pub(crate) fn count(&mut self, fate: &Fate, end_ns: u64) {
        let ms = fate.length_ns() as f64 / 1e6;
        let durations = self.requests.entry((fate.endpoint().route, fate.status())).or_default();
        durations.count += 1;
        durations.sum_ms += ms;
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < ms);
        durations.buckets[bucket] += 1;
        durations.exemplars[bucket] = Some(Exemplar {
            filtered_attributes: Vec::new(),
            time_unix_nano: end_ns,
            span_id: fate.spans.first().map(|span| span.id.0.to_vec()).unwrap_or_default(),
            trace_id: fate.trace.0.to_vec(),
            value: Some(exemplar::Value::AsDouble(ms)),
        });
        if fate.endpoint().route.ends_with("diagnostics") {
            *self.diagnostics.entry(fate.complex).or_default() += 1;
        }
    }

    /// The metrics at `time_ns` (wall clock) with the points in them. Exemplars are handed over once.
    pub(crate) fn export(&mut self, time_ns: u64) -> (Vec<Metric>, Vec<PlannedPoint>) {
        let start = self.start_ns;
        let (unit, per_ms) = if self.in_seconds { ("s", 1e-3) } else { ("ms", 1.0) };
        let mut planned = Vec::new();
        let mut plan = |metric, attributes: &[(&'static str, Value)], value| {
            let attributes = attributes.iter().map(|(key, value)| (*key, plain(value))).collect();
            let is_histogram = metric == DURATION;
            planned.push(PlannedPoint { metric, is_histogram, attributes, time_ns, value });
        };
        let mut counts = Vec::new();
        let mut durations = Vec::new();
        for ((route, status), seen) in &mut self.requests {
            let attributes = [
                ("http.request.method", text("GET")),
                ("http.route", text(route)),
                ("http.response.status_code", int(*status)),
            ];
            plan(REQUESTS, &attributes, seen.count as f64);
            plan(DURATION, &attributes, seen.count as f64);
            counts.push(number(key_values(&attributes), start, time_ns, as_int(seen.count)));
            durations.push(HistogramDataPoint {
                attributes: key_values(&attributes),
                start_time_unix_nano: start,
                time_unix_nano: time_ns,
                count: seen.count,
                sum: Some(seen.sum_ms * per_ms),
                bucket_counts: seen.buckets.to_vec(),
                explicit_bounds: BOUNDS_MS.map(|bound| bound * per_ms).to_vec(),
                exemplars: seen.exemplars.iter_mut().filter_map(Option::take).collect(),
                ..HistogramDataPoint::default()
            });
        }
        let mut diagnostics = Vec::new();
        for (complex, count) in &self.diagnostics {
            let attributes = [("complex", Value::BoolValue(*complex))];
            plan(DIAGNOSTICS, &attributes, *count as f64);
            diagnostics.push(number(key_values(&attributes), start, time_ns, as_int(*count)));
        }
        let degrees = temperature(time_ns.saturating_sub(start));
        plan(TEMPERATURE, &[], degrees);
        let gauge = vec![number(Vec::new(), 0, time_ns, number_data_point::Value::AsDouble(degrees))];

        let cumulative = AggregationTemporality::Cumulative.into();
        let sum = |data_points| {
            metric::Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true })
        };
        let histogram = Histogram { data_points: durations, aggregation_temporality: cumulative };
        let metrics = vec![
            described(REQUESTS, "{request}", "Requests served", sum(counts)),
            described(DURATION, unit, "How long requests took", metric::Data::Histogram(histogram)),
            described(DIAGNOSTICS, "{run}", "Diagnostics run", sum(diagnostics)),
            described(TEMPERATURE, "Cel", "Engine temperature", metric::Data::Gauge(Gauge { data_points: gauge })),
        ];
        (metrics.into_iter().filter(has_points).collect(), planned)
    }
}

/// A swing of 12 degrees around 78 with a period of a minute, in steps that a decimal text keeps exactly.
fn temperature(since_start_ns: u64) -> f64 {
    let turns = since_start_ns as f64 / 60e9;
    ((78.0 + 12.0 * (turns * std::f64::consts::TAU).sin()) * 8.0).round() / 8.0
}

fn key_values(attributes: &[(&'static str, Value)]) -> Vec<KeyValue> {
    attributes.iter().map(|(key, value)| attribute(key, value.clone())).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(truth) => truth.to_string(),
        other => format!("{other:?}"),
    }
}

fn as_int(count: u64) -> number_data_point::Value {
    number_data_point::Value::AsInt(count.cast_signed())
}

fn number(attributes: Vec<KeyValue>, start: u64, time: u64, value: number_data_point::Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn described(name: &str, unit: &str, description: &str, data: metric::Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description: description.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn has_points(metric: &Metric) -> bool {
    match &metric.data {
        Some(metric::Data::Sum(sum)) => !sum.data_points.is_empty(),
        Some(metric::Data::Histogram(histogram)) => !histogram.data_points.is_empty(),
        Some(metric::Data::Gauge(gauge)) => !gauge.data_points.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a thousand requests are counted and exported twice. Guarantees: cumulative points whose counts add up
    /// to the requests, exemplars that point at requests and come once, and a planned point for each point.
    #[test]
    fn points_add_up_and_exemplars_come_once() {
        let mut instruments = Instruments::new(1_000);
        for fate in (0..1_000).map(|number| Fate::decide(8, number, None)) {
            instruments.count(&fate, 2_000_000_000);
        }
        let (metrics, planned) = instruments.export(3_000_000_000);
        let (again, _) = instruments.export(4_000_000_000);
        let histogram = |metrics: &[Metric]| {
            let found = metrics.iter().find(|metric| metric.name == DURATION).unwrap();
            let Some(metric::Data::Histogram(histogram)) = found.data.clone() else { panic!("not a histogram") };
            histogram.data_points
        };
        let points = histogram(&metrics);
        assert_eq!(points.iter().map(|point| point.count).sum::<u64>(), 1_000);
        assert_eq!(points.iter().flat_map(|point| &point.bucket_counts).sum::<u64>(), 1_000);
        assert!(points.iter().all(|point| !point.exemplars.is_empty()));
        assert!(histogram(&again).iter().all(|point| point.exemplars.is_empty()));
        let counted: f64 = planned.iter().filter(|point| point.metric == REQUESTS).map(|point| point.value).sum();
        assert!((counted - 1_000.0).abs() < f64::EPSILON);
        assert_eq!(planned.len(), 2 * points.len() + 2 + 1);
    }
}
