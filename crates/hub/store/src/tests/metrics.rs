//! Metrics and exemplars through the whole store.

use model::Lane;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, number_data_point,
};
use wire::SectionRef;

use super::*;
use crate::proto::{ExemplarSeries, ExemplarsData};
use crate::query::{
    ExemplarQuery, ExemplarState, MetricAnswer, MetricQuery, MetricSeries, Number, RedQuery, Reduce, Scope, Steps,
    TimeRange,
};

fn metrics(service: &str, metrics: Vec<Metric>) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: resource(service), scope_metrics, ..ResourceMetrics::default() }];
    MetricsData { resource_metrics }.encode_to_vec()
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data), ..Metric::default() }
}

fn number(attributes: Vec<KeyValue>, start: u64, at: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: NOW + start * SECOND,
        time_unix_nano: NOW + at * SECOND,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(at: u64, value: f64) -> Metric {
    let data_points = vec![number(vec![text("room", "engine")], 0, at, value)];
    metric("temperature", "Cel", Data::Gauge(Gauge { data_points }))
}

fn put(store: &Store, seq: u64, of: Vec<Metric>) {
    store_all(store, vec![frame(Lane::Metrics, seq, &[SectionRef::Metrics(&metrics("orders", of))])]);
}

fn steps(count: usize) -> Steps {
    Steps { from: NOW, step_ns: 10 * SECOND, count }
}

fn range(store: &Store, name: &str, reduce: Reduce, matches: &[(&str, &str)]) -> Vec<Vec<Option<f64>>> {
    let matches = matches.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let query = MetricQuery { name: name.into(), steps: steps(4), reduce, matches };
    let answer = store.scoped(&Scope::whole_store()).metric_range(&query).unwrap();
    let values = |series: MetricSeries| series.values.into_iter().map(|value| value.map(Number::as_f64)).collect();
    answer.series.into_iter().map(values).collect()
}

/// Scenario: points of one series come in disorder, in heads and packs, one time comes twice with different values.
/// Guarantees: one series, in the order of time, the value that came last wins, and steps without points are null.
#[test]
fn late_points_join_their_series() {
    let place = Place::new();
    let store = place.open();
    put(&store, 1, vec![gauge(31, 4.0)]);
    pack_all(&store);
    put(&store, 2, vec![gauge(1, 1.0), gauge(11, 9.0)]);
    pack_all(&store);
    put(&store, 3, vec![gauge(11, 2.0)]);
    let expected = vec![vec![Some(1.0), Some(2.0), None, Some(4.0)]];
    assert_eq!(range(&store, "temperature", Reduce::Value, &[]), expected);
    pack_all(&store);
    assert_eq!(
        range(&store, "temperature", Reduce::Value, &[("room", "engine"), ("service.name", "orders")]),
        expected
    );
    assert_eq!(range(&store, "temperature", Reduce::Value, &[("room", "bridge")]), Vec::<Vec<Option<f64>>>::new());
    let infos = store.scoped(&Scope::whole_store()).metrics(TimeRange { from: NOW, to: NOW + 60 * SECOND });
    assert_eq!((infos.len(), infos[0].kind, infos[0].unit.as_str(), infos[0].series), (1, "gauge", "Cel", 1));
    let query = MetricQuery { name: "temperature".into(), steps: steps(4), reduce: Reduce::Rate, matches: Vec::new() };
    assert!(store.scoped(&Scope::whole_store()).metric_range(&query).unwrap_err().to_string().contains("no rate"));
}

fn labels(status: &str) -> Vec<KeyValue> {
    vec![text("span.name", "GET /"), text("span.kind", "SPAN_KIND_SERVER"), text("status.code", status)]
}

fn calls(of: &[(&str, u64, u64, f64)]) -> Metric {
    let data_points = of.iter().map(|(status, start, at, value)| number(labels(status), *start, *at, *value)).collect();
    let sum = Sum { data_points, aggregation_temporality: 2, is_monotonic: true };
    metric("traces.span.metrics.calls", "{call}", Data::Sum(sum))
}

fn durations(at: u64, buckets: [u64; 3]) -> Metric {
    let point = HistogramDataPoint {
        attributes: labels("STATUS_CODE_UNSET"),
        start_time_unix_nano: NOW,
        time_unix_nano: NOW + at * SECOND,
        count: buckets.iter().sum(),
        explicit_bounds: vec![100.0, 200.0],
        bucket_counts: buckets.to_vec(),
        ..HistogramDataPoint::default()
    };
    let histogram = Histogram { data_points: vec![point], aggregation_temporality: 2 };
    metric("traces.span.metrics.duration", "ms", Data::Histogram(histogram))
}

/// Scenario: a cumulative histogram with two points in one step and one in a later step. Guarantees: `count` is what the
/// last point of a step has counted; a histogram has no value, and a gauge no count.
#[test]
fn a_histogram_says_how_much_it_has_counted() {
    let place = Place::new();
    let store = place.open();
    put(&store, 1, vec![durations(1, [1, 0, 0]), durations(9, [2, 1, 0]), durations(25, [2, 1, 4]), gauge(1, 1.0)]);
    let name = "traces.span.metrics.duration";
    assert_eq!(range(&store, name, Reduce::Count, &[]), vec![vec![Some(3.0), None, Some(7.0), None]]);
    for (name, reduce) in [(name, Reduce::Value), ("temperature", Reduce::Count)] {
        let query = MetricQuery { name: name.into(), steps: steps(4), reduce, matches: Vec::new() };
        assert!(store.scoped(&Scope::whole_store()).metric_range(&query).is_err());
    }
}

/// Scenario: span metrics of a service: steady calls, a first error in the middle of the time, a restart. Guarantees:
/// rates and errors are exact, an error series that appears late counts from its first point, the restart is no dip,
/// quantiles come from the buckets of each step, and steps without points are null (P6).
#[test]
fn red_is_exact() {
    let place = Place::new();
    let store = place.open();
    const OK: &str = "STATUS_CODE_UNSET";
    const ERROR: &str = "STATUS_CODE_ERROR";
    put(&store, 1, vec![calls(&[(OK, 0, 10, 100.0)]), durations(10, [100, 0, 0])]);
    put(&store, 2, vec![calls(&[(OK, 0, 20, 150.0), (ERROR, 0, 20, 20.0)]), durations(20, [100, 50, 0])]);
    pack_all(&store);
    put(&store, 3, vec![calls(&[(OK, 20, 30, 30.0)])]);
    let query = RedQuery { service: Some("orders".into()), operation: None, device: None, steps: steps(4) };
    let red = store.scoped(&Scope::whole_store()).red(&query).unwrap();
    assert_eq!(red.rate, [Some(10.0), Some(7.0), Some(3.0), None]);
    assert_eq!(red.errors, [Some(0.0), Some(2.0), Some(0.0), None]);
    assert_eq!(red.p50, [Some(50.0), Some(150.0), None, None]);
    let other = RedQuery { operation: Some("GET /nothing".into()), device: None, ..query };
    assert_eq!(store.scoped(&Scope::whole_store()).red(&other).unwrap().rate, [None; 4]);
    let services = store.scoped(&Scope::whole_store()).services(TimeRange { from: NOW, to: NOW + 60 * SECOND });
    assert_eq!((services[0].name.as_str(), services[0].operations.as_slice()), ("orders", &["GET /".to_owned()][..]));
}

/// Scenario: exemplars inside points and in a section of their own, of a stored trace, of one that is nowhere, and of
/// one that comes later. Guarantees: each is told with the state of its trace (P5).
#[test]
fn exemplars_know_their_trace() {
    let place = Place::new();
    let store = place.open();
    let exemplar = |trace: u8, at: u64| Exemplar {
        time_unix_nano: NOW + at * SECOND,
        trace_id: vec![trace; 16],
        span_id: vec![1; 8],
        value: Some(exemplar::Value::AsDouble(250.0)),
        ..Exemplar::default()
    };
    let series = ExemplarSeries {
        resource: resource("orders"),
        metric_name: "traces.span.metrics.duration".into(),
        unit: "ms".into(),
        attributes: labels("STATUS_CODE_UNSET"),
        exemplars: vec![exemplar(1, 1)],
        ..ExemplarSeries::default()
    };
    let section = ExemplarsData { series: vec![series] }.encode_to_vec();
    let trace = spans("orders", vec![span(1, 1, 0, NOW, SECOND, false)]);
    store_all(&store, vec![frame(Lane::Traces, 1, &[SectionRef::Traces(&trace), SectionRef::Exemplars(&section)])]);
    let mut with_exemplar = gauge(2, 1.0);
    if let Some(Data::Gauge(gauge)) = &mut with_exemplar.data {
        gauge.data_points[0].exemplars = vec![exemplar(2, 2)];
    }
    put(&store, 1, vec![with_exemplar]);
    let query = ExemplarQuery {
        device: None,
        range: TimeRange { from: NOW, to: NOW + 60 * SECOND },
        service: Some("orders".into()),
        operation: None,
        name: None,
        highest_per_ns: None,
        limit: 10,
    };
    let states = |query: &ExemplarQuery| {
        store
            .scoped(&Scope::whole_store())
            .exemplars(query)
            .exemplars
            .iter()
            .map(|found| (found.row.exemplar.trace_id[0], found.state))
            .collect::<Vec<_>>()
    };
    let expected = [(1, ExemplarState::Stored), (2, ExemplarState::Missing)];
    assert_eq!(states(&query), expected);
    pack_all(&store);
    assert_eq!(states(&query), expected);
    assert_eq!(
        states(&ExemplarQuery { device: None, operation: Some("GET /".into()), ..query.clone() }),
        expected[..1]
    );
    assert_eq!(states(&ExemplarQuery { device: None, limit: 1, ..query.clone() }), expected[1..]);
    store_all(&store, vec![one_span(2, 2, NOW)]);
    assert_eq!(states(&query)[1], (2, ExemplarState::Stored));
}

/// Scenario: many exemplars, errors among them, asked for by a chart that has room for few; before and after packing,
/// and with a range that begins elsewhere. Guarantees: of each stretch the highest error and the highest of the rest
/// stay, whatever the order they are read in, and the limit counts what stays.
#[test]
fn exemplars_are_thinned_for_a_chart() {
    let place = Place::new();
    let store = place.open();
    let series = |code: &str, exemplars: &[(u8, u64, f64)]| ExemplarSeries {
        resource: resource("orders"),
        metric_name: "traces.span.metrics.duration".into(),
        attributes: labels(code),
        exemplars: exemplars
            .iter()
            .map(|(trace, at, value)| Exemplar {
                time_unix_nano: NOW - NOW % (10 * SECOND) + 10 * SECOND + at * SECOND,
                trace_id: vec![*trace; 16],
                span_id: vec![1; 8],
                value: Some(exemplar::Value::AsDouble(*value)),
                ..Exemplar::default()
            })
            .collect(),
        ..ExemplarSeries::default()
    };
    let plain = series("STATUS_CODE_UNSET", &[(1, 1, 300.0), (2, 2, 900.0), (3, 9, 400.0), (4, 11, 250.0)]);
    let errors = series("STATUS_CODE_ERROR", &[(5, 3, 20.0), (6, 4, 10.0)]);
    for (sequence, one) in [(1, plain), (2, errors)] {
        let section = ExemplarsData { series: vec![one] }.encode_to_vec();
        store_all(&store, vec![frame(Lane::Traces, sequence, &[SectionRef::Exemplars(&section)])]);
    }
    let query = ExemplarQuery {
        device: None,
        range: TimeRange { from: NOW, to: NOW + 60 * SECOND },
        service: None,
        operation: None,
        name: None,
        highest_per_ns: Some(10 * SECOND),
        limit: 10,
    };
    let traces = |query: &ExemplarQuery| {
        let page = store.scoped(&Scope::whole_store()).exemplars(query);
        page.exemplars.iter().map(|found| found.row.exemplar.trace_id[0]).collect::<Vec<_>>()
    };
    assert_eq!(traces(&query), [2, 5, 4]);
    assert_eq!(traces(&ExemplarQuery { device: None, limit: 2, ..query.clone() }), [5, 4]);
    assert_eq!(traces(&ExemplarQuery { device: None, highest_per_ns: None, ..query.clone() }), [1, 2, 5, 6, 3, 4]);
    pack_all(&store);
    assert_eq!(traces(&query), [2, 5, 4]);
    let later = TimeRange { from: query.range.from + 1, ..query.range };
    assert_eq!(traces(&ExemplarQuery { device: None, range: later, ..query }), [2, 5, 4]);
}

fn ask(store: &Store, name: &str, reduce: Reduce) -> MetricAnswer {
    let query = MetricQuery { name: name.into(), steps: steps(4), reduce, matches: Vec::new() };
    store.scoped(&Scope::whole_store()).metric_range(&query).unwrap()
}

fn exponential(start: u64, at: u64, scale: i32, offset: i32, bucket_counts: Vec<u64>) -> Metric {
    let point = ExponentialHistogramDataPoint {
        start_time_unix_nano: NOW + start * SECOND,
        time_unix_nano: NOW + at * SECOND,
        count: bucket_counts.iter().sum(),
        scale,
        positive: Some(Buckets { offset, bucket_counts }),
        ..ExponentialHistogramDataPoint::default()
    };
    let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: 2 };
    metric("latency", "ms", Data::ExponentialHistogram(histogram))
}

