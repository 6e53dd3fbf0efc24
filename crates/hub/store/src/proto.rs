//! Messages that only the hub and its frames use, as protobuf: the exemplars section of a frame, and the rows of packs
//! and of the database.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

use crate::intervals::IntervalSet;

/// The exemplars section of a frame: exemplars that travel with their trace (P4, P5).
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExemplarsData {
    /// One entry per series.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<ExemplarSeries>,
}

/// The exemplars of one series.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExemplarSeries {
    /// The resource of the series.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// The scope of the series.
    #[prost(message, optional, tag = "2")]
    pub scope: Option<InstrumentationScope>,
    /// The metric's name.
    #[prost(string, tag = "3")]
    pub metric_name: String,
    /// The metric's unit.
    #[prost(string, tag = "4")]
    pub unit: String,
    /// The attributes of the series.
    #[prost(message, repeated, tag = "5")]
    pub attributes: Vec<KeyValue>,
    /// The exemplars.
    #[prost(message, repeated, tag = "6")]
    pub exemplars: Vec<Exemplar>,
}

/// Where records come from: the same for all records of one resource and scope of a device.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OriginRow {
    #[prost(string, tag = "1")]
    pub(crate) device: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Resource>,
    #[prost(string, tag = "3")]
    pub(crate) resource_schema_url: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) scope: Option<InstrumentationScope>,
    #[prost(string, tag = "5")]
    pub(crate) scope_schema_url: String,
    #[prost(fixed64, tag = "6")]
    pub(crate) epoch: u64,
}

/// One block of a traces pack: spans in the order of their traces.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SpanBlock {
    #[prost(message, repeated, tag = "1")]
    pub(crate) origins: Vec<OriginRow>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) rows: Vec<SpanBlockRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SpanBlockRow {
    #[prost(uint32, tag = "1")]
    pub(crate) origin: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) order: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) span: Option<Span>,
    #[prost(uint32, tag = "4")]
    pub(crate) index: u32,
}

/// One block of a logs pack: lines in the order of time.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogBlock {
    #[prost(message, repeated, tag = "1")]
    pub(crate) origins: Vec<OriginRow>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) rows: Vec<LogBlockRow>,
}

/// The same without its rows, which are passed over.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BlockOrigins {
    #[prost(message, repeated, tag = "1")]
    pub(crate) origins: Vec<OriginRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LogBlockRow {
    #[prost(uint32, tag = "1")]
    pub(crate) origin: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) order: u64,
    #[prost(uint32, tag = "3")]
    pub(crate) index: u32,
    #[prost(message, optional, tag = "4")]
    pub(crate) record: Option<LogRecord>,
}

/// One block of a metrics pack: chunks of series of one metric name.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MetricBlock {
    #[prost(message, repeated, tag = "1")]
    pub(crate) origins: Vec<OriginRow>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) series: Vec<SeriesChunk>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeriesChunk {
    #[prost(uint32, tag = "1")]
    pub(crate) origin: u32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) description: String,
    #[prost(string, tag = "4")]
    pub(crate) unit: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) metadata: Vec<KeyValue>,
    /// See [`crate::rows::Kind`].
    #[prost(uint32, tag = "6")]
    pub(crate) kind: u32,
    #[prost(message, repeated, tag = "7")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) points: Vec<PointRow>,
}

/// What a metric pack says of a series beside its points.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeriesDescription {
    /// An [`OriginRow`].
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) origin: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(string, tag = "3")]
    pub(crate) description: String,
    #[prost(string, tag = "4")]
    pub(crate) unit: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) metadata: Vec<KeyValue>,
    /// See [`crate::rows::Kind`].
    #[prost(uint32, tag = "6")]
    pub(crate) kind: u32,
    #[prost(message, repeated, tag = "7")]
    pub(crate) attributes: Vec<KeyValue>,
}

/// One point, without the attributes of its series.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PointRow {
    #[prost(uint64, tag = "1")]
    pub(crate) order: u64,
    #[prost(oneof = "PointData", tags = "2, 3, 4, 5")]
    pub(crate) data: Option<PointData>,
}

/// A metric point of any kind; its attributes and exemplars are kept elsewhere.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum PointData {
    /// A point of a gauge or sum.
    #[prost(message, tag = "2")]
    Number(NumberDataPoint),
    /// A point of an explicit histogram.
    #[prost(message, tag = "3")]
    Histogram(Box<HistogramDataPoint>),
    /// A point of an exponential histogram.
    #[prost(message, tag = "4")]
    Exponential(Box<ExponentialHistogramDataPoint>),
    /// A point of a summary.
    #[prost(message, tag = "5")]
    Summary(Box<SummaryDataPoint>),
}

/// One block of an exemplars pack.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExemplarBlock {
    #[prost(message, repeated, tag = "1")]
    pub(crate) origins: Vec<OriginRow>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) rows: Vec<ExemplarBlockRow>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ExemplarBlockRow {
    #[prost(uint32, tag = "1")]
    pub(crate) origin: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) order: u64,
    #[prost(string, tag = "3")]
    pub(crate) metric_name: String,
    #[prost(string, tag = "4")]
    pub(crate) unit: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "6")]
    pub(crate) exemplar: Option<Exemplar>,
}

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct SpanOfTime {
    #[prost(uint64, tag = "1")]
    pub(crate) from: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) to: u64,
}

/// What a device has delivered since it is known.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Counters {
    /// Frames stored.
    #[prost(uint64, tag = "1")]
    pub stored: u64,
    /// Frames that came again with the same content.
    #[prost(uint64, tag = "2")]
    pub duplicate: u64,
    /// Frames that came with other content than the stored one.
    #[prost(uint64, tag = "3")]
    pub quarantined: u64,
    /// Blocks that could not be read.
    #[prost(uint64, tag = "4")]
    pub corrupt: u64,
    /// Spans stored.
    #[prost(uint64, tag = "5")]
    pub spans: u64,
    /// Log records stored.
    #[prost(uint64, tag = "6")]
    pub logs: u64,
    /// Metric points stored.
    #[prost(uint64, tag = "7")]
    pub points: u64,
    /// Exemplars stored.
    #[prost(uint64, tag = "8")]
    pub exemplars: u64,
}

/// The claims of one stream, as the `claims` keyspace keeps them: first and last of each run, alternating.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClaimsRow {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) runs: Vec<u64>,
}

impl ClaimsRow {
    pub(crate) fn of(claims: &IntervalSet) -> Self {
        Self { runs: claims.iter().flat_map(|(first, last)| [first, last]).collect() }
    }
}

/// A gap record, as the `gaps` keyspace keeps it under stream, first and last.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GapRow {
    #[prost(string, tag = "1")]
    pub(crate) reason: String,
    #[prost(uint64, tag = "2")]
    pub(crate) records: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) start_ns: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) end_ns: u64,
}
