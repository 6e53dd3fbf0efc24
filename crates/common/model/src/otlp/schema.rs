//! The OTLP messages as tables, fields in the order of their numbers.
//!
//! `KeyValue` and `AnyValue` have no table of their own: they are recursive, and every part that meets them treats them
//! as [`Kind::Attributes`] and [`Kind::AnyValue`]. The field numbers of both stand in [`any_value`] and [`key_value`].
//! The string-index fields of both (`string_value_strindex`, `key_strindex`) belong to the profiles signal, which is in
//! development; outside of it they count as unknown fields.

use Kind::{AnyValue, Attributes, Double, Fixed32, Fixed64, Id8, Id16, Sint, String, TimeAfter, Uint};

/// A message type.
#[derive(Debug)]
pub struct Message {
    /// Its name in the .proto files.
    pub name: &'static str,
    /// Its fields, by number, ascending.
    pub fields: &'static [Field],
}

/// A field of a message type.
#[derive(Debug)]
pub struct Field {
    /// Field number.
    pub number: u32,
    /// Its name in the .proto files.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// How often, and whether "not there" differs from "default".
    pub rule: Rule,
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A text.
    String,
    /// A 16-byte id; bytes of another length are kept as they are.
    Id16,
    /// An 8-byte id; bytes of another length are kept as they are.
    Id8,
    /// A varint: uint32, uint64, int32, enum or bool.
    Uint,
    /// A zigzag varint: sint32.
    Sint,
    /// fixed32.
    Fixed32,
    /// fixed64 or sfixed64.
    Fixed64,
    /// A fixed64 time that usually follows another time of the same message, named by its field number.
    TimeAfter(u32),
    /// double.
    Double,
    /// Another message.
    Message(&'static Message),
    /// `repeated KeyValue`.
    Attributes,
    /// `AnyValue`.
    AnyValue,
}

/// How often a field stands in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// At most once; "not there" is the default value.
    Single,
    /// At most once, with presence: proto3 `optional`, members of a oneof, and singular messages.
    Optional,
    /// Any number of times.
    Repeated,
}

/// Field numbers of `AnyValue`'s oneof.
pub mod any_value {
    /// string
    pub const STRING: u32 = 1;
    /// bool
    pub const BOOL: u32 = 2;
    /// int64
    pub const INT: u32 = 3;
    /// double
    pub const DOUBLE: u32 = 4;
    /// `ArrayValue`, whose `values` are field 1
    pub const ARRAY: u32 = 5;
    /// `KeyValueList`, whose `values` are field 1
    pub const KVLIST: u32 = 6;
    /// bytes
    pub const BYTES: u32 = 7;
}

/// Field numbers of `KeyValue`.
pub mod key_value {
    /// string
    pub const KEY: u32 = 1;
    /// `AnyValue`
    pub const VALUE: u32 = 2;
}

const fn field(number: u32, name: &'static str, kind: Kind) -> Field {
    let rule = match kind {
        Kind::Message(_) | AnyValue => Rule::Optional,
        Attributes => Rule::Repeated,
        _ => Rule::Single,
    };
    Field { number, name, kind, rule }
}

const fn optional(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::Optional }
}

const fn repeated(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, kind, rule: Rule::Repeated }
}

