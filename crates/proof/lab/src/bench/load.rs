//! The load of a typical device: 50 samples a second, 10 traces and 5 log records a minute, and among them requests close
//! to the limit of 256 KiB.

use crate::otlp::value::{attribute, int, text};
use crate::otlp::{logs_request, metrics_request, traces_request};
use crate::rng::Rng;
use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};

/// What one request may have at most: the agent's default.
pub(crate) const LIMIT: usize = 256 * 1024;
/// The size that large requests aim at: below the limit, with room for what surrounds the records.
const LARGE: usize = 250 * 1024;
/// The same of a single record: the agent takes none of more than 240 KiB.
const LARGE_LINE: usize = 236 * 1024;

/// Seconds between two exports of metrics.
pub(crate) const METRICS_SECONDS: u64 = 10;
/// Points of one export: 50 a second.
pub(crate) const POINTS: u64 = 50 * METRICS_SECONDS;
/// Seconds between two traces: 10 a minute.
pub(crate) const TRACE_SECONDS: u64 = 6;
/// Seconds between two log records: 5 a minute.
pub(crate) const LINE_SECONDS: u64 = 12;
/// Traces and lines in a minute.
const TRACES_PER_MINUTE: u64 = 60 / TRACE_SECONDS;
const LINES_PER_MINUTE: u64 = 60 / LINE_SECONDS;

/// One encoded request and how many records it has.
pub(crate) struct Request {
    pub(crate) body: Bytes,
    pub(crate) records: u64,
}

/// Makes the requests.
pub(crate) struct Load {
    rng: Rng,
    start_ns: u64,
    /// Minutes from one large trace, and one large line, to the next.
    large_minutes: u64,
    samples: u64,
    traces: u64,
    lines: u64,
}

impl Load {
    /// One trace and one line fill a large request every `large_minutes`.
    pub(crate) fn new(seed: u64, start_ns: u64, large_minutes: u64) -> Self {
        Self { rng: Rng::new(seed, 1), start_ns, large_minutes, samples: 0, traces: 0, lines: 0 }
    }

