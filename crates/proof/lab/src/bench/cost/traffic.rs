//! What is sent: spans, log records and points of a service behind HTTP, as SDKs batch them, the same for the same seed.

use crate::otlp::value::{any, attribute, int, text};
use crate::otlp::{logs_request, metrics_request, traces_request};
use crate::rng::Rng;
use bytes::Bytes;
use model::Signal;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};

/// Spans of a trace.
const SPANS: u64 = 5;

/// Makes requests.
pub(crate) struct Traffic {
    rng: Rng,
    traces: u64,
    /// One trace in so many fails, and so is kept.
    keep_one_in: u64,
    /// Whether log records have bodies in logfmt.
    pairs: bool,
}

impl Traffic {
    /// Traffic of which one trace in so many is to be kept.
    pub(crate) fn new(seed: u64, keep_one_in: u64) -> Self {
        Self { rng: Rng::new(seed, 12), traces: 0, keep_one_in, pairs: false }
    }

    /// The same with log records whose bodies are lines of logfmt: many names, each with a value.
    pub(crate) fn with_pairs(self) -> Self {
        Self { pairs: true, ..self }
    }

    /// A request of so many records that came about at `now_ns`.
    pub(crate) fn request(&mut self, signal: Signal, records: u64, now_ns: u64) -> Bytes {
        match signal {
            Signal::Traces => {
                let mut spans = Vec::new();
                while (spans.len() as u64) < records {
                    let left = records - spans.len() as u64;
                    self.trace(left.min(SPANS), now_ns, &mut spans);
                }
                traces_request(resource(), scope(), spans)
            }
            Signal::Logs => {
                let records = (0..records).map(|_| self.log_record(now_ns)).collect();
                logs_request(resource(), scope(), records)
            }
            Signal::Metrics => metrics_request(resource(), scope(), vec![self.counter(records, now_ns)]),
        }
    }

    fn trace(&mut self, spans: u64, now_ns: u64, out: &mut Vec<Span>) {
        const NAMES: [&str; SPANS as usize] =
            ["GET /api/v1/cargo", "POST /api/v1/orders", "SELECT cargo", "publish event", "cache get"];
        const KINDS: [SpanKind; SPANS as usize] =
            [SpanKind::Server, SpanKind::Client, SpanKind::Client, SpanKind::Producer, SpanKind::Internal];
        self.traces += 1;
        let fails = self.traces.is_multiple_of(self.keep_one_in);
        let trace: [u8; 16] = self.rng.id();
        let root: [u8; 8] = self.rng.id();
        for (place, (name, kind)) in NAMES.into_iter().zip(KINDS).take(spans as usize).enumerate() {
            let start = now_ns - 150_000_000 + self.rng.between(0, 50_000_000);
            let failed = fails && place == 0;
            out.push(Span {
                trace_id: trace.to_vec(),
                span_id: if place == 0 { root.to_vec() } else { self.rng.id::<8>().to_vec() },
                parent_span_id: if place == 0 { Vec::new() } else { root.to_vec() },
                flags: 257,
                name: name.to_owned(),
                kind: kind.into(),
                start_time_unix_nano: start,
                end_time_unix_nano: start + self.rng.between(1_000_000, 90_000_000),
                attributes: vec![
                    attribute("http.request.method", text(["GET", "POST"][place % 2])),
                    attribute("url.path", text(&format!("/api/v1/cargo/{}", self.rng.between(0, 499)))),
                    attribute("http.response.status_code", int(if failed { 500 } else { 200 })),
                    attribute("server.address", text("cargo.vessel.local")),
                    attribute("network.protocol.version", text("1.1")),
                    attribute("thread.id", int(self.rng.between(0, 40).cast_signed())),
                    attribute("user.id", text(&format!("user-{:06}", self.rng.between(0, 99_999)))),
                ],
                status: failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() }),
                ..Span::default()
            });
        }
    }

    fn body(&mut self, number: u64) -> String {
        let gate = number % 7;
        if !self.pairs {
            return format!("cargo {number} was weighed at gate {gate}");
        }
        let duration = self.rng.between(1, 900);
        format!(
            "level=info msg=\"cargo was weighed\" cargo={number} gate={gate} duration_ms={duration} user=crane-{gate} path=/api/v1/cargo/{number} status=200"
        )
    }

    /// Half of them are of a trace that sends no span.
    fn log_record(&mut self, now_ns: u64) -> LogRecord {
        let number = self.rng.between(0, 9_999);
        let in_trace = number.is_multiple_of(2);
        LogRecord {
            time_unix_nano: now_ns,
            observed_time_unix_nano: now_ns,
            severity_number: SeverityNumber::Info.into(),
            severity_text: "INFO".to_owned(),
            body: Some(any(text(&self.body(number)))),
            attributes: vec![attribute("code.function", text("weigh")), attribute("thread.id", int(7))],
            trace_id: if in_trace { self.rng.id::<16>().to_vec() } else { Vec::new() },
            span_id: if in_trace { self.rng.id::<8>().to_vec() } else { Vec::new() },
            ..LogRecord::default()
        }
    }

    fn counter(&mut self, points: u64, now_ns: u64) -> Metric {
        let data_points = (0..points).map(|series| NumberDataPoint {
            attributes: vec![attribute("gate", text(&format!("gate-{series:03}")))],
            start_time_unix_nano: now_ns - 3_600_000_000_000,
            time_unix_nano: now_ns,
            value: Some(number_data_point::Value::AsInt(self.rng.between(0, 1 << 20).cast_signed())),
            ..NumberDataPoint::default()
        });
        Metric {
            name: "cargo.weighed".to_owned(),
            unit: "{container}".to_owned(),
            data: Some(metric::Data::Sum(Sum {
                data_points: data_points.collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic: true,
            })),
            ..Metric::default()
        }
    }
}

fn resource() -> Resource {
    let attributes = [
        ("service.name", "cargo"),
        ("service.version", "1.4.2"),
        ("host.name", "vessel-17"),
        ("telemetry.sdk.language", "python"),
    ];
    let attributes = attributes.iter().map(|(key, value)| attribute(key, text(value))).collect();
    Resource { attributes, ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "opentelemetry.instrumentation.http".to_owned(),
        version: "0.48b0".to_owned(),
        ..InstrumentationScope::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::otlp::count_records;

    /// Scenario: two generators of one seed. Guarantees: the same bytes, as many records as asked for, and the size of spans that the
    /// results are told for.
    #[test]
    fn the_same_seed_is_the_same_traffic() {
        const NOW: u64 = 1_767_225_600_000_000_000;
        let (mut one, mut other) = (Traffic::new(1, 5), Traffic::new(1, 5));
        for signal in Signal::ALL {
            let request = one.request(signal, 100, NOW);
            assert_eq!(request, other.request(signal, 100, NOW));
            assert_eq!(count_records(signal, &request).unwrap(), 100);
        }
        let bytes = one.request(Signal::Traces, 500, NOW).len() / 500;
        assert!((280..360).contains(&bytes), "{bytes} bytes a span");
    }
}
