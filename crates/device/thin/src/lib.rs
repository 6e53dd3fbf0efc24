//! Fewer points for the same story: what is kept of metrics when there is no room for all of them, and before any is
//! given up.
//!
//! Time is cut into steps. Of each series and step,
//! - a gauge, and a cumulative sum that may fall, keeps its lowest and its highest point, and gets one point of a delta
//!   histogram without buckets, named after it with [`SUMMARY_SUFFIX`]: count, sum, minimum and maximum of the points that
//!   there were (OTLP metrics data model, "Histogram": buckets are optional);
//! - a cumulative counter, histogram or summary keeps its last point for each of its starts: nothing is lost but resolution;
//! - everything else (deltas, points that are not a number, points that say that there is no value) stays as it is.
//!
//! So what stays is points as they came, with their own times: a backend that had some of them before gets nothing wrong.
//! Thinning what was thinned changes nothing.

mod metric;
mod series;

use std::collections::BTreeMap;

use model::otlp::{ScopeGroup, Selection, for_each_scope, messages};
use model::proto::{ProtoError, put_bytes};

use crate::metric::{Kind, MetricHead};
use crate::series::{Point, Series};

/// Ends the name of the histogram that tells of a gauge what its points were.
pub const SUMMARY_SUFFIX: &str = ".thinned";

/// Takes points in and gives fewer back. Sans-IO; its memory is told by [`Thinner::bytes`].
pub struct Thinner {
    step_ns: u64,
    metrics: Vec<Metric>,
    /// Position in `metrics` by everything that names a metric.
    by_head: BTreeMap<Vec<u8>, usize>,
    bytes: usize,
}

struct Metric {
    resource: (Vec<u8>, Vec<u8>),
    scope: (Vec<u8>, Vec<u8>),
    head: MetricHead,
    series: Vec<Series>,
    /// Position in `series` by the point's attributes.
    by_attributes: BTreeMap<Vec<u8>, usize>,
    /// Points that stay, as fields of the metric's data.
    points: Vec<u8>,
    /// Points of the histogram that tells of a gauge.
    summaries: Vec<u8>,
}

/// What is left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Thinned {
    /// `MetricsData`; empty when nothing came in.
    pub metrics: Vec<u8>,
    /// Points in it.
    pub points: u64,
    /// Earliest time of a point, Unix nanoseconds; 0 when none has one.
    pub start_ns: u64,
    /// Latest time of a point, Unix nanoseconds; 0 when none has one.
    pub end_ns: u64,
}

impl Thinner {
    /// Thins to steps of so many nanoseconds, at least one.
    pub fn new(step_ns: u64) -> Self {
        Self { step_ns: step_ns.max(1), metrics: Vec::new(), by_head: BTreeMap::new(), bytes: 0 }
    }

    /// Takes the points of a `MetricsData` in.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf; what came before it is taken in.
    pub fn push(&mut self, metrics: &[u8]) -> Result<(), ProtoError> {
        for_each_scope::<ProtoError>(metrics, |scope| {
            for metric in scope.items() {
                self.push_metric(&scope, metric?)?;
            }
            Ok(())
        })
    }

    /// About how many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push_metric(&mut self, scope: &ScopeGroup<'_>, bytes: &[u8]) -> Result<(), ProtoError> {
        let Some((head, data)) = MetricHead::read(bytes)? else { return Ok(()) };
        let mut key = Vec::new();
        for part in [scope.resource.resource, scope.resource.schema_url, scope.scope, scope.schema_url] {
            put_bytes(&mut key, 1, part);
        }
        head.identify(&mut key);
        let position = *self.by_head.entry(key).or_insert_with_key(|key| {
            self.bytes += 2 * key.len() + size_of::<Metric>();
            self.metrics.push(Metric {
                resource: (scope.resource.resource.to_vec(), scope.resource.schema_url.to_vec()),
                scope: (scope.scope.to_vec(), scope.schema_url.to_vec()),
                head,
                series: Vec::new(),
                by_attributes: BTreeMap::new(),
                points: Vec::new(),
                summaries: Vec::new(),
            });
            self.metrics.len() - 1
        });
        let Some(metric) = self.metrics.get_mut(position) else { return Ok(()) };
        for point in messages(data, 1) {
            self.bytes += metric.push(point?, self.step_ns)?;
        }
        Ok(())
    }

    /// What is left of everything that came in since the last call.
    pub fn finish(&mut self) -> Thinned {
        let mut thinned = Thinned::default();
        let mut selection = Selection::default();
        self.by_head.clear();
        self.bytes = 0;
        for mut metric in std::mem::take(&mut self.metrics) {
            for series in std::mem::take(&mut metric.series) {
                series.close(&metric.head, &mut metric.points, &mut metric.summaries);
            }
            let from = ScopeGroup::of((&metric.resource.0, &metric.resource.1), (&metric.scope.0, &metric.scope.1));
            let mut points = 0;
            for (head, data) in [(&metric.head, &metric.points), (&metric.head.summary(), &metric.summaries)] {
                if !data.is_empty() {
                    selection.push(&from, &head.write(data));
                }
                for point in messages(data, 1).flatten() {
                    points += 1;
                    if let Ok(time) = Point::time(point)
                        && time != 0
                    {
                        let earliest = if thinned.start_ns == 0 { time } else { thinned.start_ns };
                        thinned.start_ns = earliest.min(time);
                        thinned.end_ns = thinned.end_ns.max(time);
                    }
                }
            }
            thinned.points += points;
        }
        selection.write(&mut thinned.metrics);
        thinned
    }
}

impl Metric {
    /// Takes a point in; gives the bytes that are held more.
    fn push(&mut self, bytes: &[u8], step_ns: u64) -> Result<usize, ProtoError> {
        let point = Point::read(self.head.kind, bytes)?;
        if self.head.kind == Kind::Other || !point.is_plain(self.head.kind) {
            put_bytes(&mut self.points, 1, bytes);
            return Ok(bytes.len() + 4);
        }
        let mut held = 0;
        let position = *self.by_attributes.entry(point.attributes.concat()).or_insert_with_key(|key| {
            held += 2 * key.len() + size_of::<Series>() + 2 * bytes.len();
            self.series.push(Series::default());
            self.series.len() - 1
        });
        let Some(series) = self.series.get_mut(position) else { return Ok(held) };
        let before = self.points.len() + self.summaries.len();
        series.push(&self.head, &point, step_ns, &mut self.points, &mut self.summaries);
        Ok(held + self.points.len() + self.summaries.len() - before)
    }
}

#[cfg(test)]
mod tests;