    /// An export of metrics: ten metrics of fifty series each, half of them gauges and half counters.
    pub(crate) fn metrics(&mut self, now_ns: u64) -> Request {
        const METRICS: u64 = 10;
        self.samples += 1;
        let metrics = (0..METRICS).map(|index| {
            let points = (0..POINTS / METRICS).map(|series| {
                let value = if index % 2 == 0 {
                    number_data_point::Value::AsDouble(20.0 + self.rng.between(0, 999) as f64 / 10.0)
                } else {
                    number_data_point::Value::AsInt((self.samples * (series + 1)).cast_signed())
                };
                NumberDataPoint {
                    attributes: vec![attribute("sensor", text(&format!("sensor-{series:02}")))],
                    start_time_unix_nano: self.start_ns,
                    time_unix_nano: now_ns,
                    value: Some(value),
                    ..NumberDataPoint::default()
                }
            });
            let data_points = points.collect();
            let data = if index % 2 == 0 {
                metric::Data::Gauge(Gauge { data_points })
            } else {
                let aggregation_temporality = AggregationTemporality::Cumulative.into();
                metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true })
            };
            Metric {
                name: format!("device.reading.{index}"),
                unit: "1".to_owned(),
                data: Some(data),
                ..Metric::default()
            }
        });
        Request { body: metrics_request(resource(), scope(), metrics.collect()), records: POINTS }
    }

    /// A trace that has just ended: five spans, or as many as fill a large request. Every fifth one failed, and so did
    /// every large one, so that it is kept, stored and sent.
    pub(crate) fn trace(&mut self, now_ns: u64) -> Request {
        self.traces += 1;
        let large = self.traces.is_multiple_of(TRACES_PER_MINUTE * self.large_minutes);
        let trace: [u8; 16] = self.rng.id();
        let root: [u8; 8] = self.rng.id();
        let mut spans = vec![self.span(trace, root, &[], now_ns)];
        if large || self.traces.is_multiple_of(5) {
            spans[0].status = Some(Status { code: StatusCode::Error.into(), message: "bus timeout".to_owned() });
        }
        // Length prefixes and the like add a few bytes to each span's own length.
        let mut bytes = prost::Message::encoded_len(&spans[0]);
        while if large { bytes < LARGE } else { spans.len() < 5 } {
            let id = self.rng.id();
            let span = self.span(trace, id, &root, now_ns);
            bytes += prost::Message::encoded_len(&span) + 4;
            spans.push(span);
        }
        let records = spans.len() as u64;
        Request { body: traces_request(resource(), scope(), spans), records }
    }

    /// A log record without a trace, or one with a dump that fills a large request.
    pub(crate) fn line(&mut self, now_ns: u64) -> Request {
        self.lines += 1;
        let mut body = format!("controller cycle {} finished in {} us", self.lines, self.rng.between(300, 900));
        if self.lines.is_multiple_of(LINES_PER_MINUTE * self.large_minutes) {
            body.push_str("; registers:");
            while body.len() < LARGE_LINE {
                body.push_str(&format!(" {:016x}", self.rng.bits()));
            }
        }
        let record = LogRecord {
            time_unix_nano: now_ns,
            observed_time_unix_nano: now_ns,
            severity_number: SeverityNumber::Info.into(),
            severity_text: "INFO".to_owned(),
            body: Some(crate::otlp::value::any(text(&body))),
            attributes: vec![attribute("unit", text("controller"))],
            ..LogRecord::default()
        };
        Request { body: logs_request(resource(), scope(), vec![record]), records: 1 }
    }

    fn span(&mut self, trace: [u8; 16], id: [u8; 8], parent: &[u8], now_ns: u64) -> Span {
        let length = self.rng.between(1_000_000, 90_000_000);
        Span {
            trace_id: trace.to_vec(),
            span_id: id.to_vec(),
            parent_span_id: parent.to_vec(),
            flags: 1,
            name: "control cycle".to_owned(),
            start_time_unix_nano: now_ns - length,
            end_time_unix_nano: now_ns,
            attributes: vec![
                attribute("device.register", int(self.rng.between(0, 65_535).cast_signed())),
                attribute("device.bus", text("modbus-1")),
                attribute("device.reply", text(&format!("{:032x}", u128::from(self.rng.bits()) << 32))),
            ],
            ..Span::default()
        }
    }
}

fn resource() -> Resource {
    let attributes = vec![attribute("service.name", text("controller")), attribute("service.version", text("1.4.2"))];
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "controller".to_owned(), ..InstrumentationScope::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the requests of one minute. Guarantees: the stated rates, one large request of traces and one of logs,
    /// all below the limit, and the large ones close to it.
    #[test]
    fn a_minute_is_as_stated() {
        const NOW: u64 = 1_763_716_800_000_000_000;
        let mut load = Load::new(1, NOW, 1);
        let traces: Vec<Request> = (0..60 / TRACE_SECONDS).map(|_| load.trace(NOW)).collect();
        let lines: Vec<Request> = (0..60 / LINE_SECONDS).map(|_| load.line(NOW)).collect();
        let points: u64 = (0..60 / METRICS_SECONDS).map(|_| load.metrics(NOW).records).sum();
        assert_eq!((traces.len(), lines.len(), points), (10, 5, 3_000));
        for (requests, large) in [(&traces, LARGE - 2_048..LIMIT), (&lines, LARGE_LINE..LARGE_LINE + 2_048)] {
            let sizes: Vec<usize> = requests.iter().map(|request| request.body.len()).collect();
            assert_eq!(sizes.iter().filter(|size| large.contains(*size)).count(), 1, "{sizes:?}");
            assert!(sizes.iter().filter(|size| **size < 4_096).count() == sizes.len() - 1, "{sizes:?}");
        }
    }
}
