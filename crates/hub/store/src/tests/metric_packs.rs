//! Metrics as columns: late and repeated points through every merge, packs of the first hubs, damage, selection by labels.

use std::collections::BTreeMap;
use std::fs;

use columns::{Chunk, Number, Values};
use model::{Lane, Signal};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, MetricsData,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Summary, SummaryDataPoint, number_data_point,
};
use wire::SectionRef;

use super::*;
use crate::compact::{Compactor, Stop};
use crate::query::{Label, LabelMatcher, Scope, SelectedSeries, TimeRange};
use crate::repair;

const DAY: u64 = 86_400 * SECOND;

fn put(store: &Store, seq: u64, metrics: Vec<Metric>) {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let resource = ResourceMetrics { resource: resource("orders"), scope_metrics, ..ResourceMetrics::default() };
    let section = MetricsData { resource_metrics: vec![resource] }.encode_to_vec();
    let outcome = store_all(store, vec![frame(Lane::Metrics, seq, &[SectionRef::Metrics(&section)])]);
    assert_eq!(outcome, [FrameOutcome::Stored]);
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.into(), data: Some(data), ..Metric::default() }
}

fn number(room: &str, at: u64, value: i64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![text("room", room)],
        time_unix_nano: at,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

fn gauge(points: Vec<NumberDataPoint>) -> Metric {
    metric("heat", Data::Gauge(Gauge { data_points: points }))
}

fn select(store: &Store, matchers: &[LabelMatcher]) -> Vec<SelectedSeries> {
    store.scoped(&Scope::whole_store()).select(matchers, TimeRange::ALL).unwrap()
}

fn named(store: &Store, name: &str) -> Vec<Chunk> {
    select(store, &[LabelMatcher::name(name)]).into_iter().map(|found| found.points).collect()
}

/// The points of the gauge by room.
fn rooms(store: &Store) -> BTreeMap<String, Vec<(u64, i64)>> {
    let found = select(store, &[LabelMatcher::name("heat")]).into_iter().map(|SelectedSeries { series, points }| {
        let Values::Numbers(values) = points.values else { panic!("{}", series.name) };
        let value = |number: Number| if let Number::Int(value) = number { value } else { panic!("{number:?}") };
        let room = crate::rows::find_text(&series.attributes, "room").unwrap().to_owned();
        (room, points.times.into_iter().zip(values.into_iter().map(value)).collect())
    });
    found.collect()
}

fn metric_files(place: &Place) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(place.path().join("packs")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

/// Scenario: 120 frames of points of three series over two days, most of them late, many for a time that has a value
/// already; packed, merged by two and by eight, days over or not, the store opened anew. Guarantees: at every moment each
/// time has the value that came last, whatever was merged with what (P8).
#[test]
fn of_one_time_the_value_that_came_last_counts_through_every_merge() {
    for (merge_at, is_over) in [(2, false), (8, false), (8, true)] {
        let mut place = Place::new();
        place.options.merge_at = merge_at;
        let mut store = place.open();
        let mut model: BTreeMap<String, BTreeMap<u64, i64>> = BTreeMap::new();
        let mut seed = 77u64 + merge_at as u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for seq in 1..=120u64 {
            let points = (0..5).map(|_| {
                let (room, at) = (["engine", "bridge", "mess"][random(3) as usize], NOW + random(200) * 1000 * SECOND);
                let value = random(1000) as i64;
                model.entry(room.into()).or_default().insert(at, value);
                number(room, at, value)
            });
            // Within one frame of two points of one time nobody says which came last.
            let mut latest: BTreeMap<(String, u64), NumberDataPoint> = BTreeMap::new();
            for point in points.collect::<Vec<_>>() {
                let room = crate::rows::find_text(&point.attributes, "room").unwrap().to_owned();
                latest.insert((room, point.time_unix_nano), point);
            }
            put(&store, seq, vec![gauge(latest.into_values().collect())]);
            if random(3) == 0 {
                store.compact(if is_over { NOW + 9 * DAY } else { NOW + 3600 * SECOND }).unwrap();
            }
            if random(20) == 0 {
                drop(store);
                store = place.open();
            }
            if seq % 10 == 0 {
                let expected: BTreeMap<String, Vec<(u64, i64)>> =
                    model.iter().map(|(room, points)| (room.clone(), points.clone().into_iter().collect())).collect();
                assert_eq!(rooms(&store), expected, "after {seq} of merge_at {merge_at}");
            }
        }
        assert!(store.stats().merged_packs > 0);
    }
}

/// Scenario: a histogram whose buckets change, an exponential histogram with both sides, a summary, numbers of both types
/// and without a value, stale markers, starts; asked from heads, from a pack, from merged packs. Guarantees: every answer
/// is the same.
#[test]
fn every_kind_comes_back_as_it_was_sent() {
    let mut place = Place::new();
    place.options.merge_at = 2;
    let store = place.open();
    let reference = Place::new();
    let reference = reference.open();
    for seq in 1..=4u64 {
        let at = |step: u64| NOW + (seq * 10 + step) * SECOND;
        let side = |offset| Some(Buckets { offset, bucket_counts: vec![seq, 2, 3] });
        let histogram = |step: u64| HistogramDataPoint {
            start_time_unix_nano: NOW,
            time_unix_nano: at(step),
            count: 6 + seq,
            sum: (seq != 2).then_some(1.5),
            min: Some(0.25),
            bucket_counts: if seq == 3 { vec![6 + seq] } else { vec![1, 2, 3 + seq] },
            explicit_bounds: if seq == 3 { Vec::new() } else { vec![1.0, 2.0] },
            flags: u32::from(seq == 4),
            ..HistogramDataPoint::default()
        };
        let exponential = ExponentialHistogramDataPoint {
            time_unix_nano: at(1),
            count: 20,
            scale: 3 - seq as i32,
            zero_count: 1,
            zero_threshold: 1e-6,
            positive: side(seq as i32),
            negative: side(-7).filter(|_| seq % 2 == 0),
            ..ExponentialHistogramDataPoint::default()
        };
        let quantile_values = vec![ValueAtQuantile { quantile: 0.5, value: seq as f64 }];
        let summary = SummaryDataPoint {
            time_unix_nano: at(1),
            count: seq,
            sum: 2.5,
            quantile_values,
            ..SummaryDataPoint::default()
        };
        let floating = NumberDataPoint {
            value: if seq == 2 { None } else { Some(number_data_point::Value::AsDouble(f64::from(seq as u32) / 7.0)) },
            flags: u32::from(seq == 2),
            ..number("engine", at(2), 0)
        };
        let metrics = vec![
            metric(
                "wide",
                Data::Histogram(Histogram {
                    data_points: vec![histogram(1), histogram(2)],
                    aggregation_temporality: 2,
                }),
            ),
            metric(
                "deep",
                Data::ExponentialHistogram(ExponentialHistogram {
                    data_points: vec![exponential],
                    aggregation_temporality: 2,
                }),
            ),
            metric("told", Data::Summary(Summary { data_points: vec![summary] })),
            gauge(vec![number("engine", at(1), i64::MAX - seq as i64), floating]),
        ];
        put(&reference, seq, metrics.clone());
        put(&store, seq, metrics);
        pack_all(&store);
    }
    assert!(store.stats().merged_packs > 0 && store.stats().head_frames == 0);
    for name in ["wide", "deep", "told", "heat"] {
        let (found, expected) = (named(&store, name), named(&reference, name));
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found, expected, "{name}");
    }
}

/// Scenario: a metric pack as the first hubs wrote it, with two points of one time from two frames; taken in, written anew
/// by the compactor, with newer points of that time beside it. Guarantees: its points are found before and after, what
/// came last counts, and what devices send again is known.
#[test]
fn packs_of_the_first_hubs_are_read_and_written_anew() {
    let place = Place::new();
    fs::create_dir_all(place.path().join("packs")).unwrap();
    let file = place.path().join("packs/0000000000000001.pack");
    fs::write(&file, include_bytes!("fixtures/metrics-0.pack")).unwrap();
    let repaired = repair(place.path(), false).unwrap();
    assert_eq!(repaired.damages, [], "{:?}", repaired.lines);
    let store = place.open();
    let before: Vec<Vec<Chunk>> =
        ["temperature", "latency", "traces.span.metrics.calls", "traces.span.metrics.duration"]
            .map(|name| named(&store, name))
            .to_vec();
    assert_eq!(before.iter().map(|found| found[0].len()).collect::<Vec<_>>(), [3, 1, 1, 2]);
    assert_eq!(before[0][0].values, Values::Numbers([1.0, 2.0, 4.0].map(Number::Float).to_vec()));
    pack_all(&store);
    assert!(!file.try_exists().unwrap());
    let files = metric_files(&place);
    assert_eq!((files.len(), files[0].1[4]), (1, 1));
    let after = ["temperature", "latency", "traces.span.metrics.calls", "traces.span.metrics.duration"];
    assert_eq!(after.map(|name| named(&store, name)).to_vec(), before);
    drop(store);
    fs::remove_dir_all(place.path().join("db")).unwrap();
    assert_eq!(repair(place.path(), false).unwrap().damages, []);
    let store = place.open();
    assert_eq!(after.map(|name| named(&store, name)).to_vec(), before);
    let section = SectionRef::Metrics(&[]);
    assert_eq!(store_all(&store, vec![frame(Lane::Metrics, 2, &[section])]), [FrameOutcome::Quarantined]);
}

fn two_packs(place: &Place) {
    let store = place.open();
    for seq in 1..=2u64 {
        let points = (0..40).map(|at| number("engine", NOW + (seq * 40 + at) * SECOND, (at * at * seq % 97) as i64));
        put(&store, seq, vec![gauge(points.collect())]);
        pack_all(&store);
    }
}

/// Scenario: one byte of a metric pack is flipped, at every few bytes of it. Guarantees: either the answer is whole, or it
/// says that it is not; the other pack's points are always there; `check` finds it.
#[test]
fn h2_a_flipped_byte_of_a_metric_pack_is_told_wherever_it_is() {
    let mut place = Place::new();
    place.options.merge_at = 100;
    two_packs(&place);
    let (file, whole) = metric_files(&place)[0].clone();
    for at in (0..whole.len()).step_by(5).chain(whole.len() - 24..whole.len()) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x21;
        fs::write(&file, flipped).unwrap();
        let store = place.open();
        let found = named(&store, "heat");
        let range = TimeRange { from: NOW, to: NOW + 200 * SECOND };
        let told = store.scoped(&Scope::whole_store()).completeness(&[Signal::Metrics], range, NOW + 300 * SECOND);
        let is_whole = found[0].len() == 80;
        assert!(is_whole || (found[0].len() == 40 && !told.complete), "byte {at}: {} points", found[0].len());
        store.scrub(1 << 30);
        assert!(!store.damages().is_empty() || is_whole, "byte {at}");
    }
}

