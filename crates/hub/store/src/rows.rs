//! Records as the store holds them in memory: one row per span, log record, series or exemplar, with its origin shared.

use std::sync::Arc;

use model::otlp::schema;
use model::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, MetricsData};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message;

use crate::lossy;
pub use crate::origin::{Origin, find, find_text};
use crate::proto::{ExemplarsData, PointData};
use crate::series::CUMULATIVE;
pub use crate::series::{Kind, Point, Series};
use crate::shared::{Parts, SharedSeries};

/// What the allocator takes beside the points of a row, and what a row takes of the list of rows beyond its own.
const ROW_PIECES: usize = 32;

/// A span as stored.
#[derive(Debug, Clone)]
pub struct SpanRow {
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// The place of its frame in the order of intake.
    pub order: u64,
    /// Its place in its frame.
    pub index: u32,
    /// The span.
    pub span: Span,
}

impl SpanRow {
    /// Its trace; all zero when the span carries no valid trace id.
    pub fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(&self.span.trace_id).unwrap_or_default()
    }

    /// Its id; all zero when the span carries no valid one.
    pub fn span_id(&self) -> SpanId {
        SpanId::from_bytes(&self.span.span_id).unwrap_or_default()
    }

    /// Whether its status is an error.
    pub fn is_error(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }
}

/// A log record as stored.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// The place of its frame in the order of intake.
    pub order: u64,
    /// Its place in its frame.
    pub index: u32,
    /// The line.
    pub record: LogRecord,
}

impl LogRow {
    /// Its time; the time it was observed where it has none (OpenTelemetry logs data model, "Timestamp").
    pub fn time(&self) -> u64 {
        match self.record.time_unix_nano {
            0 => self.record.observed_time_unix_nano,
            time => time,
        }
    }

    /// Its trace, if it belongs to one.
    pub fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_bytes(&self.record.trace_id)
    }
}

/// The points of one series that came in one frame.
#[derive(Debug, Clone)]
pub struct SeriesRow {
    /// The series.
    pub series: Arc<Series>,
    /// Its points, as they came.
    pub points: Vec<Point>,
}

/// An exemplar as stored.
#[derive(Debug, Clone)]
pub struct ExemplarRow {
    /// Where its series comes from.
    pub origin: Arc<Origin>,
    /// The place of its frame in the order of intake.
    pub order: u64,
    /// The metric's name.
    pub metric: String,
    /// The metric's unit.
    pub unit: String,
    /// The attributes of the series.
    pub attributes: Vec<KeyValue>,
    /// The exemplar.
    pub exemplar: Exemplar,
}

impl ExemplarRow {
    /// Its trace, if it names one.
    pub fn trace_id(&self) -> Option<TraceId> {
        TraceId::from_bytes(&self.exemplar.trace_id)
    }
}

/// All records of a frame.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Spans.
    pub spans: Vec<SpanRow>,
    /// Log records.
    pub logs: Vec<LogRow>,
    /// Series with their points.
    pub series: Vec<SeriesRow>,
    /// Exemplars.
    pub exemplars: Vec<ExemplarRow>,
    /// Whether texts that are not UTF-8 were replaced.
    pub replaced_texts: bool,
}

impl Records {
    /// Adds the spans of a traces section.
    ///
    /// # Errors
    /// When the bytes are not a `TracesData`.
    pub fn add_traces(&mut self, device: (&Arc<str>, u64), bytes: &[u8]) -> Result<(), prost::DecodeError> {
        let (data, replaced): (TracesData, bool) = lossy::decode(&schema::TRACES_DATA, bytes)?;
        self.replaced_texts |= replaced;
        for resource_spans in data.resource_spans {
            for scope_spans in resource_spans.scope_spans {
                if scope_spans.spans.is_empty() {
                    continue;
                }
                let origin = Origin::new(
                    device,
                    resource_spans.resource.as_ref(),
                    &resource_spans.schema_url,
                    scope_spans.scope.as_ref(),
                    &scope_spans.schema_url,
                );
                for span in scope_spans.spans {
                    let index = self.spans.len() as u32;
                    self.spans.push(SpanRow { origin: Arc::clone(&origin), order: 0, index, span });
                }
            }
        }
        Ok(())
    }