/// Scenario: a cumulative exponential histogram grows by a bucket; then its scale is lowered; then its offset moves; the
/// start stays. Guarantees: what was added counts, not everything since the start (P6).
#[test]
fn h3_a_histogram_that_grows_a_bucket_is_no_restart() {
    let place = Place::new();
    let store = place.open();
    put(&store, 1, vec![exponential(0, 10, 3, 0, vec![1000]), exponential(0, 20, 3, 0, vec![1000, 3])]);
    put(&store, 2, vec![exponential(0, 25, 2, 0, vec![1005]), exponential(0, 30, 2, -1, vec![8, 1005])]);
    let rates = range(&store, "latency", Reduce::Rate, &[]);
    assert_eq!(rates[0][1..], [Some(0.3), Some(1.0), None]);
}

/// Scenario: the process restarts and has counted more than before when it is first seen; only its start time tells.
/// Guarantees: everything since the new start counts, and the old count is not taken off.
#[test]
fn h3_a_new_start_is_a_reset_however_large_the_count() {
    let place = Place::new();
    let store = place.open();
    put(&store, 1, vec![exponential(0, 10, 3, 0, vec![10]), exponential(15, 20, 3, 0, vec![50])]);
    let rates = range(&store, "latency", Reduce::Rate, &[]);
    assert_eq!(rates[0][1], Some(10.0), "50 in the 5 s since the start");
}

