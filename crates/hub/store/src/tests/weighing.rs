//! Few bytes that stand for many rows, values that nest deeply, sequences that nobody gives out.

use model::Lane;
use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Metric, MetricsData, ResourceMetrics, ScopeMetrics,
};
use wire::{Gap, GapReason, SectionRef};

use super::*;
use crate::query::{Scope, TimeRange};
use crate::{FrameRefused, MAX_SEQ};

/// Memory that spans and their attributes take, piece by piece.
fn held(incoming: &Incoming) -> usize {
    let value = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.capacity(),
        _ => 0,
    };
    let rows = &incoming.records.spans;
    let span = |span: &Span| {
        span.name.capacity()
            + span.trace_id.capacity()
            + span.span_id.capacity()
            + span.parent_span_id.capacity()
            + span.attributes.capacity() * size_of::<KeyValue>()
            + span.attributes.iter().map(|pair| pair.key.capacity() + value(&pair.value)).sum::<usize>()
    };
    rows.capacity() * size_of::<crate::rows::SpanRow>() + rows.iter().map(|row| span(&row.span)).sum::<usize>()
}

/// Scenario: spans without anything, ordinary ones, and ones with many small attributes. Guarantees: what is charged is at
/// least what they take, and not a multiple of it (P9).
#[test]
fn h8_what_is_charged_is_what_is_held() {
    let attributes = |count: usize| (0..count).map(|number| text(&format!("key-{number}"), "value")).collect();
    let ordinary = |number: u8| Span { attributes: attributes(8), ..span(number, 1, 0, NOW, SECOND, false) };
    let of = [
        vec![Span::default(); 5000],
        (0..200).map(ordinary).collect(),
        vec![Span { attributes: attributes(500), ..Span::default() }; 20],
        vec![Span { attributes: vec![KeyValue::default(); 3000], ..Span::default() }],
    ];
    for (case, of) in of.into_iter().enumerate() {
        let incoming = frame(Lane::Traces, 1, &[SectionRef::Traces(&spans("orders", of))]);
        let (charged, held) = (incoming.cost(), held(&incoming));
        assert!(charged >= held && charged <= 4 * held + 8192, "case {case}: {charged} for {held}");
    }
}

/// Scenario: 300 points of one series, and one point of each of 300, with and without a table of shared series, twice.
/// Guarantees: what is charged is at least what rows, points and series take that nothing else is charged for, and no
/// multiple of it; with a table the second request is charged for its points alone (P9).
#[test]
fn h8_points_are_charged_by_what_they_hold() {
    let points = |series: u64| {
        let point = |number: u64| opentelemetry_proto::tonic::metrics::v1::NumberDataPoint {
            attributes: vec![text("series", &(number % series).to_string()), text("room", "engine")],
            time_unix_nano: NOW + number,
            ..Default::default()
        };
        let data_points = (0..300).map(point).collect();
        let gauge = opentelemetry_proto::tonic::metrics::v1::Gauge { data_points };
        let metrics = vec![Metric { name: "heat".into(), data: Some(Data::Gauge(gauge)), ..Metric::default() }];
        let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let resource = ResourceMetrics { resource: resource("orders"), scope_metrics, ..ResourceMetrics::default() };
        MetricsData { resource_metrics: vec![resource] }.encode_to_vec()
    };
    for series in [1, 300] {
        let bytes = frame_bytes(Lane::Metrics, 1, &[SectionRef::Metrics(&points(series))]);
        let shared = SharedSeries::new(1 << 20);
        for table in [SharedSeries::default(), shared] {
            for time in [1, 2] {
                let incoming = Incoming::from_frame(bytes.clone(), &table).unwrap();
                let rows = &incoming.records.series;
                let row = |row: &crate::rows::SeriesRow| {
                    let own =
                        if table.bytes() == 0 { size_of::<crate::rows::Series>() + row.series.key.len() } else { 0 };
                    row.points.capacity() * size_of::<crate::rows::Point>() + own
                };
                let held = rows.capacity() * size_of::<crate::rows::SeriesRow>() + rows.iter().map(row).sum::<usize>();
                let charged = incoming.cost();
                assert!(charged >= held && charged <= 3 * held + 8192, "{series}, {time}: {charged} for {held}");
            }
        }
    }
}