/// Scenario: the hub dies while two metric packs are merged: after the new file, and after the batch that names it.
/// Guarantees: after the next start every point is there once.
#[test]
fn a_crash_while_metric_packs_are_merged_loses_and_doubles_nothing() {
    for stop in [Stop::AfterFiles, Stop::Never] {
        let mut place = Place::new();
        place.options.merge_at = 100;
        two_packs(&place);
        place.options.merge_at = 2;
        let store = place.open();
        let result = Compactor(&store.inner).run(NOW + 3600 * SECOND, stop);
        assert_eq!(result.is_err(), stop == Stop::AfterFiles);
        drop(store);
        let store = place.open();
        assert_eq!(metric_files(&place).len(), if stop == Stop::Never { 1 } else { 2 });
        assert_eq!(rooms(&store)["engine"].len(), 80);
    }
}

/// Scenario: series of two devices' rooms, one with an attribute of 5,000 letters, in heads, then in a pack; asked by
/// equality, by what they must not be, by a label that they lack, by a label that may be of point or resource. Guarantees:
/// heads and packs answer alike, as Prometheus' matchers do; labels and their values can be listed.
#[test]
fn series_are_selected_by_labels_alike_in_heads_and_packs() {
    let place = Place::new();
    let store = place.open();
    let long = "x".repeat(5000);
    let rooms = ["engine", "bridge", long.as_str()];
    put(&store, 1, vec![gauge(rooms.map(|room| number(room, NOW, 1)).to_vec())]);
    let of = |labels: &[Label], exact: Option<&str>, fits: fn(&str) -> bool| {
        let matcher = LabelMatcher { labels: labels.to_vec(), exact: exact.map(str::to_owned), fits: Box::new(fits) };
        select(&store, &[LabelMatcher::name("heat"), matcher]).len()
    };
    let room = || Label::Attribute("room".into());
    let service = || Label::Resource("service.name".into());
    let ask = || {
        let long_one = |value: &str| value.len() == 5000;
        [
            of(&[room()], Some("engine"), |value| value == "engine"),
            of(&[room()], None, |value| value != "engine"),
            of(&[room()], None, long_one),
            of(&[Label::Attribute("none".into())], Some(""), str::is_empty),
            of(&[Label::Attribute("none".into()), service()], Some("orders"), |value| value == "orders"),
            of(&[Label::Device], Some("vessel-2"), |value| value == "vessel-2"),
        ]
    };
    let expected = [1, 2, 1, 3, 3, 0];
    assert_eq!(ask(), expected);
    pack_all(&store);
    assert_eq!(store.stats().head_frames, 0);
    assert_eq!(ask(), expected);
    let scoped = store.scoped(&Scope::whole_store());
    let labels = scoped.metric_labels(TimeRange::ALL);
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), [Label::Name, Label::Device, room(), service()]);
    assert_eq!(
        scoped.metric_label_values(&room(), TimeRange::ALL).into_iter().collect::<Vec<_>>(),
        ["bridge", "engine"]
    );
}