    /// Adds the lines of a logs section.
    ///
    /// # Errors
    /// When the bytes are not a `LogsData`.
    pub fn add_logs(&mut self, device: (&Arc<str>, u64), bytes: &[u8]) -> Result<(), prost::DecodeError> {
        let (data, replaced): (LogsData, bool) = lossy::decode(&schema::LOGS_DATA, bytes)?;
        self.replaced_texts |= replaced;
        for resource_logs in data.resource_logs {
            for scope_logs in resource_logs.scope_logs {
                if scope_logs.log_records.is_empty() {
                    continue;
                }
                let origin = Origin::new(
                    device,
                    resource_logs.resource.as_ref(),
                    &resource_logs.schema_url,
                    scope_logs.scope.as_ref(),
                    &scope_logs.schema_url,
                );
                for record in scope_logs.log_records {
                    let index = self.logs.len() as u32;
                    self.logs.push(LogRow { origin: Arc::clone(&origin), order: 0, index, record });
                }
            }
        }
        Ok(())
    }

    /// Adds the points of a metrics section; exemplars inside points become rows of their own. Gives the bytes that its rows
    /// hold, without the series that are shared.
    ///
    /// # Errors
    /// When the bytes are not a `MetricsData`.
    pub fn add_metrics(
        &mut self,
        device: (&Arc<str>, u64),
        bytes: &[u8],
        shared: &SharedSeries,
    ) -> Result<usize, prost::DecodeError> {
        let (mut held, before) = (0, self.exemplars.len());
        let (data, replaced): (MetricsData, bool) = lossy::decode(&schema::METRICS_DATA, bytes)?;
        self.replaced_texts |= replaced;
        for resource_metrics in data.resource_metrics {
            for scope_metrics in resource_metrics.scope_metrics {
                if scope_metrics.metrics.is_empty() {
                    continue;
                }
                let origin = Origin::new(
                    device,
                    resource_metrics.resource.as_ref(),
                    &resource_metrics.schema_url,
                    scope_metrics.scope.as_ref(),
                    &scope_metrics.schema_url,
                );
                let origin = shared.origin(origin);
                for metric in scope_metrics.metrics {
                    held += self.add_metric(&origin, metric, shared);
                }
            }
        }
        let exemplar = |row: &ExemplarRow| {
            let attributes = row.attributes.iter().chain(&row.exemplar.filtered_attributes);
            let attributes = attributes.map(|attribute| attribute.encoded_len() + size_of::<KeyValue>() + 32);
            size_of::<ExemplarRow>() + row.metric.len() + row.unit.len() + 96 + attributes.sum::<usize>()
        };
        Ok(held + self.exemplars[before..].iter().map(exemplar).sum::<usize>())
    }