/// Scenario: a frame of a few hundred bytes that stands for 200,000 empty spans; a request of as many; one resource of
/// 60 KB with 5,000 scopes; 100,000 points of one metric; 2,000 of one with a long description; empty exponential histograms. Guarantees:
/// refused before anything is decoded, with the reason; the frame is kept aside and told as lost (P9).
#[test]
fn h8_few_bytes_do_not_become_gigabytes() {
    let bomb = spans("orders", vec![Span::default(); 200_000]);
    let bytes = frame_bytes(Lane::Traces, 1, &[SectionRef::Traces(&bomb)]);
    assert!(bytes.len() < 500, "{}", bytes.len());
    assert!(matches!(
        Incoming::from_frame(bytes.clone(), &SharedSeries::default()),
        Err(FrameRefused::TooHeavy { .. })
    ));
    let place = Place::new();
    let store = place.open();
    assert_eq!(
        store_all(&store, vec![Incoming::from_whole_block(bytes, &SharedSeries::default()).unwrap()]),
        [FrameOutcome::Unreadable]
    );
    assert_eq!(store.stats().head_bytes, 0);
    assert!(store.scoped(&Scope::whole_store()).ledger()[0].lost[0].reason == "hub-frame-unreadable");
    let refused = |section: SectionRef<'_>| {
        let refused = Incoming::from_otlp(section, Stamp::default(), &SharedSeries::default()).err().unwrap();
        assert!(refused.to_string().contains("MiB of memory"), "{refused}");
    };
    refused(SectionRef::Traces(&bomb));
    let scope = ScopeSpans { spans: vec![Span::default()], ..ScopeSpans::default() };
    let resource = Some(Resource { attributes: vec![text("long", &"x".repeat(60_000))], ..Resource::default() });
    let resource_spans = vec![ResourceSpans { resource, scope_spans: vec![scope; 5000], ..ResourceSpans::default() }];
    refused(SectionRef::Traces(&TracesData { resource_spans }.encode_to_vec()));
    let point = ExponentialHistogramDataPoint::default();
    let of = |count: usize, description: &str| {
        let data = Data::ExponentialHistogram(ExponentialHistogram {
            data_points: vec![point.clone(); count],
            aggregation_temporality: 2,
        });
        let metric =
            Metric { name: "m".into(), description: description.into(), data: Some(data), ..Metric::default() };
        let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
        MetricsData { resource_metrics }.encode_to_vec()
    };
    refused(SectionRef::Metrics(&of(100_000, "")));
    refused(SectionRef::Metrics(&of(2_000, &"d".repeat(50_000))));
}

/// Scenario: many requests, each of which is allowed, whose rows take far more memory than their bytes. Guarantees: intake
/// says that it is busy before heads are larger than their limit, and goes on after compaction (P9).
#[test]
fn h8_heads_are_full_by_what_they_hold() {
    let mut place = Place::new();
    place.options.head_bytes = 16 << 20;
    let store = place.open();
    let of = spans("orders", vec![Span { trace_id: vec![1; 16], ..Span::default() }; 8000]);
    let send = || {
        store.store(
            vec![Incoming::from_otlp(SectionRef::Traces(&of), Stamp::default(), &SharedSeries::default()).unwrap()],
            NOW,
        )
    };
    let taken = (0..100).take_while(|_| send().is_ok()).count();
    assert!((1..20).contains(&taken), "{taken} requests of {} bytes", of.len());
    assert!(store.stats().head_bytes <= 16 << 20);
    assert!(matches!(send().unwrap_err(), crate::StoreError::Busy { .. }));
    pack_all(&store);
    send().unwrap();
}

fn nested(depth: u32) -> AnyValue {
    (0..depth).fold(AnyValue { value: Some(Value::StringValue("core".into())) }, |inner, level| {
        let value = if level % 2 == 0 {
            Value::ArrayValue(ArrayValue { values: vec![inner] })
        } else {
            let pair = KeyValue { key: "k".into(), value: Some(inner), ..KeyValue::default() };
            Value::KvlistValue(KeyValueList { values: vec![pair] })
        };
        AnyValue { value: Some(value) }
    })
}