/// Scenario: one name is a gauge of one service and a sum and a histogram of others. Guarantees: each question is answered
/// for the kinds that it has a meaning for, and says which it left out; one that fits none is an error.
#[test]
fn h5_one_name_of_two_kinds_is_answered_per_kind() {
    let place = Place::new();
    let store = place.open();
    let sum = |at, value| {
        let data_points = vec![number(Vec::new(), 0, at, value)];
        Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic: true })
    };
    put(
        &store,
        1,
        vec![gauge(1, 20.0), metric("temperature", "Cel", sum(1, 1.0)), metric("temperature", "Cel", sum(11, 6.0))],
    );
    let value = ask(&store, "temperature", Reduce::Value);
    assert_eq!((value.series.len(), value.left_out.len()), (2, 0));
    let rate = ask(&store, "temperature", Reduce::Rate);
    assert_eq!((rate.series.len(), rate.series[0].series.kind.name()), (1, "sum"));
    let (kind, count, why) = &rate.left_out[0];
    assert_eq!((*kind, *count), ("gauge", 1));
    assert!(why.to_string().contains("no rate"));
    let query =
        MetricQuery { name: "temperature".into(), steps: steps(4), reduce: Reduce::Quantile(0.5), matches: Vec::new() };
    assert!(store.scoped(&Scope::whole_store()).metric_range(&query).is_err());
}