macro_rules! messages {
    ($($(#[$doc:meta])* $id:ident = $name:literal { $($field:expr;)* })*) => {
        $($(#[$doc])* pub static $id: Message = Message { name: $name, fields: &[$($field),*] };)*
        /// Every message type that has a table.
        pub static ALL: &[&Message] = &[$(&$id),*];
    };
}

messages! {
    /// `opentelemetry.proto.common.v1.EntityRef`
    ENTITY_REF = "EntityRef" {
        field(1, "schema_url", String);
        field(2, "type", String);
        repeated(3, "id_keys", String);
        repeated(4, "description_keys", String);
    }
    /// `opentelemetry.proto.resource.v1.Resource`
    RESOURCE = "Resource" {
        field(1, "attributes", Attributes);
        field(2, "dropped_attributes_count", Uint);
        repeated(3, "entity_refs", Kind::Message(&ENTITY_REF));
    }
    /// `opentelemetry.proto.common.v1.InstrumentationScope`
    SCOPE = "InstrumentationScope" {
        field(1, "name", String);
        field(2, "version", String);
        field(3, "attributes", Attributes);
        field(4, "dropped_attributes_count", Uint);
    }
    /// `opentelemetry.proto.trace.v1.Span.Event`
    SPAN_EVENT = "Event" {
        field(1, "time_unix_nano", Fixed64);
        field(2, "name", String);
        field(3, "attributes", Attributes);
        field(4, "dropped_attributes_count", Uint);
    }
    /// `opentelemetry.proto.trace.v1.Span.Link`
    SPAN_LINK = "Link" {
        field(1, "trace_id", Id16);
        field(2, "span_id", Id8);
        field(3, "trace_state", String);
        field(4, "attributes", Attributes);
        field(5, "dropped_attributes_count", Uint);
        field(6, "flags", Fixed32);
    }
    /// `opentelemetry.proto.trace.v1.Status`
    STATUS = "Status" {
        field(2, "message", String);
        field(3, "code", Uint);
    }
    /// `opentelemetry.proto.trace.v1.Span`
    SPAN = "Span" {
        field(1, "trace_id", Id16);
        field(2, "span_id", Id8);
        field(3, "trace_state", String);
        field(4, "parent_span_id", Id8);
        field(5, "name", String);
        field(6, "kind", Uint);
        field(7, "start_time_unix_nano", Fixed64);
        field(8, "end_time_unix_nano", TimeAfter(7));
        field(9, "attributes", Attributes);
        field(10, "dropped_attributes_count", Uint);
        repeated(11, "events", Kind::Message(&SPAN_EVENT));
        field(12, "dropped_events_count", Uint);
        repeated(13, "links", Kind::Message(&SPAN_LINK));
        field(14, "dropped_links_count", Uint);
        field(15, "status", Kind::Message(&STATUS));
        field(16, "flags", Fixed32);
    }
    /// `opentelemetry.proto.trace.v1.ScopeSpans`
    SCOPE_SPANS = "ScopeSpans" {
        field(1, "scope", Kind::Message(&SCOPE));
        repeated(2, "spans", Kind::Message(&SPAN));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.trace.v1.ResourceSpans`
    RESOURCE_SPANS = "ResourceSpans" {
        field(1, "resource", Kind::Message(&RESOURCE));
        repeated(2, "scope_spans", Kind::Message(&SCOPE_SPANS));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.trace.v1.TracesData`, and on the wire the same as `ExportTraceServiceRequest`
    TRACES_DATA = "TracesData" {
        repeated(1, "resource_spans", Kind::Message(&RESOURCE_SPANS));
    }
    /// `opentelemetry.proto.logs.v1.LogRecord`
    LOG_RECORD = "LogRecord" {
        field(1, "time_unix_nano", Fixed64);
        field(2, "severity_number", Uint);
        field(3, "severity_text", String);
        field(5, "body", AnyValue);
        field(6, "attributes", Attributes);
        field(7, "dropped_attributes_count", Uint);
        field(8, "flags", Fixed32);
        field(9, "trace_id", Id16);
        field(10, "span_id", Id8);
        field(11, "observed_time_unix_nano", TimeAfter(1));
        field(12, "event_name", String);
    }
    /// `opentelemetry.proto.logs.v1.ScopeLogs`
    SCOPE_LOGS = "ScopeLogs" {
        field(1, "scope", Kind::Message(&SCOPE));
        repeated(2, "log_records", Kind::Message(&LOG_RECORD));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.logs.v1.ResourceLogs`
    RESOURCE_LOGS = "ResourceLogs" {
        field(1, "resource", Kind::Message(&RESOURCE));
        repeated(2, "scope_logs", Kind::Message(&SCOPE_LOGS));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.logs.v1.LogsData`, and on the wire the same as `ExportLogsServiceRequest`
    LOGS_DATA = "LogsData" {
        repeated(1, "resource_logs", Kind::Message(&RESOURCE_LOGS));
    }
    /// `opentelemetry.proto.metrics.v1.Exemplar`
    EXEMPLAR = "Exemplar" {
        field(2, "time_unix_nano", Fixed64);
        optional(3, "as_double", Double);
        field(4, "span_id", Id8);
        field(5, "trace_id", Id16);
        optional(6, "as_int", Fixed64);
        field(7, "filtered_attributes", Attributes);
    }
    /// `opentelemetry.proto.metrics.v1.NumberDataPoint`
    NUMBER_DATA_POINT = "NumberDataPoint" {
        field(2, "start_time_unix_nano", Fixed64);
        field(3, "time_unix_nano", Fixed64);
        optional(4, "as_double", Double);
        repeated(5, "exemplars", Kind::Message(&EXEMPLAR));
        optional(6, "as_int", Fixed64);
        field(7, "attributes", Attributes);
        field(8, "flags", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.HistogramDataPoint`
    HISTOGRAM_DATA_POINT = "HistogramDataPoint" {
        field(2, "start_time_unix_nano", Fixed64);
        field(3, "time_unix_nano", Fixed64);
        field(4, "count", Fixed64);
        optional(5, "sum", Double);
        repeated(6, "bucket_counts", Fixed64);
        repeated(7, "explicit_bounds", Double);
        repeated(8, "exemplars", Kind::Message(&EXEMPLAR));
        field(9, "attributes", Attributes);
        field(10, "flags", Uint);
        optional(11, "min", Double);
        optional(12, "max", Double);
    }
    /// `opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint.Buckets`
    BUCKETS = "Buckets" {
        field(1, "offset", Sint);
        repeated(2, "bucket_counts", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.ExponentialHistogramDataPoint`
    EXPONENTIAL_HISTOGRAM_DATA_POINT = "ExponentialHistogramDataPoint" {
        field(1, "attributes", Attributes);
        field(2, "start_time_unix_nano", Fixed64);
        field(3, "time_unix_nano", Fixed64);
        field(4, "count", Fixed64);
        optional(5, "sum", Double);
        field(6, "scale", Sint);
        field(7, "zero_count", Fixed64);
        field(8, "positive", Kind::Message(&BUCKETS));
        field(9, "negative", Kind::Message(&BUCKETS));
        field(10, "flags", Uint);
        repeated(11, "exemplars", Kind::Message(&EXEMPLAR));
        optional(12, "min", Double);
        optional(13, "max", Double);
        field(14, "zero_threshold", Double);
    }
    /// `opentelemetry.proto.metrics.v1.SummaryDataPoint.ValueAtQuantile`
    VALUE_AT_QUANTILE = "ValueAtQuantile" {
        field(1, "quantile", Double);
        field(2, "value", Double);
    }
    /// `opentelemetry.proto.metrics.v1.SummaryDataPoint`
    SUMMARY_DATA_POINT = "SummaryDataPoint" {
        field(2, "start_time_unix_nano", Fixed64);
        field(3, "time_unix_nano", Fixed64);
        field(4, "count", Fixed64);
        field(5, "sum", Double);
        repeated(6, "quantile_values", Kind::Message(&VALUE_AT_QUANTILE));
        field(7, "attributes", Attributes);
        field(8, "flags", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.Gauge`
    GAUGE = "Gauge" {
        repeated(1, "data_points", Kind::Message(&NUMBER_DATA_POINT));
    }
    /// `opentelemetry.proto.metrics.v1.Sum`
    SUM = "Sum" {
        repeated(1, "data_points", Kind::Message(&NUMBER_DATA_POINT));
        field(2, "aggregation_temporality", Uint);
        field(3, "is_monotonic", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.Histogram`
    HISTOGRAM = "Histogram" {
        repeated(1, "data_points", Kind::Message(&HISTOGRAM_DATA_POINT));
        field(2, "aggregation_temporality", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.ExponentialHistogram`
    EXPONENTIAL_HISTOGRAM = "ExponentialHistogram" {
        repeated(1, "data_points", Kind::Message(&EXPONENTIAL_HISTOGRAM_DATA_POINT));
        field(2, "aggregation_temporality", Uint);
    }
    /// `opentelemetry.proto.metrics.v1.Summary`
    SUMMARY = "Summary" {
        repeated(1, "data_points", Kind::Message(&SUMMARY_DATA_POINT));
    }
    /// `opentelemetry.proto.metrics.v1.Metric`
    METRIC = "Metric" {
        field(1, "name", String);
        field(2, "description", String);
        field(3, "unit", String);
        field(5, "gauge", Kind::Message(&GAUGE));
        field(7, "sum", Kind::Message(&SUM));
        field(9, "histogram", Kind::Message(&HISTOGRAM));
        field(10, "exponential_histogram", Kind::Message(&EXPONENTIAL_HISTOGRAM));
        field(11, "summary", Kind::Message(&SUMMARY));
        field(12, "metadata", Attributes);
    }
    /// `opentelemetry.proto.metrics.v1.ScopeMetrics`
    SCOPE_METRICS = "ScopeMetrics" {
        field(1, "scope", Kind::Message(&SCOPE));
        repeated(2, "metrics", Kind::Message(&METRIC));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.metrics.v1.ResourceMetrics`
    RESOURCE_METRICS = "ResourceMetrics" {
        field(1, "resource", Kind::Message(&RESOURCE));
        repeated(2, "scope_metrics", Kind::Message(&SCOPE_METRICS));
        field(3, "schema_url", String);
    }
    /// `opentelemetry.proto.metrics.v1.MetricsData`, and on the wire the same as `ExportMetricsServiceRequest`
    METRICS_DATA = "MetricsData" {
        repeated(1, "resource_metrics", Kind::Message(&RESOURCE_METRICS));
    }
    /// Lightship's own: the exemplars of one series of kept traces, travelling apart from their points (P5).
    EXEMPLAR_SERIES = "ExemplarSeries" {
        field(1, "resource", Kind::Message(&RESOURCE));
        field(2, "scope", Kind::Message(&SCOPE));
        field(3, "metric_name", String);
        field(4, "unit", String);
        field(5, "attributes", Attributes);
        repeated(6, "exemplars", Kind::Message(&EXEMPLAR));
    }
    /// Lightship's own: the root of an exemplar section.
    EXEMPLARS_DATA = "ExemplarsData" {
        repeated(1, "series", Kind::Message(&EXEMPLAR_SERIES));
    }
}

impl Message {
    /// The position of a field in [`Message::fields`]; `None` for an unknown number.
    #[inline]
    pub fn index_of(&self, number: u32) -> Option<usize> {
        // Most messages number their fields without gaps, or leave out one number.
        let likely = number.wrapping_sub(1) as usize;
        let is_at = |place: usize| self.fields.get(place).is_some_and(|field| field.number == number);
        if is_at(likely) {
            return Some(likely);
        }
        let next = likely.wrapping_sub(1);
        if is_at(next) { Some(next) } else { self.fields.iter().position(|field| field.number == number) }
    }
}