/// Scenario: an attribute nested as deeply as the device takes it, beside ordinary spans; through heads, packs, a merge and a
/// restart; and one deeper. Guarantees: what one end accepts the other reads; what is deeper is refused with a reason.
#[test]
fn i8_both_ends_read_the_same_depth() {
    let mut place = Place::new();
    place.options.merge_at = 2;
    let store = place.open();
    let deep = |depth: u32| {
        let pair = KeyValue { key: "deep".into(), value: Some(nested(depth)), ..KeyValue::default() };
        let of = vec![
            span(1, 1, 0, NOW, SECOND, false),
            Span { attributes: vec![pair], ..span(1, 2, 1, NOW, SECOND, false) },
        ];
        spans("orders", of)
    };
    let most = deep(model::otlp::MAX_DEPTH);
    for seq in 1..=3 {
        assert_eq!(
            store_all(&store, vec![frame(Lane::Traces, seq, &[SectionRef::Traces(&most)])]),
            [FrameOutcome::Stored]
        );
        pack_all(&store);
    }
    assert_eq!(store.scoped(&Scope::whole_store()).trace(model::TraceId([1; 16])).unwrap().stored_spans, 6);
    drop(store);
    let store = place.open();
    assert_eq!(store.scoped(&Scope::whole_store()).trace(model::TraceId([1; 16])).unwrap().stored_spans, 6);
    assert_eq!(store.damages(), []);
    let beyond = deep(model::otlp::MAX_DEPTH + 1);
    let refused =
        Incoming::from_otlp(SectionRef::Traces(&beyond), Stamp::default(), &SharedSeries::default()).err().unwrap();
    assert!(refused.to_string().contains("deeper"), "{refused}");
}

/// Scenario: frames with sequence 0, 2^64-2 and 2^64-1, and with gap records up to there. Guarantees: refused; the lane of the
/// device that bears the name goes on as if nothing had come.
#[test]
fn h13_sequences_are_bounded() {
    let section = spans("orders", vec![span(1, 1, 0, NOW, SECOND, false)]);
    for seq in [0, u64::MAX - 1, u64::MAX, MAX_SEQ + 1] {
        let bytes = frame_bytes(Lane::Traces, seq, &[SectionRef::Traces(&section)]);
        assert!(
            matches!(Incoming::from_whole_block(bytes, &SharedSeries::default()), Err(FrameRefused::Bounds(_))),
            "{seq}"
        );
    }
    let gap = |first, last| Gap {
        lane: Lane::Traces,
        first,
        last,
        reason: GapReason::Evicted,
        records: 1,
        start_ns: NOW,
        end_ns: NOW,
    };
    for (first, last) in [(1, u64::MAX), (MAX_SEQ + 1, MAX_SEQ + 1)] {
        let bytes = frame_bytes(Lane::Traces, 1, &[SectionRef::Gap(&gap(first, last))]);
        assert!(matches!(Incoming::from_frame(bytes, &SharedSeries::default()), Err(FrameRefused::Bounds(_))));
    }
    let place = Place::new();
    let store = place.open();
    assert_eq!(store_all(&store, vec![one_span(MAX_SEQ, 1, NOW), one_span(1, 2, NOW)]), [FrameOutcome::Stored; 2]);
}

/// Scenario: a device declares a loss and does not know its times, as after a hub was restored from a backup. Guarantees: the
/// loss lies between what was complete and the frame that tells it; answers there are not called complete.
#[test]
fn h2_a_loss_of_unknown_time_is_not_complete() {
    let place = Place::new();
    let store = place.open();
    let head = |next| crate::Head { lane: Lane::Traces, next, oldest: 1, watermark_ns: NOW };
    let hello = |next| crate::Contact {
        epoch: 7,
        wall_ns: NOW,
        synchronised: true,
        version: String::new(),
        heads: vec![head(next)],
        settles_ns: None,
        stops: false,
    };
    store.hello("vessel-1", &hello(1), NOW - 20 * SECOND).unwrap();
    let gap = Gap {
        lane: Lane::Traces,
        first: 1,
        last: 4,
        reason: GapReason::HubRestore,
        records: 0,
        start_ns: 0,
        end_ns: 0,
    };
    store_all(&store, vec![frame(Lane::Traces, 5, &[SectionRef::Gap(&gap)])]);
    store.hello("vessel-1", &hello(6), NOW).unwrap();
    let range = TimeRange { from: NOW - 100 * SECOND, to: NOW + SECOND };
    let told = store.scoped(&Scope::whole_store()).completeness(&[model::Signal::Traces], range, NOW + SECOND);
    assert!(!told.complete);
    assert_eq!(told.devices[0].interval.reason.as_deref(), Some("hub-restore"));
}