/// Scenario: int64 at the ends of its type and around 2^53, counts beyond 2^63, NaN and infinities; counters that large.
/// Guarantees: each comes back as it was sent, and their difference is exact.
#[test]
fn h7_numbers_are_exact() {
    let place = Place::new();
    let store = place.open();
    let int = |at: u64, value: i64| NumberDataPoint {
        value: Some(number_data_point::Value::AsInt(value)),
        ..number(Vec::new(), 0, at, 0.0)
    };
    let points = [i64::MAX, i64::MIN, 9_007_199_254_740_993, -1];
    let data_points = points.iter().enumerate().map(|(place, value)| int(place as u64 * 10, *value)).collect();
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0];
    let float_points = floats.iter().enumerate().map(|(place, value)| number(Vec::new(), 0, place as u64 * 10, *value));
    let sum = |value: i64, at| {
        let data_points = vec![int(at, value)];
        metric("calls", "1", Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic: true }))
    };
    put(
        &store,
        1,
        vec![
            metric("ints", "1", Data::Gauge(Gauge { data_points })),
            metric("floats", "1", Data::Gauge(Gauge { data_points: float_points.collect() })),
            sum(9_007_199_254_740_992, 10),
            sum(9_007_199_254_740_993, 20),
        ],
    );
    let found = ask(&store, "ints", Reduce::Value).series[0].values.clone();
    assert_eq!(found, points.map(|value| Some(Number::Int(value))));
    let found = ask(&store, "floats", Reduce::Value).series[0].values.clone();
    assert!(found.iter().zip(floats).all(|(found, value)| found.unwrap().as_f64().to_bits() == value.to_bits()));
    assert_eq!(range(&store, "calls", Reduce::Rate, &[])[0][1], Some(0.1));
}