    fn add_metric(&mut self, origin: &Arc<Origin>, metric: Metric, shared: &SharedSeries) -> usize {
        let Metric { name, description, unit, metadata, data } = metric;
        let Some(data) = data else { return 0 };
        let mut held = 0;
        let mut add = |kind: Kind, attributes: Vec<KeyValue>, exemplars: Vec<Exemplar>, data: PointData| {
            for exemplar in exemplars {
                self.exemplars.push(ExemplarRow {
                    origin: Arc::clone(origin),
                    order: 0,
                    metric: name.clone(),
                    unit: unit.clone(),
                    attributes: attributes.clone(),
                    exemplar,
                });
            }
            let point = Point { order: 0, data };
            held += point.held_bytes();
            let parts = Parts {
                origin,
                name: &name,
                description: &description,
                unit: &unit,
                metadata: &metadata,
                kind,
                attributes: &attributes,
            };
            let make = || {
                let (name, description, unit) = (name.clone(), description.clone(), unit.clone());
                Series::new(Arc::clone(origin), name, description, unit, metadata.clone(), kind, attributes.clone())
            };
            let (series, bytes) = shared.series(&parts, make);
            // Producers send a series' points together; a series that comes twice in a frame is only two rows.
            match self
                .series
                .last_mut()
                .filter(|last| Arc::ptr_eq(&last.series, &series) || last.series.key == series.key)
            {
                Some(last) => last.points.push(point),
                None => {
                    held += bytes + size_of::<SeriesRow>() + ROW_PIECES;
                    self.series.push(SeriesRow { series, points: vec![point] });
                }
            }
        };
        match data {
            Data::Gauge(gauge) => {
                for mut point in gauge.data_points {
                    let (attributes, exemplars) =
                        (std::mem::take(&mut point.attributes), std::mem::take(&mut point.exemplars));
                    add(Kind::Gauge, attributes, exemplars, PointData::Number(point));
                }
            }
            Data::Sum(sum) => {
                let kind =
                    Kind::Sum { monotonic: sum.is_monotonic, cumulative: sum.aggregation_temporality == CUMULATIVE };
                for mut point in sum.data_points {
                    let (attributes, exemplars) =
                        (std::mem::take(&mut point.attributes), std::mem::take(&mut point.exemplars));
                    add(kind, attributes, exemplars, PointData::Number(point));
                }
            }
            Data::Histogram(histogram) => {
                let kind = Kind::Histogram { cumulative: histogram.aggregation_temporality == CUMULATIVE };
                for mut point in histogram.data_points {
                    let (attributes, exemplars) =
                        (std::mem::take(&mut point.attributes), std::mem::take(&mut point.exemplars));
                    add(kind, attributes, exemplars, PointData::Histogram(Box::new(point)));
                }
            }
            Data::ExponentialHistogram(histogram) => {
                let kind = Kind::ExponentialHistogram { cumulative: histogram.aggregation_temporality == CUMULATIVE };
                for mut point in histogram.data_points {
                    let (attributes, exemplars) =
                        (std::mem::take(&mut point.attributes), std::mem::take(&mut point.exemplars));
                    add(kind, attributes, exemplars, PointData::Exponential(Box::new(point)));
                }
            }
            Data::Summary(summary) => {
                for mut point in summary.data_points {
                    let attributes = std::mem::take(&mut point.attributes);
                    add(Kind::Summary, attributes, Vec::new(), PointData::Summary(Box::new(point)));
                }
            }
        }
        held
    }

    /// Adds the exemplars of an exemplars section.
    ///
    /// # Errors
    /// When the bytes are not an [`ExemplarsData`].
    pub fn add_exemplars(&mut self, device: (&Arc<str>, u64), bytes: &[u8]) -> Result<(), prost::DecodeError> {
        let (data, replaced): (ExemplarsData, bool) = lossy::decode(&schema::EXEMPLARS_DATA, bytes)?;
        self.replaced_texts |= replaced;
        for series in data.series {
            let origin = Origin::new(device, series.resource.as_ref(), "", series.scope.as_ref(), "");
            for exemplar in series.exemplars {
                self.exemplars.push(ExemplarRow {
                    origin: Arc::clone(&origin),
                    order: 0,
                    metric: series.metric_name.clone(),
                    unit: series.unit.clone(),
                    attributes: series.attributes.clone(),
                    exemplar,
                });
            }
        }
        Ok(())
    }

    /// Gives back what vectors took more than they need.
    pub(crate) fn shrink(&mut self) {
        self.spans.shrink_to_fit();
        self.logs.shrink_to_fit();
        self.series.shrink_to_fit();
        self.series.iter_mut().for_each(|row| row.points.shrink_to_fit());
        self.exemplars.shrink_to_fit();
    }

    /// Gives every record its frame's place in the order of intake.
    pub(crate) fn set_order(&mut self, order: u64) {
        self.spans.iter_mut().for_each(|row| row.order = order);
        self.logs.iter_mut().for_each(|row| row.order = order);
        self.series.iter_mut().flat_map(|row| &mut row.points).for_each(|point| point.order = order);
        self.exemplars.iter_mut().for_each(|row| row.order = order);
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.series.iter().map(|row| row.points.len()).sum()
    }
}

/// An attribute value as the text that `key=value` filters compare with.
pub fn value_text(value: &AnyValue) -> Option<String> {
    Some(match value.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(flag) => flag.to_string(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        _ => return None,
    })
}
