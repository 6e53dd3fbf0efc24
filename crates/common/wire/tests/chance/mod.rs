//! OTLP messages made by chance: every field of the schema, with odd ids, NaNs and nested values.

#![allow(dead_code, unreachable_pub, clippy::panic, reason = "shared by test programs that use different parts of it")]
#![allow(missing_docs, reason = "the names are those of OTLP")]

use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar,
    exponential_histogram_data_point::Buckets, metric, number_data_point, summary_data_point::ValueAtQuantile,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, TracesData,
    span::{Event, Link},
};

/// Splitmix64: small, seeded, the same everywhere.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn number(&mut self) -> u64 {
        let shift = self.below(64);
        self.next() >> shift
    }

    pub fn double(&mut self) -> f64 {
        match self.below(6) {
            0 => 0.0,
            1 => -0.0,
            2 => f64::from_bits(self.next()),
            3 => self.below(1000) as f64 / 100.0,
            4 => self.below(1_000_000) as f64,
            _ => 1.0 / (1 + self.below(50)) as f64,
        }
    }

    pub fn text(&mut self) -> String {
        const WORDS: [&str; 7] = ["", "a", "service.name", "GET /api/sensors/engine", "kind", "\u{1f6a2} ship", "x"];
        if self.below(8) == 0 { format!("id-{}", self.next()) } else { WORDS[self.below(7) as usize].to_owned() }
    }

    pub fn id(&mut self, length: usize) -> Vec<u8> {
        let length = match self.below(12) {
            0 => 0,
            1 => 3,
            _ => length,
        };
        (0..length).map(|_| self.next() as u8).collect()
    }

    pub fn several<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    pub fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| make(self))
    }

    pub fn any(&mut self, depth: u32) -> AnyValue {
        use any_value::Value;
        let kinds = if depth == 0 { 6 } else { 8 };
        let value = match self.below(kinds) {
            0 => None,
            1 => Some(Value::StringValue(self.text())),
            2 => Some(Value::BoolValue(self.below(2) == 1)),
            3 => Some(Value::IntValue(self.number() as i64)),
            4 => Some(Value::DoubleValue(self.double())),
            5 => Some(Value::BytesValue(self.id(5))),
            6 => Some(Value::ArrayValue(ArrayValue { values: self.several(3, |c| c.any(depth - 1)) })),
            _ => Some(Value::KvlistValue(KeyValueList { values: self.several(3, |c| c.pair(depth - 1)) })),
        };
        AnyValue { value }
    }

    pub fn pair(&mut self, depth: u32) -> KeyValue {
        KeyValue { key: self.text(), value: self.maybe(|c| c.any(depth)), ..Default::default() }
    }

    pub fn attributes(&mut self) -> Vec<KeyValue> {
        self.several(4, |c| c.pair(2))
    }

    pub fn resource(&mut self) -> Resource {
        Resource {
            attributes: self.attributes(),
            dropped_attributes_count: self.below(3) as u32,
            entity_refs: self.several(1, |c| EntityRef {
                schema_url: c.text(),
                r#type: c.text(),
                id_keys: c.several(2, Self::text),
                description_keys: c.several(2, Self::text),
            }),
        }
    }

    pub fn scope(&mut self) -> InstrumentationScope {
        InstrumentationScope {
            name: self.text(),
            version: self.text(),
            attributes: self.attributes(),
            dropped_attributes_count: self.number() as u32,
        }
    }

    pub fn span(&mut self) -> Span {
        let start = 1_760_000_000_000_000_000 + self.below(1_000_000_000);
        Span {
            trace_id: self.id(16),
            span_id: self.id(8),
            trace_state: self.text(),
            parent_span_id: self.id(8),
            flags: self.below(300) as u32,
            name: self.text(),
            kind: self.below(6) as i32,
            start_time_unix_nano: if self.below(9) == 0 { 0 } else { start },
            end_time_unix_nano: if self.below(9) == 0 { 0 } else { start + self.below(500_000_000) },
            attributes: self.attributes(),
            dropped_attributes_count: self.below(2) as u32,
            events: self.several(2, |c| Event {
                time_unix_nano: c.number(),
                name: c.text(),
                attributes: c.attributes(),
                dropped_attributes_count: c.below(2) as u32,
            }),
            dropped_events_count: self.below(2) as u32,
            links: self.several(2, |c| Link {
                trace_id: c.id(16),
                span_id: c.id(8),
                trace_state: c.text(),
                attributes: c.attributes(),
                dropped_attributes_count: c.below(2) as u32,
                flags: c.below(2) as u32,
            }),
            dropped_links_count: self.below(2) as u32,
            status: self.maybe(|c| Status { message: c.text(), code: c.below(3) as i32 }),
        }
    }

    pub fn traces(&mut self) -> TracesData {
        TracesData {
            resource_spans: self.several(3, |c| ResourceSpans {
                resource: c.maybe(Self::resource),
                scope_spans: c.several(2, |c| ScopeSpans {
                    scope: c.maybe(Self::scope),
                    spans: c.several(6, Self::span),
                    schema_url: c.text(),
                }),
                schema_url: c.text(),
            }),
        }
    }

    pub fn logs(&mut self) -> LogsData {
        LogsData {
            resource_logs: self.several(2, |c| ResourceLogs {
                resource: c.maybe(Self::resource),
                scope_logs: c.several(2, |c| ScopeLogs {
                    scope: c.maybe(Self::scope),
                    log_records: c.several(6, |c| LogRecord {
                        time_unix_nano: c.number(),
                        observed_time_unix_nano: c.number(),
                        severity_number: c.below(25) as i32,
                        severity_text: c.text(),
                        body: c.maybe(|c| c.any(3)),
                        attributes: c.attributes(),
                        dropped_attributes_count: c.below(2) as u32,
                        flags: c.below(2) as u32,
                        trace_id: c.id(16),
                        span_id: c.id(8),
                        event_name: c.text(),
                    }),
                    schema_url: c.text(),
                }),
                schema_url: c.text(),
            }),
        }
    }

    pub fn exemplar(&mut self) -> Exemplar {
        Exemplar {
            filtered_attributes: self.attributes(),
            time_unix_nano: self.number(),
            span_id: self.id(8),
            trace_id: self.id(16),
            value: self.maybe(|c| match c.below(2) {
                0 => exemplar::Value::AsDouble(c.double()),
                _ => exemplar::Value::AsInt(c.number() as i64),
            }),
        }
    }

    pub fn number_point(&mut self) -> NumberDataPoint {
        NumberDataPoint {
            attributes: self.attributes(),
            start_time_unix_nano: self.number(),
            time_unix_nano: self.number(),
            exemplars: self.several(2, Self::exemplar),
            flags: self.below(2) as u32,
            value: self.maybe(|c| match c.below(2) {
                0 => number_data_point::Value::AsDouble(c.double()),
                _ => number_data_point::Value::AsInt(c.number() as i64),
            }),
        }
    }

    pub fn buckets(&mut self) -> Buckets {
        Buckets { offset: self.number() as i32, bucket_counts: self.several(5, Self::number) }
    }

    pub fn metric(&mut self) -> Metric {
        let data = self.maybe(|c| match c.below(5) {
            0 => metric::Data::Gauge(Gauge { data_points: c.several(5, Self::number_point) }),
            1 => metric::Data::Sum(Sum {
                data_points: c.several(5, Self::number_point),
                aggregation_temporality: c.below(3) as i32,
                is_monotonic: c.below(2) == 1,
            }),
            2 => metric::Data::Histogram(Histogram {
                data_points: c.several(4, |c| HistogramDataPoint {
                    attributes: c.attributes(),
                    start_time_unix_nano: c.number(),
                    time_unix_nano: c.number(),
                    count: c.number(),
                    sum: c.maybe(Self::double),
                    bucket_counts: c.several(9, Self::number),
                    explicit_bounds: if c.below(2) == 0 { vec![10.0, 25.0, 50.0] } else { c.several(4, Self::double) },
                    exemplars: c.several(2, Self::exemplar),
                    flags: c.below(2) as u32,
                    min: c.maybe(Self::double),
                    max: c.maybe(Self::double),
                }),
                aggregation_temporality: c.below(3) as i32,
            }),
            3 => metric::Data::ExponentialHistogram(ExponentialHistogram {
                data_points: c.several(4, |c| ExponentialHistogramDataPoint {
                    attributes: c.attributes(),
                    start_time_unix_nano: c.number(),
                    time_unix_nano: c.number(),
                    count: c.number(),
                    sum: c.maybe(Self::double),
                    scale: c.number() as i32,
                    zero_count: c.number(),
                    positive: c.maybe(Self::buckets),
                    negative: c.maybe(Self::buckets),
                    flags: c.below(2) as u32,
                    exemplars: c.several(2, Self::exemplar),
                    min: c.maybe(Self::double),
                    max: c.maybe(Self::double),
                    zero_threshold: c.double(),
                }),
                aggregation_temporality: c.below(3) as i32,
            }),
            _ => metric::Data::Summary(Summary {
                data_points: c.several(4, |c| SummaryDataPoint {
                    attributes: c.attributes(),
                    start_time_unix_nano: c.number(),
                    time_unix_nano: c.number(),
                    count: c.number(),
                    sum: c.double(),
                    quantile_values: c.several(3, |c| ValueAtQuantile { quantile: c.double(), value: c.double() }),
                    flags: c.below(2) as u32,
                }),
            }),
        });
        Metric { name: self.text(), description: self.text(), unit: self.text(), metadata: self.attributes(), data }
    }

    pub fn metrics(&mut self) -> MetricsData {
        MetricsData {
            resource_metrics: self.several(2, |c| ResourceMetrics {
                resource: c.maybe(Self::resource),
                scope_metrics: c.several(2, |c| ScopeMetrics {
                    scope: c.maybe(Self::scope),
                    metrics: c.several(5, Self::metric),
                    schema_url: c.text(),
                }),
                schema_url: c.text(),
            }),
        }
    }
}