/// Scenario: two live agents under one name, each with its own epoch, count the same series, one far ahead of the other.
/// Guarantees: the rate is the sum of what both counted, in heads and in packs; no restart is made up (P6).
#[test]
fn u2_two_agents_of_one_name_are_two_series() {
    let place = Place::new();
    let store = place.open();
    for at in 1..=4u64 {
        for (epoch, ahead) in [(7, 0.0), (8, 5000.0)] {
            let section =
                metrics("orders", vec![calls(&[("STATUS_CODE_UNSET", 0, at * 10, ahead + 10.0 * at as f64)])]);
            store_all(&store, vec![frame_of(epoch, Lane::Metrics, at, &[SectionRef::Metrics(&section)])]);
        }
        if at == 2 {
            pack_all(&store);
        }
    }
    let query = RedQuery { service: Some("orders".into()), operation: None, device: None, steps: steps(4) };
    let red = store.scoped(&Scope::whole_store()).red(&query).unwrap();
    assert_eq!(red.rate[1..3], [Some(2.0), Some(2.0)]);
}

/// Scenario: 300 series asked for in 11,000 steps. Guarantees: refused with the numbers before values are made (P9).
#[test]
fn h9_cells_are_bounded() {
    let place = Place::new();
    let store = place.open();
    let data_points = (0..300).map(number_of).collect();
    put(&store, 1, vec![metric("wide", "1", Data::Gauge(Gauge { data_points }))]);
    let ask = |count: usize| {
        let steps = Steps { from: NOW, step_ns: SECOND, count };
        let query = MetricQuery { name: "wide".into(), steps, reduce: Reduce::Value, matches: Vec::new() };
        store.scoped(&Scope::whole_store()).metric_range(&query)
    };
    assert_eq!(ask(1000).unwrap().series.len(), 300);
    let error = ask(11_000).unwrap_err();
    assert!(error.what.contains("3300000 values"), "{error}");
}

fn number_of(series: usize) -> NumberDataPoint {
    number(vec![text("series", &series.to_string())], 0, 1, 1.0)
}
