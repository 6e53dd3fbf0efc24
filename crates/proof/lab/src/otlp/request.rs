//! Export requests of the three signals, under one resource and scope.

use bytes::Bytes;
use model::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::{DecodeError, Message};

/// An encoded `ExportTraceServiceRequest`.
pub(crate) fn traces_request(resource: Resource, scope: InstrumentationScope, spans: Vec<Span>) -> Bytes {
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
}

/// An encoded `ExportLogsServiceRequest`.
pub(crate) fn logs_request(resource: Resource, scope: InstrumentationScope, log_records: Vec<LogRecord>) -> Bytes {
    let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
}

/// An encoded `ExportMetricsServiceRequest`.
pub(crate) fn metrics_request(resource: Resource, scope: InstrumentationScope, metrics: Vec<Metric>) -> Bytes {
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

/// How many records an answer says were not taken, and why (`partial_success`).
pub(crate) fn rejected(signal: Signal, answer: Bytes) -> Result<(u64, String), DecodeError> {
    let (count, message) = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(answer)?
            .partial_success
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(answer)?
            .partial_success
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(answer)?
            .partial_success
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
    }
    .unwrap_or_default();
    Ok((u64::try_from(count).unwrap_or(0), message))
}
