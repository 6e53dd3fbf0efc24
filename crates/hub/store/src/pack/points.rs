//! Points as the store holds them, and as columns.

use columns::{Chunk, Exponential, Histogram, Number, Summary, Values};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint,
};

use crate::proto::PointData;
use crate::rows::Point;

/// Points of one series as columns: in the order of time, of one time the one that was taken in last.
pub(crate) fn chunk_of(mut points: Vec<&Point>) -> Chunk {
    points.sort_by_key(|point| (point.time(), std::cmp::Reverse(point.order)));
    points.dedup_by_key(|point| point.time());
    let values = match points.first().map(|point| &point.data) {
        Some(PointData::Histogram(_)) => {
            Values::Histograms(points.iter().filter_map(|point| histogram(point)).collect())
        }
        Some(PointData::Exponential(_)) => {
            Values::Exponentials(points.iter().filter_map(|point| exponential(point)).collect())
        }
        Some(PointData::Summary(_)) => Values::Summaries(points.iter().filter_map(|point| summary(point)).collect()),
        Some(PointData::Number(_)) | None => Values::Numbers(points.iter().filter_map(|point| number(point)).collect()),
    };
    // All points of a series are of its kind; one that is not would have no place.
    if values.len() != points.len() {
        let kind = points.first().map(|point| std::mem::discriminant(&point.data));
        points.retain(|point| Some(std::mem::discriminant(&point.data)) == kind);
    }
    Chunk {
        times: points.iter().map(|point| point.time()).collect(),
        starts: points.iter().map(|point| point.start()).collect(),
        flags: points.iter().map(|point| u64::from(point.flags())).collect(),
        orders: Some(points.iter().map(|point| point.order).collect()),
        values,
    }
}

fn number(point: &Point) -> Option<Number> {
    let PointData::Number(point) = &point.data else { return None };
    Some(match point.value {
        None => Number::None,
        Some(Value::AsInt(number)) => Number::Int(number),
        Some(Value::AsDouble(number)) => Number::Float(number),
    })
}

fn histogram(point: &Point) -> Option<Histogram> {
    let PointData::Histogram(point) = &point.data else { return None };
    Some(Histogram {
        count: point.count,
        sum: point.sum,
        min: point.min,
        max: point.max,
        bounds: point.explicit_bounds.clone(),
        buckets: point.bucket_counts.clone(),
    })
}

fn exponential(point: &Point) -> Option<Exponential> {
    let PointData::Exponential(point) = &point.data else { return None };
    let side = |side: &Option<Buckets>| {
        side.as_ref().map(|side| columns::Buckets { offset: side.offset, counts: side.bucket_counts.clone() })
    };
    Some(Exponential {
        count: point.count,
        sum: point.sum,
        min: point.min,
        max: point.max,
        scale: point.scale,
        zero_count: point.zero_count,
        zero_threshold: point.zero_threshold,
        positive: side(&point.positive),
        negative: side(&point.negative),
    })
}

fn summary(point: &Point) -> Option<Summary> {
    let PointData::Summary(point) = &point.data else { return None };
    let quantiles = point.quantile_values.iter().map(|value| (value.quantile, value.value)).collect();
    Some(Summary { count: point.count, sum: point.sum, quantiles })
}

/// The points of a chunk; those without an order of their own have `order`.
pub(crate) fn points_of(chunk: Chunk, order: u64) -> Vec<Point> {
    let Chunk { times, starts, flags, orders, values } = chunk;
    let orders = orders.unwrap_or_else(|| vec![order; times.len()]);
    let heads = times.into_iter().zip(starts).zip(flags).zip(orders);
    let head = heads.map(|(((time, start), flags), order)| (time, start, flags as u32, order));
    match values {
        Values::Numbers(rows) => head
            .zip(rows)
            .map(|((time_unix_nano, start_time_unix_nano, flags, order), row)| {
                let value = match row {
                    Number::None => None,
                    Number::Int(number) => Some(Value::AsInt(number)),
                    Number::Float(number) => Some(Value::AsDouble(number)),
                };
                let point = NumberDataPoint {
                    time_unix_nano,
                    start_time_unix_nano,
                    flags,
                    value,
                    ..NumberDataPoint::default()
                };
                Point { order, data: PointData::Number(point) }
            })
            .collect(),
        Values::Histograms(rows) => head
            .zip(rows)
            .map(|((time_unix_nano, start_time_unix_nano, flags, order), row)| {
                let point = HistogramDataPoint {
                    time_unix_nano,
                    start_time_unix_nano,
                    flags,
                    count: row.count,
                    sum: row.sum,
                    min: row.min,
                    max: row.max,
                    explicit_bounds: row.bounds,
                    bucket_counts: row.buckets,
                    ..HistogramDataPoint::default()
                };
                Point { order, data: PointData::Histogram(Box::new(point)) }
            })
            .collect(),
        Values::Exponentials(rows) => head
            .zip(rows)
            .map(|((time_unix_nano, start_time_unix_nano, flags, order), row)| {
                let side = |side: Option<columns::Buckets>| {
                    side.map(|side| Buckets { offset: side.offset, bucket_counts: side.counts })
                };
                let point = ExponentialHistogramDataPoint {
                    time_unix_nano,
                    start_time_unix_nano,
                    flags,
                    count: row.count,
                    sum: row.sum,
                    min: row.min,
                    max: row.max,
                    scale: row.scale,
                    zero_count: row.zero_count,
                    zero_threshold: row.zero_threshold,
                    positive: side(row.positive),
                    negative: side(row.negative),
                    ..ExponentialHistogramDataPoint::default()
                };
                Point { order, data: PointData::Exponential(Box::new(point)) }
            })
            .collect(),
        Values::Summaries(rows) => head
            .zip(rows)
            .map(|((time_unix_nano, start_time_unix_nano, flags, order), row)| {
                let value = |(quantile, value)| ValueAtQuantile { quantile, value };
                let point = SummaryDataPoint {
                    time_unix_nano,
                    start_time_unix_nano,
                    flags,
                    count: row.count,
                    sum: row.sum,
                    quantile_values: row.quantiles.into_iter().map(value).collect(),
                    ..SummaryDataPoint::default()
                };
                Point { order, data: PointData::Summary(Box::new(point)) }
            })
            .collect(),
    }
}
