//! The whole vessel against a receiver in this process.

use super::*;
use crate::otlp::{Inbox, Protocol, Received, Receiver};
use model::{Signal, SpanId, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::watch;

fn options(protocol: Protocol) -> Options {
    Options {
        seed: 11,
        ramp: Ramp { users: 0.2, speed: 400.0 },
        boundary_every: Some(20),
        protocol,
        batch_delay: Duration::from_millis(100),
        metrics_every: Duration::from_millis(200),
        spread: Duration::from_millis(150),
        log_file: None,
        remember: true,
        patience: Duration::from_secs(20),
    }
}

/// Runs the vessel for a moment with a pause in it, while the receiver refuses some requests.
async fn run(protocol: Protocol) -> (Manifest, Totals, Vec<Received>) {
    let inbox = Inbox { kept: Some(Vec::new()), refuse_next: 5, ..Inbox::default() };
    let receiver = Receiver::start(protocol, inbox).await.unwrap();
    let (_keep, target) = watch::channel(receiver.address);
    let vessel = Vessel::start(options(protocol), &target).unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    vessel.pause().await.unwrap();
    let paused = vessel.totals();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(vessel.totals().requests, paused.requests, "users acted while they were to pause");
    assert_eq!(paused.tallies[0].taken, paused.spans, "a pause waits until all was taken");
    vessel.resume().await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    let (manifest, totals) = vessel.stop().await.unwrap();
    let kept = receiver.inbox.lock().unwrap().kept.take().unwrap();
    (manifest, totals, kept)
}

fn confirmed(received: &[Received], signal: Signal) -> impl Iterator<Item = &Received> {
    received.iter().filter(move |request| request.signal == signal && request.confirmed)
}

async fn everything_planned_arrives(protocol: Protocol) {
    let (manifest, totals, received) = run(protocol).await;
    assert!(manifest.requests.len() > 50, "only {} requests", manifest.requests.len());
    assert_eq!((totals.not_taken(), totals.retries()), (0, 5), "{totals:?}");

    let mut spans: BTreeMap<TraceId, BTreeSet<SpanId>> = BTreeMap::new();
    let mut requests_with: BTreeMap<TraceId, u64> = BTreeMap::new();
    for request in confirmed(&received, Signal::Traces) {
        let export = ExportTraceServiceRequest::decode(request.body.clone()).unwrap();
        let mut traces = BTreeSet::new();
        for span in export.resource_spans.iter().flat_map(|one| &one.scope_spans).flat_map(|one| &one.spans) {
            let trace = TraceId::from_bytes(&span.trace_id).unwrap();
            traces.insert(trace);
            assert!(spans.entry(trace).or_default().insert(SpanId::from_bytes(&span.span_id).unwrap()));
        }
        traces.into_iter().for_each(|trace| *requests_with.entry(trace).or_default() += 1);
    }
    let planned: BTreeMap<TraceId, BTreeSet<SpanId>> =
        manifest.requests.iter().map(|request| (request.trace, request.spans.iter().copied().collect())).collect();
    assert_eq!(spans, planned);
    assert!(requests_with.values().any(|count| *count > 1), "no trace was split over requests");

    let mut lines = BTreeSet::new();
    for request in confirmed(&received, Signal::Logs) {
        let export = ExportLogsServiceRequest::decode(request.body.clone()).unwrap();
        for line in export.resource_logs.iter().flat_map(|one| &one.scope_logs).flat_map(|one| &one.log_records) {
            let id = line.attributes.iter().find(|found| found.key == LINE_ID).unwrap();
            assert!(lines.insert(format!("{:?}", id.value)), "{id:?} came twice");
        }
    }
    assert_eq!(lines.len() as u64, manifest.lines());

    let points: usize = confirmed(&received, Signal::Metrics)
        .map(|request| {
            let export = ExportMetricsServiceRequest::decode(request.body.clone()).unwrap();
            let metrics = export.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
            metrics.flat_map(|one| one.metrics).map(|metric| points_of(&metric)).sum::<usize>()
        })
        .sum();
    assert_eq!(points, manifest.points.len());

    // What was refused came again with the same bytes under the same key.
    for refused in received.iter().filter(|request| !request.confirmed) {
        let again = Received { confirmed: true, ..refused.clone() };
        assert!(received.contains(&again) || received.iter().filter(|other| other == &refused).count() > 1);
        assert!(refused.key.is_some());
    }
}

fn points_of(metric: &opentelemetry_proto::tonic::metrics::v1::Metric) -> usize {
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    match metric.data.as_ref().unwrap() {
        Data::Sum(sum) => sum.data_points.len(),
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        other => panic!("the vessel has no {other:?}"),
    }
}

/// Scenario: the vessel runs over gRPC, pauses, goes on and stops, while the receiver refuses the first five requests
/// (seed 11). Guarantees: exactly what the manifest says was taken, once; refused requests came again unchanged.
#[tokio::test]
async fn over_grpc_everything_planned_arrives() {
    everything_planned_arrives(Protocol::Grpc).await;
}

/// Scenario and guarantees as over gRPC, over HTTP with protobuf.
#[tokio::test]
async fn over_http_everything_planned_arrives() {
    everything_planned_arrives(Protocol::Http).await;
}
