//! Metrics as the store holds them: what a series is, and its points.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint, SummaryDataPoint};
use prost::Message;

use crate::origin::Origin;
use crate::proto::PointData;

/// What a metric is, with all that changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Last value counts.
    Gauge,
    /// A sum; `cumulative` or per interval.
    Sum {
        /// Whether it only ever grows.
        monotonic: bool,
        /// Whether it counts from its start time (else since the point before).
        cumulative: bool,
    },
    /// Buckets with explicit bounds.
    Histogram {
        /// See [`Kind::Sum`].
        cumulative: bool,
    },
    /// Buckets of exponential width.
    ExponentialHistogram {
        /// See [`Kind::Sum`].
        cumulative: bool,
    },
    /// Quantiles made by the producer.
    Summary,
}

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
pub(crate) const CUMULATIVE: i32 = 2;

impl Kind {
    /// The word of the API.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Sum { .. } => "sum",
            Kind::Histogram { .. } => "histogram",
            Kind::ExponentialHistogram { .. } => "exponential_histogram",
            Kind::Summary => "summary",
        }
    }

    pub(crate) fn to_number(self) -> u32 {
        let flags = |monotonic: bool, cumulative: bool| u32::from(monotonic) << 3 | u32::from(cumulative) << 4;
        match self {
            Kind::Gauge => 0,
            Kind::Sum { monotonic, cumulative } => 1 | flags(monotonic, cumulative),
            Kind::Histogram { cumulative } => 2 | flags(false, cumulative),
            Kind::ExponentialHistogram { cumulative } => 3 | flags(false, cumulative),
            Kind::Summary => 4,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        let (monotonic, cumulative) = (number & 8 != 0, number & 16 != 0);
        Some(match number & 7 {
            0 => Kind::Gauge,
            1 => Kind::Sum { monotonic, cumulative },
            2 => Kind::Histogram { cumulative },
            3 => Kind::ExponentialHistogram { cumulative },
            4 => Kind::Summary,
            _ => return None,
        })
    }
}

/// A series: everything of a metric but its points.
#[derive(Debug, Clone)]
pub struct Series {
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// The metric's name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its unit.
    pub unit: String,
    /// Its metadata.
    pub metadata: Vec<KeyValue>,
    /// What it is.
    pub kind: Kind,
    /// The attributes of its points.
    pub attributes: Vec<KeyValue>,
    /// The same bytes for the same series, whatever the order of its attributes.
    pub key: Vec<u8>,
}

impl Series {
    #[allow(clippy::too_many_arguments, reason = "these are the fields")]
    pub(crate) fn new(
        origin: Arc<Origin>,
        name: String,
        description: String,
        unit: String,
        metadata: Vec<KeyValue>,
        kind: Kind,
        attributes: Vec<KeyValue>,
    ) -> Self {
        let key = series_key(&origin, &name, &unit, kind, &attributes);
        Self { origin, name, description, unit, metadata, kind, attributes, key }
    }
}

/// The identity of a series: its name, then a digest of device, epoch, resource, scope, unit, kind and attributes; the
/// order of attributes, schema URLs, description and metadata are not part of it.
pub(crate) fn series_key(origin: &Origin, name: &str, unit: &str, kind: Kind, attributes: &[KeyValue]) -> Vec<u8> {
    fn put(key: &mut Vec<u8>, part: &[u8]) {
        key.extend_from_slice(&(part.len() as u64).to_be_bytes());
        key.extend_from_slice(part);
    }
    fn put_sorted(key: &mut Vec<u8>, attributes: &[KeyValue]) {
        let mut encoded: Vec<Vec<u8>> = attributes.iter().map(Message::encode_to_vec).collect();
        encoded.sort_unstable();
        key.extend_from_slice(&(encoded.len() as u64).to_be_bytes());
        for attribute in &encoded {
            put(key, attribute);
        }
    }
    let mut parts = Vec::with_capacity(256);
    put(&mut parts, unit.as_bytes());
    parts.push(kind.to_number() as u8);
    put(&mut parts, origin.device.as_bytes());
    // What counts is counted by one agent; a gauge goes on where the agent's data directory was made anew.
    if kind != Kind::Gauge {
        parts.extend_from_slice(&origin.epoch.to_be_bytes());
    }
    put_sorted(&mut parts, attributes);
    put_sorted(&mut parts, &origin.resource.attributes);
    put(&mut parts, origin.scope.name.as_bytes());
    put(&mut parts, origin.scope.version.as_bytes());
    put_sorted(&mut parts, &origin.scope.attributes);
    let mut key = Vec::with_capacity(8 + name.len() + 16);
    put(&mut key, name.as_bytes());
    key.extend_from_slice(&wire::digest(&parts));
    key
}

/// One point of a series.
#[derive(Debug, Clone)]
pub struct Point {
    /// The place of its frame in the order of intake: of two points with one time the higher one counts.
    pub order: u64,
    /// The point.
    pub data: PointData,
}

impl Point {
    /// Its time.
    pub fn time(&self) -> u64 {
        match &self.data {
            PointData::Number(point) => point.time_unix_nano,
            PointData::Histogram(point) => point.time_unix_nano,
            PointData::Exponential(point) => point.time_unix_nano,
            PointData::Summary(point) => point.time_unix_nano,
        }
    }

    /// When its counting began; 0 where the producer does not say.
    pub fn start(&self) -> u64 {
        match &self.data {
            PointData::Number(point) => point.start_time_unix_nano,
            PointData::Histogram(point) => point.start_time_unix_nano,
            PointData::Exponential(point) => point.start_time_unix_nano,
            PointData::Summary(point) => point.start_time_unix_nano,
        }
    }

    /// OTLP's flags.
    pub(crate) fn flags(&self) -> u32 {
        match &self.data {
            PointData::Number(point) => point.flags,
            PointData::Histogram(point) => point.flags,
            PointData::Exponential(point) => point.flags,
            PointData::Summary(point) => point.flags,
        }
    }

    /// Bytes that it takes in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        let beside = match &self.data {
            PointData::Number(_) => 0,
            PointData::Histogram(point) => {
                size_of::<HistogramDataPoint>() + 8 * (point.bucket_counts.len() + point.explicit_bounds.len())
            }
            PointData::Exponential(point) => {
                let side = |side: Option<&Buckets>| side.map_or(0, |side| side.bucket_counts.len());
                size_of::<ExponentialHistogramDataPoint>()
                    + 8 * (side(point.positive.as_ref()) + side(point.negative.as_ref()))
            }
            PointData::Summary(point) => size_of::<SummaryDataPoint>() + 16 * point.quantile_values.len(),
        };
        size_of::<Self>() + beside
    }

    /// Whether it says "no value here" (OTLP `FLAG_NO_RECORDED_VALUE`).
    pub fn is_stale(&self) -> bool {
        self.flags() & 1 != 0
    }
}
